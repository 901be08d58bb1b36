//! Schedules of looks and replies, as a worker would go through them.
//!
//! [`Desk`] stands for the worker: it holds one service and what file and cluster show of it. Each
//! look is written down as one line: what is said, and which step follows.

use std::sync::Arc;
use std::time::Duration;

use super::{Drift, Phase, Plan, Policy, Reply, Service, Setback, Step, View, after, plan};
use crate::desired::DesiredState;
use crate::model::{
    Condition, Container, ContainerState, Image, ImageSet, Kind, Moment, NamespaceState, Notice,
    Pod, Problem, Replicas, ServiceKey, Terminated, What, Workload, fixture,
};

mod ecr;

struct Desk {
    key: ServiceKey,
    service: Service,
    desired: Option<DesiredState>,
    synced: bool,
    workload: Option<Workload>,
    namesakes: Vec<Kind>,
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
        synced: true,
        workload,
        namesakes: Vec::new(),
        pods: Vec::new(),
        admitted: true,
        policy: Policy {
            timeout: Duration::from_secs(240),
            drift: Drift::Report,
            create_namespaces: true,
            allow_namespaces: Vec::new(),
            ecr: Default::default(),
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
        let view = View {
            namesakes: &self.namesakes,
            key: &self.key,
            desired: self.desired.as_ref(),
            synced: self.synced,
            workload: self.workload.as_ref(),
            pods: &self.pods,
            admitted: self.admitted,
            policy: &self.policy,
            now: self.now,
        };
        let plan = plan(&self.service, &view);
        self.take(plan, expect);
    }

    #[track_caller]
    fn reply(&mut self, outcome: Result<Reply, Setback>, expect: &str) {
        assert!(self.step.is_some(), "a reply needs a step");
        let plan = after(&self.service, &self.key, outcome, self.now, 0);
        self.take(plan, expect);
    }

    #[track_caller]
    fn take(&mut self, plan: Plan, expect: &str) {
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
        What::TimedOut { lateness, .. } => format!("timed out: {lateness:?}"),
        What::Superseded { .. } => "superseded".into(),
        What::Recovered { .. } => "recovered".into(),
        What::ImageMissing { .. } => "image missing".into(),
        What::Drift { changes, .. } => format!("drift {}→{}", changes[0].from, changes[0].to),
        other => format!("{other:?}"),
    }
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

#[test]
fn a_new_image_is_patched_followed_and_reported() {
    let mut desk = rolling();
    desk.later(3);
    desk.look("");
    desk.status(4, 3, 3);
    desk.look("");
    desk.status(3, 3, 2);
    desk.look("");
    desk.later(4);
    desk.status(3, 3, 3);
    desk.look("succeeded in 7s");
    desk.look("");
    assert!(matches!(desk.service.phase, Phase::Settled(_)));
}

#[test]
fn nothing_happens_before_the_first_list() {
    let mut desk = desk("nginx:1.25", None);
    desk.synced = false;
    desk.look("");
    desk.workload = Some(fixture::workload("web"));
    desk.look("");
    desk.synced = true;
    desk.look("→ patch app=nginx:1.25");
}

#[test]
fn a_workload_that_already_agrees_is_a_baseline_whatever_the_spelling() {
    let mut desk = desk("docker.io/library/nginx:1.24", Some(fixture::workload("web")));
    desk.look("AlreadyRuns");
    desk.look("");
}

#[test]
fn status_older_than_the_patch_is_no_success() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    desk.patch_goes_through();
    desk.look("");
    desk.workload().resource_version += 1;
    desk.look("");
    assert!(desk.service.in_flight());
}

#[test]
fn a_newer_file_supersedes_the_rollout_at_once() {
    let mut desk = rolling();
    desk.save("nginx:1.26");
    desk.look("superseded → patch app=nginx:1.26");
    desk.patch_goes_through();
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
}

#[test]
fn a_newer_file_during_back_off_is_tried_at_once() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    let down = || Err(Setback::Transient { text: "connection refused".into(), retry_after: None });
    desk.reply(down(), "");
    desk.look("");
    assert!(desk.wake.is_some(), "it is tried again later");
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
}

#[test]
fn a_lost_reply_leads_to_one_rollout_and_one_verdict() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    desk.workload().containers[0].image = "nginx:1.25".into();
    desk.workload().generation = 2;
    let lost = Setback::Transient { text: "connection reset".into(), retry_after: None };
    desk.reply(Err(lost), "");
    desk.look("started");
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
}

