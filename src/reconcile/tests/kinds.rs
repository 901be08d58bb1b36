//! StatefulSets and DaemonSets: when they are done, and what holds them up.

use super::*;
use crate::model::{Event, Strategy};
use crate::reconcile::rollout::is_done;

/// A desk whose rollout of a StatefulSet to nginx:1.25 is in flight; its last pod was replaced.
fn stateful() -> Desk {
    let workload = Workload {
        kind: Kind::StatefulSet,
        in_order: true,
        revision: Some("old".into()),
        ..fixture::workload("web")
    };
    let mut desk = desk("nginx:1.25", Some(workload));
    desk.look("→ patch app=nginx:1.25");
    desk.patch_goes_through();
    desk.workload().revision = Some("new".into());
    desk.status(3, 1, 2);
    desk
}

fn pod_of(name: &str, revision: &str, state: ContainerState) -> Arc<Pod> {
    let labels = [("app", "web"), ("controller-revision-hash", revision)];
    let mut pod = fixture::pod(name, &labels);
    pod.containers[0].state = state;
    Arc::new(pod)
}

fn missing(name: &str, revision: &str) -> Arc<Pod> {
    let (reason, message) = ("ErrImagePull".into(), "nginx:1.25: not found".into());
    pod_of(name, revision, ContainerState::Waiting { reason, message })
}

#[test]
fn each_kind_is_done_when_kubectl_says_so() {
    let counts = |kind, strategy, wanted, total, updated, ready, available| {
        let replicas = Replicas { wanted, total, updated, ready, available };
        is_done(&Workload { kind, strategy, replicas, ..fixture::workload("web") })
    };
    let (rolling, partition) = (Strategy::Rolling, Strategy::Partition(2));
    for (kind, strategy, numbers, done) in [
        (Kind::Deployment, rolling, [3, 3, 3, 3, 3], true),
        (Kind::Deployment, rolling, [3, 4, 3, 3, 3], false),
        (Kind::Deployment, rolling, [3, 3, 3, 3, 2], false),
        (Kind::Deployment, rolling, [0, 0, 0, 0, 0], true),
        (Kind::Deployment, Strategy::Recreate, [3, 0, 0, 0, 0], false),
        (Kind::StatefulSet, rolling, [3, 3, 2, 3, 3], false),
        (Kind::StatefulSet, rolling, [3, 3, 3, 2, 2], false),
        (Kind::StatefulSet, rolling, [3, 3, 3, 3, 0], true),
        (Kind::StatefulSet, partition, [3, 3, 1, 3, 3], true),
        (Kind::StatefulSet, partition, [3, 3, 0, 3, 3], false),
        (Kind::StatefulSet, partition, [3, 3, 1, 2, 2], false),
        (Kind::DaemonSet, rolling, [3, 3, 3, 3, 3], true),
        (Kind::DaemonSet, rolling, [3, 3, 2, 3, 3], false),
        (Kind::DaemonSet, rolling, [3, 3, 3, 3, 2], false),
        (Kind::DaemonSet, rolling, [0, 0, 0, 0, 0], true),
    ] {
        let [wanted, total, updated, ready, available] = numbers;
        let is = counts(kind, strategy, wanted, total, updated, ready, available);
        assert_eq!(is, done, "{kind} {strategy:?} {numbers:?}");
    }
}

#[test]
fn a_bad_image_fails_at_once_without_a_question_and_names_the_pod_to_delete() {
    let mut desk = stateful();
    desk.pods = vec![missing("web-2", "new")];
    let plan = desk.peek();
    let What::Failed { failure, .. } = &plan.notices[1].what else { panic!("{plan:?}") };
    assert_eq!(failure.to_delete, ["web-2".into()]);
    assert_eq!(plan.step, None);
}

#[test]
fn a_pod_that_is_stuck_on_an_earlier_image_is_told_and_fails_at_the_time_limit() {
    let mut desk = stateful();
    desk.status(3, 0, 2);
    desk.pods = vec![missing("web-2", "bad")];
    desk.look("");
    desk.later(30);
    desk.look("troubled(Stuck)");
    desk.look("");
    desk.later(210);
    desk.times_out("failed(ErrImagePull nginx:1.24 1/0 old 2 log \"\")");
}

