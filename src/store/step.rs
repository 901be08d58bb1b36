//! What goes into the store and what comes out of it at the next start, as plain values. `[C]`
//!
//! The state of a service and the changes of a rollout are opaque texts here (JSON by convention):
//! the store keeps them and gives them back, and only their owner knows what they mean.

use std::collections::BTreeMap;

use crate::model::{ServiceKey, Standing};

/// Set where states of services were lost: what is not remembered may have been decided before, so
/// that the next start is like a first one. Empty once that was judged.
pub const STATES_LOST: &str = "states_lost";

/// All that one step of one service changes; it is saved as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Whose step it is.
    pub key: ServiceKey,
    /// The new state of the service; `None` when it is as before.
    pub service: Option<ServiceChange>,
    /// What the step adds to the history, in this order.
    pub history: Vec<HistoryChange>,
    /// What people are to be told, in this order.
    pub messages: Vec<Message>,
    /// What its verdict made of the failures in a row, where that is news.
    pub standing: Option<Standing>,
}

/// What becomes of the remembered state of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceChange {
    /// This is its state from now on.
    Put(String),
    /// It is not managed any more; its history stays.
    Remove,
}

/// What a step adds to the history of rollouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryChange {
    /// A rollout begins. One of the same service that is still open becomes `superseded`; one that
    /// is open with the same attempt number is this very rollout, and only its changes are renewed.
    Started {
        /// What it changes.
        changes: String,
        /// The content of the dep file that asked for it; writing it again asks for it again.
        wanted: Option<String>,
        /// The number of the attempt.
        attempt: u32,
        /// Who asked for it, where that is known.
        by: Option<String>,
    },
    /// The newest rollout of the service is not followed any more. One that has a verdict keeps it.
    LetGo {
        /// Why, in a few words.
        verdict: &'static str,
        /// More about it; may be empty.
        detail: String,
    },
    /// The newest rollout of the service has this verdict. A later verdict (recovered after failed)
    /// replaces an earlier one.
    Ended {
        /// The verdict in one word.
        verdict: &'static str,
        /// Its reason; may be empty.
        detail: String,
    },
}

/// A message that is due to one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which receiver, by the name that the delivery knows it under; never an address or a token.
    pub receiver: String,
    /// The body to send.
    pub payload: String,
}

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Unique in this store and never used again; a later message has a greater one.
    pub id: u64,
    /// The service that it is about; `None` where it is about depd itself.
    pub key: Option<ServiceKey>,
    /// Which receiver; see [`Message::receiver`].
    pub receiver: String,
    /// The body to send.
    pub payload: String,
}

/// What the store knew when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The state of every service, sorted by namespace and name.
    pub services: Vec<(ServiceKey, String)>,
    /// The greatest id that a message was ever given: those that wait have this one at most, and are
    /// read in pages with [`Store::waiting`](super::Store::waiting).
    pub last_message: u64,
    /// Everything that was set with `set_meta`.
    pub meta: BTreeMap<String, String>,
    /// What people must know about the store itself, one sentence each, for the log.
    pub notes: Vec<String>,
}

impl Saved {
    /// A step of `key` that changes nothing yet.
    #[must_use]
    pub fn of(key: ServiceKey) -> Saved {
        Saved { key, service: None, history: Vec::new(), messages: Vec::new(), standing: None }
    }
}
