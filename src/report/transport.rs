//! The last step to a receiver, whatever it is: an HTTP server, a program, an API.

use std::time::Duration;

use super::record::Record;

/// Brings records to one receiver. Owned by the thread of that receiver.
pub trait Transport: Send {
    /// Sends one record, or a digest of several, and waits for the answer; a bound on that is the
    /// transport's own duty.
    fn send(&mut self, records: &[Record]) -> Answer;

    /// Where it goes, for logs: never a secret.
    fn place(&self) -> String;
}

/// What a receiver made of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It acknowledged it.
    Taken,
    /// It may take it later.
    Later {
        /// What happened.
        why: String,
        /// How long it asked to be left alone.
        wait: Option<Duration>,
    },
    /// It will never take it.
    Never {
        /// What it said.
        why: String,
        /// It said so of an earlier message too, and people need not hear of it a second time.
        again: bool,
    },
}
