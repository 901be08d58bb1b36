//! The thread that has the database: what waits at a moment becomes one transaction.
//!
//! While a transaction is written, the next batch gathers, so the more workers save at once, the
//! fewer transactions there are for each. What nobody waits for gathers for some milliseconds more
//! ([`Haste`]), and in a stream of saves so does what somebody waits for ([`Rush`]): a transaction
//! costs as much as ten steps in it. A crash within that time forgets it as if it had come before the
//! save: a rollout is followed, or a message sent, once more. So what is told or was delivered waits
//! only in a stream of saves, and a lone one is written at once. When the
//! disk refuses, nobody waits for it: messages are handed over and waiters let go as if it had been
//! written, and what was not is kept and tried again, together with all that came later.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::Sender;
use log::{error, info};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::batch::Batch;
use super::disk::{Disk, unix_ms};
use super::haste::{Haste, Rush};
use super::lock::{Lock, NoLock};
use super::outbox::{OutboxPage, Wanted, page};
use super::schema::Trouble;
use super::step::{Outgoing, Saved};
use crate::clock;
use crate::model::{Moment, Standing};

/// The log is told of trouble this often.
const COMPLAINT_EVERY: Duration = Duration::from_secs(60);

/// What the handle and the thread share.
pub struct Shared {
    /// What was saved since the thread last looked.
    pub pending: Mutex<Pending>,
    /// Wakes the thread. Waiting on a channel would spin for a while before it sleeps, each time.
    bell: Condvar,
    /// Wakes who waits for a batch.
    written: Condvar,
    /// Transactions so far.
    pub commits: AtomicU64,
    /// The disk does not even answer; cleared when it does.
    pub stuck: AtomicBool,
    /// Which folder another depd has taken over, and its process id.
    pub taken_over: OnceLock<(PathBuf, Option<u32>)>,
    /// Is called then.
    pub end: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    complaints: Mutex<Patience>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("pending", &self.pending).finish_non_exhaustive()
    }
}

/// What was saved since the thread last looked.
#[derive(Debug)]
pub struct Pending {
    /// The steps.
    pub batch: Batch,
    /// The number of the batch that gathers here.
    number: u64,
    /// Batches below this number are on disk or were refused.
    finished: u64,
    /// The thread has something to look at, by then at the latest.
    due: Option<Moment>,
    /// When it last looked.
    looked: Moment,
    rush: Rush,
    /// The pages that are waited for, by receiver.
    pub wanted: HashMap<String, (Wanted, Sender<OutboxPage>)>,
    /// The id of the next message.
    pub next_id: u64,
    /// Which word about failures in a row was the last that came.
    pub turn: u64,
    /// No more will come.
    pub closing: bool,
    /// The thread has ended.
    ended: bool,
    /// Whether everything was on disk at the end; known once the thread has ended.
    pub saved_all: bool,
}

/// The thread's own half.
pub struct Writer<F> {
    /// What it shares with the handle.
    shared: Arc<Shared>,
    /// Is told of every message that may be sent.
    committed: F,
    /// `None`: nothing is saved.
    disk: Option<Disk>,
    /// Held until the end.
    lock: Option<Lock>,
    /// A disk that refused is tried again after this.
    retry: Duration,
    /// What is not on disk yet.
    backlog: Batch,
    /// The disk refused, and is left alone until then.
    retry_at: Option<Moment>,
    /// The disk refused the last attempt.
    refused: bool,
    /// Why messages could not be read from it; it is not asked again until then.
    unread: Option<(String, Moment)>,
    /// Messages that were set aside for lack of room, and not told yet.
    overflow: i64,
    /// How often that is told.
    overflow_complaints: Patience,
}

impl Shared {
    /// Ready for a thread.
    pub fn new(last_id: u64) -> Shared {
        let pending = Pending {
            batch: Batch::default(),
            number: 0,
            finished: 0,
            due: None,
            looked: Moment(0),
            rush: Rush::default(),
            wanted: HashMap::new(),
            next_id: last_id + 1,
            turn: 0,
            closing: false,
            ended: false,
            saved_all: false,
        };
        Shared {
            pending: Mutex::new(pending),
            bell: Condvar::new(),
            written: Condvar::new(),
            commits: AtomicU64::new(0),
            stuck: AtomicBool::new(false),
            taken_over: OnceLock::new(),
            end: Mutex::new(None),
            complaints: Mutex::default(),
        }
    }

    /// Wakes the thread, unless it comes early enough by itself.
    pub fn ring(&self, pending: &mut Pending, haste: Haste) {
        let due = pending.rush.due(haste, pending.looked, clock::now());
        if pending.due.is_none_or(|before| due < before) {
            pending.due = Some(due);
            self.bell.notify_one();
        }
    }

