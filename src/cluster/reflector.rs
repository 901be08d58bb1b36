//! The list-watch loop as a state machine: what to do next, and how long to wait before. `[C]`
//!
//! The promise is that of client-go's reflector: nothing missed, nothing invented. A watch goes on
//! from the last resource version that was seen, across closed and broken streams. When the server
//! no longer has the history from there on, or there is reason to doubt the stream, everything is
//! listed again, and what is not in the list is gone.
//!
//! After trouble the server may be another one than before: restored from a backup, it is behind
//! what we know. kube-apiserver (seen on 1.37) accepts a watch from a version in its future, and
//! then sends neither events nor bookmarks until it has passed that version; what happened up to
//! there would be missed. So after trouble its version is asked for before the watch is opened.
//!
//! The list comes as the first part of a watch where the server can do that ([`Step::Stream`]): one
//! request instead of one for each page and one for the watch. Whatever else happens than passing
//! trouble, pages are asked for instead from then on: to get on is worth more than a request saved.
//! So a refusal for want of a permission is always that of the list, too.
//!
//! kube-apiserver that has just started refuses everybody until it has read its roles, for a second or
//! some (seen on 1.37). So nobody believes the first refusal who does not know better
//! ([`ListWatch::believing`]), and who was let in before asks a few times
//! more.
//!
//! No clock and no dice here: how long a stream lived and what was rolled come in with the call.

use std::time::Duration;

use super::error::{ApiError, Class};

/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// The longest wait between attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The longest wait for somebody to grant a permission, and the first one; it doubles.
const PERMISSION_WAIT: Duration = Duration::from_secs(60);
/// The first is never cut short, so that a server which has just started is asked again when it knows.
const FIRST_PERMISSION_WAIT: Duration = Duration::from_secs(1);

/// Refusals in a row that are not believed: where a watch was open before, and where none was.
const DOUBTED_REFUSALS: u32 = 3;
const DOUBTED_FIRST_REFUSALS: u32 = 1;

/// A stream that lived this long was a good one, even if nothing happened on it.
const STEADY: Duration = Duration::from_secs(5);

/// Unreadable or refused streams in a row after which the resource version itself is in doubt.
const DOUBTS: u32 = 2;

