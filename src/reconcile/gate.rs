//! Whether a rollout may start now: no mass accident, and no more in flight than asked for.
//!
//! The planner asks before every PATCH. A service that is told to wait is remembered, and named
//! again when there is room or when the gate opens.

use std::collections::{HashSet, VecDeque};

use crate::model::{Alert, ServiceKey};

/// More differing services than this on a first start are no coincidence.
pub const FIRST_START_LIMIT: usize = 20;

/// The gate. It is shut until [`Gate::open`] or [`Gate::shut`] said what start-up found.
#[derive(Debug)]
pub struct Gate {
    state: State,
    /// Rollouts that may be in flight; `None` is no bound.
    most: Option<usize>,
    /// Failures in a row after which everything else waits; `None` is never.
    halt_after: Option<u32>,
    failures: u32,
    in_flight: HashSet<ServiceKey>,
    /// Services that waited and were told that there is room; it is kept for them until they have
    /// looked, whether they take it or not.
    offered: HashSet<ServiceKey>,
    waiting: VecDeque<ServiceKey>,
    waits: HashSet<ServiceKey>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Starting,
    Open,
    /// Failures in a row; a word of a person opens it.
    Halted,
    /// Not what the last run was about; only a new start opens it.
    Shut,
}

/// What came of the word to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// It was halted and is not any more; these services waited and have room.
    GoesOn(Vec<ServiceKey>),
    /// There was nothing to resume.
    WasNotHalted,
    /// Start-up found what only a new start can answer.
    HeldOtherwise,
}

impl Gate {
    /// A gate that waits for start-up.
    #[must_use]
    pub fn new(most: Option<usize>, halt_after: Option<u32>) -> Gate {
        Gate {
            state: State::Starting,
            most,
            halt_after,
            failures: 0,
            in_flight: HashSet::new(),
            offered: HashSet::new(),
            waiting: VecDeque::new(),
            waits: HashSet::new(),
        }
    }

    /// Start-up found nothing that speaks against it. Returns the services that waited.
    #[must_use]
    pub fn open(&mut self) -> Vec<ServiceKey> {
        self.state = State::Open;
        self.room()
    }

    /// Start-up is over, and found nothing that speaks against changing the cluster.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Nothing may start until depd is started anew with the word of a person.
    pub fn shut(&mut self) {
        self.state = State::Shut;
    }

    /// Goes on after failures in a row; they are counted anew.
    #[must_use]
    pub fn resume(&mut self) -> Resumed {
        match self.state {
            State::Halted => {
                self.failures = 0;
                Resumed::GoesOn(self.open())
            }
            State::Starting | State::Open => Resumed::WasNotHalted,
            State::Shut => Resumed::HeldOtherwise,
        }
    }

