//! The whole folder, read once and at rest: what `depd check` judges. `[E]`
//!
//! It lists and looks with the very code that the watched folder uses, so that what is said here is
//! what the daemon would say. It waits for nothing: a file that is half written when it is looked at
//! is judged as it is. It never writes to the folder, and never reads outside of it.

use rayon::prelude::*;
use rustix::io::Errno;

use super::attach::{closed_folder, explain};
use super::read::{look, parse_path, text};
use super::scan::{Folder, Kind};
use super::settle::{Finding, Look, Name};
use super::speakers::{Entered, Speakers};
use super::{SourceError, SourceOptions};
use crate::desired::FileName;
use crate::model::{Problem, ServiceKey, shown};

/// How often a file is read again that changes while it is being read.
const ATTEMPTS: usize = 8;

/// One file of the folder, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// Its name relative to the folder, with unprintable characters escaped.
    pub name: String,
    /// The service it speaks for, where the name says so.
    pub key: Option<ServiceKey>,
    /// What it says, or why it is not followed.
    pub finding: Finding,
    /// Its name shows that it is not meant as a dep file.
    pub stray: bool,
}

/// A dep file's name and its text, or why it cannot be read.
pub type TextRead = (String, Result<String, Problem>);

/// Reads every file of the folder, in the order of their names; leftovers of editors are left out.
/// Of the options, the folder, the rules, `recursive` and `max_files` count.
///
/// # Errors
/// The folder is not there, is none, or cannot be listed; or it holds more than `max_files` files.
pub fn read_all(options: &SourceOptions) -> Result<Vec<FileRead>, SourceError> {
    let path = &options.folder;
    let unreadable =
        |error| SourceError::Unreadable { folder: path.clone(), error: explain(error) };
    SourceError::unless_folder(path)?;
    let folder = Folder::open(path).map_err(unreadable)?;
    let (names, closed) = names(&folder, options).map_err(unreadable)?;
    if names.len() > options.max_files {
        return Err(SourceError::TooMany { folder: path.clone(), most: options.max_files });
    }
    let settled = |name: &Name| look_until_whole(&folder, name, options);
    let looks: Vec<Look> = names.par_iter().map(settled).collect();
    let mut speakers = Speakers::default();
    // In the order of names, so that the first one that asks for something speaks.
    let files = names.iter().zip(looks).filter_map(|(name, look)| judge(&mut speakers, name, look));
    Ok(files.chain(closed).collect())
}

/// Names and texts of the dep files at the top of the folder, in the order of their names, read as
/// safely as [`read_all`] does; with why one cannot be read.
///
/// # Errors
/// As of [`read_all`].
pub fn read_texts(options: &SourceOptions) -> Result<Vec<TextRead>, SourceError> {
    let path = &options.folder;
    let unreadable =
        |error| SourceError::Unreadable { folder: path.clone(), error: explain(error) };
    SourceError::unless_folder(path)?;
    let folder = Folder::open(path).map_err(unreadable)?;
    let options = SourceOptions { recursive: false, ..options.clone() };
    let (names, _) = names(&folder, &options).map_err(unreadable)?;
    if names.len() > options.max_files {
        return Err(SourceError::TooMany { folder: path.clone(), most: options.max_files });
    }
    let deps = names.iter().filter(|name| matches!(parse_path(name), FileName::Dep(_)));
    Ok(deps.map(|name| (shown(name), text(&folder, name))).collect())
}

/// The names of all files, in order, and the sub-folders that nobody can see into.
fn names(folder: &Folder, options: &SourceOptions) -> Result<(Vec<Name>, Vec<FileRead>), Errno> {
    let mut names: Vec<Name> = Vec::new();
    let mut closed: Vec<FileRead> = Vec::new();
    folder.list(options.recursive, &mut |entry| {
        if let Some(error) = entry.unreadable {
            let finding = Finding::Refused(closed_folder(error));
            closed.push(FileRead { name: shown(entry.name), key: None, finding, stray: false });
            return true;
        }
        let wanted = match parse_path(entry.name) {
            FileName::Dep(_) => true,
            FileName::Refused(_) | FileName::Stray(_) => entry.kind != Kind::Folder,
            FileName::Leftover => false,
        };
        if wanted {
            names.push(entry.name.into());
        }
        names.len() <= options.max_files
    })?;
    names.sort();
    closed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((names, closed))
}

fn look_until_whole(folder: &Folder, name: &Name, options: &SourceOptions) -> Look {
    let mut found = look(folder, name, &options.rules);
    for _ in 1..ATTEMPTS {
        if !matches!(found, Look::Found { torn: true, .. }) {
            break;
        }
        found = look(folder, name, &options.rules);
    }
    found
}

/// What is said about one file; `None` if it has vanished since it was listed.
fn judge(speakers: &mut Speakers, name: &Name, look: Look) -> Option<FileRead> {
    let Look::Found { finding, .. } = look else { return None };
    let (key, stray) = match parse_path(name) {
        FileName::Dep(key) => (Some(key), false),
        FileName::Stray(_) => (None, true),
        FileName::Refused(_) | FileName::Leftover => (None, false),
    };
    let entered =
        key.as_ref().filter(|_| finding != Finding::Empty).map(|key| speakers.enter(key, name));
    let finding = match entered {
        Some(Entered::Second(speaker)) => Finding::Refused(second_speaker(&speaker)),
        _ => finding,
    };
    Some(FileRead { name: shown(name), key, finding, stray })
}

/// Why a second file for the same service is refused.
pub(super) fn second_speaker(first: &Name) -> Problem {
    let first = shown(first);
    let text = format!("{first} speaks for the same service, and only one file can");
    Problem { place: None, text }
}