#[test]
fn a_failed_guard_leads_to_a_fresh_look_and_after_three_to_back_off() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    for _ in 0..3 {
        desk.look("→ patch app=nginx:1.25");
        desk.reply(Err(Setback::Outdated), "");
        desk.look("→ LookAtWorkload");
        desk.reply(Ok(Reply::Looked(None)), "");
    }
    let said = "Unreachable(\"the workload changes faster than it can be patched\")";
    desk.look("→ patch app=nginx:1.25");
    desk.reply(Err(Setback::Outdated), said);
    let mut waits = Vec::new();
    for _ in 0..4 {
        desk.look("");
        let wake = desk.wake.expect("it goes on later");
        waits.push(wake.since(desk.now));
        desk.now = wake;
        desk.look("→ LookAtWorkload");
        desk.reply(Ok(Reply::Looked(None)), "");
        desk.look("→ patch app=nginx:1.25");
        desk.reply(Err(Setback::Outdated), "");
    }
    assert!(waits.is_sorted() && waits[3] >= 8 * waits[0], "ever more slowly: {waits:?}");
}

#[test]
fn retry_after_is_obeyed_and_absurd_values_are_capped() {
    for (asked, waits) in [(5, 5), (100_000, 60)] {
        let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
        desk.look("→ patch app=nginx:1.25");
        let retry_after = Some(Duration::from_secs(asked));
        desk.reply(Err(Setback::Transient { text: "429".into(), retry_after }), "");
        assert_eq!(desk.wake, Some(desk.now + Duration::from_secs(waits)));
        desk.later(waits - 1);
        desk.look("");
        desk.later(1);
        desk.look("→ patch app=nginx:1.25");
    }
}

#[test]
fn an_image_that_does_not_exist_fails_at_once_and_a_good_one_is_deployed() {
    let mut desk = rolling();
    let old = new_pod("web-old", "aaa", ContainerState::Running, 0);
    let gone = "docker.io/library/nginx:1.25: not found";
    desk.pods = vec![old, waiting("web-new", "bbb", "ErrImagePull", gone)];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("failed(ErrImagePull nginx:1.25 1/1 old 3 log \"\")");
    desk.look("");
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
}

#[test]
fn trouble_of_old_pods_is_no_failure() {
    let mut desk = rolling();
    desk.pods = vec![waiting("web-old", "aaa", "ImagePullBackOff", "not found")];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("");
    assert!(desk.service.in_flight());
}

#[test]
fn new_pods_count_before_the_controller_says_that_it_has_seen_the_template() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    desk.patch_goes_through();
    let gone = "docker.io/library/nginx:1.25: not found";
    desk.pods = vec![waiting("web-old", "aaa", "ImagePullBackOff", gone)];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(None)), "");
    desk.look("");
    desk.pods.push(waiting("web-new", "bbb", "ErrImagePull", gone));
    desk.look("→ FindReplicaSet");
    desk.reply(Err(Setback::Transient { text: "429".into(), retry_after: None }), "");
    desk.look("");
    desk.later(1);
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("failed(ErrImagePull nginx:1.25 1/1 old 3 log \"\")");
}

#[test]
fn pods_do_not_count_early_when_somebody_else_changed_the_workload_as_well() {
    for (generations, observed) in [(1, -1), (2, 0)] {
        let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
        desk.workload().observed_generation = desk.workload().generation + observed;
        desk.look("→ patch app=nginx:1.25");
        desk.workload().generation += generations - 1;
        desk.patch_goes_through();
        desk.pods = vec![waiting("web-new", "bbb", "ErrImagePull", "not found")];
        desk.look("");
        desk.status(4, 1, 3);
        desk.look("→ FindReplicaSet");
    }
}

#[test]
fn a_pull_error_that_may_pass_has_a_minute() {
    let mut desk = rolling();
    desk.pods = vec![waiting("web-new", "bbb", "ErrImagePull", "authorization failed")];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("");
    desk.later(30);
    desk.pods = vec![new_pod("web-new", "bbb", ContainerState::Running, 0)];
    desk.look("");
    desk.pods = vec![waiting("web-new", "bbb", "ImagePullBackOff", "authorization failed")];
    desk.look("");
    assert_eq!(desk.wake, Some(desk.now + Duration::from_secs(60)));
    desk.later(60);
    desk.look("failed(ImagePullBackOff nginx:1.25 1/1 old 3 log \"\")");
}

