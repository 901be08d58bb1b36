//! The folder itself: replaced, moved, mounted over, unreadable, unwatchable. FAULTS rows 9 to 11.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use depd::source::{FolderEvent, FolderState, Source, SourceError, SourceOptions};

use crate::Test;
use crate::child;
use crate::watched::Watched;

pub const TESTS: &[Test] = tests![
    what_lies_in_the_folder_at_the_start_is_told_before_the_first_scan_ends,
    a_folder_that_is_not_there_at_the_start_is_an_error_that_says_what_to_do,
    fault_9_a_removed_folder_changes_nothing_until_it_is_there_again,
    fault_9_a_folder_that_is_exchanged_is_watched_again,
    fault_9_a_link_to_the_folder_that_is_pointed_elsewhere_is_followed,
    fault_9_a_folder_that_is_mounted_over_and_unmounted_is_seen,
    fault_10_a_folder_that_cannot_be_read_changes_nothing_but_the_state,
    fault_11_without_inotify_watches_the_folder_is_polled,
    fault_11_without_inotify_instances_the_folder_is_polled,
    a_polled_folder_tells_the_same_as_a_watched_one,
    a_change_that_no_event_tells_of_is_found_by_the_rescan,
    security_9_a_folder_that_is_opened_to_everybody_later_is_refused_if_strict,
];

pub const CHILDREN: &[Test] = tests![mounts, unreadable, polled,];

fn is_unreadable(state: &FolderState) -> bool {
    matches!(state, FolderState::Unreadable { .. })
}

fn started() -> Watched {
    let deps = Watched::new();
    deps.write("web_prod.dep", "app:1");
    deps.write("old_prod.dep", "app:1");
    let mut reports = [deps.next_report(), deps.next_report()];
    reports.sort();
    assert_eq!(reports, ["old_prod: app:1", "web_prod: app:1"]);
    deps
}

fn what_lies_in_the_folder_at_the_start_is_told_before_the_first_scan_ends() {
    let base = tempfile::tempdir().unwrap();
    std::fs::create_dir(base.path().join("deps")).unwrap();
    for n in 0..300 {
        std::fs::write(base.path().join(format!("deps/a{n}_prod.dep")), format!("app:{n}"))
            .unwrap();
    }
    let deps = Watched::over(base, |_| {});
    let mut told = 0;
    let files = deps.wait(|event| match event {
        FolderEvent::File { .. } => {
            told += 1;
            None
        }
        FolderEvent::Scanned { files } => Some(files),
        _ => None,
    });
    assert_eq!((told, files), (300, 300));
}

fn a_folder_that_is_not_there_at_the_start_is_an_error_that_says_what_to_do() {
    let base = tempfile::tempdir().unwrap();
    let error = Source::start(SourceOptions::new(base.path().join("no")), |_| {}).unwrap_err();
    assert!(
        matches!(error, SourceError::Missing(_)) && error.to_string().contains("mkdir -p"),
        "{error}"
    );
    std::fs::write(base.path().join("file"), "").unwrap();
    let error = Source::start(SourceOptions::new(base.path().join("file")), |_| {}).unwrap_err();
    assert!(matches!(error, SourceError::NotAFolder(_)), "{error}");
}

fn fault_9_a_removed_folder_changes_nothing_until_it_is_there_again() {
    let deps = started();
    let folder = deps.base.path().join("deps");
    std::fs::remove_dir_all(&folder).unwrap();
    let mut gone = 0;
    deps.wait(|event| match event {
        FolderEvent::State(state) => is_unreadable(&state).then_some(()),
        FolderEvent::File { .. } => {
            gone += 1;
            None
        }
        _ => None,
    });
    assert_eq!(gone, 0, "{}", deps.log());
    std::fs::create_dir(&folder).unwrap();
    deps.write("web_prod.dep", "app:2");
    let mut reports = [deps.next_report(), deps.next_report()];
    reports.sort();
    assert_eq!(reports, ["old_prod: gone", "web_prod: app:2"]);
    deps.write("web_prod.dep", "app:3");
    assert_eq!(deps.next_report(), "web_prod: app:3");
}

