//! Whether a rollout may start now: no mass accident, and no more in flight than asked for.
//!
//! The planner asks before every PATCH, and before a namespace is created. A service that is told to wait is remembered, and named
//! again when there is room or when the gate opens.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::model::{Alert, ServiceKey, Standing};

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
    /// How the last rollouts went.
    standing: Standing,
    in_flight: HashSet<ServiceKey>,
    /// Services that waited and were told that there is room; it is kept for them until they have
    /// looked, whether they take it or not.
    offered: HashSet<ServiceKey>,
    waiting: VecDeque<ServiceKey>,
    /// What each of those asked for last.
    waits: HashMap<ServiceKey, Ask>,
}

/// What a service asks the gate for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To start a rollout.
    Rollout,
    /// To put the last good images back. It takes up room like any rollout, and a halt is no reason
    /// against it.
    Return,
    /// To create its namespace. It takes up no room.
    Namespace,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Starting,
    Open,
    /// Not what the last run was about; only start-up opens it.
    Shut,
}

/// What came of the word to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// It was halted and is not any more.
    GoesOn {
        /// These services waited and have room.
        waiting: Vec<ServiceKey>,
        /// What is to be kept of it.
        standing: Standing,
    },
    /// There was nothing to resume.
    WasNotHalted,
    /// Start-up found what only a new start can answer.
    HeldOtherwise,
}

impl Gate {
    /// A gate that waits for start-up. What the last run was halted by halts this one, whatever its
    /// settings: only the word of a person ends that.
    #[must_use]
    pub fn new(most: Option<usize>, halt_after: Option<u32>, standing: Standing) -> Gate {
        Gate {
            state: State::Starting,
            most,
            halt_after,
            standing,
            in_flight: HashSet::new(),
            offered: HashSet::new(),
            waiting: VecDeque::new(),
            waits: HashMap::new(),
        }
    }

    /// Start-up found nothing that speaks against it. Returns the services that waited.
    #[must_use]
    pub fn open(&mut self) -> Vec<ServiceKey> {
        self.state = State::Open;
        self.room()
    }

    /// Start-up is over, and found nothing that speaks against changing the cluster. Failures in a row
    /// are another matter: they only keep rollouts from being started.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Failures in a row that halted everything else, until a person says to go on.
    #[must_use]
    pub fn halted_by(&self) -> Option<u32> {
        self.standing.halted.then_some(self.standing.failures)
    }

    fn lets_in(&self) -> bool {
        self.state == State::Open && !self.standing.halted
    }

    /// Nothing may start until start-up finds that nothing speaks against it any more, or until depd is
    /// started anew with the word of a person.
    pub fn shut(&mut self) {
        self.state = State::Shut;
    }

    /// Goes on after failures in a row; they are counted anew.
    #[must_use]
    pub fn resume(&mut self) -> Resumed {
        match self.state {
            State::Shut => Resumed::HeldOtherwise,
            State::Starting | State::Open if !self.standing.halted => Resumed::WasNotHalted,
            State::Starting | State::Open => {
                let standing = self.stands(0, false);
                Resumed::GoesOn { waiting: self.room(), standing }
            }
        }
    }

