//! A notice → the sentences a person reads, the same in the log and in every message. `[C]`
//!
//! Each says what happened, where, and what to do next. Text that comes from the cluster or from a
//! file passes through [`printable`], so that it cannot steer a terminal.

use std::time::Duration;

use crate::model::{Change, Failure, Hold, Lateness, Notice, Replicas, Sign, What, printable};

/// What to say about a notice. No text ends with a full stop but the advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Two or three words: what happened. For example `Deployed`.
    pub title: &'static str,
    /// What happened, in a sentence or two.
    pub sentence: String,
    /// What to do next, where there is something to do.
    pub advice: Option<String>,
    /// The last lines of a log, where they explain it.
    pub log_tail: Option<String>,
}

/// Finds the words.
#[must_use]
pub fn words(notice: &Notice) -> Words {
    let (service, namespace) = (notice.key.service(), notice.key.namespace());
    let file = notice.key.file_name();
    let fix = |what: &str| Some(format!("{what} {file}."));
    let (title, sentence, advice) = match &notice.what {
        What::Started { changes } => ("Rolling out", images(changes), None),
        What::Progressed { replicas } => ("Progress", counts(*replicas), None),
        What::Succeeded { changes, took } => {
            ("Deployed", format!("{} in {}", images(changes), duration(*took)), None)
        }
        What::Failed { failure, .. } => {
            return Words {
                title: "Failed",
                sentence: failed(failure),
                advice: Some(format!("{} {file}.", remedy(failure.sign))),
                log_tail: Some(log_lines(&failure.log_tail)).filter(|text| !text.is_empty()),
            };
        }
        What::TimedOut { changes, lateness, replicas, .. } => (
            "Timed out",
            format!("{}: {}; {}", images(changes), late(lateness), counts(*replicas)),
            Some(format!(
                "Look at its pods: kubectl describe pods -n {namespace}. depd goes on watching and \
                 says so if it recovers."
            )),
        ),
        What::Recovered { changes, took } => {
            ("Recovered", format!("{} after {}", images(changes), duration(*took)), None)
        }
        What::Superseded { changes } => {
            ("Superseded", format!("{} gave way to a newer file", images(changes)), None)
        }
        What::Refused { changes, message } => (
            "Refused",
            format!("the API server does not accept {}: {}", images(changes), printable(message)),
            fix("It is tried again when the workload changes, or when you change"),
        ),
        What::ImageMissing { message, .. } => (
            "Image missing",
            printable(message),
            fix("Nothing was changed. It is looked for every minute; push it, or change"),
        ),
        What::RegistryUnready(text) => (
            "No access to the registry",
            printable(text),
            Some("depd tries again every 30 s; other services are not held up.".to_owned()),
        ),
        What::NamespaceCreated => (
            "Namespace created",
            format!(
                "namespace {namespace} was missing and was created; {service} is not in it yet"
            ),
            Some(apply_yaml(service, namespace)),
        ),
        What::WorkloadMissing => (
            "Workload missing",
            format!("namespace {namespace} has no Deployment {service}"),
            Some(apply_yaml(service, namespace)),
        ),
        What::NamespaceGone => (
            "Namespace gone",
            format!("namespace {namespace} was deleted, and is not created again"),
            Some(format!(
                "Create it (kubectl create namespace {namespace}) and apply the YAML of {service}, \
                 or delete {file}."
            )),
        ),
        What::NamespaceTerminating => (
            "Namespace terminating",
            format!("namespace {namespace} is being deleted"),
            Some("depd waits until that is over and looks again.".to_owned()),
        ),
        What::WorkloadDeleted => (
            "Workload deleted",
            format!("Deployment {service} was deleted from namespace {namespace}"),
            Some(format!("Apply its YAML again, or delete {file}.")),
        ),
        What::WorkloadReplaced => (
            "Workload replaced",
            format!("Deployment {service} was deleted and created anew during its rollout"),
            Some("depd starts over with the new one.".to_owned()),
        ),
        What::Drift { changes, corrected } => {
            let answer = if *corrected { "puts the file's image back" } else { "does not undo it" };
            let changes = images(changes);
            let said =
                format!("somebody changed {changes} while {file} stayed as it is; depd {answer}");
            ("Changed in the cluster", said, fix("If the new image is wanted, write it to"))
        }
        What::Held(hold) => {
            let (why, resume) = held(*hold, service, namespace);
            ("Held", why, Some(resume))
        }
        What::Lifted => ("Resumed", "the hold was lifted".to_owned(), None),
        What::Unfit(problem) => {
            ("Does not fit", printable(&problem.to_string()), fix("Nothing was changed. Correct"))
        }
        What::BadFile(problem) => (
            "Bad dep file",
            printable(&problem.to_string()),
            fix("Nothing was changed; what the file said before stays in force. Correct"),
        ),
        What::NotPermitted(text) => (
            "Not permitted",
            printable(text),
            Some("depd tries again every 30 s; nothing else is held up.".to_owned()),
        ),
        What::Unreachable(text) => {
            ("Unreachable", printable(text), Some("depd goes on trying.".to_owned()))
        }
        What::ImageRewritten { changes } => {
            ("Image rewritten", format!("the API server stored {}", images(changes)), None)
        }
        What::AlreadyRuns => ("Up to date", "already runs what its file asks for".to_owned(), None),
        What::Unmanaged => (
            "No longer managed",
            format!("{file} is gone or empty; the workload stays as it is"),
            None,
        ),
    };
    Words { title, sentence, advice, log_tail: None }
}

