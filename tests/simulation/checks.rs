//! The checkers. They know nothing of how depd works: only what it was shown, what it did, and what
//! really happened.
//!
//! A finding is noted and ends the run; nothing here changes the world.

use std::collections::{BTreeMap, BTreeSet};

use depd::model::{FoundEnd, ImagePatch, Lateness, ServiceKey, What, Workload};
use depd::reconcile::{Phase, Service};

use crate::cluster::{Cluster, Scope};
use crate::folder::Folder;
use crate::sabotage::Sabotage;
use crate::setup::Setup;
use crate::truth;

/// One thing that depd said, in the order in which it became safe.
#[derive(Clone, Debug)]
pub struct Record {
    pub key: ServiceKey,
    pub what: What,
    /// The workload that it is about, where the state says so.
    pub uid: Option<String>,
    /// The uid before.
    pub uid_before: Option<String>,
    /// It goes to the receiver.
    pub is_message: bool,
}

/// What became safe, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The record of this number.
    Record(usize),
    /// The verdict before this one halted everything else.
    Halted,
    /// A person said to go on.
    Resumed,
}

/// Where the story of one service stands, as it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Story {
    #[default]
    Closed,
    /// Started.
    Open,
    /// Failed or timed out.
    Broken,
}

#[derive(Debug, Default)]
pub struct Checks {
    pub finding: Option<String>,
    in_hand: BTreeSet<ServiceKey>,
    /// Services that depd itself says have a rollout in flight.
    in_flight: BTreeSet<ServiceKey>,
    /// Those of them whose PATCH failed or has to wait, which keep no place from others until the next.
    waits: BTreeSet<ServiceKey>,
    uids: BTreeMap<ServiceKey, Option<String>>,
    /// Everything said; those that were lost in a crash before they were safe are taken out.
    pub records: Vec<Option<Record>>,
    pub stories: BTreeMap<ServiceKey, Story>,
    /// How often each record reached the receiver.
    pub received: BTreeMap<usize, u32>,
    /// Those that depd itself began: what somebody else did is followed, whatever the bound.
    begun: BTreeSet<ServiceKey>,
    /// Those of them whose PATCH was let through the gate and is still to be sent.
    let_through: BTreeSet<ServiceKey>,
    /// Those whose PATCH was let through before everything else was halted: it cannot be called back.
    ahead_of_halt: BTreeSet<ServiceKey>,
    /// Services that depd itself says put their last good images back.
    returning: BTreeSet<ServiceKey>,
    /// What a watch shows.
    pub shown: BTreeSet<Scope>,
    pub halted: bool,
    /// A failure was one too many, and is about to be entered.
    halting: bool,
    /// Failures in a row, as they were entered.
    failures: u32,
    /// The same as the next depd must know it.
    kept: (u32, bool),
    /// Start-up let what is seen count.
    pub judged: bool,
    /// Steps since the last fault.
    pub requests_in_calm: u32,
    /// Something was lost that allows repetition: a crash, an acknowledgement.
    pub repeats_allowed: bool,
    /// A disk that refused forgets in a crash what was said already.
    pub store_lost: bool,
    /// PATCHes that changed nothing because their reply was lost, or somebody was quicker.
    pub outcomes: BTreeMap<&'static str, u32>,
}

impl Checks {
    pub fn fail(&mut self, text: String) {
        self.finding.get_or_insert(text);
    }

    /// A worker takes a key; true as long as nobody else has it.
    pub fn taken(&mut self, key: &ServiceKey) -> bool {
        let is_free = self.in_hand.insert(key.clone());
        if !is_free {
            self.fail(format!("two hands: {key} was handed to a second worker"));
        }
        is_free
    }

    pub fn let_go(&mut self, key: &ServiceKey) {
        self.in_hand.remove(key);
    }

    /// The process is gone, and everything that was not safe with it.
    pub fn crashed(&mut self, not_kept: &[Said], restored: BTreeMap<ServiceKey, Service>) {
        self.in_hand.clear();
        self.in_flight.clear();
        self.waits.clear();
        self.let_through.clear();
        self.ahead_of_halt.clear();
        self.returning.clear();
        self.uids.clear();
        for said in not_kept {
            if let Said::Record(id) = said {
                self.records[*id] = None;
            }
        }
        let begun = std::mem::take(&mut self.begun);
        for (key, service) in restored {
            self.note_state(&key, &service);
            if begun.contains(&key) && self.in_flight.contains(&key) {
                self.begun.insert(key);
            }
        }
        self.repeats_allowed = true;
    }

    fn note_state(&mut self, key: &ServiceKey, service: &Service) {
        let returns = matches!(service.phase, Phase::Returning(_) | Phase::RollingBack(_));
        match returns {
            true => self.returning.insert(key.clone()),
            false => self.returning.remove(key),
        };
        match matches!(service.phase, Phase::Patching(_)) && service.has_place() {
            true => self.let_through.insert(key.clone()),
            false => self.let_through.remove(key),
        };
        let placed = returns || matches!(service.phase, Phase::Patching(_) | Phase::Rolling(_));
        if placed {
            let is_fresh = self.in_flight.insert(key.clone());
            if is_fresh && matches!(service.phase, Phase::Patching(_) | Phase::Returning(_)) {
                let places = if service.has_place() { &mut self.begun } else { &mut self.waits };
                places.insert(key.clone());
            }
        } else {
            self.in_flight.remove(key);
            self.begun.remove(key);
            self.waits.remove(key);
        }
        self.uids.insert(key.clone(), service.phase.uid().map(str::to_owned));
    }

