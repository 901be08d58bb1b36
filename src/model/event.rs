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
    /// When it was last seen, where that is readable: by the wall clock as it is read, and by depd's own
    /// clock where a verdict is made from it.
    #[serde(default)]
    pub seen: Option<Moment>,
}
