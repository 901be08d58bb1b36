//! What goes in comes out, in order, in few transactions.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Barrier};

use super::*;
use crate::model::Standing;

#[test]
fn what_was_saved_is_remembered_at_the_next_start() {
    let folder = temp();
    let (store, remembered, _) = open(folder.path());
    assert_eq!(remembered, Remembered::default());
    store.save(put("web", "1"));
    store.save(put("api", "1"));
    store.save(put("old", "1"));
    store.save(put("web", "2"));
    store.save(Saved { service: Some(ServiceChange::Remove), ..Saved::of(key("old")) });
    store.save(tell("web", "first"));
    store.save(tell("api", "second"));
    store.set_meta("cluster", "uid-1");
    store.set_meta("cluster", "uid-2");
    close(&store);

    let (_store, remembered, messages) = open(folder.path());
    assert_eq!(services(&remembered), [("api_prod".into(), "1"), ("web_prod".into(), "2")]);
    assert_eq!(remembered.last_message, 2);
    let waiting = waiting(folder.path());
    assert_eq!(payloads(&waiting), [(1, "first"), (2, "second")]);
    assert_eq!(waiting[1].key, Some(key("api")));
    assert_eq!(
        remembered.meta.into_iter().collect::<Vec<_>>(),
        [("cluster".into(), "uid-2".into())]
    );
    assert_eq!(remembered.notes, [""; 0]);
    assert!(messages.is_empty(), "what is remembered is not handed over again");
}

#[test]
fn a_message_is_handed_over_once_it_is_committed_and_forgotten_once_it_is_delivered() {
    let folder = temp();
    let state = folder.path().to_owned();
    let (to, messages) = crossbeam_channel::unbounded();
    // Looks at the disk in the very call, so a message that is not there yet is noticed.
    let committed = move |message| {
        let outbox = Reader::open(&state).expect("opens").outbox().expect("reads");
        let is_safe = outbox.iter().any(|row| row.message == message);
        to.send((message.id, is_safe)).expect("somebody listens");
    };
    let (store, _) = Store::open(folder.path(), committed).expect("opens");
    for n in 0..3 {
        store.save_and_wait(tell("web", &n.to_string()));
    }
    assert_eq!(messages.try_iter().collect::<Vec<_>>(), [(1, true), (2, true), (3, true)]);
    store.delivered(1);
    store.set_aside(2, "status 404");
    store.delivered(1);
    store.delivered(77);
    close(&store);

    let outbox = Reader::open(folder.path()).expect("opens").outbox().expect("reads");
    let rows = outbox.iter().map(|row| (row.message.id, row.set_aside.as_ref().map(|s| &*s.0)));
    assert_eq!(rows.collect::<Vec<_>>(), [(2, Some("status 404")), (3, None)]);
    assert_eq!(payloads(&waiting(folder.path())), [(3, "2")]);
}

#[test]
fn an_id_is_never_used_again_not_even_when_its_message_is_gone_and_depd_was_restarted() {
    let folder = temp();
    for expect in 1..4 {
        let (store, _, messages) = open(folder.path());
        store.save(tell("web", "x"));
        let message = messages.recv_timeout(LIMIT).expect("handed over");
        assert_eq!(message.id, expect);
        store.delivered(message.id);
        close(&store);
    }
}

/// The verdicts of `service`, newest first, as `attempt:verdict`.
#[track_caller]
fn check_history(changes: impl IntoIterator<Item = HistoryChange>, expect: &[&str]) {
    let folder = temp();
    let (store, _, _) = open(folder.path());
    store.save_and_wait(history("other", started(1)));
    // Each in a transaction of its own, as it would be in life.
    changes.into_iter().for_each(|change| store.save_and_wait(history("web", change)));
    let reader = Reader::open(folder.path()).expect("opens");
    let rows = reader.history(Some(&key("web")), 3).expect("reads");
    let shown = rows.iter().map(|row| {
        let verdict = row.end.as_ref().map_or("in flight", |end| &end.verdict);
        format!("{}{} {verdict}", row.attempt, row.changes)
    });
    assert_eq!(shown.collect::<Vec<_>>(), expect);
    let other = reader.history(Some(&key("other")), 3).expect("reads");
    assert!(other[0].end.is_none(), "nobody else's rollout is touched");
}

#[test]
fn the_history_has_each_rollout_once_with_its_last_verdict() {
    check_history([], &[]);
    check_history([ended("failed")], &[]);
    check_history([started(1)], &["1[1] in flight"]);
    check_history([started(1), started(1)], &["1[1] in flight"]);
    check_history([started(1), ended("succeeded")], &["1[1] succeeded"]);
    check_history([started(1), ended("failed"), ended("recovered")], &["1[1] recovered"]);
    check_history([let_go()], &[]);
    check_history([started(1), ended("failed"), let_go()], &["1[1] failed"]);
    check_history(
        [started(1), let_go(), started(1)],
        &["1[1] in flight", "1[1] no longer managed"],
    );
    check_history([started(1), started(2)], &["2[2] in flight", "1[1] superseded"]);
    check_history(
        [started(1), ended("succeeded"), started(1)],
        &["1[1] in flight", "1[1] succeeded"],
    );
    check_history(
        (1..=150).map(started),
        &["150[150] in flight", "149[149] superseded", "148[148] superseded"],
    );
}

