//! What is told, as one document: the payload of the JSON webhook and of the command, and what lies
//! in the outbox until it is delivered. `[C]`
//!
//! Every receiver's message is rendered from it at the moment of sending, so that what waited long
//! can be told shortly (see [`digest`](super::digest)). Its shape is an interface: fields are added,
//! never changed, or else [`VERSION`] grows. All text in it is harmless ([`printable`]) and bounded.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text::{cut, cut_front};
use super::words::Words;
use crate::model::{Alert, Change, Failure, Kind, Lateness, Level, Notice, What, printable};

/// The version of the document.
pub const VERSION: u32 = 1;

/// The longest sentence, and the longest advice.
const TEXT_LIMIT: usize = 2_000;
/// The longest tail of a log.
const LOG_LIMIT: usize = 4_000;
/// The longest short reason.
const REASON_LIMIT: usize = 160;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// The same whenever this record is sent again, since what is sent again is the payload that was
    /// kept, and never that of another: it has the time in it, for one rollout can fail twice.
    pub id: String,
    /// When it happened: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// What happened, for programs: the title in lowercase with hyphens, for example `timed-out`.
    pub event: String,
    /// `good`, `warning` or `danger`.
    pub level: Level,
    /// What happened, in two or three words.
    pub title: String,
    /// What happened, in a sentence or two, without a full stop at its end.
    pub text: String,
    /// Why a rollout failed, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The last lines of a container's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The service; absent where the record is about depd itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The kind of its workload, for example `StatefulSet`, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `metadata.uid` of its workload, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Which containers change from which image to which; empty where none does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Change>,
    /// From the PATCH to the verdict, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Which rollout of the service this is, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Who owns the dep file, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// The host that depd runs on.
    pub host: String,
    /// The name of the cluster.
    pub cluster: String,
    /// It is a test: nothing happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

/// What a record says besides its notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The host that depd runs on.
    pub host: String,
    /// The name of the cluster.
    pub cluster: String,
    /// Now: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// The kind of the workload.
    pub kind: Option<Kind>,
    /// `metadata.uid` of the workload.
    pub uid: Option<String>,
    /// The number of the rollout.
    pub attempt: Option<u32>,
    /// Who owns the dep file.
    pub changed_by: Option<String>,
}

impl Record {
    /// The record of a notice; `None` for what only the log is told.
    #[must_use]
    pub fn of(notice: &Notice, words: &Words, around: &Circumstances) -> Option<Record> {
        let level = notice.what.level();
        if level == Level::Quiet {
            return None;
        }
        let (changes, took) = rollout(&notice.what);
        let key = &notice.key;
        let record = Record {
            service: Some(key.service().to_owned()),
            namespace: Some(key.namespace().to_owned()),
            kind: around.kind.map(|kind| kind.name().to_owned()),
            uid: around.uid.clone(),
            images: changes.iter().map(harmless).collect(),
            duration_ms: took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            attempt: took.and(around.attempt),
            changed_by: around.changed_by.as_deref().map(printable),
            reason: reason(&notice.what),
            ..Record::new(level, words, around)
        };
        let id = match (&record.uid, record.attempt) {
            (Some(uid), Some(attempt)) => {
                format!("{uid}/{attempt}/{}/{}", record.event, record.time)
            }
            _ => format!("{key}/{}/{}", record.event, record.time),
        };
        Some(Record { id, ..record })
    }

    /// The record of what holds everything up.
    #[must_use]
    pub fn of_alert(_: &Alert, words: &Words, around: &Circumstances) -> Record {
        let record = Record::new(Level::Danger, words, around);
        Record { id: format!("{}/{}", record.event, record.time), ..record }
    }

