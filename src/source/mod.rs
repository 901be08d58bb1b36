//! The dep folder, watched: who saved what, and when it is complete. `[E]`, but for [`settle`] `[C]`.
//!
//! One thread, named `source`, owns everything here. Events of the kernel are only hints to look at
//! a file ([`watch`]); [`settle`] decides when a look is due and when it counts; [`read`] looks,
//! safely; [`scan`] finds what no event told of. It watches first and scans then, so that nothing
//! falls between the two, and every doubt (events lost, folder replaced, unmounted, recreated) ends
//! in a new watch and a full scan. Where the kernel does not tell (network file systems, limits of
//! inotify reached) it scans every second instead.
//!
//! It never deletes on a doubt: a folder that cannot be read is [`FolderState::Unreadable`], and
//! everything that its files said stays in force. It never writes to the folder, and never reads
//! outside of it.

mod attach;
mod read;
mod read_all;
mod run;
mod scan;
pub mod settle;
mod speakers;
mod visit;
mod watch;

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use crate::desired::ImageRules;
use crate::model::{ImageSet, Problem, ServiceKey, shown};

pub use read_all::{FileRead, TextRead, read_all, read_texts};
pub use settle::{Finding, Pace};

/// What happened in the dep folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderEvent {
    /// What a dep file says has changed, by meaning: the same images in other words are no event.
    File {
        /// The service it speaks for.
        key: ServiceKey,
        /// What it says now.
        report: FileReport,
    },
    /// An entry is ignored. Told once, until it changes; what its key asked for stays in force.
    Refused {
        /// Its name, relative to the folder, with unprintable characters escaped.
        name: String,
        /// Why, and what to do.
        problem: Problem,
    },
    /// How the folder is observed has changed.
    State(FolderState),
    /// A full scan ended. The first one says that everything that lay in the folder at the start
    /// has been told.
    Scanned {
        /// How many dep files there are.
        files: usize,
    },
}

/// What a dep file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileReport {
    /// It asks for these images.
    Images(ImageSet),
    /// Its content has been invalid for a second. What it said before stays in force.
    Problem(Problem),
    /// It vanished or is empty: the service is not managed any more, the cluster stays as it is.
    Gone,
}

/// How the folder is observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderState {
    /// The kernel tells of changes.
    Watching,
    /// It is scanned every second.
    Polling {
        /// Why the kernel does not tell.
        why: String,
    },
    /// It cannot be read. Everything that its files said stays in force until it can.
    Unreadable {
        /// What is wrong and what to do.
        error: String,
    },
}

/// What to observe, and how.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The folder.
    pub folder: PathBuf,
    /// How images are completed.
    pub rules: ImageRules,
    /// Scan every second even where the kernel would tell of changes.
    pub poll: bool,
    /// Sub-folders too.
    pub recursive: bool,
    /// Refuse a folder that everybody may write to, instead of only warning.
    pub strict: bool,
    /// The most files that are looked at; the others are ignored, which is said.
    pub max_files: usize,
    /// Time between two scans while the kernel tells of changes; more where a scan takes long, so that a
    /// large folder costs little at rest.
    pub rescan_every: Duration,
    /// Time between two scans while it does not.
    pub poll_every: Duration,
    /// The times that settling works with.
    pub pace: Pace,
}

impl SourceOptions {
    /// The defaults, for this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> SourceOptions {
        SourceOptions {
            folder,
            rules: ImageRules::default(),
            poll: false,
            recursive: false,
            strict: false,
            max_files: 100_000,
            rescan_every: Duration::from_secs(20),
            poll_every: Duration::from_secs(1),
            pace: Pace::default(),
        }
    }
}

