//! The database: its layout, its opening, and what to do with one that is corrupt.
//!
//! Times are Unix milliseconds. The layout's version is SQLite's `user_version`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Error, ErrorCode};

use super::{Outgoing, Remembered, StoreError};
use crate::model::ServiceKey;

/// The version of the layout that this program writes.
pub const VERSION: i64 = 1;

const LAYOUT: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE services (
        namespace  TEXT NOT NULL,
        service    TEXT NOT NULL,
        state      TEXT NOT NULL,      -- JSON
        updated_ms INTEGER NOT NULL,
        PRIMARY KEY (namespace, service)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE rollouts (
        id         INTEGER PRIMARY KEY,
        namespace  TEXT NOT NULL,
        service    TEXT NOT NULL,
        changes    TEXT NOT NULL,
        started_ms INTEGER NOT NULL,
        ended_ms   INTEGER,
        verdict    TEXT,
        detail     TEXT
    ) STRICT;
    CREATE INDEX rollouts_of_service ON rollouts (namespace, service, id);
    CREATE TABLE outbox (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        namespace  TEXT NOT NULL,
        service    TEXT NOT NULL,
        payload    TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        set_aside  TEXT                -- why the receiver never took it
    ) STRICT;
";

/// Opens or makes `depd.db` and reads what is in it.
pub fn open(folder: &Path) -> Result<(Connection, Remembered), StoreError> {
    let file = folder.join("depd.db");
    match try_open(&file) {
        Ok(opened) => Ok(opened),
        Err(Trouble::Newer(version)) => Err(StoreError::Newer { file, version }),
        Err(Trouble::Sqlite(error)) if is_corrupt(&error) => {
            let aside = set_aside(&file)?;
            let (connection, mut remembered) = try_open(&file).map_err(|t| t.explain(&file))?;
            remembered.notes.push(format!(
                "the store was corrupt ({error}) and is set aside as {}; what it knew is found out \
                 again from the cluster, the history begins anew",
                aside.display()
            ));
            Ok((connection, remembered))
        }
        Err(trouble) => Err(trouble.explain(&file)),
    }
}

enum Trouble {
    Newer(i64),
    Sqlite(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Sqlite(error)
    }
}

impl Trouble {
    fn explain(self, file: &Path) -> StoreError {
        let path = file.to_owned();
        match self {
            Trouble::Newer(version) => StoreError::Newer { file: path, version },
            Trouble::Sqlite(error) => StoreError::Unusable { path, why: error.to_string() },
        }
    }
}

fn try_open(file: &Path) -> Result<(Connection, Remembered), Trouble> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let _: String = connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 1000;")?;
    let version: i64 = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    if version > VERSION {
        return Err(Trouble::Newer(version));
    }
    if version == 0 {
        let layout = format!("BEGIN; {LAYOUT} PRAGMA user_version = {VERSION}; COMMIT;");
        connection.execute_batch(&layout)?;
    }
    // Only the owner reads it: image names and reasons can tell a lot.
    let _ = fs::set_permissions(file, fs::Permissions::from_mode(0o600));
    let remembered = read(&connection)?;
    Ok((connection, remembered))
}

fn read(connection: &Connection) -> Result<Remembered, Error> {
    let mut remembered = Remembered::default();
    let mut services = connection.prepare("SELECT service, namespace, state FROM services")?;
    let mut rows = services.query(())?;
    while let Some(row) = rows.next()? {
        let (service, namespace): (String, String) = (row.get(0)?, row.get(1)?);
        if let Ok(key) = ServiceKey::new(&service, &namespace) {
            remembered.services.push((key, row.get(2)?));
        }
    }
    let mut outbox =
        connection.prepare("SELECT id, payload FROM outbox WHERE set_aside IS NULL ORDER BY id")?;
    let messages =
        outbox.query_map((), |row| Ok(Outgoing { id: row.get(0)?, payload: row.get(1)? }))?;
    remembered.messages = messages.collect::<Result<_, _>>()?;
    let mut meta = connection.prepare("SELECT name, value FROM meta")?;
    let values = meta.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    remembered.meta = values.collect::<Result<_, _>>()?;
    Ok(remembered)
}

fn is_corrupt(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        // A file that is cut or altered may open and then lack a table.
        || matches!(error.sqlite_error_code(), Some(ErrorCode::Unknown))
}

/// Renames the database and its companions; at most three are kept.
fn set_aside(file: &Path) -> Result<PathBuf, StoreError> {
    let aside = |n: u32| file.with_extension(format!("db.corrupt-{n}"));
    let free = (1..3).find(|n| !aside(*n).exists()).unwrap_or(3);
    fs::rename(file, aside(free)).map_err(|error| StoreError::Unusable {
        path: file.to_owned(),
        why: format!("it is corrupt and cannot be set aside ({error})"),
    })?;
    for companion in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(file.with_extension(companion));
    }
    Ok(aside(free))
}
