//! `status` of a Deployment: counts, and the conditions Available, Progressing, ReplicaFailure.
//!
//! Facts: `calculateStatus` and `syncRolloutStatus` of the deployment controller in Kubernetes 1.37.
//! A Progressing condition is only written anew when something moved, so that an old one (a missed
//! deadline, say) stays for a while after the spec changed: depd must cope with that, and can meet
//! it here.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::json::{int, list, text};
use super::super::wall::Wall;
use super::deployment::max_unavailable;

/// One condition as the controller thinks of it.
pub(super) struct Condition<'a> {
    pub(super) kind: &'a str,
    pub(super) status: &'a str,
    pub(super) reason: &'a str,
    pub(super) message: String,
}

/// The condition of a type.
pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    list(status, "/conditions").iter().find(|condition| condition["type"] == kind)
}

/// Sets a condition, unless one with the same status and reason is there.
pub(super) fn set(status: &mut Value, new: &Condition<'_>, now: Wall) {
    let old = condition(status, new.kind);
    let same_status = old.filter(|old| old["status"] == new.status);
    if same_status.is_some_and(|old| old["reason"] == new.reason) {
        return;
    }
    let since = same_status.map(|old| old["lastTransitionTime"].clone());
    let made = json!({
        "type": new.kind,
        "status": new.status,
        "reason": new.reason,
        "message": new.message,
        "lastUpdateTime": now.text(),
        "lastTransitionTime": since.unwrap_or_else(|| now.text().into()),
    });
    replace(status, new.kind, Some(made));
}

/// Takes a condition away, or puts another in its place (at the end, as the controller does).
pub(super) fn replace(status: &mut Value, kind: &str, with: Option<Value>) {
    let mut all = list(status, "/conditions").to_vec();
    all.retain(|condition| condition["type"] != kind);
    all.extend(with);
    status["conditions"] = all.into();
}

/// Counts and the Available condition; `new` is the ReplicaSet of the current template.
pub(super) fn counted(
    deployment: &Value,
    sets: &[&Value],
    new: Option<&Value>,
    now: Wall,
) -> Value {
    let sum = |pointer: &str| sets.iter().map(|set| int(set, pointer)).sum::<i64>();
    let available = sum("/status/availableReplicas");
    let unavailable = (sum("/spec/replicas") - available).max(0);
    let mut status = json!({
        "observedGeneration": int(deployment, "/metadata/generation"),
        "terminatingReplicas": sum("/status/terminatingReplicas"),
        "conditions": list(&deployment["status"], "/conditions"),
    });
    let updated = new.map_or(0, |set| int(set, "/status/replicas"));
    let counts = [
        ("replicas", sum("/status/replicas")),
        ("updatedReplicas", updated),
        ("readyReplicas", sum("/status/readyReplicas")),
        ("availableReplicas", available),
        ("unavailableReplicas", unavailable),
        ("collisionCount", int(deployment, "/status/collisionCount")),
    ];
    for (name, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
        status[name] = count.into();
    }
    let enough = int(deployment, "/spec/replicas") - max_unavailable(deployment);
    let (holds, reason, words) = if available >= enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    let condition =
        Condition { kind: "Available", status: holds, reason, message: words.to_owned() };
    set(&mut status, &condition, now);
    status
}

