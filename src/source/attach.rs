//! Being attached to the folder: is it there, is it still the same, what does a scan find. `[E]`
//!
//! The order is always: watch first, then scan. A folder that was replaced, mounted over or comes
//! back gets a new watch and a full scan. A folder that cannot be read, or that is suddenly empty
//! and on another device (as an unmounted one is), changes nothing but the state.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use super::run::Runner;
use super::scan::{Folder, Identity, identity};
use super::settle::Name;
use super::watch::Watch;
use super::{FolderEvent, FolderState, SourceOptions, exposure};
use crate::clock;
use crate::model::{Moment, Problem};

/// How often it is asked whether the folder is still the same.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The same, while it cannot be read.
const CHECK_AGAIN: Duration = Duration::from_millis(100);
/// How long a folder may be away, as it is while it is replaced, before that is told.
const AWAY: Duration = Duration::from_millis(500);
/// How often a watch that the kernel refused is tried again.
pub(super) const RETRY_EVERY: Duration = Duration::from_secs(60);
/// Least time between two scans that hints ask for.
const SCAN_GAP: Duration = Duration::from_millis(50);
/// A scan takes at most one part in so many of the time.
const SCAN_SHARE: u32 = 10;
/// A scan that only makes sure that the kernel has told of everything takes less still, as far as it
/// need not come more than [`RARER`] times more rarely for that.
const RESCAN_SHARE: u32 = 2000;
const RARER: u32 = 3;
/// Files that are written to during the start do not hold up its end for longer than this.
const START_WITHIN: Duration = Duration::from_secs(3);

/// The state of the attachment.
#[derive(Default)]
pub(super) struct Attachment {
    pub(super) watch: Option<Watch>,
    /// Which folder it is; `None` while there is none.
    identity: Option<Identity>,
    /// The device on which files were last seen.
    device: Option<u64>,
    /// How the folder would be observed, were it readable.
    pub(super) way: Option<FolderState>,
    told: Option<FolderState>,
    /// Since when it cannot be read, and why.
    away: Option<(Moment, String)>,
    pub(super) sub_folders: HashSet<Name>,
    /// Sub-folders that the last scan could not see into, each of which has been told of.
    pub(super) closed: BTreeSet<Name>,
    /// There are links among the dep files.
    pub(super) links: bool,
    /// A link `..data` was swapped: the links that changed by that are complete.
    pub(super) swapped: bool,
    pub(super) too_many: bool,
    /// Everybody may write to the folder, which has been said.
    pub(super) exposed: bool,
    pub(super) scan_at: Moment,
    pub(super) check_at: Moment,
    pub(super) retry_at: Option<Moment>,
    /// End of the last scan, and how long it took.
    scanned: (Moment, Duration),
    start: Start,
}

/// How far the start has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Start {
    #[default]
    NotScanned,
    /// Scanned; some files may need a second look, but not beyond this moment.
    Settling(Moment),
    Over,
}

/// Why the attached folder could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// The kernel says no.
    Refused(Errno),
    /// Another folder lies there.
    Replaced,
}

impl Attachment {
    /// Whether files may be judged by what is found.
    pub(super) fn is_readable(&self) -> bool {
        self.identity.is_some() && self.away.is_none()
    }

    /// When to check or scan next.
    pub(super) fn next_at(&self) -> Moment {
        let scan = self.identity.map(|_| self.scan_at);
        let start = match self.start {
            Start::Settling(until) => Some(until),
            _ => None,
        };
        [scan, start, self.retry_at].into_iter().flatten().fold(self.check_at, Moment::min)
    }

    /// Opens the folder.
    ///
    /// # Errors
    /// It cannot be opened, or it is not the one that is attached any more; then it is checked at
    /// once.
    pub(super) fn open(&mut self, path: &Path) -> Result<Folder, NotOpened> {
        let folder = Folder::open(path).map_err(NotOpened::Refused)?;
        if Some(folder.identity) == self.identity {
            return Ok(folder);
        }
        self.check_at = Moment(0);
        Err(NotOpened::Replaced)
    }

