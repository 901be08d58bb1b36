//! Why a rollout fails, and what to do about it, in the words for somebody who is woken by it.
//!
//! A sentence answers: which container, in how many of how many pods, since when, and whether
//! anything still serves.

use super::duration;
use crate::model::{Failure, Kind, ServiceKey, Sign, printable};

/// A shorter time is as good as none.
const WORTH_SAYING_SECS: u64 = 1;

/// What is wrong, in one or two sentences.
pub(super) fn failed(f: &Failure) -> String {
    let words = match printable(&f.message) {
        // The sentence says it already, in fewer words.
        message if message.is_empty() || f.sign == Sign::ImageNotFound => String::new(),
        message => format!(": {}", message.trim_end_matches('.')),
    };
    format!("{}{words}. {}", trouble(f), serving(f))
}

fn trouble(f: &Failure) -> String {
    let pods = format!("{} of {} new pods", f.bad_pods, f.new_pods);
    let (image, container) = (printable(&f.image), printable(&f.container));
    let reason = printable(&f.reason);
    let since = match f.since.as_secs() {
        WORTH_SAYING_SECS.. => format!(", for {}", duration(f.since)),
        _ => String::new(),
    };
    match f.sign {
        Sign::ImageUnusable => {
            format!("{pods} cannot use the image {image} of container {container} ({reason})")
        }
        Sign::ImageNotFound => {
            format!("{pods} cannot pull {image}, the image of container {container} (not found)")
        }
        Sign::ImagePull => {
            format!(
                "{pods} cannot pull {image}, the image of container {container} ({reason}{since})"
            )
        }
        Sign::ContainerCreate => {
            format!("{pods} cannot create container {container} with {image} ({reason}{since})")
        }
        Sign::Crash => {
            format!("{pods} crash in container {container} with {image} ({})", crash(f, &reason))
        }
        Sign::PodCreate => format!(
            "new pods of the {} cannot be created ({reason}{since}), {} of {} are there",
            f.kind,
            f.new_pods.saturating_sub(f.bad_pods),
            f.new_pods
        ),
        Sign::GivenUp => format!("the {} controller gave up ({reason})", f.kind),
        Sign::Unschedulable => format!("{pods} find no node ({reason}{since})"),
        Sign::Stuck => format!(
            "the StatefulSet waits for pod {}, which never got ready with its earlier image {image} \
             ({reason}{since})",
            f.to_delete.first().map(|pod| printable(pod)).unwrap_or_default()
        ),
        Sign::Unready => unready(f, &pods, &container, &image, &reason),
    }
}

fn crash(f: &Failure, reason: &str) -> String {
    let limit = f.memory_limit.as_deref().map(printable);
    let code = match f.exit_code {
        Some(0) => ", exit code 0: it ends by itself".to_owned(),
        Some(code) => format!(", exit code {code}"),
        None => String::new(),
    };
    match (reason, limit) {
        ("OOMKilled", Some(limit)) => format!("OOMKilled at its memory limit of {limit}{code}"),
        ("OOMKilled", None) => format!("OOMKilled without a memory limit of its own{code}"),
        _ => format!("{reason}{code}"),
    }
}

fn unready(f: &Failure, pods: &str, container: &str, image: &str, reason: &str) -> String {
    if container.is_empty() {
        return format!("{pods} are not ready");
    }
    match (reason, f.probe.as_deref().map(printable)) {
        ("Running", Some(probe)) => format!(
            "{pods} are not ready: container {container} runs {image}, but its probe ({probe}) does \
             not succeed"
        ),
        ("Running", None) => {
            format!("{pods} are not ready: container {container} runs {image}")
        }
        _ => format!("{pods} do not start: container {container} with {image} is in {reason}"),
    }
}

fn serving(f: &Failure) -> String {
    match (f.old_serving, f.new_pods.saturating_sub(f.bad_pods)) {
        (0, 0) => "No old pod serves any more".to_owned(),
        (0, _) => "No old pod is left".to_owned(),
        (1, _) => "The old pod still serves".to_owned(),
        (n, _) => format!("The {n} old pods still serve"),
    }
}

/// What to do about a rollout that failed.
pub(super) fn advice(f: &Failure, key: &ServiceKey) -> String {
    let file = key.file_name();
    let remedy = match f.sign {
        Sign::ImageUnusable | Sign::ImageNotFound => {
            format!("Write an image that exists to {file}, or run: depd rollback {key}.")
        }
        Sign::ImagePull => {
            format!("Check the registry's credentials and reachability, or change {file}.")
        }
        Sign::ContainerCreate => {
            format!("Check the Secrets and ConfigMaps it needs, or change {file}.")
        }
        Sign::Crash if &*f.reason == "OOMKilled" => {
            format!(
                "Raise the memory limit in its YAML, or write an image that needs less to {file}."
            )
        }
        Sign::Crash => format!(
            "Read its log, then write an image that starts to {file}, or run: depd rollback {key}."
        ),
        Sign::PodCreate if f.message.contains("exceeded quota") => {
            format!("Make room in the quota of namespace {}, or change {file}.", key.namespace())
        }
        Sign::PodCreate => {
            format!("Change the pod template or the policy that refuses its pods, or {file}.")
        }
        Sign::GivenUp => {
            format!("Look at it: kubectl describe {} -n {}.", target(f.kind, key), key.namespace())
        }
        Sign::Unschedulable => {
            format!("Make room on the nodes, or correct what the pods ask for; or change {file}.")
        }
        Sign::Stuck => String::new(),
        Sign::Unready => format!(
            "Look at its pods (kubectl describe pods -n {}), then change {file}, or run: depd rollback \
             {key}.",
            key.namespace()
        ),
    };
    match delete_pods(f, key) {
        Some(command) if f.sign == Sign::Stuck => command,
        Some(command) => format!("{remedy} {command}"),
        None => remedy,
    }
}

/// What to do while the rollout goes on.
pub(super) fn meanwhile(f: &Failure, key: &ServiceKey) -> String {
    format!("{} The rollout goes on until its time limit.", advice(f, key))
}

/// A StatefulSet does not replace a pod that never got ready ("Forced rollback" in the Kubernetes
/// documentation), and depd deletes nothing.
pub(super) fn delete_pods(f: &Failure, key: &ServiceKey) -> Option<String> {
    if f.to_delete.is_empty() {
        return None;
    }
    let pods: Vec<String> = f.to_delete.iter().map(|pod| printable(pod)).collect();
    let (pods, namespace) = (pods.join(" "), key.namespace());
    let when = match f.sign {
        Sign::Stuck => "Delete it",
        _ => "A StatefulSet does not replace a pod that never got ready, so then delete it",
    };
    Some(format!("{when}: kubectl delete pod {pods} -n {namespace}."))
}

fn target(kind: Kind, key: &ServiceKey) -> String {
    format!("{}/{}", kind.word(), key.service())
}
