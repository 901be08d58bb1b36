//! The reply to a step → the service's next state.

mod namespace;

use std::time::Duration;

use super::{Creation, Phase, Plan, Refusal, Reply, Service, Setback, Settled, rollout};
use crate::model::{Change, Event, Moment, Notice, Question, Rollout, ServiceKey, What, Workload};
use crate::queue::backoff;

/// How long to wait before asking again for something that a person has to change first.
const SLOW_RETRY: Duration = Duration::from_secs(30);
/// The wait before a PATCH that was refused for want of a right is sent once more, and the one after it.
const DENIED_RETRIES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// How often a missing image is looked for again.
pub(super) const MISSING_RETRY: Duration = Duration::from_secs(60);
/// How long to wait for somebody else's work, and a spread on top of it.
const BUSY_RETRY: Duration = Duration::from_millis(100);
/// A server's `Retry-After` is believed up to this.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(60);
/// The clocks of the control plane and of this host may differ by this much.
const CLOCK_SLACK: Duration = Duration::from_secs(10);
/// Failed guards in a row before back-off sets in.
const QUICK_LOOKS: u8 = 3;
/// Transient failures in a row before it is worth saying.
pub(super) const FAILURES_TO_SAY: u32 = 3;

/// Takes the outcome of a step into the state. `jitter` is any random number.
#[must_use]
pub fn after(
    service: &Service,
    key: &ServiceKey,
    outcome: Result<Reply, Setback>,
    now: Moment,
    jitter: u64,
) -> Plan {
    let mut draft = Draft {
        key,
        now,
        jitter,
        plan: Plan { service: service.clone(), notices: Vec::new(), step: None, wake: None },
    };
    match outcome {
        Ok(reply) => draft.went_through(reply),
        Err(setback) => draft.did_not(setback),
    }
    draft.plan
}

struct Draft<'a> {
    key: &'a ServiceKey,
    now: Moment,
    jitter: u64,
    plan: Plan,
}

