//! Disks that are full, read-only, slow or not there. Fault 38.

use std::process::Command;
use std::sync::{Arc, Barrier};

use super::*;

/// A file system of its own, unmounted at the end; `None` where that is not permitted.
struct Mount<'a>(&'a Path);

impl Mount<'_> {
    fn small(at: &Path) -> Option<Mount<'_>> {
        let options = ["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"];
        run("mount", &options, at).then_some(Mount(at))
    }

    #[track_caller]
    fn remount(&self, option: &str) {
        assert!(run("mount", &["-o", &format!("remount,{option}")], self.0));
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        run("umount", &["--lazy"], self.0);
    }
}

fn run(program: &str, arguments: &[&str], at: &Path) -> bool {
    match Command::new(program).args(arguments).arg(at).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            println!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
            false
        }
        Err(error) => {
            println!("{program}: {error}");
            false
        }
    }
}

/// Saves messages until one is handed over that is not on disk; returns how many there are.
fn fill(store: &Store, folder: &Path, messages: &Receiver<Outgoing>) -> u64 {
    for n in 1..1000 {
        store.save_and_wait(tell("big", &"x".repeat(20_000)));
        let message = messages.recv_timeout(LIMIT).expect("handed over, disk or no disk");
        assert_eq!(message.id, n);
        if on_disk(folder) < n {
            return n;
        }
    }
    panic!("the disk does not get full");
}

fn on_disk(folder: &Path) -> u64 {
    Reader::open(folder).expect("opens").outbox().expect("reads").len() as u64
}

/// A store on a full disk: what came in while it was full is saved as soon as `heal` made room.
#[track_caller]
fn check_full(folder: &Path, limits: Limits, heal: impl FnOnce(&Store, u64)) {
    let (store, _, messages) = open_within(folder, limits);
    let told = fill(&store, folder, &messages);
    for n in 0..500 {
        // Nobody waits for the disk, and of each service only the newest state is kept.
        let begun = HistoryChange::Started {
            changes: "x".repeat(1000),
            wanted: None,
            attempt: n,
            by: None,
        };
        store.save_and_wait(Saved { history: vec![begun], ..put("web", &n.to_string()) });
    }
    store.save_and_wait(tell("web", "told although the disk is full"));
    let message = messages.recv_timeout(LIMIT).expect("handed over");
    assert_eq!((message.id, message.key), (told + 1, Some(key("web"))));
    let reader = Reader::open(folder).expect("opens");
    assert_eq!(reader.services().expect("reads"), [], "the disk is full indeed");

    heal(&store, told);
    wait_until("it is on disk", || reader.services().expect("reads").len() == 1);
    assert_eq!(reader.services().expect("reads")[0].state, "499");
    drop(reader);
    close(&store);
    let (_store, remembered, _) = open_within(folder, limits);
    assert_eq!(remembered.last_message, told + 1);
    let last = waiting(folder).pop().expect("it is on disk");
    assert_eq!((last.id, &*last.payload), (told + 1, "told although the disk is full"));
    assert!(messages.is_empty(), "and was not handed over twice");
}

fn quick() -> Limits {
    Limits { retry: Duration::from_millis(20), ..Limits::default() }
}

#[test]
fn fault_38_a_store_that_reached_its_size_goes_on_and_heals_when_there_is_room() {
    let folder = temp();
    let limits = Limits { max_pages: 64, ..quick() };
    check_full(folder.path(), limits, |store, told| {
        (1..=told).for_each(|id| store.delivered(id));
    });
}

#[test]
fn fault_38_a_full_disk_stops_nothing_and_heals_when_there_is_room() {
    let folder = temp();
    let Some(mount) = Mount::small(folder.path()) else {
        println!("not run: a file system cannot be mounted here");
        return;
    };
    let state = folder.path().join("state");
    check_full(&state, quick(), |_, _| mount.remount("size=4m"));
}

#[test]
fn fault_38_depd_starts_on_a_full_disk_and_remembers() {
    let folder = temp();
    let Some(mount) = Mount::small(folder.path()) else {
        println!("not run: a file system cannot be mounted here");
        return;
    };
    let state = folder.path().join("state");
    let (store, ..) = open(&state);
    store.save(put("web", "1"));
    close(&store);
    fs::write(folder.path().join("filler"), vec![0; 2 << 20]).expect_err("full");

    let (store, remembered, messages) = open(&state);
    assert_eq!(services(&remembered), [("web_prod".into(), "1")]);
    assert!(remembered.notes[0].contains("cannot be written"), "{:?}", remembered.notes);
    store.save_and_wait(Saved { messages: tell("web", "x").messages, ..put("web", "2") });
    assert_eq!(messages.recv_timeout(LIMIT).expect("handed over").id, 1);
    mount.remount("size=4m");
    let reader = Reader::open(&state).expect("opens");
    wait_until("it is on disk", || reader.services().expect("reads")[0].state == "2");
    drop(store);
}

