//! Who holds the lock of a state folder, asked without touching the lock.
//!
//! Trying to take it would be simpler, and wrong: a daemon that starts in that moment would find it
//! taken and leave. The kernel lists its locks in `/proc/locks` (proc_locks(5)), by device and inode.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Who holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// No depd works with this folder.
    Nobody,
    /// This process does.
    Process(u32),
    /// The kernel does not say.
    Unknown,
}

/// Who works with the state folder `folder` now.
#[must_use]
pub fn holder(folder: &Path) -> Holder {
    match fs::metadata(folder.join(super::lock::NAME)) {
        Ok(file) => holder_of(&file),
        Err(error) if is_absence(&error) => Holder::Nobody,
        // Another user's folder: who cannot look does not know.
        Err(_) => Holder::Unknown,
    }
}

/// The error says that there is nothing of that name, and not that this user may not look.
pub fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Who holds a lock on this file.
pub fn holder_of(file: &Metadata) -> Holder {
    let Ok(locks) = fs::read_to_string("/proc/locks") else { return Holder::Unknown };
    let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    let name = format!("{major:02x}:{minor:02x}:{}", file.ino());
    locks.lines().find_map(|line| of_line(line, &name)).map_or(Holder::Nobody, Holder::Process)
}

/// `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF`; a line of who only waits has an arrow.
fn of_line(line: &str, name: &str) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match *words.as_slice() {
        [_, "FLOCK", _, "WRITE", pid, file, ..] if file == name => pid.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::lock::Lock;
    use super::*;

    #[test]
    fn the_process_that_holds_the_lock_is_found_and_a_file_alone_is_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(holder(folder.path()), Holder::Nobody);
        let lock = Lock::take(folder.path()).expect("free");
        assert_eq!(holder(folder.path()), Holder::Process(std::process::id()));
        drop(lock);
        assert_eq!(holder(folder.path()), Holder::Nobody);
    }

    #[test]
    fn who_cannot_look_does_not_know() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        assert_eq!(holder(&at.join("none")), Holder::Nobody);
        std::os::unix::fs::symlink("endless", at.join("endless")).expect("made");
        assert_eq!(holder(&at.join("endless")), Holder::Unknown);
    }

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let line = "3: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF";
        assert_eq!(of_line(line, "fe:00:1234"), Some(4711));
        assert_eq!(of_line(line, "fe:00:123"), None);
        assert_eq!(of_line("3: -> FLOCK  ADVISORY  WRITE 1 fe:00:1234 0 EOF", "fe:00:1234"), None);
        assert_eq!(of_line("", "fe:00:1234"), None);
    }
}
