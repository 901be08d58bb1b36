//! A receiver of our own behind a real store, while the disk of the store does what it likes.

use std::fs;
use std::os::unix::fs::FileExt as _;

use crossbeam_channel::{Sender, unbounded};

use super::*;
use crate::model::Alert;
use crate::report::alarm::alarm;
use crate::report::command::Command;
use crate::report::inbox::ROOM;
use crate::report::pace::Pace;
use crate::report::record::Circumstances;
use crate::report::transport::Answer;

/// Far beyond what anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// More than a delivery has room for, and no whole number of pages.
const MANY: u32 = 2 * ROOM as u32 + 300;

/// Takes nothing until the door is opened, and then everything.
struct Taker {
    door: crossbeam_channel::Receiver<()>,
    told: Sender<String>,
}

impl Transport for Taker {
    fn send(&mut self, records: &[Record]) -> Answer {
        let _ = self.door.recv();
        records.iter().for_each(|record| drop(self.told.send(record.text.clone())));
        Answer::Taken
    }

    fn place(&self) -> String {
        "here".to_owned()
    }
}

struct Office {
    store: Arc<Store>,
    receivers: Arc<Receivers>,
    /// Dropping it opens the door.
    door: Sender<()>,
    told: crossbeam_channel::Receiver<String>,
}

impl Office {
    fn open(folder: &Path) -> Office {
        let slot: Arc<OnceLock<Arc<Receivers>>> = Arc::default();
        let receivers = Arc::clone(&slot);
        let committed = move |message| receivers.get().expect("set up").committed(message);
        let (store, remembered) = Store::open(folder, committed).expect("opens");
        let store = Arc::new(store);
        let outbox = Outbox::of(&store, folder, remembered.last_message);
        let settings = ReceiverSettings {
            kind: Kind::Command,
            pace: Pace::new(Duration::from_millis(1), 1_000_000),
            filter: Filter::default(),
            way: Way::Command(Command::parse("/nonexistent/program").expect("a program")),
        };
        let (door, closed) = unbounded();
        let (to, told) = unbounded();
        let taker = Box::new(Taker { door: closed, told: to });
        let all = vec![deliver(&settings, taker, outbox.as_ref()).expect("a thread")];
        let receivers = Arc::new(Receivers { all, are_kept: outbox.is_some() });
        let _ = slot.set(Arc::clone(&receivers));
        Office { store, receivers, door, told }
    }

    /// Has these told.
    fn tell(&self, numbers: impl IntoIterator<Item = u32>) {
        for failures in numbers {
            let alert = Alert::Halted { failures };
            let record = Record::of_alert(&alert, &alarm(&alert), &Circumstances::default());
            self.store.tell(self.receivers.messages(&record));
        }
    }

    /// The numbers of the next messages that the receiver is told.
    #[track_caller]
    fn told(&self, count: usize) -> Vec<u32> {
        let number = |text: String| text.split(' ').next().expect("a word").parse().ok();
        let next = || self.told.recv_timeout(LIMIT).expect("the receiver is told");
        (0..count).map(|_| number(next()).expect("a number")).collect()
    }
}

#[test]
fn fault_38_without_a_store_a_receiver_that_was_behind_is_told_of_what_comes_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let no_folder = folder.path().join("file");
    fs::write(&no_folder, "").expect("writable");
    let office = Office::open(&no_folder);
    office.tell(1..=MANY);
    // Handed over by the store's thread, one after the other, so the last is the last.
    assert!(!office.store.close(LIMIT), "nothing is kept");
    let Office { receivers, door, told, .. } = office;
    drop(door);
    // What had no room is lost, and everything else is sent.
    assert!(receivers.finish(LIMIT), "nothing is waited for that cannot come");
    assert_eq!(told.try_iter().count(), ROOM);
}

#[test]
fn fault_38_what_the_disk_refuses_is_told_in_order_however_much_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut office = Office::open(folder.path());
    let other = rusqlite::Connection::open(folder.path().join("depd.db")).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("holds it");
    office.tell(1..=MANY);
    office.door = unbounded().0;
    assert_eq!(office.told(MANY as usize), (1..=MANY).collect::<Vec<_>>());
    office.tell([MANY + 1]);
    assert_eq!(office.told(1), [MANY + 1]);
    drop(other);
}

#[test]
fn security_18_a_damaged_page_of_the_outbox_costs_the_messages_on_it_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let office = Office::open(folder.path());
    office.tell(1..=MANY);
    assert!(office.store.close(LIMIT), "all are on disk");
    drop(office);
    let database = folder.path().join("depd.db");
    let bytes = fs::read(&database).expect("readable");
    let text = format!("\"{} rollouts failed in a row\"", MANY / 2);
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes());
    let page = at.expect("it is on disk") / 4096;
    let file = fs::OpenOptions::new().write(true).open(&database).expect("opens");
    file.write_all_at(&[0x55; 4096], page as u64 * 4096).expect("writes");

    let mut office = Office::open(folder.path());
    office.tell([MANY + 1]);
    office.door = unbounded().0;
    let mut told = vec![];
    while told.last() != Some(&(MANY + 1)) {
        told.extend(office.told(1));
    }
    assert!(told.is_sorted() && !told.contains(&(MANY / 2)));
    assert!(told.len() > MANY as usize - 50, "{} were told", told.len());
    assert!(folder.path().join("depd.db.corrupt-1").exists());
}
