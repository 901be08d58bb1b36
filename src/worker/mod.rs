//! The hands of the control loop. `[E]`
//!
//! [`Pool`] holds the threads. [`Floor`] is what they share: the queue, what the folder asks, what
//! the cluster shows, and the state of every service behind a mutex of its own. [`look`] is one
//! pass over one service: lock, view, plan, at most one step, let go. [`StepRunner`] performs a
//! step, `execute` with the real API, [`WithRegistry`] with ECR as well, [`Rehearsing`] without
//! changing anything; [`Journal`] keeps states and tells people.

mod crew;
mod execute;
mod floor;
mod journal;
mod look;
mod pool;
mod registry;
mod rehearsal;
mod services;

pub use execute::setback;
pub use floor::{Floor, StepRunner};
pub use journal::{Entry, Journal, Kept};
pub use look::look;
pub use pool::Pool;
pub use registry::WithRegistry;
pub use rehearsal::{Rehearsing, Tried, TriedPatch};
pub use services::Services;

#[cfg(test)]
pub(crate) mod tests;
