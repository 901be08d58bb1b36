//! What a component of the cluster noted about an object: an Event of `core/v1`, reduced.

use serde::{Deserialize, Serialize};

use super::Moment;

/// An Event of type `Warning`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `reason`, for example `Unhealthy` or `FailedCreate`.
    pub reason: Box<str>,
    /// `message`, in the component's words.
    pub message: Box<str>,
    /// When it was last seen, where that is readable.
    #[serde(default)]
    pub seen: Option<Moment>,
}
