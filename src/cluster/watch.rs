//! A live view of the cluster: the thread that lists and watches. `[E]`
//!
//! It does what [`ListWatch`] says, on a connection of its own, and tells the sink what it sees. The
//! sink runs on this thread: while it is busy, the server is not read, so it must be quick. Objects
//! are parsed and reduced one by one as they come; only a page of a list is held as it was sent.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::de::{DeserializeOwned, IgnoredAny};

use super::call::{Call, Scope, Verb};
use super::client::{Client, Listed, list};
use super::connector::bare;
use super::error::{ApiError, Class};
use super::initial::{Initial, Progress};
use super::lines::{LineError, Lines};
use super::redact::unreadable;
use super::reflector::{End, ListWatch, Outcome, Step};
use super::request::Request;
use super::response::{Event, List, Object};
use super::session::Session;
use super::text::plain;
use super::watched::{WatchEvent, Watched};

/// The shortest time limit of one watch request, in seconds, as in client-go; the longest is twice
/// as much.
const WATCH_SECONDS: u64 = 300;

/// A list that is streamed must be complete within this time; a server that passes over the wish and
/// sends no bookmarks either would never come to an end of it.
const STREAMED_LIST_LIMIT: Duration = Duration::from_secs(300);

/// A list of one object, of which only the version is of interest.
const ONE_OBJECT_BYTES: u64 = 4 << 20;

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

