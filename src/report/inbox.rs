//! The messages of one receiver that are next, in memory, with the rest of them left in the store.
//!
//! Few are in memory. What comes while there is no room is not lost and not forgotten: the store has
//! it, and it is read from there in pages, in order, as soon as there is room. Without a store there
//! is nowhere to leave it, and what has no room is gone, which the caller says.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Moment;

/// Messages in memory. A page of the store is half of it.
pub const ROOM: usize = 2_000;

/// A store that could not be read is asked again after this.
pub const STORE_RETRY: Duration = Duration::from_secs(5);

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Its number in the store, where it is in one.
    pub id: Option<u64>,
    /// The record, as JSON.
    pub payload: String,
}

/// Reads messages that wait in the store: those with a greater id than the first argument, at most
/// as many as the second.
pub type Fetch = Box<dyn FnMut(u64, usize) -> Result<Page, String> + Send>;

/// A page of what waits in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Oldest first.
    pub parcels: Vec<Parcel>,
    /// Nothing with this id or a smaller one is left there besides these and what was read before.
    pub up_to: u64,
    /// Why what the disk has is not among them, so that it is still to come.
    pub unread: Option<String>,
}

/// What is next for one receiver.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Parcel>,
    /// Nothing up to this id is left in the store.
    taken: u64,
    /// The greatest id that is in the store and was not put into `waiting`; 0 if there is none.
    left: u64,
    /// The store could not be read, and is left alone until then while there is anything to send.
    unread_until: Option<Moment>,
    /// No more will come.
    closed: bool,
}

/// What became of a message that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is in memory.
    Kept,
    /// It is in the store and will be read from there.
    Left,
    /// It is nowhere.
    Lost,
}

impl Inbox {
    /// An inbox with everything up to `left` still in the store.
    #[must_use]
    pub fn new(left: u64) -> Inbox {
        Inbox { state: Mutex::new(State { left, ..State::default() }) }
    }

    /// Puts a message behind all others.
    pub fn put(&self, parcel: Parcel) -> Put {
        let mut state = self.state.lock();
        let full = state.waiting.len() >= ROOM;
        match parcel.id {
            // A page brought it already: it was on disk before this call came.
            Some(id) if id <= state.taken => Put::Kept,
            // Behind those that are still in the store, or there is no order.
            Some(id) if full || state.left > 0 => {
                state.left = state.left.max(id);
                Put::Left
            }
            None if full => Put::Lost,
            id => {
                state.taken = state.taken.max(id.unwrap_or_default());
                state.waiting.push_back(parcel);
                Put::Kept
            }
        }
    }

    /// The messages that are next, without taking them out, at most `limit`.
    pub fn peek(&self, limit: usize) -> Vec<Parcel> {
        self.state.lock().waiting.iter().take(limit).cloned().collect()
    }

    /// There are, or may be, more in the store.
    pub fn has_more(&self) -> bool {
        self.state.lock().left > 0
    }

    /// How many messages are in memory.
    pub fn count(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// Takes out the first `count`, whose fate is known.
    pub fn settle(&self, count: usize) {
        let mut state = self.state.lock();
        let count = count.min(state.waiting.len());
        state.waiting.drain(..count);
    }

    /// Reads a page from the store when there is room for it and something was left there. One that could
    /// not be read is not asked again before each message that is in memory: every time may cost seconds.
    ///
    /// # Errors
    /// The store cannot be read at the moment, or only what it has in memory could be.
    pub fn refill(&self, fetch: &mut Fetch, now: impl Fn() -> Moment) -> Result<(), String> {
        let after = {
            let state = self.state.lock();
            let rests = || state.unread_until.is_some_and(|until| now() < until);
            let has_time = !state.waiting.is_empty() && rests();
            if state.left == 0 || state.waiting.len() > ROOM / 2 || has_time {
                return Ok(());
            }
            state.taken
        };
        // Without the lock: the disk may be slow, and whoever puts a message in must not wait.
        let page = fetch(after, ROOM / 2);
        let mut state = self.state.lock();
        let is_read = page.as_ref().is_ok_and(|page| page.unread.is_none());
        state.unread_until = (!is_read).then(|| now() + STORE_RETRY);
        let Page { parcels, up_to, unread } = page?;
        // A page without what the disk has does not count, so its parcels come once more.
        let known: HashSet<_> = state.waiting.iter().filter_map(|parcel| parcel.id).collect();
        let is_new = |parcel: &Parcel| parcel.id.is_none_or(|id| !known.contains(&id));
        state.waiting.extend(parcels.into_iter().filter(is_new));
        if let Some(why) = unread {
            return Err(why);
        }
        state.taken = state.taken.max(up_to);
        // What was left meanwhile is read later.
        if state.taken >= state.left {
            state.left = 0;
        }
        Ok(())
    }

    /// No more will come.
    pub fn close(&self) {
        self.state.lock().closed = true;
    }

    /// [`Inbox::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn start() -> Moment {
        Moment(0)
    }

    fn parcel(id: u64) -> Parcel {
        Parcel { id: Some(id), payload: format!("message {id}") }
    }

    fn drain(inbox: &Inbox) -> Vec<u64> {
        let next = inbox.peek(usize::MAX);
        inbox.settle(next.len());
        next.into_iter().filter_map(|parcel| parcel.id).collect()
    }

