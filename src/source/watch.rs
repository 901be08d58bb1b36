//! The kernel's events about the dep folder, turned into notices that say "look again". `[E]`
//!
//! The facts are those of inotify(7), through the crate `notify`. Its mask includes every opening of
//! a file, ours too, so what arrives is picked by kind here, on notify's own thread, which must
//! never wait: the queue has a bound, and what goes beyond it is counted as lost, just as the
//! kernel's own overflow is. After a loss only a new watch and a full scan tell the truth again.
//!
//! **Marks** tell the order of events and of our own reading. A private file in memory is watched
//! by the same inotify instance: opening it is the first mark, writing to it the second, and both
//! come back through the same queue as everything else that happened. Where that cannot be had
//! (no `/proc`, a sandbox without `memfd_create`), [`Watch::marks_work`] is false.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};
use notify::event::{
    AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind, RenameMode,
};
use notify::{ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::fs::{MemfdFlags, memfd_create};

use super::settle::{Hint, Mark, Name};

/// The most notices that wait; the kernel keeps 16,384 more by default. They are counted, because a
/// channel that is bounded by itself takes the memory for all of them at once (2.5 MiB).
const QUEUE: usize = 65_536;

/// What the kernel told, or what became of the telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// About the file of this name.
    File(Name, Hint),
    /// A file or link of this name was created; whether it is complete is still to be found out.
    Created(Name),
    /// A sub-folder came, went or changed.
    SubFolder,
    /// The folder itself was moved, removed or changed.
    Folder,
    /// One of our own marks.
    Mark(Mark),
    /// The watch cannot be relied on any more.
    Broken(String),
}

/// A running watch on one folder, and on sub-folders as they are added.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    folder: PathBuf,
    notices: Receiver<Notice>,
    lost: Arc<AtomicBool>,
    marker: Option<Marker>,
}

/// The file in memory whose events are the marks.
struct Marker {
    path: PathBuf,
    file: File,
}

impl Watch {
    /// Watches the folder, not what lies deeper.
    ///
    /// # Errors
    /// Says why the kernel does not watch it, such as a limit that is reached.
    pub(super) fn start(folder: &Path) -> Result<Watch, String> {
        let folder = std::path::absolute(folder).map_err(|e| e.to_string())?;
        let (sender, notices) = unbounded();
        let lost = Arc::new(AtomicBool::new(false));
        let marker = Marker::new();
        let tell = Tell {
            folder: folder.clone(),
            marker: marker.as_ref().map(|m| m.path.clone()).unwrap_or_default(),
            sender,
            lost: Arc::clone(&lost),
        };
        let handle = move |event: notify::Result<Event>| tell.handle(event);
        let mut watcher = notify::recommended_watcher(handle).map_err(explain)?;
        watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(explain)?;
        let marker = marker.filter(|m| watcher.watch(&m.path, RecursiveMode::NonRecursive).is_ok());
        Ok(Watch { watcher, folder, notices, lost, marker })
    }

    /// Watches a sub-folder too. Watching it again does no harm.
    ///
    /// # Errors
    /// As [`Watch::start`].
    pub(super) fn add(&mut self, sub_folder: &OsStr) -> Result<(), String> {
        let path = self.folder.join(sub_folder);
        self.watcher.watch(&path, RecursiveMode::NonRecursive).map_err(explain)
    }

    /// Where the notices arrive.
    pub(super) fn notices(&self) -> &Receiver<Notice> {
        &self.notices
    }

    /// Events were lost since the watch started: it must be replaced.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// As if events had been lost.
    #[cfg(test)]
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Whether marks come back as notices.
    pub(super) fn marks_work(&self) -> bool {
        self.marker.is_some()
    }

    /// Marks are not to be used any more.
    pub(super) fn give_up_marks(&mut self) {
        self.marker = None;
    }

    /// Sets a mark into the stream of events.
    pub(super) fn mark(&mut self, mark: Mark) {
        let Some(marker) = &mut self.marker else { return };
        let set = match mark {
            Mark::Before => File::open(&marker.path).map(drop),
            Mark::After => marker.file.write_at(b".", 0).map(drop),
        };
        if set.is_err() {
            self.lost.store(true, Ordering::Release);
        }
    }
}

impl Marker {
    /// Since Linux 6.14 a file in memory tells of nothing that is done through the descriptor it
    /// was created with; one that is opened through `/proc` does, on every version.
    fn new() -> Option<Marker> {
        let memory = File::from(memfd_create("depd-mark", MemfdFlags::CLOEXEC).ok()?);
        let created = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let file = File::options().read(true).write(true).open(created).ok()?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Some(Marker { path, file })
    }
}

