//! Messages on their way to one receiver, from a thread of its own. `[E]`
//!
//! A message is kept until the receiver acknowledged it. What may pass (network, 429, 5xx) is tried
//! again, in order, with `Retry-After` obeyed; what will not is set aside loudly. In a storm many
//! become one digest. Nothing here may block the caller, and no receiver holds up another.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use log::{Level, error, log, warn};

use super::digest::Storm;
use super::inbox::{Fetch, Inbox, Parcel, Put, ROOM};
use super::kind::Kind;
use super::pace::Pace;
use super::record::{Record, VERSION};
use super::transport::{Answer, Transport};
use crate::clock;
use crate::queue::backoff;

/// A store that could not be read, or did not have yet what it should, is asked again after this.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// Records that one look at the inbox takes: more than any digest tells.
const LOOK: usize = 1_000;

/// The sending half; share it in an `Arc`.
#[derive(Debug)]
pub struct Delivery {
    name: &'static str,
    inbox: Arc<Inbox>,
    bell: Sender<()>,
    stopping: Sender<()>,
    thread: JoinHandle<()>,
}

/// What a delivery needs to know.
pub struct Route {
    /// What kind of receiver it is.
    pub kind: Kind,
    /// How fast it may be written to.
    pub pace: Pace,
    /// The way there.
    pub transport: Box<dyn Transport>,
    /// Reads what waits in the store; `None` without one.
    pub fetch: Option<Fetch>,
    /// The greatest id of a message that may wait in the store at the start.
    pub left: u64,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver acknowledged it.
    Delivered,
    /// The receiver will never take it, for this reason.
    SetAside(String),
}

/// What is in memory behind a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// It was the last for now.
    Nothing,
    /// Others are next, and will be settled soon as well.
    Others,
}

impl Delivery {
    /// Starts the thread. `settled` is told, on that thread, what became of each message by its
    /// number.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(
        route: Route,
        settled: impl Fn(u64, Fate, Behind) + Send + 'static,
    ) -> std::io::Result<Delivery> {
        let inbox = Arc::new(Inbox::new(if route.fetch.is_some() { route.left } else { 0 }));
        let (bell, rung) = bounded(1);
        let (stopping, stop) = bounded(1);
        let name = route.kind.name();
        let mut postman = Postman {
            kind: route.kind,
            pace: route.pace,
            transport: route.transport,
            fetch: route.fetch,
            inbox: Arc::clone(&inbox),
            bell: rung,
            stop,
            settled: Box::new(settled),
            storm: Storm::default(),
        };
        let builder = thread::Builder::new().name(format!("report-{name}"));
        let thread = builder.spawn(move || while postman.turn() {})?;
        Ok(Delivery { name, inbox, bell, stopping, thread })
    }

    /// Hands over a message. Never blocks.
    pub fn send(&self, parcel: Parcel) {
        if self.inbox.put(parcel) == Put::Lost {
            error!(
                "{}: {ROOM} messages wait already and no store keeps more; one is lost",
                self.name
            );
        }
        // A bell that rings already will do.
        let _ = self.bell.try_send(());
    }

    /// From now on nothing more comes.
    pub fn close(&self) {
        self.inbox.close();
        let _ = self.bell.try_send(());
    }

    /// [`Delivery::close`], and ends when what waits was sent or `limit` has passed, whichever is
    /// first; true when everything was sent.
    #[must_use]
    pub fn finish(&self, limit: Duration) -> bool {
        let until = clock::now() + limit;
        self.close();
        while !self.thread.is_finished() && clock::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        let finished = self.thread.is_finished();
        let _ = self.stopping.try_send(());
        finished && self.inbox.count() == 0 && !self.inbox.has_more()
    }
}

struct Postman {
    kind: Kind,
    pace: Pace,
    transport: Box<dyn Transport>,
    fetch: Option<Fetch>,
    inbox: Arc<Inbox>,
    bell: Receiver<()>,
    stop: Receiver<()>,
    settled: Box<dyn Fn(u64, Fate, Behind) + Send>,
    storm: Storm,
}

/// What is sent next: records with the ids of their parcels.
struct Load {
    ids: Vec<Option<u64>>,
    records: Vec<Record>,
    /// More is there that would have gone along, had there been room.
    is_full: bool,
}

impl Postman {
    /// Sends what is next, or waits for something; false at the end.
    fn turn(&mut self) -> bool {
        let name = self.kind.name();
        if let Some(fetch) = &mut self.fetch
            && let Err(why) = self.inbox.refill(fetch)
        {
            warn!("{name}: messages that wait cannot be read from the store ({why})");
            if self.inbox.count() == 0 {
                return self.rest(STORE_RETRY);
            }
        }
        match self.load() {
            Some(load) => self.deliver(&load) && self.gather(&load),
            None => self.wait(),
        }
    }

