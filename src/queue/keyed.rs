//! The bookkeeping of the work queue. `[C]`: no clock, no threads, no locks.
//!
//! The promises, which are those of client-go's workqueue:
//! - a key that already waits is not handed out twice;
//! - a key in work is never handed to a second worker; touched meanwhile, it is handed out again
//!   after [`KeyedQueue::done`];
//! - a delayed key keeps its earliest deadline.
//!
//! "Handed out" is the caller's business: the functions return which keys are now ready, and the
//! caller passes each on exactly once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use super::lane::Lane;
use crate::model::Moment;

/// Which keys wait, which are in work, which are due later.
#[derive(Debug)]
pub struct KeyedQueue<K> {
    /// Somebody should look at these again. The lane is the quickest that was asked for; it counts only
    /// for those in work, as one that waits already keeps its place.
    dirty: HashMap<K, Lane>,
    /// A worker has these in hand.
    processing: HashSet<K>,
    deadlines: HashMap<K, Moment>,
    by_deadline: BTreeSet<(Moment, K)>,
}

impl<K> Default for KeyedQueue<K> {
    fn default() -> KeyedQueue<K> {
        KeyedQueue {
            dirty: HashMap::new(),
            processing: HashSet::new(),
            deadlines: HashMap::new(),
            by_deadline: BTreeSet::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> KeyedQueue<K> {
    /// Notes that `key` should be looked at; true when it must be handed out now, in `lane`. One that
    /// waits already keeps its place.
    #[must_use]
    pub fn add(&mut self, key: &K, lane: Lane) -> bool {
        if let Some(asked) = self.dirty.get_mut(key) {
            *asked = lane.max(*asked);
            return false;
        }
        self.dirty.insert(key.clone(), lane);
        !self.processing.contains(key)
    }

    /// A worker takes `key` in hand.
    pub fn start(&mut self, key: &K) {
        self.dirty.remove(key);
        let fresh = self.processing.insert(key.clone());
        debug_assert!(fresh, "a key must never be handed to two workers");
    }

    /// The worker lets go of `key`; a lane when it was touched meanwhile and must be handed out again.
    #[must_use]
    pub fn done(&mut self, key: &K) -> Option<Lane> {
        self.processing.remove(key);
        self.dirty.get(key).copied()
    }

    /// Asks for `key` to be added at `due`, unless it already will be by then.
    /// True when the earliest deadline of the queue changed.
    #[must_use]
    pub fn add_at(&mut self, key: &K, due: Moment) -> bool {
        match self.deadlines.get(key) {
            Some(&earlier) if earlier <= due => return false,
            Some(&later) => {
                self.by_deadline.remove(&(later, key.clone()));
            }
            None => {}
        }
        self.deadlines.insert(key.clone(), due);
        self.by_deadline.insert((due, key.clone()));
        self.by_deadline.first().is_some_and(|(_, first)| first == key)
    }

    /// Moves every key that is due into the queue; returns those to hand out now, as ordinary ones.
    #[must_use]
    pub fn take_due(&mut self, now: Moment) -> Vec<K> {
        let mut ready = Vec::new();
        while let Some((due, key)) = self.by_deadline.pop_first() {
            if due > now {
                self.by_deadline.insert((due, key));
                break;
            }
            self.deadlines.remove(&key);
            if self.add(&key, Lane::Ordinary) {
                ready.push(key);
            }
        }
        ready
    }

    /// When the next delayed key is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        self.by_deadline.first().map(|(due, _)| *due)
    }

    /// Keys that wait or are in work; delayed ones do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        let only_in_hand = |key: &&K| !self.dirty.contains_key(*key);
        self.dirty.len() + self.processing.iter().filter(only_in_hand).count()
    }

    /// Nothing waits and nothing is in work.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dirty.is_empty() && self.processing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Lane::{Express, Ordinary};
    use super::*;

    fn queue() -> KeyedQueue<&'static str> {
        KeyedQueue::default()
    }

    #[test]
    fn a_waiting_key_is_not_handed_out_twice() {
        let mut q = queue();
        assert!(q.add(&"a", Ordinary));
        assert!(!q.add(&"a", Express), "it has its place");
        assert!(q.add(&"b", Ordinary));
        assert_eq!(q.len(), 2);
    }

    #[test]
    fn a_key_in_work_is_handed_out_again_only_when_it_is_done_and_was_touched() {
        let mut q = queue();
        assert!(q.add(&"a", Express));
        q.start(&"a");
        assert!(!q.add(&"a", Ordinary), "in work: not to a second worker");
        assert!(!q.add(&"a", Ordinary), "touched twice is touched");
        assert_eq!(q.done(&"a"), Some(Ordinary), "touched meanwhile: again");
        q.start(&"a");
        assert_eq!(q.done(&"a"), None, "untouched: finished");
        assert!(q.is_empty());
    }

    #[test]
    fn a_delayed_key_keeps_its_earliest_deadline() {
        let mut q = queue();
        assert!(q.add_at(&"a", Moment(50)));
        assert!(!q.add_at(&"a", Moment(70)), "later is ignored");
        assert!(q.add_at(&"a", Moment(30)), "earlier wins");
        assert!(!q.add_at(&"b", Moment(40)));
        assert_eq!(q.next_deadline(), Some(Moment(30)));
        assert_eq!(q.take_due(Moment(29)), Vec::<&str>::new());
        assert_eq!(q.take_due(Moment(40)), ["a", "b"]);
        assert_eq!(q.next_deadline(), None);
    }

    #[test]
    fn a_due_key_in_work_waits_for_its_worker() {
        let mut q = queue();
        assert!(q.add(&"a", Ordinary));
        q.start(&"a");
        assert!(q.add_at(&"a", Moment(5)));
        assert!(q.take_due(Moment(5)).is_empty());
        assert_eq!(q.done(&"a"), Some(Ordinary));
    }

    #[test]
    fn a_key_in_work_is_handed_out_again_in_the_quicker_lane_of_those_that_were_asked_for() {
        let mut q = queue();
        for asked in [[Ordinary, Express], [Express, Ordinary]] {
            assert!(q.add(&"a", Ordinary));
            q.start(&"a");
            assert!(asked.iter().all(|lane| !q.add(&"a", *lane)));
            assert_eq!(q.done(&"a"), Some(Express), "{asked:?}");
            q.start(&"a");
            assert_eq!(q.done(&"a"), None);
        }
    }
}
