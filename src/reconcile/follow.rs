//! A rollout in flight → its verdict, or what to ask before there can be one.

use super::diagnose::{Evidence, Finding, diagnose};
use super::found;
use super::plan::{Draft, hold};
use super::{Phase, Step, rollout};
use crate::model::{
    Failure, FoundEnd, Hold, Kind, Lateness, Moment, Question, Rollout, Sign, Strategy, What,
    Workload,
};

/// How a rollout ended.
enum Verdict {
    Succeeded,
    Failed(Box<Failure>),
    TimedOut(Lateness, Option<Box<Failure>>),
}

impl Draft<'_> {
    pub(super) fn follow(&mut self, mut rollout: Box<Rollout>, workload: &Workload) {
        match self.judge(&mut rollout, workload) {
            None => self.enter(Phase::Rolling(rollout)),
            Some(verdict) => self.conclude(rollout, verdict, workload),
        }
    }

    /// The end of what may have been over before the first look is kept, and told to nobody.
    fn note_end(&mut self, rollout: Box<Rollout>, verdict: &Verdict, workload: &Workload) {
        let (end, message) = match verdict {
            Verdict::Succeeded => (FoundEnd::Well, "".into()),
            Verdict::Failed(failure) => (FoundEnd::Failed, found::reason(failure)),
            Verdict::TimedOut(_, cause) => {
                (FoundEnd::Late, cause.as_deref().map(found::reason).unwrap_or_default())
            }
        };
        let changes = rollout.changes.clone();
        self.say(What::Found { changes: changes.clone(), end, message });
        self.plan.step = None;
        if end == FoundEnd::Well {
            self.content(workload);
            return self.settle(&rollout.desired, workload, changes);
        }
        self.enter(Phase::Broken(rollout));
    }

    fn conclude(&mut self, rollout: Box<Rollout>, verdict: Verdict, workload: &Workload) {
        if rollout.found.is_some() {
            return self.note_end(rollout, &verdict, workload);
        }
        let took = self.view.now.since(rollout.started);
        let changes = rollout.changes.clone();
        match verdict {
            Verdict::Succeeded => {
                self.content(workload);
                self.note_success(&rollout, workload);
                self.say(What::Succeeded { changes, took });
                return self.settle(&rollout.desired, workload, rollout.changes.clone());
            }
            Verdict::Failed(failure) => self.say(What::Failed { changes, failure, took }),
            Verdict::TimedOut(lateness, cause) => {
                let replicas = workload.replicas;
                self.say(What::TimedOut { changes, lateness, cause, replicas, took });
            }
        }
        self.plan.step = None;
        match self.way_back(&rollout, workload) {
            Some(intent) => self.begin_return(intent, workload),
            None => self.enter(Phase::Broken(rollout)),
        }
    }

    /// Follows the last good images to their verdict; there is nothing to go back to after that.
    pub(super) fn follow_back(&mut self, mut rollout: Box<Rollout>, workload: &Workload) {
        if !super::rollback::runs_what_was_put_back(&rollout.changes, workload) {
            return self.left_to_people(&rollout.desired, &rollout.changes, workload);
        }
        let Some(verdict) = self.judge(&mut rollout, workload) else {
            return self.enter(Phase::RollingBack(rollout));
        };
        let (changes, took) = (rollout.changes.clone(), self.view.now.since(rollout.started));
        self.plan.step = None;
        match verdict {
            Verdict::Succeeded => {
                self.content(workload);
                self.say(What::RolledBack { changes, took });
            }
            Verdict::Failed(failure) => {
                let cause = Some(failure);
                self.say(What::RollbackFailed { changes, cause, refused: None, took });
            }
            Verdict::TimedOut(_, cause) => {
                self.say(What::RollbackFailed { changes, cause, refused: None, took });
            }
        }
        self.settle(&rollout.desired, workload, rollout.changes.clone());
    }

    /// The verdict, if there is one already. Otherwise sets the alarm and asks what must be known.
    fn judge(&mut self, rollout: &mut Rollout, workload: &Workload) -> Option<Verdict> {
        let now = self.view.now;
        let limit = rollout::time_limit(workload, self.view.policy.timeout);
        rollout::pass_over(rollout, self.view.gap, limit, now);
        let forward = rollout::note_progress(rollout, workload, now);
        found::note_life(rollout, workload);
        if rollout::is_complete(rollout, workload) {
            return Some(Verdict::Succeeded);
        }
        if forward {
            self.say(What::Progressed { replicas: workload.replicas });
        }
        let known =
            rollout::is_observed(rollout, workload) || rollout::is_known_early(rollout, workload);
        let waits_for = waits_for(rollout, workload);
        let mut lateness = None;
        if waits_for.is_some() {
            rollout.progressed = now;
        } else {
            let is_late = now >= rollout::due(rollout, limit);
            lateness = rollout::progress_deadline_exceeded(rollout, workload)
                .or_else(|| is_late.then_some(Lateness::NoProgress(limit)));
        }
        let evidence = Evidence {
            workload,
            pods: if known { self.view.pods } else { &[] },
            patience: self.view.policy.patience,
            held: waits_for.is_some(),
            halfway: now >= rollout.progressed + limit / 2,
            late: lateness.is_some(),
            now,
        };
        let progressed = rollout.progressed;
        let finding = diagnose(rollout, evidence);
        if rollout.progressed > progressed && matches!(lateness, Some(Lateness::NoProgress(_))) {
            // Since the last look a container has started.
            lateness = None;
        }
        let cause = match finding {
            Finding::Failed(failure) => return Some(Verdict::Failed(failure)),
            Finding::Suspect(failure, until) => {
                until.into_iter().for_each(|until| self.wake_at(until));
                self.tell_of_trouble(rollout, &failure);
                Some(failure)
            }
            Finding::Fine => None,
            question => {
                self.ask(rollout, question);
                None
            }
        };
        let asks = self.plan.step.is_some() && rollout.question.is_some();
        rollout.looked &= lateness.is_some();
        match (lateness, waits_for) {
            (None, Some(hold)) => {
                let held = What::Held(hold, workload.kind);
                match rollout.found {
                    Some(_) => self.plan.service.complaint = Some(held),
                    None => self.complain(held),
                }
                None
            }
            (None, None) => {
                self.content(workload);
                let halfway = rollout.progressed + limit / 2;
                let asks = rollout.template.is_none() && workload.kind == Kind::Deployment;
                let is_due = !asks || now >= halfway;
                self.wake_at(if is_due { rollout::due(rollout, limit) } else { halfway });
                None
            }
            // The answer is worth a moment, but not more.
            (Some(_), _)
                if asks && now < rollout::due(rollout, limit) + evidence.patience.question =>
            {
                None
            }
            // A watch that has fallen silent shows the same for as long as it takes to notice that.
            (Some(Lateness::NoProgress(_)), _) if !rollout.looked => {
                rollout.question = Some(Question::Workload);
                self.request(Step::LookAtWorkload);
                None
            }
            (Some(lateness), _) => Some(at_the_limit(lateness, cause)),
        }
    }

    fn ask(&mut self, rollout: &mut Rollout, finding: Finding) {
        let (question, step) = match finding {
            Finding::WhichReplicaSet => (Question::ReplicaSet, Step::FindReplicaSet),
            Finding::ReadLog { pod, container, previous } => {
                (Question::Log, Step::FetchLog { pod, container, previous })
            }
            Finding::ReadWarning { uid, reason } => {
                (Question::Warning, Step::ReadWarning { uid, reason })
            }
            Finding::Fine | Finding::Suspect(..) | Finding::Failed(_) => return,
        };
        rollout.question = Some(question);
        self.request(step);
        if self.plan.step.is_none() {
            rollout.asked_early.clear();
        }
    }

    /// Trouble that is left to the time limit is told of before that, once.
    fn tell_of_trouble(&mut self, rollout: &mut Rollout, failure: &Failure) {
        let sign = failure.sign;
        let Some((_, since)) = rollout.suspicion else { return };
        let is_told = rollout.told == Some(sign) || rollout.found.is_some();
        if is_told || !matches!(sign, Sign::Unschedulable | Sign::Stuck) {
            return;
        }
        let due: Moment = since + self.view.policy.patience.tell;
        if self.view.now < due {
            return self.wake_at(due);
        }
        rollout.told = Some(sign);
        let changes = rollout.changes.clone();
        self.say(What::Troubled { changes, failure: Box::new(failure.clone()) });
    }

    pub(super) fn await_recovery(&mut self, rollout: &Rollout, workload: &Workload) {
        // Scaled to zero nothing is wrong any more, and nothing has got well.
        if workload.replicas.updated > 0 && rollout::is_complete(rollout, workload) {
            let took = self.view.now.since(rollout.started);
            self.note_success(rollout, workload);
            self.say(What::Recovered { changes: rollout.changes.clone(), took });
            self.settle(&rollout.desired, workload, rollout.changes.clone());
        }
    }
}

/// What keeps the rollout waiting for a person, who may take all the time there is. With `OnDelete`
/// that is over when every pod is of the new template: those must get ready in time.
fn waits_for(rollout: &Rollout, workload: &Workload) -> Option<Hold> {
    let replicas = workload.replicas;
    let old_left = !rollout::is_observed(rollout, workload) || replicas.updated < replicas.wanted;
    let by_strategy = workload.strategy == Strategy::OnDelete && old_left;
    hold(workload).or_else(|| by_strategy.then_some(Hold::OnDelete))
}

/// Without a node or behind a stuck pod no time helps; anything else that shows is only suspected.
fn at_the_limit(lateness: Lateness, cause: Option<Box<Failure>>) -> Verdict {
    match cause {
        Some(failure) if matches!(failure.sign, Sign::Unschedulable | Sign::Stuck) => {
            Verdict::Failed(failure)
        }
        cause => Verdict::TimedOut(lateness, cause),
    }
}
