//! Which pods are those of the new template. `[C]`
//!
//! A StatefulSet or DaemonSet says it itself. Of a Deployment it is the label `pod-template-hash`,
//! and the ReplicaSet that has it is not watched. Mostly the Deployment's condition `Progressing`
//! names that ReplicaSet (`syncRolloutStatus` and `getNewReplicaSet` of its controller: `Created new
//! replica set "web-5d8f"`, `ReplicaSet "web-5d8f" is progressing.`). Those words are no promise of
//! the API, so they count only where nothing else can be meant, and otherwise it is asked for.

use super::rollout::{is_known_early, is_observed};
use crate::model::{Image, Kind, Pod, Rollout, Workload};

/// Troubled ReplicaSets that are asked about before the controller has seen the generation.
const MOST_EARLY_HASHES: usize = 4;

/// Somebody may change the workload on the way: other pods may be the new ones then.
pub fn note_template(rollout: &mut Rollout, workload: &Workload) {
    if rollout.template.as_ref().is_some_and(|(of, _)| *of != workload.generation) {
        rollout.template = None;
        rollout.suspicion = None;
        rollout.log_tail = None;
        rollout.warning = None;
        rollout.ever_ready = false;
    }
    if rollout.template.is_none() {
        rollout.asked_for = workload.generation;
        // Before the controller has seen the template, its status names the revision before.
        let own = workload
            .revision
            .clone()
            .filter(|_| workload.kind == Kind::DaemonSet || is_observed(rollout, workload));
        rollout.template = own.map(|revision| (workload.generation, revision));
    }
}

/// Whether any of these pods is of a ReplicaSet that was not asked about yet. A new pod's ReplicaSet
/// was there before the pod, so asking once for each hash is enough.
pub fn note_early<'a>(rollout: &mut Rollout, troubled: impl Iterator<Item = &'a Pod>) -> bool {
    let before = rollout.asked_early.len();
    for hash in troubled.filter_map(|pod| pod.revision(Kind::Deployment)) {
        if rollout.asked_early.len() < MOST_EARLY_HASHES
            && !rollout.asked_early.iter().any(|asked| **asked == *hash)
        {
            rollout.asked_early.push(hash.into());
        }
    }
    rollout.asked_early.len() > before
}

/// Takes the hash of the new ReplicaSet from a pod, where the Deployment's condition names it.
///
/// Since the PATCH the condition can have named two ReplicaSets, as nothing else changed the
/// template: that of the template before, whose pods run the images from before, and the new one.
/// So it is the new one if a pod of it runs the new images.
pub fn take_told_hash<'a>(
    rollout: &mut Rollout,
    workload: &Workload,
    mut pods: impl Iterator<Item = &'a Pod>,
) {
    if rollout.template.is_some() || !is_known_early(rollout, workload) {
        return;
    }
    let told = workload.progressing.as_ref();
    let Some(told) = told.filter(|told| Some(*told) != rollout.stale_progressing.as_ref()) else {
        return;
    };
    let is_named = |hash: &str| {
        let name = format!("\"{}-{hash}\"", workload.key.service());
        told.message.contains(&*name)
    };
    let of = |pod: &'a Pod| pod.revision(Kind::Deployment);
    let own = pods.find(|pod| of(pod).is_some_and(is_named) && runs_new_images(rollout, pod));
    rollout.template = own.and_then(of).map(|hash| (workload.generation, hash.into()));
}

/// Every container that the rollout changed runs what it is to run. A kubelet that writes an image
/// otherwise leaves it open.
fn runs_new_images(rollout: &Rollout, pod: &Pod) -> bool {
    let same = |own: &str, to: &str| {
        own == to || matches!((Image::parse(own), Image::parse(to)), (Ok(a), Ok(b)) if a == b)
    };
    rollout.changes.iter().all(|change| {
        let own = pod.containers.iter().find(|container| container.name == change.container);
        own.is_some_and(|container| same(&container.image, &change.to))
    })
}
