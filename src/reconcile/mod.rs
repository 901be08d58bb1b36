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
//! | `gate.rs` | whether a rollout may start now |
//! | `resolve.rs` | which containers a dep file means |
//! | `view.rs` | what a decision is made from, and what it comes to |
//! | `plan.rs` | the decision |
//! | `patching.rs` | a change that is meant → the request that comes next |
//! | `ecr.rs` | what a PATCH with images of ECR needs first |
//! | `after.rs` | the reply to a step |
//! | `rollout.rs` | status → progress, completeness, deadline |
//! | `diagnose.rs` | pods → reason of failure |

mod after;
mod diagnose;
mod ecr;
mod gate;
mod identity;
mod patching;
mod plan;
mod resolve;
mod rollout;
mod service;
mod step;
mod view;

#[cfg(test)]
mod tests;

pub use after::after;
pub use gate::{FIRST_START_LIMIT, Gate};
pub use identity::Identity;
pub use plan::plan;
pub use resolve::differs;
pub use service::{Intent, Phase, Refusal, Service, Settled, Waiting};
pub use step::{Reply, Setback, Step};
pub use view::{Drift, EcrPolicy, Plan, Policy, View};
