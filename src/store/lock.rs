//! One depd per state folder: a lock that ends with the process that holds it, however it ends.
//!
//! The lock is `flock(2)` on a file, not the existence of the file: one that a dead process left
//! behind is no lock. The process id inside is for people only.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use super::file_identity::{identity_of, is_taken_away};
use super::holder::{Holder, holder_of};
use super::schema::make_folder;

/// The name of the lock file.
pub(super) const NAME: &str = "depd.lock";
/// The holder locks first and writes its process id then; looked at again this often.
const PID_READS: u32 = 10;
/// Between two looks.
const PID_PAUSE: Duration = Duration::from_millis(5);

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    file: File,
    folder: PathBuf,
}

/// Why there is no lock.
#[derive(Debug)]
pub enum NoLock {
    /// Another process holds it.
    Held {
        /// Which one, where it could be read.
        pid: Option<u32>,
    },
    /// The file system does not do it.
    Failed(io::Error),
}

impl Lock {
    /// Takes the lock of `folder` or says at once who has it.
    pub fn take(folder: &Path) -> Result<Lock, NoLock> {
        let mut file = open(&folder.join(NAME)).map_err(NoLock::Failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(NoLock::Held { pid: holder(&mut file) }),
            Err(TryLockError::Error(error)) => return Err(NoLock::Failed(error)),
        }
        // A full or read-only disk may refuse the process id; the lock holds without it.
        let _ = file.set_len(0);
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Lock { file, folder: folder.to_owned() })
    }

    /// Who deletes the file, or the folder with it, does not take the lock away, but leaves the next depd
    /// one of its own. So the one that is there now is taken too, in the place of the other.
    pub fn keep(&mut self) -> Result<(), NoLock> {
        let name = self.folder.join(NAME);
        if self.file.metadata().is_ok_and(|held| is_taken_away(&name, identity_of(&held))) {
            make_folder(&self.folder).map_err(NoLock::Failed)?;
            *self = Lock::take(&self.folder)?;
        }
        Ok(())
    }

    /// The folder that it is of.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The same on the folder itself, into which nothing is written: reading it is enough.
    pub fn take_folder(folder: &Path) -> Result<Lock, NoLock> {
        let file = File::open(folder).map_err(NoLock::Failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { file, folder: folder.to_owned() }),
            Err(TryLockError::WouldBlock) => Err(NoLock::Held { pid: locked_by(&file) }),
            Err(TryLockError::Error(error)) => Err(NoLock::Failed(error)),
        }
    }
}

impl Drop for Lock {
    /// Closing alone is not enough: a child between `fork` and `exec` has the file open too, and
    /// would keep the lock for that moment.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Opens for writing, or on a read-only disk for reading, which is enough to lock.
fn open(path: &Path) -> io::Result<File> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(no_follow);
    let read_only = options.clone();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).or_else(|error| read_only.open(path).map_err(|_| error))
}

/// The kernel knows. The number in the file may be that of somebody before, where the disk did not let
/// the holder write its own.
fn holder(file: &mut File) -> Option<u32> {
    locked_by(file).or_else(|| written(file))
}

fn locked_by(file: &File) -> Option<u32> {
    match holder_of(&file.metadata().ok()?) {
        Holder::Process(pid) => Some(pid),
        Holder::Nobody | Holder::Unknown => None,
    }
}

fn written(file: &mut File) -> Option<u32> {
    for _ in 0..PID_READS {
        let mut text = String::new();
        file.rewind().ok()?;
        file.take(32).read_to_string(&mut text).ok()?;
        if let Ok(pid) = text.trim().parse() {
            return Some(pid);
        }
        thread::sleep(PID_PAUSE);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Lock, NoLock};

    #[test]
    fn a_child_that_inherited_the_file_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = Lock::take(folder.path()).expect("free");
        // What `fork` leaves in a child: the same open file once more.
        let inherited = lock.file.try_clone().expect("a copy");
        drop(lock);
        Lock::take(folder.path()).expect("free again");
        drop(inherited);
    }
    #[test]
    fn a_folder_itself_is_locked_once_and_free_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = Lock::take_folder(folder.path()).expect("free");
        let second = Lock::take_folder(folder.path());
        let own = std::process::id();
        assert!(matches!(second, Err(NoLock::Held { pid: Some(pid) }) if pid == own), "{second:?}");
        drop(lock);
        Lock::take_folder(folder.path()).expect("free again");
    }
}
