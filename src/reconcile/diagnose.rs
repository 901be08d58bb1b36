//! The pods and conditions of a rollout → why it cannot succeed, or may not.
//!
//! Only pods of the new ReplicaSet or revision count, and only trouble that outlasts its grace: a
//! registry that is busy for a moment is no failure. What the watches do not tell (which ReplicaSet
//! is the new one, a log, a warning) is asked for when a verdict depends on it, and not before.

use std::sync::Arc;
use std::time::Duration;

use super::Patience;
use super::rollout::{fresh_progressing, is_observed};
use super::signs::{Trouble, advance, clean, trouble, unready};
use super::template::{note_early, note_template, take_told_hash};
use crate::model::{
    Condition, Container, ContainerState, Failure, Kind, Moment, Pod, PodContainer, Rollout, Sign,
    Workload,
};

/// Runs of a crashing container after which one pod speaks for all.
const CRASHES_THAT_SETTLE_IT: u32 = 3;
/// Pods that a failure names as those to delete.
const NAMED_PODS: usize = 5;

/// What pods and conditions say.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing is wrong.
    Fine,
    /// Something looks wrong, but whether those pods are the new ones is not known yet.
    WhichReplicaSet,
    /// A container crashes for good; its log should be read before the verdict.
    ReadLog {
        /// The pod.
        pod: Box<str>,
        /// Its container.
        container: Box<str>,
        /// Read the run before the current one.
        previous: bool,
    },
    /// Somebody may have warned of it; that should be read before the verdict.
    ReadWarning {
        /// The object it is about.
        uid: Box<str>,
        /// Only warnings of this reason.
        reason: Option<&'static str>,
    },
    /// A sign of failure, within its grace until then; `None`: until the time limit.
    Suspect(Box<Failure>, Option<Moment>),
    /// The rollout cannot succeed.
    Failed(Box<Failure>),
}

/// What there is to look at.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The workload.
    pub workload: &'a Workload,
    /// The pods that its selector finds.
    pub pods: &'a [Arc<Pod>],
    /// The graces.
    pub patience: Patience,
    /// The rollout waits for people, so that its time without progress stands still.
    pub held: bool,
    /// Half of the time without progress is over: time to know which pods are the new ones, so that
    /// their progress counts.
    pub halfway: bool,
    /// Time is up: a pod that is not ready is trouble enough.
    pub late: bool,
    /// The time.
    pub now: Moment,
}

/// Looks at the evidence. Notes in `rollout` what must be remembered for the next look: since when a
/// sign shows, whether a new pod was ever ready, how far the new pods have come.
pub fn diagnose(rollout: &mut Rollout, evidence: Evidence<'_>) -> Finding {
    let workload = evidence.workload;
    note_template(rollout, workload);
    let live = || evidence.pods.iter().map(|pod| &**pod).filter(|pod| !pod.deleting);
    let shown = |pod| evidence.trouble_of(pod);
    take_told_hash(rollout, workload, live());
    let Some((_, revision)) = rollout.template.clone() else {
        let mut troubled = live().filter(|pod| evidence.halfway || shown(pod).is_some());
        let ask = if is_observed(rollout, workload) {
            rollout.asked_early.clear();
            troubled.next().is_some()
        } else {
            note_early(rollout, troubled)
        };
        if workload.kind == Kind::Deployment && ask {
            return Finding::WhichReplicaSet;
        }
        return evidence.without_pods(rollout);
    };
    let is_new = |pod: &&Pod| pod.revision(workload.kind) == Some(&*revision);
    let (new, old): (Vec<&Pod>, Vec<&Pod>) = live().partition(is_new);
    note_advance(rollout, &new, evidence.now);
    let troubles: Vec<Trouble> = new.iter().filter_map(|pod| shown(pod)).collect();
    if let Some(worst) = troubles.iter().min_by_key(|t| (t.sign, &t.pod.name)) {
        let bad: Vec<&Trouble> = troubles.iter().filter(|t| t.sign == worst.sign).collect();
        return evidence.of_pods(rollout, worst, &bad, &new);
    }
    // A StatefulSet that keeps its pods in order waits for an old one that never gets ready.
    let stuck: Vec<Trouble> = match workload.in_order {
        true => old.iter().filter_map(|pod| shown(pod)).collect(),
        false => Vec::new(),
    };
    match stuck.first() {
        Some(first) => {
            let bad: Vec<&Trouble> = stuck.iter().collect();
            let first = Trouble { sign: Sign::Stuck, ..*first };
            evidence.of_pods(rollout, &first, &bad, &new)
        }
        None => evidence.without_pods(rollout),
    }
}

