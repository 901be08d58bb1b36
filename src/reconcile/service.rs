//! The state of one service: which phase it is in, and what was said about it already.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::GivenUp;
use super::after::{FAILURES_TO_SAY, MISSING_RETRY};
use crate::model::{
    Change, Condition, Hold, ImageSet, Kind, Moment, Problem, PullSecrets, Rollout, What,
};

/// All that depd remembers about one service between two looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Where it stands.
    pub phase: Phase,
    /// What about the workload is wrong or holds it up, as it was last told; told again only when
    /// it changes. Over when a look finds nothing wrong.
    pub complaint: Option<What>,
    /// The same about requests that do not get through. Over when one does, or the wish changes.
    pub request_complaint: Option<What>,
    /// The problem of the dep file that was last told.
    pub told_problem: Option<Problem>,
    /// Why the dep file does not fit the workload, as it was last told.
    pub told_misfit: Option<Problem>,
    /// The content of the file that was rolled back: not tried again until the file changes, or
    /// somebody asks for it (see [`super::retry`]).
    #[serde(default)]
    pub rejected: Option<ImageSet>,
    /// The images that worked last.
    #[serde(default)]
    pub good: Option<Good>,
    /// The rollout that was in flight when the file last changed, until another one begins.
    #[serde(default)]
    pub given_up: Option<GivenUp>,
    /// Who holds the workload, whether there is something to do for it or not.
    #[serde(default)]
    pub hold: Option<(Hold, Kind)>,
    /// Rollouts so far; numbers the messages and the history.
    pub attempts: u32,
    /// Corrections of drift in a row that did not last.
    pub corrections: u32,
    /// When the last of them was made.
    pub corrected_at: Option<Moment>,
    /// Failed requests in a row.
    pub failures: u32,
    /// PATCHes in a row that were refused for want of a right.
    #[serde(skip)]
    pub denials: u32,
    /// No request before this. It stays until the next request, however long that waits.
    pub retry_at: Option<Moment>,
}

/// Where a service stands. Most are settled, so what is larger is boxed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing was done yet for what the file asks.
    #[default]
    New,
    /// Pending: the workload or its namespace is not there.
    Waiting(Waiting),
    /// A PATCH is about to be sent, or was sent and its reply is not known.
    Patching(Intent),
    /// The PATCH went through; the rollout is followed to its verdict.
    Rolling(Box<Rollout>),
    /// The rollout failed or timed out; it may still recover.
    Broken(Box<Rollout>),
    /// The rollout failed, and a PATCH that puts the last good images back is about to be sent, or was
    /// sent and its reply is not known.
    Returning(Intent),
    /// The last good images were put back; that is followed to its verdict.
    RollingBack(Box<Rollout>),
    /// The cluster agreed with the file when it was last looked at after a change of the file.
    Settled(Settled),
    /// The API server refused the change; final until the file or the workload changes.
    Refused(Refusal),
}

/// A service whose workload is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What the file asked for when this was found.
    pub desired: ImageSet,
    /// The namespace was looked at, and there is nothing to do but wait.
    pub looked: bool,
    /// The deletion of the workload was told, which says enough.
    pub told: bool,
    /// The namespace may be created: the file's content is new, and no person deleted anything.
    pub may_create: bool,
    /// The namespace was found missing and is to be created next.
    pub create: bool,
    /// What is known of that.
    #[serde(default)]
    pub creation: Creation,
}

/// What is known of the creation of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Creation {
    /// It was not asked for, or that was refused.
    #[default]
    NotAsked,
    /// It is asked for now.
    Asked,
    /// It was asked for, and nobody knows what came of it: a namespace that is there is ours, and one
    /// that is not may have been deleted by a person since.
    InDoubt,
}

/// A PATCH that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// What the file asks for.
    pub desired: ImageSet,
    /// The workload it is meant for.
    pub uid: Box<str>,
    /// `metadata.generation` when it was planned.
    pub generation: i64,
    /// The condition `Progressing` at that time: what it says is not about this PATCH.
    #[serde(default)]
    pub progressing: Option<Condition>,
    /// What it changes.
    pub changes: Vec<Change>,
    /// A guard of the PATCH failed: look at the workload before the next attempt.
    pub look_first: bool,
    /// How many guards failed in a row.
    pub misses: u8,
    /// Of a way back: when the rollout began that it undoes.
    #[serde(default)]
    pub undoes: Option<Moment>,
    /// The images were looked for in ECR, with nothing against them; found out again after a restart.
    #[serde(skip)]
    pub checked: bool,
    /// The namespace has its pull secret, and this is what the template needs to use it; found out again
    /// after a restart.
    #[serde(skip)]
    pub pull_secrets: Option<PullSecrets>,
}

/// A service that needs nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// What the file asked for.
    pub desired: ImageSet,
    /// The workload that agreed.
    pub uid: Box<str>,
    /// What the last rollout changed, with the images as the API server stored them.
    pub changes: Vec<Change>,
}

impl Settled {
    /// Nothing more is done for what was intended.
    pub(super) fn of(intent: &Intent) -> Settled {
        let Intent { desired, uid, changes, .. } = intent.clone();
        Settled { desired, uid, changes }
    }
}

/// The images that a workload was last seen to work with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// The workload.
    pub uid: Box<str>,
    /// Container and image, as the API server stored it.
    pub images: Vec<(Box<str>, Box<str>)>,
}

