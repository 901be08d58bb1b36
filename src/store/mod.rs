//! What depd remembers across restarts and `kill -9`: services, the history of rollouts, and the
//! messages that are due, in one SQLite database. `[E]`
//!
//! A step of a service is saved as a whole: its new state, its line of history and its messages are
//! in one transaction, and a message is handed over for delivery only after it was committed. What
//! is saved is a text of the caller; no secret comes here, and the files are 0600 anyway.
//!
//! The store never stops a deployment. One thread has the database; everybody else leaves a step in
//! memory and goes on. A disk that is full, read-only or slow costs the memory of what happened, loudly, and
//! nothing else; a damaged file is set aside. Nothing that is kept can grow without bound.
//!
//! Facts are those of sqlite.org: WAL (wal.html), result codes (rescode.html), URI names (uri.html).

mod batch;
mod corrupt;
mod disk;
mod error;
mod file_identity;
mod folder;
mod haste;
mod holder;
mod lock;
pub mod outbox;
mod read;
mod rescue;
mod schema;
mod step;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use log::{debug, warn};
use parking_lot::MutexGuard;

use crate::model::Standing;

use disk::{Disk, Room, memory_only, unix_ms};
use haste::Haste;
use lock::NoLock;
use outbox::Wanted;
use read::Contents;
use writer::{Pending, Shared, Writer};

pub use batch::{Answer, Batch};
pub use error::StoreError;
pub use folder::folder;
pub use holder::{Holder, holder};
pub use lock::Lock;
pub use outbox::OutboxPage;
pub use read::{Reader, RolloutEnd, StoredMessage, StoredRollout, StoredService};
pub use schema::VERSION;
pub use step::{HistoryChange, Message, Outgoing, Remembered, STATES_LOST, Saved, ServiceChange};

/// A store that is dropped without having been closed waits this long for what is queued.
const DROP_LIMIT: Duration = Duration::from_secs(2);

/// The writing half; share it in an `Arc`. Dropping it closes it.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    wait: Duration,
    is_locked: bool,
    keeps: bool,
}

/// The limits that tests make smaller.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// A disk that refused is tried again after this.
    retry: Duration,
    /// Nobody waits longer than this for a disk that does not answer.
    wait: Duration,
    /// The size of the database, in pages of 4 KiB.
    max_pages: u32,
    /// Messages that may wait for their receivers.
    outbox: i64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            retry: Duration::from_secs(5),
            wait: Duration::from_secs(5),
            max_pages: 1 << 18,
            outbox: 100_000,
        }
    }
}

impl Store {
    /// Opens the database in `folder`, or makes both; locks the folder; and says what it remembers.
    ///
    /// `committed` is called on the store's thread for every message once it is safe on disk (or the
    /// disk refused it, since reports go on), in the order of their ids. It must not block. Messages
    /// that waited before are not handed to it; see [`Remembered::last_message`].
    ///
    /// Where nothing can be saved at all, the store forgets what it is given, and a note says so.
    ///
    /// # Errors
    /// Another depd has the folder, a newer one wrote the store, or there is no thread to be had.
    pub fn open(
        folder: &Path,
        committed: impl Fn(Outgoing) + Send + 'static,
    ) -> Result<(Store, Remembered), StoreError> {
        Store::open_within(folder, Limits::default(), committed)
    }

    fn open_within(
        folder: &Path,
        limits: Limits,
        committed: impl Fn(Outgoing) + Send + 'static,
    ) -> Result<(Store, Remembered), StoreError> {
        let mut notes = Vec::new();
        let (lock, disk, contents) = open(folder, limits, &mut notes)?;
        let (is_locked, keeps) = (lock.is_some(), disk.is_some());
        let (end, ended) = bounded(0);
        let shared = Arc::new(Shared::new(contents.last_id));
        let writer = Writer::new(Arc::clone(&shared), (lock, disk), limits.retry, committed);
        let run = move || {
            let _end = end;
            writer.run();
        };
        thread::Builder::new().name("store".into()).spawn(run).map_err(StoreError::Thread)?;
        let Contents { services, meta, last_id } = contents;
        let remembered = Remembered { services, last_message: last_id, meta, notes };
        Ok((Store { shared, ended, wait: limits.wait, is_locked, keeps }, remembered))
    }

    /// The state folder is locked; one that cannot be used is not, see [`lock_instead`].
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// What it is given outlives this process, now or when the disk allows it. Where nothing can be saved
    /// at all, it forgets, and messages cannot be read from it.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// Calls `end` when another depd has taken the folder over. From then on nothing is written or handed
    /// over, and who waits for an intent waits on: this depd must end.
    pub fn when_taken_over(&self, end: impl FnOnce() + Send + 'static) {
        *self.shared.end.lock() = Some(Box::new(end));
    }

    /// Another depd has taken the folder over.
    #[must_use]
    pub fn taken_over(&self) -> Option<StoreError> {
        let (folder, pid) = self.shared.taken_over.get()?.clone();
        Some(StoreError::TakenOver { folder, pid })
    }

    /// Queues a step and returns at once. Steps of one service are saved in the order of the calls.
    pub fn save(&self, step: Saved) {
        let haste = if step.messages.is_empty() { Haste::Later } else { Haste::Soon };
        self.add(haste, |pending| pending.add(step));
    }