    /// Waits until the batch that gathers now is on disk or was refused; false when that takes
    /// longer than `limit`.
    pub fn wait(&self, pending: &mut MutexGuard<'_, Pending>, limit: Duration) -> bool {
        let number = pending.number;
        let unfinished = |pending: &mut Pending| pending.finished <= number;
        !self.written.wait_while_for(pending, unfinished, limit).timed_out()
    }

    /// Waits until the thread has ended.
    pub fn wait_for_end(&self, pending: &mut MutexGuard<'_, Pending>) {
        self.written.wait_while(pending, |pending| !pending.ended);
    }

    /// Says into the log what is wrong, but not all the time.
    pub fn complain(&self, text: impl FnOnce() -> String) {
        if self.complaints.lock().is_over(clock::now()) {
            error!("{}", text());
        }
    }
}

impl Pending {
    /// Adds a step. Two workers may come in another order than the one in which the gate took their
    /// verdicts: what is older by its turn is passed over.
    pub fn add(&mut self, mut step: Saved) {
        step.standing = step.standing.filter(|standing| self.is_newest(standing));
        self.batch.add(step, &mut self.next_id, unix_ms());
    }

    /// True when no newer word about failures in a row came before this one.
    pub fn is_newest(&mut self, standing: &Standing) -> bool {
        let newest = standing.turn > self.turn;
        self.turn = self.turn.max(standing.turn);
        newest
    }
}

impl<F: Fn(Outgoing)> Writer<F> {
    /// Writes what comes to `shared` onto `disk` whenever it rings; see the fields.
    pub fn new(
        shared: Arc<Shared>,
        (lock, disk): (Option<Lock>, Option<Disk>),
        retry: Duration,
        committed: F,
    ) -> Writer<F> {
        Writer {
            shared,
            committed,
            disk,
            lock,
            retry,
            backlog: Batch::default(),
            retry_at: None,
            refused: false,
            unread: None,
            overflow: 0,
            overflow_complaints: Patience::default(),
        }
    }

    /// Writes until the store is closed.
    pub fn run(mut self) {
        while self.turn() {}
        let saved_all = self.backlog.is_empty() && self.disk.is_some();
        self.disk = None;
        self.lock = None;
        let mut pending = self.shared.pending.lock();
        (pending.saved_all, pending.ended) = (saved_all, true);
        drop(pending);
        self.shared.written.notify_all();
    }

    /// One batch; false after the last.
    fn turn(&mut self) -> bool {
        let mut pending = self.shared.pending.lock();
        self.wait(&mut pending);
        pending.due = None;
        pending.looked = clock::now();
        let fresh = std::mem::take(&mut pending.batch);
        let wanted = std::mem::take(&mut pending.wanted);
        let newest = pending.next_id - 1;
        pending.number += 1;
        let number = pending.number;
        let closing = pending.closing;
        drop(pending);
        self.backlog.absorb(fresh);
        if closing || self.retry_at.is_none_or(|at| at <= clock::now()) {
            self.write();
        }
        if self.shared.taken_over.get().is_some() {
            return !closing;
        }
        for message in self.backlog.announce() {
            self.hand_over(message);
        }
        self.shared.stuck.store(false, Ordering::Relaxed);
        self.shared.pending.lock().finished = number;
        self.shared.written.notify_all();
        for (wanted, reply) in wanted.into_values() {
            let page = page(&wanted, self.read(&wanted), &self.backlog, newest);
            // Who does not wait any more asks again.
            let _ = reply.send(page);
        }
        self.fold();
        !closing
    }

    /// What waits on disk. One that cannot be read is left alone for a while, as one that cannot be
    /// written is.
    fn read(&mut self, wanted: &Wanted) -> Result<Vec<Outgoing>, String> {
        // Opening it may put in what was lost, and what is another's is not touched.
        let is_ours = self.is_ours();
        let Some(disk) = self.disk.as_mut().filter(|_| is_ours) else { return Ok(Vec::new()) };
        if let Some((why, until)) = &self.unread
            && *until > clock::now()
        {
            return Err(why.clone());
        }
        let read = disk.page(wanted);
        let read = read.map_err(|trouble| reason(&trouble));
        self.unread = read.as_ref().err().map(|why| (why.clone(), clock::now() + self.retry));
        read
    }

    /// Until what was saved is due, or it is time to try again.
    fn wait(&self, pending: &mut MutexGuard<'_, Pending>) {
        loop {
            let due = pending.due.into_iter().chain(self.retry_at).min();
            match due.map(|due| due.since(clock::now())) {
                Some(left) if left.is_zero() => return,
                Some(left) => drop(self.shared.bell.wait_for(pending, left)),
                None => self.shared.bell.wait(pending),
            }
        }
    }

