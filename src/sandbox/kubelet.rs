//! A pretend kubelet: what becomes of a pod is written in the tags of its images. `[C]`
//!
//! | tag (anything may follow after a hyphen) | fate |
//! |---|---|
//! | `missing` | ErrImagePull, then ImagePullBackOff: the registry has no such image |
//! | `private` | the same: the registry wants credentials |
//! | `limited` | the same: the registry has had enough of us |
//! | `invalid` | InvalidImageName |
//! | `absent` | ErrImageNeverPull: not on the node, and not to be pulled |
//! | `config` | CreateContainerConfigError |
//! | `syncing` | the same for 2 s, until the kubelet knows the secret, then as any other |
//! | `mkfail` | CreateContainerError |
//! | `runfail` | RunContainerError |
//! | `crash` | exits with 1, is restarted, and so on: CrashLoopBackOff |
//! | `oom` | the same, OOMKilled with 137 |
//! | `hang` | runs, and is never ready (an init container: never ends) |
//! | `flaky` | ErrImagePull by a network error for 2 s, then as any other |
//! | any other | running and ready |
//!
//! The kwok stages of the real control plane in `tests/cluster` follow the same convention. Words and
//! shapes are those of the kubelet (`pkg/kubelet/{status,images,kuberuntime}`) and of containerd.
//! A crashing container is never ready, as if it had a readiness probe: without one even a real
//! Deployment would be done for a moment.

mod fate;

use std::time::Duration;

use serde_json::{Value, json};

use super::json::{int, list, text};
use super::wall::Wall;
pub(super) use fate::log_lines;
use fate::{Fate, MKFAIL, RUNFAIL, SYNCING, full_name, pull_error};

/// How fast pods start and stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From being bound to a node until the containers run, or fail to.
    pub(super) start: Duration,
    /// From being deleted until being gone.
    pub(super) stop: Duration,
}

/// What the kubelet does next.
#[derive(Debug)]
pub(super) enum Step {
    /// The pod, bound to a node or with a new status.
    Change(Value),
    /// The containers have stopped: the pod can go.
    Gone,
}

/// The name of the only node.
const NODE: &str = "sandbox";
const NODE_IP: &str = "192.168.65.2";

/// Where a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    Waiting(&'a str),
    Running,
    Ended,
}

/// How long the pod stays as it is; none when it stays for good.
pub(super) fn due(pod: &Value, pace: Pace) -> Option<Duration> {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return Some(pace.stop);
    }
    if text(pod, "/spec/nodeName").is_empty() {
        return Some(Duration::ZERO);
    }
    let mut blocked = false;
    let mut soonest = None;
    for (spec, init) in containers(pod) {
        let status = status_of(pod, spec, init);
        if !blocked && let Some(wait) = patience(&status, Fate::of(spec), pace) {
            soonest = Some(soonest.map_or(wait, |other: Duration| other.min(wait)));
        }
        blocked |= init && !is_past(spec, &status);
    }
    soonest
}

/// The pod after its next step, when [`due`] has passed.
pub(super) fn step(pod: &Value, now: Wall) -> Step {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return Step::Gone;
    }
    let mut pod = pod.clone();
    let bind = text(&pod, "/spec/nodeName").is_empty();
    if bind {
        pod["spec"]["nodeName"] = NODE.into();
    }
    let mut statuses = [Vec::new(), Vec::new()];
    let mut incomplete = Vec::new();
    let mut unready = Vec::new();
    let mut pending = false;
    for (spec, init) in containers(&pod) {
        let mut status = status_of(&pod, spec, init);
        if !bind && incomplete.is_empty() {
            status = moved(&pod, spec, init, status, now);
        }
        if init && !is_past(spec, &status) {
            incomplete.push(text(spec, "/name").to_owned());
        }
        let never_ran = status["lastState"] == json!({});
        pending |= match init {
            true => !is_past(spec, &status),
            false => never_ran && status["state"].get("waiting").is_some(),
        };
        if status["ready"] != true && (!init || is_sidecar(spec)) {
            unready.push(text(spec, "/name").to_owned());
        }
        statuses[usize::from(init)].push(status);
    }
    let [statuses, init_statuses] = statuses;
    let mut status = json!({
        "phase": if pending { "Pending" } else { "Running" },
        "observedGeneration": int(&pod, "/metadata/generation"),
        "qosClass": "BestEffort",
        "hostIP": NODE_IP,
        "hostIPs": [{"ip": NODE_IP}],
        "startTime": pod["status"].get("startTime").cloned().unwrap_or(now.text().into()),
        "conditions": conditions(&pod["status"], bind, &incomplete, &unready, now),
        "containerStatuses": statuses,
    });
    if !init_statuses.is_empty() {
        status["initContainerStatuses"] = init_statuses.into();
    }
    if !bind {
        let ip = pod_ip(text(&pod, "/metadata/uid"));
        status["podIP"] = ip.clone().into();
        status["podIPs"] = json!([{"ip": ip}]);
    }
    pod["status"] = status;
    Step::Change(pod)
}

