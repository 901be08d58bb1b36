//! Trouble that stands in no container: conditions, nodes, warnings, and the time limit's reasons.

use super::*;
use crate::model::Event;

fn condition(holds: bool, reason: &str, message: &str) -> Option<Condition> {
    let (reason, message) = (reason.into(), message.into());
    Some(Condition { holds, reason, message, updated_at: "12:00".into() })
}

const QUOTA: &str = "pods \"web-5\" is forbidden: exceeded quota: q";

#[test]
fn pods_that_a_quota_forbids_are_a_failure_after_their_grace() {
    let mut desk = rolling();
    desk.status(3, 0, 3);
    desk.workload().replica_failure = condition(true, "FailedCreate", QUOTA);
    desk.look("");
    assert_eq!(desk.wake, Some(desk.now + Duration::from_secs(15)));
    desk.later(14);
    desk.look("");
    desk.later(1);
    desk.look("failed(FailedCreate  3/3 old 3 log \"\")");
}

#[test]
fn a_quota_that_lets_some_new_pods_in_is_no_failure_but_what_is_named_at_the_time_limit() {
    let mut desk = rolling();
    desk.workload().replica_failure = condition(true, "FailedCreate", QUOTA);
    desk.look("");
    desk.later(100);
    desk.status(3, 2, 3);
    desk.look("");
    desk.later(240);
    desk.times_out(&format!("timed out: NoProgress(240s), by PodCreate {QUOTA}"));
    desk.workload().replica_failure = None;
    desk.status(3, 3, 3);
    desk.look("recovered");
}

#[test]
fn a_quota_that_makes_room_within_the_grace_is_no_failure() {
    let mut desk = rolling();
    desk.workload().replica_failure = condition(true, "FailedCreate", QUOTA);
    desk.look("");
    desk.later(14);
    desk.workload().replica_failure = None;
    desk.look("");
    desk.later(14);
    desk.status(3, 3, 3);
    desk.look("succeeded in 28s");
}

#[test]
fn a_replica_set_that_cannot_be_created_fails_although_the_generation_is_never_observed() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    desk.patch_goes_through();
    desk.workload().progressing = condition(false, "ReplicaSetCreateError", QUOTA);
    desk.look("");
    desk.later(15);
    desk.look("failed(ReplicaSetCreateError  3/3 old 3 log \"\")");
}

#[test]
fn any_other_reason_of_the_controller_to_give_up_is_a_failure_at_once() {
    let mut desk = rolling();
    desk.workload().progressing = condition(false, "SomethingNew", "it does not work");
    desk.look("failed(SomethingNew  2/3 old 3 log \"\")");
}

fn homeless(name: &str) -> Arc<Pod> {
    let pod = new_pod(name, "bbb", ContainerState::Running, 0);
    let words = "0/1 nodes are available: 1 Insufficient memory.";
    Arc::new(Pod {
        unschedulable: Some(words.into()),
        containers: Box::new([]),
        ..Pod::clone(&pod)
    })
}

#[test]
fn a_pod_without_a_node_is_told_after_half_a_minute_and_fails_at_the_time_limit() {
    let mut desk = rolling();
    desk.pods = vec![homeless("web-new")];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("");
    desk.later(30);
    desk.look("troubled(Unschedulable)");
    desk.look("");
    desk.later(210);
    desk.times_out("failed(Unschedulable  1/1 old 3 log \"\")");
}

fn silent(name: &str) -> Arc<Pod> {
    new_pod(name, "bbb", ContainerState::Running, 0)
}

#[test]
fn a_pod_that_never_gets_ready_is_the_time_limits_reason_with_what_somebody_warned_of() {
    let mut desk = rolling();
    desk.pods = vec![silent("web-new")];
    desk.look("");
    desk.later(240);
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("→ ReadWarning { uid: \"uid-web-new\", reason: None }");
    let message = "Readiness probe failed: HTTP probe failed with statuscode: 503".into();
    let warning = Event { reason: "Unhealthy".into(), message, seen: None };
    desk.reply(Ok(Reply::Warning(Some(warning))), "");
    desk.times_out(
        "timed out: NoProgress(240s), by Unready Readiness probe failed: HTTP probe failed with \
         statuscode: 503",
    );
}

#[test]
fn a_question_that_is_not_answered_holds_a_verdict_up_for_a_moment_only() {
    let mut desk = rolling();
    desk.pods = vec![silent("web-new")];
    desk.look("");
    desk.later(240);
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(None)), "");
    desk.later(5);
    desk.times_out("timed out: NoProgress(240s)");
}

#[test]
fn a_suspicion_within_its_grace_is_named_at_the_time_limit() {
    let mut desk = rolling();
    desk.policy.timeout = Duration::from_secs(30);
    desk.pods = vec![waiting("web-new", "bbb", "ErrImagePull", "i/o timeout")];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("");
    desk.later(30);
    desk.times_out("timed out: NoProgress(30s), by ImagePull i/o timeout");
}

#[test]
fn a_container_that_starts_is_progress() {
    let mut desk = rolling();
    let starts = |done: i32| {
        let mut pod = Pod::clone(&silent("web-new"));
        let mut init = pod.containers[0].clone();
        init.init = true;
        init.state = match done {
            0 => ContainerState::Running,
            _ => ContainerState::Terminated(Terminated {
                exit_code: 0,
                reason: "Completed".into(),
                message: "".into(),
            }),
        };
        pod.containers[0].state =
            ContainerState::Waiting { reason: "PodInitializing".into(), message: "".into() };
        pod.containers = Box::new([init, pod.containers[0].clone()]);
        Arc::new(pod)
    };
    desk.pods = vec![starts(0)];
    desk.look("");
    desk.later(120);
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("");
    desk.later(100);
    desk.pods = vec![starts(1)];
    desk.look("");
    desk.later(200);
    desk.look("");
    assert!(desk.service.in_flight(), "the limit counts from when the init container was done");
}

#[test]
fn memory_that_was_not_enough_is_named_with_its_limit() {
    let mut desk = rolling();
    desk.workload().containers[0].memory_limit = Some("128Mi".into());
    let state = ContainerState::Waiting { reason: "CrashLoopBackOff".into(), message: "".into() };
    let mut pod = Pod::clone(&new_pod("web-new", "bbb", state, 1));
    pod.containers[0].last =
        Some(Terminated { exit_code: 137, reason: "OOMKilled".into(), message: "".into() });
    desk.pods = vec![Arc::new(pod)];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("→ FetchLog { pod: \"web-new\", container: \"app\", previous: true }");
    desk.reply(Ok(Reply::Log("loading".into())), "");
    let plan = desk.peek();
    let What::Failed { failure, .. } = &plan.notices[0].what else { panic!("{plan:?}") };
    assert_eq!((&*failure.reason, failure.memory_limit.as_deref()), ("OOMKilled", Some("128Mi")));
}