    /// The journal was told something; returns the numbers of what must be kept.
    pub fn entered(
        &mut self,
        key: &ServiceKey,
        state: Option<&Service>,
        whats: &[(What, bool)],
        cluster: &Cluster,
        setup: &Setup,
    ) -> Vec<usize> {
        let before = self.uids.get(key).cloned().flatten();
        if let Some(service) = state {
            self.note_state(key, service);
            if setup.max_rollouts.is_some_and(|most| self.begun.len() > most) {
                let all = &self.begun;
                self.fail(format!("over the bound: {key} begins, and in flight are {all:?}"));
            }
        }
        let uid = self.uids.get(key).cloned().flatten();
        let mut ids = Vec::new();
        for (what, is_message) in whats {
            let record = Record {
                key: key.clone(),
                what: what.clone(),
                uid: uid.clone(),
                uid_before: before.clone(),
                is_message: *is_message,
            };
            self.check_truth(&record, cluster, setup);
            self.failures = counted(self.failures, &record.what);
            ids.push(self.records.len());
            self.records.push(Some(record));
        }
        let too_many = setup.halt_after.is_some_and(|most| self.failures >= most);
        let counts = [None, Some(Sabotage::ForgottenHalt), Some(Sabotage::NoHalt)];
        if too_many && counts.contains(&setup.sabotage) {
            self.check_halted(key);
        }
        ids
    }

    /// Failures before start-up was judged halt nothing yet, but the next one does.
    fn check_halted(&mut self, key: &ServiceKey) {
        if !self.halted && !self.store_lost && self.judged {
            let failures = self.failures;
            self.fail(format!("halt: {key} is failure {failures} in a row, and nothing is halted"));
        }
    }

    /// What is told must have happened.
    fn check_truth(&mut self, record: &Record, cluster: &Cluster, setup: &Setup) {
        if matches!(record.what, What::TimedOut { lateness: Lateness::NoProgress(_), .. }) {
            self.check_sight(&record.key, cluster);
        }
        if let Some(falsehood) = truth::falsehood(record, cluster, setup) {
            self.fail(format!("{falsehood} ({})", record.key));
        }
    }

    /// What is safe now, in order.
    pub fn committed(&mut self, all: &[Said]) {
        for said in all {
            let id = match said {
                Said::Record(id) => id,
                Said::Halted => {
                    self.kept.1 = true;
                    continue;
                }
                Said::Resumed => {
                    self.kept = (0, false);
                    continue;
                }
            };
            let Some(record) = self.records[*id].clone() else { continue };
            self.kept.0 = counted(self.kept.0, &record.what);
            let story = self.stories.entry(record.key.clone()).or_default();
            let (next, fits) = match (&record.what, *story) {
                (What::Started { .. }, _) => (Story::Open, true),
                (What::Succeeded { .. } | What::RolledBack { .. }, story) => {
                    (Story::Closed, story == Story::Open)
                }
                // The API server may refuse the way back, which then never began.
                (What::RollbackFailed { .. }, story) => (Story::Closed, story != Story::Closed),
                (What::Failed { .. } | What::TimedOut { .. }, story) => {
                    (Story::Broken, story == Story::Open)
                }
                (What::Found { end, .. }, story) => {
                    let next = match end {
                        FoundEnd::Well => Story::Closed,
                        FoundEnd::Late | FoundEnd::Failed => Story::Broken,
                    };
                    (next, story == Story::Open)
                }
                (What::Recovered { .. }, story) => (Story::Closed, story == Story::Broken),
                (
                    What::Superseded { .. }
                    | What::WorkloadDeleted
                    | What::WorkloadReplaced
                    | What::Unmanaged,
                    _,
                ) => (Story::Closed, true),
                (_, story) => (story, true),
            };
            let before = std::mem::replace(story, next);
            if !fits && !self.store_lost {
                let Record { key, what, .. } = &record;
                self.fail(format!("told twice: {key} was {before:?}, and then: {what:?}"));
            }
            *self.outcomes.entry(name(&record.what)).or_default() += 1;
        }
    }

    pub fn alert(&mut self, is_halt: bool) {
        if is_halt {
            self.ahead_of_halt = self.let_through.clone();
        }
        self.halted |= is_halt;
        self.halting |= is_halt;
    }

    /// The verdict that halts everything else, if this is it.
    pub fn halts_now(&mut self) -> bool {
        std::mem::take(&mut self.halting)
    }

    /// A person said to go on.
    pub fn resumed(&mut self) {
        self.halted = false;
        self.failures = 0;
    }

    /// What a depd knows that begins now.
    pub fn restarted(&mut self) {
        (self.failures, self.halted) = self.kept;
        self.halting = false;
        self.judged = false;
        self.shown.clear();
    }

