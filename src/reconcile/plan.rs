//! The decision: (what the file asks, what the cluster shows, what was done so far, now) → the next
//! state, what to say, at most one step, and when to look again.

use std::time::Duration;

use super::diagnose::{Finding, diagnose};
use super::{
    Drift, Intent, Phase, Plan, Refusal, Service, Settled, Step, View, Waiting, patching, resolve,
    rollout,
};
use crate::desired::DesiredState;
use crate::model::{
    Change, Hold, ImageSet, Lateness, Moment, Notice, Problem, Rollout, Target, What, Workload,
};

/// The longest wait between two corrections of drift.
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);

/// Decides. Pure: the same input gives the same plan.
#[must_use]
pub fn plan(service: &Service, view: &View) -> Plan {
    let mut draft = Draft {
        view,
        plan: Plan { service: service.clone(), notices: Vec::new(), step: None, wake: None },
    };
    draft.tell_file_problem();
    match (view.desired, view.workload) {
        (None, _) => draft.stop_managing(),
        _ if !view.synced => {}
        (Some(DesiredState { images: None, .. }), _) => {}
        _ if draft.objects() => {}
        _ if draft.is_ambiguous() => {}
        (Some(DesiredState { images: Some(images), .. }), None) => draft.without_workload(images),
        (Some(DesiredState { images: Some(images), .. }), Some(workload)) => {
            draft.with_workload(images, workload);
        }
    }
    draft.plan
}

struct Draft<'a> {
    view: &'a View<'a>,
    plan: Plan,
}

