//! The tables as values: what a starting daemon remembers, and what another process may look at
//! while the daemon runs.
//!
//! Nothing here writes. A row that does not read as what it must be is damage of the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::types::Type;
use rusqlite::{Connection, Row};

use super::batch::UnixMs;
use super::error::StoreError;
use super::holder::{Holder, holder, is_absence};
use super::outbox::Wanted;
use super::schema::{self, Trouble, VERSION};
use super::step::Outgoing;
use crate::model::ServiceKey;

/// The state of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredService {
    /// Which service.
    pub key: ServiceKey,
    /// Its state, as the daemon wrote it.
    pub state: String,
    /// When it was saved last, in Unix milliseconds.
    pub changed_ms: UnixMs,
}

/// One rollout of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRollout {
    /// Which service.
    pub key: ServiceKey,
    /// The number of the attempt.
    pub attempt: u32,
    /// What it changed, as the daemon wrote it.
    pub changes: String,
    /// The content of the dep file that asked for it; `None` in rows of an older depd.
    pub wanted: Option<String>,
    /// Who asked for it, where that is known.
    pub by: Option<String>,
    /// When it began, in Unix milliseconds.
    pub started_ms: UnixMs,
    /// How it ended; `None` while it is in flight.
    pub end: Option<RolloutEnd>,
}

/// The end of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutEnd {
    /// The verdict in one word.
    pub verdict: String,
    /// Its reason; may be empty.
    pub detail: String,
    /// When it was given, in Unix milliseconds.
    pub at_ms: UnixMs,
}

/// One message of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The message.
    pub message: Outgoing,
    /// When it was due, in Unix milliseconds.
    pub created_ms: UnixMs,
    /// Why nobody will send it any more, and since when; `None` while it waits.
    pub set_aside: Option<(String, UnixMs)>,
}

/// What a starting daemon needs to know.
#[derive(Debug, Default)]
pub struct Contents {
    /// Every service, sorted by namespace and name.
    pub services: Vec<(ServiceKey, String)>,
    /// Every name that was set.
    pub meta: BTreeMap<String, String>,
    /// The last message id that was ever given.
    pub last_id: u64,
}

