//! One pass over one service.

use std::sync::Arc;

use log::error;

use super::Floor;
use crate::clock;
use crate::model::{Pod, ServiceKey, Workload};
use crate::reconcile::{Plan, Reply, Service, Setback, Step, View, after, plan};

/// Locks the service, plans, tells, performs at most one step, and lets go.
///
/// Whoever calls must have taken `key` from the queue, which makes it the only one.
pub fn look(floor: &Floor, key: &ServiceKey) {
    let cell = floor.services.of(key);
    let Some(mut service) = cell.try_lock() else {
        debug_assert!(false, "{key} is in two hands");
        error!("{key}: looked at by two workers at once; this is a defect in depd");
        floor.queue.add(key);
        return;
    };
    let workload = floor.workloads.read().get(key);
    let step = decide(floor, key, &mut service, workload.as_deref());
    if let Some(step) = step {
        let outcome = floor.cluster.run(key, &step, workload.as_deref());
        take_into_cache(floor, key, &outcome);
        let plan = after(&service, key, outcome, clock::now(), jitter());
        adopt(floor, key, &mut service, plan);
        floor.queue.add(key);
    }
    note_interest(floor, key, &service, workload.as_deref());
    if *service == Service::default() && floor.desired.read().get(key).is_none() {
        floor.services.forget(key);
    }
}

fn decide(
    floor: &Floor,
    key: &ServiceKey,
    service: &mut Service,
    workload: Option<&Workload>,
) -> Option<Step> {
    let desired = floor.desired.read().get(key).cloned();
    let pods = workload.filter(|_| service.in_flight()).map_or(Vec::new(), |w| pods_of(floor, w));
    let view = View {
        key,
        desired: desired.as_ref(),
        synced: floor.workloads.read().is_synced(),
        workload,
        pods: &pods,
        timeout: floor.timeout,
        now: clock::now(),
    };
    let plan = plan(service, &view);
    adopt(floor, key, service, plan)
}

fn pods_of(floor: &Floor, workload: &Workload) -> Vec<Arc<Pod>> {
    floor.pods.read().select(workload.key.namespace(), &workload.selector)
}

/// Keeps the plan's state, tells what it says, sets its alarm; returns its step.
fn adopt(floor: &Floor, key: &ServiceKey, service: &mut Service, plan: Plan) -> Option<Step> {
    *service = plan.service;
    for notice in plan.notices {
        (floor.tell)(notice);
    }
    if let Some(wake) = plan.wake {
        floor.queue.add_at(key, wake);
    }
    plan.step
}

/// The reply to a PATCH is ahead of the watch stream; planning on the older version would send the
/// same PATCH again.
fn take_into_cache(floor: &Floor, key: &ServiceKey, outcome: &Result<Reply, Setback>) {
    let workload = match outcome {
        Ok(Reply::Patched(workload) | Reply::Looked(Some(workload))) => workload,
        Ok(Reply::Looked(None)) => return floor.workloads.write().forget(key),
        _ => return,
    };
    floor.workloads.write().apply((**workload).clone());
}

/// Pods are watched only where a rollout is in flight.
fn note_interest(floor: &Floor, key: &ServiceKey, service: &Service, workload: Option<&Workload>) {
    let changed = match workload {
        Some(workload) if service.in_flight() => floor.interest.lock().add(key, &workload.selector),
        _ => floor.interest.lock().remove(key),
    };
    if changed {
        (floor.interest_changed)();
    }
}

/// Spread for back-off delays; need not be good randomness.
fn jitter() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(clock::now())
}