impl Draft<'_> {
    fn say(&mut self, what: What) {
        self.plan.notices.push(Notice { key: self.view.key.clone(), what });
    }

    /// Says what is wrong unless that was the last complaint.
    fn complain(&mut self, what: What) {
        if self.plan.service.complaint.as_ref() != Some(&what) {
            self.plan.service.complaint = Some(what.clone());
            self.say(what);
        }
    }

    /// Nothing about the workload is wrong any more.
    fn content(&mut self, workload: &Workload) {
        if let Some(What::Held(_)) = self.plan.service.complaint.take()
            && hold(workload).is_none()
        {
            self.say(What::Lifted);
        }
    }

    fn wake_at(&mut self, at: Moment) {
        let earliest = self.plan.wake.map_or(at, |wake| wake.min(at));
        self.plan.wake = Some(earliest);
    }

    /// Asks for a step, unless failures before it call for a pause.
    fn request(&mut self, step: Step) {
        match self.plan.service.retry_at {
            Some(at) if at > self.view.now => self.wake_at(at),
            _ => self.plan.step = Some(step),
        }
    }

    fn tell_file_problem(&mut self) {
        let problem = self.view.desired.and_then(|desired| desired.problem.clone());
        if self.plan.service.told_problem != problem {
            self.plan.service.told_problem.clone_from(&problem);
            if let Some(problem) = problem {
                self.say(What::BadFile(problem));
            }
        }
    }

    /// The settings do not let depd act in this namespace.
    fn objects(&mut self) -> bool {
        let Some(problem) = self.view.policy.objection(self.view.key.namespace()) else {
            return false;
        };
        self.tell_misfit(problem);
        true
    }

    /// The name stands for workloads of several kinds: nothing is guessed. The clock of a rollout
    /// under way stands still.
    fn is_ambiguous(&mut self) -> bool {
        let kinds = self.view.namesakes;
        if kinds.len() < 2 {
            return false;
        }
        if let Phase::Rolling(rollout) = &mut self.plan.service.phase {
            rollout.progressed = self.view.now;
        }
        self.tell_misfit(resolve::ambiguous(self.view.key, kinds));
        true
    }

    fn tell_misfit(&mut self, problem: Problem) {
        if self.plan.service.told_misfit.as_ref() != Some(&problem) {
            self.plan.service.told_misfit = Some(problem.clone());
            self.say(What::Unfit(problem));
        }
    }

    fn stop_managing(&mut self) {
        if self.plan.service.phase != Phase::New {
            self.say(What::Unmanaged);
        }
        self.plan.service = Service::default();
    }

    /// A wish that is new ends the pause that failures of the old one called for.
    fn enter(&mut self, phase: Phase) {
        if self.plan.service.phase.desired() != phase.desired() {
            self.plan.service.failures = 0;
            self.plan.service.retry_at = None;
            self.plan.service.request_complaint = None;
        }
        self.plan.service.phase = phase;
    }

    fn without_workload(&mut self, images: &ImageSet) {
        let deleted = self.plan.service.phase.uid().is_some();
        let new_wish = self.plan.service.phase.desired() != Some(images);
        if deleted {
            self.say(What::WorkloadDeleted);
        }
        if deleted || new_wish {
            let may_create = new_wish && self.view.policy.create_namespaces;
            self.enter(Phase::Waiting(Waiting {
                desired: images.clone(),
                looked: false,
                told: deleted,
                may_create,
                create: false,
            }));
        }
        match &self.plan.service.phase {
            Phase::Waiting(waiting) if waiting.create => self.request(Step::CreateNamespace),
            Phase::Waiting(waiting) if !waiting.looked => self.request(Step::LookAtNamespace),
            _ => {}
        }
    }

    fn with_workload(&mut self, images: &ImageSet, workload: &Workload) {
        self.note_replacement(workload);
        let targets = match resolve::targets(images, workload) {
            Ok(targets) => targets,
            Err(problem) => return self.misfit(problem, workload),
        };
        self.plan.service.told_misfit = None;
        let phase = self.plan.service.phase.clone();
        let same_wish = phase.desired() == Some(images);
        let accepted = if same_wish { phase.changes() } else { &[] };
        let differing = resolve::differing(&targets, workload, accepted);
        let agrees = differing.is_empty();
        match phase {
            Phase::Rolling(rollout) if same_wish && agrees => self.follow(rollout, workload),
            Phase::Broken(rollout) if same_wish && agrees => {
                self.await_recovery(&rollout, workload)
            }
            Phase::Settled(_) if same_wish && agrees => self.content(workload),
            Phase::Rolling(_) | Phase::Broken(_) | Phase::Settled(_) if same_wish => {
                self.drifted(images, workload, &differing, accepted);
            }
            Phase::Refused(refusal) if same_wish && refusal.generation == workload.generation => {
                self.ask_again_later(&refusal, images, workload, &differing);
            }
            Phase::Patching(intent) if same_wish && agrees => self.adopt(&intent, workload),
            Phase::Waiting(_) if agrees => {
                self.adopt(&intent(images, workload, &targets), workload);
            }
            Phase::Rolling(rollout) => {
                self.say(What::Superseded { changes: rollout.changes });
                if agrees {
                    self.adopt(&intent(images, workload, &targets), workload);
                } else {
                    self.change(images, workload, &differing);
                }
            }
            _ if agrees => self.baseline(images, workload),
            _ => self.change(images, workload, &differing),
        }
    }

    /// A file that does not fit is like one that is invalid: it is said, and what is under way for
    /// the content before it goes on.
    fn misfit(&mut self, problem: Problem, workload: &Workload) {
        self.tell_misfit(problem);
        let phase = self.plan.service.phase.clone();
        let (Phase::Rolling(rollout) | Phase::Broken(rollout)) = &phase else { return };
        if !resolve::differs(&rollout.desired, workload, &rollout.changes) {
            match phase {
                Phase::Rolling(rollout) => self.follow(rollout, workload),
                Phase::Broken(rollout) => self.await_recovery(&rollout, workload),
                _ => {}
            }
        }
    }

    /// Another uid is another workload: what was done for the old one says nothing about it.
    fn note_replacement(&mut self, workload: &Workload) {
        let other = self.plan.service.phase.uid().is_some_and(|uid| *uid != *workload.uid);
        if other {
            if self.plan.service.in_flight() {
                self.say(What::WorkloadReplaced);
            }
            self.plan.service.phase = Phase::New;
        }
    }

    /// The cluster already runs what the file asks, and nobody waits for a verdict.
    fn baseline(&mut self, images: &ImageSet, workload: &Workload) {
        self.content(workload);
        self.say(What::AlreadyRuns);
        self.settle(images, workload, Vec::new());
    }

    fn settle(&mut self, images: &ImageSet, workload: &Workload, changes: Vec<Change>) {
        let (desired, uid) = (images.clone(), workload.uid.clone());
        self.enter(Phase::Settled(Settled { desired, uid, changes }));
    }

    /// The images are there, but whether by our PATCH (its reply was lost) or in the YAML that
    /// somebody applied, people wait for a verdict: follow what is under way.
    fn adopt(&mut self, intent: &Intent, workload: &Workload) {
        let attempt = self.plan.service.attempts.saturating_add(1);
        self.plan.service.attempts = attempt;
        let rollout = rollout::begin(attempt, intent, workload, self.view.now);
        self.say(What::Started { changes: rollout.changes.clone() });
        self.enter(Phase::Rolling(rollout.clone()));
        self.follow(rollout, workload);
    }

    /// The file asks for something else than the cluster runs: one PATCH.
    fn change(&mut self, images: &ImageSet, workload: &Workload, targets: &[Target]) {
        if let Some(hold) = hold(workload) {
            self.leave_rollout();
            return self.complain(What::Held(hold));
        }
        if !self.view.admitted {
            return self.leave_rollout();
        }
        self.content(workload);
        let before = match &self.plan.service.phase {
            Phase::Patching(intent) if intent.desired == *images => Some(intent),
            _ => None,
        };
        let intent = Intent {
            look_first: before.is_some_and(|intent| intent.look_first),
            misses: before.map_or(0, |intent| intent.misses),
            checked: before.is_some_and(|intent| intent.checked),
            pull_secrets: before.and_then(|intent| intent.pull_secrets.clone()),
            ..intent(images, workload, targets)
        };
        let step = patching::next(self.view, &intent, workload, targets);
        self.enter(Phase::Patching(intent));
        self.request(step);
    }

    /// What was refused stays so, but an image that was missing may have been pushed since.
    fn ask_again_later(
        &mut self,
        refusal: &Refusal,
        images: &ImageSet,
        workload: &Workload,
        targets: &[Target],
    ) {
        match refusal.again {
            Some(at) if at <= self.view.now && !targets.is_empty() => {
                self.change(images, workload, targets);
            }
            Some(at) if at > self.view.now => self.wake_at(at),
            _ => {}
        }
    }

    /// A rollout that was superseded is over, even if the newer wish has to wait.
    fn leave_rollout(&mut self) {
        if self.plan.service.in_flight() {
            self.plan.service.phase = Phase::New;
        }
    }

    /// Somebody else changed the images. Unless the settings say otherwise nobody's work at night is
    /// undone: it is said, once.
    fn drifted(
        &mut self,
        images: &ImageSet,
        workload: &Workload,
        differing: &[Target],
        accepted: &[Change],
    ) {
        let mut changes = resolve::changes(differing, workload);
        for change in &mut changes {
            std::mem::swap(&mut change.from, &mut change.to);
        }
        self.settle(images, workload, accepted.to_vec());
        match self.view.policy.drift {
            Drift::Ignore => {}
            Drift::Report => self.complain(What::Drift { changes, corrected: false }),
            Drift::Correct => self.correct(images, workload, differing, changes),
        }
    }

    /// Puts the file's images back; each time that did not last, the wait before the next doubles.
    /// A fight is said once.
    fn correct(
        &mut self,
        images: &ImageSet,
        workload: &Workload,
        differing: &[Target],
        changes: Vec<Change>,
    ) {
        let now = self.view.now;
        let service = &mut self.plan.service;
        let wait = correction_pause(service.corrections);
        let due = service.corrected_at.map_or(now, |last| last + wait);
        if now < due {
            return self.wake_at(due);
        }
        // What lasted for longer than the longest wait was no fight.
        let lasted = service.corrected_at.is_some_and(|last| now.since(last) > LONGEST_PAUSE);
        service.corrections = if lasted { 1 } else { service.corrections.saturating_add(1) };
        service.corrected_at = Some(now);
        if service.corrections == 1 {
            self.say(What::Drift { changes, corrected: true });
        }
        self.change(images, workload, differing);
    }

    fn follow(&mut self, mut rollout: Rollout, workload: &Workload) {
        let now = self.view.now;
        let forward = rollout::note_progress(&mut rollout, workload, now);
        let took = now.since(rollout.started);
        let changes = rollout.changes.clone();
        if rollout::is_complete(&rollout, workload) {
            self.content(workload);
            self.say(What::Succeeded { changes, took });
            let desired = rollout.desired;
            return self.settle(&desired, workload, rollout.changes);
        }
        if forward {
            self.say(What::Progressed { replicas: workload.replicas });
        }
        let observed = rollout::is_observed(&rollout, workload);
        let known = observed || rollout::is_known_early(&rollout, workload);
        let pods = if known { self.view.pods } else { &[] };
        match diagnose(&mut rollout, workload, pods, now) {
            Finding::Failed(failure) => {
                self.say(What::Failed { changes, failure, took });
                return self.enter(Phase::Broken(rollout));
            }
            Finding::WhichReplicaSet => {
                self.request(Step::FindReplicaSet);
                if self.plan.step.is_none() {
                    rollout.asked_early.clear();
                }
            }
            Finding::ReadLog { pod, container, previous } => {
                self.request(Step::FetchLog { pod, container, previous });
            }
            Finding::Suspect(_, until) => self.wake_at(until),
            Finding::Fine => {}
        }
        self.watch_the_time(rollout, workload);
    }

    fn watch_the_time(&mut self, mut rollout: Rollout, workload: &Workload) {
        let now = self.view.now;
        if let Some(hold) = hold(workload) {
            rollout.progressed = now;
            self.enter(Phase::Rolling(rollout));
            return self.complain(What::Held(hold));
        }
        self.content(workload);
        let limit = rollout::time_limit(workload, self.view.policy.timeout);
        let late = rollout::progress_deadline_exceeded(&rollout, workload)
            .or_else(|| (now >= rollout.progressed + limit).then_some(Lateness::NoProgress(limit)));
        match late {
            Some(lateness) => {
                let (changes, took) = (rollout.changes.clone(), now.since(rollout.started));
                let replicas = workload.replicas;
                self.say(What::TimedOut { changes, lateness, replicas, took });
                self.plan.step = None;
                self.enter(Phase::Broken(rollout));
            }
            None => {
                self.wake_at(rollout.progressed + limit);
                self.enter(Phase::Rolling(rollout));
            }
        }
    }

    fn await_recovery(&mut self, rollout: &Rollout, workload: &Workload) {
        if rollout::is_complete(rollout, workload) {
            let took = self.view.now.since(rollout.started);
            self.say(What::Recovered { changes: rollout.changes.clone(), took });
            self.settle(&rollout.desired, workload, rollout.changes.clone());
        }
    }
}

/// The wait before the next correction of drift: none, then 30 s, doubling up to half an hour.
fn correction_pause(corrections: u32) -> Duration {
    match corrections {
        0 => Duration::ZERO,
        n => Duration::from_secs(30 << (n - 1).min(10)).min(LONGEST_PAUSE),
    }
}

fn hold(workload: &Workload) -> Option<Hold> {
    if workload.paused {
        Some(Hold::Paused)
    } else if workload.held_by_annotation {
        Some(Hold::Annotation)
    } else {
        None
    }
}

fn intent(images: &ImageSet, workload: &Workload, targets: &[Target]) -> Intent {
    Intent {
        desired: images.clone(),
        uid: workload.uid.clone(),
        generation: workload.generation,
        changes: resolve::changes(targets, workload),
        look_first: false,
        misses: 0,
        checked: false,
        pull_secrets: None,
    }
}
