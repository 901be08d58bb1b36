//! The blocking shell around [`KeyedQueue`]: crossbeam channels to the workers, one for each lane, and
//! a timer. `[E]`
//!
//! The channels carry at most one entry per key, so they are bounded by the number of keys. The lock
//! is held for bookkeeping only, never across work.

use std::hash::Hash;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::{Condvar, Mutex};

use super::KeyedQueue;
use super::lane::{Lane, Lanes};
use crate::clock;
use crate::model::Moment;

/// A queue of keys for many workers. Share it in an `Arc`.
#[derive(Debug)]
pub struct WorkQueue<K> {
    state: Mutex<State<K>>,
    deadline_changed: Condvar,
    /// A key waits in a channel. Receivers that block in the channel itself spin for a while
    /// first; with a hundred workers that was a tenth of all CPU time.
    key_ready: Condvar,
    ready: Lanes<Receiver<K>>,
}

/// What came of the wait for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken<K> {
    /// This key is in hand now.
    Key(K),
    /// No key came in time.
    Nothing,
    /// None will come any more.
    Closed,
}

#[derive(Debug)]
struct State<K> {
    keys: KeyedQueue<K>,
    /// `None` once the queue is closed, which ends the channels for the workers.
    hand_out: Option<Lanes<Sender<K>>>,
    /// Which lane is served next, if a key waits in it.
    turn: Lane,
    /// Workers that wait for a key.
    idle: usize,
    /// One of them was called and is not there yet. It takes what it finds and calls the next one
    /// where there is more, so that a hundred keys at once do not wake a hundred threads of which
    /// the first would have done most.
    called: bool,
}

impl<K: Clone + Eq + Hash + Ord> Default for WorkQueue<K> {
    fn default() -> WorkQueue<K> {
        let (ordinary, express) = (unbounded(), unbounded());
        let hand_out = Lanes { ordinary: ordinary.0, express: express.0 };
        let ready = Lanes { ordinary: ordinary.1, express: express.1 };
        WorkQueue {
            state: Mutex::new(State {
                keys: KeyedQueue::default(),
                hand_out: Some(hand_out),
                turn: Lane::default(),
                idle: 0,
                called: false,
            }),
            deadline_changed: Condvar::new(),
            key_ready: Condvar::new(),
            ready,
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> WorkQueue<K> {
    /// Somebody should look at `key` again.
    pub fn add(&self, key: &K) {
        self.add_in(Lane::Ordinary, key);
    }

    /// The same, without waiting for the end of a long line: there is news of what was begun. A key that
    /// waits already keeps its place.
    pub fn add_express(&self, key: &K) {
        self.add_in(Lane::Express, key);
    }

    fn add_in(&self, lane: Lane, key: &K) {
        let mut state = self.state.lock();
        if state.keys.add(key, lane) {
            self.pass_on(&mut state, lane, key.clone());
        }
    }

    /// Somebody should look at `key` again at `due`, or earlier if that was asked for already.
    pub fn add_at(&self, key: &K, due: Moment) {
        if self.state.lock().keys.add_at(key, due) {
            self.deadline_changed.notify_one();
        }
    }

    /// Waits for the next key and takes it in hand; `None` when the queue is closed.
    /// Whoever gets a key must call [`WorkQueue::done`] for it.
    #[must_use]
    pub fn take(&self) -> Option<K> {
        loop {
            match self.take_within(Duration::MAX) {
                Taken::Key(key) => return Some(key),
                Taken::Closed => return None,
                Taken::Nothing => {}
            }
        }
    }

    /// The same, for as long as `limit` at most.
    #[must_use]
    pub fn take_within(&self, limit: Duration) -> Taken<K> {
        let mut state = self.state.lock();
        let mut expired = false;
        loop {
            if state.hand_out.is_none() {
                return Taken::Closed;
            }
            if let Some(key) = self.next(&mut state) {
                return Taken::Key(key);
            }
            if expired {
                return Taken::Nothing;
            }
            state.idle += 1;
            expired = self.key_ready.wait_for(&mut state, limit).timed_out();
            state.idle -= 1;
            state.called = false;
        }
    }

    /// As [`WorkQueue::take`], but `None` also when no key waits.
    #[must_use]
    pub fn try_take(&self) -> Option<K> {
        let mut state = self.state.lock();
        state.hand_out.as_ref()?;
        self.next(&mut state)
    }

    fn next(&self, state: &mut State<K>) -> Option<K> {
        let turn = state.turn;
        let receive = |lane| self.ready.of(lane).try_recv();
        let key = receive(turn).or_else(|_| receive(turn.other())).ok()?;
        state.turn = turn.other();
        state.keys.start(&key);
        if !(self.ready.ordinary.is_empty() && self.ready.express.is_empty()) {
            self.call(state);
        }
        Some(key)
    }

    /// Wakes a worker that waits, unless one is on its way.
    fn call(&self, state: &mut State<K>) {
        if state.idle > 0 && !state.called {
            state.called = true;
            self.key_ready.notify_one();
        }
    }

    /// Lets go of a key that [`WorkQueue::take`] returned.
    pub fn done(&self, key: &K) {
        let mut state = self.state.lock();
        if let Some(lane) = state.keys.done(key) {
            self.pass_on(&mut state, lane, key.clone());
        }
    }

    /// Moves delayed keys into the queue as they fall due. Runs on a thread of its own until the
    /// queue is closed.
    pub fn run_timer(&self) {
        let mut state = self.state.lock();
        while state.hand_out.is_some() {
            clock::beat();
            let now = clock::now();
            let due = self.pass_on_due(&mut state, now);
            let wait = due.map_or(clock::BEAT, |due| due.since(now).max(Duration::from_millis(1)));
            self.deadline_changed.wait_for(&mut state, wait.min(clock::BEAT));
        }
        clock::stop_beating();
    }

    /// Moves the keys that are due at `now` into the queue; returns when the next one will be. For
    /// those whose time does not pass by itself.
    pub fn turn_timer(&self, now: Moment) -> Option<Moment> {
        self.pass_on_due(&mut self.state.lock(), now)
    }

    /// Closes the queue: workers finish what they have in hand, and nothing more is handed out.
    pub fn close(&self) {
        self.state.lock().hand_out = None;
        self.deadline_changed.notify_all();
        self.key_ready.notify_all();
    }

    fn pass_on_due(&self, state: &mut State<K>, now: Moment) -> Option<Moment> {
        for key in state.keys.take_due(now) {
            self.pass_on(state, Lane::Ordinary, key);
        }
        state.keys.next_deadline()
    }

    fn pass_on(&self, state: &mut State<K>, lane: Lane, key: K) {
        if let Some(hand_out) = &state.hand_out {
            // The receiver lives in the same queue, so the channel is open.
            let _ = hand_out.of(lane).send(key);
            self.call(state);
        }
    }

    /// Keys that wait or are in work.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().keys.len()
    }

    /// Nothing waits and nothing is in work.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.lock().keys.is_empty()
    }
}
