//! The checkers. They know nothing of how depd works: only what it was shown, what it did, and what
//! really happened.
//!
//! A finding is noted and ends the run; nothing here changes the world.

use std::collections::{BTreeMap, BTreeSet};

use depd::model::{ImagePatch, ServiceKey, What, Workload};
use depd::reconcile::{Phase, Service};

use crate::cluster::{Cluster, Fate, asked, fate};
use crate::folder::Folder;

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

/// Where the story of one service stands, as it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Story {
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
    uids: BTreeMap<ServiceKey, Option<String>>,
    /// Everything said; those that were lost in a crash before they were safe are taken out.
    records: Vec<Option<Record>>,
    stories: BTreeMap<ServiceKey, Story>,
    /// How often each record reached the receiver.
    received: BTreeMap<usize, u32>,
    /// Those that depd itself began: what somebody else did is followed, whatever the bound.
    begun: BTreeSet<ServiceKey>,
    halted: bool,
    /// The next depd must know of it.
    pub halt_is_kept: bool,
    /// A failure was one too many, and is about to be entered.
    halting: bool,
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

    /// A worker takes a key.
    pub fn taken(&mut self, key: &ServiceKey) {
        if !self.in_hand.insert(key.clone()) {
            self.fail(format!("two hands: {key} was handed to a second worker"));
        }
    }

    pub fn let_go(&mut self, key: &ServiceKey) {
        self.in_hand.remove(key);
    }

    /// The process is gone, and everything that was not safe with it.
    pub fn crashed(&mut self, unsafe_records: &[usize], restored: BTreeMap<ServiceKey, Service>) {
        self.in_hand.clear();
        self.in_flight.clear();
        self.begun.clear();
        self.uids.clear();
        for id in unsafe_records {
            self.records[*id] = None;
        }
        for (key, service) in restored {
            self.note_state(&key, &service);
        }
        self.repeats_allowed = true;
    }

    fn note_state(&mut self, key: &ServiceKey, service: &Service) {
        let placed = matches!(service.phase, Phase::Patching(_) | Phase::Rolling(_));
        if placed {
            let is_fresh = self.in_flight.insert(key.clone());
            if is_fresh && matches!(service.phase, Phase::Patching(_)) {
                self.begun.insert(key.clone());
            }
        } else {
            self.in_flight.remove(key);
            self.begun.remove(key);
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
        most: Option<usize>,
    ) -> Vec<usize> {
        let before = self.uids.get(key).cloned().flatten();
        if let Some(service) = state {
            self.note_state(key, service);
            if most.is_some_and(|most| self.begun.len() > most) {
                let all = &self.begun;
                self.fail(format!("gate: {key} begins, and in flight are {all:?}"));
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
            self.check_truth(&record, cluster);
            ids.push(self.records.len());
            self.records.push(Some(record));
        }
        ids
    }

    /// What is told must have happened.
    fn check_truth(&mut self, record: &Record, cluster: &Cluster) {
        let key = &record.key;
        let image = |changes: &[depd::model::Change]| {
            changes.first().map(|change| change.to.to_string()).unwrap_or_default()
        };
        match &record.what {
            What::Succeeded { changes, .. } | What::Recovered { changes, .. } => {
                let image = image(changes);
                let uid = record.uid.clone().unwrap_or_default();
                if !cluster.reached.contains(&(uid.clone(), image.clone())) {
                    self.fail(format!("false verdict: {key} {uid} never ran {image} completely"));
                }
            }
            What::Failed { changes, .. } => {
                let image = image(changes);
                if !matches!(fate(&image), Fate::Missing | Fate::Crash) {
                    self.fail(format!("false verdict: {key} failed with {image}, which works"));
                }
            }
            What::Refused { changes, .. } => {
                let image = image(changes);
                if fate(&image) != Fate::Denied {
                    self.fail(format!("false verdict: {key}: {image} was never refused"));
                }
            }
            What::WorkloadDeleted | What::WorkloadReplaced => {
                let uid = record.uid_before.clone().unwrap_or_default();
                if !cluster.deleted.contains(&uid) {
                    self.fail(format!("false verdict: {key}: {uid} was never deleted"));
                }
            }
            _ => {}
        }
    }

    /// Records that are safe now, in order.
    pub fn committed(&mut self, ids: &[usize]) {
        for id in ids {
            let Some(record) = self.records[*id].clone() else { continue };
            let story = self.stories.entry(record.key.clone()).or_default();
            let (next, fits) = match (&record.what, *story) {
                (What::Started { .. }, _) => (Story::Open, true),
                (What::Succeeded { .. }, story) => (Story::Closed, story == Story::Open),
                (What::Failed { .. } | What::TimedOut { .. }, story) => {
                    (Story::Broken, story == Story::Open)
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
    }

    pub fn restarted(&mut self) {
        self.halted = self.halt_is_kept;
        self.halting = false;
    }

    /// A message reached its receiver.
    pub fn received(&mut self, id: usize) {
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
        folder: &Folder,
        gate_is_open: bool,
    ) {
        let key = &patch.key;
        let Some(seen) = seen else {
            return self.fail(format!("blind PATCH: {key} was not seen"));
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
        for target in &patch.targets {
            let image = target.image.as_str();
            if !folder.ever_asked(key, image) {
                self.fail(format!("torn content: no complete file of {key} asked for {image}"));
            }
        }
        if !gate_is_open {
            self.fail(format!("gate: {key} was patched before start-up was judged"));
        }
        if !self.in_flight.contains(key) {
            self.fail(format!("no intent: {key} was patched, and its state does not say so"));
        }
        if self.halted {
            self.fail(format!("gate: {key} was patched after too many failures"));
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

    /// Everything has come to rest.
    pub fn at_rest(&mut self, folder: &Folder, cluster: &Cluster, last: &BTreeSet<ServiceKey>) {
        for id in 0..self.records.len() {
            let Some(record) = &self.records[id] else { continue };
            if record.is_message && !self.store_lost && !self.received.contains_key(&id) {
                let Record { key, what, .. } = record;
                self.fail(format!("lost message: nobody heard of {key}: {what:?}"));
            }
        }
        self.check_ended();
        if self.halted {
            return;
        }
        for key in last {
            self.check_converged(key, folder, cluster);
        }
        for (key, written) in cluster.own.iter().filter(|(key, _)| !last.contains(*key)) {
            self.check_own(key, written, folder, cluster);
        }
    }

    /// Whatever was said to begin was said to end.
    fn check_ended(&mut self) {
        let open = self.stories.iter().find(|(_, story)| **story == Story::Open);
        if let Some((key, _)) = open.filter(|_| !self.store_lost) {
            self.fail(format!("no end: {key} began, and how it ended was not told"));
        }
    }

    /// depd changed the images, nobody did after it, and the file still asks for them: whatever died
    /// in between, somebody must have heard how it went.
    fn check_own(
        &mut self,
        key: &ServiceKey,
        (uid, image): &(String, String),
        folder: &Folder,
        cluster: &Cluster,
    ) {
        let is_same = |seen: &Workload| *seen.uid == **uid && *seen.containers[0].image == **image;
        let stands = cluster.get(key).is_some_and(|seen| is_same(&seen));
        if !stands || folder.last(key).as_deref() != Some(asked(image)) || self.store_lost {
            return;
        }
        if self.told(key, asked(image)).is_empty() {
            self.fail(format!("outcome: {key} was moved to {image}, and nothing was told"));
        }
    }

    /// The outcomes that were told of this image.
    fn told(&self, key: &ServiceKey, image: &str) -> Vec<&'static str> {
        let of_image = |what: &What| match what {
            What::Succeeded { changes, .. }
            | What::Failed { changes, .. }
            | What::TimedOut { changes, .. }
            | What::Refused { changes, .. } => {
                changes.iter().any(|change| asked(&change.to) == image)
            }
            _ => false,
        };
        let own = self.records.iter().flatten().filter(|r| r.key == *key && of_image(&r.what));
        own.map(|record| name(&record.what)).collect()
    }

    /// The last content was written after everybody else's last change, so it must be in force, and
    /// its outcome told.
    fn check_converged(&mut self, key: &ServiceKey, folder: &Folder, cluster: &Cluster) {
        let wish = folder.last(key).unwrap_or_default();
        let runs = cluster.image(key).unwrap_or_default();
        let fate = fate(&wish);
        if (asked(&runs) == wish) == (fate == Fate::Denied) {
            return self.fail(format!("not converged: {key} asks for {wish} and runs {runs}"));
        }
        let told = self.told(key, &wish);
        let fits = match fate {
            Fate::Good | Fate::Pinned => told == ["succeeded"],
            Fate::Hang => told == ["timed out"],
            Fate::Missing | Fate::Crash => told == ["failed"] || told == ["timed out"],
            Fate::Denied => told.first() == Some(&"refused"),
        };
        if !fits && (!self.store_lost || told.is_empty()) {
            self.fail(format!("outcome: of {key} with {wish} was told {told:?}"));
        }
    }
}

pub fn name(what: &What) -> &'static str {
    match what {
        What::Started { .. } => "started",
        What::Succeeded { .. } => "succeeded",
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