#[test]
fn fault_38_depd_starts_for_the_first_time_on_a_full_disk() {
    let folder = temp();
    let Some(mount) = Mount::small(folder.path()) else {
        println!("not run: a file system cannot be mounted here");
        return;
    };
    fs::write(folder.path().join("filler"), vec![0; 2 << 20]).expect_err("full");
    let state = folder.path().join("state");
    let (store, remembered, _) = open(&state);
    assert_eq!(remembered.services, []);
    assert_eq!(remembered.notes.len(), 1, "{:?}", remembered.notes);
    store.save_and_wait(put("web", "1"));
    mount.remount("size=4m");
    wait_until("it is on disk", || {
        Reader::open(&state)
            .is_ok_and(|reader| reader.services().is_ok_and(|services| services.len() == 1))
    });
    close(&store);
}

#[test]
fn fault_38_a_read_only_disk_stops_nothing_and_heals() {
    let folder = temp();
    let Some(mount) = Mount::small(folder.path()) else {
        println!("not run: a file system cannot be mounted here");
        return;
    };
    let (store, ..) = open(folder.path());
    store.save(put("web", "1"));
    close(&store);
    mount.remount("ro");
    for round in 0..2 {
        let (store, remembered, _) = open(folder.path());
        assert_eq!(services(&remembered), [("web_prod".into(), "1")], "it is read");
        store.save_and_wait(put("web", "2"));
        if round == 0 {
            assert!(!store.close(LIMIT), "what cannot be saved is not called saved");
        } else {
            mount.remount("rw");
            let reader = Reader::open(folder.path()).expect("opens");
            wait_until("it is on disk", || reader.services().expect("reads")[0].state == "2");
            drop(reader);
            close(&store);
        }
    }
}

#[test]
fn a_folder_that_cannot_be_made_costs_the_memory_and_nothing_else() {
    let folder = temp();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("writable");
    let state = file.join("state");
    let (store, remembered, messages) = open(&state);
    let [note] = &remembered.notes[..] else { panic!("{:?}", remembered.notes) };
    assert!(note.starts_with("nothing is saved, because "), "{note}");
    assert!(note.contains("--state"), "{note}");
    store.save_and_wait(Saved { messages: tell("web", "x").messages, ..put("web", "1") });
    assert_eq!(messages.recv_timeout(LIMIT).expect("handed over").payload, "x");
    assert!(!store.close(LIMIT));
}

#[test]
fn somebody_who_holds_the_database_delays_a_save_and_loses_nothing() {
    let folder = temp();
    let (store, ..) = open(folder.path());
    let other = rusqlite::Connection::open(folder.path().join("depd.db")).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("holds it");
    store.save_and_wait(put("web", "1"));
    let reader = Reader::open(folder.path()).expect("opens");
    assert_eq!(reader.services().expect("reads"), []);
    other.execute_batch("COMMIT").expect("lets go");
    wait_until("it is on disk", || reader.services().expect("reads").len() == 1);
}

#[test]
fn a_disk_that_does_not_answer_is_waited_for_once() {
    let folder = temp();
    let gate = Arc::new(Barrier::new(2));
    let hang = {
        let gate = Arc::clone(&gate);
        move |_| {
            gate.wait();
            gate.wait();
        }
    };
    let limits = Limits { wait: Duration::from_millis(50), ..quick() };
    let (store, _) = Store::open_within(folder.path(), limits, hang).expect("opens");
    store.save(tell("web", "x"));
    gate.wait();
    store.save_and_wait(put("web", "1"));
    let store_is_stuck = || store.shared.stuck.load(std::sync::atomic::Ordering::Relaxed);
    assert!(store_is_stuck());
    store.save_and_wait(put("web", "2"));
    gate.wait();
    wait_until("it answers again", || !store_is_stuck());
    close(&store);
    assert_eq!(services(&open(folder.path()).1), [("web_prod".into(), "2")]);
}