    fn write(&mut self) {
        if self.backlog.is_empty() {
            self.retry_at = None;
            return;
        }
        if !self.is_ours() {
            return;
        }
        let result = match &mut self.disk {
            Some(disk) => disk.write(&self.backlog),
            None => Ok(Default::default()),
        };
        match result {
            Ok(done) => {
                self.shared.commits.fetch_add(1, Ordering::Relaxed);
                let saved = std::mem::take(&mut self.backlog);
                self.retry_at = None;
                if std::mem::take(&mut self.refused) {
                    info!("the store is written again, and all that waited for it is saved");
                }
                if saved.given_up > 0 {
                    error!("{}", given_up_text(saved.given_up));
                }
                self.overflow += done.overflow;
                if self.overflow > 0 && self.overflow_complaints.is_over(clock::now()) {
                    error!("{}", overflow_text(self.overflow));
                    self.overflow = 0;
                }
                for waiting in saved.messages.into_values().filter(|waiting| !waiting.announced) {
                    self.hand_over(waiting.message);
                }
            }
            Err(trouble) => {
                self.refused = true;
                self.retry_at = Some(clock::now() + self.retry);
                let (every, given_up) = (self.retry.as_secs(), self.backlog.given_up);
                self.shared.complain(|| refusal_text(&trouble, every, given_up));
            }
        }
    }

    /// The folder is not another depd's.
    fn is_ours(&mut self) -> bool {
        if self.shared.taken_over.get().is_some() {
            return false;
        }
        let Some(lock) = &mut self.lock else { return true };
        // Where it cannot be locked, it cannot be written either, which is said.
        let Err(NoLock::Held { pid }) = lock.keep() else { return true };
        let folder = lock.folder().to_owned();
        self.disk = None;
        self.retry_at = None;
        let _ = self.shared.taken_over.set((folder, pid));
        if let Some(end) = self.shared.end.lock().take() {
            end();
        }
        false
    }

    fn hand_over(&self, message: Outgoing) {
        let id = message.id;
        if catch_unwind(AssertUnwindSafe(|| (self.committed)(message))).is_err() {
            error!("message {id} could not be handed over for delivery; this is a defect in depd");
        }
    }

    fn fold(&mut self) {
        if let Some(Err(trouble)) = self.disk.as_mut().map(Disk::fold) {
            self.shared.complain(|| format!("the store's log grows: {}", reason(&trouble)));
        }
    }
}

fn refusal_text(trouble: &Trouble, every_seconds: u64, given_up: u64) -> String {
    let lost = match given_up {
        0 => String::new(),
        count => format!("; {}", given_up_text(count)),
    };
    format!(
        "the store cannot be written ({}): deployments and reports go on, what is new is kept in \
         memory and tried again every {every_seconds} s; a restart before that forgets it{lost}",
        reason(trouble)
    )
}

fn given_up_text(count: u64) -> String {
    format!(
        "too much waited for the disk: the oldest {count} messages and entries of the history were \
         given up and are not in the store"
    )
}

fn overflow_text(count: i64) -> String {
    format!(
        "too many messages wait for their receivers: the oldest {count} were set aside and will \
         not be sent again"
    )
}

fn reason(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Corrupt(why) => format!("it is corrupt: {why}"),
        Trouble::Newer(version) => format!("a newer depd wrote it: schema version {version}"),
        Trouble::Refused { why, .. } => why.clone(),
    }
}

/// Keeps a complaint that repeats itself from filling the log.
#[derive(Debug, Default)]
struct Patience {
    last: Option<Moment>,
}

impl Patience {
    /// It may be said again now.
    fn is_over(&mut self, now: Moment) -> bool {
        let over = self.last.is_none_or(|last| now.since(last) >= COMPLAINT_EVERY);
        if over {
            self.last = Some(now);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::{Haste, Patience, Shared};
    use crate::model::Moment;

    #[test]
    fn a_batch_is_due_with_the_most_urgent_of_what_is_in_it() {
        let shared = Shared::new(0);
        let mut pending = shared.pending.lock();
        let mut due_after = |haste| {
            shared.ring(&mut pending, haste);
            pending.due.expect("it is due")
        };
        let first = due_after(Haste::Later);
        assert_eq!(due_after(Haste::Later), first, "what comes later does not put it off");
        let now = due_after(Haste::Now);
        assert!(now <= first && now <= crate::clock::now());
        assert_eq!(due_after(Haste::Later), now);
    }

    #[test]
    fn trouble_is_told_at_once_and_then_at_most_once_a_minute() {
        let mut patience = Patience::default();
        let told: Vec<u64> = (0..130).filter(|s| patience.is_over(Moment(s * 1000))).collect();
        assert_eq!(told, [0, 60, 120]);
    }
}
