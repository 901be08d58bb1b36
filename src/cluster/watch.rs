//! A live view of the cluster: the thread that lists and watches. `[E]`
//!
//! It does what [`ListWatch`] says, on a connection of its own, and tells the sink what it sees. The
//! sink runs on this thread: while it is busy, the server is not read, so it must be quick.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::de::{DeserializeOwned, IgnoredAny};

use super::client::{Client, Listed, list};
use super::connector::bare;
use super::error::{ApiError, Class};
use super::lines::{LineError, Lines};
use super::reflector::{End, ListWatch, Outcome, Step};
use super::request::{Call, Request, Resource, Scope};
use super::response::{Event, List, Object, PodObject, WorkloadObject};
use super::session::{Answer, Session};
use super::text::plain;
use crate::model::{Kind, Pod, Workload};

/// The shortest time limit of one watch request, in seconds, as in client-go; the longest is twice
/// as much.
const WATCH_SECONDS: u64 = 300;

/// A list of one object, of which only the version is of interest.
const ONE_OBJECT_BYTES: u64 = 4 << 20;

/// What can be watched.
pub trait Watched: Sized + Send + 'static {
    /// As the server sends it.
    #[doc(hidden)]
    type Wire: Object<Item = Self, Of = Self::Of> + DeserializeOwned;

    /// Which of them, where there are several kinds.
    type Of: Copy + Send + 'static;

    /// As the server names it.
    fn resource(of: Self::Of) -> Resource;
}

impl Watched for Workload {
    type Wire = WorkloadObject;
    type Of = Kind;

    fn resource(kind: Kind) -> Resource {
        kind.into()
    }
}

impl Watched for Pod {
    type Wire = PodObject;
    type Of = ();

    fn resource((): ()) -> Resource {
        Resource::Pods
    }
}

