//! The folder itself: is it still the same one, on what kind of file system, and what lies in it. `[E]`
//!
//! A scan asks for names and attributes only; nothing is opened. Facts are from the man pages
//! getdents(2), stat(2) and statfs(2); the numbers of file systems from `linux/magic.h`.

use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, fstat, fstatfs, openat, statat,
};
use rustix::io::Errno;

use super::settle::Stamp;

/// A file is old when it has not changed for this long.
const OLD: Duration = Duration::from_secs(1);
/// How deep `recursive` goes.
const DEPTH_MAX: usize = 8;

/// Device and inode: a folder that was replaced or mounted over has other ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// The open folder. Not to be kept: as long as it is open, the kernel does not tell of its removal.
pub(super) struct Folder {
    fd: OwnedFd,
    pub(super) identity: Identity,
    network: Option<&'static str>,
}

/// One entry, as a scan sees it.
pub(super) struct Entry<'a> {
    /// Relative to the folder.
    pub(super) name: &'a OsStr,
    pub(super) stamp: Stamp,
    /// It has not changed for a second.
    pub(super) old: bool,
    pub(super) kind: Kind,
    /// Of a sub-folder: why what lies in it cannot be seen. It may have been visited without this,
    /// too, when that showed late.
    pub(super) unreadable: Option<Errno>,
}

/// What kind of thing an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Link,
    Folder,
    Other,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Folder, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        let identity = Identity { device: stat.st_dev, inode: stat.st_ino };
        let network = network_file_system(&fd);
        Ok(Folder { fd, identity, network })
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The name of the file system, if it is one that does not tell of changes made elsewhere.
    pub(super) fn network_file_system(&self) -> Option<&'static str> {
        self.network
    }

    /// Whether a file of this folder is old, so that one look at it is enough. On a network file
    /// system none ever is: there the time of change comes from the clock of another machine.
    pub(super) fn is_old(&self, stat: &Stat, target: Option<&Stat>, now: SystemTime) -> bool {
        self.network.is_none() && is_old(stat, target, now)
    }

    /// Visits every entry, and with `recursive` every entry of every sub-folder, until `visit`
    /// returns false.
    ///
    /// # Errors
    /// Whatever keeps the listing from being whole; entries that vanish meanwhile are no error.
    pub(super) fn list(
        &self,
        recursive: bool,
        visit: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<(), Errno> {
        let level = Level {
            fd: &self.fd,
            ages: self.network.is_none(),
            depth: if recursive { DEPTH_MAX } else { 0 },
        };
        list(&level, &OsString::new(), visit).map(drop)
    }
}

/// A folder on the way down.
struct Level<'a> {
    fd: &'a OwnedFd,
    /// The times of its files are from our own clock.
    ages: bool,
    /// So many levels beneath it are listed too.
    depth: usize,
}

/// The name of the file system that `fd` lies on, if changes may be made elsewhere.
fn network_file_system(fd: &OwnedFd) -> Option<&'static str> {
    let stat = fstatfs(fd).ok()?;
    // Some kernels sign-extend the number, some do not.
    let magic = u32::try_from(i128::from(stat.f_type) & 0xffff_ffff).ok()?;
    network_name(magic)
}

/// The name that goes with the number of a file system, if changes may be made elsewhere.
fn network_name(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9p",
        0x00c3_6400 => "CephFS",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x7375_7245 => "Coda",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x786f_4256 => "a VirtualBox share",
        0xbacb_acbc => "a VMware share",
        _ => return None,
    })
}

/// The identity of whatever lies at `path` now, without opening it.
pub(super) fn identity(path: &Path) -> Result<Identity, Errno> {
    let stat = statat(CWD, path, AtFlags::empty())?;
    Ok(Identity { device: stat.st_dev, inode: stat.st_ino })
}

