//! When is a file complete? `[C]`: no I/O, no clock, no threads; hints, looks and `now` come in,
//! due looks and reports come out.
//!
//! A file is acted on
//! - at once, when it was seen closed after writing or moved (linked) into place;
//! - otherwise when two looks a second apart find the same, which is how a file is judged that a
//!   scan found freshly changed, or that somebody writes to without closing it;
//! - a file that is invalid, empty or missing only when it stayed so for a second, because editors
//!   pass through all of these while they save.
//!
//! **A look never takes what a later write left half done.** Whoever drives this reads a batch of
//! files between two marks that travel through the same queue as the hints, so that their order is
//! known: what was read counts only if the file was closed at the first mark, and nothing was
//! written to it until the second. Opening a file for overwriting announces itself before the first
//! byte arrives, so a prefix of the new content can never pass for the old write's.
//!
//! **Constant writing starves nobody.** A file that is closed again and again is read after a close
//! at most every few milliseconds (later up to half a second); the last close is always followed
//! by a look. A file written to all the time without ever being closed is looked at every second
//! once its patience is used up, and taken as soon as two looks agree.
//!
//! What the kernel does not tell apart are two programs that have one file open for writing at the
//! same time: the close of the first counts, although the second is not done. The close of the second
//! follows, and has the last word.
//!
//! Facts on inotify's order of events are from the man page inotify(7).

mod file;
mod look;

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;

use crate::model::Moment;
use file::{File, Flight, Judged, Open, Recheck};
pub use look::{Finding, Hint, Look, Mark, Name, Pace, Said, Stamp};

/// All files of the folder, and what is still to find out about them.
#[derive(Debug)]
pub struct Settle {
    pace: Pace,
    files: HashMap<Name, File>,
    due: BTreeSet<(Moment, Name)>,
    in_flight: Vec<Name>,
    unsettled: usize,
    scan: u32,
}

impl Settle {
    /// An empty folder.
    #[must_use]
    pub fn new(pace: Pace) -> Settle {
        Settle {
            pace,
            files: HashMap::new(),
            due: BTreeSet::new(),
            in_flight: Vec::new(),
            unsettled: 0,
            scan: 0,
        }
    }

    /// An event about a file.
    pub fn hint(&mut self, name: &Name, hint: Hint, now: Moment) {
        let pace = self.pace;
        let Some(file) = self.files.get_mut(name) else {
            match hint {
                Hint::Vanished => {}
                Hint::Written => self.open(name, now, |open| open.write(now, &pace)),
                Hint::Complete => self.open(name, now, |open| open.complete(now)),
                Hint::Touched => self.open(name, now, |open| open.look_by(now)),
            }
            return;
        };
        let soonest = now.max(file.looked + file.gap);
        let settled = file.open.is_none();
        match hint {
            Hint::Written => self.open(name, now, |open| open.write(now, &pace)),
            Hint::Complete => self.open(name, now, |open| open.complete(soonest)),
            Hint::Touched if settled => self.open(name, now, |open| open.complete(soonest)),
            Hint::Touched => {}
            Hint::Vanished => self.open(name, now, |open| open.vanish(now, &pace)),
        }
    }

    /// A full scan begins: every file that it sees is [`Settle::sighted`].
    pub fn scan_begins(&mut self) {
        self.scan = self.scan.wrapping_add(1);
    }

    /// Whether this file is known, and if so, that the scan found it in this state. `old`: it has
    /// not changed for a second or more.
    pub fn sighted(&mut self, name: &OsStr, stamp: Stamp, old: bool, now: Moment) -> bool {
        let Some((known, file)) = self.files.get_key_value(name) else { return false };
        let same = file.stamp == Some(stamp);
        let again = match file.recheck {
            Recheck::No => false,
            Recheck::Once => old,
            Recheck::Always => true,
        };
        let known = (file.open.is_none() && (!same || again)).then(|| known.clone());
        if let Some(file) = self.files.get_mut(name) {
            file.seen_in_scan = self.scan;
        }
        if let Some(name) = known {
            self.find(&name, old, now);
        }
        true
    }

    /// The scan found a file that [`Settle::sighted`] does not know.
    pub fn appeared(&mut self, name: &Name, old: bool, now: Moment) {
        self.find(name, old, now);
        if let Some(file) = self.files.get_mut(name) {
            file.seen_in_scan = self.scan;
        }
    }

    /// The scan ended without a failure: what it did not see has vanished.
    pub fn scan_ends(&mut self, now: Moment) {
        let scan = self.scan;
        let unseen =
            self.files.iter().filter(|(_, file)| file.seen_in_scan != scan && file.open.is_none());
        let unseen: Vec<Name> = unseen.map(|(name, _)| name.clone()).collect();
        for name in unseen {
            self.hint(&name, Hint::Vanished, now);
        }
    }