/// A change that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What the file asked for.
    pub desired: ImageSet,
    /// The workload that it was asked of, at this generation.
    pub uid: Box<str>,
    /// `metadata.generation` at that time.
    pub generation: i64,
    /// When it is asked again all the same: an image that was missing may have been pushed since.
    #[serde(default)]
    pub again: Option<Moment>,
}

impl Phase {
    /// The uid of the workload that this phase is about.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        match self {
            Phase::New | Phase::Waiting(_) => None,
            Phase::Patching(intent) | Phase::Returning(intent) => Some(&intent.uid),
            Phase::Rolling(rollout) | Phase::Broken(rollout) | Phase::RollingBack(rollout) => {
                Some(&rollout.uid)
            }
            Phase::Settled(settled) => Some(&settled.uid),
            Phase::Refused(refusal) => Some(&refusal.uid),
        }
    }

    /// What the file asked for when this phase was entered.
    #[must_use]
    pub fn desired(&self) -> Option<&ImageSet> {
        match self {
            Phase::New => None,
            Phase::Waiting(waiting) => Some(&waiting.desired),
            Phase::Patching(intent) | Phase::Returning(intent) => Some(&intent.desired),
            Phase::Rolling(rollout) | Phase::Broken(rollout) | Phase::RollingBack(rollout) => {
                Some(&rollout.desired)
            }
            Phase::Settled(settled) => Some(&settled.desired),
            Phase::Refused(refusal) => Some(&refusal.desired),
        }
    }

    /// What the last PATCH of this phase changed, as far as it is known.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        match self {
            Phase::New | Phase::Waiting(_) | Phase::Refused(_) => &[],
            Phase::Patching(intent) | Phase::Returning(intent) => &intent.changes,
            Phase::Rolling(rollout) | Phase::Broken(rollout) | Phase::RollingBack(rollout) => {
                &rollout.changes
            }
            Phase::Settled(settled) => &settled.changes,
        }
    }
}

impl Service {
    /// What must survive a restart: everything but counts, suspicions and pauses, which the next
    /// look finds out again.
    #[must_use]
    pub fn durable(&self) -> Service {
        let mut kept = Service { failures: 0, denials: 0, retry_at: None, ..self.clone() };
        if let Phase::Rolling(rollout) | Phase::Broken(rollout) | Phase::RollingBack(rollout) =
            &mut kept.phase
        {
            rollout.best = None;
            rollout.progressed = rollout.started;
            rollout.gaps_until = rollout.started;
            rollout.relapses = Duration::ZERO;
            rollout.template = None;
            rollout.asked_for = 0;
            rollout.asked_early = Vec::new();
            rollout.suspicion = None;
            rollout.ever_ready = false;
            rollout.advanced = None;
            rollout.log_tail = None;
            rollout.warning = None;
            rollout.question = None;
            rollout.looked = false;
        }
        if let Phase::Patching(intent) = &mut kept.phase {
            intent.checked = false;
            intent.pull_secrets = None;
        }
        kept
    }

    /// Goes on after a restart. The time while nobody looked does not count as lack of progress, and
    /// where a clock that was ahead has been put right since, nothing that was kept lies in the future.
    #[must_use]
    pub fn resumed(mut self, now: Moment) -> Service {
        self.corrected_at = self.corrected_at.map(|at| at.min(now));
        match &mut self.phase {
            Phase::Rolling(rollout) | Phase::RollingBack(rollout) => {
                rollout.started = rollout.started.min(now);
                rollout.progressed = now;
                rollout.gaps_until = now;
            }
            Phase::Refused(refusal) => {
                refusal.again = refusal.again.map(|at| at.min(now + MISSING_RETRY));
            }
            // Looked at first: it must not be created again.
            Phase::Waiting(waiting) if waiting.creation != Creation::NotAsked => {
                waiting.creation = Creation::InDoubt;
                waiting.create = false;
            }
            _ => {}
        }
        self
    }

    /// What is left of a service whose file is gone, should it come back: the number of its rollouts, so
    /// that the next one is not taken for the first, that of which the verdict was not waited for, and
    /// the content that was rolled back, which is no better for having been away.
    #[must_use]
    pub fn let_go(&self) -> Service {
        let given_up = self.under_way().or_else(|| self.given_up.clone());
        let rejected = self.rejected.clone();
        Service { attempts: self.attempts, given_up, rejected, ..Service::default() }
    }

    /// Nothing is known of it but that.
    #[must_use]
    pub fn is_let_go(&self) -> bool {
        *self == self.let_go()
    }

    /// It counts among the rollouts that may be in flight at once. A PATCH that waits to be sent once
    /// more does not: what keeps it may last for good, and would keep all others as well. Only after
    /// the first failures it does, as the PATCH may have gone through all the same.
    #[must_use]
    pub fn has_place(&self) -> bool {
        let is_in_doubt = (1..FAILURES_TO_SAY).contains(&self.failures);
        self.is_patching() && (self.retry_at.is_none() || is_in_doubt) || self.in_flight()
    }

    /// Nothing is sent for a PATCH that was planned, for as long as things are as they are.
    pub(super) fn give_place_back(&mut self, now: Moment) {
        if self.is_patching() {
            self.failures = 0;
            self.retry_at.get_or_insert(now);
        }
    }

    fn is_patching(&self) -> bool {
        matches!(self.phase, Phase::Patching(_) | Phase::Returning(_))
    }

    /// A rollout is in flight, so the pods of the namespace matter.
    #[must_use]
    pub fn in_flight(&self) -> bool {
        matches!(self.phase, Phase::Rolling(_) | Phase::RollingBack(_))
    }
}