    /// A store in which `newest` messages wait.
    fn store(newest: u64) -> Fetch {
        Box::new(move |after, limit| {
            let up_to = newest.min(after + limit as u64);
            Ok(Page { parcels: (after + 1..=up_to).map(parcel).collect(), up_to, unread: None })
        })
    }

    #[test]
    fn what_has_no_room_is_read_from_the_store_in_order_and_once() {
        let inbox = Inbox::default();
        let most = ROOM as u64;
        let all = most * 3;
        let kept = (1..=all).filter(|id| inbox.put(parcel(*id)) == Put::Kept).count();
        assert_eq!(kept, ROOM);
        let mut seen = Vec::new();
        let mut fetch = store(all);
        for late in 1..=6 {
            seen.extend(drain(&inbox));
            // One that comes while others are still in the store stays behind them.
            if late == 1 {
                fetch = store(all + 1);
                assert_eq!(inbox.put(parcel(all + 1)), Put::Left);
            }
            inbox.refill(&mut fetch, start).expect("readable");
        }
        seen.extend(drain(&inbox));
        inbox.refill(&mut fetch, start).expect("readable");
        seen.extend(drain(&inbox));
        assert_eq!(seen, (1..=all + 1).collect::<Vec<_>>());
        assert_eq!(inbox.put(parcel(all + 2)), Put::Kept, "nothing is left in the store");
    }

    #[test]
    fn what_waited_at_the_start_comes_first() {
        let inbox = Inbox::new(3);
        assert_eq!(inbox.put(parcel(4)), Put::Left);
        inbox.refill(&mut store(4), start).expect("readable");
        assert_eq!(inbox.put(parcel(5)), Put::Kept);
        assert_eq!(drain(&inbox), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_a_page_brought_between_its_commit_and_its_bell_is_there_once() {
        let inbox = Inbox::new(3);
        inbox.refill(&mut store(5), start).expect("readable");
        assert_eq!([4, 5, 6].map(|id| inbox.put(parcel(id))), [Put::Kept; 3]);
        assert_eq!(drain(&inbox), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_cannot_be_read_yet_is_waited_for() {
        let inbox = Inbox::new(2);
        inbox.refill(&mut store(0), start).expect("readable");
        assert_eq!(inbox.put(parcel(3)), Put::Left);
        let mut broken: Fetch = Box::new(|_, _| Err("no disk".into()));
        assert!(inbox.refill(&mut broken, start).is_err());
        inbox.refill(&mut store(3), start).expect("readable");
        assert_eq!(drain(&inbox), [1, 2, 3]);
    }

    #[test]
    fn while_the_disk_cannot_be_read_what_is_only_in_memory_comes_once_and_the_rest_after_it() {
        let inbox = Inbox::new(2);
        assert_eq!(inbox.put(parcel(3)), Put::Left);
        let mut without_a_disk: Fetch = Box::new(|after, _| {
            assert_eq!(after, 0, "the disk has something from there on");
            let unread = Some("no disk".into());
            Ok(Page { parcels: vec![parcel(3)], up_to: 0, unread })
        });
        assert_eq!(inbox.refill(&mut without_a_disk, start), Err("no disk".into()));
        let later = || Moment(0) + STORE_RETRY;
        assert_eq!(inbox.refill(&mut without_a_disk, later), Err("no disk".into()));
        inbox.refill(&mut store(3), || later() + STORE_RETRY).expect("readable");
        assert_eq!(drain(&inbox), [3, 1, 2]);
        assert_eq!(inbox.put(parcel(4)), Put::Kept);
    }

    #[test]
    fn what_is_in_memory_does_not_wait_for_a_store_that_cannot_be_read() {
        let inbox = Inbox::new(9);
        let (asked, clock) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let now = || Moment(clock.load(Ordering::Relaxed));
        let mut fetch: Fetch = Box::new({
            let (asked, clock) = (Arc::clone(&asked), Arc::clone(&clock));
            move |_, _| {
                // The disk hangs for longer than the pause, which begins when it has answered.
                clock.fetch_add(10_000, Ordering::Relaxed);
                let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
                let parcels = if is_first { vec![parcel(8), parcel(9)] } else { Vec::new() };
                Ok(Page { parcels, up_to: 0, unread: Some("no disk".into()) })
            }
        });
        assert!(inbox.refill(&mut fetch, now).is_err());
        for left in [1, 0] {
            inbox.refill(&mut fetch, now).expect("it is left alone");
            assert_eq!((inbox.peek(9).len(), asked.load(Ordering::Relaxed)), (left + 1, 1));
            inbox.settle(1);
        }
        assert!(inbox.refill(&mut fetch, now).is_err(), "there is nothing else to do");
    }

    #[test]
    fn what_was_delivered_long_ago_is_not_waited_for() {
        let inbox = Inbox::new(100);
        let mut others: Fetch = Box::new(|_, _| Ok(Page { up_to: 100, ..Page::default() }));
        inbox.refill(&mut others, start).expect("readable");
        assert_eq!(inbox.put(parcel(101)), Put::Kept);
    }

    #[test]
    fn without_a_store_what_has_no_room_is_lost_and_that_is_said() {
        let inbox = Inbox::default();
        let nameless = || Parcel { id: None, payload: String::new() };
        assert!((0..ROOM).all(|_| inbox.put(nameless()) == Put::Kept));
        assert_eq!(inbox.put(nameless()), Put::Lost);
    }
}
