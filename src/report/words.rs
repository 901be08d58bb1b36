//! A notice → the sentences a person reads, the same in the log and in every message. `[C]`
//!
//! Each says what happened, where, and what to do next. Text that comes from the cluster or from a
//! file passes through [`printable`], so that it cannot steer a terminal.

use std::time::Duration;

mod failure;

use crate::model::{
    Change, FoundEnd, Hold, Kind, Lateness, Notice, Replicas, ServiceKey, Successor, What,
    printable,
};
use failure::{advice, failed};

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
                advice: Some(advice(failure, &notice.key)),
                log_tail: Some(log_lines(&failure.log_tail)).filter(|text| !text.is_empty()),
            };
        }
        What::TimedOut { changes, lateness, cause: Some(failure), .. } => {
            return Words {
                title: "Timed out",
                sentence: format!("{}: {}; {}", images(changes), late(lateness), failed(failure)),
                advice: Some(format!(
                    "{} depd goes on watching and says so if it recovers.",
                    advice(failure, &notice.key)
                )),
                log_tail: Some(log_lines(&failure.log_tail)).filter(|text| !text.is_empty()),
            };
        }
        What::TimedOut { changes, lateness, cause: None, replicas, .. } => (
            "Timed out",
            format!("{}: {}; {}", images(changes), late(lateness), counts(*replicas)),
            Some(format!(
                "Look at its pods: kubectl describe pods -n {namespace}. depd goes on watching and \
                 says so if it recovers."
            )),
        ),
        What::Troubled { failure, .. } => {
            ("In trouble", failed(failure), Some(failure::meanwhile(failure, &notice.key)))
        }
        What::RollingBack { changes } => ("Rolling back", images(changes), None),
        What::RolledBack { changes, .. } => (
            "Rolled back",
            format!("{} runs again", put_back(changes)),
            Some(format!(
                "{file} still asks for {}, which is not tried again until the file changes. Write an \
                 image that works to it.",
                rejected(changes)
            )),
        ),
        What::RollbackFailed { changes, refused: Some(message), .. } => (
            "Rollback failed",
            format!(
                "{} could not be put back: {}; {} is still set",
                put_back(changes),
                printable(message),
                rejected(changes)
            ),
            fix("depd does nothing more until the file changes. Write an image that works to"),
        ),
        What::RollbackFailed { changes, cause, .. } => {
            let why = cause.as_deref().map(|f| format!(": {}", failed(f))).unwrap_or_default();
            let heal = cause.as_deref().and_then(|f| failure::delete_pods(f, &notice.key));
            let heal = heal.map(|command| format!("{command} ")).unwrap_or_default();
            (
                "Rollback failed",
                format!("{} was put back and does not run either{why}", put_back(changes)),
                Some(format!(
                    "{heal}Look at its pods: kubectl describe pods -n {namespace}. depd does nothing \
                     more until {file} changes."
                )),
            )
        }
        What::Rejected { changes } => (
            "Rejected",
            format!(
                "{file} asks for {}, which failed and was rolled back; it is not tried again",
                rejected(changes)
            ),
            fix("Write an image that works to"),
        ),
        What::Recovered { changes, took } => {
            ("Recovered", format!("{} after {}", images(changes), duration(*took)), None)
        }
        What::Superseded { changes, by } => {
            let other = match by {
                Successor::File => "a newer file",
                Successor::SomebodyElse => "what somebody set in the cluster",
            };
            ("Superseded", format!("{} gave way to {other}", images(changes)), None)
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
            format!("namespace {namespace} has no workload {service}"),
            Some(apply_yaml(service, namespace)),
        ),
        What::NamespaceGone => (
            "Namespace missing",
            format!("namespace {namespace} is not there, and depd does not create it"),
            Some(create_namespace(service, namespace, &file)),
        ),
        What::NamespaceInDoubt => (
            "Namespace missing",
            format!(
                "namespace {namespace} was asked for before depd was started anew, and is not there: \
                 the request did not get through, or somebody deleted the namespace since; it is not \
                 asked for again"
            ),
            Some(create_namespace(service, namespace, &file)),
        ),
        What::NamespaceTerminating => (
            "Namespace terminating",
            format!("namespace {namespace} is being deleted"),
            Some("depd waits until that is over and looks again.".to_owned()),
        ),
        What::WorkloadDeleted => (
            "Workload deleted",
            format!("{service} was deleted from namespace {namespace}"),
            Some(format!("Apply its YAML again, or delete {file}.")),
        ),
        What::WorkloadReplaced => (
            "Workload replaced",
            format!("{service} was deleted and created anew during its rollout"),
            Some("depd starts over with the new one.".to_owned()),
        ),
        What::Drift { changes, corrected } => {
            let answer = if *corrected { "puts the file's image back" } else { "does not undo it" };
            let changes = images(changes);
            let said =
                format!("somebody changed {changes} while {file} stayed as it is; depd {answer}");
            ("Changed in the cluster", said, fix("If the new image is wanted, write it to"))
        }
        What::Held(hold, kind) => {
            let (why, resume) = held(*hold, *kind, &notice.key);
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
        What::Found { changes, end, message } => {
            let (title, text) = match end {
                FoundEnd::Well => ("Deployed", "is complete"),
                FoundEnd::Late => ("Timed out", "was there already and gets no further"),
                FoundEnd::Failed => ("Failed", "was there already and does not work"),
            };
            let why = Some(printable(message.trim_end_matches('.'))).filter(|why| !why.is_empty());
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            (title, format!("{} {text}{why}", images(changes)), None)
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

fn held(hold: Hold, kind: Kind, key: &ServiceKey) -> (String, String) {
    let (service, namespace, word) = (key.service(), key.namespace(), kind.word());
    match hold {
        Hold::Paused => (
            format!("{kind} {service} is paused"),
            format!("Resume it: kubectl rollout resume {word}/{service} -n {namespace}"),
        ),
        Hold::Annotation => (
            format!("{kind} {service} has the annotation depd.dev/paused"),
            format!("Resume it: kubectl annotate {word}/{service} -n {namespace} depd.dev/paused-"),
        ),
        Hold::OnDelete => (
            format!(
                "{kind} {service} has the update strategy OnDelete: its image is set, and each pod \
                 gets it when somebody deletes the old one"
            ),
            format!("See its pods, and delete the old ones: kubectl get pods -n {namespace}"),
        ),
    }
}

/// The images at the far end of the changes: those that were put back.
fn put_back(changes: &[Change]) -> String {
    named(changes, |change| &change.to)
}

/// The images at the near end of the changes: those that failed.
fn rejected(changes: &[Change]) -> String {
    named(changes, |change| &change.from)
}

fn named(changes: &[Change], image: fn(&Change) -> &str) -> String {
    let list: Vec<String> = changes.iter().map(|change| printable(image(change))).collect();
    list.join(", ")
}

fn create_namespace(service: &str, namespace: &str, file: &str) -> String {
    format!(
        "Create it (kubectl create namespace {namespace}) and apply the YAML of {service}, or delete \
         {file}."
    )
}

fn apply_yaml(service: &str, namespace: &str) -> String {
    format!(
        "Apply the structural YAML there: kubectl apply -n {namespace} -f {service}.yaml. The image \
         is deployed as soon as the workload appears."
    )
}

/// Line by line, so that the line ends stay and nothing else steers the terminal. Colours, which many
/// programs write, are left out rather than spelled out.
fn log_lines(text: &str) -> String {
    let line = |line: &str| printable(&without_colours(line).replace('\t', "    "));
    text.lines().map(line).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// Without the control sequences (CSI) of ECMA-48: `ESC [`, parameters, one final letter.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_final = |c: char| ('@'..='~').contains(&c);
        let rest = part.find(is_final).map_or("", |at| &part[at + 1..]);
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests;
