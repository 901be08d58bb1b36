//! What the watch streams last told about the cluster. `[C]` pure core: no I/O, no clock, no locks.
//!
//! Two caches, each fed by list+watch events and asked by the planner: [`Workloads`] always,
//! [`Pods`] only for the namespaces where a rollout is in flight. [`Interest`] knows which rollouts
//! a pod may concern. Both caches answer with which keys somebody should look at again.

mod interest;
mod pods;
mod shown;
mod workloads;

pub use interest::Interest;
pub use pods::Pods;
pub use workloads::{Sight, Unopened, Workloads};