/// Reads the store of a daemon, running or not, from any process that may read its files.
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the store in `folder` for reading only.
    ///
    /// # Errors
    /// There is none, a newer depd wrote it, or it cannot be read.
    pub fn open(folder: &Path) -> Result<Reader, StoreError> {
        Reader::open_with(folder, schema::connect_to_read)
    }

    /// The same for a single look, which leaves no trace: where nobody writes and nothing is left to
    /// be folded back, SQLite's own files beside the database are not needed. What a daemon writes
    /// after this is not seen.
    ///
    /// # Errors
    /// See [`Reader::open`].
    pub fn open_once(folder: &Path) -> Result<Reader, StoreError> {
        let is_at_rest = |path: &Path| holder(folder) == Holder::Nobody && !schema::has_log(path);
        Reader::open_with(folder, |path| match is_at_rest(path) {
            true => schema::connect_at_rest(path),
            false => schema::connect_to_read(path),
        })
    }

    fn open_with(
        folder: &Path,
        connect: impl FnOnce(&Path) -> Result<Connection, Trouble>,
    ) -> Result<Reader, StoreError> {
        let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).join(schema::NAME);
        match path.metadata() {
            Ok(file) if file.len() > 0 => {}
            Err(error) if !is_absence(&error) => {
                return Err(StoreError::Unreadable { path, why: error.to_string() });
            }
            // A database without anything in it is one that a daemon is about to make.
            _ if !schema::has_log(&path) => return Err(StoreError::Missing { path }),
            _ => {}
        }
        let opened = connect(&path).and_then(|connection| {
            let version: i64 = connection.pragma_query_value(None, "user_version", |r| r.get(0))?;
            Ok((connection, version))
        });
        match opened {
            Ok((_, 0)) => Err(StoreError::Missing { path }),
            Ok((_, version)) if version < VERSION => Err(StoreError::Older { path }),
            Ok((connection, _)) => Ok(Reader { connection, path }),
            Err(Trouble::Newer(found)) => Err(StoreError::Newer { path, found, known: VERSION }),
            Err(Trouble::Corrupt(why) | Trouble::Refused { why, .. }) => {
                Err(StoreError::Unreadable { path, why })
            }
        }
    }

    /// Every service, sorted by namespace and name.
    ///
    /// # Errors
    /// The store cannot be read; so with all of these.
    pub fn services(&self) -> Result<Vec<StoredService>, StoreError> {
        self.all(services(&self.connection))
    }

    /// The newest `limit` rollouts, of all services or of one, newest first.
    ///
    /// # Errors
    /// See [`Reader::services`].
    pub fn history(
        &self,
        key: Option<&ServiceKey>,
        limit: usize,
    ) -> Result<Vec<StoredRollout>, StoreError> {
        self.all(history(&self.connection, key, limit))
    }

    /// The newest rollout of every service that had one, sorted by namespace and name.
    ///
    /// # Errors
    /// See [`Reader::services`].
    pub fn newest_rollouts(&self) -> Result<Vec<StoredRollout>, StoreError> {
        self.all(newest_rollouts(&self.connection))
    }

    /// Every message that waits or was set aside, oldest first.
    ///
    /// # Errors
    /// See [`Reader::services`].
    pub fn outbox(&self) -> Result<Vec<StoredMessage>, StoreError> {
        self.all(outbox(&self.connection))
    }

    /// How many messages wait for each receiver, by its name.
    ///
    /// # Errors
    /// See [`Reader::services`].
    pub fn waiting_by_receiver(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.all(counts(&self.connection))
    }

    /// Everything that was set with `set_meta`.
    ///
    /// # Errors
    /// See [`Reader::services`].
    pub fn meta(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.all(meta(&self.connection))
    }

    fn all<T>(&self, read: rusqlite::Result<T>) -> Result<T, StoreError> {
        let why = |error: rusqlite::Error| error.to_string();
        read.map_err(|error| StoreError::Unreadable { path: self.path.clone(), why: why(error) })
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Everything that a starting daemon needs.
pub fn contents(connection: &Connection) -> rusqlite::Result<Contents> {
    let services = services(connection)?.into_iter().map(|row| (row.key, row.state)).collect();
    Ok(Contents { services, meta: meta(connection)?, last_id: last_id(connection)? })
}

/// How many messages wait.
pub fn waiting(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT count(*) FROM outbox WHERE set_aside_ms IS NULL";
    connection.query_row(sql, (), |row| row.get(0))
}

/// SQLite remembers the greatest id of an AUTOINCREMENT table also when its row is gone.
fn last_id(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'outbox'";
    connection.query_row(sql, (), |row| id(row, 0))
}

fn services(connection: &Connection) -> rusqlite::Result<Vec<StoredService>> {
    let mut services = Vec::new();
    each_service(connection, |row| services.push(row))?;
    Ok(services)
}

/// Every service in turn, sorted by namespace and name, as far as the table can be read.
pub fn each_service(
    connection: &Connection,
    mut take: impl FnMut(StoredService),
) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached(
        "SELECT namespace, service, state, changed_ms FROM service ORDER BY namespace, service",
    )?;
    let rows = select.query_map((), |row| {
        Ok(StoredService { key: key(row)?, state: row.get(2)?, changed_ms: row.get(3)? })
    })?;
    for row in rows {
        take(row?);
    }
    Ok(())
}

/// What [`rollout`] reads, in this order.
const COLUMNS: &str = "namespace, service, attempt, changes, started_by, started_ms, verdict, detail, ended_ms, wanted";

fn history(
    connection: &Connection,
    key: Option<&ServiceKey>,
    limit: usize,
) -> rusqlite::Result<Vec<StoredRollout>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match key {
        Some(key) => connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM rollout WHERE namespace = ?2 AND service = ?3
                 ORDER BY id DESC LIMIT ?1"
            ))?
            .query_map((limit, key.namespace(), key.service()), rollout)?
            .collect(),
        None => connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM rollout ORDER BY id DESC LIMIT ?1"))?
            .query_map([limit], rollout)?
            .collect(),
    }
}

/// Every rollout in turn, newest first, as far as the table itself can be read, until `take` has enough.
pub fn each_rollout(
    connection: &Connection,
    mut take: impl FnMut(StoredRollout) -> bool,
) -> rusqlite::Result<()> {
    let sql = format!("SELECT {COLUMNS} FROM rollout NOT INDEXED ORDER BY id DESC");
    for row in connection.prepare(&sql)?.query_map((), rollout)? {
        if !take(row?) {
            break;
        }
    }
    Ok(())
}