    /// A scan soon, but not all the time.
    pub(super) fn ask_for_scan(&mut self, now: Moment) {
        let (at, took) = self.scanned;
        let soonest = now.max(at + SCAN_GAP.max(took * SCAN_SHARE));
        self.scan_at = self.scan_at.min(soonest);
    }

    /// The time that reading takes is not counted against the files that settle at the start.
    pub(super) fn extend_start(&mut self, read: Duration) {
        if let Start::Settling(until) = &mut self.start {
            *until = *until + read;
        }
    }

    /// The watch has failed: a new one is needed.
    pub(super) fn break_off(&mut self, now: Moment) {
        self.identity = None;
        self.check_at = now;
    }
}

impl Runner {
    /// Asks now and then whether the folder is still the same, and attaches to it if not.
    pub(super) fn check_folder(&mut self, now: Moment) {
        let attachment = &mut self.attachment;
        let lost = attachment.watch.as_ref().is_some_and(Watch::has_lost);
        let retry = attachment.retry_at.is_some_and(|at| at <= now);
        if attachment.check_at > now && !lost && !retry {
            return;
        }
        if lost {
            log::warn!("events of the dep folder were lost, it is scanned as a whole");
        }
        attachment.check_at = now + CHECK_EVERY;
        if self.options.strict
            && let Some(sentence) = exposure(&self.options.folder)
        {
            return self.unreadable(sentence, now);
        }
        match identity(&self.options.folder) {
            Ok(found) if attachment.identity == Some(found) && !lost && !retry => {}
            Ok(_) => self.attach(now),
            Err(error) => self.unreadable(explain(error), now),
        }
    }

    fn attach(&mut self, now: Moment) {
        self.detach(now);
        let folder = match Folder::open(&self.options.folder) {
            Ok(folder) => folder,
            Err(error) => return self.unreadable(explain(error), now),
        };
        let polling = |why: String| Some(FolderState::Polling { why });
        self.attachment.retry_at = None;
        self.attachment.way = if self.options.poll {
            polling("as asked for".into())
        } else if let Some(name) = folder.network_file_system() {
            polling(format!("{name} does not tell of changes that are made elsewhere"))
        } else {
            match Watch::start(&self.options.folder) {
                Ok(watch) => {
                    self.attachment.watch = Some(watch);
                    Some(FolderState::Watching)
                }
                Err(why) => {
                    self.attachment.retry_at = Some(now + RETRY_EVERY);
                    polling(why)
                }
            }
        };
        self.attachment.identity = Some(folder.identity);
        self.attachment.scan_at = now;
    }

    fn detach(&mut self, now: Moment) {
        self.attachment.watch = None;
        self.attachment.identity = None;
        self.attachment.sub_folders.clear();
        self.looked = None;
        self.settle.doubt(now);
    }

    /// Nothing that files said is changed by this.
    fn unreadable(&mut self, error: String, now: Moment) {
        self.detach(now);
        let (since, _) = *self.attachment.away.get_or_insert((now, error.clone()));
        self.attachment.away = Some((since, error.clone()));
        self.attachment.check_at = now + CHECK_AGAIN;
        let first = self.attachment.start == Start::NotScanned;
        if first || since + AWAY <= now {
            self.attachment.check_at = now + CHECK_EVERY;
            self.tell_state(FolderState::Unreadable { error });
        }
    }

    fn tell_state(&mut self, state: FolderState) {
        if self.attachment.told.as_ref() != Some(&state) {
            self.attachment.told = Some(state.clone());
            self.emit(FolderEvent::State(state));
        }
    }

