//! ReplicaSet → pods: one look at one ReplicaSet.
//!
//! Facts: `pkg/controller/replicaset` in Kubernetes 1.37.

use std::cmp::Reverse;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::json::{int, list, text};
use super::super::object::{self, DeleteOptions, Part, Write};
use super::super::resources::PODS;
use super::super::selector::Labels;
use super::super::store::{Key, Object, Store};
use super::super::wall::Wall;
use super::conditions::{condition, replace};
use super::deployment::owner_reference;

/// The most pods made or deleted in one look.
const BURST: usize = 500;
/// When to try again after a pod could not be made.
const RETRY: Duration = Duration::from_secs(1);

/// Looks at a ReplicaSet once; says when to look again even if nothing happens.
pub(super) fn sync(store: &mut Store, key: &Key, write: Write) -> Option<Duration> {
    let set = store.get(key)?.clone();
    let mut active = Vec::new();
    let mut terminating = 0;
    for pod_key in store.owned_by(text(&set, "/metadata/uid")) {
        let Some(pod) = store.get(&pod_key).filter(|_| pod_key.resource == PODS) else { continue };
        let ended = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
        if ended {
            continue;
        }
        if pod["metadata"]["deletionTimestamp"].is_null() {
            active.push((pod_key, pod.clone()));
        } else {
            terminating += 1;
        }
    }
    let failure = match set["metadata"]["deletionTimestamp"].is_null() {
        true => manage(store, &set, &active, write).err(),
        false => None,
    };
    let status = counted(&set, &active, terminating, failure.as_ref(), write.now);
    if status != set["status"] {
        let mut changed = Value::clone(&set);
        changed["status"] = status;
        // Read under the same lock: it cannot be gone or changed.
        drop(object::update(store, key, changed, Part::Status, write));
    }
    let retry = failure.map(|_| RETRY);
    [retry, next_available(&set, &active, write.now)].into_iter().flatten().min()
}

/// Why a pod could not be made.
struct Failure(String);

fn manage(
    store: &mut Store,
    set: &Object,
    active: &[(Key, Object)],
    write: Write,
) -> Result<(), Failure> {
    let wanted = usize::try_from(int(set, "/spec/replicas")).unwrap_or(0);
    if active.len() < wanted {
        for _ in 0..(wanted - active.len()).min(BURST) {
            let made =
                object::create(store, PODS, text(set, "/metadata/namespace"), pod_of(set), write);
            match made {
                Ok(_) => {}
                // A namespace that goes away takes the ReplicaSet along.
                Err(refused)
                    if refused.details["causes"][0]["reason"] == "NamespaceTerminating" =>
                {
                    return Ok(());
                }
                Err(refused) => return Err(Failure(refused.message)),
            }
        }
        return Ok(());
    }
    let mut doomed: Vec<&(Key, Object)> = active.iter().collect();
    doomed.sort_by_key(|(key, pod)| rank(key, pod));
    for (key, _) in doomed.into_iter().take((active.len() - wanted).min(BURST)) {
        // Gone already is as good.
        drop(object::delete(store, key, &DeleteOptions::default(), write));
    }
    Ok(())
}

/// Lowest goes first: without a node, pending, not ready, restarted often, young.
fn rank(key: &Key, pod: &Value) -> impl Ord + use<> {
    let phase = match text(pod, "/status/phase") {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let restarts = list(pod, "/status/containerStatuses").iter().map(|c| int(c, "/restartCount"));
    (
        !text(pod, "/spec/nodeName").is_empty(),
        phase,
        ready_since(pod).is_some(),
        Reverse(restarts.max()),
        Reverse(text(pod, "/metadata/creationTimestamp").to_owned()),
        key.name.clone(),
    )
}

fn pod_of(set: &Value) -> Value {
    let template = &set["spec"]["template"];
    json!({
        "metadata": {
            "generateName": format!("{}-", text(set, "/metadata/name")),
            "labels": template["metadata"]["labels"],
            "annotations": template["metadata"]["annotations"],
            "finalizers": template["metadata"]["finalizers"],
            "ownerReferences": [owner_reference(set)],
        },
        "spec": template["spec"],
    })
}

/// Since when the pod's condition Ready is true.
fn ready_since(pod: &Value) -> Option<Wall> {
    let ready = condition(&pod["status"], "Ready").filter(|c| c["status"] == "True")?;
    Wall::parse(text(ready, "/lastTransitionTime"))
}

/// A pod is available once it has been ready for `minReadySeconds`.
fn available_at(set: &Value, pod: &Value) -> Option<Wall> {
    ready_since(pod).map(|since| Wall(since.0 + int(set, "/spec/minReadySeconds") * 1000))
}

fn next_available(set: &Value, active: &[(Key, Object)], now: Wall) -> Option<Duration> {
    let ahead = active.iter().filter_map(|(_, pod)| available_at(set, pod)).map(|at| at.0 - now.0);
    let left = ahead.filter(|left| *left > 0).min()?;
    Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
}

fn counted(
    set: &Value,
    active: &[(Key, Object)],
    terminating: i64,
    failure: Option<&Failure>,
    now: Wall,
) -> Value {
    let template_labels = json!({"matchLabels": set["spec"]["template"]["metadata"]["labels"]});
    let labels = Labels::of(&template_labels).unwrap_or_default();
    let count = |fits: &dyn Fn(&Value) -> bool| active.iter().filter(|(_, pod)| fits(pod)).count();
    let counts = [
        ("fullyLabeledReplicas", count(&|pod| labels.matches(&pod["metadata"]["labels"]))),
        ("readyReplicas", count(&|pod| ready_since(pod).is_some())),
        ("availableReplicas", count(&|pod| available_at(set, pod).is_some_and(|at| at <= now))),
    ];
    let mut status = json!({
        "replicas": active.len(),
        "terminatingReplicas": terminating,
        "observedGeneration": int(set, "/metadata/generation"),
    });
    for (name, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
        status[name] = count.into();
    }
    let old = condition(&set["status"], "ReplicaFailure").cloned();
    match (failure, old) {
        (None, _) => {}
        (Some(_), Some(old)) => replace(&mut status, "ReplicaFailure", Some(old)),
        (Some(Failure(message)), None) => {
            let made = json!({
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": message,
                "lastTransitionTime": now.text(),
            });
            replace(&mut status, "ReplicaFailure", Some(made));
        }
    }
    status
}
