//! Stored states → what `depd status` shows. The shape of the JSON is a promise, which the README
//! documents: fields may be added, none changes or goes.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::print::{self, Cell, Tone};
use crate::cli::stored::{age, stamp};
use crate::model::{ImageSet, Moment, Notice, ServiceKey, Standing, What};
use crate::reconcile::{Phase, Service};
use crate::report::words::words;
use crate::store::{Holder, StoredMessage, StoredRollout, StoredService};

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Status {
    daemon: Daemon,
    services: Vec<Row>,
    messages: Messages,
}

/// Whether a depd works with the store now.
#[derive(Debug, Serialize)]
struct Daemon {
    /// Null where that cannot be told.
    running: Option<bool>,
    pid: Option<u32>,
    /// After so many failures in a row nothing is started until depd resume --all; null where it is.
    halted_after: Option<u32>,
}

/// One service.
#[derive(Debug, Serialize)]
struct Row {
    service: String,
    namespace: String,
    state: State,
    /// What its file asks for; the container is null where the file names none.
    images: Vec<ContainerImage>,
    /// Rollouts so far.
    attempts: u32,
    /// When the state changed last.
    since: String,
    /// Why, where there is more to say; else empty.
    detail: String,
    #[serde(skip)]
    changed_ms: i64,
}

/// One image.
#[derive(Debug, Serialize)]
struct ContainerImage {
    container: Option<String>,
    image: String,
}

/// Where a service stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Queued,
    Pending,
    RollingOut,
    Deployed,
    RollingBack,
    RolledBack,
    Failed,
    TimedOut,
    Refused,
    Held,
    Drifted,
    DoesNotFit,
    BadFile,
}

/// Messages that nobody has acknowledged.
#[derive(Debug, Serialize)]
struct Messages {
    /// Still to be sent.
    waiting: usize,
    /// Refused for good by their receiver.
    set_aside: Vec<SetAside>,
}

/// A message that will not be sent any more.
#[derive(Debug, Serialize)]
struct SetAside {
    receiver: String,
    /// Empty, like the namespace, where the message is about depd itself.
    service: String,
    namespace: String,
    why: String,
    since: String,
}

impl Status {
    /// Of everything that the store holds.
    pub fn new(
        (holder, standing): (Holder, Standing),
        services: &[StoredService],
        rollouts: &[StoredRollout],
        messages: &[StoredMessage],
    ) -> Status {
        let newest: HashMap<&ServiceKey, &StoredRollout> =
            rollouts.iter().map(|rollout| (&rollout.key, rollout)).collect();
        let row = |stored: &StoredService| Row::new(stored, newest.get(&stored.key).copied());
        let (running, pid) = match holder {
            Holder::Nobody => (Some(false), None),
            Holder::Process(pid) => (Some(true), Some(pid)),
            Holder::Unknown => (None, None),
        };
        Status {
            daemon: Daemon {
                running,
                pid,
                halted_after: standing.halted.then_some(standing.failures),
            },
            services: services.iter().map(row).collect(),
            messages: Messages::new(messages),
        }
    }

    /// Forgets every other service.
    pub fn only(&mut self, key: &ServiceKey) {
        self.services
            .retain(|row| row.service == key.service() && row.namespace == key.namespace());
    }
}

impl Messages {
    fn new(messages: &[StoredMessage]) -> Messages {
        let set_aside = messages.iter().filter_map(|stored| {
            let (why, at) = stored.set_aside.as_ref()?;
            let key = stored.message.key.as_ref();
            Some(SetAside {
                receiver: stored.message.receiver.clone(),
                service: key.map(|key| key.service().to_owned()).unwrap_or_default(),
                namespace: key.map(|key| key.namespace().to_owned()).unwrap_or_default(),
                why: why.clone(),
                since: stamp(*at),
            })
        });
        let set_aside: Vec<SetAside> = set_aside.collect();
        Messages { waiting: messages.len() - set_aside.len(), set_aside }
    }
}

impl Row {
    fn new(stored: &StoredService, newest: Option<&StoredRollout>) -> Row {
        let read = serde_json::from_str::<Service>(&stored.state);
        let (state, detail) = match &read {
            Ok(service) => judge(&stored.key, service, newest),
            Err(_) => (State::Queued, "its state is of another version of depd".to_owned()),
        };
        let service = read.unwrap_or_default();
        Row {
            service: stored.key.service().to_owned(),
            namespace: stored.key.namespace().to_owned(),
            state,
            images: service.phase.desired().map(images).unwrap_or_default(),
            attempts: service.attempts,
            since: stamp(stored.changed_ms),
            detail,
            changed_ms: stored.changed_ms,
        }
    }
}

fn images(set: &ImageSet) -> Vec<ContainerImage> {
    let image = |container: Option<&str>, image: &dyn ToString| ContainerImage {
        container: container.map(str::to_owned),
        image: image.to_string(),
    };
    match set {
        ImageSet::Single(one) => vec![image(None, one)],
        ImageSet::Named(pairs) => {
            pairs.iter().map(|(container, one)| image(Some(container), one)).collect()
        }
    }
}

