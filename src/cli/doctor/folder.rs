//! The folder: is it there, who may write to it, does the kernel tell of changes, what do its files say.

use std::fs;
use std::path::Path;

use super::super::settings as raw;
use super::findings::{Finding, Verdict};
use super::{Notes, Patient};
use crate::model::shown;
use crate::source::{FileRead, Finding as FileFinding, exposure, network_file_system, try_watch};

/// Looks at it.
pub fn look(patient: &Patient, notes: &Notes) {
    let Patient { run, env, files } = patient;
    let folder = match raw::deps(run.deps.as_deref(), "--deps", env) {
        Ok(folder) => folder,
        Err(failure) => return notes.add(Finding::fail("folder", failure.text(), "")),
    };
    if let Some(sentence) = exposure(&folder) {
        let verdict = if run.strict { Verdict::Fail } else { Verdict::Warn };
        notes.add(Finding::of_sentence("folder", verdict, &sentence));
    }
    match files {
        Ok(files) => {
            notes.add(Finding::ok("folder", shown(&folder)));
            notes.add(count(files, &folder));
        }
        Err(why) => notes.add(Finding::fail("folder", why, "")),
    }
    notes.add(watching(run.poll, network_file_system(&folder), try_watch(&folder)));
    notes.add(limits(run.recursive, &folder, "/proc/sys/fs/inotify".as_ref()));
}

fn count(files: &[FileRead], folder: &Path) -> Finding {
    let meant = files.iter().filter(|file| !file.stray);
    let is_bad = |finding: &FileFinding| {
        matches!(
            finding,
            FileFinding::Problem(_) | FileFinding::Refused(_) | FileFinding::Unread(_)
        )
    };
    let bad: Vec<&FileRead> = meant.clone().filter(|file| is_bad(&file.finding)).collect();
    let all = meant.count();
    match bad.first() {
        None if all == 0 => {
            let folder = shown(folder);
            let remedy = format!("echo IMAGE > {folder}/SERVICE_NAMESPACE.dep");
            Finding::warn("dep files", "there are none yet", remedy)
        }
        None => Finding::ok("dep files", format!("{all}, all in order")),
        Some(first) => {
            let (folder, bad) = (shown(folder), bad.len());
            let text = format!("{bad} of {all} cannot be used, such as {}", first.name);
            Finding::warn("dep files", text, format!("depd check {folder}"))
        }
    }
}

fn watching(poll: bool, network: Option<&str>, watch: Result<(), String>) -> Finding {
    let polled = "changes are found by looking every second";
    match (poll, network, watch) {
        (true, ..) => Finding::ok("watching", format!("{polled}, as --poll asks for")),
        (_, Some(name), _) => {
            let text = format!("the folder is on {name}, so {polled}");
            Finding::warn("watching", text, "a folder on a local disk is faster")
        }
        (.., Err(why)) => {
            let remedy = "depd works all the same";
            Finding::warn("watching", format!("{why}, so {polled}"), remedy)
        }
        (.., Ok(())) => Finding::ok("watching", "the kernel tells of changes at once"),
    }
}

/// inotify(7): limits for each user, in files beneath `/proc/sys/fs/inotify`.
fn limits(recursive: bool, folder: &Path, proc: &Path) -> Finding {
    let read = |name: &str| -> Option<u64> {
        fs::read_to_string(proc.join(name)).ok()?.trim().parse().ok()
    };
    let limits = (read("max_user_watches"), read("max_user_instances"));
    let (Some(watches), Some(instances)) = limits else {
        return Finding::ok("inotify", "its limits are not told here");
    };
    // The folder, and a file in memory that marks the order of events.
    let needed = 2 + if recursive { folders_beneath(folder) } else { 0 };
    let text = format!("{needed} watches needed of {watches}, 1 instance of {instances}");
    match needed < watches && instances > 1 {
        true => Finding::ok("inotify", text),
        false => {
            let remedy = "raise fs.inotify.max_user_watches and max_user_instances (sysctl)";
            Finding::warn("inotify", text, remedy)
        }
    }
}

fn folders_beneath(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| 1 + folders_beneath(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_changes_are_found_is_said_with_why() {
        let works = "the kernel tells of changes at once";
        assert_eq!(watching(false, None, Ok(())), Finding::ok("watching", works));
        let found = watching(false, Some("NFS"), Ok(()));
        let text = "the folder is on NFS, so changes are found by looking every second";
        assert_eq!(found, Finding::warn("watching", text, "a folder on a local disk is faster"));
        let found = watching(false, None, Err("the limit is reached".to_owned()));
        let text = "the limit is reached, so changes are found by looking every second";
        assert_eq!(found, Finding::warn("watching", text, "depd works all the same"));
        let text = "changes are found by looking every second, as --poll asks for";
        assert_eq!(watching(true, Some("NFS"), Ok(())), Finding::ok("watching", text));
    }

    #[test]
    fn limits_of_the_kernel_are_held_against_what_is_needed() {
        let proc = tempfile::tempdir().expect("a folder");
        let deps = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(deps.path().join("a/b")).expect("made");
        let check = |watches: &str, instances: &str, recursive: bool, expect: Verdict| {
            fs::write(proc.path().join("max_user_watches"), watches).expect("written");
            fs::write(proc.path().join("max_user_instances"), instances).expect("written");
            let needed = if recursive { 4 } else { 2 };
            let text = format!(
                "{needed} watches needed of {}, 1 instance of {}",
                watches.trim(),
                instances.trim()
            );
            let remedy = match expect {
                Verdict::Ok => "",
                _ => "raise fs.inotify.max_user_watches and max_user_instances (sysctl)",
            };
            let found = limits(recursive, deps.path(), proc.path());
            assert_eq!(found, Finding::new("inotify", expect, text, remedy));
        };
        check("8192\n", "128\n", false, Verdict::Ok);
        check("8192\n", "128\n", true, Verdict::Ok);
        check("4\n", "128\n", true, Verdict::Warn);
        check("8192\n", "1\n", false, Verdict::Warn);
    }
}
