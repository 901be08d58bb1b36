//! What a rollout shows → its verdict.

use super::*;

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
fn a_sign_that_goes_from_pod_to_pod_while_the_rollout_gets_on_is_no_failure() {
    let mut desk = rolling();
    desk.workload().replicas.wanted = 9;
    desk.pods = vec![waiting("web-0", "bbb", "ErrImagePull", "i/o timeout")];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    for done in 1..5 {
        desk.look("");
        desk.later(40);
        desk.status(9, done + 1, 8);
        let name = format!("web-{done}");
        desk.pods = vec![waiting(&name, "bbb", "ErrImagePull", "i/o timeout")];
    }
    desk.look("");
    assert_eq!(desk.wake, Some(desk.now + Duration::from_secs(60)));
    desk.later(60);
    desk.look("failed(ErrImagePull nginx:1.25 1/1 old 8 log \"\")");
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
    desk.times_out("timed out: NoProgress(240s)");
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
        let revision = (desk.workload().generation, "bbb".into());
        if let Phase::Rolling(rollout) = &mut desk.service.phase {
            rollout.template = Some(revision);
        }
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
fn a_rollout_paused_on_its_way_does_not_run_out_of_time() {
    let mut desk = rolling();
    desk.workload().held_by_annotation = true;
    desk.look("Held(Annotation, Deployment)");
    desk.later(1000);
    desk.look("");
    desk.workload().held_by_annotation = false;
    desk.look("Lifted");
    assert!(desk.service.in_flight());
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
fn a_broken_rollout_that_is_scaled_to_zero_has_not_recovered() {
    let mut desk = rolling();
    desk.look("");
    desk.later(240);
    desk.times_out("timed out: NoProgress(240s)");
    let scale = |desk: &mut Desk, wanted| {
        desk.workload().generation += 1;
        desk.workload().replicas.wanted = wanted;
        desk.status(wanted, wanted, wanted);
    };
    scale(&mut desk, 0);
    desk.look("");
    assert!(matches!(desk.service.phase, Phase::Broken(_)));
    scale(&mut desk, 2);
    desk.look("recovered");
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
    desk.times_out("timed out: NoProgress(240s)");
}