/// Init containers first, as they run; the flag says which they are.
fn containers(pod: &Value) -> impl Iterator<Item = (&Value, bool)> {
    let init = list(pod, "/spec/initContainers").iter().map(|c| (c, true));
    init.chain(list(pod, "/spec/containers").iter().map(|c| (c, false)))
}

/// The status that the pod has for a container, or the one that it begins with.
fn status_of(pod: &Value, spec: &Value, init: bool) -> Value {
    let pointer = if init { "/status/initContainerStatuses" } else { "/status/containerStatuses" };
    let found = list(pod, pointer).iter().find(|status| status["name"] == spec["name"]);
    let initializing = !list(pod, "/spec/initContainers").is_empty();
    let reason = if initializing { "PodInitializing" } else { "ContainerCreating" };
    found.cloned().unwrap_or_else(|| {
        json!({
            "name": spec["name"],
            "image": spec["image"],
            "imageID": "",
            "ready": false,
            "started": false,
            "restartCount": 0,
            "lastState": {},
            "state": {"waiting": {"reason": reason}},
        })
    })
}

fn place(status: &Value) -> Place<'_> {
    let state = &status["state"];
    match state.get("waiting") {
        Some(waiting) => Place::Waiting(text(waiting, "/reason")),
        None if state.get("running").is_some() => Place::Running,
        None => Place::Ended,
    }
}

fn is_sidecar(spec: &Value) -> bool {
    spec["restartPolicy"] == "Always"
}

/// Whether an init container lets the next one start.
fn is_past(spec: &Value, status: &Value) -> bool {
    if is_sidecar(spec) {
        return status["started"] == true;
    }
    status["state"]["terminated"]["exitCode"] == 0
}

/// How long a container stays where it is.
fn patience(status: &Value, fate: Fate, pace: Pace) -> Option<Duration> {
    match place(status) {
        Place::Waiting("PodInitializing" | "ContainerCreating") => Some(pace.start),
        Place::Waiting("ErrImagePull") if fate == Fate::Flaky => Some(Duration::from_secs(2)),
        Place::Waiting("ErrImagePull") => Some(Duration::from_secs(1)),
        Place::Waiting("CreateContainerConfigError") if fate == Fate::Syncing => {
            Some(Duration::from_secs(2))
        }
        Place::Waiting("CrashLoopBackOff") if int(status, "/restartCount") < 3 => {
            Some(Duration::from_secs(1))
        }
        Place::Waiting("CrashLoopBackOff") => Some(Duration::from_secs(30)),
        Place::Running | Place::Ended if fate.crashes() => Some(Duration::from_millis(300)),
        _ => None,
    }
}

/// A container one step on.
fn moved(pod: &Value, spec: &Value, init: bool, status: Value, now: Wall) -> Value {
    let fate = Fate::of(spec);
    match (place(&status), fate) {
        (Place::Waiting("PodInitializing" | "ContainerCreating"), _) => match fate {
            Fate::Missing | Fate::Private | Fate::Limited | Fate::Flaky => {
                waits(status, "ErrImagePull", pull_error(spec, fate))
            }
            Fate::Invalid => {
                let image = text(spec, "/image");
                let message = format!(
                    "Failed to apply default image tag \"{image}\": couldn't parse image name \
                     \"{image}\": invalid reference format"
                );
                waits(status, "InvalidImageName", message)
            }
            Fate::Config => {
                waits(status, "CreateContainerConfigError", "secret \"x\" not found".into())
            }
            Fate::Absent => {
                let image = text(spec, "/image");
                let message =
                    format!("Container image \"{image}\" is not present with pull policy of Never");
                waits(status, "ErrImageNeverPull", message)
            }
            Fate::Syncing => waits(status, "CreateContainerConfigError", SYNCING.into()),
            Fate::MkFail => waits(status, "CreateContainerError", MKFAIL.into()),
            Fate::RunFail => waits(status, "RunContainerError", RUNFAIL.into()),
            _ => runs(pod, spec, init, status, 0, now),
        },
        (Place::Waiting("CreateContainerConfigError"), Fate::Syncing) => {
            runs(pod, spec, init, status, 0, now)
        }
        (Place::Waiting("ErrImagePull"), Fate::Flaky) => runs(pod, spec, init, status, 0, now),
        (Place::Waiting("ErrImagePull"), _) => {
            let image = text(spec, "/image");
            let pull = pull_error(spec, fate);
            let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {pull}");
            waits(status, "ImagePullBackOff", message)
        }
        (Place::Running, Fate::Crash | Fate::Oom) => ends(pod, status, fate, now),
        (Place::Ended | Place::Waiting("CrashLoopBackOff"), Fate::Crash | Fate::Oom) => {
            let restarts = int(&status, "/restartCount") + 1;
            runs(pod, spec, init, status, restarts, now)
        }
        _ => status,
    }
}

