//! What depd tells, held against what really happened in the cluster.

use depd::model::{Change, Hold, Successor, What};
use depd::reconcile::Drift;

use crate::checks::Record;
use crate::cluster::{Cluster, Fate, asked, fate};
use crate::setup::Setup;

/// What is wrong with a record, if anything is.
pub fn falsehood(record: &Record, cluster: &Cluster, setup: &Setup) -> Option<String> {
    let uid = record.uid.clone().unwrap_or_default();
    match &record.what {
        What::Succeeded { changes, .. } | What::Recovered { changes, .. } => {
            never_ran("false success", &uid, changes, cluster)
        }
        What::RolledBack { changes, .. } => never_ran("false rollback", &uid, changes, cluster),
        What::Failed { changes, .. } => {
            let image = image(changes);
            let works = !matches!(fate(&image), Fate::Missing | Fate::Crash);
            works.then(|| format!("false failure: {image} works"))
        }
        What::Refused { changes, .. } => {
            let image = image(changes);
            let is_taken = fate(&image) != Fate::Denied;
            is_taken.then(|| format!("false refusal: {image} is refused by nobody"))
        }
        What::WorkloadDeleted | What::WorkloadReplaced => {
            let uid = record.uid_before.clone().unwrap_or_default();
            let is_there = !cluster.deleted.contains(&uid);
            is_there.then(|| format!("false deletion: {uid} was never deleted"))
        }
        What::Superseded { changes, by: Successor::SomebodyElse } => {
            let image = image(changes);
            let began = cluster.set.get(&(uid.clone(), image.clone())).copied().unwrap_or_default();
            let mut others = cluster.foreign.iter().filter(|((of, _), _)| *of == uid);
            let is_other = |((_, other), at): (&(String, String), &u64)| {
                asked(other) != asked(&image) && *at >= began
            };
            let stands = !others.any(is_other);
            stands.then(|| format!("false succession: nobody else changed {image} of {uid}"))
        }
        What::Drift { changes, corrected } => {
            let image = image(changes);
            if *corrected && setup.drift != Drift::Correct {
                return Some(format!("false drift: {image} of {uid} is to be left alone"));
            }
            let is_own = !cluster.foreign.contains_key(&(uid.clone(), image.clone()));
            is_own.then(|| format!("false drift: nobody else set {image} of {uid}"))
        }
        What::Held(hold, kind) => {
            let holds = |seen: &depd::model::Workload| {
                seen.kind == *kind
                    && match hold {
                        Hold::Paused => seen.paused,
                        Hold::Annotation => seen.held_by_annotation,
                        Hold::OnDelete => false,
                    }
            };
            let never = !cluster.was(&record.key, record.uid.as_deref(), holds);
            never.then(|| format!("false hold: {uid} was never held by {hold:?}"))
        }
        _ => None,
    }
}

/// The image that the rollout led to.
fn image(changes: &[Change]) -> String {
    changes.first().map(|change| change.to.to_string()).unwrap_or_default()
}

fn never_ran(name: &str, uid: &str, changes: &[Change], cluster: &Cluster) -> Option<String> {
    if changes.is_empty() {
        // The images were there before depd could send them, and the message names no change.
        let reached = cluster.reached.keys().any(|(of, _)| of == uid);
        return (!reached).then(|| format!("{name}: {uid} never ran anything completely"));
    }
    let rollout = (uid.to_owned(), image(changes));
    let reached = cluster.reached.get(&rollout).copied();
    // The images may have been the same once before, and others since.
    let began = cluster.set.get(&rollout).copied().unwrap_or_default();
    let never = reached.is_none_or(|reached| reached < began);
    never.then(|| format!("{name}: {uid} never ran {} completely", rollout.1))
}
