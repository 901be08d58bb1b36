//! A pod → the sign of trouble that it shows, if any.
//!
//! Reasons and messages are those of the kubelet (`pkg/kubelet/images`, `pkg/kubelet/container`), of
//! the scheduler (`PodScheduled`), and of containerd's and CRI-O's pull errors.

use crate::model::{ContainerState, Pod, PodContainer, Sign, Terminated};

/// Messages are cut to this many characters.
const MESSAGE_LIMIT: usize = 600;

/// What one pod suffers from.
pub(super) struct Trouble<'a> {
    pub sign: Sign,
    pub pod: &'a Pod,
    /// The container in trouble, where it is about one.
    pub container: Option<&'a PodContainer>,
    pub reason: &'a str,
    pub message: &'a str,
}

impl Trouble<'_> {
    /// The message, as far as it tells something.
    pub(super) fn told(&self) -> &str {
        match self.sign {
            Sign::ImagePull | Sign::ImageNotFound | Sign::Stuck => essence(self.message),
            _ => self.message,
        }
    }
}

/// What the pod suffers from: its first container in trouble, init containers before the others, or
/// that it has no node.
pub(super) fn trouble(pod: &Pod) -> Option<Trouble<'_>> {
    let of_container = pod.containers.iter().find_map(|container| {
        let (sign, reason, message) = sign_of(container)?;
        Some(Trouble { sign, pod, container: Some(container), reason, message })
    });
    of_container.or_else(|| {
        let message = pod.unschedulable.as_deref()?;
        let reason = "Unschedulable";
        Some(Trouble { sign: Sign::Unschedulable, pod, container: None, reason, message })
    })
}

/// At the time limit it is trouble enough that a pod is not ready: which container keeps it so.
pub(super) fn unready(pod: &Pod) -> Option<Trouble<'_>> {
    if pod.ready {
        return None;
    }
    let is_done = |c: &PodContainer| matches!(&c.state, ContainerState::Terminated(run) if run.exit_code == 0);
    // An init container that is ready but not done goes on beside the others: a sidecar.
    let container = pod.containers.iter().find(|c| !(c.ready || c.init && is_done(c)));
    let (reason, message) = match container.map(|c| &c.state) {
        Some(ContainerState::Waiting { reason, message }) => (&**reason, &**message),
        Some(ContainerState::Terminated(run)) => (&*run.reason, &*run.message),
        Some(ContainerState::Running) => ("Running", ""),
        None => ("", ""),
    };
    Some(Trouble { sign: Sign::Unready, pod, container, reason, message })
}

/// How many containers of the pod have started, or have done their work: what rises is progress.
pub(super) fn advance(pod: &Pod) -> usize {
    let is_on = |c: &&PodContainer| match &c.state {
        ContainerState::Waiting { .. } => c.restarts > 0,
        ContainerState::Running | ContainerState::Terminated(_) => true,
    };
    let is_done = |c: &&PodContainer| {
        c.init && matches!(&c.state, ContainerState::Terminated(run) if run.exit_code == 0)
    };
    let containers = || pod.containers.iter();
    containers().filter(is_on).count() + containers().filter(is_done).count()
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
                    return Some((Sign::Crash, crash_reason(last, reason), words_of(last)));
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

/// What the container wrote to its termination log.
fn words_of(last: Option<&Terminated>) -> &str {
    last.map_or("", |run| &run.message)
}

/// `OOMKilled` says more than `CrashLoopBackOff`, and so does what kept it from starting.
fn crash_reason<'a>(last: Option<&'a Terminated>, otherwise: &'a str) -> &'a str {
    let telling =
        |reason: &&str| matches!(*reason, "OOMKilled" | "StartError" | "ContainerCannotRun");
    last.map(|run| &*run.reason).filter(telling).unwrap_or(otherwise)
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

/// What a pull error says at its end, without the layers that kubelet and runtime put around it.
fn essence(message: &str) -> &str {
    let layers = [
        "Back-off pulling image ",
        "ErrImagePull",
        "rpc error",
        "failed to pull and unpack image ",
        "failed to resolve reference ",
        "failed to do request",
        "Error response from daemon",
    ];
    let mut rest = message.trim();
    while layers.iter().any(|layer| rest.starts_with(layer)) {
        let Some(at) = end_of_layer(rest) else { return rest };
        rest = rest[at..].trim_start();
    }
    rest
}

/// Behind `…: `, outside of quotation marks; behind `code = … desc = ` of gRPC.
fn end_of_layer(text: &str) -> Option<usize> {
    if text.starts_with("rpc error") {
        return text.find("desc = ").map(|at| at + "desc = ".len());
    }
    let mut quoted = false;
    let end = text.char_indices().find(|(at, c)| {
        quoted ^= *c == '"';
        !quoted && text[*at..].starts_with(": ")
    });
    end.map(|(at, _)| at + 2)
}

/// Control characters out, length bounded.
pub(super) fn clean(message: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    message.chars().map(printable).take(MESSAGE_LIMIT).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture;

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
    fn the_container_that_keeps_a_pod_from_being_ready_is_none_that_is_ready_or_done() {
        let done = || {
            let (reason, message) = ("Completed".into(), "".into());
            ContainerState::Terminated(Terminated { exit_code: 0, reason, message })
        };
        let container = |name: &str, init, state, ready| PodContainer {
            name: name.into(),
            init,
            state,
            ready,
            ..fixture::pod("web", &[]).containers[0].clone()
        };
        for (init, blamed) in [
            (container("sidecar", true, ContainerState::Running, true), "app"),
            (container("setup", true, done(), false), "app"),
            (container("setup", true, done(), true), "app"),
            (container("sidecar", true, ContainerState::Running, false), "sidecar"),
        ] {
            let app = container("app", false, ContainerState::Running, false);
            let pod = Pod { containers: Box::new([init, app]), ..fixture::pod("web", &[]) };
            let found = unready(&pod).and_then(|trouble| trouble.container);
            assert_eq!(found.map(|c| &*c.name), Some(blamed), "{pod:?}");
        }
    }

    #[test]
    fn a_pull_error_is_told_by_its_end() {
        for (message, told) in [
            (
                "Back-off pulling image \"a:1\": ErrImagePull: rpc error: code = Unknown desc = failed \
                 to pull and unpack image \"docker.io/library/a:1\": failed to resolve reference \
                 \"docker.io/library/a:1\": pull access denied: server message: denied",
                "pull access denied: server message: denied",
            ),
            ("Back-off pulling image \"a:1\"", "Back-off pulling image \"a:1\""),
            ("toomanyrequests: enough", "toomanyrequests: enough"),
            (
                "failed to do request: dial tcp 192.0.2.1:443: i/o timeout",
                "dial tcp 192.0.2.1:443: i/o timeout",
            ),
            ("", ""),
        ] {
            assert_eq!(essence(message), told);
        }
    }

    #[test]
    fn a_message_is_cleaned_and_cut() {
        assert_eq!(clean("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(clean(&"x".repeat(5000)).len(), MESSAGE_LIMIT);
    }
}
