//! Files that are not what they should be.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;

use super::*;
use crate::store::STATES_LOST;
use crate::store::schema;

/// A store with 200 services in it, closed.
fn filled(folder: &Path) {
    let (store, ..) = open(folder);
    for n in 0..200 {
        store.save(put(&format!("s{n}"), &"x".repeat(500)));
    }
    store.set_meta("cluster", "uid");
    close(&store);
}

/// Damages the database, and expects a fresh one and the old one aside.
#[track_caller]
fn check_set_aside(damage: impl FnOnce(&mut Vec<u8>)) {
    let folder = temp();
    filled(folder.path());
    let database = folder.path().join("depd.db");
    let mut bytes = fs::read(&database).expect("readable");
    damage(&mut bytes);
    fs::write(&database, &bytes).expect("writable");

    let (store, remembered, _) = open(folder.path());
    assert_eq!((remembered.services.len(), remembered.meta.len()), (0, 0));
    let [note] = &remembered.notes[..] else { panic!("{:?}", remembered.notes) };
    assert!(
        note.contains("was corrupt (") && note.contains("aside as depd.db.corrupt-1:"),
        "{note}"
    );
    assert_eq!(fs::read(folder.path().join("depd.db.corrupt-1")).expect("there"), bytes);
    store.save_and_wait(put("web", "1"));
    close(&store);
    let (_store, remembered, _) = open(folder.path());
    assert_eq!((remembered.services.len(), remembered.notes.len()), (1, 0));
}

#[test]
fn security_18_a_file_that_is_no_database_is_set_aside() {
    check_set_aside(|bytes| *bytes = b"this is not a database, but somebody's letter".repeat(100));
}

#[test]
fn security_18_a_database_with_a_broken_page_is_set_aside() {
    check_set_aside(|bytes| bytes[4096..].fill(0x55));
}

#[test]
fn security_18_a_truncated_database_is_set_aside() {
    check_set_aside(|bytes| bytes.truncate(bytes.len() / 2));
    check_set_aside(|bytes| bytes.truncate(5000));
}

#[test]
fn the_log_of_a_damaged_database_goes_with_it_and_never_into_the_new_one() {
    let (running, killed) = (temp(), temp());
    // Folded back into the database once: a log with every page in it would heal the damage.
    filled(running.path());
    let (store, ..) = open(running.path());
    store.save_and_wait(put("web", "1"));
    for name in ["depd.db", "depd.db-wal"] {
        fs::copy(running.path().join(name), killed.path().join(name)).expect("copied");
    }
    fs::write(killed.path().join("depd.db"), "garbage ".repeat(999)).expect("writable");
    let (store, remembered, _) = open(killed.path());
    assert_eq!(services(&remembered), []);
    close(&store);
    assert_eq!(
        files(killed.path()),
        ["depd.db", "depd.db.corrupt-1", "depd.db.corrupt-1-wal", "depd.lock",]
    );
}

#[test]
fn a_row_that_is_no_service_is_damage() {
    let folder = temp();
    filled(folder.path());
    let database = folder.path().join("depd.db");
    let connection = rusqlite::Connection::open(&database).expect("opens");
    connection
        .execute("UPDATE service SET namespace = '../etc' WHERE service = 's7'", ())
        .expect("tampers");
    drop(connection);
    let (_store, remembered, _) = open(folder.path());
    assert_eq!(remembered.services.len(), 0);
    assert!(remembered.notes[0].contains("a dot is not allowed"), "{:?}", remembered.notes);
}

#[test]
fn somebody_elses_database_is_not_written_into() {
    let folder = temp();
    let database = folder.path().join("depd.db");
    let connection = rusqlite::Connection::open(&database).expect("opens");
    connection.execute_batch("CREATE TABLE recipe (name TEXT)").expect("writes");
    drop(connection);
    let (_store, remembered, _) = open(folder.path());
    assert!(
        remembered.notes.last().expect("said").contains("not depd's"),
        "{:?}",
        remembered.notes
    );
    let aside = rusqlite::Connection::open(folder.path().join("depd.db.corrupt-1"));
    aside.expect("opens").execute("INSERT INTO recipe VALUES ('soup')", ()).expect("is as it was");
}

#[test]
fn an_empty_file_is_a_new_store() {
    let folder = temp();
    fs::write(folder.path().join("depd.db"), "").expect("writable");
    let error = Reader::open(folder.path()).expect_err("nothing in it");
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    let (store, remembered, _) = open(folder.path());
    assert_eq!(remembered, Remembered { notes: remembered.notes.clone(), ..Remembered::default() });
    store.save_and_wait(put("web", "1"));
    close(&store);
}

