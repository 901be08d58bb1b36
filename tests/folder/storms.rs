//! Very much at once. FAULTS rows 7 and 8.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use depd::source::{FileReport, FolderEvent, Source, SourceOptions};

use crate::Test;
use crate::child;
use crate::watched::Watched;

pub const TESTS: &[Test] = tests![
    fault_7_of_a_thousand_edits_a_second_the_last_wins_and_few_are_told,
    a_file_that_is_saved_without_any_pause_is_still_told_of,
    fault_8_what_is_written_while_the_process_is_stopped_is_all_seen_after_an_overflow,
    fault_8_a_reader_that_falls_behind_sees_every_file_in_the_end,
    security_9_a_folder_that_is_opened_to_everybody_later_is_warned_of,
];

pub const CHILDREN: &[Test] = tests![observe,];

/// FAULTS row 7.
fn fault_7_of_a_thousand_edits_a_second_the_last_wins_and_few_are_told() {
    let deps = Watched::new();
    let began = Instant::now();
    for edit in 0..1000 {
        deps.write("web_prod.dep", &format!("app:{edit}"));
        // Only the pace of the edits: nothing waits for this.
        std::thread::sleep(Duration::from_millis(edit).saturating_sub(began.elapsed()));
    }
    let reports = deps.reports_until_calm();
    assert_eq!(reports.last().map(String::as_str), Some("web_prod: app:999"));
    assert!(reports.len() < 100, "{}", reports.len());
}

/// Not even a tight loop of saves keeps a file from being told of.
fn a_file_that_is_saved_without_any_pause_is_still_told_of() {
    let deps = Watched::new();
    let mut edit: u64 = 0;
    let limit = Instant::now() + Duration::from_secs(60);
    while !deps.log().contains("web") {
        assert!(Instant::now() < limit, "{}", deps.log());
        for _ in 0..100 {
            deps.write("web_prod.dep", &format!("app:{edit}"));
            edit += 1;
        }
    }
}

const FILES: usize = 20_000;

fn queue_length() -> usize {
    let text =
        std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap_or_default();
    text.trim().parse().unwrap_or(16_384)
}

/// FAULTS row 8: the kernel's queue overflows while the process is stopped.
fn fault_8_what_is_written_while_the_process_is_stopped_is_all_seen_after_an_overflow() {
    assert!(queue_length() < FILES * 3, "raise FILES: this kernel keeps {} events", queue_length());
    let base = tempfile::tempdir().unwrap();
    let deps = base.path().join("deps");
    std::fs::create_dir(&deps).unwrap();
    let mut process = child::start("storms::observe", "exec \"$@\"", base.path());
    let pid = process.id().to_string();
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(status.success());
    };
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("scanned")));
    signal("-STOP");
    for n in 0..FILES {
        std::fs::write(deps.join(format!("a{n}_prod.dep")), format!("app:{n}")).unwrap();
    }
    signal("-CONT");
    let mut seen = BTreeMap::new();
    let mut overflow = false;
    for line in lines {
        overflow |= line.contains("events of the dep folder were lost");
        if let Some((key, image)) = line.split_once(": app:") {
            seen.insert(key.to_owned(), image.to_owned());
        }
        if seen.len() == FILES {
            break;
        }
    }
    signal("-KILL");
    process.wait().unwrap();
    assert!(overflow, "no overflow happened, so nothing is proven");
    assert!((0..FILES).all(|n| seen[&format!("a{n}_prod")] == n.to_string()));
}

/// Security row 9, while depd runs.
fn security_9_a_folder_that_is_opened_to_everybody_later_is_warned_of() {
    let base = tempfile::tempdir().unwrap();
    let deps = base.path().join("deps");
    std::fs::create_dir(&deps).unwrap();
    let allow = |mode| {
        std::fs::set_permissions(&deps, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap()
    };
    allow(0o755);
    let mut process = child::start("storms::observe", "exec \"$@\"", base.path());
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let warns = |line: &String| line.starts_with("log: everybody on this machine may write");
    assert!(
        lines.by_ref().take_while(|line| !line.starts_with("scanned")).all(|line| !warns(&line))
    );
    allow(0o777);
    assert!(lines.any(|line| warns(&line)));
    process.kill().unwrap();
    process.wait().unwrap();
}

struct ToStdout;

impl log::Log for ToStdout {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        println!("log: {}", record.args());
    }

    fn flush(&self) {}
}

/// In a process of its own: observes a folder until it is killed, started by fault_8.
fn observe() {
    log::set_logger(&ToStdout).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let base = std::path::PathBuf::from(std::env::var_os("DEPD_TEST_BASE").unwrap());
    let tell = |event| match event {
        FolderEvent::File { key, report: FileReport::Images(images) } => {
            println!("{key}: {images}")
        }
        FolderEvent::Scanned { files } => println!("\nscanned {files}"),
        _ => {}
    };
    let _source = Source::start(SourceOptions::new(base.join("deps")), tell).unwrap();
    loop {
        std::thread::park();
    }
}

/// FAULTS row 8, the queue of our own: a reader that is slow for long loses events, but no file.
fn fault_8_a_reader_that_falls_behind_sees_every_file_in_the_end() {
    let base = tempfile::tempdir().unwrap();
    std::fs::create_dir(base.path().join("deps")).unwrap();
    let (sender, told) = crossbeam_channel::unbounded();
    let gate = Arc::new(Barrier::new(2));
    let (held, mut hold) = (Arc::clone(&gate), true);
    let options = SourceOptions::new(base.path().join("deps"));
    let source = Source::start(options, move |event| {
        if let FolderEvent::File { key, report: FileReport::Images(images) } = event {
            if std::mem::take(&mut hold) {
                held.wait();
            }
            sender.send((key.to_string(), images.to_string())).unwrap();
        }
    });
    let source = source.unwrap();
    let write = |name: &str, image: &str| {
        std::fs::write(base.path().join("deps").join(name), image).unwrap();
    };
    write("first_prod.dep", "app:1");
    for n in 0..FILES {
        write(&format!("a{n}_prod.dep"), &format!("app:{n}"));
        write(&format!("a{n}_prod.dep"), &format!("app:{n}-last"));
    }
    gate.wait();
    let mut seen = BTreeMap::new();
    while seen.len() < FILES + 1
        || seen.values().any(|image: &String| !image.ends_with("-last") && image != "app:1")
    {
        let (key, image) = told.recv_timeout(Duration::from_secs(60)).expect("told in time");
        seen.insert(key, image);
    }
    source.stop();
}
