//! One look at one file, safe against whatever lies under its name. `[E]`
//!
//! Only regular files are read, at most [`CONTENT_MAX`] bytes of them. Nothing else is ever opened,
//! so that no FIFO blocks and no device acts; should an entry change between the question and the
//! opening, `O_NONBLOCK` and a second question to the open file catch it. Links are followed only as
//! long as they stay beneath the folder, which the kernel itself guards (`RESOLVE_BENEATH`,
//! openat2(2), Linux 5.6).

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, statat,
};
use rustix::io::Errno;

use super::scan::{Folder, Kind, kind, stamp};
use super::settle::{Finding, Look, Stamp};
use crate::desired::{CONTENT_MAX, Content, FileName, ImageRules, parse_content, parse_name};
use crate::model::{Problem, ServiceKey};

const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// What the last component of a path in the folder names.
pub(super) fn parse_path(name: &OsStr) -> FileName {
    let last = Path::new(name).file_name().unwrap_or_default();
    match last.to_str() {
        Some(text) => parse_name(text),
        None if last.as_bytes().starts_with(b".") => FileName::Leftover,
        None => FileName::Refused(problem("the name is not UTF-8")),
    }
}

/// Looks at a file of the folder.
pub(super) fn look(folder: &Folder, name: &OsStr, rules: &ImageRules) -> Look {
    let stat = match statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NOTDIR) => return Look::Missing,
        Err(error) => {
            return Look::Found {
                stamp: Stamp(0),
                finding: unread(error),
                old: false,
                torn: false,
            };
        }
    };
    let link = kind(&stat) == Kind::Link;
    let target = if link { statat(folder.fd(), name, AtFlags::empty()).ok() } else { None };
    let seen = Seen { folder, stat, target };
    let key = match parse_path(name) {
        FileName::Dep(key) => key,
        FileName::Refused(problem) | FileName::Stray(problem) if kind(&stat) != Kind::Folder => {
            return seen.says(Finding::Refused(problem));
        }
        FileName::Refused(_) | FileName::Stray(_) | FileName::Leftover => return Look::Missing,
    };
    match kind(&stat) {
        Kind::Folder => return seen.says(refused("a folder, not a file")),
        Kind::Other => return seen.says(refused(not_regular(&stat))),
        Kind::File | Kind::Link => {}
    }
    match open(folder, name) {
        Ok(file) => read(&file, seen, &key, rules),
        Err(Errno::NOENT) if !link => Look::Missing,
        Err(error) => seen.says(not_opened(error, link)),
    }
}

/// The text of a file of the folder, read as safely as for [`look`].
pub(super) fn text(folder: &Folder, name: &OsStr) -> Result<String, Problem> {
    let link = || {
        let stat = statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| kind(&stat) == Kind::Link)
    };
    let why = |finding| match finding {
        Finding::Refused(problem) | Finding::Unread(problem) => problem,
        _ => problem("cannot be read"),
    };
    let file = open(folder, name).map_err(|error| why(not_opened(error, link())))?;
    let stat = fstat(&file).map_err(|error| why(unread(error)))?;
    if kind(&stat) != Kind::File {
        return Err(problem(not_regular(&stat)));
    }
    let mut bytes = Vec::new();
    file.take(CONTENT_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| problem(format!("cannot be read: {error}")))?;
    if bytes.len() > CONTENT_MAX {
        return Err(problem(too_large()));
    }
    String::from_utf8(bytes).map_err(|_| problem("it is not UTF-8"))
}

/// The state of an entry, and of what it links to.
struct Seen<'a> {
    folder: &'a Folder,
    stat: Stat,
    target: Option<Stat>,
}

impl Seen<'_> {
    fn says(&self, finding: Finding) -> Look {
        let (stat, target) = (&self.stat, self.target.as_ref());
        let old = self.folder.is_old(stat, target, SystemTime::now());
        Look::Found { stamp: stamp(stat, target), finding, old, torn: false }
    }
}