/// Why the folder cannot be observed at all.
#[derive(Debug)]
pub enum SourceError {
    /// There is nothing at its path.
    Missing(PathBuf),
    /// What lies at its path is not a folder.
    NotAFolder(PathBuf),
    /// Everybody may write to it, and [`SourceOptions::strict`] is set; the sentence says so.
    Exposed(String),
    /// It cannot be listed.
    Unreadable {
        /// Its path.
        folder: PathBuf,
        /// Why, and what to do.
        error: String,
    },
    /// It holds more files than are looked at.
    TooMany {
        /// Its path.
        folder: PathBuf,
        /// So many are.
        most: usize,
    },
    /// The thread did not start.
    Thread(std::io::Error),
}

impl SourceError {
    /// Nothing lies at `path`, or no folder. One that cannot be read is not found out about here.
    fn unless_folder(path: &Path) -> Result<(), SourceError> {
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(SourceError::Missing(path.to_owned()))
            }
            Ok(found) if !found.is_dir() => Err(SourceError::NotAFolder(path.to_owned())),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::Missing(path) => {
                let path = shown(path);
                write!(
                    f,
                    "the dep folder {path} does not exist: create it (mkdir -p {path}), or set DEPS to the right one"
                )
            }
            SourceError::NotAFolder(path) => {
                write!(f, "the dep folder {} is not a folder: set DEPS to one", shown(path))
            }
            SourceError::Exposed(sentence) => f.write_str(sentence),
            SourceError::Unreadable { folder, error } => {
                write!(f, "the dep folder {} cannot be read: {error}", shown(folder))
            }
            SourceError::TooMany { folder, most } => {
                write!(f, "the dep folder {} holds more than {most} files", shown(folder))
            }
            SourceError::Thread(error) => {
                write!(f, "the thread that watches the dep folder does not start: {error}")
            }
        }
    }
}

impl std::error::Error for SourceError {}

/// A warning, if everybody on this machine may write to the folder and so deploy what they like.
#[must_use]
pub fn exposure(folder: &Path) -> Option<String> {
    let mode = std::fs::metadata(folder).ok()?.permissions().mode();
    let path = shown(folder);
    (mode & 0o002 != 0).then(|| {
        format!(
            "everybody on this machine may write to the dep folder {path}, and so change what the \
             cluster runs: take that right away (chmod o-w {path})"
        )
    })
}

/// The name of the file system that the folder lies on, if it is one that changes may be made on
/// from elsewhere, of which the kernel does not tell.
#[must_use]
pub fn network_file_system(folder: &Path) -> Option<&'static str> {
    scan::Folder::open(folder).ok()?.network_file_system()
}

/// Whether the kernel would tell of changes in the folder now.
///
/// # Errors
/// Why it would not, such as a limit that is reached.
pub fn try_watch(folder: &Path) -> Result<(), String> {
    watch::Watch::start(folder).map(drop)
}

/// A running observation of the dep folder.
#[derive(Debug)]
pub struct Source {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Rescan,
    Stop,
}

impl Source {
    /// Starts to observe. `sink` is called on the thread `source`, one event at a time.
    ///
    /// # Errors
    /// When there is no such folder. One that cannot be read yet is no error but a state.
    pub fn start(
        options: SourceOptions,
        sink: impl FnMut(FolderEvent) + Send + 'static,
    ) -> Result<Source, SourceError> {
        SourceError::unless_folder(&options.folder)?;
        // A warning, without `strict`, is given with the first scan.
        if options.strict
            && let Some(sentence) = exposure(&options.folder)
        {
            return Err(SourceError::Exposed(sentence));
        }
        let (orders, inbox) = bounded(8);
        let run = move || run::Runner::new(options, Box::new(sink), inbox).run();
        let thread = std::thread::Builder::new()
            .name("source".into())
            .spawn(run)
            .map_err(SourceError::Thread)?;
        Ok(Source { orders, thread: Some(thread) })
    }

    /// Looks at the whole folder again, soon.
    pub fn rescan(&self) {
        // A full inbox means that the thread has as much to do already.
        let _ = self.orders.try_send(Order::Rescan);
    }

    /// Ends the observation; returns when the thread has ended, within milliseconds.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // The thread empties its inbox all the time, unless it has ended already.
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}