#[test]
fn the_history_keeps_the_last_hundred_rollouts_of_a_service() {
    let folder = temp();
    let (store, _, _) = open(folder.path());
    store.save(history("other", started(1)));
    (1..=130).for_each(|attempt| store.save(history("web", started(attempt))));
    close(&store);
    let reader = Reader::open(folder.path()).expect("opens");
    let rows = reader.history(Some(&key("web")), 1000).expect("reads");
    assert_eq!(rows.len(), 100);
    assert_eq!((rows[0].attempt, rows[99].attempt), (130, 31));
    assert_eq!(reader.history(None, 1000).expect("reads").len(), 101);
}

#[test]
fn a_full_outbox_sets_its_oldest_messages_aside() {
    let folder = temp();
    let limits = Limits { outbox: 200, ..Limits::default() };
    let (store, _, messages) = open_within(folder.path(), limits);
    for _ in 0..2 {
        let hundred = vec![Message { receiver: "slack".into(), payload: "x".into() }; 100];
        store.save_and_wait(Saved { messages: hundred, ..Saved::of(key("web")) });
    }
    store.save_and_wait(tell("web", "one more"));
    store.save_and_wait(tell("web", "and another"));
    // It is room for one.
    store.delivered(5);
    store.save_and_wait(tell("web", "the last"));
    close(&store);
    assert_eq!(messages.len(), 203, "each is handed over nevertheless");
    let waiting = waiting(folder.path());
    assert_eq!((waiting.len(), waiting[0].id), (200, 3));
}

#[test]
fn what_waits_is_read_in_pages_and_for_each_receiver_apart() {
    let folder = temp();
    let (store, _, _) = open(folder.path());
    let message = |receiver: &str, payload: String| Message { receiver: receiver.into(), payload };
    for n in 0..5 {
        let messages = vec![message("slack", format!("s{n}")), message("teams", format!("t{n}"))];
        store.save_and_wait(Saved { messages, ..Saved::of(key("web")) });
    }
    store.delivered(1);
    store.set_aside(3, "status 404");
    let page = |receiver: &str, after| store.waiting(receiver, after, 2).expect("reads").messages;
    assert_eq!(payloads(&page("slack", 0)), [(5, "s2"), (7, "s3")]);
    assert_eq!(payloads(&page("slack", 7)), [(9, "s4")]);
    assert_eq!(payloads(&page("slack", 9)), []);
    assert_eq!(payloads(&page("teams", 2)), [(4, "t1"), (6, "t2")]);
    close(&store);
    assert!(store.waiting("teams", 2, 2).is_err(), "it is closed");
    let reader = Reader::open(folder.path()).expect("opens");
    let counts = reader.waiting_by_receiver().expect("reads");
    assert_eq!(counts, [("slack".to_owned(), 3), ("teams".to_owned(), 5)].into());
}

#[test]
fn steps_of_many_workers_share_a_transaction() {
    let folder = temp();
    let (store, _, _) = open(folder.path());
    // The thread is held in the middle of a batch while the others come.
    let gate = Arc::new(Barrier::new(2));
    drop(store);
    let committed = {
        let gate = Arc::clone(&gate);
        move |_| {
            gate.wait();
            gate.wait();
        }
    };
    let (store, _) = Store::open(folder.path(), committed).expect("opens");
    store.save(tell("web", "first"));
    gate.wait();
    let before = store.commits();
    thread::scope(|scope| {
        for n in 0..100 {
            let store = &store;
            scope.spawn(move || store.save_and_wait(put(&format!("s{n}"), "1")));
        }
        wait_until("all have saved", || store.shared.pending.lock().batch.services.len() == 100);
        gate.wait();
    });
    assert_eq!(store.commits(), before + 1);
    let reader = Reader::open(folder.path()).expect("opens");
    assert_eq!(reader.services().expect("reads").len(), 100);
}

#[test]
fn steps_of_one_service_keep_their_order_whoever_else_saves() {
    let folder = temp();
    let (store, _, _) = open(folder.path());
    thread::scope(|scope| {
        for service in ["a", "b", "c", "d"] {
            let store = &store;
            scope.spawn(move || {
                for n in 1..=300 {
                    let step = Saved { history: vec![started(n)], ..put(service, &n.to_string()) };
                    if n % 7 == 0 { store.save_and_wait(step) } else { store.save(step) }
                }
            });
        }
    });
    close(&store);
    let reader = Reader::open(folder.path()).expect("opens");
    for service in reader.services().expect("reads") {
        assert_eq!(service.state, "300");
        let attempts = reader.history(Some(&service.key), 5).expect("reads");
        let attempts: Vec<u32> = attempts.iter().map(|row| row.attempt).collect();
        assert_eq!(attempts, [300, 299, 298, 297, 296]);
    }
}