fn waits(mut status: Value, reason: &str, message: String) -> Value {
    status["state"] = json!({"waiting": {"reason": reason, "message": message}});
    status
}

fn runs(
    pod: &Value,
    spec: &Value,
    init: bool,
    mut status: Value,
    restarts: i64,
    now: Wall,
) -> Value {
    let fate = Fate::of(spec);
    let unhealthy = fate.crashes() || fate == Fate::Hang;
    let image = text(spec, "/image");
    let run = format!("{}/{}/{restarts}", text(pod, "/metadata/uid"), text(spec, "/name"));
    if status["state"].get("terminated").is_some() {
        status["lastState"] = status["state"].clone();
    }
    let repository = image.split('@').next().unwrap_or_default();
    let repository = match repository.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => repository,
    };
    status["containerID"] = format!("containerd://{}", digest(&run)).into();
    status["imageID"] = format!("{}@sha256:{}", full_name(repository), digest(image)).into();
    status["restartCount"] = restarts.into();
    status["ready"] = (!unhealthy).into();
    status["started"] = true.into();
    status["state"] = json!({"running": {"startedAt": now.text()}});
    if init && !is_sidecar(spec) && !unhealthy {
        status["started"] = false.into();
        status["state"] = json!({"terminated": {
            "containerID": status["containerID"], "exitCode": 0, "reason": "Completed",
            "startedAt": now.text(), "finishedAt": now.text(),
        }});
    }
    status
}

/// A crash: the first shows as ended, later ones as waiting to be restarted.
fn ends(pod: &Value, mut status: Value, fate: Fate, now: Wall) -> Value {
    let (code, reason) = if fate == Fate::Oom { (137, "OOMKilled") } else { (1, "Error") };
    let ended = json!({"terminated": {
        "containerID": status["containerID"],
        "exitCode": code,
        "reason": reason,
        "startedAt": status["state"]["running"]["startedAt"],
        "finishedAt": now.text(),
    }});
    status["ready"] = false.into();
    status["started"] = false.into();
    let restarts = int(&status, "/restartCount");
    if restarts == 0 {
        status["state"] = ended;
        return status;
    }
    status["lastState"] = ended;
    let pauses = ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s"];
    let pause = pauses[usize::try_from(restarts - 1).unwrap_or(0).min(pauses.len() - 1)];
    let message = format!(
        "back-off {pause} restarting failed container={} pod={}_{}({})",
        text(&status, "/name"),
        text(pod, "/metadata/name"),
        text(pod, "/metadata/namespace"),
        text(pod, "/metadata/uid")
    );
    waits(status, "CrashLoopBackOff", message)
}

fn conditions(
    old: &Value,
    bound_now: bool,
    incomplete: &[String],
    unready: &[String],
    now: Wall,
) -> Value {
    let names = |names: &[String]| format!("[{}]", names.join(" "));
    let sandbox_ready = !bound_now;
    let unready = (!unready.is_empty()).then(|| {
        ("ContainersNotReady", format!("containers with unready status: {}", names(unready)))
    });
    let uninitialized = (!incomplete.is_empty()).then(|| {
        let words = format!("containers with incomplete status: {}", names(incomplete));
        ("ContainersNotInitialized", words)
    });
    let all = [
        ("PodReadyToStartContainers", (!sandbox_ready).then_some(("", String::new()))),
        ("Initialized", uninitialized),
        ("Ready", unready.clone()),
        ("ContainersReady", unready),
        ("PodScheduled", None),
    ];
    let made = all.into_iter().map(|(kind, problem)| {
        let status = if problem.is_some() { "False" } else { "True" };
        let before = list(old, "/conditions").iter().find(|c| c["type"] == kind);
        let since = before.filter(|c| c["status"] == status).map(|c| &c["lastTransitionTime"]);
        let since = since.cloned().unwrap_or_else(|| now.text().into());
        let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": since,
            "lastProbeTime": null});
        if let Some((reason, message)) = problem.filter(|(reason, _)| !reason.is_empty()) {
            condition["reason"] = reason.into();
            condition["message"] = message.into();
        }
        condition
    });
    made.collect()
}

fn pod_ip(uid: &str) -> String {
    let hash = fnv(uid);
    format!("10.244.{}.{}", hash >> 8 & 0xff, 2 + hash % 250)
}

/// 64 hexadecimal digits that look like a digest; nobody may rely on them being one.
fn digest(text: &str) -> String {
    (0..4).map(|part| format!("{:016x}", fnv(&format!("{part}/{text}")))).collect()
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
#[path = "kubelet_tests.rs"]
mod tests;
