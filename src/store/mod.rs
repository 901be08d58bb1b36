//! What must survive a restart: the state of every service, the history of rollouts, and messages
//! that their receiver has not acknowledged. `[E]`
//!
//! One SQLite database in the state folder (`schema`), written by one thread that commits what waits
//! as one transaction (`writer`): write-ahead log, `synchronous=NORMAL`, which survives the death of
//! the process at any moment. Other processes may read it meanwhile, with `sqlite3` for example.
//!
//! A store that cannot be written to never stops a deployment: it is said loudly, the newest state
//! of each service is kept in memory, and written when the disk has recovered.
//!
//! States come and go as JSON text; what they mean is the business of `reconcile`.

mod folder;
mod lock;
mod schema;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;

use crate::clock;
use crate::model::ServiceKey;

pub use folder::folder;

use lock::Lock;
use writer::{Job, Writer};

/// Steps that may wait for the writer; beyond that a worker waits for it.
const QUEUE: usize = 4096;

/// An open store.
#[derive(Debug)]
pub struct Store {
    jobs: Mutex<Option<Sender<Job>>>,
    thread: JoinHandle<()>,
    _lock: Lock,
}

/// What an earlier run left.
#[derive(Debug, Default)]
pub struct Remembered {
    /// The state of each service, as JSON.
    pub services: Vec<(ServiceKey, String)>,
    /// Messages that were not acknowledged, oldest first.
    pub messages: Vec<Outgoing>,
    /// Names and values that belong to no service.
    pub meta: BTreeMap<String, String>,
    /// What a person should know about the opening, one line each.
    pub notes: Vec<String>,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number, to acknowledge it by.
    pub id: i64,
    /// The body.
    pub payload: String,
}

impl Outgoing {
    /// The number of a message that is in no store.
    pub const UNSAVED: i64 = 0;
}

/// One step of one service: all of it is kept, or nothing.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The service.
    pub key: ServiceKey,
    /// Its state, where that changed.
    pub service: Option<ServiceChange>,
    /// What is added to the history.
    pub history: Vec<HistoryChange>,
    /// Bodies of messages to send.
    pub messages: Vec<String>,
}

/// A change of a service's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceChange {
    /// This is its state now, as JSON.
    Put(String),
    /// It is not managed any more.
    Remove,
}

/// A change of the history of rollouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryChange {
    /// A rollout began.
    Started {
        /// What it changes, in words.
        changes: String,
    },
    /// The service's rollout that has no end yet ended.
    Ended {
        /// One or two words, for example `Deployed`.
        verdict: &'static str,
        /// A sentence.
        detail: String,
    },
}

/// Why there is no store.
#[derive(Debug)]
pub enum StoreError {
    /// Another depd has it.
    Locked {
        /// Its process id, as far as it is known.
        pid: Option<u32>,
    },
    /// A newer depd wrote it.
    Newer {
        /// The file.
        file: PathBuf,
        /// The version of its layout.
        version: i64,
    },
    /// The folder or file cannot be used.
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The writer's thread did not start.
    Thread(io::Error),
}

impl Store {
    /// Opens or makes the store in `folder`. `committed` is called on the store's thread for each
    /// message once it is safe; after a failure to write too, because messages go on regardless.
    ///
    /// # Errors
    /// Another depd runs on it, a newer depd wrote it, or the folder cannot be used. A corrupt file
    /// is no error: it is set aside, and a note says so.
    pub fn open(
        folder: &Path,
        committed: impl Fn(Outgoing) + Send + 'static,
    ) -> Result<(Store, Remembered), StoreError> {
        let lock = Lock::take(folder)?;
        let (connection, remembered) = schema::open(folder)?;
        let (jobs, inbox) = bounded(QUEUE);
        let mut writer = Writer::new(connection, inbox, Box::new(committed));
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run())
            .map_err(StoreError::Thread)?;
        Ok((Store { jobs: Mutex::new(Some(jobs)), thread, _lock: lock }, remembered))
    }

    /// Keeps a step, soon. Steps of one service keep their order.
    pub fn save(&self, step: Saved) {
        self.send(Job::Save { step, done: None });
    }

    /// Keeps a step, and returns when it is committed, or when the disk has refused it.
    pub fn save_and_wait(&self, step: Saved) {
        let (done, wait) = bounded(1);
        self.send(Job::Save { step, done: Some(done) });
        // The writer drops the sender when it ends; then there is nothing to wait for either.
        let _ = wait.recv();
    }

    /// The receiver has acknowledged a message.
    pub fn delivered(&self, message: i64) {
        self.send(Job::Delivered(message));
    }

    /// The receiver will never take this message: it is kept for people to see.
    pub fn set_aside(&self, message: i64, why: &str) {
        self.send(Job::SetAside(message, why.to_owned()));
    }

    /// Keeps a value that belongs to no service.
    pub fn set_meta(&self, name: &str, value: &str) {
        self.send(Job::Meta(name.to_owned(), value.to_owned()));
    }

    /// Waits until everything so far is kept, at most for `limit`; true when it is.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        let (done, wait) = bounded(1);
        self.send(Job::Flush(done));
        wait.recv_timeout(limit).is_ok()
    }

    /// Takes no more, and ends when everything is kept or `limit` has passed; true when all is kept.
    #[must_use]
    pub fn close(&self, limit: Duration) -> bool {
        *self.jobs.lock() = None;
        let until = clock::now() + limit;
        while !self.thread.is_finished() && clock::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        self.thread.is_finished()
    }

    fn send(&self, job: Job) {
        let jobs = self.jobs.lock().clone();
        if let Some(jobs) = jobs {
            // The writer lives as long as the channel.
            let _ = jobs.send(job);
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Locked { pid: Some(pid) } => write!(f, "already running, pid {pid}"),
            StoreError::Locked { pid: None } => f.write_str("already running"),
            StoreError::Newer { file, version } => write!(
                f,
                "{} was written by a newer depd (layout {version}, this one knows {}): run that \
                 one, or choose another folder with --state",
                file.display(),
                schema::VERSION
            ),
            StoreError::Unusable { path, why } => write!(
                f,
                "cannot keep state in {}: {why}; choose another folder with --state",
                path.display()
            ),
            StoreError::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests;
