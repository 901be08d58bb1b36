//! One pass over one service.

use std::sync::Arc;

use log::error;

use super::{Entry, Floor, Kept};
use crate::model::{Gap, Kind, Pod, ServiceKey, Standing, What, Workload};
use crate::observed::Sight;
use crate::reconcile::{Ask, Phase, Plan, Reply, Service, Setback, Step, View, after, plan, retry};

/// Locks the service, plans, keeps and tells, performs at most one step, and lets go.
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
    let seen = Seen::of(floor, key);
    let workload = seen.workload.as_deref();
    let was_in_flight = service.in_flight();
    let step = decide(floor, key, &mut service, &seen);
    if let Some(why) = seen.refused.as_ref().filter(|_| seen.started && is_wanted(floor, key)) {
        let outcome = Err(Setback::NotPermitted(why.clone()));
        let plan = after(&service, key, outcome, (floor.clock)(), (floor.dice)());
        adopt(floor, key, workload, &mut service, plan);
    }
    if let Some(step) = &step {
        let outcome = floor.cluster.run(key, step, workload);
        take_into_cache(floor, workload, &outcome);
        let plan = after(&service, key, outcome, (floor.clock)(), (floor.dice)());
        adopt(floor, key, workload, &mut service, plan);
    }
    // What cannot be followed, because two kinds have its name or the right to see it is gone, keeps no
    // room from others.
    let is_followed = seen.namesakes.is_empty() && seen.refused.is_none();
    let has_place = service.has_place() && is_followed;
    let admitted = floor.gate.lock().note(key, has_place);
    admitted.iter().for_each(|key| floor.queue.add(key));
    note_interest(floor, key, &service, workload);
    // A rollout that begins must be held against the pods that are known already.
    if step.is_some() || service.in_flight() && !was_in_flight {
        floor.queue.add_express(key);
    }
    if *service == Service::default() && floor.desired.read().get(key).is_none() {
        floor.services.forget(key);
    }
}

/// What the cache shows, all from one moment: an absent workload is only absent once a list came.
struct Seen {
    /// Start-up lets what is seen count.
    started: bool,
    workload: Option<Arc<Workload>>,
    namesakes: Vec<Kind>,
    gap: Option<Gap>,
    synced: bool,
    /// Why no list can come.
    refused: Option<String>,
}

impl Seen {
    fn of(floor: &Floor, key: &ServiceKey) -> Seen {
        let started = floor.gate.lock().is_open();
        let cache = floor.workloads.read();
        let sight = cache.sight_of(key);
        let workload = cache.get(key);
        let namesakes = if workload.is_none() { cache.kinds(key) } else { Vec::new() };
        Seen {
            started,
            gap: workload.as_deref().and_then(|workload| cache.gap(workload)),
            workload,
            namesakes,
            synced: sight == Sight::Complete,
            refused: match sight {
                Sight::Refused(why) => Some(why.to_owned()),
                Sight::Unseen | Sight::Complete => None,
            },
        }
    }
}

fn decide(floor: &Floor, key: &ServiceKey, service: &mut Service, seen: &Seen) -> Option<Step> {
    let workload = seen.workload.as_deref();
    let desired = floor.desired.read().get(key).cloned();
    let pods = workload.filter(|_| service.in_flight()).map_or(Vec::new(), |w| pods_of(floor, w));
    let mut view = View {
        key,
        desired: desired.as_ref(),
        started: seen.started,
        synced: seen.synced,
        workload,
        namesakes: &seen.namesakes,
        gap: seen.gap,
        pods: &pods,
        admitted: true,
        policy: &floor.policy,
        now: (floor.clock)(),
    };
    let asked = floor.retries.lock().remove(key);
    let retried = asked.then(|| retry(service));
    let basis = retried.as_ref().unwrap_or(service);
    let mut decision = plan(basis, &view);
    if asks(&decision).is_some_and(|ask| !floor.gate.lock().admit(key, ask)) {
        view.admitted = false;
        decision = plan(basis, &view);
    }
    adopt(floor, key, workload, service, decision)
}

/// A file asks for something there.
fn is_wanted(floor: &Floor, key: &ServiceKey) -> bool {
    floor.desired.read().get(key).is_some_and(|desired| desired.images.is_some())
}

/// What the gate must be asked for first. A PATCH that only waits to be sent once more asks for room when
/// its time has come.
fn asks(plan: &Plan) -> Option<Ask> {
    match plan.service.phase {
        Phase::Patching(_) if plan.service.has_place() => Some(Ask::Rollout),
        Phase::Returning(_) if plan.service.has_place() => Some(Ask::Return),
        _ if plan.step == Some(Step::CreateNamespace) => Some(Ask::Namespace),
        _ => None,
    }
}

fn pods_of(floor: &Floor, workload: &Workload) -> Vec<Arc<Pod>> {
    floor.pods.read().select(workload.key.namespace(), &workload.selector)
}

/// Keeps the plan's state, tells what it says, sets its alarm; returns its step.
fn adopt(
    floor: &Floor,
    key: &ServiceKey,
    workload: Option<&Workload>,
    service: &mut Service,
    plan: Plan,
) -> Option<Step> {
    let changed = plan.service != *service && plan.service.durable() != service.durable();
    let kept = changed.then(|| match plan.service == Service::default() {
        true => Kept::Nothing,
        false => Kept::State(&plan.service),
    });
    let standing = judge(floor, &plan);
    if kept.is_some() || !plan.notices.is_empty() {
        let before_action = plan.step.as_ref().is_some_and(leads_to_action);
        let kind = workload.map(|workload| workload.kind);
        let notices = plan.notices;
        floor.journal.enter(Entry { key, kind, service: kept, notices, standing, before_action });
    }
    *service = plan.service;
    if let Some(wake) = plan.wake {
        floor.queue.add_at(key, wake);
    }
    plan.step
}

/// What changes the cluster, or is done for that: to look at a workload is the first step of the way back.
fn leads_to_action(step: &Step) -> bool {
    matches!(
        step,
        Step::Patch(_)
            | Step::LookAtWorkload
            | Step::CheckImages(_)
            | Step::EnsurePullSecret(_)
            | Step::CreateNamespace
    )
}

/// Too many failures in a row halt everything else. Returns what is to be kept of that.
fn judge(floor: &Floor, plan: &Plan) -> Option<Standing> {
    let mut kept = None;
    for notice in &plan.notices {
        let succeeded = match notice.what {
            What::Succeeded { .. } => true,
            What::Failed { .. }
            | What::TimedOut { .. }
            | What::ImageMissing { .. }
            | What::Refused { .. } => false,
            _ => continue,
        };
        let (standing, alert) = floor.gate.lock().verdict(succeeded);
        kept = standing.or(kept);
        if let Some(alert) = alert {
            floor.journal.alert(&alert);
        }
    }
    kept
}

/// The reply to a PATCH is ahead of the watch stream; planning on the older version would send the
/// same PATCH again.
fn take_into_cache(floor: &Floor, seen: Option<&Workload>, outcome: &Result<Reply, Setback>) {
    match outcome {
        Ok(Reply::Patched(workload) | Reply::Looked(Some(workload))) => {
            floor.workloads.write().answer((**workload).clone(), seen);
        }
        Ok(Reply::Looked(None)) => {
            seen.inspect(|seen| floor.workloads.write().forget(seen));
        }
        _ => {}
    }
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
