//! The tables, and how a database file becomes an open connection to them.
//!
//! SQLite in WAL mode with `synchronous=NORMAL`: a commit survives `kill -9`, and a loss of power may
//! take the last commits but never the file (sqlite.org/wal.html, sqlite.org/pragma.html). Other
//! processes read while the daemon writes. All times are Unix milliseconds (`_ms`).

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

/// The name of the database file.
pub const NAME: &str = "depd.db";
/// Somebody with `sqlite3` may hold the database this long before a save is put off.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// Each entry brings a database from the schema version that is its index to the next one.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE service (
        namespace   TEXT NOT NULL,
        service     TEXT NOT NULL,
        state       TEXT NOT NULL,
        changed_ms  INTEGER NOT NULL,
        PRIMARY KEY (namespace, service)
    ) STRICT;
    CREATE TABLE rollout (
        id          INTEGER PRIMARY KEY,
        namespace   TEXT NOT NULL,
        service     TEXT NOT NULL,
        attempt     INTEGER NOT NULL,
        changes     TEXT NOT NULL,
        started_by  TEXT,
        started_ms  INTEGER NOT NULL,
        verdict     TEXT,
        detail      TEXT,
        ended_ms    INTEGER
    ) STRICT;
    CREATE INDEX rollout_of_service ON rollout (namespace, service);
    CREATE TABLE outbox (
        id            INTEGER PRIMARY KEY AUTOINCREMENT,
        namespace     TEXT NOT NULL,
        service       TEXT NOT NULL,
        receiver      TEXT NOT NULL,
        created_ms    INTEGER NOT NULL,
        set_aside_ms  INTEGER,
        set_aside_why TEXT,
        payload       TEXT NOT NULL
    ) STRICT;
    CREATE INDEX outbox_waiting ON outbox (id) WHERE set_aside_ms IS NULL;
    CREATE INDEX outbox_set_aside ON outbox (id) WHERE set_aside_ms IS NOT NULL;
    CREATE TABLE meta (
        name   TEXT PRIMARY KEY,
        value  TEXT NOT NULL
    ) STRICT;
",
    "
    ALTER TABLE rollout ADD COLUMN wanted TEXT;
",
];

/// The schema version that this program writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Why a database does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is damaged, or no database of ours.
    Corrupt(String),
    /// A newer depd wrote it: its schema version.
    Newer(i64),
    /// The disk or somebody else refuses for now.
    Refused {
        /// What SQLite says.
        why: String,
        /// The connection itself may be what is wrong, so the next attempt opens a new one.
        reopen: bool,
    },
}

/// Opens the database at `path` for writing; makes it, or brings it to our schema, where needed.
pub fn connect(path: &Path) -> Result<Connection, Trouble> {
    make(path).map_err(|error| Trouble::Refused { why: error.to_string(), reopen: true })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_LIMIT)?;
    // Without this SQLite parses every statement anew for the values it is given (STAT4).
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let version = check_version(&connection)?;
    // The writer says itself when the log is folded back, so that nobody waits for it.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 16777216;
         PRAGMA cache_size = -1024;
         PRAGMA temp_store = MEMORY;",
    )?;
    migrate(&mut connection, version)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens the database for reading beside a daemon that writes.
pub fn connect_to_read(path: &Path) -> Result<Connection, Trouble> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_LIMIT)?;
    // A read-only disk has no room for the shared index of the log; without a log none is needed.
    match check_version(&connection) {
        Err(Trouble::Refused { .. }) if !has_log(path) => connect_at_rest(path),
        checked => checked.map(|_| connection),
    }
}

/// Opens a database that nobody writes and that has no log: no file is made beside it.
pub fn connect_at_rest(path: &Path) -> Result<Connection, Trouble> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(immutable_uri(path), flags)?;
    check_version(&connection).map(|_| connection)
}

/// The file's schema version: 0 is an empty database.
fn check_version(connection: &Connection) -> Result<i64, Trouble> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    match version {
        0 if tables > 0 => Err(Trouble::Corrupt("it has tables that are not depd's".into())),
        0..=VERSION => Ok(version),
        newer => Err(Trouble::Newer(newer)),
    }
}

fn migrate(connection: &mut Connection, from: i64) -> Result<(), Trouble> {
    let from = usize::try_from(from).unwrap_or_default();
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(from) {
        let transaction = begin(connection)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", step as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Begins a transaction that will write.
pub fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// SQLite gives its other files the mode of the database, so the database is made first, as 0600.
fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => Err(error),
        _ => Ok(()),
    }
}

/// Makes the folder, for nobody else, unless it is there.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Takes the state files away from everybody else; `None` when nobody else could read one.
pub fn protect(path: &Path) -> Option<io::Result<()>> {
    let files = [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")];
    let exposed = |file: &PathBuf| {
        let metadata = fs::symlink_metadata(file);
        metadata.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o077 != 0)
    };
    let close = |file: PathBuf| fs::set_permissions(file, Permissions::from_mode(0o600));
    files.into_iter().filter(exposed).map(close).reduce(Result::and)
}

/// `path` with something after its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A log is beside the database, with something in it.
pub fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// The name under which SQLite takes no locks and looks for no log (sqlite.org/uri.html).
fn immutable_uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        use rusqlite::Error as E;
        let why = error.to_string();
        match (&error, error.sqlite_error_code()) {
            (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
            | (
                E::FromSqlConversionFailure(..)
                | E::InvalidColumnType(..)
                | E::IntegralValueOutOfRange(..)
                | E::Utf8Error(..),
                _,
            ) => Trouble::Corrupt(why),
            (_, code) => {
                let room = [Some(ErrorCode::DiskFull), Some(ErrorCode::DatabaseBusy)];
                Trouble::Refused { why, reopen: !room.contains(&code) }
            }
        }
    }
}
