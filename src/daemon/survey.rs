//! A look at everything the control loop has in hand: for the log at SIGUSR1, and for `depd once`.
//!
//! It takes no service in hand: one that a worker holds at the moment is counted as such.

use std::collections::BTreeMap;

use log::info;

use crate::model::ServiceKey;
use crate::reconcile::{Service, ServiceState};
use crate::worker::Floor;

/// Services that are named in the log, of those that failed and of the others; the rest is counted.
const NAMED: usize = 50;

/// Where everything stands at one moment.
#[derive(Debug, Default)]
pub struct Survey {
    /// Keys that wait for a worker or are with one.
    pub queued: usize,
    /// Rollouts in flight, and services that a bound on them holds back.
    pub in_flight: usize,
    /// Nothing starts until a person says so; the log and a message say why.
    pub held: bool,
    /// How many services are in which state.
    pub states: BTreeMap<&'static str, usize>,
    /// Services that are under way or wait for a person, with what they do; sorted.
    pub waiting: Vec<(ServiceKey, &'static str)>,
    /// Services that do not run what their files ask for, and will not by themselves; sorted.
    pub failed: Vec<(ServiceKey, &'static str)>,
}

impl Survey {
    /// Of everything.
    pub fn of(floor: &Floor) -> Survey {
        let (in_flight, held) = {
            let gate = floor.gate.lock();
            (gate.in_flight(), gate.is_held())
        };
        let queued = floor.queue.len();
        let mut survey = Survey { queued, in_flight, held, ..Survey::default() };
        for (key, service) in floor.services.all() {
            let (word, failed) = match service.try_lock() {
                Some(service) if *service != Service::default() && service.is_let_go() => continue,
                Some(service) => {
                    let state = ServiceState::of(&service);
                    (word(state), failed(state))
                }
                None => ("in work", false),
            };
            *survey.states.entry(word).or_default() += 1;
            if failed {
                survey.failed.push((key, word));
            } else if !matches!(word, "new" | "deployed") {
                survey.waiting.push((key, word));
            }
        }
        survey.waiting.sort();
        survey.failed.sort();
        survey
    }

    /// Nothing is under way: every service has its verdict, or waits for somebody.
    pub fn is_quiet(&self) -> bool {
        self.queued == 0 && self.in_flight == 0 && !self.states.contains_key("in work")
    }

    /// Writes it into the log.
    pub fn log(&self) {
        let states: Vec<String> =
            self.states.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let states = if states.is_empty() { "no services".to_owned() } else { states.join(", ") };
        let (queued, in_flight) = (self.queued, self.in_flight);
        info!("state: {states}; {in_flight} rollouts in flight, {queued} services in the queue");
        for named in [&self.failed, &self.waiting] {
            for (key, word) in named.iter().take(NAMED) {
                info!("state: {key}: {word}");
            }
            if let Some(more) = named.len().checked_sub(NAMED).filter(|more| *more > 0) {
                info!("state: and {more} more");
            }
        }
    }
}

fn word(state: ServiceState) -> &'static str {
    match state {
        // Keys in the queue are counted beside it.
        ServiceState::Queued => "new",
        state => state.word(),
    }
}

fn failed(state: ServiceState) -> bool {
    matches!(
        state,
        ServiceState::BadFile
            | ServiceState::DoesNotFit
            | ServiceState::Failed
            | ServiceState::Refused
            | ServiceState::RolledBack
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Hold, Image, ImageSet, Kind, What};
    use crate::reconcile::{Phase, Settled};

    #[test]
    fn what_is_held_or_drifted_is_not_called_deployed() {
        let desired = ImageSet::Single(Image::parse("nginx:1").expect("valid"));
        let settled = Settled { desired, uid: "u".into(), changes: Vec::new() };
        let deployed = Service { phase: Phase::Settled(settled), ..Service::default() };
        let hold = Some((Hold::Annotation, Kind::Deployment));
        let held = Service { hold, ..deployed.clone() };
        let drift = What::Drift { changes: Vec::new(), corrected: false };
        let drifted = Service { complaint: Some(drift), ..deployed.clone() };
        assert_eq!(
            [deployed, held, drifted].each_ref().map(|it| word(ServiceState::of(it))),
            ["deployed", "held", "drifted"]
        );
    }
}
