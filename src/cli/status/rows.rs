//! Stored states → what `depd status` shows. The shape of the JSON is a promise, which the README
//! documents: fields may be added, none changes or goes.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::print::{self, Cell};
use crate::cli::standing::{ContainerImage, images, judge, tone};
use crate::cli::stored::{age, stamp};
use crate::model::{Moment, ServiceKey, Standing};
use crate::reconcile::{Service, ServiceState};
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
    state: ServiceState,
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
            Err(_) => (ServiceState::Queued, "its state is of another version of depd".to_owned()),
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
    let images: Vec<String> = row.images.iter().map(ContainerImage::shown).collect();
    vec![
        row.service.as_str().into(),
        row.namespace.as_str().into(),
        Cell::toned(row.state.word(), tone(row.state)),
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
