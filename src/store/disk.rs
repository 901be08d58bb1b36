//! The database as something that may be refused, damaged or taken away at any moment.
//!
//! It never panics and never waits longer than SQLite's busy time limit: a batch is written, or it
//! is said why not, and the next attempt begins with a new connection where that may help.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use log::error;
use rusqlite::Connection;

use super::batch::{Batch, UnixMs};
use super::corrupt::set_aside;
use super::error::StoreError;
use super::file_identity::{FileIdentity, identity, is_taken_away};
use super::outbox::Wanted;
use super::read::{Contents, contents, page, waiting};
use super::rescue::Rescued;
use super::schema::{self, Trouble, VERSION, connect, connect_to_read, protect};
use super::step::Outgoing;
use super::write::{Done, write, write_history_of_lost};

/// Changed rows after which the log is folded back into the database: about 4 MiB of log.
const FOLD_AFTER_ROWS: u64 = 1_000;

/// What follows where nothing could be read.
const LEARNS: &str = "depd begins anew and learns from the cluster what runs there; messages that \
                      waited may be lost";

/// The database of a state folder.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    room: Room,
    open: Option<Open>,
    /// What was set with `set_meta`: small, so a database that is begun anew gets it back.
    meta: BTreeMap<String, String>,
    /// The file that has all that was saved; another one in its place has nothing of it.
    known: Option<FileIdentity>,
    /// What was read of that file when it was lost, until it is in the next one.
    rescued: Option<Rescued>,
    /// A damaged database was set aside once; that is not done over and over.
    repaired: bool,
}

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Pages of the database, of 4 KiB each.
    pub pages: u32,
    /// Messages that wait for their receivers.
    pub outbox: i64,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// Device and inode, to notice that the file was taken away.
    identity: FileIdentity,
    /// Messages that wait in the outbox.
    waiting: i64,
    /// `total_changes` when the log was folded back last.
    folded_at: u64,
}