impl Draft<'_> {
    fn say(&mut self, what: What) {
        self.plan.notices.push(Notice { key: self.key.clone(), what });
    }

    fn complain(&mut self, what: What) {
        if self.plan.service.complaint.as_ref() != Some(&what) {
            self.plan.service.complaint = Some(what.clone());
            self.say(what);
        }
    }

    fn complain_of_requests(&mut self, what: What) {
        if self.plan.service.request_complaint.as_ref() != Some(&what) {
            self.plan.service.request_complaint = Some(what.clone());
            self.say(what);
        }
    }

    /// Said once for a content: an autoscaler changes the workload all the time, each change is
    /// reason to ask again, and a webhook may word its answer differently every time.
    fn complain_of_refusal(&mut self, what: What) {
        let told = matches!(self.plan.service.request_complaint, Some(What::Refused { .. }));
        self.plan.service.request_complaint = Some(what.clone());
        if !told {
            self.say(what);
        }
    }

    fn pause(&mut self, wait: Duration) {
        let at = self.now + wait;
        self.plan.service.retry_at = Some(at);
        self.plan.wake = Some(at);
    }

    fn wait_at_least(&mut self, wait: Duration) {
        let own = self.plan.service.retry_at.map_or(Duration::ZERO, |at| at.since(self.now));
        self.pause(own.max(wait));
    }

    fn back_off(&mut self) {
        let service = &mut self.plan.service;
        service.failures = service.failures.saturating_add(1);
        let wait = backoff::delay(service.failures, self.jitter);
        self.pause(wait);
    }

    fn went_through(&mut self, reply: Reply) {
        self.plan.service.failures = 0;
        self.plan.service.denials = 0;
        self.plan.service.retry_at = None;
        // A look says nothing about whether the PATCH will get through, nor does a check; and one
        // that was refused is not taken back by what comes before the next one.
        let complaint = &mut self.plan.service.request_complaint;
        let goes_on = match complaint {
            Some(What::Refused { .. }) => !matches!(reply, Reply::Patched(_)),
            _ => matches!(reply, Reply::Looked(_) | Reply::ImagesChecked),
        };
        if !goes_on {
            *complaint = None;
        }
        match reply {
            Reply::Namespace(state) => self.namespace(state),
            Reply::NamespaceCreated => self.namespace_created(),
            Reply::Looked(_) => {
                let phase = &mut self.plan.service.phase;
                if let Phase::Patching(intent) | Phase::Returning(intent) = phase {
                    intent.look_first = false;
                }
                if let Some(rollout) = self.answered() {
                    rollout.looked = true;
                }
            }
            Reply::ImagesChecked => {
                if let Phase::Patching(intent) = &mut self.plan.service.phase {
                    intent.checked = true;
                }
            }
            Reply::PullSecretReady(secrets) => {
                if let Phase::Patching(intent) = &mut self.plan.service.phase {
                    intent.pull_secrets = Some(secrets);
                }
            }
            Reply::Patched(workload) => self.patched(&workload),
            Reply::ReplicaSet(hash) => self.replica_set(hash),
            Reply::Log(text) => self.log(text),
            Reply::Warning(warning) => {
                if let Some(rollout) = self.answered() {
                    // An Event lives for an hour; one of before this rollout is about another.
                    let is_fresh = |event: &Event| {
                        event.seen.is_none_or(|at| at + CLOCK_SLACK >= rollout.started)
                    };
                    rollout.warning = Some(warning.filter(is_fresh));
                }
            }
        }
    }

    fn patched(&mut self, workload: &Workload) {
        let (Phase::Patching(intent) | Phase::Returning(intent)) = &self.plan.service.phase else {
            return;
        };
        let goes_back = matches!(self.plan.service.phase, Phase::Returning(_));
        let asked = intent.changes.clone();
        let attempt = self.plan.service.attempts.saturating_add(1);
        let rollout = Box::new(rollout::begin(attempt, intent, workload, self.now));
        let rewritten: Vec<Change> = asked
            .iter()
            .zip(&rollout.changes)
            .filter(|(asked, stored)| asked.to != stored.to)
            .map(|(asked, stored)| Change { from: asked.to.clone(), ..stored.clone() })
            .collect();
        self.say(What::Started { changes: rollout.changes.clone() });
        if !rewritten.is_empty() {
            self.say(What::ImageRewritten { changes: rewritten });
        }
        self.plan.service.attempts = attempt;
        self.plan.service.given_up = None;
        self.plan.service.phase = match goes_back {
            true => Phase::RollingBack(rollout),
            false => Phase::Rolling(rollout),
        };
    }

    fn replica_set(&mut self, hash: Option<Box<str>>) {
        match (self.answered(), hash) {
            (Some(rollout), Some(hash)) => rollout.template = Some((rollout.asked_for, hash)),
            // Troubled pods of older ReplicaSets: the own one is not there yet.
            (Some(rollout), None) if !rollout.asked_early.is_empty() => {}
            (_, None) => self.back_off(),
            (None, Some(_)) => {}
        }
    }

    /// The rollout in flight, whose question has its answer now.
    fn answered(&mut self) -> Option<&mut Rollout> {
        let (Phase::Rolling(rollout) | Phase::RollingBack(rollout)) = &mut self.plan.service.phase
        else {
            return None;
        };
        rollout.question = None;
        Some(rollout)
    }

    fn log(&mut self, text: String) {
        if let Some(rollout) = self.answered() {
            rollout.log_tail = Some(text);
        }
    }

    fn did_not(&mut self, setback: Setback) {
        if self.plan.service.in_flight() {
            return self.rollout_question_failed(setback);
        }
        self.creation_came_to(match setback {
            Setback::Unanswered(_) => Creation::InDoubt,
            _ => Creation::NotAsked,
        });
        match setback {
            Setback::Transient { text, retry_after } => self.failed(text, retry_after),
            Setback::Unanswered(text) => self.failed(text, None),
            Setback::Outdated => self.outdated(),
            Setback::NamespaceTerminating => self.namespace_terminating(),
            Setback::NotPermitted(text) | Setback::Unauthenticated(text) => {
                self.not_permitted(text)
            }
            Setback::Refused(message) => self.refused(message),
            Setback::ImageMissing(message) => self.image_missing(message),
            Setback::Registry(text) => {
                self.complain_of_requests(What::RegistryUnready(text));
                self.pause(SLOW_RETRY);
            }
            Setback::Busy => {
                self.pause(BUSY_RETRY + Duration::from_millis(self.jitter % 200));
            }
        }
    }

    fn failed(&mut self, text: String, retry_after: Option<Duration>) {
        self.back_off();
        self.wait_at_least(retry_after.unwrap_or_default().min(RETRY_AFTER_CAP));
        if self.plan.service.failures == FAILURES_TO_SAY {
            self.complain_of_requests(What::Unreachable(text));
        }
    }

    /// A log, a warning, a ReplicaSet or the workload could not be read. The verdict does without the first
    /// two.
    fn rollout_question_failed(&mut self, setback: Setback) {
        let (Phase::Rolling(rollout) | Phase::RollingBack(rollout)) = &mut self.plan.service.phase
        else {
            return;
        };
        match rollout.question.take() {
            Some(Question::Log) => {
                rollout.log_tail = Some(String::new());
                return;
            }
            Some(Question::Warning) => {
                rollout.warning = Some(None);
                return;
            }
            // The watch is all that there is.
            Some(Question::Workload)
                if matches!(setback, Setback::NotPermitted(_) | Setback::Refused(_)) =>
            {
                rollout.looked = true;
                return;
            }
            Some(Question::Workload) => {}
            Some(Question::ReplicaSet) | None => rollout.asked_early.clear(),
        }
        match setback {
            Setback::Transient { text, .. } | Setback::Unanswered(text) => self.failed(text, None),
            Setback::NotPermitted(text) | Setback::Unauthenticated(text) => {
                self.back_off();
                self.complain_of_requests(What::NotPermitted(text));
            }
            _ => self.back_off(),
        }
    }

    /// An API server that has just started refuses everybody until it has read its roles, for a second
    /// or some (seen on 1.37). So a PATCH is tried a little more before somebody is told.
    fn not_permitted(&mut self, text: String) {
        let service = &mut self.plan.service;
        if matches!(service.phase, Phase::Patching(_) | Phase::Returning(_)) {
            let denials = usize::try_from(service.denials).unwrap_or(usize::MAX);
            service.denials = service.denials.saturating_add(1);
            if let Some(wait) = DENIED_RETRIES.get(denials) {
                return self.pause(*wait);
            }
        }
        self.complain_of_requests(What::NotPermitted(text));
        self.pause(SLOW_RETRY);
    }

    fn outdated(&mut self) {
        let (Phase::Patching(intent) | Phase::Returning(intent)) = &mut self.plan.service.phase
        else {
            return self.back_off();
        };
        intent.look_first = true;
        intent.misses = intent.misses.saturating_add(1);
        if intent.misses > QUICK_LOOKS {
            // Looks in between go through, so the failures in a row are those of the guards.
            self.plan.service.failures = u32::from(intent.misses - QUICK_LOOKS) - 1;
            self.back_off();
            let text = "the workload changes faster than it can be patched";
            self.complain_of_requests(What::Unreachable(text.to_owned()));
        }
    }

    /// Nothing is patched. It is said once, and looked for again now and then.
    fn image_missing(&mut self, message: String) {
        let Phase::Patching(intent) = &self.plan.service.phase else { return };
        let again = self.now + MISSING_RETRY;
        let changes = intent.changes.clone();
        let refusal = Refusal {
            desired: intent.desired.clone(),
            uid: intent.uid.clone(),
            generation: intent.generation,
            again: Some(again),
        };
        self.complain_of_requests(What::ImageMissing { changes, message });
        self.plan.service.phase = Phase::Refused(refusal);
        self.plan.wake = Some(again);
    }

    fn refused(&mut self, message: String) {
        match &self.plan.service.phase {
            Phase::Patching(intent) => {
                let changes = intent.changes.clone();
                let refusal = Refusal {
                    desired: intent.desired.clone(),
                    uid: intent.uid.clone(),
                    generation: intent.generation,
                    again: None,
                };
                self.complain_of_refusal(What::Refused { changes, message });
                self.plan.service.phase = Phase::Refused(refusal);
            }
            Phase::Returning(intent) => {
                let (changes, took) = (intent.changes.clone(), Duration::ZERO);
                let settled = Settled::of(intent);
                let refused = Some(format!("the API server does not accept it: {message}"));
                self.say(What::RollbackFailed { changes, cause: None, refused, took });
                self.plan.service.phase = Phase::Settled(settled);
            }
            _ => {
                self.complain_of_requests(What::NotPermitted(message));
                self.pause(SLOW_RETRY);
            }
        }
    }
}
