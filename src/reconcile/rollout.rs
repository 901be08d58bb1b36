//! A workload's status → how far its rollout is.
//!
//! "Complete" is what `kubectl rollout status` calls it (`rollout_status.go` in kubectl's
//! `polymorphichelpers`), kind by kind.

use std::time::Duration;

use crate::model::{
    Change, Condition, Gap, Kind, Lateness, Moment, Replicas, Rollout, Strategy, Workload,
};
use crate::reconcile::Intent;

/// The API reference's default of `spec.progressDeadlineSeconds`: says nothing about a wish.
const DEFAULT_PROGRESS_DEADLINE: Duration = Duration::from_secs(600);
/// For so many time limits, streams that do not last put a time-out off.
const RELAPSES: u32 = 4;

/// The rollout that begins with the PATCH that `workload` is the reply to.
///
/// It starts without counts: those of the reply are still about the old pods.
pub fn begin(attempt: u32, intent: &Intent, workload: &Workload, now: Moment) -> Rollout {
    Rollout {
        attempt,
        uid: workload.uid.clone(),
        desired: intent.desired.clone(),
        changes: accepted(&intent.changes, workload),
        generation: workload.generation,
        sole_change: intent.changes.iter().any(|change| change.from != change.to)
            && workload.generation == intent.generation + 1
            && workload.observed_generation >= intent.generation,
        stale_progressing: match workload.observed_generation < workload.generation {
            true => workload.progressing.clone(),
            // What is shown may be the answer already, where the reply was lost.
            false => intent.progressing.clone(),
        },
        started: now,
        best: None,
        progressed: now,
        gaps_until: now,
        relapses: Duration::ZERO,
        template: None,
        asked_for: 0,
        asked_early: Vec::new(),
        suspicion: None,
        ever_ready: false,
        advanced: None,
        log_tail: None,
        warning: None,
        question: None,
        looked: false,
        told: None,
        found: None,
    }
}

/// The changes with the images as the API server stored them.
fn accepted(changes: &[Change], workload: &Workload) -> Vec<Change> {
    let stored = |change: &Change| {
        let mut containers = workload.containers.iter().chain(&workload.init_containers);
        let container = containers.find(|c| c.name == change.container);
        let to = container.map_or(change.to.clone(), |c| c.image.clone());
        Change { to, ..change.clone() }
    };
    changes.iter().map(stored).collect()
}

/// The controller has seen this rollout's generation, and every one since.
pub fn is_observed(rollout: &Rollout, workload: &Workload) -> bool {
    workload.observed_generation >= workload.generation.max(rollout.generation)
}

/// Its pods can be told from older ones, although the controller has not said yet that it has seen
/// this generation: on a busy control plane that takes seconds.
///
/// The controller makes a ReplicaSet, with its revision, before it writes the Deployment's status,
/// and only then pods. As nothing but this rollout's PATCH came after what it had seen, the newest
/// ReplicaSet is either the one before, with other images, or the one of this rollout.
pub fn is_known_early(rollout: &Rollout, workload: &Workload) -> bool {
    workload.kind == Kind::Deployment
        && rollout.sole_change
        && workload.generation == rollout.generation
}

/// Every wanted pod is of the new template and works, and no old one is left; of a StatefulSet with a
/// partition, every pod above it.
///
/// With `OnDelete`, which kubectl refuses to judge, a rollout is complete when people have deleted
/// all old pods and the new ones are ready.
pub fn is_complete(rollout: &Rollout, workload: &Workload) -> bool {
    is_observed(rollout, workload) && is_done(workload)
}

/// What `kubectl rollout status` says of the workload as it is, whoever changed it.
pub fn is_done(workload: &Workload) -> bool {
    let Replicas { wanted, total, updated, ready, available } = workload.replicas;
    let done = match (workload.kind, workload.strategy) {
        (Kind::Deployment, _) => updated >= wanted && total <= updated && available >= updated,
        // Pods that a scaling down has yet to remove count as well, and may be the ready ones.
        (Kind::StatefulSet, Strategy::Partition(old)) => {
            ready >= wanted && updated >= wanted - old && total <= wanted
        }
        (Kind::StatefulSet, _) => ready >= wanted && updated >= wanted && total <= updated,
        (Kind::DaemonSet, _) => updated >= wanted && available >= wanted,
    };
    done && workload.observed_generation >= workload.generation
}

