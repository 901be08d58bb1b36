//! Sub-folders, which are observed when asked for.

use std::time::Duration;

use depd::source::{FolderState, SourceOptions};

use crate::Test;
use crate::child;
use crate::folders::{NO_ROOT, NO_ROOT_POSSIBLE};
use crate::watched::Watched;

pub const TESTS: &[Test] = tests![
    sub_folders_are_watched_when_asked_and_one_file_speaks_for_a_service,
    an_empty_file_keeps_no_other_from_speaking,
    a_sub_folder_that_cannot_be_read_is_told_of_and_the_others_go_on,
    fault_11_when_sub_folders_are_too_many_to_watch_they_are_polled,
    a_sub_folder_that_is_called_like_a_leftover_is_found_when_it_is_moved_in,
    without_that_option_sub_folders_are_left_alone,
];

pub const CHILDREN: &[Test] = tests![unreadable_sub_folder, polled_sub_folders,];

fn sub_folders_are_watched_when_asked_and_one_file_speaks_for_a_service() {
    let deps = Watched::with(|options| options.recursive = true);
    std::fs::create_dir_all(deps.path("team/eu")).unwrap();
    deps.write("team/eu/web_prod.dep", "app:1");
    assert_eq!(deps.next_report(), "web_prod: app:1");
    deps.write("team/eu/web_prod.dep", "app:2");
    assert_eq!(deps.next_report(), "web_prod: app:2");
    let second = |name: &str, first: &str| {
        format!("{name}: refused: {first} speaks for the same service, and only one file can")
    };
    deps.write("web_prod.dep", "app:3");
    assert_eq!(deps.next_report(), second("web_prod.dep", "team/eu/web_prod.dep"));
    std::fs::rename(deps.path("team/eu"), deps.path("team/us")).unwrap();
    let mut reports = deps.reports_until_calm();
    // For a moment only the second file is there, or both are.
    reports.retain(|report| !report.contains("refused"));
    assert_eq!(reports.last().map(String::as_str), Some("web_prod: app:2"));
    // The first by name speaks, whichever came first.
    std::fs::create_dir(deps.path("a")).unwrap();
    deps.write("a/web_prod.dep", "app:9");
    assert_eq!(deps.next_report(), second("team/us/web_prod.dep", "a/web_prod.dep"));
    assert_eq!(deps.next_report(), "web_prod: app:9");
    std::fs::remove_dir_all(deps.path("a")).unwrap();
    assert_eq!(deps.next_report(), "web_prod: app:2");
    std::fs::remove_file(deps.path("web_prod.dep")).unwrap();
    std::fs::remove_dir_all(deps.path("team")).unwrap();
    assert_eq!(deps.next_report(), "web_prod: gone");
    std::fs::create_dir_all(deps.path("team/us")).unwrap();
    deps.write("team/us/web_prod.dep", "app:4");
    assert_eq!(deps.next_report(), "web_prod: app:4");
}

fn an_empty_file_keeps_no_other_from_speaking() {
    let deps = Watched::with(|options| options.recursive = true);
    for folder in ["x", "y"] {
        std::fs::create_dir(deps.path(folder)).unwrap();
    }
    deps.write("x/web_prod.dep", "app:1");
    assert_eq!(deps.next_report(), "web_prod: app:1");
    deps.write("x/web_prod.dep", "");
    assert_eq!(deps.next_report(), "web_prod: gone");
    deps.write("y/web_prod.dep", "app:2");
    assert_eq!(deps.next_report(), "web_prod: app:2");
    std::fs::remove_file(deps.path("x/web_prod.dep")).unwrap();
    std::fs::remove_file(deps.path("y/web_prod.dep")).unwrap();
    assert_eq!(deps.next_report(), "web_prod: gone");
    deps.write("y/web_prod.dep", "app:3");
    assert_eq!(deps.next_report(), "web_prod: app:3");
}

