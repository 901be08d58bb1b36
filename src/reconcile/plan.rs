//! The decision: (what the file asks, what the cluster shows, what was done so far, now) → the next
//! state, what to say, at most one step, and when to look again.

use super::{
    Creation, Intent, Phase, Plan, Refusal, Service, Settled, Step, View, Waiting, ecr, resolve,
    rollout,
};
use crate::desired::DesiredState;
use crate::model::{
    Change, Hold, ImagePatch, ImageSet, Moment, Notice, Problem, PullSecrets, Rollout, ServiceKey,
    Successor, Target, What, Workload,
};

/// Decides. Pure: the same input gives the same plan.
#[must_use]
pub fn plan(service: &Service, view: &View) -> Plan {
    let mut draft = Draft {
        view,
        plan: Plan { service: service.clone(), notices: Vec::new(), step: None, wake: None },
    };
    draft.tell_file_problem();
    match (view.desired, view.workload) {
        _ if !view.started => {}
        (None, _) => draft.stop_managing(),
        _ if !view.synced => {}
        (Some(DesiredState { images: None, .. }), workload) => draft.without_content(workload),
        (_, workload) if draft.objects() => draft.without_content(workload),
        _ if draft.is_ambiguous() => {}
        (Some(DesiredState { images: Some(images), .. }), None) => draft.without_workload(images),
        (Some(DesiredState { images: Some(images), .. }), Some(workload)) => {
            draft.with_workload(images, workload);
        }
    }
    draft.plan
}

/// A plan in the making.
pub(super) struct Draft<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) plan: Plan,
}