/// Starts to list and watch on a thread of its own, from `state` on.
///
/// `sink` is told [`WatchEvent::Restarted`] first, or why that is not possible yet.
///
/// # Errors
/// The thread cannot be started.
pub fn spawn_reflector<T: Watched>(
    client: &Client,
    of: T::Of,
    scope: Scope,
    state: ListWatch,
    sink: impl FnMut(WatchEvent<T>) + Send + 'static,
) -> io::Result<Reflector> {
    let session = client.watch_session();
    let mut work = Loop { session: session.clone(), scope, sink, state };
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
                Step::Stream => self.stream(of),
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
        if let Some(event) = trouble(error, wait, self.state.is_refused()) {
            self.tell(event);
        }
    }

    /// Lists and watches in one request. That the server cannot do it is no news: the pages follow.
    fn stream<T: Watched>(&mut self, of: T::Of) -> Duration
    where
        F: FnMut(WatchEvent<T>),
    {
        let request = Request::list_and_watch(T::resource(of), &self.scope, watch_seconds());
        let answer = match self.session.open(&request) {
            Ok(answer) => answer,
            Err(e) => {
                let wait = self.state.on(Outcome::StreamFailed(&e), dice());
                if self.state.step() == Step::Stream {
                    self.tell_of(e, wait);
                }
                return wait;
            }
        };
        let opened = Instant::now();
        let redaction = answer.redaction();
        let (mut call, reader) = answer.reader();
        let mut lines = Lines::new(reader, redaction);
        let end = match initial::<T>(of, &call, &mut lines, opened) {
            Ok((items, version)) => {
                self.state.on(Outcome::Streamed(&version), 0);
                let resource_version = version.parse().unwrap_or(0);
                self.tell(WatchEvent::Restarted { items, resource_version });
                self.tell(WatchEvent::Synced);
                call.verb = Verb::Watch;
                self.read(of, &call, &mut lines)
            }
            Err(end) => end,
        };
        let wait = self.state.on(Outcome::Ended(&end, opened.elapsed()), dice());
        if self.state.step() != Step::List
            && let Some(event) = ending(&call, end, wait, self.state.is_refused())
        {
            self.tell(event);
        }
        wait
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
                if matches!(self.state.step(), Step::Stream | Step::List)
                    && let Some(event) = ending(&request.call, End::Rewound, wait, false)
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
        let request = Request::watch(T::resource(of), &self.scope, version, watch_seconds());
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
        let redaction = answer.redaction();
        let (call, reader) = answer.reader();
        let end = self.read(of, &call, &mut Lines::new(reader, redaction));
        let wait = self.state.on(Outcome::Ended(&end, opened.elapsed()), dice());
        if let Some(event) = ending(&call, end, wait, self.state.is_refused()) {
            self.tell(event);
        }
        wait
    }

    /// Tells every event until the stream ends.
    fn read<T: Watched>(&mut self, of: T::Of, call: &Call, lines: &mut Lines<impl Read>) -> End
    where
        F: FnMut(WatchEvent<T>),
    {
        loop {
            match next(lines).and_then(|event| self.take(of, call, event)) {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    fn take<T: Watched>(&mut self, of: T::Of, call: &Call, event: Event<T::Wire>) -> Result<(), End>
    where
        F: FnMut(WatchEvent<T>),
    {
        let (object, tell): (T::Wire, Telling<T>) = match event {
            Event::Added(object) | Event::Modified(object) => (object, WatchEvent::Applied),
            Event::Deleted(object) => (object, WatchEvent::Deleted),
            Event::Bookmark(marker) => {
                return self.state.seen(&marker.metadata.resource_version);
            }
            Event::Error(status) => {
                return Err(End::Refused(ApiError::from_status(call, &status)));
            }
        };
        self.state.seen(object.resource_version())?;
        if let Some(item) = object.into_item(of) {
            self.tell(tell(item));
        }
        Ok(())
    }
}

/// Everything that a stream begins with, and the version that it is of.
fn initial<T: Watched>(
    of: T::Of,
    call: &Call,
    lines: &mut Lines<impl Read>,
    opened: Instant,
) -> Result<(Vec<T>, Box<str>), End> {
    let mut initial = Initial::new(T::is_same);
    loop {
        let event: Event<T::Wire> = next(lines)?;
        if let Progress::Complete(version) = initial.take(of, call, event)? {
            return Ok((initial.into_items(), version));
        }
        if opened.elapsed() > STREAMED_LIST_LIMIT {
            return Err(End::Ignored);
        }
    }
}

/// The next event of a stream, or how it ended.
fn next<O: DeserializeOwned>(lines: &mut Lines<impl Read>) -> Result<Event<O>, End> {
    let line = lines.next().map_err(how)?.ok_or(End::Closed)?;
    let event = serde_json::from_slice(line).map_err(|e| End::Unreadable(unreadable(&e)))?;
    Ok(match event {
        Event::Error(mut status) => {
            status.message = lines.redaction.apply(&status.message);
            Event::Error(status)
        }
        event => event,
    })
}

/// A time limit for the server, another one for each watch.
fn watch_seconds() -> u64 {
    WATCH_SECONDS + u64::from(dice()) % WATCH_SECONDS
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
fn ending<T>(call: &Call, end: End, retry_in: Duration, refused: bool) -> Option<WatchEvent<T>> {
    let why = match end {
        End::Closed | End::Ignored => return None,
        End::Refused(e) => return trouble(e, retry_in, refused),
        End::Rewound => "the API server went back to an older state".to_owned(),
        End::Idle => "nothing came for too long, not even a bookmark".to_owned(),
        End::Broken(text) | End::Unreadable(text) => text,
    };
    Some(WatchEvent::Disconnected { why: format!("cannot {call}: {why}"), retry_in })
}

/// What to tell about an error. That history was compacted is no news: the list follows at once. A
/// missing permission that is not believed yet is trouble like any other.
fn trouble<T>(error: ApiError, retry_in: Duration, refused: bool) -> Option<WatchEvent<T>> {
    match error.class {
        Class::Expired => None,
        Class::Forbidden(_) if refused => Some(WatchEvent::Forbidden { error, retry_in }),
        _ => Some(WatchEvent::Disconnected { why: error.to_string(), retry_in }),
    }
}

/// A random number; the standard library seeds its hashers from the operating system.
fn dice() -> u32 {
    (RandomState::new().hash_one(0) >> 32) as u32
}

#[cfg(test)]
mod tests;