#[test]
fn pods_that_stay_missing_are_asked_about_and_the_controllers_warning_is_the_reason() {
    let mut desk = stateful();
    desk.status(2, 0, 2);
    desk.look("");
    desk.later(15);
    let ask = "→ ReadWarning { uid: \"uid-web\", reason: Some(\"FailedCreate\") }";
    desk.look(ask);
    desk.reply(Ok(Reply::Warning(None)), "");
    desk.look("");
    desk.later(15);
    desk.look(ask);
    let warning =
        Event { reason: "FailedCreate".into(), message: "exceeded quota".into(), seen: None };
    desk.reply(Ok(Reply::Warning(Some(warning))), "");
    desk.look("failed(FailedCreate  3/3 old 2 log \"\")");
}

#[test]
fn a_warning_of_before_the_rollout_says_nothing_about_it() {
    let mut desk = stateful();
    let Phase::Rolling(rollout) = &mut desk.service.phase else { panic!("it rolls") };
    rollout.started = Moment(60_000);
    desk.status(2, 0, 2);
    desk.look("");
    desk.later(15);
    desk.look("→ ReadWarning { uid: \"uid-web\", reason: Some(\"FailedCreate\") }");
    let old = Event {
        reason: "FailedCreate".into(),
        message: "exceeded quota".into(),
        seen: Some(Moment(0)),
    };
    desk.reply(Ok(Reply::Warning(Some(old))), "");
    desk.look("");
}

#[test]
fn on_delete_waits_for_people_for_as_long_as_they_take() {
    let mut desk = stateful();
    desk.workload().strategy = Strategy::OnDelete;
    desk.status(3, 0, 3);
    desk.look("Held(OnDelete, StatefulSet)");
    desk.later(100_000);
    desk.look("");
    desk.status(3, 3, 3);
    desk.look("succeeded in 100000s");
}

#[test]
fn trouble_of_a_new_pod_is_a_failure_after_its_grace_although_old_ones_wait_for_people() {
    let mut desk = stateful();
    desk.workload().strategy = Strategy::OnDelete;
    let (reason, message) = ("CreateContainerConfigError".into(), "no secret".into());
    desk.pods = vec![pod_of("web-2", "new", ContainerState::Waiting { reason, message })];
    desk.look("Held(OnDelete, StatefulSet)");
    desk.later(8);
    desk.look("");
    desk.later(7);
    desk.look("failed(CreateContainerConfigError nginx:1.25 1/1 old 2 log \"\")");
}

#[test]
fn on_delete_runs_out_of_time_once_people_have_deleted_every_old_pod() {
    let mut desk = stateful();
    desk.workload().strategy = Strategy::OnDelete;
    desk.status(3, 1, 2);
    desk.look("Held(OnDelete, StatefulSet)");
    desk.later(100_000);
    desk.look("");
    desk.status(3, 3, 0);
    desk.look("");
    desk.later(240);
    desk.times_out("timed out: NoProgress(240s)");
}

#[test]
fn the_pods_of_a_daemon_set_are_told_apart_by_the_number_of_their_template() {
    let workload =
        Workload { kind: Kind::DaemonSet, revision: Some("1".into()), ..fixture::workload("web") };
    let mut desk = desk("nginx:1.25", Some(workload));
    desk.look("→ patch app=nginx:1.25");
    desk.patch_goes_through();
    desk.workload().revision = Some("2".into());
    desk.status(3, 1, 2);
    let labels = [("app", "web"), ("pod-template-generation", "2")];
    let mut pod = fixture::pod("web-x", &labels);
    pod.containers[0].state =
        ContainerState::Waiting { reason: "InvalidImageName".into(), message: "".into() };
    desk.pods = vec![Arc::new(pod)];
    desk.look("failed(InvalidImageName nginx:1.25 1/1 old 2 log \"\")");
}