/// What a reflector tells, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent<T> {
    /// Everything there is. What was known before and is not among it is gone, except objects that
    /// are known from elsewhere in a newer version than this one.
    Restarted {
        /// All objects of the scope.
        items: Vec<T>,
        /// The moment of the list; 0 when the server's versions are not numbers.
        resource_version: u64,
    },
    /// The stream is open: from here on changes are told as they happen.
    Synced,
    /// An object is new or changed. May repeat a version that is known already.
    Applied(T),
    /// An object is gone; this is how it last was.
    Deleted(T),
    /// The view is getting old. What was told stays, and what is missed will be made up for.
    Disconnected {
        /// For people: what happened.
        why: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// As [`WatchEvent::Disconnected`], until somebody grants the permission.
    Forbidden {
        /// Names the permission.
        error: ApiError,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// A running list-watch loop. Dropping it stops it.
#[derive(Debug)]
pub struct Reflector {
    session: Arc<Session>,
    thread: Option<JoinHandle<()>>,
}

impl Reflector {
    /// Stops the loop without waiting for it. A read that blocks is woken; the sink hears at most
    /// the event that is being told right now.
    pub fn stop(&self) {
        self.session.shutdown();
    }

    /// Stops the loop and waits until the sink is no longer in use. A connection being made at that
    /// moment can hold this up for as long as its time limit.
    pub fn join(mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Whether the loop still runs. It ends by itself only when the client is shut down or the sink
    /// panics.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|t| !t.is_finished())
    }
}

impl Drop for Reflector {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts to list and watch on a thread of its own.
///
/// `sink` is told [`WatchEvent::Restarted`] first, or why that is not possible yet.
///
/// # Errors
/// The thread cannot be started.
pub fn spawn_reflector<T: Watched>(
    client: &Client,
    of: T::Of,
    scope: Scope,
    sink: impl FnMut(WatchEvent<T>) + Send + 'static,
) -> io::Result<Reflector> {
    let session = client.watch_session();
    let mut work = Loop { session: session.clone(), scope, sink, state: ListWatch::new() };
    let name = format!("watch-{}", T::resource(of).plural());
    let thread = std::thread::Builder::new().name(name).spawn(move || work.run::<T>(of))?;
    Ok(Reflector { session, thread: Some(thread) })
}

/// Makes the event of an item.
type Telling<T> = fn(T) -> WatchEvent<T>;

struct Loop<F> {
    session: Arc<Session>,
    scope: Scope,
    sink: F,
    state: ListWatch,
}

impl<F> Loop<F> {
    fn run<T: Watched>(&mut self, of: T::Of)
    where
        F: FnMut(WatchEvent<T>),
    {
        while !self.session.is_ended() {
            let wait = match self.state.step() {
                Step::List => self.list(of),
                Step::Compare => self.compare::<T>(of),
                Step::Watch(version) => self.watch(of, &version),
            };
            self.session.pause(wait);
        }
    }

    /// Nothing is told once the loop was stopped.
    fn tell<T>(&mut self, event: WatchEvent<T>)
    where
        F: FnMut(WatchEvent<T>),
    {
        if !self.session.is_ended() {
            (self.sink)(event);
        }
    }

    fn tell_of<T>(&mut self, error: ApiError, wait: Duration)
    where
        F: FnMut(WatchEvent<T>),
    {
        if let Some(event) = trouble(error, wait) {
            self.tell(event);
        }
    }

    fn list<T: Watched>(&mut self, of: T::Of) -> Duration
    where
        F: FnMut(WatchEvent<T>),
    {
        match list::<T::Wire>(&self.session, T::resource(of), of, &self.scope) {
            Ok(Listed { items, resource_version }) => {
                let wait = self.state.on(Outcome::Listed(&resource_version), dice());
                let resource_version = resource_version.parse().unwrap_or(0);
                self.tell(WatchEvent::Restarted { items, resource_version });
                wait
            }
            Err(e) => {
                let wait = self.state.on(Outcome::ListFailed(&e), dice());
                self.tell_of(e, wait);
                wait
            }
        }
    }

    /// Whether the server is where it was, or behind.
    fn compare<T: Watched>(&mut self, of: T::Of) -> Duration
    where
        F: FnMut(WatchEvent<T>),
    {
        let request = Request::newest_version(T::resource(of), &self.scope);
        let page =
            self.session.send(&request).and_then(|a| a.json::<List<IgnoredAny>>(ONE_OBJECT_BYTES));
        match page {
            Ok(page) => {
                let version = &page.metadata.resource_version;
                let wait = self.state.on(Outcome::Compared(version), dice());
                if self.state.step() == Step::List
                    && let Some(event) = ending(&request.call, End::Rewound, wait)
                {
                    self.tell(event);
                }
                wait
            }
            Err(e) => {
                let wait = self.state.on(Outcome::CompareFailed(&e), dice());
                self.tell_of(e, wait);
                wait
            }
        }
    }

    fn watch<T: Watched>(&mut self, of: T::Of, version: &str) -> Duration
    where
        F: FnMut(WatchEvent<T>),
    {
        let seconds = WATCH_SECONDS + u64::from(dice()) % WATCH_SECONDS;
        let request = Request::watch(T::resource(of), &self.scope, version, seconds);
        let answer = match self.session.open(&request) {
            Ok(answer) => answer,
            Err(e) => {
                let wait = self.state.on(Outcome::OpenFailed(&e), dice());
                self.tell_of(e, wait);
                return wait;
            }
        };
        let opened = Instant::now();
        self.state.on(Outcome::Opened, 0);
        self.tell(WatchEvent::Synced);
        let (call, end) = self.read(of, answer);
        let wait = self.state.on(Outcome::Ended(&end, opened.elapsed()), dice());
        if let Some(event) = ending(&call, end, wait) {
            self.tell(event);
        }
        wait
    }

    /// Tells every event until the stream ends.
    fn read<T: Watched>(&mut self, of: T::Of, answer: Answer) -> (Call, End)
    where
        F: FnMut(WatchEvent<T>),
    {
        let (call, reader) = answer.reader();
        let mut lines = Lines::new(reader);
        let end = loop {
            let line = match lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => break End::Closed,
                Err(e) => break how(e),
            };
            let event: Event<T::Wire> = match serde_json::from_slice(line) {
                Ok(event) => event,
                Err(e) => break End::Unreadable(plain(&e.to_string())),
            };
            if let Some(end) = self.take(of, &call, event) {
                break end;
            }
        };
        (call, end)
    }

    fn take<T: Watched>(&mut self, of: T::Of, call: &Call, event: Event<T::Wire>) -> Option<End>
    where
        F: FnMut(WatchEvent<T>),
    {
        let (object, tell): (T::Wire, Telling<T>) = match event {
            Event::Added(object) | Event::Modified(object) => (object, WatchEvent::Applied),
            Event::Deleted(object) => (object, WatchEvent::Deleted),
            Event::Bookmark(marker) => {
                return self.state.seen(&marker.metadata.resource_version).err();
            }
            Event::Error(status) => {
                return Some(End::Refused(ApiError::from_status(call, &status)));
            }
        };
        if let Err(end) = self.state.seen(object.resource_version()) {
            return Some(end);
        }
        if let Some(item) = object.into_item(of) {
            self.tell(tell(item));
        }
        None
    }
}

/// How a stream ended that did not end well.
fn how(error: LineError) -> End {
    match error {
        LineError::TooLong => End::Unreadable("an event is longer than any object can be".into()),
        LineError::Cut => End::Broken("the connection ended inside an event".into()),
        LineError::Io(e) => match ureq::Error::from(e) {
            ureq::Error::Timeout(_) => End::Idle,
            e => End::Broken(plain(&bare(&e))),
        },
    }
}

/// What to tell about the end of a stream; its time limit is no news.
fn ending<T>(call: &Call, end: End, retry_in: Duration) -> Option<WatchEvent<T>> {
    let why = match end {
        End::Closed => return None,
        End::Refused(e) => return trouble(e, retry_in),
        End::Rewound => "the API server went back to an older state".to_owned(),
        End::Idle => "nothing came for too long, not even a bookmark".to_owned(),
        End::Broken(text) | End::Unreadable(text) => text,
    };
    Some(WatchEvent::Disconnected { why: format!("cannot {call}: {why}"), retry_in })
}

/// What to tell about an error. That history was compacted is no news: the list follows at once.
fn trouble<T>(error: ApiError, retry_in: Duration) -> Option<WatchEvent<T>> {
    match error.class {
        Class::Expired => None,
        Class::Forbidden(_) => Some(WatchEvent::Forbidden { error, retry_in }),
        _ => Some(WatchEvent::Disconnected { why: error.to_string(), retry_in }),
    }
}

/// A random number; the standard library seeds its hashers from the operating system.
fn dice() -> u32 {
    (RandomState::new().hash_one(0) >> 32) as u32
}

#[cfg(test)]
mod tests;