#[test]
fn three_damaged_databases_are_kept_and_the_oldest_goes() {
    let folder = temp();
    for n in 1..=5 {
        fs::write(folder.path().join("depd.db"), format!("garbage {n} ").repeat(99)).expect("ok");
        let (store, remembered, _) = open(folder.path());
        assert!(remembered.notes.last().expect("said").contains(&format!("corrupt-{n}:")));
        close(&store);
    }
    assert_eq!(
        files(folder.path()),
        ["depd.db", "depd.db.corrupt-3", "depd.db.corrupt-4", "depd.db.corrupt-5", "depd.lock",]
    );
}

#[test]
fn a_database_that_breaks_while_depd_runs_is_begun_anew_with_what_is_known() {
    let folder = temp();
    filled(folder.path());
    let database = folder.path().join("depd.db");
    let connection = rusqlite::Connection::open(&database).expect("opens");
    // Damage where a start does not look, so that it is met by a save.
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'rollout_of_service'";
    let page: u32 = connection.query_row(sql, (), |row| row.get(0)).expect("is there");
    drop(connection);
    let file = fs::OpenOptions::new().write(true).open(&database).expect("opens");
    file.write_all_at(&[0x55; 4096], u64::from(page - 1) * 4096).expect("writes");

    let (store, remembered, _) = open(folder.path());
    assert_eq!((remembered.services.len(), remembered.notes.len()), (200, 0));
    (0..3).for_each(|n| store.save_and_wait(tell("web", &n.to_string())));
    store.delivered(2);
    store.save_and_wait(Saved { history: vec![started(1)], ..put("s7", "2") });
    assert!(folder.path().join("depd.db.corrupt-1").exists());
    store.save_and_wait(put("s8", "3"));
    close(&store);
    assert_eq!(payloads(&waiting(folder.path())), [(1, "0"), (3, "2")]);
    check_nothing_lost(folder.path(), &[("s7_prod", "2"), ("s8_prod", "3")]);
}

/// The services of [`filled`], of which these have another state now.
#[track_caller]
fn check_nothing_lost(folder: &Path, changed: &[(&str, &str)]) {
    let (_store, remembered, _) = open(folder);
    assert_eq!(remembered.meta["cluster"], "uid", "the identity of the cluster is not forgotten");
    assert_eq!(remembered.meta.get(STATES_LOST), None);
    let as_filled = "x".repeat(500);
    let mut expect: BTreeMap<String, &str> =
        (0..200).map(|n| (format!("s{n}_prod"), &*as_filled)).collect();
    expect.extend(changed.iter().map(|(key, state)| ((*key).to_owned(), *state)));
    let services: BTreeMap<String, &str> = services(&remembered).into_iter().collect();
    assert_eq!(services, expect);
}

#[test]
fn a_store_that_is_deleted_under_the_running_depd_is_begun_anew_with_what_was_in_it() {
    let folder = temp();
    let state = folder.path().join("state");
    filled(&state);
    let (store, _, messages) = open(&state);
    store.set_meta("folder", "/deps");
    store.save_and_wait(put("web", "0"));
    store.save_and_wait(tell("web", "before"));
    store.save_and_wait(history("web", started(1)));
    store.save_and_wait(history("web", ended("deployed")));
    store.save_and_wait(history("web", started(2)));
    let before = Reader::open(&state).expect("opens").history(None, 9).expect("reads");
    fs::remove_dir_all(&state).expect("ours");
    store.save_and_wait(put("web", "1"));
    store.save_and_wait(tell("web", "x"));
    let told: Vec<_> = messages.iter().take(2).map(|message| message.payload).collect();
    assert_eq!(told, ["before", "x"], "nothing is handed over twice");
    close(&store);
    assert_eq!(payloads(&waiting(&state)), [(1, "before"), (2, "x")]);
    let reader = Reader::open(&state).expect("opens");
    assert_eq!(reader.history(None, 9).expect("reads"), before);
    assert_eq!(before.len(), 2);
    assert_eq!(Reader::open(&state).expect("opens").meta().expect("reads")["folder"], "/deps");
    check_nothing_lost(&state, &[("web_prod", "1")]);
}

#[test]
fn a_store_that_is_replaced_by_an_older_copy_gets_what_is_newer() {
    let folder = temp();
    filled(folder.path());
    let database = folder.path().join("depd.db");
    let copy = folder.path().join("copy");
    fs::copy(&database, &copy).expect("copied");
    let (store, ..) = open(folder.path());
    store.save_and_wait(put("s7", "7"));
    store.save_and_wait(tell("web", "newer"));
    for end in ["-wal", "-shm"] {
        fs::remove_file(folder.path().join(format!("depd.db{end}"))).expect("there");
    }
    fs::rename(&copy, &database).expect("replaces it");
    store.save_and_wait(put("web", "1"));
    close(&store);
    assert_eq!(payloads(&waiting(folder.path())), [(1, "newer")]);
    check_nothing_lost(folder.path(), &[("s7_prod", "7"), ("web_prod", "1")]);
}

