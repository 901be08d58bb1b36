//! What to do next for one service. `[C]` pure core: no I/O, no clock, no threads, no locks.
//!
//! A worker that holds a service's lock builds a [`View`] (what the file asks, what the cluster
//! shows, what time it is) and calls [`plan`]. The [`Plan`] says the service's next state, what to
//! tell people, at most one [`Step`] to perform, and when to look again. After the step, [`after`]
//! takes the reply into the state. Nothing here waits: a rollout is a value, moved on by watch
//! events and timers.
//!
//! | file | concept |
//! |---|---|
//! | `service.rs` | the state of one service: a closed set of phases |
//! | `state.rs` | the same in a word, for whoever shows it |
//! | `gate.rs` | whether a rollout may start now |
//! | `given_up.rs` | a rollout that was given up without a verdict |
//! | `resolve.rs` | which containers a dep file means |
//! | `view.rs` | what a decision is made from, and what it comes to |
//! | `plan.rs` | the decision |
//! | `ecr.rs` | what a PATCH with images of ECR needs first |
//! | `follow.rs` | a rollout in flight → its verdict |
//! | `found.rs` | a rollout that was there before the first look |
//! | `drift.rs` | what somebody else changed |
//! | `rollback.rs` | the last good images, and putting them back |
//! | `after.rs` | the reply to a step |
//! | `rollout.rs` | status → progress, completeness, deadline |
//! | `signs.rs` | one pod → the sign of trouble it shows |
//! | `template.rs` | which pods are the new ones |
//! | `diagnose.rs` | pods and conditions → reason of failure |
//! | `patience.rs` | how long each sign may show |

mod after;
mod diagnose;
mod drift;
mod ecr;
mod follow;
mod found;
mod gate;
mod given_up;
mod identity;
mod patience;
mod plan;
mod resolve;
mod rollback;
mod rollout;
mod service;
mod signs;
mod state;
mod step;
mod template;
mod view;

#[cfg(test)]
mod tests;

pub use after::after;
pub use gate::{Ask, FIRST_START_LIMIT, Gate, Resumed};
pub use given_up::GivenUp;
pub use identity::Identity;
pub use patience::Patience;
pub use plan::plan;
pub use resolve::differs;
pub use rollback::retry;
pub use service::{Creation, Good, Intent, Phase, Refusal, Service, Settled, Waiting};
pub use state::ServiceState;
pub use step::{Reply, Setback, Step};
pub use view::{Drift, EcrPolicy, Plan, Policy, View};