#[test]
fn a_crash_loop_is_a_failure_with_the_last_lines_of_the_log() {
    let mut desk = rolling();
    let loops = |restarts| {
        let reason = "CrashLoopBackOff".into();
        let state = ContainerState::Waiting { reason, message: "back-off 10s".into() };
        new_pod("web-new", "bbb", state, restarts)
    };
    let fine = new_pod("web-fine", "bbb", ContainerState::Running, 0);
    desk.pods = vec![loops(1), fine];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("");
    desk.pods[0] = loops(3);
    let fetch = "→ FetchLog { pod: \"web-new\", container: \"app\", previous: true }";
    desk.look(fetch);
    desk.reply(Ok(Reply::Log("fatal: no config".into())), "");
    desk.look("failed(CrashLoopBackOff nginx:1.25 1/2 old 3 log \"fatal: no config\")");
}

#[test]
fn a_crash_is_told_without_a_log_that_cannot_be_read() {
    let mut desk = rolling();
    let state = ContainerState::Waiting { reason: "CrashLoopBackOff".into(), message: "".into() };
    desk.pods = vec![new_pod("web-new", "bbb", state, 1)];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("→ FetchLog { pod: \"web-new\", container: \"app\", previous: true }");
    desk.reply(Err(Setback::NotPermitted("no".into())), "");
    desk.look("failed(CrashLoopBackOff nginx:1.25 1/1 old 3 log \"\")");
}

#[test]
fn no_progress_for_the_time_limit_is_a_timeout_and_progress_restarts_it() {
    let mut desk = rolling();
    desk.look("");
    desk.later(200);
    desk.status(4, 2, 3);
    desk.look("");
    desk.later(239);
    desk.look("");
    assert_eq!(desk.wake, Some(desk.now + Duration::from_secs(1)));
    desk.later(1);
    desk.look("timed out: NoProgress(240s)");
    desk.look("");
    desk.status(3, 3, 3);
    desk.look("recovered");
    desk.look("");
}

#[test]
fn the_time_limit_is_the_workloads_own_where_it_has_one() {
    let limit = |change: fn(&mut Workload)| {
        let mut desk = rolling();
        change(desk.workload());
        desk.look("");
        desk.wake.map(|wake| wake.since(desk.now).as_secs())
    };
    assert_eq!(limit(|_| {}), Some(240));
    assert_eq!(limit(|w| w.progress_deadline = Duration::from_secs(30)), Some(30));
    assert_eq!(limit(|w| w.timeout = Some(Duration::from_secs(10))), Some(10));
    assert_eq!(limit(|w| w.min_ready = Duration::from_secs(7)), Some(247));
}

#[test]
fn a_stale_progress_deadline_does_not_count_and_a_fresh_one_does() {
    let exceeded = |at: &str| {
        Some(Condition {
            holds: false,
            reason: "ProgressDeadlineExceeded".into(),
            message: "has timed out progressing".into(),
            updated_at: at.into(),
        })
    };
    let mut workload = fixture::workload("web");
    workload.progressing = exceeded("10:00");
    let mut desk = desk("nginx:1.25", Some(workload));
    desk.look("→ patch app=nginx:1.25");
    desk.patch_goes_through();
    desk.look("");
    desk.status(4, 1, 3);
    desk.look("");
    desk.workload().progressing = exceeded("10:10");
    desk.look("timed out: ProgressDeadline(\"has timed out progressing\")");
}

