//! The rollouts in flight, for somebody who watches. `[E]`
//!
//! Whoever looks must not hold up the workers: only as many services as are shown are looked at, each
//! lock is held for a moment, and a service that a worker has in hand is passed over. Nobody looks
//! while nothing is in flight: the [`Bell`] wakes the one who waits when a service took a step.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::model::{Replicas, Rollout, ServiceKey, Sign};
use crate::reconcile::{Intent, Phase, Service};
use crate::worker::Floor;

/// Rung at every step of a service; never blocks.
#[derive(Clone, Debug)]
pub struct Bell {
    rope: Sender<()>,
    sound: Receiver<()>,
}

impl Default for Bell {
    fn default() -> Bell {
        let (rope, sound) = bounded(1);
        Bell { rope, sound }
    }
}

impl Bell {
    /// Rings. One that rings already says enough.
    pub fn ring(&self) {
        let _ = self.rope.try_send(());
    }
}

/// A view of the daemon at work, which does not keep it alive.
#[derive(Debug)]
pub struct Progress {
    floor: Weak<Floor>,
    bell: Bell,
    picked: Vec<ServiceKey>,
    last: Flights,
}

/// The rollouts in flight at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flights {
    /// Those that are shown, the ones that were shown before first.
    pub shown: Vec<Flight>,
    /// All of them, and those that wait for room.
    pub count: usize,
}

/// One rollout in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Whose.
    pub key: ServiceKey,
    /// The images that it brings.
    pub images: Vec<Box<str>>,
    /// It puts back what was there before.
    pub is_back: bool,
    /// How far it is; `None` while its PATCH is under way.
    pub state: Option<State>,
}

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Pods; none of them updated as long as the controller has not counted.
    pub replicas: Replicas,
    /// Since the PATCH.
    pub age: Duration,
    /// The sign of failure that shows.
    pub suspicion: Option<Sign>,
}

impl Flights {
    /// Nothing is different but the time.
    #[must_use]
    pub fn is_like(&self, other: &Flights) -> bool {
        let timeless = |flight: &Flight| {
            let state = flight.state.as_ref();
            (flight.key.clone(), state.map(|state| (state.replicas, state.suspicion)))
        };
        self.count == other.count
            && self.shown.iter().map(timeless).eq(other.shown.iter().map(timeless))
    }
}

impl Progress {
    /// Of a daemon whose journal rings the bell.
    pub(super) fn new(floor: &Arc<Floor>, bell: Bell) -> Progress {
        Progress {
            floor: Arc::downgrade(floor),
            bell,
            picked: Vec::new(),
            last: Flights::default(),
        }
    }

    /// Where the bell is heard.
    #[must_use]
    pub fn sound(&self) -> Receiver<()> {
        self.bell.sound.clone()
    }

    /// At most so many of the rollouts in flight; `None` when the daemon is gone.
    pub fn look(&mut self, most: usize) -> Option<Flights> {
        let floor = self.floor.upgrade()?;
        let count = {
            let gate = floor.gate.lock();
            gate.pick_in_flight(&mut self.picked, most);
            gate.in_flight()
        };
        let look = |key| match flight(&floor, key) {
            Look::Found(flight) => Some(flight),
            // As it was seen last.
            Look::InHand => self.last.shown.iter().find(|flight| flight.key == *key).cloned(),
            Look::Over => None,
        };
        let shown = self.picked.iter().filter_map(look).collect();
        self.last = Flights { shown, count };
        Some(self.last.clone())
    }
}

/// What is found at a service.
enum Look {
    Found(Flight),
    /// A worker has it.
    InHand,
    /// It is not in flight any more.
    Over,
}

fn flight(floor: &Floor, key: &ServiceKey) -> Look {
    let Some(service) = floor.services.get(key) else { return Look::Over };
    let Some(service) = service.try_lock().map(|service| Service::clone(&service)) else {
        return Look::InHand;
    };
    let sent = |intent: Intent, is_back| Flight {
        key: key.clone(),
        images: intent.changes.into_iter().map(|change| change.to).collect(),
        is_back,
        state: None,
    };
    match service.phase {
        Phase::Patching(intent) => Look::Found(sent(intent, false)),
        Phase::Returning(intent) => Look::Found(sent(intent, true)),
        Phase::Rolling(rollout) => Look::Found(under_way(floor, key, *rollout, false)),
        Phase::RollingBack(rollout) => Look::Found(under_way(floor, key, *rollout, true)),
        _ => Look::Over,
    }
}

fn under_way(floor: &Floor, key: &ServiceKey, rollout: Rollout, is_back: bool) -> Flight {
    let workload = floor.workloads.read().get(key);
    let replicas = workload.map_or_else(Replicas::default, |workload| {
        let counted = workload.observed_generation >= rollout.generation;
        let updated = if counted { workload.replicas.updated } else { 0 };
        Replicas { updated, ..workload.replicas }
    });
    Flight {
        key: key.clone(),
        images: rollout.changes.into_iter().map(|change| change.to).collect(),
        is_back,
        state: Some(State {
            replicas,
            age: (floor.clock)().since(rollout.started),
            suspicion: rollout.suspicion.map(|(sign, _)| sign),
        }),
    }
}