fn fault_9_a_folder_that_is_exchanged_is_watched_again() {
    let deps = started();
    let at = |name: &str| deps.base.path().join(name);
    std::fs::create_dir(at("next")).unwrap();
    std::fs::write(at("next/web_prod.dep"), "app:2").unwrap();
    std::fs::write(at("next/old_prod.dep"), "app:1").unwrap();
    std::fs::rename(at("deps"), at("before")).unwrap();
    std::fs::rename(at("next"), at("deps")).unwrap();
    assert_eq!(deps.next_report(), "web_prod: app:2");
    std::fs::write(at("before/web_prod.dep"), "app:9").unwrap();
    deps.write("web_prod.dep", "app:3");
    assert_eq!(deps.reports_until_calm(), ["web_prod: app:3"]);
}

fn fault_9_a_link_to_the_folder_that_is_pointed_elsewhere_is_followed() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    for (folder, image) in [("one", "app:1"), ("two", "app:2")] {
        std::fs::create_dir(at(folder)).unwrap();
        std::fs::write(at(folder).join("web_prod.dep"), image).unwrap();
    }
    std::os::unix::fs::symlink("one", at("deps")).unwrap();
    std::os::unix::fs::symlink("two", at("link")).unwrap();
    let deps = Watched::over(base, |_| {});
    assert_eq!(deps.next_report(), "web_prod: app:1");
    std::fs::rename(deps.base.path().join("link"), deps.base.path().join("deps")).unwrap();
    assert_eq!(deps.next_report(), "web_prod: app:2");
}

fn fault_9_a_folder_that_is_mounted_over_and_unmounted_is_seen() {
    child::run("folders::mounts", "unshare -Urm true", "exec unshare -Urm \"$@\"");
}

/// In a process of its own: runs in mounts of its own, started by fault_9.
fn mounts() {
    let mount = |args: &[&str], folder: &Path| {
        assert!(Command::new(args[0]).args(&args[1..]).arg(folder).status().unwrap().success());
    };
    let base = child::base();
    let folder = base.path().join("deps");
    std::fs::write(folder.join("web_prod.dep"), "app:1").unwrap();
    let deps = Watched::over(base, |_| {});
    assert_eq!(deps.next_report(), "web_prod: app:1");
    deps.wait_scanned();
    mount(&["mount", "-t", "tmpfs", "none"], &folder);
    // Empty and on another device: as likely a mistake as a wish.
    deps.wait_state(|state| matches!(state, FolderState::Unreadable { error } if error.contains("is it not mounted?")));
    deps.write("other_prod.dep", "app:1");
    let mut reports = [deps.next_report(), deps.next_report()];
    reports.sort();
    assert_eq!(reports, ["other_prod: app:1", "web_prod: gone"]);
    mount(&["umount", "-l"], &folder);
    let mut reports = [deps.next_report(), deps.next_report()];
    reports.sort();
    assert_eq!(reports, ["other_prod: gone", "web_prod: app:1"]);
}

/// Root reads everything: then another user runs the test.
pub const NO_ROOT: &str = "[ $(id -u) = 0 ] && exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"; exec \"$@\"";
pub const NO_ROOT_POSSIBLE: &str =
    "[ $(id -u) != 0 ] || setpriv --reuid=65534 --regid=65534 --clear-groups true";

fn fault_10_a_folder_that_cannot_be_read_changes_nothing_but_the_state() {
    child::run("folders::unreadable", NO_ROOT_POSSIBLE, NO_ROOT);
}