#[test]
fn a_missing_namespace_is_created_once_and_its_workload_deployed_when_it_comes() {
    let mut desk = desk("nginx:1.25", None);
    desk.look("→ LookAtNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Missing)), "");
    desk.look("→ CreateNamespace");
    desk.reply(Ok(Reply::NamespaceCreated), "NamespaceCreated");
    desk.look("");
    desk.workload = Some(fixture::workload("web"));
    desk.look("→ patch app=nginx:1.25");
}

#[test]
fn a_workload_that_comes_with_the_image_already_in_it_is_followed_to_its_verdict() {
    let mut desk = desk("nginx:1.24", None);
    desk.look("→ LookAtNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Active)), "WorkloadMissing");
    desk.look("");
    let mut workload = fixture::workload("web");
    workload.observed_generation = 0;
    desk.workload = Some(workload);
    desk.look("started");
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
}

#[test]
fn a_namespace_that_a_person_deleted_is_not_created_again() {
    let mut desk = desk("nginx:1.24", Some(fixture::workload("web")));
    desk.look("AlreadyRuns");
    desk.workload = None;
    desk.look("WorkloadDeleted → LookAtNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Terminating)), "");
    desk.later(5);
    desk.look("→ LookAtNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Missing)), "");
    desk.look("");
    desk.save("nginx:1.25");
    desk.look("→ LookAtNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Missing)), "");
    desk.look("→ CreateNamespace");
}

#[test]
fn a_workload_replaced_mid_rollout_is_a_new_workload() {
    let mut desk = rolling();
    desk.look("");
    desk.workload = Some(Workload { uid: "uid-other".into(), ..fixture::workload("web") });
    desk.look("WorkloadReplaced → patch app=nginx:1.25");
    desk.patch_goes_through();
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
}

#[test]
fn a_change_by_somebody_else_is_said_once_and_not_undone() {
    let mut desk = rolling();
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    desk.workload().containers[0].image = "nginx:1.20".into();
    desk.workload().generation += 1;
    desk.look("drift nginx:1.25→nginx:1.20");
    desk.look("");
    desk.workload().containers[0].image = "nginx:1.25".into();
    desk.look("");
    desk.workload().containers[0].image = "nginx:1.20".into();
    desk.look("drift nginx:1.25→nginx:1.20");
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
}

#[test]
fn an_image_pinned_by_an_admission_webhook_counts_as_ours() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    let workload = desk.workload();
    workload.containers[0].image = "nginx@sha256:beef".into();
    workload.generation = 2;
    let stored = workload.clone();
    let pinned = "started ImageRewritten { changes: [Change { container: \"app\", from: \
                  \"nginx:1.25\", to: \"nginx@sha256:beef\" }] }";
    desk.reply(Ok(Reply::Patched(Box::new(stored))), pinned);
    desk.look("");
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    desk.look("");
}

#[test]
fn a_paused_workload_is_held_and_goes_on_when_it_is_lifted() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.workload().paused = true;
    desk.look("Held(Paused)");
    desk.look("");
    desk.workload().paused = false;
    desk.look("Lifted → patch app=nginx:1.25");
}

#[test]
fn a_rollout_paused_on_its_way_does_not_run_out_of_time() {
    let mut desk = rolling();
    desk.workload().held_by_annotation = true;
    desk.look("Held(Annotation)");
    desk.later(1000);
    desk.look("");
    desk.workload().held_by_annotation = false;
    desk.look("Lifted");
    assert!(desk.service.in_flight());
}

#[test]
fn a_refusal_is_final_until_the_file_or_the_workload_changes() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    let denied = || Err(Setback::Refused("policy says no".into()));
    let said = "Refused { changes: [Change { container: \"app\", from: \"nginx:1.24\", to: \
                \"nginx:1.25\" }], message: \"policy says no\" }";
    desk.reply(denied(), said);
    desk.look("");
    desk.workload().generation += 1;
    desk.look("→ patch app=nginx:1.25");
    desk.reply(denied(), said);
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
}

#[test]
fn a_missing_right_is_said_once_and_tried_again_slowly() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    let forbidden = || Err(Setback::NotPermitted("lacks patch".into()));
    desk.look("→ patch app=nginx:1.25");
    desk.reply(forbidden(), "NotPermitted(\"lacks patch\")");
    desk.later(29);
    desk.look("");
    desk.later(1);
    desk.look("→ patch app=nginx:1.25");
    desk.reply(forbidden(), "");
}

#[test]
fn an_unreachable_api_is_said_after_three_failures() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    for said in ["", "", "Unreachable(\"refused\")", ""] {
        desk.look("→ patch app=nginx:1.25");
        let text = "refused".into();
        desk.reply(Err(Setback::Transient { text, retry_after: None }), said);
        desk.later(60);
    }
}

#[test]
fn a_broken_file_changes_nothing_and_is_said_once() {
    let mut desk = rolling();
    let problem = Problem { place: None, text: "no".into() };
    if let Some(desired) = &mut desk.desired {
        desired.problem = Some(problem);
    }
    desk.look("BadFile(Problem { place: None, text: \"no\" })");
    desk.look("");
    assert!(desk.service.in_flight(), "the last valid content stays in force");
    desk.desired = None;
    desk.look("Unmanaged");
    desk.look("");
}