/// The time as people and other programs tell it; it may jump.
pub fn unix_ms() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Disk {
    /// Opens the database in `folder` and reads what it knows; `None` when there is no use in
    /// trying, now or later. `notes` are sentences for people.
    ///
    /// # Errors
    /// Only [`StoreError::Newer`].
    pub fn start(
        folder: &Path,
        room: Room,
        notes: &mut Vec<String>,
    ) -> Result<(Option<Disk>, Contents), StoreError> {
        let path = folder.join(schema::NAME);
        notes.extend(warn_of_others(folder, &path));
        let mut disk = Disk {
            path,
            room,
            open: None,
            meta: BTreeMap::default(),
            known: None,
            rescued: None,
            repaired: false,
        };
        let mut remembered = disk.remember();
        if let Err(Trouble::Corrupt(why)) = &remembered {
            notes.push(disk.set_aside(why, LEARNS));
            // Nothing of it is known, and it is a first start for whoever asks.
            disk.known = None;
            remembered = disk.remember();
        }
        let name = disk.path.display();
        let contents = match remembered {
            Ok(contents) => contents,
            Err(Trouble::Newer(found)) => {
                return Err(StoreError::Newer { path: disk.path, found, known: VERSION });
            }
            Err(Trouble::Refused { why, .. }) => match look(&disk.path) {
                Ok(contents) => {
                    notes.push(format!(
                        "the store {name} cannot be written ({why}): deployments go on, and what \
                         is new is saved when it can be"
                    ));
                    contents
                }
                Err(_) => return Ok((memory_only(&disk.path, &why, notes), Contents::default())),
            },
            Err(Trouble::Corrupt(why)) => {
                return Ok((memory_only(&disk.path, &why, notes), Contents::default()));
            }
        };
        disk.meta = contents.meta.clone();
        disk.known = identity(&disk.path).ok();
        Ok((Some(disk), contents))
    }

    /// Writes `batch` in one transaction.
    ///
    /// # Errors
    /// Nothing of it is written; it can be given again later.
    pub fn write(&mut self, batch: &Batch) -> Result<Done, Trouble> {
        self.meta.extend(batch.meta.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.repairing(|disk| disk.attempt(batch))
    }

    /// The messages on disk that are wanted, oldest first.
    ///
    /// # Errors
    /// They cannot be read now.
    pub fn page(&mut self, wanted: &Wanted) -> Result<Vec<Outgoing>, Trouble> {
        self.repairing(|disk| disk.read(wanted))
    }

    /// Folds the log back into the database when there is enough of it. Never waits for readers.
    ///
    /// # Errors
    /// The disk refuses; the log keeps everything until it does not.
    pub fn fold(&mut self) -> Result<(), Trouble> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let rows = open.connection.total_changes();
        if rows - open.folded_at < FOLD_AFTER_ROWS {
            return Ok(());
        }
        open.folded_at = rows;
        open.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))?;
        Ok(())
    }

    /// Once more with a database that is begun anew, where this one is damaged.
    fn repairing<T>(
        &mut self,
        run: impl Fn(&mut Disk) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        match run(self) {
            Err(Trouble::Corrupt(why)) if !self.repaired => {
                self.begin_anew(&why);
                run(self)
            }
            result => result,
        }
    }

    fn remember(&mut self) -> Result<Contents, Trouble> {
        let open = self.open()?;
        Ok(contents(&open.connection)?)
    }

    fn attempt(&mut self, batch: &Batch) -> Result<Done, Trouble> {
        let most = self.room.outbox;
        let open = self.open()?;
        match write(&mut open.connection, batch, (open.waiting, most), unix_ms()) {
            Ok(done) => {
                open.waiting = done.waiting;
                Ok(done)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn read(&mut self, wanted: &Wanted) -> Result<Vec<Outgoing>, Trouble> {
        let read = |connection: &Connection| page(connection, wanted);
        let trouble = match self.open() {
            Ok(open) => return read(&open.connection).map_err(|error| self.failed(error)),
            Err(trouble) => trouble,
        };
        let has_all = self.rescued.is_none() && identity(&self.path).ok() == self.known;
        match trouble {
            // One that cannot be written may be read all the same, if it has all that was saved.
            Trouble::Refused { .. } if has_all => Ok(read(&connect_to_read(&self.path)?)?),
            trouble => Err(trouble),
        }
    }

    /// A connection that may be what is wrong is closed.
    fn failed(&mut self, error: rusqlite::Error) -> Trouble {
        let trouble = Trouble::from(error);
        match &trouble {
            Trouble::Refused { reopen: false, .. } => {}
            // What can still be read of it is read before it is closed.
            Trouble::Corrupt(_) if !self.repaired => {}
            _ => self.open = None,
        }
        trouble
    }

    /// The open database; a new connection where there is none, or to another file.
    fn open(&mut self) -> Result<&mut Open, Trouble> {
        if self.open.as_ref().is_some_and(|open| is_taken_away(&self.path, open.identity)) {
            self.lose();
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        Ok(self.open.insert(open))
    }

    fn connect(&mut self) -> Result<Open, Trouble> {
        let is_another = self.known.is_some() && identity(&self.path).ok() != self.known;
        if is_another && self.rescued.is_none() {
            self.lose();
        }
        let mut connection = connect(&self.path)?;
        connection.pragma_update(None, "max_page_count", self.room.pages)?;
        let refuse = |why: io::Error| Trouble::Refused { why: why.to_string(), reopen: true };
        let identity = identity(&self.path).map_err(refuse)?;
        let mut waiting = waiting(&connection)?;
        let known = self.known();
        if !known.is_empty() {
            // The states and what makes this more than a first start are there together or not at all.
            waiting =
                write(&mut connection, &known, (waiting, self.room.outbox), unix_ms())?.waiting;
        }
        // What there is no room for must not keep out what is saved from now on.
        if let Some(rescued) = &self.rescued
            && let Err(why) = write_history_of_lost(&mut connection, rescued.history())
        {
            error!("the history of rollouts could not be saved anew and is lost: {why}");
        }
        self.meta = known.meta;
        self.rescued = None;
        self.known = Some(identity);
        Ok(Open { connection, identity, waiting, folded_at: 0 })
    }

    /// All that a database must have in it before anything new is saved.
    fn known(&self) -> Batch {
        let mut known = Batch { meta: self.meta.clone(), ..Batch::default() };
        self.rescued.iter().for_each(|rescued| rescued.add_to(&mut known));
        known
    }

    /// The file is not there any more, or another one is in its place.
    fn lose(&mut self) {
        let rescued = match &self.open {
            Some(open) => Rescued::from(&open.connection),
            None => Rescued::default(),
        };
        let said = self.rescue(rescued);
        let name = self.path.display();
        error!("the store {name} was deleted or replaced under the running depd; {said}");
        self.open = None;
    }

    /// The file is damaged.
    fn begin_anew(&mut self, why: &str) {
        let rescued = match &self.open {
            Some(open) => Rescued::from(&open.connection),
            None => connect_to_read(&self.path).map(|it| Rescued::from(&it)).unwrap_or_default(),
        };
        let said = self.rescue(rescued);
        // Outside of the macro, which does nothing when the log is off.
        let said = self.set_aside(why, &said);
        error!("{said}");
    }

    /// Keeps what was read of the file that is lost; says what that is.
    fn rescue(&mut self, rescued: Rescued) -> String {
        // Losing the next one before it had everything takes nothing away.
        self.rescued.get_or_insert(rescued).text()
    }

    /// Moves a damaged database out of the way; says what was done, and `then` what follows.
    fn set_aside(&mut self, why: &str, then: &str) -> String {
        self.open = None;
        self.repaired = true;
        let name = self.path.display();
        match set_aside(&self.path) {
            Ok(aside) => {
                format!("the store {name} was corrupt ({why}) and was set aside as {aside}: {then}")
            }
            Err(error) => {
                format!("the store {name} is corrupt ({why}) and cannot be set aside ({error})")
            }
        }
    }
}

/// What can be read of a database that cannot be written; nothing of one that is yet to be made.
fn look(path: &Path) -> Result<Contents, Trouble> {
    if !path.exists() {
        return Ok(Contents::default());
    }
    let connection = connect_to_read(path)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 { Ok(Contents::default()) } else { Ok(contents(&connection)?) }
}

/// The note of a daemon without a database.
pub fn memory_only(
    path: &Path,
    why: &dyn std::fmt::Display,
    notes: &mut Vec<String>,
) -> Option<Disk> {
    notes.push(format!(
        "nothing is saved, because {} cannot be used ({why}): deployments go on, but a restart \
         forgets rollouts in flight and messages that wait; make it writable for this user or \
         choose another folder with --state, and start depd again",
        path.display()
    ));
    None
}

/// Takes the files away from others, and says so where others could read or replace them.
fn warn_of_others(folder: &Path, path: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    match protect(path) {
        None => {}
        Some(Ok(())) => notes.push(format!(
            "the state files in {} could be read by others; they are for depd only now",
            folder.display()
        )),
        Some(Err(error)) => notes.push(format!(
            "the state files in {0} can be read by others, and that cannot be changed ({error}): \
             chmod go= {0}",
            folder.display()
        )),
    }
    if fs::metadata(folder).is_ok_and(|folder| is_open(folder.mode(), folder.gid())) {
        notes.push(format!(
            "others may write into the state folder {0}: chmod go-w {0}",
            folder.display()
        ));
    }
    notes
}

/// Others may write into the folder. Our own group may: so Kubernetes gives a volume to a pod by its
/// fsGroup, and only root could take it away again.
fn is_open(mode: u32, group: u32) -> bool {
    let is_ours = group == rustix::process::getegid().as_raw();
    mode & if is_ours { 0o002 } else { 0o022 } != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ServiceKey;
    use crate::store::{Message, STATES_LOST, ServiceChange};

    fn put(service: &str) -> Batch {
        let key = ServiceKey::new(service, "prod").expect("valid");
        let mut batch = Batch::default();
        batch.services.insert(key, (ServiceChange::Put("1".into()), 7));
        batch
    }

    #[test]
    fn states_that_were_lost_with_the_file_are_not_forgotten_in_silence() {
        let folder = tempfile::tempdir().expect("a folder");
        let room = Room { pages: 1 << 18, outbox: 100 };
        let start = || Disk::start(folder.path(), room, &mut Vec::new()).expect("starts");
        let lost = |contents: &Contents| contents.meta.get(STATES_LOST).cloned();
        let (disk, _) = start();
        let mut disk = disk.expect("a disk");
        let meta = BTreeMap::from([("cluster".to_owned(), "uid".to_owned())]);
        disk.write(&Batch { meta, ..put("web") }).expect("writes");
        // As after an error of the disk: a new connection to the same file loses nothing.
        disk.open = None;
        disk.write(&put("api")).expect("writes");
        assert_eq!(lost(&disk.remember().expect("reads")), None);
        disk.open = None;
        fs::remove_file(folder.path().join(schema::NAME)).expect("there");
        disk.write(&put("db")).expect("writes");
        drop(disk);
        let (_disk, contents) = start();
        assert_eq!(contents.services.len(), 1);
        assert_eq!((&*contents.meta["cluster"], lost(&contents)), ("uid", Some("yes".to_owned())));
    }

    #[test]
    fn messages_of_a_lost_database_are_still_to_come_while_the_next_one_cannot_take_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let room = Room { pages: 1 << 18, outbox: 100 };
        let started = Disk::start(folder.path(), room, &mut Vec::new()).expect("starts");
        let mut disk = started.0.expect("a disk");
        let mut batch = put("web");
        let message = Message { receiver: "slack".into(), payload: "x".repeat(20_000) };
        batch.tell(vec![message], &mut 1, 0);
        disk.write(&batch).expect("writes");
        fs::remove_file(folder.path().join(schema::NAME)).expect("there");
        disk.room.pages = 1;
        let wanted = Wanted { receiver: "slack".into(), after: 0, limit: 9 };
        for _ in 0..2 {
            let page = disk.page(&wanted);
            assert!(matches!(page, Err(Trouble::Refused { .. })), "{page:?}");
        }
        disk.room = room;
        let page = disk.page(&wanted).expect("reads");
        assert_eq!(page.iter().map(|message| message.id).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_state_folder_may_be_written_by_our_own_group_and_by_nobody_else() {
        let ours = rustix::process::getegid().as_raw();
        let cases = [(0o2775, ours, false), (0o777, ours, true), (0o775, ours + 1, true)];
        for (mode, group, expect) in cases.into_iter().chain([(0o755, ours + 1, false)]) {
            assert_eq!(is_open(mode, group), expect, "{mode:o} of {group}");
        }
    }
}