/// What matters most about a service, and why it is so.
fn judge(key: &ServiceKey, service: &Service, newest: Option<&StoredRollout>) -> (State, String) {
    let sentence = |what: &What| words(&Notice { key: key.clone(), what: what.clone() }).sentence;
    let complaint = service.complaint.as_ref();
    if let Some(problem) = &service.told_problem {
        return (State::BadFile, sentence(&What::BadFile(problem.clone())));
    }
    if let Some(problem) = &service.told_misfit {
        return (State::DoesNotFit, sentence(&What::Unfit(problem.clone())));
    }
    match complaint {
        Some(what @ What::Held(..)) => return (State::Held, sentence(what)),
        Some(what @ What::Drift { .. }) => return (State::Drifted, sentence(what)),
        _ => {}
    }
    let state = match &service.phase {
        Phase::New => State::Queued,
        Phase::Waiting(_) => State::Pending,
        Phase::Patching(_) | Phase::Rolling(_) => State::RollingOut,
        Phase::Returning(_) | Phase::RollingBack(_) => State::RollingBack,
        Phase::Settled(settled) if service.rejected.as_ref() == Some(&settled.desired) => {
            State::RolledBack
        }
        Phase::Settled(_) => State::Deployed,
        Phase::Refused(_) => State::Refused,
        Phase::Broken(_) => match ended(newest) {
            Some(("Timed out", _)) => State::TimedOut,
            _ => State::Failed,
        },
    };
    let told = service.request_complaint.as_ref().or(complaint).map(sentence);
    let detail = match state {
        State::Failed | State::TimedOut | State::Refused | State::RolledBack => {
            ended(newest).map(|(_, detail)| detail.to_owned()).or(told)
        }
        _ => told,
    };
    (state, detail.unwrap_or_default())
}

fn ended(newest: Option<&StoredRollout>) -> Option<(&str, &str)> {
    let end = newest?.end.as_ref()?;
    Some((&end.verdict, &end.detail))
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Pending => "pending",
            State::RollingOut => "rolling out",
            State::RollingBack => "rolling back",
            State::RolledBack => "rolled back",
            State::Deployed => "deployed",
            State::Failed => "failed",
            State::TimedOut => "timed out",
            State::Refused => "refused",
            State::Held => "held",
            State::Drifted => "drifted",
            State::DoesNotFit => "does not fit",
            State::BadFile => "bad file",
        }
    }

    fn tone(self) -> Tone {
        match self {
            State::Deployed => Tone::Good,
            State::Failed | State::Refused | State::DoesNotFit | State::BadFile => Tone::Bad,
            State::Pending
            | State::TimedOut
            | State::RollingBack
            | State::RolledBack
            | State::Held
            | State::Drifted => Tone::Warning,
            State::Queued | State::RollingOut => Tone::Plain,
        }
    }
}

/// The lines for people.
pub fn table(status: &Status, now: Moment, colours: bool) -> String {
    let mut text = match (status.daemon.running, status.daemon.pid) {
        (Some(true), Some(pid)) => format!("depd runs, pid {pid}\n"),
        (Some(true), None) => "depd runs\n".to_owned(),
        (Some(false), _) => "depd does not run: what follows is how it left things\n".to_owned(),
        (None, _) => "whether depd runs cannot be told here\n".to_owned(),
    };
    if let Some(failures) = status.daemon.halted_after {
        let _ = writeln!(
            text,
            "everything is held: {failures} rollouts failed in a row; go on with depd resume --all"
        );
    }
    let rows: Vec<Vec<Cell>> = status.services.iter().map(|row| cells(row, now)).collect();
    if rows.is_empty() {
        text.push_str("no services\n");
    } else {
        let titles = ["SERVICE", "NAMESPACE", "STATE", "SINCE", "IMAGES", "DETAIL"];
        text.push_str(&print::table(&titles, &rows, colours));
    }
    text + &undelivered(&status.messages)
}

fn cells(row: &Row, now: Moment) -> Vec<Cell> {
    let shown = |image: &ContainerImage| match &image.container {
        Some(container) => format!("{container}={}", image.image),
        None => image.image.clone(),
    };
    let images: Vec<String> = row.images.iter().map(shown).collect();
    vec![
        row.service.as_str().into(),
        row.namespace.as_str().into(),
        Cell::toned(row.state.word(), row.state.tone()),
        age(row.changed_ms, now).into(),
        images.join(", ").into(),
        row.detail.replace('\n', " ").into(),
    ]
}

fn undelivered(messages: &Messages) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if messages.waiting > 0 {
        let _ = writeln!(text, "{} not delivered yet", count(messages.waiting));
    }
    if let Some(last) = messages.set_aside.last() {
        let (many, receiver) = (count(messages.set_aside.len()), &last.receiver);
        let why = &last.why;
        let _ = writeln!(text, "{many} given up; the last one, to {receiver}: {why}");
    }
    text
}

fn count(messages: usize) -> String {
    let many = if messages == 1 { "message" } else { "messages" };
    format!("{messages} {many}")
}

#[cfg(test)]
mod tests;
