//! Messages on their way to one receiver, from a thread of its own. `[E]`
//!
//! A message is kept until the receiver acknowledged it. What may pass (network, 429, 5xx) is tried
//! again, in order, with `Retry-After` obeyed; what will not is set aside loudly. All that is decided by
//! [`dispatch`](super::dispatch); here are the thread, the clock, the bell and the words for the log.
//! Nothing here may block the caller, and no receiver holds up another.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use log::{Level, error, log, warn};

pub use super::dispatch::{Behind, Fate};
use super::dispatch::{Dispatch, Load, Next, Outcome, settle};
use super::inbox::{Fetch, Inbox, Parcel, Put, ROOM, STORE_RETRY};
use super::kind::Kind;
use super::pace::Pace;
use super::transport::{Answer, Transport};
use crate::clock;
use crate::model::Moment;

/// Without anything to wait for, the bell is waited for in turns of this length.
const QUIET: Duration = Duration::from_secs(3600);

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
            name,
            dispatch: Dispatch::new(route.kind, route.pace),
            transport: route.transport,
            fetch: route.fetch,
            inbox: Arc::clone(&inbox),
            bell: rung,
            stop,
            settled: Box::new(settled),
            is_unread_told: false,
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
    name: &'static str,
    dispatch: Dispatch,
    transport: Box<dyn Transport>,
    fetch: Option<Fetch>,
    inbox: Arc<Inbox>,
    bell: Receiver<()>,
    stop: Receiver<()>,
    settled: Box<dyn Fn(u64, Fate, Behind) + Send>,
    /// It was said that the store cannot be read, and that lasts.
    is_unread_told: bool,
}

impl Postman {
    /// Sends what is next, or waits for something; false at the end.
    fn turn(&mut self) -> bool {
        if self.dispatch.is_free() {
            self.refill();
        }
        match self.dispatch.next(&self.inbox, clock::now()) {
            Next::Send(load) => self.send(&load),
            Next::SetAside(id) => {
                let why = "another version of depd wrote it".to_owned();
                error!("{}: a message is set aside: {why}", self.name);
                self.settle(&[id], &Fate::SetAside(why));
                true
            }
            Next::Rest(until) => self.rest(until),
            Next::Gather(until) => self.listen(until.since(clock::now())),
            // What could not be read has no bell.
            Next::Listen if self.inbox.has_more() => self.listen(STORE_RETRY),
            Next::Listen => self.listen(QUIET),
            Next::End => false,
        }
    }

    /// Takes what waits in the store, as far as there is room for it.
    fn refill(&mut self) {
        let Some(fetch) = &mut self.fetch else { return };
        match self.inbox.refill(fetch, clock::now) {
            Ok(()) => self.is_unread_told &= self.inbox.has_more(),
            Err(why) => {
                if !std::mem::replace(&mut self.is_unread_told, true) {
                    let name = self.name;
                    warn!(
                        "{name}: messages that wait cannot be read from the store ({why}); they are \
                         sent when they can be"
                    );
                }
            }
        }
    }

    fn send(&mut self, load: &Load) -> bool {
        let answer = self.transport.send(&load.records);
        let now = clock::now();
        let (name, place) = (self.name, self.transport.place());
        match (self.dispatch.answered(&answer, now, now.0), &answer) {
            (Outcome::Settled(fate), answer) => {
                if let Answer::Never { why, again } = answer {
                    let what = load.records.iter().map(|r| &*r.id).collect::<Vec<_>>().join(", ");
                    let level = if *again { Level::Debug } else { Level::Error };
                    log!(
                        level,
                        "{name}: {place} refused a message for good: {why}; set aside: {what}"
                    );
                }
                self.settle(&load.ids, &fate);
            }
            (Outcome::Kept(wait), Answer::Later { why, .. }) => {
                let ms = wait.as_millis();
                warn!("{name}: {place}: {why}; the message is kept and tried again in {ms} ms");
            }
            (Outcome::Kept(_), _) => {}
        }
        true
    }

    fn settle(&self, ids: &[Option<u64>], fate: &Fate) {
        settle(&self.inbox, ids, fate, &self.settled);
    }

    /// Until then, whatever comes; false when told to stop meanwhile.
    fn rest(&self, until: Moment) -> bool {
        self.stop.recv_timeout(until.since(clock::now())) == Err(RecvTimeoutError::Timeout)
    }

    /// Until something comes or this time has passed; false when told to stop.
    fn listen(&self, limit: Duration) -> bool {
        select! {
            recv(self.stop) -> _ => false,
            recv(self.bell) -> _ => true,
            default(limit) => true,
        }
    }
}

#[cfg(test)]
mod tests;