/// A container of a new pod that starts is progress, however long the pod takes to be ready.
fn note_advance(rollout: &mut Rollout, new: &[&Pod], now: Moment) {
    rollout.ever_ready |= new.iter().any(|pod| pod.ready);
    let is = new.iter().map(|pod| advance(pod)).sum();
    if rollout.advanced.is_some_and(|best| is > best) {
        rollout.progressed = now;
    }
    rollout.advanced = Some(rollout.advanced.map_or(is, |best| best.max(is)));
}

impl Evidence<'_> {
    fn trouble_of<'p>(&self, pod: &'p Pod) -> Option<Trouble<'p>> {
        trouble(pod).or_else(|| unready(pod).filter(|_| self.late))
    }

    fn of_pods(
        &self,
        rollout: &mut Rollout,
        worst: &Trouble<'_>,
        bad: &[&Trouble<'_>],
        new: &[&Pod],
    ) -> Finding {
        let since = note_suspicion(rollout, worst.sign, self.now);
        let mut failure = self.failure(worst, bad, new, rollout);
        failure.since = self.now.since(since);
        if worst.sign == Sign::Crash && !crashed_for_good(bad, new.len(), rollout.ever_ready) {
            return Finding::Suspect(failure, None);
        }
        let Some(grace) = self.patience.grace(worst.sign) else {
            if self.late && worst.sign == Sign::Unready && rollout.warning.is_none() {
                return Finding::ReadWarning { uid: worst.pod.uid.clone(), reason: None };
            }
            return Finding::Suspect(failure, None);
        };
        // A rollout that gets on nevertheless starts the grace anew: it is each time another pod's.
        let since = if self.held { since } else { since.max(rollout.progressed) };
        if self.now < since + grace {
            return Finding::Suspect(failure, Some(since + grace));
        }
        if worst.sign == Sign::Crash
            && rollout.log_tail.is_none()
            && let Some(container) = worst.container
        {
            let pod = worst.pod.name.clone();
            let previous = !matches!(container.state, ContainerState::Terminated(_));
            return Finding::ReadLog { pod, container: container.name.clone(), previous };
        }
        Finding::Failed(failure)
    }

    /// What the workload itself says when its pods say nothing.
    fn without_pods(&self, rollout: &mut Rollout) -> Finding {
        let workload = self.workload;
        let progressing = fresh_progressing(rollout, workload);
        let sign_of = |condition: &Condition| match &*condition.reason {
            "ReplicaSetCreateError" => Some(Sign::PodCreate),
            // That is a matter of time, see `follow`.
            "ProgressDeadlineExceeded" => None,
            _ => Some(Sign::GivenUp),
        };
        let condition = progressing.filter(|condition| !condition.holds);
        let replicas = workload.replica_failure.as_ref();
        let found = match (condition.and_then(|c| Some((sign_of(c)?, c))), replicas) {
            (Some((sign, condition)), _) => Some((sign, condition)),
            (None, Some(condition)) if is_observed(rollout, workload) => {
                Some((Sign::PodCreate, condition))
            }
            (None, _) => None,
        };
        if let Some((sign, condition)) = found {
            let since = note_suspicion(rollout, sign, self.now);
            let failure =
                self.without_container(rollout, sign, &condition.reason, &condition.message);
            // Where some new pods could be created, the others may find room as old ones go.
            if sign == Sign::PodCreate
                && is_observed(rollout, workload)
                && workload.replicas.updated > 0
            {
                return Finding::Suspect(failure, None);
            }
            let until = since + self.patience.grace(sign).unwrap_or_default();
            let is_over = self.now >= until;
            return if is_over {
                Finding::Failed(failure)
            } else {
                Finding::Suspect(failure, Some(until))
            };
        }
        self.missing_pods(rollout)
    }

    /// StatefulSets and DaemonSets have no condition that says why a pod cannot be created; the
    /// controller only warns of it. So that is asked for when pods stay missing.
    fn missing_pods(&self, rollout: &mut Rollout) -> Finding {
        let workload = self.workload;
        let are_missing = workload.kind != Kind::Deployment
            && is_observed(rollout, workload)
            && workload.replicas.total < workload.replicas.wanted;
        if !are_missing {
            rollout.suspicion = None;
            return Finding::Fine;
        }
        let since = note_suspicion(rollout, Sign::PodCreate, self.now);
        let until = since + self.patience.create;
        let (reason, message) = match &rollout.warning {
            Some(Some(warning)) => (warning.reason.clone(), warning.message.clone()),
            _ => ("MissingPods".into(), "".into()),
        };
        let failure = self.without_container(rollout, Sign::PodCreate, &reason, &message);
        if self.now < until {
            return Finding::Suspect(failure, Some(until));
        }
        match &rollout.warning {
            None => {
                let uid = workload.uid.clone();
                Finding::ReadWarning { uid, reason: Some("FailedCreate") }
            }
            Some(Some(_)) => Finding::Failed(failure),
            // Nobody warned; perhaps later.
            Some(None) => {
                rollout.warning = None;
                rollout.suspicion = Some((Sign::PodCreate, self.now));
                Finding::Suspect(failure, Some(self.now + self.patience.create))
            }
        }
    }

    fn failure(
        &self,
        worst: &Trouble<'_>,
        bad: &[&Trouble<'_>],
        new: &[&Pod],
        rollout: &Rollout,
    ) -> Box<Failure> {
        let name = worst.container.map(|c| c.name.clone()).unwrap_or_default();
        let template = self.template_of(&name);
        let warning = rollout.warning.iter().flatten().next();
        let message = warning.map_or_else(|| worst.told(), |warning| &warning.message);
        let waits_in_order = self.workload.in_order && worst.sign != Sign::Unschedulable;
        let to_delete = bad.iter().filter(|_| waits_in_order).take(NAMED_PODS);
        Box::new(Failure {
            sign: worst.sign,
            kind: self.workload.kind,
            since: Duration::ZERO,
            image: match worst.sign {
                Sign::Stuck => worst.container.map(|c| c.image.clone()).unwrap_or_default(),
                _ => image_of(worst.container, template),
            },
            container: name,
            reason: worst.reason.into(),
            message: clean(message).into(),
            exit_code: worst.container.and_then(exit_code),
            memory_limit: template.and_then(|c| c.memory_limit.clone()),
            probe: template.and_then(|c| c.probe.clone()),
            bad_pods: bad.len(),
            new_pods: new.len(),
            old_serving: (self.workload.replicas.available - ready_count(new)).max(0),
            to_delete: to_delete.map(|t| t.pod.name.clone()).collect(),
            log_tail: rollout.log_tail.clone().unwrap_or_default(),
        })
    }

    fn without_container(
        &self,
        rollout: &Rollout,
        sign: Sign,
        reason: &str,
        message: &str,
    ) -> Box<Failure> {
        let mut count = self.workload.replicas;
        if !is_observed(rollout, self.workload) {
            // The counts are still those of the older template.
            count.updated = 0;
        }
        let since = rollout.suspicion.map_or(self.now, |(_, since)| since);
        let at_least_none = |n: i32| usize::try_from(n).unwrap_or_default();
        Box::new(Failure {
            sign,
            kind: self.workload.kind,
            since: self.now.since(since),
            container: "".into(),
            image: "".into(),
            reason: reason.into(),
            message: clean(message).into(),
            exit_code: None,
            memory_limit: None,
            probe: None,
            bad_pods: at_least_none(count.wanted - count.updated),
            new_pods: at_least_none(count.wanted),
            old_serving: count.available.min(count.total - count.updated).max(0),
            to_delete: Vec::new(),
            log_tail: String::new(),
        })
    }

    fn template_of(&self, container: &str) -> Option<&Container> {
        let mut all = self.workload.containers.iter().chain(&self.workload.init_containers);
        all.find(|c| &*c.name == container)
    }
}

/// Since when the sign shows.
fn note_suspicion(rollout: &mut Rollout, sign: Sign, now: Moment) -> Moment {
    match rollout.suspicion {
        Some((before, since)) if before == sign => since,
        _ => {
            rollout.suspicion = Some((sign, now));
            rollout.warning = None;
            now
        }
    }
}

/// All new pods crash, or one did three times while no new pod was ever ready.
fn crashed_for_good(bad: &[&Trouble], new_pods: usize, ever_ready: bool) -> bool {
    let restarts = |t: &&Trouble| t.container.map_or(0, |container| container.restarts);
    bad.len() == new_pods
        || !ever_ready && bad.iter().any(|t| restarts(t) >= CRASHES_THAT_SETTLE_IT)
}

/// How the last run that ended did so.
fn exit_code(container: &PodContainer) -> Option<i32> {
    match &container.state {
        ContainerState::Terminated(run) => Some(run.exit_code),
        _ => container.last.as_ref().map(|run| run.exit_code),
    }
}

fn ready_count(pods: &[&Pod]) -> i32 {
    i32::try_from(pods.iter().filter(|pod| pod.ready).count()).unwrap_or(i32::MAX)
}

/// The image that the template gives this container; the kubelet's own text may be another name.
fn image_of(container: Option<&PodContainer>, template: Option<&Container>) -> Box<str> {
    let own = || container.map(|c| c.image.clone()).unwrap_or_default();
    template.map_or_else(own, |c| c.image.clone())
}
