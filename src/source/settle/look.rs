//! The words of settling: what is hinted, what a look finds, what is told.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{ImageSet, Problem};

/// A file's path relative to the dep folder.
pub type Name = Arc<OsStr>;

/// Identifies one state of a file: device, inode, size, times and mode, hashed by the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(pub u64);

/// What an event says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It was created or its content changed, and it is still open.
    Written,
    /// It was closed after writing, moved into place, or linked.
    Complete,
    /// Its name was removed or moved away.
    Vanished,
    /// Its attributes changed.
    Touched,
}

/// What one look at a file found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is no such file.
    Missing,
    /// There is one.
    Found {
        /// Its state when it was read.
        stamp: Stamp,
        /// What it says.
        finding: Finding,
        /// It has not changed for a second or more.
        old: bool,
        /// It changed while it was being read.
        torn: bool,
    },
}

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It asks for these images.
    Images(ImageSet),
    /// It asks for nothing.
    Empty,
    /// Its content is invalid.
    Problem(Problem),
    /// It is not a file that may be read, or not named as one.
    Refused(Problem),
    /// It could not be read this time; every scan tries again.
    Unread(Problem),
}

/// What is to be told about a file; the same is never told twice in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing yet.
    Nothing,
    /// See [`Finding`].
    Finding(Finding),
    /// It is gone, and forgotten here.
    Gone,
}

/// The two marks around a batch of looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Set before the first file was opened.
    Before,
    /// Set after the last one was read.
    After,
}

/// The times that settling works with.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How far two equal looks are apart, and how long something bad must last to be told.
    pub settle: Duration,
    /// How long a file may be written to without a pause before looks stop waiting for one.
    pub patience: Duration,
    /// Least time between two looks at one file; doubles while they keep following each other.
    pub gap: Duration,
    /// Where the doubling ends.
    pub gap_max: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            settle: Duration::from_secs(1),
            patience: Duration::from_secs(10),
            gap: Duration::from_millis(4),
            gap_max: Duration::from_millis(500),
        }
    }
}

impl Look {
    /// Whether two looks found the same; `impatient`: the file changes all the time, so that only
    /// what it says can agree.
    pub(super) fn agrees(&self, other: &Look, impatient: bool) -> bool {
        match (self, other) {
            (
                Look::Found { stamp: a, finding: x, .. },
                Look::Found { stamp: b, finding: y, .. },
            ) => x == y && (a == b || impatient),
            _ => self == other,
        }
    }
}
