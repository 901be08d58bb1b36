//! The program that this process runs, and starting it anew in the same process: with other settings, or
//! because a newer one was installed in its place. Whoever watches over the process notices nothing. `[E]`

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use log::error;

use super::Failure;
use crate::model::shown;

/// The program as it runs, also when its file is gone or is another one by now (proc_pid_exe(5)).
const RUNNING: &str = "/proc/self/exe";
/// What the kernel writes behind the name of a file that is gone.
const GONE: &[u8] = b" (deleted)";

/// The flags of `depd run` by which a person consents to what is held otherwise.
const CONSENTS: [&str; 2] = ["--accept-change", "--apply-all"];

/// A program and the file that it was started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    /// Device and inode.
    file: Option<(u64, u64)>,
}

impl Program {
    /// That of this process. Where there is no /proc, as in a bare chroot, it is the one that it was
    /// called by.
    #[must_use]
    pub fn of_this_process() -> Program {
        let called = || std::env::args_os().next().unwrap_or_default().into();
        let path = std::env::current_exe().map_or_else(|_| called(), |path| without_mark(&path));
        Program { file: file(RUNNING).or_else(|| file(&path)), path }
    }

    /// Another file is in its place now.
    #[must_use]
    pub fn was_replaced(&self) -> bool {
        file(&self.path).is_some_and(|now| Some(now) != self.file)
    }

    /// Starts what is in its place now, with the same arguments but those that were consents; where that
    /// cannot be started, itself once more. Returns only if neither is possible.
    pub fn start_anew(&self) -> Failure {
        let start = |program: &Path| {
            let mut arguments = without_consents(std::env::args_os());
            let mut command = Command::new(program);
            if let Some(name) = arguments.next() {
                command.arg0(name);
            }
            command.args(arguments).exec()
        };
        let problem = start(&self.path);
        let name = shown(&self.path);
        error!("{name} cannot be started anew ({problem}); the program that ran so far goes on");
        let problem = start(Path::new(RUNNING));
        Failure::work(format!("depd cannot start itself anew: {problem}"))
    }
}

/// A consent was given to what one start found. What the next one finds is asked about anew.
fn without_consents(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments.filter(|argument| !CONSENTS.iter().any(|consent| argument == consent))
}

fn file(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn without_mark(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    OsStr::from_bytes(bytes.strip_suffix(GONE).unwrap_or(bytes)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_whose_file_is_gone_keeps_its_name() {
        for (told, expect) in [
            ("/usr/local/bin/depd", "/usr/local/bin/depd"),
            ("/usr/local/bin/depd (deleted)", "/usr/local/bin/depd"),
            ("/opt/x (deleted)/depd", "/opt/x (deleted)/depd"),
        ] {
            assert_eq!(without_mark(Path::new(told)), Path::new(expect));
        }
    }

    #[test]
    fn only_what_was_consented_to_is_left_out_of_the_arguments() {
        let given = ["depd", "run", "--accept-change", "--deps", "x", "--apply-all", "--poll"];
        let kept: Vec<OsString> = without_consents(given.map(OsString::from).into_iter()).collect();
        assert_eq!(kept, ["depd", "run", "--deps", "x", "--poll"]);
    }

    #[test]
    fn another_file_in_its_place_is_seen_and_a_missing_one_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("depd");
        fs::write(&path, "one").expect("written");
        let program = Program { file: file(&path), path: path.clone() };
        assert!(!program.was_replaced());
        fs::rename(&path, folder.path().join("old")).expect("moved");
        assert!(!program.was_replaced());
        fs::write(&path, "two").expect("written");
        assert!(program.was_replaced());
    }
}
