//! The thread `source`: waits for notices, takes the looks that are due, tells what they found. `[E]`

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use crossbeam_channel::{Receiver, never, select};
use rayon::prelude::*;

use super::attach::Attachment;
use super::read::{look, parse_path};
use super::read_all::second_speaker;
use super::scan::Folder;
use super::settle::{Finding, Hint, Look, Mark, Name, Said, Settle};
use super::speakers::Speakers;
use super::watch::{Notice, Watch};
use super::{FileReport, FolderEvent, Order, SourceOptions};
use crate::clock;
use crate::desired::FileName;
use crate::model::{Moment, Problem, ServiceKey, shown};

/// The most files that are read between two marks.
const BATCH: usize = 4096;
/// From so many on, reading is spread over all processors.
const SPREAD: usize = 64;
/// The most notices that are taken before due looks get their turn.
const TURN: usize = 4096;
/// How long marks may take to come back before they are not believed in any more.
const MARKS_WITHIN: Duration = Duration::from_secs(5);
/// Without marks: how long hints may take to overtake a look.
const GRACE: Duration = Duration::from_millis(10);

/// Everything the thread owns.
pub(super) struct Runner {
    pub(super) options: SourceOptions,
    sink: Box<dyn FnMut(FolderEvent) + Send>,
    orders: Receiver<Order>,
    pub(super) settle: Settle,
    pub(super) attachment: Attachment,
    speakers: Speakers,
    /// When the looks under way were taken, if there are any.
    pub(super) looked: Option<Moment>,
}

impl Runner {
    pub(super) fn new(
        options: SourceOptions,
        sink: Box<dyn FnMut(FolderEvent) + Send>,
        orders: Receiver<Order>,
    ) -> Runner {
        Runner {
            settle: Settle::new(options.pace),
            options,
            sink,
            orders,
            attachment: Attachment::default(),
            speakers: Speakers::default(),
            looked: None,
        }
    }

    /// Runs until it is told to stop, or nobody is left who could tell.
    pub(super) fn run(mut self) {
        loop {
            self.check_folder(clock::now());
            self.scan_if_due(clock::now());
            self.take_looks(clock::now());
            self.end_looks_without_marks(clock::now());
            self.end_start(clock::now());
            if !self.wait() {
                return;
            }
        }
    }

    /// Waits for something to do, and takes what notices there are. False: it is time to stop.
    fn wait(&mut self) -> bool {
        let closed = never();
        let notices = self.attachment.watch.as_ref().map_or(&closed, Watch::notices).clone();
        let timeout = self.next_at().since(clock::now());
        let order = select! {
            recv(self.orders) -> order => Some(order.unwrap_or(Order::Stop)),
            recv(notices) -> notice => {
                let now = clock::now();
                for notice in notice.into_iter().chain(notices.try_iter().take(TURN)) {
                    self.notice(notice, now);
                }
                None
            }
            default(timeout) => None,
        };
        match order.or_else(|| self.orders.try_recv().ok()) {
            Some(Order::Stop) => return false,
            Some(Order::Rescan) => self.attachment.scan_at = clock::now(),
            None => {}
        }
        true
    }

    /// When there is something to do again, unless a notice comes first.
    fn next_at(&self) -> Moment {
        let marks = self.looked.map(|at| at + if self.marks_work() { MARKS_WITHIN } else { GRACE });
        let due = if self.attachment.is_readable() { self.settle.next_due() } else { None };
        let next = marks.or(due);
        next.map_or(self.attachment.next_at(), |at| at.min(self.attachment.next_at()))
    }

    fn marks_work(&self) -> bool {
        self.attachment.watch.as_ref().is_some_and(Watch::marks_work)
    }

    fn notice(&mut self, notice: Notice, now: Moment) {
        match notice {
            Notice::File(name, hint) => self.hint(&name, hint, now),
            Notice::Created(name) => {
                match std::fs::symlink_metadata(self.options.folder.join(&*name)) {
                    // A link is complete as it appears; a file that was just created is still empty.
                    Ok(stat) if stat.is_symlink() || stat.nlink() > 1 => {
                        self.hint(&name, Hint::Complete, now)
                    }
                    _ => self.hint(&name, Hint::Written, now),
                }
            }
            Notice::SubFolder => {
                self.attachment.sub_folders.clear();
                self.attachment.ask_for_scan(now);
            }
            Notice::Folder => {
                self.attachment.check_at = now;
                self.attachment.ask_for_scan(now);
            }
            Notice::Mark(mark) if self.marks_work() => self.mark(mark, now),
            Notice::Mark(_) => {}
            Notice::Broken(_) => self.attachment.break_off(now),
        }
    }

    fn hint(&mut self, name: &Name, hint: Hint, now: Moment) {
        match parse_path(name) {
            FileName::Leftover => {
                // Kubernetes swaps the link `..data`, and with it the targets of all links.
                if hint == Hint::Complete && name.as_bytes().starts_with(b"..") {
                    self.attachment.swapped = true;
                    self.attachment.ask_for_scan(now);
                }
                return;
            }
            FileName::Refused(_) => {
                // It may be what a link leads to, or a sub-folder that was moved.
                let moved =
                    self.options.recursive && matches!(hint, Hint::Complete | Hint::Vanished);
                if moved {
                    self.attachment.sub_folders.clear();
                }
                if moved || (self.attachment.links && hint == Hint::Complete) {
                    self.attachment.ask_for_scan(now);
                }
            }
            FileName::Dep(_) => {
                if hint == Hint::Complete && !self.attachment.links {
                    let stat = std::fs::symlink_metadata(self.options.folder.join(&**name));
                    self.attachment.links = stat.is_ok_and(|stat| stat.is_symlink());
                }
            }
        }
        if self.settle.said(name).is_some() || self.settle.len() < self.options.max_files {
            self.settle.hint(name, hint, now);
        } else {
            self.attachment.ask_for_scan(now);
        }
    }