/// Reads an open file, if it is a regular one. What it says belongs to the state it has now.
fn read(file: &File, mut seen: Seen<'_>, key: &ServiceKey, rules: &ImageRules) -> Look {
    let opened = match fstat(file) {
        Ok(stat) => stat,
        Err(error) => return seen.says(unread(error)),
    };
    match &mut seen.target {
        Some(target) => *target = opened,
        None => seen.stat = opened,
    }
    if kind(&opened) != Kind::File {
        return seen.says(refused(not_regular(&opened)));
    }
    let (finding, changed) = read_regular(file, &opened, key, rules);
    match seen.says(finding) {
        Look::Found { stamp, finding, old, .. } => {
            Look::Found { stamp, finding, old, torn: changed }
        }
        missing @ Look::Missing => missing,
    }
}

fn read_regular(
    file: &File,
    before: &Stat,
    key: &ServiceKey,
    rules: &ImageRules,
) -> (Finding, bool) {
    let size = usize::try_from(before.st_size).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(size.min(CONTENT_MAX) + 1);
    if size <= CONTENT_MAX
        && let Err(error) = file.take(CONTENT_MAX as u64 + 1).read_to_end(&mut bytes)
    {
        let text = format!("cannot be read: {error}");
        return (Finding::Unread(problem(text)), false);
    }
    if size > CONTENT_MAX || bytes.len() > CONTENT_MAX {
        return (refused(too_large()), false);
    }
    let torn = fstat(file).map_or(true, |after| stamp(&after, None) != stamp(before, None));
    let finding = match parse_content(&bytes, key, rules) {
        Ok(Content::Images(images)) => Finding::Images(images),
        Ok(Content::Empty) => Finding::Empty,
        Err(problem) => Finding::Problem(problem),
    };
    (finding, torn || bytes.len() != size)
}

/// Opens beneath the folder, following links only there.
fn open(folder: &Folder, name: &OsStr) -> Result<File, Errno> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel asks to try again when something on the way is renamed at the same time.
    for _ in 0..8 {
        match openat2(folder.fd(), name, FLAGS, Mode::empty(), beneath) {
            Ok(fd) => return Ok(File::from(fd)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => return open_without_openat2(folder, name),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::AGAIN)
}

/// For kernels before 5.6 and sandboxes that forbid openat2: opens, then asks where it lies.
fn open_without_openat2(folder: &Folder, name: &OsStr) -> Result<File, Errno> {
    match openat(folder.fd(), name, FLAGS | OFlags::NOFOLLOW, Mode::empty()) {
        Err(Errno::LOOP) => {}
        Ok(fd) if !name.as_bytes().contains(&b'/') => return Ok(File::from(fd)),
        Ok(_) => {}
        Err(error) => return Err(error),
    }
    let target = statat(folder.fd(), name, AtFlags::empty())?;
    if kind(&target) != Kind::File {
        return Err(Errno::XDEV);
    }
    let file = File::from(openat(folder.fd(), name, FLAGS, Mode::empty())?);
    let place = |fd: i32| std::fs::read_link(PathBuf::from(format!("/proc/self/fd/{fd}")));
    match (place(folder.fd().as_raw_fd()), place(file.as_raw_fd())) {
        (Ok(root), Ok(own)) if own.starts_with(&root) => Ok(file),
        _ => Err(Errno::XDEV),
    }
}

fn not_opened(error: Errno, link: bool) -> Finding {
    match error {
        Errno::NOENT => refused("a link to a file that does not exist"),
        Errno::XDEV => refused(
            "a link that is absolute or leads out of the folder: make it relative, or copy the file",
        ),
        Errno::LOOP if link => refused("a link that cannot be followed: copy the file instead"),
        Errno::ACCESS | Errno::PERM => {
            Finding::Unread(problem("cannot be read: permission denied (chmod a+r would allow it)"))
        }
        error => unread(error),
    }
}

fn not_regular(stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => "a FIFO, not a regular file",
        FileType::Socket => "a socket, not a regular file",
        FileType::CharacterDevice | FileType::BlockDevice => "a device, not a regular file",
        FileType::Directory => "a link to a folder, not to a file",
        _ => "not a regular file",
    }
}

fn too_large() -> String {
    format!(
        "larger than {CONTENT_MAX} bytes: a dep file holds an image or a few container=image lines"
    )
}

fn unread(error: Errno) -> Finding {
    Finding::Unread(problem(format!("cannot be read: {}", std::io::Error::from(error))))
}

fn refused(text: impl Into<String>) -> Finding {
    Finding::Refused(problem(text))
}

fn problem(text: impl Into<String>) -> Problem {
    Problem { place: None, text: text.into() }
}
