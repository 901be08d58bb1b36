//! A database that is damaged is kept for people to look at, and out of the way.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use super::schema::beside;

/// Damaged databases that are kept; the oldest goes.
const KEPT: usize = 3;
/// What follows the database's name.
const SUFFIX: &str = ".corrupt-";

/// Renames the database at `path`, with its log, to the next free `….corrupt-N`, and returns the
/// new file name. The log keeps its place beside it (`….corrupt-N-wal`), so `sqlite3` finds both.
pub fn set_aside(path: &Path) -> io::Result<String> {
    let mut numbers = numbers(path)?;
    let number = numbers.last().map_or(1, |last| last + 1);
    let to = beside(path, &format!("{SUFFIX}{number}"));
    // The log first: it must never be taken for that of the new database.
    rename_if_there(&beside(path, "-wal"), &beside(&to, "-wal"))?;
    remove_if_there(&beside(path, "-shm"))?;
    fs::rename(path, &to)?;
    numbers.push(number);
    let surplus = numbers.len().saturating_sub(KEPT);
    for old in numbers.into_iter().take(surplus) {
        let old = beside(path, &format!("{SUFFIX}{old}"));
        remove_if_there(&beside(&old, "-wal"))?;
        remove_if_there(&old)?;
    }
    Ok(to.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// The numbers that are taken, ascending.
fn numbers(path: &Path) -> io::Result<Vec<u64>> {
    let prefix = format!("{}{SUFFIX}", path.file_name().and_then(OsStr::to_str).unwrap_or("?"));
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    unless_missing(fs::rename(from, to))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    unless_missing(fs::remove_file(path))
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