/// `nginx:1.24 → nginx:1.25`; with several containers each is named.
#[must_use]
pub fn images(changes: &[Change]) -> String {
    let show = |change: &Change| {
        let (from, to) = (printable(&change.from), printable(&change.to));
        if from == to { to } else { format!("{from} → {to}") }
    };
    match changes {
        [one] => show(one),
        several => {
            let named = |change: &Change| format!("{}: {}", change.container, show(change));
            several.iter().map(named).collect::<Vec<_>>().join(", ")
        }
    }
}

/// `850 ms`, `7.2 s`, `3 min 05 s`.
#[must_use]
pub fn duration(took: Duration) -> String {
    let ms = took.as_millis();
    match took.as_secs() {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// How many of how many new pods are in which trouble, and whether the old ones still serve.
fn failed(f: &Failure) -> String {
    let pods = format!("{} of {} new pods", f.bad_pods, f.new_pods);
    let (image, container) = (printable(&f.image), &f.container);
    let reason = printable(&f.reason);
    let trouble = match f.sign {
        Sign::ImageUnusable => format!("{pods} cannot use the image {image} ({reason})"),
        Sign::ImageNotFound => format!("{pods} cannot pull {image} (not found, {reason})"),
        Sign::ImagePull => format!("{pods} cannot pull {image} ({reason})"),
        Sign::ContainerCreate => format!("{pods} cannot create container {container} ({reason})"),
        Sign::Crash => {
            let code = f.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
            format!("{pods} crash in container {container} with {image} ({reason}{code})")
        }
    };
    let words = match printable(&f.message) {
        message if message.is_empty() => String::new(),
        message => format!(": {message}"),
    };
    let serve = match f.old_serving {
        0 => "No old pod serves any more".to_owned(),
        1 => "The old pod still serves".to_owned(),
        n => format!("The {n} old pods still serve"),
    };
    format!("{trouble}{words}. {serve}")
}

fn remedy(sign: Sign) -> &'static str {
    match sign {
        Sign::ImageUnusable | Sign::ImageNotFound => "Write an image that exists to",
        Sign::ImagePull => "Check the registry's credentials and reachability, or change",
        Sign::ContainerCreate => "Check the Secrets and ConfigMaps it needs, or change",
        Sign::Crash => "Read its log, then write an image that starts to",
    }
}

fn late(lateness: &Lateness) -> String {
    match lateness {
        Lateness::NoProgress(limit) => format!("no progress for {}", duration(*limit)),
        Lateness::ProgressDeadline(message) => printable(message.trim_end_matches('.')),
    }
}

fn counts(r: Replicas) -> String {
    let old = match r.total - r.updated {
        1.. => format!(", {} old left", r.total - r.updated),
        _ => String::new(),
    };
    format!("{} of {} pods updated, {} available{old}", r.updated, r.wanted, r.available)
}

fn held(hold: Hold, service: &str, namespace: &str) -> (String, String) {
    match hold {
        Hold::Paused => (
            format!("Deployment {service} is paused"),
            format!("Resume it: kubectl rollout resume deployment/{service} -n {namespace}"),
        ),
        Hold::Annotation => (
            format!("Deployment {service} has the annotation depd.dev/paused"),
            format!(
                "Resume it: kubectl annotate deployment/{service} -n {namespace} depd.dev/paused-"
            ),
        ),
    }
}

fn apply_yaml(service: &str, namespace: &str) -> String {
    format!(
        "Apply the structural YAML there: kubectl apply -n {namespace} -f {service}.yaml. The image \
         is deployed as soon as the Deployment appears."
    )
}

/// Line by line, so that the line ends stay and nothing else steers the terminal.
fn log_lines(text: &str) -> String {
    text.lines()
        .map(|line| printable(&line.replace('\t', "    ")))
        .collect::<Vec<_>>()
        .join("\n")
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests;
