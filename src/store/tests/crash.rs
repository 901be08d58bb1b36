//! `kill -9`, and readers in other processes. The test binary starts itself as the other process.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::store::read::StoredService;

/// Set in the process that is to be killed: the folder it works in.
const CHILD: &str = "DEPD_TEST_STORE_CHILD";
/// Services that the child works on, one thread each.
const SERVICES: u32 = 8;

/// The other process: saves without end, and prints `service attempt` after each save returned.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let (store, remembered, _) = open(Path::new(&folder));
    let before: HashMap<ServiceKey, u32> = remembered
        .services
        .into_iter()
        .map(|(key, state)| (key, state.parse().expect("a number")))
        .collect();
    thread::scope(|scope| {
        for n in 0..SERVICES {
            let (store, before) = (&store, &before);
            scope.spawn(move || {
                let service = format!("s{n}");
                let first = before.get(&key(&service)).copied().unwrap_or(0) + 1;
                for attempt in first.. {
                    let state = attempt.to_string();
                    store.save_and_wait(Saved {
                        history: vec![started(attempt)],
                        messages: tell(&service, &state).messages,
                        ..put(&service, &state)
                    });
                    if writeln!(std::io::stdout(), "\nsaved {service} {attempt}").is_err() {
                        return;
                    }
                }
            });
        }
    });
}

struct Running {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    /// The last attempt of each service whose save returned.
    saved: HashMap<String, u32>,
}

impl Running {
    fn start(folder: &Path) -> Running {
        let mut process = Command::new(std::env::current_exe().expect("ourselves"))
            .args(["--exact", "store::tests::crash::child", "--nocapture"])
            .env(CHILD, folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        Running { process, lines, saved: HashMap::new() }
    }

    /// Takes the next report; `None` at the end.
    fn next(&mut self) -> Option<()> {
        let line = self.lines.next()?.ok()?;
        // The last line may be cut off: then its save is not known to have returned.
        if let Some(rest) = line.strip_prefix("saved ")
            && let Some((service, attempt)) = rest.split_once(' ')
        {
            self.saved.insert(service.to_owned(), attempt.parse().expect("a number"));
        }
        Some(())
    }

    /// Lets it save some times, for several services, and kills it in the middle of the next.
    fn kill_after(mut self, lines: usize) -> HashMap<String, u32> {
        let mut seen = 0;
        while seen < lines || self.saved.len() < 2 {
            self.next().expect("it goes on");
            seen += 1;
        }
        self.process.kill().expect("is running");
        while self.next().is_some() {}
        self.process.wait().expect("ends");
        std::mem::take(&mut self.saved)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Running {
    fn pid(&self) -> u32 {
        self.process.id()
    }
}

/// State, history and messages of a step are there together or not at all.
#[track_caller]
fn check_consistent(reader: &Reader, service: &StoredService) {
    let newest = reader.history(Some(&service.key), 1).expect("reads");
    assert_eq!(service.state, newest[0].attempt.to_string(), "{}", service.key);
}

#[test]
fn fault_36_kill_9_in_the_middle_loses_nothing_that_save_and_wait_returned_for() {
    let folder = temp();
    for round in 1..=5 {
        let saved = Running::start(folder.path()).kill_after(100 * round);
        let (store, remembered, _) = open(folder.path());
        assert_eq!(remembered.notes, [""; 0]);
        let told: std::collections::HashSet<(ServiceKey, String)> =
            waiting(folder.path()).into_iter().filter_map(|m| Some((m.key?, m.payload))).collect();
        let reader = Reader::open(folder.path()).expect("opens");
        for service in reader.services().expect("reads") {
            let attempt: u32 = service.state.parse().expect("a number");
            let known = saved.get(service.key.service()).copied().unwrap_or(0);
            assert!(attempt >= known, "{}: {attempt} is on disk, {known} was saved", service.key);
            check_consistent(&reader, &service);
            for attempt in 1..=attempt {
                let message = (service.key.clone(), attempt.to_string());
                assert!(told.contains(&message), "the message of {message:?}");
            }
        }
        close(&store);
    }
}

#[test]
fn another_process_reads_whole_steps_while_the_daemon_writes() {
    let folder = temp();
    let mut running = Running::start(folder.path());
    while running.saved.len() < SERVICES as usize {
        running.next().expect("it goes on");
    }
    let error = refused(folder.path());
    assert_eq!(error.to_string(), format!("already running, pid {}", running.pid()));

    let reader = Reader::open(folder.path()).expect("opens");
    for _ in 0..50 {
        let service = reader.services().expect("reads").remove(0);
        let newest = reader.history(Some(&service.key), 1).expect("reads");
        let state: u32 = service.state.parse().expect("a number");
        assert!(newest[0].attempt >= state, "a later look shows no older state");
        let known = running.saved["s0"];
        assert!(state >= known, "what was committed is seen");
        while running.saved["s0"] == known {
            running.next().expect("it goes on");
        }
    }
    assert!(!reader.outbox().expect("reads").is_empty());
    running.kill_after(1);
    let services = reader.services().expect("reads");
    services.iter().for_each(|service| check_consistent(&reader, service));
}

#[test]
fn fault_40_a_lock_file_that_a_dead_process_left_is_no_lock() {
    let folder = temp();
    fs::write(folder.path().join("depd.lock"), "1\n").expect("writable");
    let (_store, ..) = open(folder.path());
    let running = format!("already running, pid {}", std::process::id());
    assert_eq!(refused(folder.path()).to_string(), running);
    // On a disk that cannot be written the number of the dead one stays.
    fs::write(folder.path().join("depd.lock"), "1\n").expect("writable");
    assert_eq!(refused(folder.path()).to_string(), running);
}