#[test]
fn fault_40_a_depd_whose_state_was_deleted_locks_it_anew() {
    let folder = temp();
    let state = folder.path().join("state");
    let (store, ..) = open(&state);
    fs::remove_dir_all(&state).expect("ours");
    store.save_and_wait(put("web", "1"));
    let running = format!("already running, pid {}", std::process::id());
    assert_eq!(refused(&state).to_string(), running);
    // The lock alone is as good as all of it.
    fs::remove_file(state.join("depd.lock")).expect("there");
    store.save_and_wait(put("web", "2"));
    assert_eq!(refused(&state).to_string(), running);
    close(&store);
}

#[test]
fn fault_40_a_depd_whose_state_was_deleted_and_taken_by_another_ends_and_writes_nothing() {
    let folder = temp();
    let state = folder.path().join("state");
    let (first, _, messages) = open(&state);
    first.save_and_wait(put("web", "1"));
    fs::remove_dir_all(&state).expect("ours");
    let (second, ..) = open(&state);
    second.save_and_wait(tell("web", "of the second"));
    let (ended, end) = crossbeam_channel::bounded(1);
    first.when_taken_over(move || ended.send(()).expect("once"));
    first.save(Saved { messages: tell("web", "of the first").messages, ..put("web", "2") });
    end.recv_timeout(LIMIT).expect("it is noticed");
    let error = first.taken_over().expect("it is known");
    let pid = std::process::id();
    assert!(error.to_string().contains(&format!("by another depd, pid {pid}:")), "{error}");
    assert!(!first.close(LIMIT), "what cannot be saved is not called saved");
    assert!(messages.is_empty(), "the second tells now");
    close(&second);
    assert_eq!(payloads(&waiting(&state)), [(1, "of the second")]);
    assert_eq!(services(&open(&state).1), []);
}

#[test]
fn fault_40_nobody_acts_on_an_intent_that_a_taken_over_store_cannot_keep() {
    let folder = temp();
    let state = folder.path().join("state");
    let limits = Limits { wait: Duration::from_millis(20), ..Limits::default() };
    let (first, ..) = open_within(&state, limits);
    first.save_and_wait(put("web", "1"));
    fs::remove_dir_all(&state).expect("ours");
    let (_second, ..) = open(&state);
    first.save(tell("web", "2"));
    wait_until("it is noticed", || first.taken_over().is_some());
    // As a disk leaves it that did not answer before.
    first.shared.stuck.store(true, std::sync::atomic::Ordering::Relaxed);
    let (told, returned) = crossbeam_channel::bounded(2);
    std::thread::scope(|scope| {
        for service in ["api", "db"] {
            let (first, told) = (&first, told.clone());
            scope.spawn(move || {
                first.save_and_wait(put(service, "1"));
                let is_closed = first.shared.pending.lock().closing;
                told.send(is_closed).expect("there is room");
            });
        }
        let early = returned.recv_timeout(limits.wait * 5);
        assert!(!first.close(LIMIT), "nothing more is saved");
        assert_eq!(early, Err(crossbeam_channel::RecvTimeoutError::Timeout));
    });
    assert!(returned.iter().take(2).all(|is_closed| is_closed));
}

#[test]
fn the_store_of_a_newer_depd_is_refused_and_left_as_it_is() {
    let folder = temp();
    filled(folder.path());
    let database = folder.path().join("depd.db");
    let connection = rusqlite::Connection::open(&database).expect("opens");
    connection.pragma_update(None, "user_version", 99).expect("writes");
    drop(connection);
    let before = fs::read(&database).expect("readable");
    let shown = database.canonicalize().expect("there");
    let expect = format!(
        "the store {} has schema version 99, and this depd knows versions up to {}: start the \
         newer depd again, or choose another folder with --state",
        shown.display(),
        schema::VERSION
    );
    assert_eq!(refused(folder.path()).to_string(), expect);
    assert_eq!(Reader::open(folder.path()).expect_err("newer").to_string(), expect);
    assert_eq!(fs::read(&database).expect("readable"), before);
    // The lock went with the refusal.
    assert!(matches!(refused(folder.path()), StoreError::Newer { found: 99, .. }));
}

#[test]
fn a_missing_store_is_a_clear_error_for_a_reader_and_nothing_is_made() {
    let folder = temp();
    let error = Reader::open(folder.path()).expect_err("missing");
    let shown = folder.path().canonicalize().expect("there");
    assert_eq!(
        error.to_string(),
        format!(
            "there is no store {}/depd.db: start depd with the same --state first",
            shown.display()
        )
    );
    assert_eq!(files(folder.path()), [""; 0]);
}

#[test]
fn a_corrupt_store_is_an_error_for_a_reader_and_left_alone() {
    let folder = temp();
    fs::write(folder.path().join("depd.db"), "garbage ".repeat(99)).expect("writable");
    let error = Reader::open(folder.path()).expect_err("corrupt");
    assert!(error.to_string().contains("file is not a database"), "{error}");
    assert_eq!(files(folder.path()), ["depd.db"]);
}
