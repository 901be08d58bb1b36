//! A look at everything the control loop has in hand: for the log at SIGUSR1, and for `depd once`.
//!
//! It takes no service in hand: one that a worker holds at the moment is counted as such.

use std::collections::BTreeMap;

use log::info;

use crate::model::ServiceKey;
use crate::reconcile::{Phase, Service};
use crate::worker::Floor;

/// Services that are named in the log; the rest is counted.
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
                Some(service) if service.is_let_go() && service.attempts > 0 => continue,
                Some(service) => (word(&service), failed(&service)),
                None => ("in work", false),
            };
            *survey.states.entry(word).or_default() += 1;
            if failed {
                survey.failed.push((key, word));
            }
        }
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
        for (key, word) in self.failed.iter().take(NAMED) {
            info!("state: {key}: {word}");
        }
        if let Some(more) = self.failed.len().checked_sub(NAMED).filter(|more| *more > 0) {
            info!("state: and {more} more");
        }
    }
}

fn word(service: &Service) -> &'static str {
    if service.told_problem.is_some() {
        return "bad file";
    }
    if service.told_misfit.is_some() {
        return "does not fit";
    }
    match &service.phase {
        Phase::New => "new",
        Phase::Waiting(_) => "pending",
        Phase::Patching(_) | Phase::Rolling(_) => "rolling out",
        Phase::Returning(_) | Phase::RollingBack(_) => "rolling back",
        Phase::Broken(_) => "failed",
        Phase::Refused(_) => "refused",
        Phase::Settled(_) if service.rejected.is_some() => "rolled back",
        Phase::Settled(_) => "deployed",
    }
}

fn failed(service: &Service) -> bool {
    matches!(word(service), "bad file" | "does not fit" | "failed" | "refused" | "rolled back")
}
