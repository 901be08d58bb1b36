//! The last good images, and putting them back when a rollout fails.
//!
//! It is done only where somebody asked for it, once per content of the file, and only while the
//! workload still runs what was rejected: whoever changes the image meanwhile is never fought.

use std::time::Duration;

use super::plan::{Draft, change_cause, hold};
use super::{Good, Intent, Phase, Service, Settled, Step, resolve, rollout};
use crate::model::{Change, Image, ImageSet, Rollout, Successor, Target, What, Workload};

/// What somebody who asks for another try makes of the state: a content that was rejected or refused
/// counts as new. Everything else stays as it is.
#[must_use]
pub fn retry(service: &Service) -> Service {
    let mut next = service.clone();
    let was_rejected = next.rejected.take().is_some();
    next.complaint = next.complaint.filter(|what| !matches!(what, What::Rejected { .. }));
    let is_tried_anew = match next.phase {
        Phase::Refused(_) => true,
        Phase::Settled(_) | Phase::Returning(_) | Phase::RollingBack(_) => was_rejected,
        _ => false,
    };
    if is_tried_anew {
        next.phase = Phase::New;
    }
    next
}

impl Draft<'_> {
    /// A content that is new ends the rejection of an older one.
    pub(super) fn note_wish(&mut self, images: &ImageSet) {
        let rejected = &mut self.plan.service.rejected;
        if rejected.as_ref().is_some_and(|rejected| rejected != images) {
            *rejected = None;
        }
    }

    /// What the workload runs just before it is changed is good if it works. Where no pod runs it,
    /// nobody knows.
    pub(super) fn note_good(&mut self, workload: &Workload, targets: &[Target]) {
        if !rollout::is_done(workload) || workload.replicas.updated == 0 {
            return;
        }
        let own = targets.iter().filter_map(|target| resolve::container(target, workload));
        let images = own.map(|c| (c.name.clone(), c.image.clone())).collect();
        self.remember_good(&workload.uid, images);
    }

    pub(super) fn note_success(&mut self, rollout: &Rollout, workload: &Workload) {
        if workload.replicas.updated == 0 {
            return;
        }
        self.remember_changed(&rollout.uid, &rollout.changes);
    }

    fn remember_changed(&mut self, uid: &str, changes: &[Change]) {
        let images = changes.iter().map(|c| (c.container.clone(), c.to.clone())).collect();
        self.remember_good(uid, images);
    }

    fn remember_good(&mut self, uid: &str, images: Vec<(Box<str>, Box<str>)>) {
        let before = self.plan.service.good.take().filter(|good| &*good.uid == uid);
        let mut all = before.map(|good| good.images).unwrap_or_default();
        all.retain(|(container, _)| images.iter().all(|(own, _)| own != container));
        all.extend(images);
        self.plan.service.good = Some(Good { uid: uid.into(), images: all });
    }

    /// From the images that failed to the last good ones, where that is asked for and possible.
    pub(super) fn way_back(&self, rollout: &Rollout, workload: &Workload) -> Option<Intent> {
        let is_wanted = workload.rollback.unwrap_or(self.view.policy.rollback);
        let good = self.plan.service.good.as_ref().filter(|good| good.uid == workload.uid)?;
        let back = |change: &Change| {
            let (_, image) = good.images.iter().find(|(own, _)| *own == change.container)?;
            let is_another = *image != change.to && Image::parse(image).is_ok();
            is_another.then(|| Change {
                container: change.container.clone(),
                from: change.to.clone(),
                to: image.clone(),
            })
        };
        let changes = rollout.changes.iter().map(back).collect::<Option<Vec<Change>>>()?;
        (is_wanted && !changes.is_empty()).then(|| Intent {
            desired: rollout.desired.clone(),
            uid: workload.uid.clone(),
            generation: workload.generation,
            progressing: workload.progressing.clone(),
            changes,
            // What the watch shows may be old, and what works is not to be undone.
            look_first: true,
            misses: 0,
            undoes: Some(rollout.started),
            checked: false,
            pull_secrets: None,
        })
    }

    pub(super) fn begin_return(&mut self, intent: Intent, workload: &Workload) {
        self.plan.service.rejected = Some(intent.desired.clone());
        if self.disallowed(&intent.changes).is_none() {
            self.say(What::RollingBack { changes: intent.changes.clone() });
        }
        self.go_back(intent, workload);
    }

    /// One PATCH puts the last good images back, if the rejected ones are still there.
    pub(super) fn go_back(&mut self, intent: Intent, workload: &Workload) {
        let runs = |image: fn(&Change) -> &str| {
            intent.changes.iter().all(|change| runs(workload, &change.container, image(change)))
        };
        if runs(|change| &change.to) {
            // The reply to the PATCH was lost.
            let attempt = self.plan.service.attempts.saturating_add(1);
            self.plan.service.attempts = attempt;
            let rollout = rollout::begin(attempt, &intent, workload, self.view.now);
            self.say(What::Started { changes: rollout.changes.clone() });
            return self.follow_back(Box::new(rollout), workload);
        }
        if !runs(|change| &change.from) {
            return self.left_to_people(&intent.desired, &intent.changes, workload);
        }
        if workload.replicas.updated > 0 && rollout::is_done(workload) {
            return self.got_well(&intent, workload);
        }
        if let Some(why) = self.disallowed(&intent.changes) {
            return self.not_put_back(&intent, why);
        }
        if let Some(hold) = hold(workload) {
            self.enter(Phase::Returning(intent));
            self.plan.service.give_place_back(self.view.now);
            return self.complain(What::Held(hold, workload.kind));
        }
        if !self.view.admitted {
            self.enter(Phase::Returning(intent));
            return self.plan.service.give_place_back(self.view.now);
        }
        let targets: Option<Vec<Target>> =
            intent.changes.iter().map(|change| target_of(change, workload)).collect();
        let Some(targets) = targets else {
            return self.left_to_people(&intent.desired, &intent.changes, workload);
        };
        let step = match intent.look_first {
            true => Step::LookAtWorkload,
            false => {
                let cause = change_cause(self.view.key, &intent.changes);
                self.patch(workload, targets, cause, None)
            }
        };
        self.enter(Phase::Returning(intent));
        self.request(step);
    }

    /// The rollout is complete after all, before anything was put back.
    fn got_well(&mut self, intent: &Intent, workload: &Workload) {
        let changes = intent.changes.iter().cloned();
        let changes: Vec<Change> = changes.map(Change::reversed).collect();
        self.remember_changed(&intent.uid, &changes);
        self.plan.service.rejected = None;
        let took = intent.undoes.map_or(Duration::ZERO, |began| self.view.now.since(began));
        self.say(What::Recovered { changes: changes.clone(), took });
        self.settle(&intent.desired, workload, changes);
    }

    /// What was good once need not be allowed any more, nor the namespace.
    fn disallowed(&self, changes: &[Change]) -> Option<String> {
        if let Some(problem) = self.view.policy.objection(self.view.key.namespace()) {
            return Some(problem.text);
        }
        let limits = &self.view.policy.images;
        let images = changes.iter().filter_map(|change| Image::parse(&change.to).ok());
        images.into_iter().find_map(|image| limits.objection(&image))
    }

    /// The rejected images stay where they are.
    fn not_put_back(&mut self, intent: &Intent, why: String) {
        let (changes, took) = (intent.changes.clone(), Duration::ZERO);
        self.say(What::RollbackFailed { changes, cause: None, refused: Some(why), took });
        self.enter(Phase::Settled(Settled::of(intent)));
    }

    /// Somebody changed the images before or after they were put back. The rejected content stays
    /// rejected, and what is there now is theirs.
    pub(super) fn left_to_people(
        &mut self,
        images: &ImageSet,
        changes: &[Change],
        workload: &Workload,
    ) {
        let now: Vec<Change> = changes.iter().map(|change| as_it_is(change, workload)).collect();
        if self.plan.service.in_flight() {
            let by = Successor::SomebodyElse;
            self.say(What::Superseded { changes: changes.to_vec(), by });
        }
        self.complain(What::Drift { changes: now.clone(), corrected: false });
        self.settle(images, workload, now);
    }

    /// The file still asks for what was rolled back.
    pub(super) fn stay_rejected(
        &mut self,
        images: &ImageSet,
        workload: &Workload,
        targets: &[Target],
    ) {
        let changes = resolve::changes(targets, workload);
        let changes: Vec<Change> = changes.into_iter().map(Change::reversed).collect();
        self.complain(What::Rejected { changes: changes.clone() });
        self.settle(images, workload, changes);
    }
}

/// The workload runs what was put back.
pub(super) fn runs_what_was_put_back(changes: &[Change], workload: &Workload) -> bool {
    changes.iter().all(|change| runs(workload, &change.container, &change.to))
}

fn runs(workload: &Workload, container: &str, image: &str) -> bool {
    let mut all = workload.containers.iter().chain(&workload.init_containers);
    all.any(|own| &*own.name == container && &*own.image == image)
}

fn as_it_is(change: &Change, workload: &Workload) -> Change {
    let mut all = workload.containers.iter().chain(&workload.init_containers);
    let own = all.find(|own| own.name == change.container);
    let to = own.map_or_else(|| change.to.clone(), |own| own.image.clone());
    Change { to, ..change.clone() }
}

/// The container's place, guarded by the image that was rejected.
fn target_of(change: &Change, workload: &Workload) -> Option<Target> {
    let place =
        |list: &[crate::model::Container]| list.iter().position(|own| own.name == change.container);
    let (init, index) = match place(&workload.containers) {
        Some(index) => (false, index),
        None => (true, place(&workload.init_containers)?),
    };
    Some(Target {
        init,
        index,
        container: change.container.clone(),
        expected: change.from.clone(),
        image: Image::parse(&change.to).ok()?,
    })
}
