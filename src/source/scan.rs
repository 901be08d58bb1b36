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
}

/// One entry, as a scan sees it.
pub(super) struct Entry<'a> {
    /// Relative to the folder.
    pub(super) name: &'a OsStr,
    pub(super) stamp: Stamp,
    /// It has not changed for a second.
    pub(super) old: bool,
    pub(super) kind: Kind,
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
        Ok(Folder { fd, identity: Identity { device: stat.st_dev, inode: stat.st_ino } })
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The name of the file system, if it is one that does not tell of changes made elsewhere.
    pub(super) fn network_file_system(&self) -> Option<&'static str> {
        let stat = fstatfs(&self.fd).ok()?;
        // Some kernels sign-extend the number, some do not.
        let magic = u32::try_from(i128::from(stat.f_type) & 0xffff_ffff).ok()?;
        network_name(magic)
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
        list(&self.fd, &OsString::new(), if recursive { DEPTH_MAX } else { 0 }, visit).map(drop)
    }
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

/// Lists one level; returns whether to go on.
fn list(
    fd: &OwnedFd,
    prefix: &OsStr,
    depth: usize,
    visit: &mut dyn FnMut(Entry<'_>) -> bool,
) -> Result<bool, Errno> {
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
        let (stamp, old) = (stamp(&stat, target.as_ref()), is_old(&stat, target.as_ref(), now));
        if !visit(Entry { name: &path, stamp, old, kind }) {
            return Ok(false);
        }
        if kind == Kind::Folder && depth > 0 {
            path.push("/");
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(fd, own, flags, Mode::empty()) {
                Ok(sub) if !list(&sub, &path, depth - 1, visit)? => return Ok(false),
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(true)
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
pub(super) fn is_old(stat: &Stat, target: Option<&Stat>, now: SystemTime) -> bool {
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
