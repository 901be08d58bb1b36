//! The pods of a rollout → why it cannot succeed.
//!
//! Only pods of the new ReplicaSet count, and only trouble that outlasts its grace: a registry that
//! is busy for a moment is no failure. Reasons and messages are those of the kubelet
//! (`pkg/kubelet/images`, `pkg/kubelet/container`) and of containerd's and CRI-O's pull errors.

use std::sync::Arc;
use std::time::Duration;

use super::rollout::is_observed;
use crate::model::{
    ContainerState, Failure, Kind, Moment, Pod, PodContainer, Rollout, Sign, Terminated, Workload,
};

/// Runs of a crashing container after which one pod speaks for all.
const CRASHES_THAT_SETTLE_IT: u32 = 3;
/// Troubled ReplicaSets that are asked about before the controller has seen the generation.
const MOST_EARLY_HASHES: usize = 4;
/// Messages are cut to this many characters.
const MESSAGE_LIMIT: usize = 600;

/// What the pods say.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing is wrong.
    Fine,
    /// Something looks wrong, but whether those pods are the new ones is not known yet.
    WhichReplicaSet,
    /// A sign of failure, within its grace until then.
    Suspect(Sign, Moment),
    /// A container crashes for good; its log should be read before the verdict.
    ReadLog {
        /// The pod.
        pod: Box<str>,
        /// Its container.
        container: Box<str>,
        /// Read the run before the current one.
        previous: bool,
    },
    /// The rollout cannot succeed.
    Failed(Box<Failure>),
}

/// How long a sign may show before it is a failure.
fn grace(sign: Sign) -> Duration {
    match sign {
        Sign::ImageUnusable | Sign::ImageNotFound | Sign::Crash => Duration::ZERO,
        Sign::ContainerCreate => Duration::from_secs(15),
        Sign::ImagePull => Duration::from_secs(60),
    }
}

/// One container in trouble.
struct Trouble<'a> {
    sign: Sign,
    pod: &'a Pod,
    container: &'a PodContainer,
    reason: &'a str,
    message: &'a str,
}

/// Looks at the pods that the workload's selector found. Notes in `rollout` what must be remembered
/// for the next look: since when a sign shows, and whether a new pod was ever ready.
pub fn diagnose(
    rollout: &mut Rollout,
    workload: &Workload,
    pods: &[Arc<Pod>],
    now: Moment,
) -> Finding {
    let live = || pods.iter().map(|pod| &**pod).filter(|pod| !pod.deleting);
    if rollout.template.as_ref().is_some_and(|(of, _)| *of != workload.generation) {
        // Somebody changed the workload on the way: other pods may be the new ones now.
        rollout.template = None;
        rollout.suspicion = None;
        rollout.log_tail = None;
        rollout.ever_ready = false;
    }
    if workload.kind != Kind::Deployment {
        let own = workload.revision.clone();
        rollout.template = own.map(|revision| (workload.generation, revision));
        if rollout.template.is_none() {
            return Finding::Fine;
        }
    }
    let Some((_, hash)) = rollout.template.clone() else {
        rollout.asked_for = workload.generation;
        let mut troubled = live().filter(|pod| trouble(pod).is_some());
        let ask = if is_observed(rollout, workload) {
            rollout.asked_early.clear();
            troubled.next().is_some()
        } else {
            note_early(rollout, troubled)
        };
        return if ask { Finding::WhichReplicaSet } else { Finding::Fine };
    };
    let new: Vec<&Pod> = live().filter(|pod| pod.revision(workload.kind) == Some(&*hash)).collect();
    rollout.ever_ready |= new.iter().any(|pod| pod.ready);
    let troubles: Vec<Trouble> = new.iter().filter_map(|pod| trouble(pod)).collect();
    let Some(worst) = troubles.iter().min_by_key(|t| (t.sign, &t.pod.name)) else {
        rollout.suspicion = None;
        return Finding::Fine;
    };
    let since = match rollout.suspicion {
        Some((sign, since)) if sign == worst.sign => since,
        _ => now,
    };
    rollout.suspicion = Some((worst.sign, since));
    let bad: Vec<&Trouble> = troubles.iter().filter(|t| t.sign == worst.sign).collect();
    if worst.sign == Sign::Crash && !crashed_for_good(&bad, new.len(), rollout.ever_ready) {
        return Finding::Suspect(Sign::Crash, Moment(u64::MAX));
    }
    let until = since + grace(worst.sign);
    if now < until {
        return Finding::Suspect(worst.sign, until);
    }
    if worst.sign == Sign::Crash && rollout.log_tail.is_none() {
        let pod = worst.pod.name.clone();
        let previous = !matches!(worst.container.state, ContainerState::Terminated(_));
        return Finding::ReadLog { pod, container: worst.container.name.clone(), previous };
    }
    Finding::Failed(Box::new(Failure {
        sign: worst.sign,
        container: worst.container.name.clone(),
        image: image_of(worst.container, workload),
        reason: worst.reason.into(),
        message: clean(worst.message).into(),
        exit_code: exit_code(worst.container),
        bad_pods: bad.len(),
        new_pods: new.len(),
        old_serving: (workload.replicas.available - ready_count(&new)).max(0),
        log_tail: rollout.log_tail.clone().unwrap_or_default(),
    }))
}