    /// Rollouts in flight, and services that wait for room among them, but none during a halt.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let waiting = if self.lets_in() { self.waiting.len() } else { 0 };
        self.in_flight.len() + waiting
    }

    /// Keeps those of `picked` that are in flight, and adds others up to `most` in all: whoever shows
    /// some of many sees the same ones again.
    pub fn pick_in_flight(&self, picked: &mut Vec<ServiceKey>, most: usize) {
        picked.retain(|key| self.in_flight.contains(key));
        picked.truncate(most);
        let mut more: Vec<ServiceKey> = Vec::new();
        let free = most - picked.len();
        more.extend(self.in_flight.iter().filter(|key| !picked.contains(key)).take(free).cloned());
        more.sort();
        picked.extend(more);
    }

    /// Nothing starts until a person says so.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.state == State::Shut || self.standing.halted
    }

    /// Asks for `key`. A service that already has a rollout may always start the next.
    #[must_use]
    pub fn admit(&mut self, key: &ServiceKey, ask: Ask) -> bool {
        let has_room = self.in_flight.contains(key) || self.offered.contains(key);
        let has_room = has_room || ask == Ask::Namespace || self.free() > 0;
        let lets_in = if ask == Ask::Return { self.is_open() } else { self.lets_in() };
        let admitted = lets_in && has_room;
        if admitted && ask != Ask::Namespace {
            self.offered.remove(key);
            self.take_place(key);
        } else if !admitted {
            self.wait(key, ask);
        }
        admitted
    }

    fn wait(&mut self, key: &ServiceKey, ask: Ask) {
        if self.waits.insert(key.clone(), ask).is_none() {
            self.waiting.push_back(key.clone());
        }
    }

    /// It has what it may have waited for; it was looked at for another reason.
    fn take_place(&mut self, key: &ServiceKey) {
        self.in_flight.insert(key.clone());
        if self.waits.remove(key).is_some() {
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

    /// Takes word of a verdict, and returns what is to be kept of it, where that is news. The failure
    /// that is one too many halts everything else, and says so once.
    #[must_use]
    pub fn verdict(&mut self, succeeded: bool) -> (Option<Standing>, Option<Alert>) {
        let Standing { failures: before, halted: was_halted, .. } = self.standing;
        let failures = if succeeded { 0 } else { before.saturating_add(1) };
        // Whoever is halted already stays so, even if what was under way succeeds.
        let failures = if was_halted { failures.max(before) } else { failures };
        // More than the limit: failures of rollouts that a start-up found under way count as well.
        let is_one_too_many = self.halt_after.is_some_and(|most| failures >= most);
        let halts = self.state == State::Open && !succeeded && !was_halted && is_one_too_many;
        let news = failures != before || halts;
        let standing = news.then(|| self.stands(failures, was_halted || halts));
        (standing, halts.then_some(Alert::Halted { failures }))
    }

    fn stands(&mut self, failures: u32, halted: bool) -> Standing {
        self.standing = Standing { turn: self.standing.turn + 1, failures, halted };
        self.standing
    }

    /// The services that have room now, oldest first.
    fn room(&mut self) -> Vec<ServiceKey> {
        if !self.is_open() {
            return Vec::new();
        }
        let (mut free, halted) = (self.free(), self.standing.halted);
        let mut ready = Vec::new();
        self.waiting.retain(|key| {
            let goes = free > 0 && (!halted || self.waits.get(key) == Some(&Ask::Return));
            if goes {
                free -= 1;
                self.waits.remove(key);
                ready.push(key.clone());
            }
            !goes
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
    fn what_was_picked_stays_picked_as_long_as_it_is_in_flight() {
        let mut gate = Gate::new(None, None, Standing::default());
        assert_eq!(gate.open(), []);
        let mut picked = Vec::new();
        for name in ["d", "c", "b"] {
            assert!(gate.admit(&key(name), Ask::Rollout));
        }
        gate.pick_in_flight(&mut picked, 8);
        assert_eq!(picked, [key("b"), key("c"), key("d")]);
        assert!(gate.admit(&key("a"), Ask::Rollout));
        assert_eq!(gate.note(&key("c"), false), []);
        gate.pick_in_flight(&mut picked, 3);
        assert_eq!(picked, [key("b"), key("d"), key("a")]);
        gate.pick_in_flight(&mut picked, 2);
        assert_eq!(picked, [key("b"), key("d")]);
    }

    #[test]
    fn nothing_starts_before_start_up_is_judged() {
        let mut gate = Gate::new(None, None, Standing::default());
        assert!(!gate.admit(&key("a"), Ask::Rollout));
        assert!(!gate.admit(&key("a"), Ask::Rollout), "it waits once");
        assert_eq!(gate.open(), [key("a")]);
        assert!(gate.admit(&key("a"), Ask::Rollout));
    }

    #[test]
    fn a_shut_gate_stays_shut() {
        let mut gate = Gate::new(None, None, Standing::default());
        gate.shut();
        assert!(!gate.admit(&key("a"), Ask::Rollout));
        assert!(gate.note(&key("b"), false).is_empty());
        assert_eq!(gate.resume(), Resumed::HeldOtherwise);
    }

    #[test]
    fn no_more_rollouts_than_asked_for_are_in_flight_and_the_oldest_waits_least() {
        let mut gate = Gate::new(Some(2), None, Standing::default());
        assert!(gate.open().is_empty());
        assert!(gate.admit(&key("a"), Ask::Rollout) && gate.admit(&key("b"), Ask::Rollout));
        assert!(!gate.admit(&key("c"), Ask::Rollout) && !gate.admit(&key("d"), Ask::Rollout));
        assert!(gate.admit(&key("a"), Ask::Rollout), "its own next rollout takes its own place");
        assert_eq!(gate.note(&key("a"), false), [key("c")]);
        assert!(gate.admit(&key("c"), Ask::Rollout));
        assert!(gate.note(&key("x"), false).is_empty(), "it had no place");
        assert_eq!(gate.note(&key("b"), false), [key("d")]);
    }

    #[test]
    fn room_that_a_service_does_not_take_is_the_next_ones() {
        let mut gate = Gate::new(Some(1), None, Standing::default());
        assert!(gate.open().is_empty());
        assert!(gate.admit(&key("a"), Ask::Rollout));
        assert!(!gate.admit(&key("b"), Ask::Rollout) && !gate.admit(&key("c"), Ask::Rollout));
        assert_eq!(gate.note(&key("a"), false), [key("b")]);
        assert!(
            !gate.admit(&key("d"), Ask::Rollout),
            "the room is kept for whom it was offered to"
        );
        assert_eq!(gate.note(&key("b"), false), [key("c")], "paused meanwhile, for example");
        assert!(gate.admit(&key("c"), Ask::Rollout));
    }

    #[test]
    fn a_service_that_was_let_in_waits_no_more() {
        let mut gate = Gate::new(Some(1), None, Standing::default());
        assert!(gate.open().is_empty());
        assert!(gate.admit(&key("a"), Ask::Rollout));
        assert!(
            !gate.admit(&key("b"), Ask::Rollout)
                && !gate.admit(&key("c"), Ask::Rollout)
                && !gate.admit(&key("d"), Ask::Rollout)
        );
        assert_eq!(gate.note(&key("a"), false), [key("b")]);
        assert!(gate.admit(&key("b"), Ask::Rollout));
        assert!(!gate.admit(&key("a"), Ask::Rollout), "behind the others");
        assert_eq!(gate.note(&key("b"), false), [key("c")]);
        assert_eq!(gate.note(&key("c"), false), [key("d")]);
        assert_eq!(gate.note(&key("d"), false), [key("a")]);
    }

    #[test]
    fn what_somebody_else_began_takes_up_room_and_waits_no_more() {
        let mut gate = Gate::new(Some(1), None, Standing::default());
        assert!(gate.open().is_empty());
        assert!(gate.admit(&key("a"), Ask::Rollout));
        assert!(!gate.admit(&key("b"), Ask::Rollout) && !gate.admit(&key("c"), Ask::Rollout));
        assert!(gate.note(&key("b"), true).is_empty(), "its YAML was applied with the new image");
        assert!(gate.note(&key("a"), false).is_empty(), "one is in flight all the same");
        assert!(!gate.admit(&key("a"), Ask::Rollout));
        assert_eq!(gate.note(&key("b"), false), [key("c")]);
    }

    /// A gate with this limit, open, after what the last run left.
    fn halting(halt_after: u32, standing: Standing) -> Gate {
        let mut gate = Gate::new(None, Some(halt_after), standing);
        assert!(gate.open().is_empty());
        gate
    }

    /// The alert that a verdict raises, and the standing that is to be kept: turn, failures, halted.
    fn judged(gate: &mut Gate, succeeded: bool) -> (bool, Option<(u64, u32, bool)>) {
        let (standing, alert) = gate.verdict(succeeded);
        (alert.is_some(), standing.map(|it| (it.turn, it.failures, it.halted)))
    }

    #[test]
    fn failures_in_a_row_halt_the_rest_and_a_success_between_them_does_not() {
        let mut gate = halting(2, Standing::default());
        assert_eq!(judged(&mut gate, true), (false, None), "nothing to keep");
        assert_eq!(judged(&mut gate, false), (false, Some((1, 1, false))));
        assert_eq!(judged(&mut gate, true), (false, Some((2, 0, false))));
        assert_eq!(judged(&mut gate, false), (false, Some((3, 1, false))));
        assert_eq!(judged(&mut gate, false), (true, Some((4, 2, true))));
        assert_eq!(judged(&mut gate, false), (false, Some((5, 3, true))), "said once");
        assert_eq!(judged(&mut gate, true), (false, None), "it takes a person");
        assert!(!gate.admit(&key("a"), Ask::Rollout) && gate.is_held() && gate.is_open());
        let standing = Standing { turn: 6, failures: 0, halted: false };
        assert_eq!(gate.resume(), Resumed::GoesOn { waiting: vec![key("a")], standing });
        assert_eq!(gate.resume(), Resumed::WasNotHalted);
        assert!(gate.admit(&key("a"), Ask::Rollout));
        assert_eq!(judged(&mut gate, false), (false, Some((7, 1, false))), "counted anew");
    }

    #[test]
    fn failures_before_the_gate_opens_do_not_carry_it_past_the_limit() {
        let mut gate = Gate::new(None, Some(2), Standing::default());
        for _ in 0..3 {
            assert!(!judged(&mut gate, false).0, "nothing begins yet that could be halted");
        }
        assert!(gate.open().is_empty());
        assert_eq!(gate.verdict(false).1, Some(Alert::Halted { failures: 4 }));
        assert!(!gate.admit(&key("a"), Ask::Rollout));
    }

    #[test]
    fn what_the_last_run_was_halted_by_halts_this_one_whatever_its_settings() {
        let left = Standing { turn: 0, failures: 3, halted: true };
        for halt_after in [None, Some(3), Some(50)] {
            let mut gate = Gate::new(None, halt_after, left);
            assert!(!gate.admit(&key("a"), Ask::Rollout));
            assert!(gate.open().is_empty() && !gate.admit(&key("a"), Ask::Rollout));
            assert_eq!((gate.halted_by(), gate.in_flight()), (Some(3), 0));
            let Resumed::GoesOn { waiting, .. } = gate.resume() else { panic!("it was halted") };
            assert_eq!((waiting, gate.halted_by()), (vec![key("a")], None));
        }
        let mut early = Gate::new(None, None, left);
        assert!(!early.admit(&key("a"), Ask::Rollout));
        let Resumed::GoesOn { waiting, .. } = early.resume() else { panic!("it was halted") };
        assert!(waiting.is_empty(), "start-up is not over");
        assert_eq!(early.open(), [key("a")]);
    }

    #[test]
    fn failures_of_the_last_run_count_in_this_one() {
        let mut gate = halting(3, Standing { turn: 0, failures: 2, halted: false });
        assert_eq!(judged(&mut gate, false), (true, Some((1, 3, true))));
    }

    #[test]
    fn a_way_back_waits_for_room_and_for_nothing_else() {
        let mut gate = Gate::new(Some(1), Some(1), Standing::default());
        assert!(gate.open().is_empty());
        assert!(gate.admit(&key("a"), Ask::Rollout));
        assert!(!gate.admit(&key("b"), Ask::Rollout) && !gate.admit(&key("c"), Ask::Return));
        assert!(judged(&mut gate, false).0, "halted");
        assert_eq!(gate.note(&key("a"), false), [key("c")], "the other one waits for a person");
        assert!(!gate.admit(&key("d"), Ask::Return), "the room is kept");
        assert!(gate.admit(&key("c"), Ask::Return));
        assert_eq!(gate.note(&key("c"), false), [key("d")]);
        assert!(gate.admit(&key("d"), Ask::Return));
        assert!(gate.note(&key("d"), false).is_empty());
        let Resumed::GoesOn { waiting, .. } = gate.resume() else { panic!("it was halted") };
        assert_eq!(waiting, [key("b")]);
    }

    #[test]
    fn a_namespace_is_held_like_a_rollout_and_takes_up_no_room() {
        let mut gate = Gate::new(Some(1), Some(1), Standing::default());
        assert!(!gate.admit(&key("a"), Ask::Namespace));
        assert_eq!(gate.open(), [key("a")]);
        assert!(gate.admit(&key("a"), Ask::Namespace));
        assert!(gate.note(&key("a"), false).is_empty());
        assert!(gate.admit(&key("b"), Ask::Rollout));
        assert!(gate.admit(&key("a"), Ask::Namespace), "a rollout is in flight all the same");
        assert!(judged(&mut gate, false).0, "halted");
        assert!(!gate.admit(&key("a"), Ask::Namespace));
    }
}