/// In a process of its own: runs as a user who is not root, started by fault_10.
fn unreadable() {
    let base = child::base();
    let deps = Watched::over(base, |_| {});
    deps.wait_scanned();
    deps.write("web_prod.dep", "app:1");
    assert_eq!(deps.next_report(), "web_prod: app:1");
    let allow = |name: &str, mode: u32| {
        std::fs::set_permissions(
            deps.base.path().join("deps").join(name),
            std::os::unix::fs::PermissionsExt::from_mode(mode),
        )
        .unwrap();
    };
    allow("", 0o000);
    let state = deps.wait_state(is_unreadable);
    let FolderState::Unreadable { error } = state else { panic!("{state:?}") };
    assert!(error.contains("permission denied") && error.contains("chmod"), "{error}");
    allow("", 0o755);
    deps.wait_state(|state| *state == FolderState::Watching);
    deps.write("web_prod.dep", "app:2");
    assert_eq!(deps.next_report(), "web_prod: app:2");
    allow("web_prod.dep", 0o000);
    assert!(
        deps.next_report().starts_with("web_prod.dep: refused: cannot be read: permission denied")
    );
    allow("web_prod.dep", 0o644);
    assert_eq!(deps.next_report(), "web_prod: app:2");
}

const NO_WATCHES: &str =
    "exec unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_inotify_watches && exec \"$@\"' sh \"$@\"";
const NO_INSTANCES: &str = "exec unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"' sh \"$@\"";

fn fault_11_without_inotify_watches_the_folder_is_polled() {
    child::run(
        "folders::polled",
        "unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_inotify_watches'",
        NO_WATCHES,
    );
}

fn fault_11_without_inotify_instances_the_folder_is_polled() {
    child::run(
        "folders::polled",
        "unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_inotify_instances'",
        NO_INSTANCES,
    );
}

/// In a process of its own: runs without inotify, started by fault_11.
fn polled() {
    let deps = Watched::over(child::base(), |_| {});
    let state = deps.wait_state(|_| true);
    let FolderState::Polling { why } = state else { panic!("{state:?}") };
    assert!(why.contains("limit of inotify") && why.contains("raise fs.inotify"), "{why}");
    check_life(&deps);
}

fn a_polled_folder_tells_the_same_as_a_watched_one() {
    let deps = Watched::with(|options| options.poll = true);
    check_life(&deps);
}

fn check_life(deps: &Watched) {
    deps.write("web_prod.dep", "app:1");
    assert_eq!(deps.next_report(), "web_prod: app:1");
    deps.write("web_prod.dep", "app:2");
    assert_eq!(deps.next_report(), "web_prod: app:2");
    deps.write("web_prod.dep", "app");
    assert!(deps.next_report().starts_with("web_prod: problem"));
    std::fs::remove_file(deps.path("web_prod.dep")).unwrap();
    assert_eq!(deps.next_report(), "web_prod: gone");
}

fn a_change_that_no_event_tells_of_is_found_by_the_rescan() {
    let deps = Watched::with(|options| options.rescan_every = Duration::from_millis(100));
    deps.write("web_prod.dep", "app:1");
    assert_eq!(deps.next_report(), "web_prod: app:1");
    // A mapping that outlives its descriptor: the write is never followed by a close.
    let script = "import sys, mmap, time\nf = open(sys.argv[1], 'r+b')\nm = mmap.mmap(f.fileno(), 5)\nf.close()\n\
                  time.sleep(0.5)\nm[4:5] = b'2'\nm.flush()\nsys.stdin.read()\n";
    let python = Command::new("python3")
        .args(["-c", script])
        .arg(deps.path("web_prod.dep"))
        .stdin(std::process::Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        assert!(!child::is_strict(), "python3 is not installed");
        return println!("skipped: python3 is not installed");
    };
    assert_eq!(deps.next_report(), "web_prod: app:2");
    drop(python.stdin.take());
    python.wait().unwrap();
}

/// Security row 9, while depd runs and is strict.
fn security_9_a_folder_that_is_opened_to_everybody_later_is_refused_if_strict() {
    let deps = Watched::with(|options| options.strict = true);
    let allow = |mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(deps.base.path().join("deps"), mode).unwrap();
    };
    allow(0o777);
    let state = deps.wait_state(is_unreadable);
    let FolderState::Unreadable { error } = state else { panic!("{state:?}") };
    assert!(error.contains("everybody") && error.contains("chmod o-w"), "{error}");
    deps.write("web_prod.dep", "app:1");
    deps.write("web_prod.dep", "app:2");
    allow(0o755);
    assert_eq!(deps.next_report(), "web_prod: app:2");
}