    /// Queues a step and waits until it is committed, or the disk refused it: intent before action.
    ///
    /// A disk that does not answer is waited for some seconds once, and not at all while it stays so. What
    /// another depd has taken over is waited for until the end: nothing may be done without an intent there.
    pub fn save_and_wait(&self, step: Saved) {
        let Some(mut pending) = self.add(Haste::Now, |pending| pending.add(step)) else { return };
        let is_stuck = self.shared.stuck.load(Ordering::Relaxed);
        let is_lost = || self.shared.taken_over.get().is_some();
        let finished = is_stuck || is_lost() || self.shared.wait(&mut pending, self.wait);
        if is_lost() {
            return self.shared.wait_for_end(&mut pending);
        }
        drop(pending);
        if !finished {
            self.shared.stuck.store(true, Ordering::Relaxed);
            let seconds = self.wait.as_secs();
            self.shared.complain(|| {
                format!(
                    "the disk of the store did not answer for {seconds} s: deployments go on \
                     without waiting for it"
                )
            });
        }
    }

    /// Queues messages that are about no service, and returns at once.
    pub fn tell(&self, messages: Vec<Message>) {
        self.add(Haste::Soon, |pending| {
            pending.batch.tell(messages, &mut pending.next_id, unix_ms())
        });
    }

    /// The oldest messages that wait for `receiver`, on disk or not, and have a greater id than `after`, at
    /// most `limit` of them. Waits for the disk, but not longer than some seconds.
    ///
    /// # Errors
    /// The disk does not answer, or the store is closed.
    pub fn waiting(&self, receiver: &str, after: u64, limit: usize) -> Result<OutboxPage, String> {
        let (reply, page) = bounded(1);
        let wanted = Wanted { receiver: receiver.to_owned(), after, limit };
        // One that nobody waits for any more makes room for this one.
        self.add(Haste::Soon, |pending| {
            pending.wanted.insert(receiver.to_owned(), (wanted, reply))
        });
        page.recv_timeout(self.wait).map_err(|error| match error {
            RecvTimeoutError::Timeout => "the disk does not answer".to_owned(),
            RecvTimeoutError::Disconnected => "it is closed".to_owned(),
        })
    }

    /// The receiver acknowledged the message: it is forgotten.
    pub fn delivered(&self, message_id: u64) {
        self.add(Haste::Now, |pending| pending.batch.answer(message_id, Answer::Delivered));
    }

    /// The same of a message behind which others are being delivered: it is kept with theirs.
    pub fn delivered_among_others(&self, message_id: u64) {
        self.add(Haste::Soon, |pending| pending.batch.answer(message_id, Answer::Delivered));
    }

    /// The message will never be taken: it is kept for people to look at, but not sent again.
    pub fn set_aside(&self, message_id: u64, why: &str) {
        let answer = Answer::SetAside { why: why.to_owned(), at: unix_ms() };
        self.add(Haste::Soon, |pending| pending.batch.answer(message_id, answer));
    }

    /// Remembers `value` under `name`, in the place of what was there.
    pub fn set_meta(&self, name: &str, value: &str) {
        self.add(Haste::Soon, |pending| {
            pending.batch.meta.insert(name.to_owned(), value.to_owned())
        });
    }

    /// Remembers this of the failures in a row, unless a newer word came before it.
    pub fn stands(&self, standing: &Standing) {
        self.add(Haste::Soon, |pending| {
            if pending.is_newest(standing) {
                pending.batch.stands(standing);
            }
        });
    }

    /// Transactions so far; how many steps share one is for measurements and tests.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// Takes no more, and waits until what is queued is committed, but no longer than `limit`; true
    /// when everything that was ever saved is on disk. Lets go of the folder.
    pub fn close(&self, limit: Duration) -> bool {
        {
            let mut pending = self.shared.pending.lock();
            pending.closing = true;
            self.shared.ring(&mut pending, Haste::Now);
        }
        let ended = self.ended.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected);
        ended && self.shared.pending.lock().saved_all
    }

    /// Returns what is pending with the change in it; `None` once the store is closed.
    fn add<T>(
        &self,
        haste: Haste,
        change: impl FnOnce(&mut Pending) -> T,
    ) -> Option<MutexGuard<'_, Pending>> {
        let mut pending = self.shared.pending.lock();
        if pending.closing {
            debug!("the store is closed already");
            return None;
        }
        change(&mut pending);
        self.shared.ring(&mut pending, haste);
        Some(pending)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close(DROP_LIMIT);
    }
}

/// Where the state folder cannot be used: locks `folder` in its place, the dep folder, so that two depd
/// that keep nothing do not work on the same files. Where that cannot be locked either there is no lock.
///
/// # Errors
/// Another depd has it.
pub fn lock_instead(folder: &Path) -> Result<Option<Lock>, StoreError> {
    match Lock::take_folder(folder) {
        Ok(lock) => Ok(Some(lock)),
        Err(NoLock::Held { pid }) => Err(StoreError::Locked { pid }),
        Err(NoLock::Failed(error)) => {
            let name = folder.display();
            warn!(
                "neither the state folder nor {name} can be locked ({error}): start depd only once"
            );
            Ok(None)
        }
    }
}

/// The folder, the lock and the database, as far as they are to be had.
fn open(
    folder: &Path,
    limits: Limits,
    notes: &mut Vec<String>,
) -> Result<(Option<Lock>, Option<Disk>, Contents), StoreError> {
    if let Err(error) = schema::make_folder(folder)
        && !folder.is_dir()
    {
        return Ok((None, memory_only(folder, &error, notes), Contents::default()));
    }
    // SQLite refuses symbolic links anywhere in a name, and only the last part must not be one.
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let lock = match Lock::take(&folder) {
        Ok(lock) => lock,
        Err(NoLock::Held { pid }) => return Err(StoreError::Locked { pid }),
        Err(NoLock::Failed(error)) => {
            return Ok((None, memory_only(&folder, &error, notes), Contents::default()));
        }
    };
    let room = Room { pages: limits.max_pages, outbox: limits.outbox };
    let (disk, contents) = Disk::start(&folder, room, notes)?;
    Ok((Some(lock), disk, contents))
}
