//! The store through its public face, on a real file system.

mod crash;
mod damage;
mod disk;
mod round_trip;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use tempfile::TempDir;

use super::{HistoryChange, Limits, Message, Outgoing, Reader, Remembered, Saved, ServiceChange};
use super::{Store, StoreError};
use crate::model::ServiceKey;

/// Everything that is waited for comes within this, or the test fails.
const LIMIT: Duration = Duration::from_secs(20);

fn temp() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn key(service: &str) -> ServiceKey {
    ServiceKey::new(service, "prod").expect("valid")
}

fn put(service: &str, state: &str) -> Saved {
    Saved { service: Some(ServiceChange::Put(state.into())), ..Saved::of(key(service)) }
}

fn history(service: &str, change: HistoryChange) -> Saved {
    Saved { history: vec![change], ..Saved::of(key(service)) }
}

fn started(attempt: u32) -> HistoryChange {
    HistoryChange::Started { changes: format!("[{attempt}]"), wanted: None, attempt, by: None }
}

fn ended(verdict: &'static str) -> HistoryChange {
    HistoryChange::Ended { verdict, detail: String::new() }
}

fn let_go() -> HistoryChange {
    HistoryChange::LetGo { verdict: "no longer managed", detail: String::new() }
}

fn tell(service: &str, payload: &str) -> Saved {
    let message = Message { receiver: "slack".into(), payload: payload.into() };
    Saved { messages: vec![message], ..Saved::of(key(service)) }
}

/// A store, what it remembered, and the messages that it hands over.
fn open(folder: &Path) -> (Store, Remembered, Receiver<Outgoing>) {
    open_within(folder, Limits { retry: Duration::from_millis(20), ..Limits::default() })
}

fn open_within(folder: &Path, limits: Limits) -> (Store, Remembered, Receiver<Outgoing>) {
    let (to, messages) = crossbeam_channel::unbounded();
    let committed = move |message| to.send(message).unwrap_or_default();
    let (store, remembered) = Store::open_within(folder, limits, committed).expect("opens");
    (store, remembered, messages)
}

#[track_caller]
fn refused(folder: &Path) -> StoreError {
    match Store::open(folder, |_| {}) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

#[track_caller]
fn close(store: &Store) {
    assert!(store.close(LIMIT), "everything is on disk");
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LIMIT, "waited too long until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn services(remembered: &Remembered) -> Vec<(String, &str)> {
    let services = remembered.services.iter();
    services.map(|(key, state)| (key.to_string(), state.as_str())).collect()
}

/// What waits for the receiver, as it is on disk.
#[track_caller]
fn waiting(folder: &Path) -> Vec<Outgoing> {
    let outbox = Reader::open(folder).expect("opens").outbox().expect("reads");
    let waiting = outbox.into_iter().filter(|row| row.set_aside.is_none());
    waiting.map(|row| row.message).filter(|message| message.receiver == "slack").collect()
}

fn payloads(messages: &[Outgoing]) -> Vec<(u64, &str)> {
    messages.iter().map(|message| (message.id, message.payload.as_str())).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("readable");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}