#[test]
fn a_file_that_does_not_fit_the_workload_is_said_once() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    let image = Image::parse("a:1").expect("valid");
    let named = ImageSet::Named(vec![("nope".into(), image)]);
    desk.desired = Some(DesiredState { images: Some(named), problem: None });
    desk.look(
        "Unfit(Problem { place: None, text: \"the workload has no container nope; its containers: \
         app\" })",
    );
    desk.look("");
}

#[test]
fn scaling_during_a_rollout_changes_no_verdict() {
    let mut desk = rolling();
    desk.look("");
    desk.workload().generation += 1;
    desk.workload().replicas.wanted = 5;
    desk.look("");
    desk.status(5, 5, 5);
    desk.look("succeeded in 0s");
    desk.workload().generation += 1;
    desk.look("");
}

#[test]
fn a_service_that_is_not_admitted_waits_without_a_word_and_leaves_its_old_rollout() {
    let mut desk = rolling();
    desk.admitted = false;
    desk.save("nginx:1.26");
    desk.look("superseded");
    desk.look("");
    desk.admitted = true;
    desk.look("→ patch app=nginx:1.26");
}

#[test]
fn drift_is_corrected_where_asked_and_ever_more_slowly_against_a_fighter() {
    let mut desk = rolling();
    desk.policy.drift = Drift::Correct;
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    for (pause, said) in [(0, "drift nginx:1.25→nginx:1.20 "), (30, ""), (60, "")] {
        desk.workload().containers[0].image = "nginx:1.20".into();
        desk.workload().generation += 1;
        if pause > 0 {
            desk.look("");
            assert_eq!(desk.wake, Some(desk.now + Duration::from_secs(pause)));
            desk.later(pause);
        }
        desk.look(&format!("{said}→ patch app=nginx:1.25"));
        desk.patch_goes_through();
        desk.status(3, 3, 3);
        desk.look("succeeded in 0s");
    }
}

#[test]
fn drift_is_not_even_said_where_it_is_to_be_ignored() {
    let mut desk = rolling();
    desk.policy.drift = Drift::Ignore;
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    desk.workload().containers[0].image = "nginx:1.20".into();
    desk.look("");
}

#[test]
fn a_missing_namespace_is_not_created_where_that_is_turned_off() {
    let mut desk = desk("nginx:1.25", None);
    desk.policy.create_namespaces = false;
    desk.look("→ LookAtNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Missing)), "NamespaceGone");
    desk.look("");
}

/// A restart at any moment: the durable state goes through its text form.
fn restart(desk: &mut Desk) {
    let text = serde_json::to_string(&desk.service.durable()).expect("JSON");
    let kept: Service = serde_json::from_str(&text).expect("the same");
    assert_eq!(kept, desk.service.durable());
    desk.service = kept.resumed(desk.now);
    desk.step = None;
}

#[test]
fn a_restart_between_intent_and_patch_sends_it_once_more() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    restart(&mut desk);
    desk.look("→ patch app=nginx:1.25");
}

#[test]
fn a_restart_between_patch_and_its_reply_follows_the_rollout() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    desk.workload().containers[0].image = "nginx:1.25".into();
    desk.workload().generation = 2;
    restart(&mut desk);
    desk.look("started");
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
}

#[test]
fn a_restart_during_a_rollout_gives_its_verdict_and_counts_no_time_that_nobody_watched() {
    let mut desk = rolling();
    desk.look("");
    desk.later(10_000);
    restart(&mut desk);
    desk.look("");
    desk.status(3, 3, 3);
    desk.look("succeeded in 10000s");
    restart(&mut desk);
    desk.look("");
}

#[test]
fn after_a_restart_a_changed_file_is_deployed_and_a_changed_cluster_is_drift() {
    let mut desk = rolling();
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    restart(&mut desk);
    desk.workload().containers[0].image = "nginx:1.20".into();
    desk.look("drift nginx:1.25→nginx:1.20");
    restart(&mut desk);
    desk.look("");
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
}

#[test]
fn a_file_that_does_not_fit_leaves_the_rollout_in_flight_to_its_verdict() {
    let mut desk = rolling();
    let image = Image::parse("a:1").expect("valid");
    let named = ImageSet::Named(vec![("nope".into(), image)]);
    desk.desired = Some(DesiredState { images: Some(named), problem: None });
    desk.look(
        "Unfit(Problem { place: None, text: \"the workload has no container nope; its containers: \
         app\" })",
    );
    desk.look("");
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    desk.look("");
}

