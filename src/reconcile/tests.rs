//! Schedules of looks and replies, as a worker would go through them.
//!
//! [`Desk`] stands for the worker: it holds one service and what file and cluster show of it. Each
//! look is written down as one line: what is said, and which step follows.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Drift, Patience, Phase, Plan, Policy, Reply, Service, Setback, Step, View, after, plan,
    resolve, retry,
};
use crate::desired::DesiredState;
use crate::model::{
    Change, Condition, ContainerState, Gap, Image, ImageSet, Kind, Moment, NamespaceState, Notice,
    Pod, Problem, Replicas, ServiceKey, Successor, Terminated, What, Workload, fixture,
};

mod changes;
mod conditions;
mod ecr;
mod found;
mod gaps;
mod kinds;
mod requests;
mod restarts;
mod rollback;
mod template;
mod verdicts;
mod waiting;

struct Desk {
    key: ServiceKey,
    service: Service,
    desired: Option<DesiredState>,
    started: bool,
    synced: bool,
    workload: Option<Workload>,
    namesakes: Vec<Kind>,
    gap: Option<Gap>,
    pods: Vec<Arc<Pod>>,
    admitted: bool,
    policy: Policy,
    now: Moment,
    step: Option<Step>,
    wake: Option<Moment>,
}

fn images(text: &str) -> ImageSet {
    ImageSet::Single(Image::parse(text).expect("a valid image"))
}

fn desk(file: &str, workload: Option<Workload>) -> Desk {
    let mut desk = Desk {
        key: fixture::key("web"),
        service: Service::default(),
        desired: None,
        started: true,
        synced: true,
        workload,
        namesakes: Vec::new(),
        gap: None,
        pods: Vec::new(),
        admitted: true,
        policy: Policy {
            patience: Patience::default(),
            rollback: false,
            timeout: Duration::from_secs(240),
            drift: Drift::Report,
            create_namespaces: true,
            allow_namespaces: Vec::new(),
            ecr: Default::default(),
            images: Default::default(),
        },
        now: Moment(1000),
        step: None,
        wake: None,
    };
    desk.save(file);
    desk
}

impl Desk {
    fn save(&mut self, image: &str) {
        self.desired = Some(DesiredState { images: Some(images(image)), problem: None });
    }

    #[track_caller]
    fn look(&mut self, expect: &str) {
        let plan = self.peek();
        self.take(plan, expect);
    }

    /// The plan, without carrying it out.
    fn peek(&self) -> Plan {
        let view = View {
            namesakes: &self.namesakes,
            gap: self.gap,
            key: &self.key,
            desired: self.desired.as_ref(),
            started: self.started,
            synced: self.synced,
            workload: self.workload.as_ref(),
            pods: &self.pods,
            admitted: self.admitted,
            policy: &self.policy,
            now: self.now,
        };
        plan(&self.service, &view)
    }

    /// The time limit has passed: the workload is looked at once more, and is as it was.
    #[track_caller]
    fn times_out(&mut self, expect: &str) {
        self.look("→ LookAtWorkload");
        self.look_goes_through();
        self.look(expect);
    }

    /// The API server shows the workload as it is.
    #[track_caller]
    fn look_goes_through(&mut self) {
        let seen = self.workload().clone();
        self.reply(Ok(Reply::Looked(Some(Box::new(seen)))), "");
    }

    #[track_caller]
    fn reply(&mut self, outcome: Result<Reply, Setback>, expect: &str) {
        assert!(self.step.is_some(), "a reply needs a step");
        let plan = after(&self.service, &self.key, outcome, self.now, 0);
        self.take(plan, expect);
    }

    #[track_caller]
    fn take(&mut self, plan: Plan, expect: &str) {
        if let (Some(Step::Patch(patch)), Some(workload)) = (&plan.step, &self.workload) {
            for target in &patch.targets {
                let seen = resolve::container(target, workload).expect("it is there");
                assert_eq!(target.expected, seen.image, "only over what was seen");
            }
        }
        let told = |n: &&Notice| !matches!(n.what, What::Progressed { .. });
        let said = plan.notices.iter().filter(told).map(notice);
        let step = plan.step.as_ref().map(|step| format!("→ {}", step_word(step)));
        let line = said.chain(step).collect::<Vec<_>>().join(" ");
        (self.service, self.step, self.wake) = (plan.service, plan.step, plan.wake);
        assert_eq!(line, expect);
    }

