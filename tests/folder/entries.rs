//! What lies in the folder and is no plain file, or too large, or too many. FAULTS rows 4 and 12,
//! security rows 9 to 11.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use depd::source::{FolderEvent, Source, SourceError, SourceOptions};

use crate::Test;
use crate::watched::Watched;

pub const TESTS: &[Test] = tests![
    fault_4_security_10_11_only_regular_files_of_sane_size_beneath_the_folder_are_read,
    fault_4_the_same_entries_are_refused_when_a_scan_finds_them,
    a_refused_entry_that_becomes_a_file_is_read,
    a_link_beneath_the_folder_is_followed_and_its_target_watched,
    a_link_to_another_dep_file_is_followed_without_waiting_for_the_rescan,
    security_9_a_folder_that_everybody_may_write_to_is_warned_of_or_refused,
    security_11_more_files_than_the_limit_are_ignored_in_words,
    fault_12_a_swap_of_the_data_link_leads_to_a_look_at_all_files,
];

fn shell(script: &str, folder: &Path) {
    let status = Command::new("sh").args(["-euc", script]).current_dir(folder).status().unwrap();
    assert!(status.success(), "{script}");
}

fn put_odd_entries(deps: &Watched) -> UnixListener {
    let folder = deps.base.path().join("deps");
    shell(
        "mkfifo fifo_prod.dep; mkdir dir_prod.dep; truncate -s 1G huge_prod.dep; printf 'a:1' > ../outside",
        &folder,
    );
    shell(
        "head -c 4097 /dev/zero | tr '\\0' '#' > large_prod.dep; head -c 4090 large_prod.dep > fits_prod.dep; printf '\\na:1' >> fits_prod.dep",
        &folder,
    );
    symlink("/dev/zero", deps.path("device_prod.dep")).unwrap();
    symlink("../outside", deps.path("up_prod.dep")).unwrap();
    symlink(deps.base.path().join("outside"), deps.path("absolute_prod.dep")).unwrap();
    symlink("nowhere", deps.path("dangling_prod.dep")).unwrap();
    symlink("loop_prod.dep", deps.path("loop_prod.dep")).unwrap();
    symlink("dir_prod.dep", deps.path("todir_prod.dep")).unwrap();
    symlink("/proc/self/fd/0", deps.path("magic_prod.dep")).unwrap();
    let socket = UnixListener::bind(deps.path("socket_prod.dep")).unwrap();
    deps.write("web_prod.dep", "app:1");
    socket
}

const ODD_ENTRIES: &[&str] = &[
    "absolute_prod.dep: refused: a link that is absolute or leads out of the folder: make it relative, or copy the file",
    "dangling_prod.dep: refused: a link to a file that does not exist",
    "device_prod.dep: refused: a link that is absolute or leads out of the folder: make it relative, or copy the file",
    "dir_prod.dep: refused: a folder, not a file",
    "fifo_prod.dep: refused: a FIFO, not a regular file",
    "fits_prod: a:1",
    "huge_prod.dep: refused: larger than 4096 bytes: a dep file holds an image or a few container=image lines",
    "large_prod.dep: refused: larger than 4096 bytes: a dep file holds an image or a few container=image lines",
    "loop_prod.dep: refused: a link that cannot be followed: copy the file instead",
    "magic_prod.dep: refused: a link that is absolute or leads out of the folder: make it relative, or copy the file",
    "socket_prod.dep: refused: a socket, not a regular file",
    "todir_prod.dep: refused: a link to a folder, not to a file",
    "up_prod.dep: refused: a link that is absolute or leads out of the folder: make it relative, or copy the file",
    "web_prod: app:1",
];

/// FAULTS row 4 and security rows 10 and 11: nothing blocks, nothing leads out, all are told once.
fn fault_4_security_10_11_only_regular_files_of_sane_size_beneath_the_folder_are_read() {
    let deps = Watched::new();
    let _socket = put_odd_entries(&deps);
    let mut reports = deps.reports_until_calm();
    reports.sort();
    assert_eq!(reports, ODD_ENTRIES);
    deps.source().rescan();
    deps.wait_scanned();
    assert_eq!(deps.reports_until_calm(), Vec::<String>::new());
}

fn fault_4_the_same_entries_are_refused_when_a_scan_finds_them() {
    let deps = Watched::with(|options| options.poll = true);
    let _socket = put_odd_entries(&deps);
    let mut reports = deps.reports_until_calm();
    reports.sort();
    assert_eq!(reports, ODD_ENTRIES);
}