impl Draft<'_> {
    pub(super) fn say(&mut self, what: What) {
        self.plan.notices.push(Notice { key: self.view.key.clone(), what });
    }

    /// Says what is wrong unless that was the last complaint.
    pub(super) fn complain(&mut self, what: What) {
        if self.plan.service.complaint.as_ref() != Some(&what) {
            self.plan.service.complaint = Some(what.clone());
            self.say(what);
        }
    }

    /// Nothing about the workload is wrong any more.
    pub(super) fn content(&mut self, workload: &Workload) {
        if let Some(What::Held(Hold::Paused | Hold::Annotation, _)) =
            self.plan.service.complaint.take()
            && hold(workload).is_none()
        {
            self.say(What::Lifted);
        }
    }

    pub(super) fn wake_at(&mut self, at: Moment) {
        let earliest = self.plan.wake.map_or(at, |wake| wake.min(at));
        self.plan.wake = Some(earliest);
    }

    /// Asks for a step, unless failures before it call for a pause.
    pub(super) fn request(&mut self, step: Step) {
        match self.plan.service.retry_at {
            Some(at) if at > self.view.now => self.wake_at(at),
            _ => {
                self.plan.service.retry_at = None;
                self.plan.step = Some(step);
            }
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

    /// The settings do not let depd act in this namespace: nothing begins, and what is under way, because
    /// they did before, is followed to its end.
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
        if let Phase::Rolling(rollout) | Phase::RollingBack(rollout) = &mut self.plan.service.phase
        {
            rollout.progressed = self.view.now;
        }
        self.tell_misfit(resolve::ambiguous(self.view.key, kinds));
        true
    }

    fn tell_misfit(&mut self, problem: Problem) {
        self.plan.service.give_place_back(self.view.now);
        if self.plan.service.told_misfit.as_ref() != Some(&problem) {
            self.plan.service.told_misfit = Some(problem.clone());
            self.say(What::Unfit(problem));
        }
    }

    fn stop_managing(&mut self) {
        if self.plan.service.phase != Phase::New {
            self.say(What::Unmanaged);
        }
        self.plan.service = self.plan.service.let_go();
    }

    /// A wish that is new ends the pause that failures of the old one called for.
    pub(super) fn enter(&mut self, phase: Phase) {
        if self.plan.service.phase.desired() != phase.desired() {
            self.plan.service.failures = 0;
            self.plan.service.denials = 0;
            self.plan.service.retry_at = None;
            self.plan.service.request_complaint = None;
        }
        self.plan.service.phase = phase;
    }

    fn without_workload(&mut self, images: &ImageSet) {
        let deleted = self.plan.service.phase.uid().is_some();
        let new_wish = self.plan.service.phase.desired() != Some(images);
        self.plan.service.hold = None;
        self.plan.service.told_misfit = None;
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
                creation: Creation::NotAsked,
            }));
        }
        match &self.plan.service.phase {
            Phase::Waiting(waiting) if waiting.create && self.view.admitted => {
                self.create_namespace();
            }
            Phase::Waiting(waiting) if !waiting.create && !waiting.looked => {
                self.request(Step::LookAtNamespace)
            }
            _ => {}
        }
    }

    fn create_namespace(&mut self) {
        self.request(Step::CreateNamespace);
        if self.plan.step.is_some()
            && let Phase::Waiting(waiting) = &mut self.plan.service.phase
            && waiting.creation == Creation::NotAsked
        {
            waiting.creation = Creation::Asked;
        }
    }

    fn with_workload(&mut self, images: &ImageSet, workload: &Workload) {
        self.note_replacement(workload);
        self.plan.service.hold = hold(workload).map(|hold| (hold, workload.kind));
        let found = resolve::targets(images, workload);
        let targets = match found.and_then(|all| self.view.policy.admit(all)) {
            Ok(targets) => targets,
            Err(problem) => return self.misfit(problem, workload),
        };
        self.plan.service.told_misfit = None;
        self.note_wish(images);
        let phase = self.plan.service.phase.clone();
        let same_wish = phase.desired() == Some(images);
        let accepted = if same_wish { phase.changes() } else { &[] };
        let differing = resolve::differing(&targets, workload, accepted);
        let agrees = differing.is_empty();
        match phase {
            Phase::Returning(intent) if same_wish => self.go_back(intent, workload),
            Phase::RollingBack(rollout) if same_wish => self.follow_back(rollout, workload),
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
            Phase::Patching(intent) if same_wish && agrees => self.arrived(intent, workload),
            Phase::Patching(_) | Phase::Returning(_) if agrees => {
                // Nothing to change, unless the PATCH of the older wish went through unseen.
                let changes = Vec::new();
                let intent =
                    Intent { look_first: true, changes, ..intent(images, workload, &targets) };
                self.arrived(intent, workload);
            }
            Phase::Waiting(_) if agrees => {
                self.adopt(&intent(images, workload, &targets), workload);
            }
            Phase::Patching(intent) if went_through(&intent, workload) => {
                // It has its place in the history, and its end; the newer wish is the next look's.
                self.adopt(&intent, workload);
                self.wake_at(self.view.now);
            }
            Phase::Rolling(rollout) | Phase::RollingBack(rollout) => {
                self.plan.service.given_up = self.plan.service.under_way();
                let changes = rollout.changes;
                self.say(What::Superseded { changes, by: Successor::File });
                if agrees {
                    self.adopt(&intent(images, workload, &targets), workload);
                } else {
                    self.change(images, workload, &differing);
                }
            }
            _ if agrees => self.take_up(&intent(images, workload, &targets), workload),
            _ => self.change(images, workload, &differing),
        }
    }

    /// A file that does not fit is like one that is invalid: it is said, and what is under way for
    /// the content before it goes on.
    fn misfit(&mut self, problem: Problem, workload: &Workload) {
        self.tell_misfit(problem);
        self.go_on(workload);
    }

    /// The file was invalid ever since depd started, or does not count: nothing begins, and what was
    /// under way before that goes on.
    fn without_content(&mut self, workload: Option<&Workload>) {
        match workload {
            Some(workload) => {
                self.note_replacement(workload);
                self.go_on(workload);
            }
            None if self.plan.service.in_flight() && self.view.namesakes.is_empty() => {
                self.say(What::WorkloadDeleted);
                self.plan.service.phase = Phase::New;
            }
            None => {}
        }
    }

    /// Follows what is under way to its end, whatever the file says now.
    fn go_on(&mut self, workload: &Workload) {
        let agrees =
            |rollout: &Rollout| !resolve::differs(&rollout.desired, workload, &rollout.changes);
        match self.plan.service.phase.clone() {
            Phase::Rolling(rollout) if agrees(&rollout) => self.follow(rollout, workload),
            Phase::Broken(rollout) if agrees(&rollout) => self.await_recovery(&rollout, workload),
            Phase::RollingBack(rollout) => self.follow_back(rollout, workload),
            Phase::Patching(intent) if went_through(&intent, workload) => {
                self.adopt(&intent, workload);
            }
            Phase::Rolling(rollout) => {
                let Rollout { desired, changes, .. } = *rollout;
                self.say(What::Superseded {
                    changes: changes.clone(),
                    by: Successor::SomebodyElse,
                });
                self.settle(&desired, workload, changes);
            }
            _ => self.plan.service.give_place_back(self.view.now),
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

    pub(super) fn settle(&mut self, images: &ImageSet, workload: &Workload, changes: Vec<Change>) {
        let (desired, uid) = (images.clone(), workload.uid.clone());
        self.enter(Phase::Settled(Settled { desired, uid, changes }));
    }

    /// The images are there, but whether by our PATCH (its reply was lost) or in the YAML that
    /// somebody applied, people wait for a verdict: follow what is under way.
    pub(super) fn adopt(&mut self, intent: &Intent, workload: &Workload) {
        let attempt = self.plan.service.attempts.saturating_add(1);
        self.plan.service.attempts = attempt;
        self.plan.service.given_up = None;
        let rollout = Box::new(rollout::begin(attempt, intent, workload, self.view.now));
        self.say(What::Started { changes: rollout.changes.clone() });
        self.enter(Phase::Rolling(rollout.clone()));
        self.follow(rollout, workload);
    }

    /// The cluster shows what a PATCH was to bring, or what a newer file asks for while nobody knows
    /// whether the PATCH for the older one went through: then what is shown may be from before it, and
    /// the workload is asked for first.
    fn arrived(&mut self, intent: Intent, workload: &Workload) {
        if intent.look_first {
            self.enter(Phase::Patching(intent));
            self.request(Step::LookAtWorkload);
        } else if intent.changes.is_empty() {
            self.take_up(&intent, workload);
        } else {
            self.adopt(&intent, workload);
        }
    }

    /// The file asks for something else than the cluster runs: one PATCH.
    pub(super) fn change(&mut self, images: &ImageSet, workload: &Workload, targets: &[Target]) {
        if let Some(hold) = hold(workload) {
            self.leave_rollout();
            self.plan.service.give_place_back(self.view.now);
            return self.complain(What::Held(hold, workload.kind));
        }
        if !self.view.admitted {
            return self.leave_rollout();
        }
        if self.plan.service.rejected.as_ref() == Some(images) {
            return self.stay_rejected(images, workload, targets);
        }
        self.content(workload);
        self.note_good(workload, targets);
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
        let step = if intent.look_first {
            Step::LookAtWorkload
        } else if let Some(step) =
            ecr::preparation(self.view.policy.ecr, &intent, workload, targets)
        {
            step
        } else {
            let cause = change_cause(self.view.key, &intent.changes);
            self.patch(workload, targets.to_vec(), cause, intent.pull_secrets.clone())
        };
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

    pub(super) fn patch(
        &self,
        workload: &Workload,
        targets: Vec<Target>,
        change_cause: String,
        pull_secrets: Option<PullSecrets>,
    ) -> Step {
        Step::Patch(ImagePatch {
            kind: workload.kind,
            key: self.view.key.clone(),
            uid: workload.uid.clone(),
            has_annotations: workload.has_annotations,
            targets,
            pull_secrets,
            change_cause,
        })
    }

    /// A rollout that was superseded is over, even if the newer wish has to wait.
    fn leave_rollout(&mut self) {
        if self.plan.service.in_flight() {
            self.plan.service.phase = Phase::New;
        }
    }
}

/// The cluster shows what a PATCH was to bring whose reply nobody has seen.
fn went_through(intent: &Intent, workload: &Workload) -> bool {
    !intent.changes.is_empty() && resolve::runs(&intent.desired, workload, &intent.changes)
}

pub(super) fn hold(workload: &Workload) -> Option<Hold> {
    if workload.paused {
        Some(Hold::Paused)
    } else if workload.held_by_annotation {
        Some(Hold::Annotation)
    } else {
        None
    }
}

pub(super) fn intent(images: &ImageSet, workload: &Workload, targets: &[Target]) -> Intent {
    Intent {
        desired: images.clone(),
        uid: workload.uid.clone(),
        generation: workload.generation,
        progressing: workload.progressing.clone(),
        changes: resolve::changes(targets, workload),
        look_first: false,
        misses: 0,
        undoes: None,
        checked: false,
        pull_secrets: None,
    }
}

/// The text of `kubernetes.io/change-cause`: names the file and the images, and no time, so that a
/// repeated PATCH changes nothing.
pub(super) fn change_cause(key: &ServiceKey, changes: &[Change]) -> String {
    let images: Vec<String> =
        changes.iter().map(|change| format!("{}={}", change.container, change.to)).collect();
    format!("depd: {} set {}", key.file_name(), images.join(" "))
}
