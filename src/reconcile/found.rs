//! The images are there when they are first looked at, but their rollout, which somebody else began, may
//! be unfinished, or over for good and bad.
//!
//! What was broken or sick before the first look is no news: its state is kept without a message, or a
//! first start on a cluster with hundreds of broken workloads would send hundreds. A rollout that moves
//! is followed like one that depd began.

use super::plan::{Draft, hold};
use super::{Intent, Phase, rollout};
use crate::model::{
    Condition, Failure, FoundEnd, ImageSet, Kind, Replicas, Rollout, Strategy, What, Workload,
};

/// What the workload itself tells of the rollout of its images.
enum Standing<'w> {
    /// It was complete once. Pods that are not ready now are another matter, as after any rollout.
    Over,
    /// Its controller gave up.
    GivenUp(&'w Condition),
    /// Old pods are there, or its controller says that it waits for progress.
    Moves,
    /// It waits for people, or some new pods are not ready and nobody says since when.
    Sick,
}

fn standing(workload: &Workload) -> Standing<'_> {
    if rollout::is_done(workload) {
        return Standing::Over;
    }
    let Replicas { wanted, total, updated, .. } = workload.replicas;
    let seen = workload.observed_generation >= workload.generation;
    match &workload.progressing {
        Some(condition) if seen && !condition.holds => Standing::GivenUp(condition),
        Some(condition) if seen && &*condition.reason == "NewReplicaSetAvailable" => Standing::Over,
        _ if hold(workload).is_some() || workload.strategy == Strategy::OnDelete => Standing::Sick,
        Some(_) => Standing::Moves,
        // Of a StatefulSet that is stuck for weeks nothing tells that either.
        None if workload.kind != Kind::Deployment => Standing::Sick,
        None if seen && updated >= wanted && total <= updated => Standing::Sick,
        None => Standing::Moves,
    }
}

impl Draft<'_> {
    /// The cluster already runs what the file asks, and nobody waits for a verdict: unless the rollout
    /// of these images is not over.
    pub(super) fn baseline(&mut self, intent: &Intent, workload: &Workload) {
        match standing(workload) {
            Standing::Over => self.agreed(&intent.desired, workload),
            Standing::Moves => self.adopt(intent, workload),
            Standing::Sick => self.watch(intent, workload),
            Standing::GivenUp(condition) => {
                let end = match &*condition.reason {
                    "ProgressDeadlineExceeded" => FoundEnd::Late,
                    _ => FoundEnd::Failed,
                };
                let message = condition.message.clone();
                self.content(workload);
                let rollout = self.found(intent, workload);
                let changes = rollout.changes.clone();
                self.say(What::Started { changes: changes.clone() });
                self.say(What::Found { changes, end, message });
                self.enter(Phase::Broken(rollout));
            }
        }
    }

    fn agreed(&mut self, images: &ImageSet, workload: &Workload) {
        self.content(workload);
        self.say(What::AlreadyRuns);
        self.settle(images, workload, Vec::new());
    }

    fn found(&mut self, intent: &Intent, workload: &Workload) -> Box<Rollout> {
        let attempt = self.plan.service.attempts.saturating_add(1);
        self.plan.service.attempts = attempt;
        Box::new(rollout::begin(attempt, intent, workload, self.view.now))
    }

    fn watch(&mut self, intent: &Intent, workload: &Workload) {
        let mut rollout = self.found(intent, workload);
        rollout.found = Some(workload.replicas);
        self.say(What::Started { changes: rollout.changes.clone() });
        self.enter(Phase::Rolling(rollout.clone()));
        self.follow(rollout, workload);
    }
}

/// Pods of the new template came, or old ones went, since the first look: it is alive, and its end is
/// news.
pub(super) fn note_life(rollout: &mut Rollout, workload: &Workload) {
    let old = |r: Replicas| r.total - r.updated;
    let is = workload.replicas;
    rollout.found =
        rollout.found.filter(|first| is.updated <= first.updated && old(is) >= old(*first));
}

/// Why it does not run, in the cluster's words.
pub(super) fn reason(failure: &Failure) -> Box<str> {
    match failure.message.is_empty() {
        true => failure.reason.clone(),
        false => format!("{}: {}", failure.reason, failure.message).into(),
    }
}