#[test]
fn images_that_are_pinned_out_of_order_are_still_ours() {
    let container = |name: &str, image: &str| Container { name: name.into(), image: image.into() };
    let mut workload = fixture::workload("web");
    workload.containers = Box::new([container("web", "web:1"), container("log", "log:1")]);
    let mut desk = desk("nginx:1.25", Some(workload));
    let image = |text: &str| Image::parse(text).expect("valid");
    let lines = vec![("log".into(), image("log:2")), ("web".into(), image("web:2"))];
    desk.desired = Some(DesiredState { images: Some(ImageSet::Named(lines)), problem: None });
    desk.look("→ patch log=log:2 web=web:2");
    let workload = desk.workload();
    workload.containers =
        Box::new([container("web", "web@sha256:aa"), container("log", "log@sha256:bb")]);
    workload.generation = 2;
    let stored = workload.clone();
    let plan = after(
        &desk.service,
        &fixture::key("web"),
        Ok(Reply::Patched(Box::new(stored))),
        desk.now,
        0,
    );
    desk.service = plan.service;
    desk.look("");
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
}

#[test]
fn a_template_that_is_changed_on_the_way_makes_other_pods_the_new_ones() {
    let mut desk = rolling();
    desk.pods = vec![waiting("web-new", "bbb", "ErrImagePull", "authorization failed")];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("");
    desk.workload().generation += 1;
    desk.status(4, 1, 3);
    desk.pods = vec![waiting("web-newer", "ccc", "InvalidImageName", "")];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("ccc".into()))), "");
    desk.look("failed(InvalidImageName nginx:1.25 1/1 old 3 log \"\")");
}

#[test]
fn a_pod_that_comes_and_goes_is_no_progress() {
    let mut desk = rolling();
    desk.look("");
    for _ in 0..12 {
        desk.later(10);
        desk.status(4, 1, 4);
        desk.look("");
        desk.later(10);
        desk.status(4, 1, 3);
        desk.look("");
    }
    desk.later(10);
    desk.look("timed out: NoProgress(240s)");
}

#[test]
fn a_retry_after_of_nothing_does_not_shorten_the_back_off() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    let mut waits = Vec::new();
    for said in ["", "", "Unreachable(\"429\")", "", ""] {
        desk.look("→ patch app=nginx:1.25");
        let retry_after = Some(Duration::ZERO);
        desk.reply(Err(Setback::Transient { text: "429".into(), retry_after }), said);
        let wake = desk.wake.expect("later");
        waits.push(wake.since(desk.now));
        desk.now = wake;
    }
    assert!(waits[4] >= 8 * waits[0], "{waits:?}");
}

#[test]
fn a_missing_right_is_said_again_for_another_wish() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    let forbidden = || Err(Setback::NotPermitted("lacks patch".into()));
    desk.look("→ patch app=nginx:1.25");
    desk.reply(forbidden(), "NotPermitted(\"lacks patch\")");
    desk.save("nginx:1.24");
    desk.look("AlreadyRuns");
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
    desk.reply(forbidden(), "NotPermitted(\"lacks patch\")");
}

#[test]
fn a_hold_that_goes_on_is_not_said_to_be_lifted() {
    let mut desk = rolling();
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    desk.workload().paused = true;
    desk.save("nginx:1.26");
    desk.look("Held(Paused)");
    desk.save("nginx:1.25");
    desk.look("");
}

#[test]
fn the_clusters_own_namespaces_are_left_alone_unless_they_are_named() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.key = ServiceKey::new("coredns", "kube-system").expect("valid");
    desk.look(
        "Unfit(Problem { place: None, text: \"the namespace kube-system belongs to Kubernetes \
         itself; to deploy there, start depd with --allow-namespace kube-system\" })",
    );
    desk.look("");
    desk.policy.allow_namespaces = vec!["kube-system".into()];
    desk.look("→ patch app=nginx:1.25");
}

#[test]
fn a_name_in_two_kinds_is_held_and_said_and_goes_on_when_one_is_left() {
    let mut desk = desk("nginx:1.25", None);
    desk.namesakes = vec![Kind::Deployment, Kind::StatefulSet];
    desk.look(
        "Unfit(Problem { place: None, text: \"default has a Deployment and a StatefulSet named web, \
         and depd does not guess which one is meant: delete one of them, or give it another name\" })",
    );
    desk.look("");
    desk.namesakes.clear();
    desk.workload = Some(fixture::workload("web"));
    desk.look("→ patch app=nginx:1.25");
}