    /// The API server takes the PATCH: new image, next generation, status still the old one.
    #[track_caller]
    fn patch_goes_through(&mut self) {
        let Some(Step::Patch(patch)) = self.step.clone() else {
            panic!("no PATCH: {:?}", self.step)
        };
        let workload = self.workload.as_mut().expect("a workload");
        assert_eq!(patch.uid, workload.uid);
        for target in &patch.targets {
            workload.containers[target.index].image = target.image.as_str().into();
        }
        workload.generation += 1;
        let stored = Reply::Patched(Box::new(workload.clone()));
        self.reply(Ok(stored), "started");
    }

    fn workload(&mut self) -> &mut Workload {
        self.workload.as_mut().expect("a workload")
    }

    /// The controller has seen the newest generation, and counts so many pods.
    fn status(&mut self, total: i32, updated: i32, available: i32) {
        let workload = self.workload();
        workload.observed_generation = workload.generation;
        let wanted = workload.replicas.wanted;
        workload.replicas = Replicas { wanted, total, updated, ready: available, available };
    }

    fn later(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }
}

fn notice(notice: &Notice) -> String {
    match &notice.what {
        What::Started { .. } => "started".into(),
        What::Succeeded { took, .. } => format!("succeeded in {}s", took.as_secs()),
        What::Failed { failure: f, .. } => format!(
            "failed({} {} {}/{} old {} log {:?})",
            f.reason, f.image, f.bad_pods, f.new_pods, f.old_serving, f.log_tail
        ),
        What::TimedOut { lateness, cause: None, .. } => format!("timed out: {lateness:?}"),
        What::TimedOut { lateness, cause: Some(cause), .. } => {
            format!("timed out: {lateness:?}, by {:?} {}", cause.sign, cause.message)
        }
        What::Troubled { failure, .. } => format!("troubled({:?})", failure.sign),
        What::RollingBack { changes } => format!("rolling back {}", arrow(changes)),
        What::RolledBack { changes, took } => {
            format!("rolled back {} in {}s", arrow(changes), took.as_secs())
        }
        What::RollbackFailed { changes, refused: Some(message), .. } => {
            format!("could not put back {}: {message}", arrow(changes))
        }
        What::RollbackFailed { changes, .. } => format!("rollback failed {}", arrow(changes)),
        What::Rejected { changes } => format!("rejected {}", arrow(changes)),
        What::Superseded { by: Successor::File, .. } => "superseded".into(),
        What::Superseded { by: Successor::SomebodyElse, .. } => "superseded by somebody".into(),
        What::Recovered { .. } => "recovered".into(),
        What::ImageMissing { .. } => "image missing".into(),
        What::Drift { changes, corrected: true } => format!("corrects drift {}", arrow(changes)),
        What::Drift { changes, corrected: false } => format!("drift {}", arrow(changes)),
        What::Found { end, message, .. } => format!("found {end:?} {message:?}"),
        other => format!("{other:?}"),
    }
}

fn arrow(changes: &[Change]) -> String {
    format!("{}→{}", changes[0].from, changes[0].to)
}

fn step_word(step: &Step) -> String {
    match step {
        Step::Patch(patch) => {
            let image = |t: &crate::model::Target| format!("{}={}", t.container, t.image);
            format!("patch {}", patch.targets.iter().map(image).collect::<Vec<_>>().join(" "))
        }
        Step::CheckImages(_) => "check images".into(),
        Step::EnsurePullSecret(_) => "pull secret".into(),
        other => format!("{other:?}"),
    }
}

fn waiting(name: &str, hash: &str, reason: &str, message: &str) -> Arc<Pod> {
    let state = ContainerState::Waiting { reason: reason.into(), message: message.into() };
    new_pod(name, hash, state, 0)
}

fn new_pod(name: &str, hash: &str, state: ContainerState, restarts: u32) -> Arc<Pod> {
    let mut pod = fixture::pod(name, &[("app", "web"), ("pod-template-hash", hash)]);
    pod.containers[0].state = state;
    pod.containers[0].restarts = restarts;
    pod.containers[0].last = (restarts > 0).then(|| Terminated {
        exit_code: 1,
        reason: "Error".into(),
        message: "".into(),
    });
    Arc::new(pod)
}

/// A desk whose rollout to nginx:1.25 is in flight and seen by the controller.
fn rolling() -> Desk {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    desk.patch_goes_through();
    desk.look("");
    desk.status(4, 1, 3);
    desk
}