/// Where the loop stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is known, or what is known cannot be continued.
    Unlisted,
    /// Everything up to this resource version is known, and no stream is open.
    Listed(Box<str>),
    /// A stream is open, and was read up to this resource version.
    Watching(Box<str>),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Open a watch that begins with everything.
    Stream,
    /// List everything, page by page.
    List,
    /// Ask for the server's newest version, which must not be lower than what is known.
    Compare,
    /// Watch from this resource version on.
    Watch(Box<str>),
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// The first part of the stream is complete, as of this resource version; it stays open.
    Streamed(&'a str),
    /// A stream that begins with everything was refused.
    StreamFailed(&'a ApiError),
    /// The list is complete, as of this resource version.
    Listed(&'a str),
    /// The list failed.
    ListFailed(&'a ApiError),
    /// This is the server's newest version.
    Compared(&'a str),
    /// The server's version could not be had.
    CompareFailed(&'a ApiError),
    /// The stream is open.
    Opened,
    /// The stream was refused.
    OpenFailed(&'a ApiError),
    /// The stream is over after this long.
    Ended(&'a End, Duration),
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As announced, by its time limit.
    Closed,
    /// Silent beyond the limit, although bookmarks were due.
    Idle,
    /// The connection failed.
    Broken(String),
    /// Something that is not an event, or too long for one.
    Unreadable(String),
    /// The server ended it with an error event.
    Refused(ApiError),
    /// The server is further back than we are.
    Rewound,
    /// The server does not know how to begin with everything.
    Ignored,
}

/// The state with its memory of failures.
#[derive(Debug)]
pub struct ListWatch {
    state: State,
    failures: u32,
    doubts: u32,
    /// There was trouble since the server's version was last known to be as high as ours.
    troubled: bool,
    /// The server cannot begin a stream with everything, or something on the way there cannot.
    pages: bool,
    /// A watch was open once: a list alone may be all that is allowed.
    granted: bool,
    /// Refusals in a row for want of a permission.
    refusals: u32,
}

impl Default for ListWatch {
    fn default() -> ListWatch {
        ListWatch::new()
    }
}

impl ListWatch {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> ListWatch {
        ListWatch {
            state: State::Unlisted,
            failures: 0,
            doubts: 0,
            troubled: false,
            pages: false,
            granted: false,
            refusals: 0,
        }
    }

    /// Nothing is known yet, but that the server has read its roles: already the first refusal of a list
    /// is believed.
    #[must_use]
    pub fn believing() -> ListWatch {
        ListWatch { refusals: DOUBTED_FIRST_REFUSALS, ..ListWatch::new() }
    }

    /// What to do now.
    #[must_use]
    pub fn step(&self) -> Step {
        match &self.state {
            State::Unlisted if self.pages => Step::List,
            State::Unlisted => Step::Stream,
            State::Listed(_) if self.troubled => Step::Compare,
            State::Listed(version) | State::Watching(version) => Step::Watch(version.clone()),
        }
    }

    /// The last refusal for want of a permission is to be believed.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refusals > if self.granted { DOUBTED_REFUSALS } else { DOUBTED_FIRST_REFUSALS }
    }

    /// Takes in what happened and returns how long to wait before [`ListWatch::step`]. `dice` is any
    /// random number: many daemons must not come back at the same moment.
    pub fn on(&mut self, outcome: Outcome<'_>, dice: u32) -> Duration {
        match outcome {
            Outcome::Streamed(version) => {
                self.fresh();
                self.granted = true;
                self.state = State::Watching(version.into());
                Duration::ZERO
            }
            Outcome::StreamFailed(e) => self.not_streamed(e, dice),
            Outcome::Listed(version) => {
                self.fresh();
                self.state = State::Listed(version.into());
                Duration::ZERO
            }
            Outcome::Opened => {
                self.granted = true;
                self.state = State::Watching(self.version());
                Duration::ZERO
            }
            Outcome::ListFailed(e) => {
                self.state = State::Unlisted;
                self.wait_for(e, dice)
            }
            Outcome::Compared(version) => {
                self.troubled = false;
                match is_lower(version, &self.version()) {
                    true => self.ended(&End::Rewound, Duration::ZERO, dice),
                    false => Duration::ZERO,
                }
            }
            Outcome::CompareFailed(e) | Outcome::OpenFailed(e) => self.refused(e, dice),
            Outcome::Ended(end, lived) => self.ended(end, lived, dice),
        }
    }

    /// Takes in an event or a bookmark with this resource version.
    ///
    /// Versions only rise along a stream. A lower one means that the server's data is older than
    /// what we know.
    ///
    /// # Errors
    /// The stream is of no use: [`End::Rewound`], or [`End::Unreadable`] without a version, because
    /// a watch from an empty one would pass over what was deleted in between.
    pub fn seen(&mut self, version: &str) -> Result<(), End> {
        if version.is_empty() {
            return Err(End::Unreadable("an event has no resource version".into()));
        }
        if is_lower(version, &self.version()) {
            return Err(End::Rewound);
        }
        self.progress();
        self.state = State::Watching(version.into());
        Ok(())
    }

    /// A stream that should have begun with everything did not open, or was ended by the server.
    fn not_streamed(&mut self, e: &ApiError, dice: u32) -> Duration {
        match e.class {
            Class::Network { .. }
            | Class::Credentials { .. }
            | Class::TooManyRequests { .. }
            | Class::Unavailable { .. }
            | Class::Unauthorized => self.wait_for(e, dice),
            _ => {
                self.pages = true;
                Duration::ZERO
            }
        }
    }

    fn ended(&mut self, end: &End, lived: Duration, dice: u32) -> Duration {
        if self.state == State::Unlisted {
            // A proxy that cuts long answers would cut the next one as well.
            return match end {
                End::Refused(e) => self.not_streamed(e, dice),
                _ => {
                    self.pages = true;
                    Duration::ZERO
                }
            };
        }
        if lived >= STEADY && !matches!(end, End::Unreadable(_)) {
            self.progress();
        }
        self.state = State::Listed(self.version());
        self.troubled |= !matches!(end, End::Closed);
        match end {
            End::Closed if self.failures == 0 => {
                // Counts as a failure until the next stream shows something.
                self.failures = 1;
                Duration::ZERO
            }
            End::Closed | End::Broken(_) | End::Ignored => self.back_off(dice),
            End::Idle => {
                self.state = State::Unlisted;
                Duration::ZERO
            }
            End::Rewound => {
                self.state = State::Unlisted;
                self.back_off(dice)
            }
            End::Unreadable(_) => {
                self.doubt();
                self.back_off(dice)
            }
            End::Refused(e) => self.refused(e, dice),
        }
    }

    fn refused(&mut self, e: &ApiError, dice: u32) -> Duration {
        self.state = State::Listed(self.version());
        self.troubled = true;
        match e.class {
            Class::Expired | Class::ResourceVersionTooLarge => self.state = State::Unlisted,
            Class::Network { .. }
            | Class::Credentials { .. }
            | Class::TooManyRequests { .. }
            | Class::Unavailable { .. }
            | Class::Unauthorized
            | Class::Forbidden(_) => {}
            _ => self.doubt(),
        }
        self.wait_for(e, dice)
    }

    /// The same stream may be unreadable for a passing reason; twice in a row it is not.
    fn doubt(&mut self) {
        self.doubts += 1;
        if self.doubts >= DOUBTS {
            self.doubts = 0;
            self.state = State::Unlisted;
        }
    }

    /// Everything is known as it is now. No reason to forget the failures: where a list works and a
    /// watch never does, the list must not be repeated at full speed.
    fn fresh(&mut self) {
        self.doubts = 0;
        self.troubled = false;
        self.refusals = 0;
    }

    fn progress(&mut self) {
        self.failures = 0;
        self.doubts = 0;
        self.refusals = 0;
    }

    fn version(&self) -> Box<str> {
        match &self.state {
            State::Unlisted => "".into(),
            State::Listed(version) | State::Watching(version) => version.clone(),
        }
    }

    fn wait_for(&mut self, e: &ApiError, dice: u32) -> Duration {
        if let Class::Forbidden(_) = e.class {
            // Whatever failed before: the server answers.
            let doubled = FIRST_PERMISSION_WAIT.saturating_mul(1 << self.refusals.min(16));
            self.refusals = self.refusals.saturating_add(1);
            self.failures = 0;
            let wait = spread(doubled.min(PERMISSION_WAIT), dice);
            return wait.max(FIRST_PERMISSION_WAIT);
        }
        self.back_off(dice).max(e.retry_after().unwrap_or_default())
    }

    fn back_off(&mut self, dice: u32) -> Duration {
        let doubled = FIRST_WAIT.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        spread(doubled.min(LONGEST_WAIT), dice)
    }
}

/// Whether one version is lower than another; those that are no numbers cannot be compared.
fn is_lower(version: &str, than: &str) -> bool {
    matches!((version.parse::<u64>(), than.parse::<u64>()), (Ok(a), Ok(b)) if a < b)
}

/// Somewhere between half the wait and all of it.
fn spread(wait: Duration, dice: u32) -> Duration {
    wait / 2 + (wait / 2).mul_f64(f64::from(dice) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
