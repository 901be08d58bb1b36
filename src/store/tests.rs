//! The store against files that are new, kept, locked, corrupt, newer, or on a disk that is full.

use std::fs;
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;
use crate::model::fixture::key;

const LIMIT: Duration = Duration::from_secs(60);

struct Opened {
    store: Store,
    remembered: Remembered,
    sent: Arc<Mutex<Vec<Outgoing>>>,
}

fn open(folder: &TempDir) -> Opened {
    let sent: Arc<Mutex<Vec<Outgoing>>> = Arc::default();
    let kept = Arc::clone(&sent);
    let (store, remembered) =
        Store::open(folder.path(), move |message| kept.lock().push(message)).expect("it opens");
    Opened { store, remembered, sent }
}

fn step(name: &str, state: &str, message: Option<&str>) -> Saved {
    Saved {
        key: key(name),
        service: Some(ServiceChange::Put(state.into())),
        history: Vec::new(),
        messages: message.map(str::to_owned).into_iter().collect(),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn what_was_saved_is_remembered_and_what_was_delivered_is_not_sent_again() {
    let folder = folder();
    let first = open(&folder);
    first.store.save(step("web", "1", Some("hello")));
    first.store.save(step("web", "2", None));
    first.store.save(step("api", "3", Some("world")));
    first.store.save(Saved { service: Some(ServiceChange::Remove), ..step("api", "", None) });
    first.store.set_meta("cluster", "abc");
    first.store.save_and_wait(step("gone", "4", Some("never taken")));
    let ids: Vec<i64> = first.sent.lock().iter().map(|message| message.id).collect();
    first.store.delivered(ids[0]);
    first.store.set_aside(ids[2], "invalid_payload");
    assert!(first.store.close(LIMIT));
    drop(first);
    let mut second = open(&folder).remembered;
    second.services.sort();
    assert_eq!(second.services, [(key("gone"), "4".into()), (key("web"), "2".into())]);
    assert_eq!(second.messages, [Outgoing { id: ids[1], payload: "world".into() }]);
    assert_eq!(second.meta["cluster"], "abc");
    assert!(second.notes.is_empty());
}

#[test]
fn the_history_keeps_the_last_rollouts_with_their_verdicts() {
    let folder = folder();
    let opened = open(&folder);
    for n in 0..120 {
        let started = HistoryChange::Started { changes: format!("nginx:{n}") };
        let ended = HistoryChange::Ended { verdict: "Deployed", detail: "fine".into() };
        opened.store.save(Saved { history: vec![started, ended], ..step("web", "1", None) });
    }
    assert!(opened.store.close(LIMIT));
    let reader = rusqlite::Connection::open(folder.path().join("depd.db")).expect("readable");
    let sql = "SELECT count(*), min(changes), max(id), count(verdict) FROM rollouts";
    let found = reader.query_row(sql, (), |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)));
    let (count, oldest, newest, verdicts): (i64, String, i64, i64) = found.expect("a row");
    assert_eq!((count, newest, verdicts), (100, 120, 100));
    assert_eq!(oldest, "nginx:100", "as text, the smallest of 20 to 119");
}

#[test]
fn fault_40_a_second_depd_is_told_who_runs() {
    let folder = folder();
    let _first = open(&folder);
    let second = Store::open(folder.path(), drop).expect_err("it is taken");
    assert_eq!(second.to_string(), format!("already running, pid {}", std::process::id()));
}

#[test]
fn a_stale_lock_is_no_lock() {
    let folder = folder();
    fs::write(folder.path().join("depd.lock"), "999999\n").expect("written");
    open(&folder);
}

#[test]
fn security_18_a_corrupt_store_is_set_aside_and_made_anew() {
    for broken in [&b"this is no database at all, but long enough to be one"[..], &[0; 4096]] {
        let folder = folder();
        fs::write(folder.path().join("depd.db"), broken).expect("written");
        let opened = open(&folder);
        assert!(opened.remembered.notes[0].contains("set aside"), "{:?}", opened.remembered.notes);
        opened.store.save_and_wait(step("web", "1", None));
        assert!(folder.path().join("depd.db.corrupt-1").exists());
    }
}

#[test]
fn a_store_that_was_cut_is_set_aside() {
    let folder = folder();
    let opened = open(&folder);
    for n in 0..500 {
        opened.store.save(step(&format!("web-{n}"), &"x".repeat(200), None));
    }
    assert!(opened.store.close(LIMIT));
    drop(opened);
    let file = folder.path().join("depd.db");
    rusqlite::Connection::open(&file)
        .and_then(|c| c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())))
        .expect("all in one file");
    let content = fs::read(&file).expect("readable");
    fs::write(&file, &content[..content.len() / 2 + 100]).expect("written");
    let opened = open(&folder);
    assert!(opened.remembered.notes[0].contains("set aside"), "{:?}", opened.remembered.notes);
}

#[test]
fn a_store_of_a_newer_depd_is_refused_with_its_version() {
    let folder = folder();
    drop(open(&folder));
    rusqlite::Connection::open(folder.path().join("depd.db"))
        .and_then(|c| c.execute_batch("PRAGMA user_version = 99"))
        .expect("written");
    let error = Store::open(folder.path(), drop).expect_err("it is newer").to_string();
    assert!(error.contains("newer depd (layout 99, this one knows 1)"), "{error}");
}

#[test]
fn fault_38_a_full_disk_stops_neither_messages_nor_workers_and_is_made_up_for() {
    let folder = folder();
    drop(open(&folder));
    let (connection, _) = schema::open(folder.path()).ok().expect("it opens");
    let pages: i64 =
        connection.query_row("PRAGMA page_count", (), |row| row.get(0)).expect("a number");
    let limit = |connection: &rusqlite::Connection, pages: i64| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        connection.query_row(&sql, (), |_| Ok(())).expect("set");
    };
    limit(&connection, pages);
    let (jobs, inbox) = bounded(8);
    let (sent, arrived) = bounded(8);
    let send = move |message: Outgoing| sent.send(message).expect("room");
    let mut writer = Writer::new(connection, inbox, Box::new(send));
    let big = "x".repeat(100_000);
    let save = |message| {
        let (done, wait) = bounded(1);
        jobs.send(Job::Save { step: step("web", &big, message), done: Some(done) }).expect("open");
        wait
    };
    let waits = save(Some("hello"));
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            writer.run();
            writer
        });
        waits.recv_timeout(LIMIT).expect("nobody waits for a full disk");
        assert_eq!(arrived.recv_timeout(LIMIT).expect("it goes on").payload, "hello");
        drop(jobs);
        let mut writer = running.join().expect("it ends");
        assert_eq!(writer.owed.len(), 1);
        limit(&writer.connection, 1_000_000);
        writer.write(Vec::new());
        assert_eq!(writer.owed.len(), 0);
    });
    assert_eq!(open(&folder).remembered.services, [(key("web"), big)]);
}