fn newest_rollouts(connection: &Connection) -> rusqlite::Result<Vec<StoredRollout>> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM rollout
         WHERE id IN (SELECT max(id) FROM rollout GROUP BY namespace, service)
         ORDER BY namespace, service"
    ))?;
    select.query_map((), rollout)?.collect()
}

fn rollout(row: &Row) -> rusqlite::Result<StoredRollout> {
    let end = match row.get(6)? {
        Some(verdict) => Some(RolloutEnd {
            verdict,
            detail: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
            at_ms: row.get(8)?,
        }),
        None => None,
    };
    Ok(StoredRollout {
        key: key(row)?,
        attempt: row.get(2)?,
        changes: row.get(3)?,
        wanted: row.get(9)?,
        by: row.get(4)?,
        started_ms: row.get(5)?,
        end,
    })
}

/// What [`message`] reads, in this order.
const MESSAGE: &str =
    "namespace, service, id, receiver, payload, created_ms, set_aside_ms, set_aside_why";

fn outbox(connection: &Connection) -> rusqlite::Result<Vec<StoredMessage>> {
    let sql = format!("SELECT {MESSAGE} FROM outbox ORDER BY id");
    connection.prepare_cached(&sql)?.query_map((), message)?.collect()
}

/// Every message that waits in turn, as far as the table itself can be read, until `take` has enough.
pub fn each_message(
    connection: &Connection,
    newest_first: bool,
    mut take: impl FnMut(StoredMessage) -> bool,
) -> rusqlite::Result<()> {
    let order = if newest_first { "DESC" } else { "ASC" };
    let mut select = connection.prepare(&format!(
        "SELECT {MESSAGE} FROM outbox NOT INDEXED WHERE set_aside_ms IS NULL ORDER BY id {order}"
    ))?;
    for row in select.query_map((), message)? {
        if !take(row?) {
            break;
        }
    }
    Ok(())
}

fn message(row: &Row) -> rusqlite::Result<StoredMessage> {
    let message = outgoing(row)?;
    let since: Option<UnixMs> = row.get(6)?;
    let why: Option<String> = row.get(7)?;
    let set_aside = since.map(|since| (why.unwrap_or_default(), since));
    Ok(StoredMessage { message, created_ms: row.get(5)?, set_aside })
}

/// The first five columns of an outbox row: `namespace, service, id, receiver, payload`.
fn outgoing(row: &Row) -> rusqlite::Result<Outgoing> {
    Ok(Outgoing { id: id(row, 2)?, key: about(row)?, receiver: row.get(3)?, payload: row.get(4)? })
}

/// The messages that are wanted of those that wait, oldest first.
pub fn page(connection: &Connection, wanted: &Wanted) -> rusqlite::Result<Vec<Outgoing>> {
    let Wanted { receiver, after, limit } = wanted;
    let mut select = connection.prepare_cached(
        "SELECT namespace, service, id, receiver, payload FROM outbox
         WHERE set_aside_ms IS NULL AND receiver = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
    )?;
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let rows = select.query_map((receiver, signed(*after), signed(*limit as u64)), outgoing)?;
    rows.collect()
}

fn counts(connection: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut select = connection.prepare_cached(
        "SELECT receiver, count(*) FROM outbox WHERE set_aside_ms IS NULL GROUP BY receiver",
    )?;
    let rows = select.query_map((), |row| Ok((row.get(0)?, id(row, 1)?)))?;
    rows.collect()
}

fn meta(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut select = connection.prepare_cached("SELECT name, value FROM meta")?;
    let rows = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// The first two columns: `namespace, service`.
fn key(row: &Row) -> rusqlite::Result<ServiceKey> {
    let (namespace, service): (String, String) = (row.get(0)?, row.get(1)?);
    ServiceKey::new(&service, &namespace).map_err(|problem| {
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(problem))
    })
}

/// The same, and nothing where both are empty.
fn about(row: &Row) -> rusqlite::Result<Option<ServiceKey>> {
    if row.get_ref(0)?.as_str()?.is_empty() { Ok(None) } else { key(row).map(Some) }
}

fn id(row: &Row, column: usize) -> rusqlite::Result<u64> {
    let id: i64 = row.get(column)?;
    u64::try_from(id).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, id))
}