    /// Until there is something to send; false when there never will be.
    fn wait(&mut self) -> bool {
        if self.inbox.count() > 0 {
            return true;
        }
        if self.inbox.is_closed() {
            return false;
        }
        let limit = if self.inbox.has_more() {
            // What was left in the store and is not on disk yet has no bell.
            STORE_RETRY
        } else {
            self.storm.over();
            Duration::from_secs(3600)
        };
        select! {
            recv(self.stop) -> _ => false,
            recv(self.bell) -> _ => true,
            default(limit) => true,
        }
    }

    /// What is next; parcels that are no records are set aside on the way.
    fn load(&mut self) -> Option<Load> {
        let count = self.inbox.count();
        // The rest of a storm is part of it, however small.
        let is_storm = count > self.pace.calm() || self.storm.is_on();
        let is_digest = is_storm && self.kind.digest_limits().is_some();
        let parcels = self.inbox.peek(if is_digest { LOOK } else { 1 });
        let mut load = Load { ids: Vec::new(), records: Vec::new(), is_full: false };
        for parcel in parcels {
            match serde_json::from_str::<Record>(&parcel.payload) {
                Ok(record) if record.version == VERSION => {
                    load.ids.push(parcel.id);
                    load.records.push(record);
                }
                _ if load.records.is_empty() => {
                    let why = "another version of depd wrote it".to_owned();
                    error!("{}: a message is set aside: {why}", self.kind.name());
                    self.settle(&[parcel.id], &Fate::SetAside(why));
                }
                // Those before it go first.
                _ => break,
            }
        }
        let size = if is_digest { self.kind.digest_size(&load.records) } else { 1 };
        load.is_full = size < load.records.len();
        load.ids.truncate(size);
        load.records.truncate(size);
        (!load.records.is_empty()).then_some(load)
    }

    /// Tries until the message is taken or set aside; false when told to stop.
    fn deliver(&mut self, load: &Load) -> bool {
        let (name, place) = (self.kind.name(), self.transport.place());
        let mut failures = 0;
        loop {
            if !self.rest(self.pace.wait(clock::now())) {
                return false;
            }
            self.pace.spend(clock::now());
            match self.transport.send(&load.records) {
                Answer::Taken => {
                    self.settle(&load.ids, &Fate::Delivered);
                    return true;
                }
                Answer::Never { why, again } => {
                    let what = load.records.iter().map(|r| &*r.id).collect::<Vec<_>>().join(", ");
                    let level = if again { Level::Debug } else { Level::Error };
                    log!(
                        level,
                        "{name}: {place} refused a message for good: {why}; set aside: {what}"
                    );
                    self.settle(&load.ids, &Fate::SetAside(why));
                    return true;
                }
                Answer::Later { why, wait } => {
                    failures += 1;
                    let wait = pause(wait, failures, clock::now().0);
                    let ms = wait.as_millis();
                    warn!("{name}: {place}: {why}; the message is kept and tried again in {ms} ms");
                    if !self.rest(wait) {
                        return false;
                    }
                }
            }
        }
    }

    /// After a digest more may gather for the next one; false when told to stop.
    fn gather(&mut self, load: &Load) -> bool {
        if load.records.len() == 1 {
            self.storm.over();
            return true;
        }
        let gap = self.pace.intervals(self.storm.digest_sent());
        if load.is_full {
            return true;
        }
        let until = clock::now() + gap;
        loop {
            let left = until.since(clock::now());
            if left.is_zero() || self.inbox.is_closed() {
                return true;
            }
            select! {
                recv(self.stop) -> _ => return false,
                recv(self.bell) -> _ => {}
                default(left) => {}
            }
        }
    }

    /// Tells what became of messages, and makes room for others.
    fn settle(&self, ids: &[Option<u64>], fate: &Fate) {
        let is_last = self.inbox.count() <= ids.len();
        let behind = if is_last { Behind::Nothing } else { Behind::Others };
        ids.iter().flatten().for_each(|id| (self.settled)(*id, fate.clone(), behind));
        self.inbox.settle(ids.len());
    }

    /// Waits; false when told to stop meanwhile.
    fn rest(&self, wait: Duration) -> bool {
        wait.is_zero() || self.stop.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
    }
}

/// How long to leave a receiver alone that did not take a message for the `failures`th time: as long as
/// it asked for, but one that asks for nothing is not asked more often for that.
fn pause(asked: Option<Duration>, failures: u32, jitter: u64) -> Duration {
    asked.unwrap_or_default().max(backoff::delay(failures, jitter))
}

#[cfg(test)]
mod tests;