fn a_refused_entry_that_becomes_a_file_is_read() {
    let deps = Watched::new();
    symlink("/etc/hostname", deps.path("web_prod.dep")).unwrap();
    assert!(deps.next_report().contains("leads out of the folder"));
    std::fs::remove_file(deps.path("web_prod.dep")).unwrap();
    deps.write("web_prod.dep", "app:1");
    assert_eq!(deps.next_report(), "web_prod: app:1");
}

fn a_link_beneath_the_folder_is_followed_and_its_target_watched() {
    let deps = Watched::new();
    deps.write("shared.conf", "app:1");
    symlink("shared.conf", deps.path("web_prod.dep")).unwrap();
    deps.wait(|event| (crate::watched::report(&event)? == "web_prod: app:1").then_some(()));
    deps.write("shared.conf", "app:2");
    deps.wait(|event| (crate::watched::report(&event)? == "web_prod: app:2").then_some(()));
}

fn a_link_to_another_dep_file_is_followed_without_waiting_for_the_rescan() {
    let deps = Watched::with(|options| options.rescan_every = Duration::from_secs(3600));
    deps.write("web_staging.dep", "app:1");
    assert_eq!(deps.next_report(), "web_staging: app:1");
    symlink("web_staging.dep", deps.path("web_prod.dep")).unwrap();
    assert_eq!(deps.next_report(), "web_prod: app:1");
    deps.write("web_staging.dep", "app:2");
    let mut reports = [deps.next_report(), deps.next_report()];
    reports.sort();
    assert_eq!(reports, ["web_prod: app:2", "web_staging: app:2"]);
}

/// Security row 9.
fn security_9_a_folder_that_everybody_may_write_to_is_warned_of_or_refused() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("deps");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(depd::source::exposure(&folder), None);
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let warning = depd::source::exposure(&folder).unwrap();
    assert!(
        warning.contains("everybody on this machine may write") && warning.contains("chmod o-w")
    );
    let options = SourceOptions { strict: true, ..SourceOptions::new(folder) };
    match Source::start(options, |_| {}) {
        Err(SourceError::Exposed(sentence)) => assert_eq!(sentence, warning),
        other => panic!("{other:?}"),
    }
}

/// Security row 11: the number of files is capped, which is said once.
fn security_11_more_files_than_the_limit_are_ignored_in_words() {
    let deps = Watched::with(|options| options.max_files = 3);
    for n in 0..5 {
        deps.write(&format!("a{n}_prod.dep"), "app:1");
    }
    let mut told = 0;
    let name = deps.wait(|event| match event {
        FolderEvent::Refused { name, problem } => {
            assert_eq!(problem.to_string(), "it holds more than 3 files: the others are ignored");
            Some(name)
        }
        FolderEvent::File { .. } => {
            told += 1;
            None
        }
        _ => None,
    });
    assert!(name.ends_with("/deps"), "{name}");
    while told < 3 {
        deps.next_report();
        told += 1;
    }
    std::fs::remove_file(deps.path("a0_prod.dep")).unwrap();
    std::fs::remove_file(deps.path("a1_prod.dep")).unwrap();
    std::fs::remove_file(deps.path("a2_prod.dep")).unwrap();
    for _ in 0..3 {
        assert!(deps.next_report().ends_with("gone"));
    }
    deps.source().rescan();
    let mut rest = [deps.next_report(), deps.next_report()];
    rest.sort();
    assert_eq!(rest, ["a3_prod: app:1", "a4_prod: app:1"]);
}

/// FAULTS row 12: a ConfigMap volume changes all its files by one rename.
fn fault_12_a_swap_of_the_data_link_leads_to_a_look_at_all_files() {
    let deps = Watched::new();
    let folder = deps.base.path().join("deps");
    let files = "for n in $(seq 100); do echo app:$V > ..$V/a${n}_prod.dep; done";
    shell(
        &format!(
            "V=1; mkdir ..1; {files}; ln -s ..1 ..data; for n in $(seq 100); do ln -s ..data/a${{n}}_prod.dep a${{n}}_prod.dep; done"
        ),
        &folder,
    );
    assert!(deps.reports_until_calm().iter().all(|report| report.ends_with("app:1")));
    shell(
        &format!(
            "V=2; mkdir ..2; {files}; ln -s ..2 ..data_tmp; mv -T ..data_tmp ..data; rm -r ..1"
        ),
        &folder,
    );
    let reports = deps.reports_until_calm();
    assert_eq!(reports.iter().filter(|report| report.ends_with(": app:2")).count(), 100);
    assert_eq!(reports.len(), 100, "{reports:?}");
}