/// Lives on notify's thread.
struct Tell {
    folder: PathBuf,
    marker: PathBuf,
    sender: Sender<Notice>,
    lost: Arc<AtomicBool>,
}

impl Tell {
    fn handle(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => self.lose(),
            Ok(event) => {
                if let Some(notice) =
                    event.paths.first().and_then(|path| self.notice(event.kind, path))
                {
                    self.send(notice);
                }
            }
            Err(error) => self.send(Notice::Broken(explain(error))),
        }
    }

    fn send(&self, notice: Notice) {
        // Nobody else sends, so the count is right.
        if self.sender.len() < QUEUE {
            let _ = self.sender.send(notice);
        } else {
            self.lose();
        }
    }

    /// Says that events were lost; the notice only wakes the reader, so one is enough.
    fn lose(&self) {
        if !self.lost.swap(true, Ordering::AcqRel) {
            let _ = self.sender.send(Notice::Broken("events were lost".into()));
        }
    }

    fn notice(&self, kind: EventKind, path: &Path) -> Option<Notice> {
        if path == self.marker {
            return mark(kind).map(Notice::Mark);
        }
        let name: Name = path.strip_prefix(&self.folder).ok()?.as_os_str().into();
        if name.is_empty() {
            return folder(kind);
        }
        let hint = match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Hint::Complete,
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Hint::Complete,
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Hint::Vanished,
            EventKind::Modify(ModifyKind::Data(_)) => Hint::Written,
            EventKind::Modify(ModifyKind::Metadata(_)) => Hint::Touched,
            EventKind::Remove(RemoveKind::File) => Hint::Vanished,
            EventKind::Create(CreateKind::File) => return Some(Notice::Created(name)),
            EventKind::Create(_) | EventKind::Remove(_) => return Some(Notice::SubFolder),
            _ => return None,
        };
        Some(Notice::File(name, hint))
    }
}

fn mark(kind: EventKind) -> Option<Mark> {
    match kind {
        EventKind::Access(AccessKind::Open(_)) => Some(Mark::Before),
        EventKind::Modify(ModifyKind::Data(_)) => Some(Mark::After),
        _ => None,
    }
}

/// Events of the folder itself: moved, removed, or its attributes changed.
fn folder(kind: EventKind) -> Option<Notice> {
    match kind {
        EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Metadata(_)) | EventKind::Remove(_) => {
            Some(Notice::Folder)
        }
        _ => None,
    }
}

fn explain(error: notify::Error) -> String {
    match error.kind {
        ErrorKind::MaxFilesWatch => {
            "the limit of inotify watches is reached (raise fs.inotify.max_user_watches)".into()
        }
        ErrorKind::Io(e) if e.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            "the limit of inotify instances or open files is reached (raise fs.inotify.max_user_instances)".into()
        }
        ErrorKind::Io(e) => format!("the kernel does not watch it: {e}"),
        _ => format!("the kernel does not watch it: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Hint, Mark, Notice, Watch};

    fn next(watch: &Watch) -> Notice {
        watch.notices().recv_timeout(Duration::from_secs(10)).expect("a notice")
    }

    #[test]
    fn events_come_in_order_with_our_marks_between() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::start(folder.path()).unwrap();
        assert!(watch.marks_work());
        for _ in 0..3 {
            std::fs::write(folder.path().join("a"), "x").unwrap();
            watch.mark(Mark::Before);
            std::fs::write(folder.path().join("b"), "x").unwrap();
            watch.mark(Mark::After);
            let mut seen = Vec::new();
            while seen.last() != Some(&Notice::Mark(Mark::After)) {
                let notice = next(&watch);
                if matches!(notice, Notice::Mark(_) | Notice::File(_, Hint::Complete)) {
                    seen.push(notice);
                }
            }
            let name = |n: &str| std::ffi::OsString::from(n).into();
            let expect = [
                Notice::File(name("a"), Hint::Complete),
                Notice::Mark(Mark::Before),
                Notice::File(name("b"), Hint::Complete),
                Notice::Mark(Mark::After),
            ];
            assert_eq!(seen, expect);
        }
    }

    #[test]
    fn a_folder_that_is_moved_away_is_noticed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("deps");
        std::fs::create_dir(&folder).unwrap();
        let watch = Watch::start(&folder).unwrap();
        std::fs::rename(&folder, parent.path().join("other")).unwrap();
        assert_eq!(next(&watch), Notice::Folder);
    }
}