    /// Rollouts in flight, and services that wait for room among them.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let waiting = if self.state == State::Open { self.waiting.len() } else { 0 };
        self.in_flight.len() + waiting
    }

    /// Nothing starts until a person says so.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Halted | State::Shut)
    }

    /// What [`Gate::verdict`] said when it shut the gate, as long as it is.
    #[must_use]
    pub fn halted(&self) -> Option<Alert> {
        (self.state == State::Halted).then_some(Alert::Halted { failures: self.failures })
    }

    /// Asks for `key` to start a rollout. A service that already has one may always start the next.
    #[must_use]
    pub fn admit(&mut self, key: &ServiceKey) -> bool {
        let has_room = self.in_flight.contains(key) || self.offered.contains(key);
        let free = self.state == State::Open && (has_room || self.free() > 0);
        if free {
            self.offered.remove(key);
            self.take_place(key);
        } else if self.waits.insert(key.clone()) {
            self.waiting.push_back(key.clone());
        }
        free
    }

    /// It has what it may have waited for; it was looked at for another reason.
    fn take_place(&mut self, key: &ServiceKey) {
        self.in_flight.insert(key.clone());
        if self.waits.remove(key) {
            self.waiting.retain(|waiting| waiting != key);
        }
    }

    /// Takes word whether `key` has a rollout in flight now. Returns services that may ask again.
    ///
    /// One that somebody else began is under way whatever the bound; it takes up room like any other.
    #[must_use]
    pub fn note(&mut self, key: &ServiceKey, in_flight: bool) -> Vec<ServiceKey> {
        let was_offered = self.offered.remove(key);
        if in_flight {
            self.take_place(key);
            return Vec::new();
        }
        // Room that was offered and not taken is the next one's.
        if self.in_flight.remove(key) || was_offered { self.room() } else { Vec::new() }
    }

    /// Takes word of a verdict. The failure that is one too many shuts the gate, and says so once.
    #[must_use]
    pub fn verdict(&mut self, succeeded: bool) -> Option<Alert> {
        if succeeded {
            self.failures = 0;
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        // More than the limit: failures of rollouts that a start-up found under way count as well.
        let halts =
            self.state == State::Open && self.halt_after.is_some_and(|most| self.failures >= most);
        halts.then(|| self.state = State::Halted).and_then(|()| self.halted())
    }

    /// The services that have room now, oldest first.
    fn room(&mut self) -> Vec<ServiceKey> {
        if self.state != State::Open {
            return Vec::new();
        }
        let count = self.free().min(self.waiting.len());
        let ready: Vec<ServiceKey> = self.waiting.drain(..count).collect();
        ready.iter().for_each(|key| {
            self.waits.remove(key);
        });
        if self.most.is_some() {
            self.offered.extend(ready.iter().cloned());
        }
        ready
    }

    fn free(&self) -> usize {
        let taken = self.in_flight.len() + self.offered.len();
        self.most.map_or(usize::MAX, |most| most.saturating_sub(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture::key;

    #[test]
    fn nothing_starts_before_start_up_is_judged() {
        let mut gate = Gate::new(None, None);
        assert!(!gate.admit(&key("a")));
        assert!(!gate.admit(&key("a")), "it waits once");
        assert_eq!(gate.open(), [key("a")]);
        assert!(gate.admit(&key("a")));
    }

    #[test]
    fn a_shut_gate_stays_shut() {
        let mut gate = Gate::new(None, None);
        gate.shut();
        assert!(!gate.admit(&key("a")));
        assert!(gate.note(&key("b"), false).is_empty());
        assert_eq!(gate.resume(), Resumed::HeldOtherwise);
    }

    #[test]
    fn no_more_rollouts_than_asked_for_are_in_flight_and_the_oldest_waits_least() {
        let mut gate = Gate::new(Some(2), None);
        assert!(gate.open().is_empty());
        assert!(gate.admit(&key("a")) && gate.admit(&key("b")));
        assert!(!gate.admit(&key("c")) && !gate.admit(&key("d")));
        assert!(gate.admit(&key("a")), "its own next rollout takes its own place");
        assert_eq!(gate.note(&key("a"), false), [key("c")]);
        assert!(gate.admit(&key("c")));
        assert!(gate.note(&key("x"), false).is_empty(), "it had no place");
        assert_eq!(gate.note(&key("b"), false), [key("d")]);
    }

    #[test]
    fn room_that_a_service_does_not_take_is_the_next_ones() {
        let mut gate = Gate::new(Some(1), None);
        assert!(gate.open().is_empty());
        assert!(gate.admit(&key("a")));
        assert!(!gate.admit(&key("b")) && !gate.admit(&key("c")));
        assert_eq!(gate.note(&key("a"), false), [key("b")]);
        assert!(!gate.admit(&key("d")), "the room is kept for whom it was offered to");
        assert_eq!(gate.note(&key("b"), false), [key("c")], "paused meanwhile, for example");
        assert!(gate.admit(&key("c")));
    }

    #[test]
    fn a_service_that_was_let_in_waits_no_more() {
        let mut gate = Gate::new(Some(1), None);
        assert!(gate.open().is_empty());
        assert!(gate.admit(&key("a")));
        assert!(!gate.admit(&key("b")) && !gate.admit(&key("c")) && !gate.admit(&key("d")));
        assert_eq!(gate.note(&key("a"), false), [key("b")]);
        assert!(gate.admit(&key("b")));
        assert!(!gate.admit(&key("a")), "behind the others");
        assert_eq!(gate.note(&key("b"), false), [key("c")]);
        assert_eq!(gate.note(&key("c"), false), [key("d")]);
        assert_eq!(gate.note(&key("d"), false), [key("a")]);
    }

    #[test]
    fn what_somebody_else_began_takes_up_room_and_waits_no_more() {
        let mut gate = Gate::new(Some(1), None);
        assert!(gate.open().is_empty());
        assert!(gate.admit(&key("a")));
        assert!(!gate.admit(&key("b")) && !gate.admit(&key("c")));
        assert!(gate.note(&key("b"), true).is_empty(), "its YAML was applied with the new image");
        assert!(gate.note(&key("a"), false).is_empty(), "one is in flight all the same");
        assert!(!gate.admit(&key("a")));
        assert_eq!(gate.note(&key("b"), false), [key("c")]);
    }

    #[test]
    fn failures_in_a_row_halt_the_rest_and_a_success_between_them_does_not() {
        let mut gate = Gate::new(None, Some(2));
        assert!(gate.open().is_empty());
        assert_eq!(gate.verdict(false), None);
        assert_eq!(gate.verdict(true), None);
        assert_eq!(gate.verdict(false), None);
        assert_eq!(gate.verdict(false), Some(Alert::Halted { failures: 2 }));
        assert_eq!(gate.verdict(false), None, "said once");
        assert_eq!(gate.halted(), Some(Alert::Halted { failures: 3 }), "for who asks");
        assert!(!gate.admit(&key("a")));
        assert_eq!(gate.resume(), Resumed::GoesOn(vec![key("a")]));
        assert_eq!(gate.halted(), None);
        assert_eq!(gate.resume(), Resumed::WasNotHalted);
        assert!(gate.admit(&key("a")));
        assert_eq!(gate.verdict(false), None, "counted anew");
    }
    #[test]
    fn failures_before_the_gate_opens_do_not_carry_it_past_the_limit() {
        let mut gate = Gate::new(None, Some(2));
        for _ in 0..3 {
            assert_eq!(gate.verdict(false), None, "nothing begins yet that could be halted");
        }
        assert!(gate.open().is_empty());
        assert_eq!(gate.verdict(false), Some(Alert::Halted { failures: 4 }));
        assert!(!gate.admit(&key("a")));
    }
}