    fn new(level: Level, words: &Words, around: &Circumstances) -> Record {
        Record {
            version: VERSION,
            id: String::new(),
            time: around.time.clone(),
            event: words.title.to_lowercase().replace(' ', "-"),
            level,
            title: words.title.to_owned(),
            text: cut(&words.sentence, TEXT_LIMIT),
            reason: None,
            advice: words.advice.as_deref().map(|advice| cut(advice, TEXT_LIMIT)),
            log: words.log_tail.as_deref().map(|log| cut_front(log, LOG_LIMIT)),
            service: None,
            namespace: None,
            kind: None,
            uid: None,
            images: Vec::new(),
            duration_ms: None,
            attempt: None,
            changed_by: None,
            host: printable(&around.host),
            cluster: printable(&around.cluster),
            test: false,
        }
    }

    /// Nothing that a person must look at.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.level == Level::Good
    }

    /// `service (namespace)`, or nothing where it is about depd itself.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        let (service, namespace) = (self.service.as_ref()?, self.namespace.as_ref()?);
        Some(format!("{service} ({namespace})"))
    }

    /// `Failed: shop (prod)`.
    #[must_use]
    pub fn headline(&self) -> String {
        match self.subject() {
            Some(subject) => format!("{}: {subject}", self.title),
            None => self.title.clone(),
        }
    }

    /// The table under a message: names and values, each with whether it is short.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, String, bool)> {
        let mut facts = Vec::new();
        let mut add = |name, value: Option<String>, short| {
            facts.extend(value.filter(|value| !value.is_empty()).map(|value| (name, value, short)));
        };
        add("Service", self.service.clone(), true);
        add("Namespace", self.namespace.clone(), true);
        add("Image", Some(super::words::images(&self.images)), false);
        let took = self.duration_ms.map(Duration::from_millis);
        add("Duration", took.map(super::words::duration), true);
        add("Changed by", self.changed_by.clone(), true);
        facts
    }

    /// Where it comes from, for a footer.
    #[must_use]
    pub fn origin(&self) -> String {
        let parts = [("depd on ", &self.host), ("cluster ", &self.cluster)];
        let known = parts.iter().filter(|(_, value)| !value.is_empty());
        let mut text = known.map(|(what, value)| format!("{what}{value}")).collect::<Vec<_>>();
        if self.test {
            text.insert(0, "a test: nothing happened".to_owned());
        }
        if text.is_empty() { "depd".to_owned() } else { text.join(" · ") }
    }
}

fn rollout(what: &What) -> (&[Change], Option<Duration>) {
    match what {
        What::Succeeded { changes, took }
        | What::Failed { changes, took, .. }
        | What::TimedOut { changes, took, .. }
        | What::Recovered { changes, took }
        | What::RolledBack { changes, took }
        | What::RollbackFailed { changes, took, .. } => (changes, Some(*took)),
        What::Refused { changes, .. }
        | What::Drift { changes, .. }
        | What::Troubled { changes, .. }
        | What::Rejected { changes } => (changes, None),
        _ => (&[], None),
    }
}

/// Why, in a few words: a digest has no room for sentences.
fn reason(what: &What) -> Option<String> {
    let text = match what {
        What::Failed { failure, .. } | What::Troubled { failure, .. } => short(failure),
        What::RollbackFailed { cause: Some(cause), .. } => short(cause),
        What::RollbackFailed { refused: Some(message), .. } => printable(message),
        What::TimedOut { lateness, cause, .. } => {
            let late = match lateness {
                Lateness::NoProgress(limit) => {
                    format!("no progress for {}", super::words::duration(*limit))
                }
                Lateness::ProgressDeadline(message) => printable(message.trim_end_matches('.')),
            };
            match cause {
                Some(cause) => format!("{late}: {}", short(cause)),
                None => late,
            }
        }
        _ => return None,
    };
    Some(cut(&text, REASON_LIMIT))
}

fn short(failure: &Failure) -> String {
    let mut text = printable(&failure.reason);
    if let Some(code) = failure.exit_code {
        text.push_str(&format!(", exit code {code}"));
    }
    if !failure.message.is_empty() {
        text.push_str(": ");
        text.push_str(&printable(&failure.message));
    }
    text
}

fn harmless(change: &Change) -> Change {
    let clean = |text: &str| printable(text).into_boxed_str();
    Change { container: clean(&change.container), from: clean(&change.from), to: clean(&change.to) }
}