#[test]
fn of_the_failures_in_a_row_the_newest_word_is_kept_whoever_saves_first() {
    let folder = temp();
    let stands = |turn, failures, halted| Some(Standing { turn, failures, halted });
    let kept = |standing: Option<Standing>| Saved { standing, ..put("web", "1") };
    let (store, _, _) = open(folder.path());
    store.save_and_wait(kept(stands(2, 4, true)));
    store.save_and_wait(kept(stands(1, 3, false)));
    store.save(kept(None));
    drop(store);
    let (store, remembered, _) = open(folder.path());
    assert_eq!(Standing::from_meta(&remembered.meta), stands(0, 4, true).expect("some"));
    store.stands(&Standing { turn: 1, failures: 0, halted: false });
    drop(store);
    let (_store, remembered, _) = open(folder.path());
    assert_eq!(Standing::from_meta(&remembered.meta), Standing::default());
}

#[test]
fn a_message_about_no_service_waits_like_every_other() {
    let folder = temp();
    let (store, _, messages) = open(folder.path());
    let alert = Message { receiver: "slack".into(), payload: "held".into() };
    store.tell(vec![alert.clone(), Message { receiver: "teams".into(), ..alert }]);
    store.save_and_wait(tell("web", "failed"));
    close(&store);
    let told: Vec<Outgoing> = messages.try_iter().collect();
    assert_eq!(told.iter().map(|message| message.id).collect::<Vec<_>>(), [1, 2, 3]);
    let waiting = waiting(folder.path());
    assert_eq!(payloads(&waiting), [(1, "held"), (3, "failed")]);
    assert_eq!([&waiting[0].key, &waiting[1].key], [&None, &Some(key("web"))]);
    let all = Reader::open(folder.path()).expect("opens").outbox().expect("reads");
    assert_eq!(all[1].message.key, None);
}

#[test]
fn a_callback_that_panics_costs_one_message_and_not_the_store() {
    let folder = temp();
    let committed = |message: Outgoing| assert_ne!(message.payload, "bad", "on purpose");
    let (store, _) = Store::open(folder.path(), committed).expect("opens");
    store.save_and_wait(tell("web", "bad"));
    store.save_and_wait(put("web", "1"));
    close(&store);
    assert_eq!(open(folder.path()).1.services.len(), 1);
}

#[test]
fn after_closing_nothing_is_taken_and_nobody_waits() {
    let folder = temp();
    let (store, _, _) = open(folder.path());
    close(&store);
    store.save(put("web", "1"));
    store.save_and_wait(put("web", "1"));
    close(&store);
    assert_eq!(open(folder.path()).1.services.len(), 0);
}

#[test]
fn security_18_the_folder_is_0700_and_every_file_in_it_0600() {
    let parent = temp();
    let folder = parent.path().join("a/b");
    let (store, _, _) = open(&folder);
    store.save_and_wait(put("web", "1"));
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(files(&folder), ["depd.db", "depd.db-shm", "depd.db-wal", "depd.lock"]);
    for name in files(&folder) {
        assert_eq!(mode(&folder.join(&name)), 0o600, "{name}");
    }
}

#[test]
fn security_18_files_that_others_can_read_are_taken_away_from_them_and_it_is_said() {
    let folder = temp();
    drop(open(folder.path()));
    let database = folder.path().join("depd.db");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o644)).expect("ours");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("ours");
    let (_store, remembered, _) = open(folder.path());
    let shown = folder.path().display();
    assert_eq!(
        remembered.notes,
        [
            format!(
                "the state files in {shown} could be read by others; they are for depd only now"
            ),
            format!("others may write into the state folder {shown}: chmod go-w {shown}"),
        ]
    );
    assert_eq!(database.metadata().expect("there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn save_and_wait_latency() {
    for threads in [1, 100] {
        let folder = temp();
        let (store, _, _) = open(folder.path());
        let each = 2_000 / threads;
        let step = |n: usize| Saved {
            history: vec![started(1)],
            ..put(&format!("s{n}"), &"x".repeat(600))
        };
        let measured = |n: usize| {
            let begin = Instant::now();
            store.save_and_wait(step(n));
            begin.elapsed()
        };
        let begin = Instant::now();
        let mut took: Vec<Duration> = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|n| scope.spawn(move || (0..each).map(|_| measured(n)).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        took.sort();
        println!(
            "{threads} threads, {} steps in {:?}, {} transactions: median {:?}, p99 {:?}",
            took.len(),
            begin.elapsed(),
            store.commits(),
            took[took.len() / 2],
            took[took.len() * 99 / 100],
        );
    }
}