/// Lists one level and those beneath it; returns whether to go on.
fn list(
    level: &Level<'_>,
    prefix: &OsStr,
    visit: &mut dyn FnMut(Entry<'_>) -> bool,
) -> Result<bool, Errno> {
    let &Level { fd, ages, depth } = level;
    let mut buffer = vec![MaybeUninit::uninit(); 32 * 1024];
    let again =
        openat(fd, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut entries = RawDir::new(again, &mut buffer);
    let now = SystemTime::now();
    let mut path = prefix.to_owned();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let own = entry.file_name();
        // Hidden entries are never dep files, and `.` and `..` are among them.
        if own.to_bytes().starts_with(b".") {
            continue;
        }
        let Ok(stat) = statat(fd, own, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let kind = kind(&stat);
        let target = if kind == Kind::Link { statat(fd, own, AtFlags::empty()).ok() } else { None };
        let own = OsStr::from_bytes(own.to_bytes());
        path.clear();
        path.push(prefix);
        path.push(own);
        let stamp = stamp(&stat, target.as_ref());
        let old = ages && is_old(&stat, target.as_ref(), now);
        if !visit(Entry { name: &path, stamp, old, kind, unreadable: None }) {
            return Ok(false);
        }
        if kind == Kind::Folder && depth > 0 {
            match list_beneath(level, own, &path, visit) {
                Ok(true) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Ok(false) => return Ok(false),
                // Here it is not the sub-folder that is at fault, but what we have used up.
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => return Err(error),
                Err(error) => {
                    if !visit(Entry { name: &path, stamp, old, kind, unreadable: Some(error) }) {
                        return Ok(false);
                    }
                }
            }
        }
    }
    Ok(true)
}

/// Lists the sub-folder `own`, whose path in the dep folder is `path`.
fn list_beneath(
    level: &Level<'_>,
    own: &OsStr,
    path: &OsStr,
    visit: &mut dyn FnMut(Entry<'_>) -> bool,
) -> Result<bool, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let sub = openat(level.fd, own, flags, Mode::empty())?;
    // Another file system may be mounted there.
    let ages = level.ages && network_file_system(&sub).is_none();
    let mut prefix = path.to_owned();
    prefix.push("/");
    list(&Level { fd: &sub, ages, depth: level.depth - 1 }, &prefix, visit)
}

pub(super) fn kind(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Link,
        FileType::Directory => Kind::Folder,
        _ => Kind::Other,
    }
}

/// One number for everything that changes when a file changes; of a link, its target too.
pub(super) fn stamp(stat: &Stat, target: Option<&Stat>) -> Stamp {
    let mut hasher = DefaultHasher::new();
    for s in [Some(stat), target].into_iter().flatten() {
        (s.st_dev, s.st_ino, s.st_size, s.st_mode).hash(&mut hasher);
        (s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec).hash(&mut hasher);
    }
    Stamp(hasher.finish())
}

/// By the time of change (ctime), which no program can set back.
fn is_old(stat: &Stat, target: Option<&Stat>, now: SystemTime) -> bool {
    let old = |s: &Stat| {
        let seconds = u64::try_from(s.st_ctime).unwrap_or_default();
        let nanoseconds = u32::try_from(s.st_ctime_nsec).unwrap_or_default();
        let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        now.duration_since(changed).is_ok_and(|age| age >= OLD)
    };
    old(stat) && target.is_none_or(old)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Folder, Kind, identity, network_name};

    fn names(path: &std::path::Path, recursive: bool) -> Vec<(String, Kind)> {
        let mut names = Vec::new();
        let mut visit = |entry: super::Entry<'_>| {
            names.push((entry.name.to_str().unwrap().to_owned(), entry.kind));
            true
        };
        Folder::open(path).unwrap().list(recursive, &mut visit).unwrap();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        names
    }

    #[test]
    fn a_scan_sees_visible_entries_and_sub_folders_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a"), "").unwrap();
        std::fs::write(at(".hidden"), "").unwrap();
        std::os::unix::fs::symlink("a", at("l")).unwrap();
        std::fs::create_dir_all(at("s/t")).unwrap();
        std::fs::create_dir_all(at(".git/t")).unwrap();
        std::fs::write(at("s/t/b"), "").unwrap();
        let own = |n: &str, k: Kind| (n.to_owned(), k);
        let flat = vec![own("a", Kind::File), own("l", Kind::Link), own("s", Kind::Folder)];
        assert_eq!(names(folder.path(), false), flat);
        let deep = [flat, vec![own("s/t", Kind::Folder), own("s/t/b", Kind::File)]].concat();
        assert_eq!(names(folder.path(), true), deep);
    }

    #[test]
    fn file_systems_that_others_write_to_are_known_by_their_number() {
        let network = [
            (0x6969, "NFS"),
            (0xff53_4d42, "SMB"),
            (0xfe53_4d42, "SMB"),
            (0x6573_5546, "FUSE"),
            (0x0102_1997, "9p"),
            (0x00c3_6400, "CephFS"),
        ];
        for (magic, name) in network {
            assert_eq!(network_name(magic), Some(name));
        }
        // ext4, tmpfs, overlayfs, XFS, Btrfs
        for magic in [0xef53, 0x0102_1994, 0x794c_7630, 0x5846_5342, 0x9123_683e] {
            assert_eq!(network_name(magic), None);
        }
        let local = std::path::Path::new("/dev/shm");
        assert_eq!(Folder::open(local).unwrap().network_file_system(), None);
    }

    /// The times of a file on a server come from the server's clock, which may be behind ours.
    #[test]
    fn on_a_network_file_system_no_file_is_ever_old() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        let stat = rustix::fs::stat(folder.path().join("a")).unwrap();
        let later = SystemTime::now() + Duration::from_secs(3600);
        let is_old = |network| {
            let folder = Folder { network, ..Folder::open(folder.path()).unwrap() };
            folder.is_old(&stat, Some(&stat), later)
        };
        assert_eq!((is_old(None), is_old(Some("NFS"))), (true, false));
        // A scan says the same of entries that have been there for long.
        let some_old = |network| {
            let mut old = false;
            let folder = Folder { network, ..Folder::open("/etc".as_ref()).unwrap() };
            let mut visit = |entry: super::Entry<'_>| {
                old |= entry.old;
                true
            };
            folder.list(false, &mut visit).unwrap();
            old
        };
        assert_eq!((some_old(None), some_old(Some("NFS"))), (true, false));
    }

    #[test]
    fn a_replaced_folder_has_another_identity() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("deps");
        std::fs::create_dir(&path).unwrap();
        let first = Folder::open(&path).unwrap().identity;
        assert_eq!(identity(&path), Ok(first));
        std::fs::rename(&path, parent.path().join("old")).unwrap();
        assert!(identity(&path).is_err());
        std::fs::create_dir(&path).unwrap();
        assert_ne!(identity(&path), Ok(first));
    }
}