/// Takes the counts into the rollout; a step beyond the best so far restarts the time limit, so that
/// a pod that comes and goes does not.
///
/// Forward is: more updated, ready or available pods, or fewer old ones. The first status of the
/// rollout's own generation restarts it as well. True when it moved forward.
pub fn note_progress(rollout: &mut Rollout, workload: &Workload, now: Moment) -> bool {
    if !is_observed(rollout, workload) {
        return false;
    }
    let is = workload.replicas;
    let old = |r: Replicas| r.total - r.updated;
    let Some(best) = rollout.best else {
        rollout.best = Some(is);
        rollout.progressed = now;
        return is.updated > 0;
    };
    let forward = is.updated > best.updated
        || is.ready > best.ready
        || is.available > best.available
        || old(is) < old(best);
    if forward {
        rollout.progressed = now;
    }
    let updated = is.updated.max(best.updated);
    rollout.best = Some(Replicas {
        wanted: is.wanted,
        total: updated + old(is).min(old(best)),
        updated,
        ready: is.ready.max(best.ready),
        available: is.available.max(best.available),
    });
    forward
}

/// Takes the time in which nothing was shown of the workload out of the time without progress, and out of
/// the grace of a sign of trouble: nothing at all may have gone on.
///
/// Where lists come and no stream lasts, that would go on for ever, so there is an end to it: the workload
/// is looked at before a time-out in any case.
pub fn pass_over(rollout: &mut Rollout, gap: Option<Gap>, limit: Duration, now: Moment) {
    let Some(gap) = gap else { return };
    let until = gap.end(now);
    if until <= rollout.gaps_until {
        return;
    }
    let length = until.since(gap.since.max(rollout.gaps_until));
    if gap.relapsed {
        if rollout.relapses >= limit * RELAPSES {
            return;
        }
        rollout.relapses += length;
    }
    // What began within the gap has nothing before it.
    let moved = |since: Moment| (since + length).min(until.max(since));
    rollout.progressed = moved(rollout.progressed);
    if let Some((_, since)) = &mut rollout.suspicion {
        *since = moved(*since);
    }
    rollout.gaps_until = until;
}

/// When a rollout with this limit is late: not while nothing is shown, however late it may have been
/// before.
pub fn due(rollout: &Rollout, limit: Duration) -> Moment {
    (rollout.progressed + limit).max(rollout.gaps_until)
}

/// How long this workload may go without progress: its annotation, else its progress deadline where
/// somebody set one, else depd's own limit; plus the time pods must stay ready.
pub fn time_limit(workload: &Workload, default: Duration) -> Duration {
    let own = (workload.progress_deadline != DEFAULT_PROGRESS_DEADLINE)
        .then_some(workload.progress_deadline);
    workload.timeout.or(own).unwrap_or(default) + workload.min_ready
}

/// The condition `Progressing`, unless it is a leftover of an older rollout.
///
/// It counts once the controller has seen this generation and has touched the condition since the
/// PATCH. `ReplicaSetCreateError` shows although the generation is never seen, and is not written
/// anew when it was there before.
pub fn fresh_progressing<'w>(rollout: &Rollout, workload: &'w Workload) -> Option<&'w Condition> {
    let condition = workload.progressing.as_ref()?;
    let is_fresh = match is_observed(rollout, workload) {
        true => workload.progressing != rollout.stale_progressing,
        false => &*condition.reason == "ReplicaSetCreateError",
    };
    is_fresh.then_some(condition)
}

/// Kubernetes itself gave up for lack of progress.
pub fn progress_deadline_exceeded(rollout: &Rollout, workload: &Workload) -> Option<Lateness> {
    let condition = fresh_progressing(rollout, workload)?;
    let is_late = !condition.holds && &*condition.reason == "ProgressDeadlineExceeded";
    is_late.then(|| Lateness::ProgressDeadline(condition.message.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ImageSet, fixture};

    #[test]
    fn a_stateful_set_that_is_scaled_down_on_the_way_is_complete_only_without_old_pods() {
        let image = crate::model::Image::parse("nginx:1.25").expect("valid");
        let mut workload = Workload { kind: Kind::StatefulSet, ..fixture::workload("web") };
        let intent = Intent {
            desired: ImageSet::Single(image),
            uid: workload.uid.clone(),
            generation: 1,
            progressing: None,
            changes: Vec::new(),
            look_first: false,
            misses: 0,
            undoes: None,
            checked: false,
            pull_secrets: None,
        };
        let rollout = begin(1, &intent, &workload, Moment(0));
        let mut check = |strategy, (wanted, total, updated, ready), expect| {
            workload.strategy = strategy;
            workload.replicas = Replicas { wanted, total, updated, ready, available: ready };
            assert_eq!(is_complete(&rollout, &workload), expect, "{:?}", workload.replicas);
        };
        check(Strategy::Rolling, (3, 3, 3, 3), true);
        check(Strategy::Rolling, (1, 3, 1, 2), false);
        check(Strategy::Rolling, (0, 3, 0, 3), false);
        check(Strategy::Rolling, (0, 0, 0, 0), true);
        check(Strategy::Partition(2), (3, 3, 1, 3), true);
        check(Strategy::Partition(2), (2, 3, 0, 3), false);
    }
}