/// Judges the rollout: done, moving, or past its deadline; and shows why pods cannot be made.
pub(super) fn judge(
    deployment: &Value,
    sets: &[&Value],
    new: Option<&Value>,
    status: &mut Value,
    now: Wall,
) {
    let has_deadline = has_deadline(deployment);
    if !has_deadline {
        replace(status, "Progressing", None);
    }
    let current = condition(&deployment["status"], "Progressing").cloned();
    let was_done = current.as_ref().is_some_and(|c| c["reason"] == "NewReplicaSetAvailable")
        && int(status, "/replicas") == int(status, "/updatedReplicas");
    let subject = match new {
        Some(set) => format!("ReplicaSet \"{}\"", text(set, "/metadata/name")),
        None => format!("Deployment \"{}\"", text(deployment, "/metadata/name")),
    };
    let progressing = |holds: &'static str, reason: &'static str, words: &str| Condition {
        kind: "Progressing",
        status: holds,
        reason,
        message: format!("{subject} {words}"),
    };
    if has_deadline && !was_done {
        if is_complete(deployment, status) {
            let words = "has successfully progressed.";
            set(status, &progressing("True", "NewReplicaSetAvailable", words), now);
        } else if has_moved(&deployment["status"], status) {
            let moved = progressing("True", "ReplicaSetUpdated", "is progressing.");
            let since = current.filter(|c| c["status"] == "True");
            replace(status, "Progressing", None);
            set(status, &moved, now);
            if let Some(since) = since
                && let Some(Value::Array(all)) = status.get_mut("conditions")
                && let Some(last) = all.last_mut()
            {
                last["lastTransitionTime"] = since["lastTransitionTime"].clone();
            }
        } else if is_late(deployment, status, now) {
            let late =
                progressing("False", "ProgressDeadlineExceeded", "has timed out progressing.");
            set(status, &late, now);
        }
    }
    show_replica_failure(status, sets, new, now);
}

fn show_replica_failure(status: &mut Value, sets: &[&Value], new: Option<&Value>, now: Wall) {
    let failure = |set: &Value| condition(&set["status"], "ReplicaFailure").cloned();
    let found = new.and_then(failure).or_else(|| sets.iter().find_map(|set| failure(set)));
    match found {
        None => replace(status, "ReplicaFailure", None),
        Some(found) => {
            let condition = Condition {
                kind: "ReplicaFailure",
                status: "True",
                reason: text(&found, "/reason"),
                message: text(&found, "/message").to_owned(),
            };
            set(status, &condition, now);
        }
    }
}

/// All replicas are of the current template and available.
pub(super) fn is_complete(deployment: &Value, status: &Value) -> bool {
    let wanted = int(deployment, "/spec/replicas");
    ["/updatedReplicas", "/replicas", "/availableReplicas"].iter().all(|p| int(status, p) == wanted)
        && int(status, "/observedGeneration") >= int(deployment, "/metadata/generation")
}

fn has_moved(old: &Value, new: &Value) -> bool {
    let outdated = |status| int(status, "/replicas") - int(status, "/updatedReplicas");
    let rises = |pointer| int(new, pointer) > int(old, pointer);
    rises("/updatedReplicas")
        || outdated(new) < outdated(old)
        || rises("/readyReplicas")
        || rises("/availableReplicas")
}

fn is_late(deployment: &Value, status: &Value, now: Wall) -> bool {
    let Some(condition) = condition(status, "Progressing") else { return false };
    match text(condition, "/reason") {
        "NewReplicaSetAvailable" => false,
        "ProgressDeadlineExceeded" => true,
        _ => deadline(deployment, condition).is_some_and(|limit| limit.0 < now.0),
    }
}

fn deadline(deployment: &Value, progressing: &Value) -> Option<Wall> {
    let since = Wall::parse(text(progressing, "/lastUpdateTime"))?;
    Some(Wall(since.0 + int(deployment, "/spec/progressDeadlineSeconds") * 1000))
}

/// The largest number means that there is none.
pub(super) fn has_deadline(deployment: &Value) -> bool {
    let limit = int(deployment, "/spec/progressDeadlineSeconds");
    limit != 0 && limit != i64::from(i32::MAX)
}

/// When to look again for a missed deadline, if the rollout could miss it.
pub(super) fn look_again(deployment: &Value, now: Wall) -> Option<Duration> {
    let status = &deployment["status"];
    let progressing = condition(status, "Progressing")?;
    let over = progressing["reason"] == "ProgressDeadlineExceeded"
        || progressing["reason"] == "NewReplicaSetAvailable";
    if !has_deadline(deployment) || is_complete(deployment, status) || over {
        return None;
    }
    let left = deadline(deployment, progressing)?.0 - now.0 + 1;
    Some(Duration::from_millis(u64::try_from(left).unwrap_or(1)))
}