    /// Reads what is due, between two marks.
    fn take_looks(&mut self, now: Moment) {
        if !self.attachment.is_readable() {
            return;
        }
        let due = self.settle.take_due(now, BATCH);
        if due.is_empty() {
            return;
        }
        let folder = match self.attachment.open(&self.options.folder) {
            Ok(folder) => folder,
            Err(_) => return self.settle.abandon_looks(now + self.options.pace.settle),
        };
        self.set_mark(Mark::Before, now);
        let looks = self.read(&folder, &due);
        for (name, look) in due.iter().zip(looks) {
            self.settle.looked(name, look);
        }
        self.looked = Some(now);
        self.set_mark(Mark::After, now);
    }

    fn read(&self, folder: &Folder, names: &[Name]) -> Vec<Look> {
        let rules = &self.options.rules;
        if names.len() < SPREAD {
            return names.iter().map(|name| look(folder, name, rules)).collect();
        }
        names.par_iter().map(|name| look(folder, name, rules)).collect()
    }

    /// Sends a mark through the stream of events, or where there is none, takes it as back already.
    fn set_mark(&mut self, mark: Mark, now: Moment) {
        match &mut self.attachment.watch {
            Some(watch) if watch.marks_work() => watch.mark(mark),
            Some(_) if mark == Mark::After => {}
            _ => self.mark(mark, now),
        }
    }

    fn mark(&mut self, mark: Mark, now: Moment) {
        if self.attachment.watch.as_ref().is_some_and(Watch::has_lost) {
            // What was lost may have been a write between the marks.
            return self.forget_looks(now);
        }
        if mark == Mark::After {
            self.looked = None;
        }
        for (name, said) in self.settle.mark(mark, now) {
            self.tell(&name, said);
        }
    }

    /// Ends looks whose second mark is a matter of time, or will never come.
    fn end_looks_without_marks(&mut self, now: Moment) {
        let Some(looked) = self.looked else { return };
        if !self.marks_work() {
            if looked + GRACE <= now {
                self.mark(Mark::After, now);
            }
        } else if looked + MARKS_WITHIN <= now {
            log::warn!(
                "the kernel does not return marks: saves that follow each other within milliseconds are told apart by time"
            );
            self.attachment.watch.iter_mut().for_each(Watch::give_up_marks);
            self.forget_looks(now);
        }
    }

    /// Looks that are under way are taken again at `again_at`.
    fn forget_looks(&mut self, again_at: Moment) {
        self.looked = None;
        self.settle.abandon_looks(again_at);
    }

    /// Tells what is new about a file.
    fn tell(&mut self, name: &Name, said: Said) {
        let key = match parse_path(name) {
            FileName::Dep(key) => key,
            _ => {
                if let Said::Finding(Finding::Refused(problem)) = said {
                    self.refuse(name, problem);
                }
                return;
            }
        };
        if said == Said::Gone {
            return self.tell_gone(key, name);
        }
        if let Some(speaker) = self.speakers.other(&key, name) {
            let text = second_speaker(&shown(speaker));
            return self.refuse(name, Problem { place: None, text });
        }
        match said {
            Said::Finding(Finding::Images(images)) => self.report(key, FileReport::Images(images)),
            Said::Finding(Finding::Problem(problem)) => {
                self.report(key, FileReport::Problem(problem))
            }
            Said::Finding(Finding::Refused(problem) | Finding::Unread(problem)) => {
                self.refuse(name, problem)
            }
            Said::Finding(Finding::Empty) => self.report(key, FileReport::Gone),
            Said::Nothing | Said::Gone => {}
        }
    }

    fn tell_gone(&mut self, key: ServiceKey, name: &Name) {
        let (spoke, next) = self.speakers.leave(&key, name);
        match next {
            Some(next) if spoke => {
                let said = self.settle.said(&next).cloned();
                self.tell(&next, said.unwrap_or(Said::Nothing));
            }
            None => self.report(key, FileReport::Gone),
            Some(_) => {}
        }
    }

    fn report(&mut self, key: ServiceKey, report: FileReport) {
        self.emit(FolderEvent::File { key, report });
    }

    fn refuse(&mut self, name: &OsStr, problem: Problem) {
        self.emit(FolderEvent::Refused { name: shown(name), problem });
    }

    pub(super) fn emit(&mut self, event: FolderEvent) {
        (self.sink)(event);
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{bounded, unbounded};

    use super::{FolderEvent, Hint, Mark, Name, Runner, SourceOptions, clock};

    /// What the sink hears of a file that was looked at between two marks.
    fn told(lost: bool) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let (sender, events) = unbounded();
        let (_orders, inbox) = bounded(1);
        let options = SourceOptions::new(folder.path().to_owned());
        let mut runner =
            Runner::new(options, Box::new(move |event| sender.send(event).unwrap()), inbox);
        let now = clock::now();
        runner.check_folder(now);
        runner.scan_if_due(now);
        std::fs::write(folder.path().join("web_prod.dep"), "app:1").unwrap();
        let name: Name = std::ffi::OsString::from("web_prod.dep").into();
        runner.settle.hint(&name, Hint::Complete, now);
        runner.take_looks(now);
        if lost {
            runner.attachment.watch.as_ref().unwrap().lose();
        }
        runner.mark(Mark::Before, now);
        runner.mark(Mark::After, now);
        events.try_iter().filter(|event| matches!(event, FolderEvent::File { .. })).count()
    }

    #[test]
    fn a_look_does_not_count_when_events_were_lost_meanwhile() {
        assert_eq!((told(false), told(true)), (1, 0));
    }
}