/// Whether any of these pods is of a ReplicaSet that was not asked about yet. A new pod's ReplicaSet
/// was there before the pod, so asking once for each hash is enough.
fn note_early<'a>(rollout: &mut Rollout, troubled: impl Iterator<Item = &'a Pod>) -> bool {
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

/// All new pods crash, or one did three times while no new pod was ever ready.
fn crashed_for_good(bad: &[&Trouble], new_pods: usize, ever_ready: bool) -> bool {
    bad.len() == new_pods
        || !ever_ready && bad.iter().any(|t| t.container.restarts >= CRASHES_THAT_SETTLE_IT)
}

/// How the last run that ended did so.
fn exit_code(container: &PodContainer) -> Option<i32> {
    match &container.state {
        ContainerState::Terminated(run) => Some(run.exit_code),
        _ => container.last.as_ref().map(|run| run.exit_code),
    }
}

fn ready_count(pods: &[&Pod]) -> i32 {
    i32::try_from(pods.iter().filter(|pod| pod.ready).count()).unwrap_or(i32::MAX)
}

/// The image that the template gives this container; the kubelet's own text may be another name.
fn image_of(container: &PodContainer, workload: &Workload) -> Box<str> {
    let mut template = workload.containers.iter().chain(&workload.init_containers);
    let own = template.find(|c| c.name == container.name);
    own.map_or_else(|| container.image.clone(), |c| c.image.clone())
}

/// The first container of the pod that is in trouble; init containers come first.
fn trouble(pod: &Pod) -> Option<Trouble<'_>> {
    pod.containers.iter().find_map(|container| {
        let (sign, reason, message) = sign_of(container)?;
        Some(Trouble { sign, pod, container, reason, message })
    })
}

fn sign_of(container: &PodContainer) -> Option<(Sign, &str, &str)> {
    match &container.state {
        ContainerState::Waiting { reason, message } => {
            let sign = match &**reason {
                "InvalidImageName" | "ErrImageNeverPull" => Sign::ImageUnusable,
                "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
                    pull_sign(message, &container.image)
                }
                // The kubelet is only just learning of the ConfigMap or Secret.
                "CreateContainerConfigError"
                    if message.contains("failed to sync") && message.contains("cache") =>
                {
                    return None;
                }
                "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                    Sign::ContainerCreate
                }
                "CrashLoopBackOff" => {
                    let last = container.last.as_ref();
                    return Some((Sign::Crash, crash_reason(last, reason), ""));
                }
                _ => return None,
            };
            Some((sign, reason, message))
        }
        ContainerState::Terminated(run) if run.exit_code != 0 && container.restarts > 0 => {
            Some((Sign::Crash, crash_reason(Some(run), "Error"), &run.message))
        }
        ContainerState::Running | ContainerState::Terminated(_) => None,
    }
}

/// `OOMKilled` says more than `CrashLoopBackOff`.
fn crash_reason<'a>(last: Option<&'a Terminated>, otherwise: &'a str) -> &'a str {
    last.map(|run| &*run.reason).filter(|reason| *reason == "OOMKilled").unwrap_or(otherwise)
}

/// A registry's words → whether trying again can help. Words of the passing kind are looked for
/// first: "repository does not exist or may require authorization" is what a registry says to
/// somebody whose credentials it does not know.
///
/// What is an image, an address or a path is left out: `acme/authentication:9` names no trouble.
fn pull_sign(message: &str, image: &str) -> Sign {
    let is_name = |word: &&str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.contains('/') && *word != "i/o" || bare == image
    };
    let words: Vec<&str> = message.split_whitespace().filter(|word| !is_name(word)).collect();
    let message = words.join(" ").to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let may_pass = ["authorization", "unauthorized", "authentication", "denied", "forbidden"];
    let busy = ["toomanyrequests", "too many requests", "rate limit", "timeout", "no such host"];
    if says(&may_pass) || says(&busy) {
        Sign::ImagePull
    } else if says(&["not found", "manifest unknown", "no such repository", "name unknown"]) {
        Sign::ImageNotFound
    } else {
        Sign::ImagePull
    }
}

/// Control characters out, length bounded.
fn clean(message: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    message.chars().map(printable).take(MESSAGE_LIMIT).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_error_is_final_only_when_the_registry_says_that_there_is_no_such_image() {
        for (message, sign) in [
            (
                "rpc error: code = NotFound desc = failed to pull and unpack image \
              \"docker.io/library/nginx:1.99\": docker.io/library/nginx:1.99: not found",
                Sign::ImageNotFound,
            ),
            (
                "Back-off pulling image \"nginx:1.99\": ErrImagePull: manifest unknown",
                Sign::ImageNotFound,
            ),
            (
                "pull access denied, repository does not exist or may require authorization: server \
              message: insufficient_scope: authorization failed",
                Sign::ImagePull,
            ),
            (
                "failed to do request: Head \"https://r.example/v2/\": dial tcp: lookup r.example: no \
              such host",
                Sign::ImagePull,
            ),
            ("toomanyrequests: You have reached your pull rate limit", Sign::ImagePull),
            ("docker.io/acme/authentication:9: not found", Sign::ImageNotFound),
            ("dial tcp 10.0.0.1:443: i/o timeout", Sign::ImagePull),
            ("unexpected status from HEAD request: 503 Service Unavailable", Sign::ImagePull),
            ("Back-off pulling image \"nginx:1.99\"", Sign::ImagePull),
        ] {
            assert_eq!(pull_sign(message, "nginx:1.99"), sign, "{message}");
        }
    }

    #[test]
    fn a_message_is_cleaned_and_cut() {
        assert_eq!(clean("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(clean(&"x".repeat(5000)).len(), MESSAGE_LIMIT);
    }
}
