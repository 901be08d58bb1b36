//! Why a store cannot be used, in words that say what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a store cannot be opened or read.
#[derive(Debug)]
pub enum StoreError {
    /// Another depd works with this folder.
    Locked {
        /// Its process id, where it could be read.
        pid: Option<u32>,
    },
    /// The folder was deleted under this depd, and another one works with the new one of that name.
    TakenOver {
        /// The folder.
        folder: PathBuf,
        /// Its process id, where it could be read.
        pid: Option<u32>,
    },
    /// A newer depd wrote the store.
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// An older depd wrote the store, and none of this version has brought it up to date yet.
    Older {
        /// The database.
        path: PathBuf,
    },
    /// There is no store to read.
    Missing {
        /// The database that was looked for.
        path: PathBuf,
    },
    /// The store cannot be read.
    Unreadable {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// The operating system gives no thread.
    Thread(io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Locked { pid: Some(pid) } => write!(f, "already running, pid {pid}"),
            StoreError::Locked { pid: None } => f.write_str("already running"),
            StoreError::TakenOver { folder, pid } => {
                let name = folder.display();
                write!(f, "the state folder {name} was deleted and is used by another depd")?;
                pid.map_or(Ok(()), |pid| write!(f, ", pid {pid}"))?;
                f.write_str(": this one ends, so that the two do not work against each other")
            }
            StoreError::Newer { path, found, known } => write!(
                f,
                "the store {} has schema version {found}, and this depd knows versions up to \
                 {known}: start the newer depd again, or choose another folder with --state",
                path.display()
            ),
            StoreError::Older { path } => write!(
                f,
                "an older depd wrote the store {}: start this version of depd run on it once",
                path.display()
            ),
            StoreError::Missing { path } => write!(
                f,
                "there is no store {}: start depd with the same --state first",
                path.display()
            ),
            StoreError::Unreadable { path, why } => write!(
                f,
                "cannot read the store {}: {why}; it must be readable for this user, and a damaged \
                 one is set aside when depd starts",
                path.display()
            ),
            StoreError::Thread(error) => write!(
                f,
                "cannot start a thread ({error}): raise the limit on processes (ulimit -u)"
            ),
        }
    }
}

impl std::error::Error for StoreError {}