    /// Scans, if it is time to.
    pub(super) fn scan_if_due(&mut self, now: Moment) {
        if self.attachment.identity.is_none() || self.attachment.scan_at > now {
            return;
        }
        let folder = match self.attachment.open(&self.options.folder) {
            Ok(folder) => folder,
            Err(NotOpened::Refused(error)) => return self.unreadable(explain(error), now),
            Err(NotOpened::Replaced) => return,
        };
        let scan = self.scan(&folder, now);
        let took = clock::now().since(now);
        // The scan may have found out that the kernel does not tell of everything.
        let polled = self.attachment.watch.is_none();
        self.attachment.scanned = (now + took, took);
        self.attachment.scan_at = now + scan_every(&self.options, polled, took);
        match scan {
            Err(error) => self.unreadable(explain(error), now),
            Ok(seen) if seen == 0 && self.looks_unmounted(folder.identity) => {
                self.unreadable(
                    "it is empty and on another device than before: is it not mounted?".into(),
                    now,
                );
            }
            Ok(_) => self.scanned(folder.identity, now + took),
        }
    }

    fn looks_unmounted(&self, identity: Identity) -> bool {
        let other = self.attachment.device.is_some_and(|device| device != identity.device);
        other && !self.settle.is_empty()
    }

    /// A scan that counts has ended.
    fn scanned(&mut self, identity: Identity, now: Moment) {
        self.settle.scan_ends(&self.attachment.closed, now);
        self.attachment.swapped = false;
        self.attachment.away = None;
        self.warn_of_exposure();
        self.attachment.device = Some(identity.device);
        if let Some(way) = self.attachment.way.clone() {
            self.tell_state(way);
        }
        match self.attachment.start {
            Start::NotScanned => self.attachment.start = Start::Settling(now + START_WITHIN),
            Start::Settling(_) => {}
            Start::Over => self.tell_scanned(),
        }
    }

    /// Ends the start once every file has been judged.
    pub(super) fn end_start(&mut self, now: Moment) {
        if let Start::Settling(until) = self.attachment.start
            && (self.settle.unsettled() == 0 || until <= now)
        {
            self.attachment.start = Start::Over;
            self.tell_scanned();
        }
    }

    fn tell_scanned(&mut self) {
        let files = self.settle.dep_files();
        self.emit(FolderEvent::Scanned { files });
    }

    /// The right to write may be given to everybody while depd runs; said once until it is taken away.
    fn warn_of_exposure(&mut self) {
        let warning = exposure(&self.options.folder);
        if let Some(sentence) = warning.as_ref().filter(|_| !self.attachment.exposed) {
            log::warn!("{sentence}");
        }
        self.attachment.exposed = warning.is_some();
    }
}

/// How long after the beginning of a scan that `took` so long the next one begins.
fn scan_every(options: &SourceOptions, polled: bool, took: Duration) -> Duration {
    let SourceOptions { poll_every, rescan_every, .. } = *options;
    let every = match polled {
        true => poll_every,
        false => rescan_every.max((took * RESCAN_SHARE).min(rescan_every * RARER)),
    };
    every.max(took * SCAN_SHARE)
}

/// Why a sub-folder is passed over, and what to do.
pub(super) fn closed_folder(error: Errno) -> Problem {
    let text = format!("a sub-folder that cannot be read: {}", explain(error));
    Problem { place: None, text }
}

/// Why the folder cannot be read, and what to do.
pub(super) fn explain(error: Errno) -> String {
    match error {
        Errno::NOENT => "it does not exist any more: create it again".into(),
        Errno::ACCESS | Errno::PERM => {
            "permission denied: depd needs to read and to enter it (chmod a+rx)".into()
        }
        Errno::NOTDIR => "it is not a folder any more".into(),
        error => std::io::Error::from(error).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_that_takes_long_comes_more_rarely_but_not_too_rarely() {
        let options = SourceOptions::new("deps".into());
        let seconds = |polled, took_ms| {
            scan_every(&options, polled, Duration::from_millis(took_ms)).as_secs_f64()
        };
        let watched = [1, 10, 20, 30, 100, 10_000].map(|took_ms| seconds(false, took_ms));
        assert_eq!(watched, [20.0, 20.0, 40.0, 60.0, 60.0, 100.0]);
        // Nothing else tells of changes.
        assert_eq!([1, 100, 200].map(|took_ms| seconds(true, took_ms)), [1.0, 1.0, 2.0]);
    }
}