fn a_sub_folder_that_cannot_be_read_is_told_of_and_the_others_go_on() {
    child::run("sub_folders::unreadable_sub_folder", NO_ROOT_POSSIBLE, NO_ROOT);
}

/// In a process of its own: runs as a user who is not root.
fn unreadable_sub_folder() {
    let base = child::base();
    let at = |name: &str| base.path().join("deps").join(name);
    for folder in ["closed", "open"] {
        std::fs::create_dir(at(folder)).unwrap();
    }
    std::fs::write(at("closed/hidden_prod.dep"), "app:1").unwrap();
    let deps = Watched::over(base, |options| options.recursive = true);
    assert_eq!(deps.next_report(), "hidden_prod: app:1");
    deps.wait_scanned();
    let allow = |mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(deps.path("closed"), mode).unwrap();
    };
    allow(0o000);
    assert_eq!(
        deps.next_report(),
        "closed: refused: a sub-folder that cannot be read: permission denied: depd needs to read and to enter it (chmod a+rx)"
    );
    deps.source().rescan();
    deps.wait_scanned();
    deps.write("open/web_prod.dep", "app:1");
    assert_eq!(deps.reports_until_calm(), ["web_prod: app:1"]);
    let read = depd::source::read_all(&SourceOptions {
        recursive: true,
        ..SourceOptions::new(deps.base.path().join("deps"))
    });
    let read: Vec<_> = read.unwrap().into_iter().map(|file| file.name).collect();
    assert_eq!(read, ["open/web_prod.dep", "closed"]);
    allow(0o755);
    deps.write("closed/hidden_prod.dep", "app:2");
    assert_eq!(deps.next_report(), "hidden_prod: app:2");
}

/// Enough for the folder itself and the marks.
const TWO_WATCHES: &str =
    "exec unshare -Ur sh -c 'echo 2 > /proc/sys/user/max_inotify_watches && exec \"$@\"' sh \"$@\"";

fn fault_11_when_sub_folders_are_too_many_to_watch_they_are_polled() {
    child::run(
        "sub_folders::polled_sub_folders",
        "unshare -Ur sh -c 'echo 2 > /proc/sys/user/max_inotify_watches'",
        TWO_WATCHES,
    );
}

/// In a process of its own: runs with few inotify watches.
fn polled_sub_folders() {
    let deps = Watched::over(child::base(), |options| {
        options.recursive = true;
        options.rescan_every = Duration::from_secs(3600);
    });
    deps.wait_state(|state| *state == FolderState::Watching);
    deps.wait_scanned();
    std::fs::create_dir(deps.path("team")).unwrap();
    deps.wait_state(|state| matches!(state, FolderState::Polling { .. }));
    deps.write("team/web_prod.dep", "app:1");
    assert_eq!(deps.next_report(), "web_prod: app:1");
}

fn a_sub_folder_that_is_called_like_a_leftover_is_found_when_it_is_moved_in() {
    let deps = Watched::with(|options| {
        options.recursive = true;
        options.rescan_every = Duration::from_secs(3600);
    });
    let away = deps.base.path().join("away");
    std::fs::create_dir(&away).unwrap();
    std::fs::write(away.join("web_prod.dep"), "app:1").unwrap();
    std::fs::rename(&away, deps.path("2026")).unwrap();
    assert_eq!(deps.next_report(), "web_prod: app:1");
    std::fs::rename(deps.path("2026"), deps.path("eu.new")).unwrap();
    deps.write("eu.new/web_prod.dep", "app:2");
    assert_eq!(deps.reports_until_calm().last().map(String::as_str), Some("web_prod: app:2"));
    std::fs::rename(deps.path("eu.new"), &away).unwrap();
    assert_eq!(deps.next_report(), "web_prod: gone");
}

fn without_that_option_sub_folders_are_left_alone() {
    let deps = Watched::new();
    std::fs::create_dir(deps.path("team")).unwrap();
    deps.write("team/web_prod.dep", "app:1");
    assert_eq!(deps.reports_until_calm(), Vec::<String>::new());
}
