//! A scan: every entry of the folder is visited, and compared with what is known. `[E]`
//!
//! It asks for names and attributes only, see [`super::scan`]. What it finds new or changed is
//! looked at later; sub-folders that it finds are watched, and then it scans once more, so that
//! nothing falls between the two.

use rustix::io::Errno;

use super::attach::{RETRY_EVERY, closed_folder};
use super::read::parse_path;
use super::run::Runner;
use super::scan::{Entry, Folder, Kind};
use super::settle::Name;
use super::{FolderEvent, FolderState};
use crate::desired::FileName;
use crate::model::{Moment, Problem, shown};

impl Runner {
    /// Visits every entry; returns how many there were.
    pub(super) fn scan(&mut self, folder: &Folder, now: Moment) -> Result<usize, Errno> {
        loop {
            let mut visit = Visit {
                runner: self,
                now,
                seen: 0,
                full: false,
                links: false,
                folders: Vec::new(),
                closed: Vec::new(),
            };
            visit.runner.settle.scan_begins();
            let recursive = visit.runner.options.recursive;
            folder.list(recursive, &mut |entry| visit.entry(&entry))?;
            let Visit { seen, full, links, folders, closed, .. } = visit;
            self.attachment.links = links;
            self.tell_too_many(full);
            self.tell_closed(closed);
            if !self.watch_sub_folders(folders, now) {
                return Ok(seen);
            }
        }
    }

    /// Watches sub-folders that are new; returns whether to scan again because of them.
    fn watch_sub_folders(&mut self, folders: Vec<Name>, now: Moment) -> bool {
        let Some(watch) = &mut self.attachment.watch else { return false };
        let mut added = false;
        for name in folders {
            match watch.add(&name) {
                Ok(()) => added |= self.attachment.sub_folders.insert(name),
                // It may be gone again; if not, only scanning is left.
                Err(_) if !self.options.folder.join(&*name).is_dir() => {}
                Err(why) => {
                    self.attachment.watch = None;
                    self.attachment.way = Some(FolderState::Polling { why });
                    self.attachment.retry_at = Some(now + RETRY_EVERY);
                    // The marks of looks under way will not come back.
                    self.looked = None;
                    self.settle.doubt(now);
                    return false;
                }
            }
        }
        added
    }

    /// Tells of each sub-folder that cannot be seen into, once until it can. What its files said
    /// stays in force.
    fn tell_closed(&mut self, closed: Vec<(Name, Errno)>) {
        for (name, error) in &closed {
            if !self.attachment.closed.contains(name) {
                let problem = closed_folder(*error);
                self.emit(FolderEvent::Refused { name: shown(name), problem });
            }
        }
        self.attachment.closed = closed.into_iter().map(|(name, _)| name).collect();
    }

    fn tell_too_many(&mut self, full: bool) {
        if full && !self.attachment.too_many {
            let most = self.options.max_files;
            let text = format!("it holds more than {most} files: the others are ignored");
            let name = shown(&self.options.folder);
            self.emit(FolderEvent::Refused { name, problem: Problem { place: None, text } });
        }
        self.attachment.too_many = full;
    }
}

/// One pass over the entries of the folder.
struct Visit<'a> {
    runner: &'a mut Runner,
    now: Moment,
    seen: usize,
    full: bool,
    links: bool,
    folders: Vec<Name>,
    closed: Vec<(Name, Errno)>,
}

impl Visit<'_> {
    fn entry(&mut self, entry: &Entry<'_>) -> bool {
        let Runner { settle, options, attachment, .. } = &mut *self.runner;
        self.seen += 1;
        if let Some(error) = entry.unreadable {
            self.folders.retain(|name| **name != *entry.name);
            self.closed.push((entry.name.into(), error));
            return true;
        }
        if entry.kind == Kind::Folder
            && options.recursive
            && !attachment.sub_folders.contains(entry.name)
        {
            self.folders.push(entry.name.into());
        }
        let link = entry.kind == Kind::Link;
        self.links |= link;
        let complete = entry.old || (link && attachment.swapped);
        if settle.sighted(entry.name, entry.stamp, complete, self.now) {
            return true;
        }
        let wanted = match parse_path(entry.name) {
            FileName::Dep(_) => true,
            FileName::Refused(_) | FileName::Stray(_) => entry.kind != Kind::Folder,
            FileName::Leftover => false,
        };
        if wanted && settle.len() >= options.max_files {
            self.full = true;
        } else if wanted {
            settle.appeared(&entry.name.into(), complete, self.now);
        }
        true
    }
}