    /// A message reached its receiver.
    pub fn received(&mut self, id: usize) {
        let last = self.received.last_key_value().map(|(last, _)| *last);
        if let Some(last) = last.filter(|last| *last > id && !self.received.contains_key(&id)) {
            self.fail(format!("out of order: message {id} came after {last} at the first"));
        }
        let times = self.received.entry(id).or_default();
        *times += 1;
        let times = *times;
        if times > 1 && !self.repeats_allowed {
            self.fail(format!("repeated message: {id} came {times} times, and nothing was lost"));
        }
    }

    /// A PATCH leaves depd, which was planned for `seen`.
    pub fn patch_sent(
        &mut self,
        patch: &ImagePatch,
        seen: Option<&Workload>,
        (folder, cluster): (&Folder, &Cluster),
        gate_is_open: bool,
    ) {
        let key = &patch.key;
        if self.waits.remove(key) {
            self.begun.insert(key.clone());
        }
        let Some(seen) = seen else {
            return self.fail(format!("blind PATCH: {key} was not seen"));
        };
        // Not what depd thinks of it, but what was there when it was seen.
        let Some(seen) = cluster.as_it_was(seen) else {
            let version = seen.resource_version;
            return self.fail(format!("blind PATCH: {key} {} had no version {version}", seen.uid));
        };
        let differs = |target: &depd::model::Target| {
            seen.containers
                .get(target.index)
                .is_some_and(|own| *own.image != *target.image.as_str())
        };
        if !patch.targets.iter().any(differs) {
            self.fail(format!("needless PATCH: {key} runs {:?} already", patch.targets));
        }
        if seen.uid != patch.uid {
            self.fail(format!("wrong uid: {key} is {}, the PATCH says {}", seen.uid, patch.uid));
        }
        if seen.paused || seen.held_by_annotation {
            self.fail(format!("held: {key} is paused and was patched"));
        }
        let returns = self.returning.contains(key);
        for target in &patch.targets {
            let image = target.image.as_str();
            if !returns
                && seen.containers.get(target.index).is_some_and(|own| own.image != target.expected)
            {
                self.fail(format!("blind PATCH: {key} does not say what image was seen"));
            }
            if returns {
                if !cluster.reached.contains_key(&(seen.uid.to_string(), image.to_owned())) {
                    self.fail(format!("bad way back: {key} never ran {image} completely"));
                }
                if *seen.containers[0].image != *target.expected {
                    self.fail(format!("way back over others: {key} runs what somebody else chose"));
                }
            } else if !folder.ever_asked(key, image) {
                self.fail(format!("torn content: no complete file of {key} asked for {image}"));
            }
        }
        if !gate_is_open {
            self.fail(format!("too early: {key} was patched before start-up was judged"));
        }
        if !self.in_flight.contains(key) {
            self.fail(format!("no intent: {key} was patched, and its state does not say so"));
        }
        self.let_through.remove(key);
        if self.halted && !returns && !self.ahead_of_halt.remove(key) {
            self.fail(format!("after a halt: {key} was patched after too many failures"));
        }
    }

    /// A PATCH failed, as far as its sender knows.
    pub fn patch_failed(&mut self, key: &ServiceKey) {
        if self.begun.remove(key) {
            self.waits.insert(key.clone());
        }
    }

    /// A PATCH was applied to the workload with this uid.
    pub fn patch_applied(&mut self, patch: &ImagePatch, uid: &str) {
        if *patch.uid != *uid {
            self.fail(format!("wrong uid: {} hit {uid}, was meant for {}", patch.key, patch.uid));
        }
    }

    /// A request in the calm after the last fault.
    pub fn request_in_calm(&mut self, limit: u32) {
        self.requests_in_calm += 1;
        if self.requests_in_calm > limit {
            self.fail(format!("no rest: more than {limit} requests after the last fault"));
        }
    }
}

/// Failures in a row after this.
fn counted(before: u32, what: &What) -> u32 {
    match what {
        What::Succeeded { .. } => 0,
        What::Failed { .. }
        | What::TimedOut { .. }
        | What::Refused { .. }
        | What::ImageMissing { .. } => before + 1,
        _ => before,
    }
}

pub fn name(what: &What) -> &'static str {
    match what {
        What::Started { .. } => "started",
        What::Succeeded { .. } => "succeeded",
        What::RolledBack { .. } => "rolled back",
        What::RollbackFailed { .. } => "rollback failed",
        What::Rejected { .. } => "rejected",
        What::Failed { .. } => "failed",
        What::TimedOut { .. } => "timed out",
        What::Recovered { .. } => "recovered",
        What::Superseded { .. } => "superseded",
        What::Refused { .. } => "refused",
        What::WorkloadDeleted | What::WorkloadReplaced => "workload gone",
        What::Drift { .. } => "drift",
        What::Held(..) => "held",
        What::Unreachable(_) => "unreachable",
        What::NotPermitted(_) => "not permitted",
        What::BadFile(_) => "bad file",
        _ => "other",
    }
}
