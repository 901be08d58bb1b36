//! What all workers share.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{Journal, Services};
use crate::desired::Register;
use crate::model::{Moment, ServiceKey, Workload};
use crate::observed::{Interest, Pods, Workloads};
use crate::queue::WorkQueue;
use crate::reconcile::{Gate, Policy, Reply, Setback, Step};

/// Performs one step against the cluster. May block for as long as a request may take.
pub trait StepRunner: Send + Sync {
    /// Performs `step` for `key`. `workload` is what the step was planned for, where there is one.
    ///
    /// # Errors
    /// A [`Setback`] says what to do about it.
    fn run(
        &self,
        key: &ServiceKey,
        step: &Step,
        workload: Option<&Workload>,
    ) -> Result<Reply, Setback>;
}

/// Somebody else asks it, too: for example what came of the steps.
impl<R: StepRunner> StepRunner for Arc<R> {
    fn run(
        &self,
        key: &ServiceKey,
        step: &Step,
        workload: Option<&Workload>,
    ) -> Result<Reply, Setback> {
        (**self).run(key, step, workload)
    }
}

/// The shared state of the control loop. Locks are held for bookkeeping only, never across a
/// request, and never two at a time; only a service's own mutex is held during its step.
pub struct Floor {
    /// Keys to look at.
    pub queue: WorkQueue<ServiceKey>,
    /// What the folder asks.
    pub desired: RwLock<Register>,
    /// What the cluster shows.
    pub workloads: RwLock<Workloads>,
    /// The pods of the namespaces where a rollout is in flight.
    pub pods: RwLock<Pods>,
    /// Which rollouts those are.
    pub interest: Mutex<Interest>,
    /// What depd did and said about each service.
    pub services: Services,
    /// Speaks to the cluster.
    pub cluster: Box<dyn StepRunner>,
    /// Services that a person asked to try once more; see [`crate::reconcile::retry`].
    pub retries: Mutex<HashSet<ServiceKey>>,
    /// Whether a rollout may start.
    pub gate: Mutex<Gate>,
    /// Keeps states and tells people.
    pub journal: Box<dyn Journal>,
    /// Called when the set of namespaces with rollouts in flight changes; must not block.
    pub interest_changed: Box<dyn Fn() + Send + Sync>,
    /// What the settings say about decisions.
    pub policy: Policy,
    /// What time it is: [`crate::clock::now`], or the clock of a simulated world.
    pub clock: Box<dyn Fn() -> Moment + Send + Sync>,
    /// A random number, to spread back-off delays; need not be a good one.
    pub dice: Box<dyn Fn() -> u64 + Send + Sync>,
}