    /// Names that must be looked at now. Until both marks have come back, no more are handed out.
    pub fn take_due(&mut self, now: Moment, most: usize) -> Vec<Name> {
        if !self.in_flight.is_empty() {
            return Vec::new();
        }
        let due: Vec<Name> = self
            .due
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(most)
            .map(|(_, n)| n.clone())
            .collect();
        for name in &due {
            self.change(name, |open| {
                let sure = std::mem::take(&mut open.sure);
                open.look_at = None;
                open.flight = Some(Flight { sure, began: false, spoiled: false, look: None });
            });
        }
        self.in_flight.clone_from(&due);
        due
    }

    /// What the look at a due name found.
    pub fn looked(&mut self, name: &Name, look: Look) {
        self.change(name, |open| {
            if let Some(flight) = &mut open.flight {
                flight.look = Some(look);
            }
        });
    }

    /// A mark came back through the queue of hints; the second one yields what is to be told.
    pub fn mark(&mut self, mark: Mark, now: Moment) -> Vec<(Name, Said)> {
        match mark {
            Mark::Before => {
                for name in self.in_flight.clone() {
                    self.change(&name, Open::begin);
                }
                Vec::new()
            }
            Mark::After => {
                let names = std::mem::take(&mut self.in_flight);
                names.into_iter().filter_map(|name| self.conclude(name, now)).collect()
            }
        }
    }

    /// The marks will not come back, or the folder could not be read: the looks are taken again.
    pub fn abandon_looks(&mut self, again_at: Moment) {
        for name in std::mem::take(&mut self.in_flight) {
            self.change(&name, |open| {
                open.sure |= open.flight.take().is_some_and(|f| f.sure && !f.spoiled);
                open.look_by(again_at);
            });
        }
    }

    /// Events were lost: what looked closed may be open by now, so no file is sure any more, and
    /// each that is not settled takes two looks that agree.
    pub fn doubt(&mut self, now: Moment) {
        self.abandon_looks(now);
        let unsettled = self.files.iter().filter(|(_, file)| file.open.is_some());
        let names: Vec<Name> = unsettled.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.change(&name, Open::doubt);
        }
    }

    /// When the next look is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Looks have been handed out, and their second mark is not back yet.
    #[must_use]
    pub fn is_looking(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// How many files wait for a look.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// How many files are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// No file is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What was last told about a file.
    #[must_use]
    pub fn said(&self, name: &OsStr) -> Option<&Said> {
        self.files.get(name).map(|file| &file.said)
    }

    /// How many files say something that is or could be followed.
    #[must_use]
    pub fn dep_files(&self) -> usize {
        let refused =
            |said: &Said| matches!(said, Said::Nothing | Said::Finding(Finding::Refused(_)));
        self.files.values().filter(|file| !refused(&file.said)).count()
    }

    /// A scan found it new or changed: an old change is complete, a fresh one needs a second look.
    fn find(&mut self, name: &Name, old: bool, now: Moment) {
        self.open(name, now, |open| if old { open.complete(now) } else { open.look_by(now) });
    }

    fn open(&mut self, name: &Name, now: Moment, change: impl FnOnce(&mut Open)) {
        if !self.files.contains_key(name) {
            self.files.insert(name.clone(), File::new(self.pace.gap));
        }
        if let Some(file) = self.files.get_mut(name)
            && file.open.is_none()
        {
            if file.looked + self.pace.settle <= now {
                file.gap = self.pace.gap;
            }
            file.open = Some(Box::default());
            self.unsettled += 1;
        }
        self.change(name, change);
    }

    /// Changes what is under way with a file, and keeps the list of due looks in step.
    fn change(&mut self, name: &Name, change: impl FnOnce(&mut Open)) {
        let Some(open) = self.files.get_mut(name).and_then(|file| file.open.as_mut()) else {
            return;
        };
        let before = open.look_at;
        change(open);
        let after = open.look_at;
        if before != after {
            before.map(|at| self.due.remove(&(at, name.clone())));
            after.map(|at| self.due.insert((at, name.clone())));
        }
    }

    /// Judges a look whose marks are both back.
    fn conclude(&mut self, name: Name, now: Moment) -> Option<(Name, Said)> {
        let pace = self.pace;
        let file = self.files.get_mut(&name)?;
        let judged = file.judge(now, &pace)?;
        let told = match judged {
            Judged::Later(at) => {
                self.change(&name, |open| open.look_by(at));
                return None;
            }
            Judged::Now(look) => file.settle(look),
        };
        self.close(&name);
        told.map(|said| (name, said))
    }

    /// Nothing is left to find out, unless another hint came during the look.
    fn close(&mut self, name: &Name) {
        let Some(file) = self.files.get_mut(name) else { return };
        let waits = file.open.as_ref().is_some_and(|open| open.look_at.is_some());
        if waits {
            return;
        }
        if file.open.take().is_some() {
            self.unsettled -= 1;
        }
        if file.said == Said::Gone {
            self.files.remove(name);
        }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
