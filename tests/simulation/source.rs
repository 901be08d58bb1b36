//! The thread that watches the folder, in the simulated world: notices in the order of the kernel, looks
//! between two marks, scans. What they mean is decided by `source::settle` of production.

use std::collections::{BTreeSet, VecDeque};

use depd::daemon;
use depd::desired::{FileName, parse_name};
use depd::source::settle::{Finding, Hint, Mark, Name, Pace, Said, Settle};
use depd::source::{FileReport, FolderEvent};

use crate::depd::Depd;
use crate::sabotage::Sabotage;
use crate::world::World;

/// The thread that watches the folder.
pub struct Source {
    pub settle: Settle,
    pub arrivals: VecDeque<Arrival>,
    pub looking: Looking,
    pub scanned: bool,
}

/// What the kernel has for the thread, in order.
pub enum Arrival {
    Hint(Name, Hint),
    Mark(Mark),
}

pub enum Looking {
    No,
    Due(Vec<Name>),
    Read,
}

impl Source {
    pub fn new() -> Source {
        Source {
            settle: Settle::new(Pace::default()),
            arrivals: VecDeque::new(),
            looking: Looking::No,
            scanned: false,
        }
    }
}

impl Depd {
    /// The source thread takes one event.
    pub fn receive(&self, world: &World) -> bool {
        let now = world.now();
        let mut source = self.source.lock();
        let Some(arrival) = source.arrivals.pop_front() else { return false };
        let said = match arrival {
            Arrival::Hint(name, hint) => {
                let torn = world.setup.sabotage == Some(Sabotage::TornLook);
                let hint = if torn && hint == Hint::Written { Hint::Complete } else { hint };
                source.settle.hint(&name, hint, now);
                Vec::new()
            }
            Arrival::Mark(mark) => source.settle.mark(mark, now),
        };
        drop(source);
        said.into_iter().for_each(|(name, said)| self.tell(world, &name, said));
        self.end_folder_start(world);
        true
    }

    fn tell(&self, world: &World, name: &Name, said: Said) {
        let FileName::Dep(key) = parse_name(&name.to_string_lossy()) else { return };
        let report = match said {
            Said::Finding(Finding::Images(images)) => FileReport::Images(images),
            Said::Finding(Finding::Problem(problem)) => FileReport::Problem(problem),
            Said::Finding(Finding::Empty) | Said::Gone => FileReport::Gone,
            _ => return,
        };
        world.note(|| format!("file {key}: {report:?}"));
        daemon::take_folder_event(&self.floor, FolderEvent::File { key, report });
    }

    /// The source thread takes what is due, reads it, or sets the second mark.
    pub fn look_at_files(&self, world: &World) -> bool {
        let now = world.now();
        let mut source = self.source.lock();
        let source = &mut *source;
        source.looking = match std::mem::replace(&mut source.looking, Looking::No) {
            Looking::No => {
                let due = source.settle.take_due(now, 9);
                if due.is_empty() {
                    return false;
                }
                source.arrivals.push_back(Arrival::Mark(Mark::Before));
                Looking::Due(due)
            }
            Looking::Due(names) => {
                for name in &names {
                    let found = world.folder.lock().look(name, now.0);
                    source.settle.looked(name, found);
                }
                Looking::Read
            }
            Looking::Read => {
                source.arrivals.push_back(Arrival::Mark(Mark::After));
                Looking::No
            }
        };
        true
    }

    /// A full scan, as at the start and after doubts.
    pub fn scan(&self, world: &World) {
        let now = world.now();
        let entries = world.folder.lock().entries(now.0);
        let mut source = self.source.lock();
        source.settle.scan_begins();
        for (name, stamp, old) in entries {
            if !source.settle.sighted(&name, stamp, old, now) {
                source.settle.appeared(&name, old, now);
            }
        }
        source.settle.scan_ends(&BTreeSet::new(), now);
        source.scanned = true;
        drop(source);
        self.end_folder_start(world);
    }

    /// The kernel lost events: the looks under way do not count, and a scan follows.
    pub fn overflow(&self, world: &World) {
        let now = world.now();
        let mut source = self.source.lock();
        source.arrivals.clear();
        source.looking = Looking::No;
        source.settle.doubt(now);
        drop(source);
        self.scan(world);
    }

    fn end_folder_start(&self, world: &World) {
        let source = self.source.lock();
        let over = source.scanned && source.settle.unsettled() == 0;
        drop(source);
        if over {
            self.start.lock().folder = true;
            self.judge(world);
        }
    }
}
