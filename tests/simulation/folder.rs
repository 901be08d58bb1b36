//! The simulated dep folder and the people who save files in it.
//!
//! A save is a row of halves: the effect on the file, and the kernel's event about it, which reaches
//! a depd only if one watches at that moment. A writer never pauses for long with a file open; that
//! a file which lies there half-written for a second counts as complete is a rule of its own.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;

use depd::desired::{Content, ImageRules, parse_content};
use depd::model::ServiceKey;
use depd::source::settle::{Finding, Hint, Look, Name, Stamp};

/// A writer with an open file does its next half within this time.
const PAUSE_MS: u64 = 300;

/// How somebody saves a file.
#[derive(Clone, Copy, Debug)]
pub enum Save {
    /// Truncates it, writes in two parts, closes.
    InPlace,
    /// Removes it first, as git does.
    Anew,
    /// Moves a complete file over it.
    Move,
    /// Leaves it empty.
    Empty,
    /// Removes it.
    Remove,
}

#[derive(Clone, Debug)]
enum Half {
    Create,
    Truncate,
    Append(String),
    Close,
    Replace(String),
    Unlink,
    Tell(Hint),
}

/// A file and its writer.
#[derive(Debug)]
pub struct File {
    pub name: Name,
    content: Option<String>,
    inode: u64,
    changed_ms: u64,
    /// When its writer last did something.
    moved_ms: u64,
    plan: VecDeque<Half>,
    /// Every content that was complete at some time, in order; `None` for no file.
    pub complete: Vec<Option<String>>,
}

#[derive(Debug, Default)]
pub struct Folder {
    pub files: BTreeMap<ServiceKey, File>,
    inodes: u64,
}

impl Folder {
    pub fn add(&mut self, key: &ServiceKey) {
        let file = File {
            name: OsString::from(key.file_name()).into(),
            content: None,
            inode: 0,
            changed_ms: 0,
            moved_ms: 0,
            plan: VecDeque::new(),
            complete: vec![None],
        };
        self.files.insert(key.clone(), file);
    }

    /// Somebody begins to save a file, after what is under way with it.
    pub fn save(&mut self, key: &ServiceKey, save: Save, content: &str) {
        let file = self.files.get_mut(key).expect("a known file");
        let (first, second) = content.split_at(content.len().saturating_sub(2));
        let written = || Half::Tell(Hint::Written);
        let parts = [
            Half::Append(first.to_owned()),
            written(),
            Half::Append(second.to_owned()),
            written(),
            Half::Close,
            Half::Tell(Hint::Complete),
        ];
        match save {
            Save::InPlace => file.plan.extend([Half::Truncate, written()].into_iter().chain(parts)),
            Save::Anew => {
                let start = [Half::Unlink, Half::Tell(Hint::Vanished), Half::Create, written()];
                file.plan.extend(start.into_iter().chain(parts));
            }
            Save::Move => {
                file.plan.extend([Half::Replace(content.to_owned()), Half::Tell(Hint::Complete)]);
            }
            Save::Empty => {
                file.plan.extend([Half::Truncate, written(), Half::Close]);
                file.plan.push_back(Half::Tell(Hint::Complete));
            }
            Save::Remove => file.plan.extend([Half::Unlink, Half::Tell(Hint::Vanished)]),
        }
    }

    /// The files that are being written.
    pub fn busy(&self) -> Vec<ServiceKey> {
        let busy = |(_, file): &(&ServiceKey, &File)| !file.plan.is_empty();
        self.files.iter().filter(busy).map(|(key, _)| key.clone()).collect()
    }

    /// The files whose writer must go on before the clock says `now_ms`.
    pub fn overdue(&self, now_ms: u64) -> Vec<ServiceKey> {
        let late = |file: &File| {
            let is_open = !matches!(file.plan.front(), None | Some(Half::Replace(_)));
            is_open && file.moved_ms + PAUSE_MS < now_ms
        };
        self.files.iter().filter(|(_, file)| late(file)).map(|(key, _)| key.clone()).collect()
    }

    /// The writer of a file does the next half; returns the event, if that is one.
    pub fn write(&mut self, key: &ServiceKey, now_ms: u64) -> Option<(Name, Hint)> {
        let file = self.files.get_mut(key)?;
        let half = file.plan.pop_front()?;
        file.moved_ms = now_ms;
        if !matches!(half, Half::Close | Half::Tell(_)) {
            file.changed_ms = now_ms;
        }
        match half {
            Half::Create => {
                self.inodes += 1;
                file.inode = self.inodes;
                file.content = Some(String::new());
            }
            Half::Truncate => {
                if file.content.is_none() {
                    self.inodes += 1;
                    file.inode = self.inodes;
                }
                file.content = Some(String::new());
            }
            Half::Append(text) => file.content.get_or_insert_default().push_str(&text),
            Half::Close => file.complete.push(file.content.clone()),
            Half::Replace(text) => {
                self.inodes += 1;
                file.inode = self.inodes;
                file.content = Some(text);
                file.complete.push(file.content.clone());
            }
            Half::Unlink => {
                file.content = None;
                file.complete.push(None);
            }
            Half::Tell(hint) => return Some((file.name.clone(), hint)),
        }
        None
    }

    /// What a scan sees: name, stamp, and whether it has been as it is for a second.
    pub fn entries(&self, now_ms: u64) -> Vec<(Name, Stamp, bool)> {
        let there = self.files.values().filter(|file| file.content.is_some());
        there.map(|file| (file.name.clone(), file.stamp(), file.is_old(now_ms))).collect()
    }

    /// What a look finds, through the parser of production.
    pub fn look(&self, name: &Name, now_ms: u64) -> Look {
        let found = self.files.iter().find(|(_, file)| file.name == *name);
        let Some((key, file)) = found else { return Look::Missing };
        let Some(content) = &file.content else { return Look::Missing };
        let finding = match parse_content(content.as_bytes(), key, &ImageRules::default()) {
            Ok(Content::Images(images)) => Finding::Images(images),
            Ok(Content::Empty) => Finding::Empty,
            Err(problem) => Finding::Problem(problem),
        };
        Look::Found { stamp: file.stamp(), finding, old: file.is_old(now_ms), torn: false }
    }

    /// Whether this image was in a complete content of the file at some time.
    pub fn ever_asked(&self, key: &ServiceKey, image: &str) -> bool {
        let has = |content: &Option<String>| content.as_ref().is_some_and(|c| c.trim() == image);
        self.files.get(key).is_some_and(|file| file.complete.iter().any(has))
    }

    /// Every image that the file asked for at some time.
    pub fn valid_contents(&self, key: &ServiceKey) -> Vec<String> {
        let complete = self.files.get(key).map(|file| file.complete.as_slice()).unwrap_or_default();
        let texts = complete.iter().flatten().map(|text| text.trim().to_owned());
        let mut texts: Vec<String> =
            texts.filter(|text| !text.is_empty() && !text.contains(' ')).collect();
        texts.sort();
        texts.dedup();
        texts
    }

    /// The last complete content.
    pub fn last(&self, key: &ServiceKey) -> Option<String> {
        self.files.get(key)?.complete.last().cloned().flatten().map(|text| text.trim().to_owned())
    }
}

impl File {
    /// The clock of a file system ticks in milliseconds, so quick writes may leave the same stamp.
    fn stamp(&self) -> Stamp {
        let size = self.content.as_ref().map_or(0, String::len) as u64;
        Stamp((self.inode << 48) ^ (size << 40) ^ (self.changed_ms / 4))
    }

    fn is_old(&self, now_ms: u64) -> bool {
        self.changed_ms + 1000 <= now_ms
    }
}
