//! A restart at any moment loses nothing and does nothing twice.

use super::*;
use crate::model::Event;

/// A restart at any moment: the durable state goes through its text form.
pub(super) fn restart(desk: &mut Desk) {
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
fn a_progress_deadline_that_passed_before_the_rollout_is_taken_up_counts() {
    let exceeded = |at: &str| {
        Some(Condition {
            holds: false,
            reason: "ProgressDeadlineExceeded".into(),
            message: "has timed out progressing".into(),
            updated_at: at.into(),
        })
    };
    let timed_out = "started timed out: ProgressDeadline(\"has timed out progressing\")";
    for (before, after, expect) in [
        (None, exceeded("10:10"), timed_out),
        (exceeded("10:00"), exceeded("10:10"), timed_out),
        (exceeded("10:00"), exceeded("10:00"), "started"),
    ] {
        let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
        desk.workload().progressing = before;
        desk.look("→ patch app=nginx:1.25");
        desk.workload().containers[0].image = "nginx:1.25".into();
        desk.workload().generation = 2;
        desk.status(4, 1, 3);
        desk.workload().progressing = after;
        restart(&mut desk);
        desk.look(expect);
    }
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
fn a_patch_whose_reply_was_lost_is_not_forgotten_although_a_newer_file_came() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    desk.workload().containers[0].image = "nginx:1.25".into();
    desk.workload().generation = 2;
    restart(&mut desk);
    desk.save("nginx:1.26");
    desk.look("started");
    assert_eq!(desk.wake, Some(desk.now), "the newer file waits for nothing");
    desk.look("superseded → patch app=nginx:1.26");
    desk.patch_goes_through();
    assert_eq!(desk.service.attempts, 2);
}

#[test]
fn a_rollout_whose_beginning_was_not_seen_has_its_verdict_before_a_newer_file_is_taken_up() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    desk.workload().containers[0].image = "nginx:1.25".into();
    desk.workload().generation = 2;
    desk.status(3, 3, 3);
    restart(&mut desk);
    desk.save("nginx:1.26");
    desk.look("started succeeded in 0s");
    assert_eq!(desk.wake, Some(desk.now));
    desk.look("→ patch app=nginx:1.26");
}

/// What is told of a rollout when depd starts again on a file that became invalid meanwhile.
#[track_caller]
fn restart_on_an_invalid_file(desk: &mut Desk, expect: &str) {
    let problem = Problem { place: None, text: "no image".into() };
    restart(desk);
    desk.service.told_problem = Some(problem.clone());
    desk.desired = Some(DesiredState { images: None, problem: Some(problem) });
    desk.look(expect);
}

#[test]
fn a_rollout_gets_its_verdict_although_the_file_was_invalid_when_depd_started() {
    let mut desk = rolling();
    restart_on_an_invalid_file(&mut desk, "");
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    desk.look("");
}

#[test]
fn a_patch_whose_reply_was_lost_is_followed_although_the_file_was_invalid_when_depd_started() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    restart_on_an_invalid_file(&mut desk, "");
    desk.workload().containers[0].image = "nginx:1.25".into();
    desk.workload().generation = 2;
    desk.look("started");
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
}

#[test]
fn a_rollout_that_is_gone_is_told_although_the_file_was_invalid_when_depd_started() {
    let mut desk = rolling();
    desk.workload().containers[0].image = "nginx:1.20".into();
    restart_on_an_invalid_file(&mut desk, "superseded by somebody");
    desk.look("");
    desk.save("nginx:1.25");
    desk.look("drift nginx:1.25→nginx:1.20");

    let mut desk = rolling();
    desk.workload = None;
    restart_on_an_invalid_file(&mut desk, "WorkloadDeleted");
    desk.look("");

    let mut desk = rolling();
    desk.workload().uid = "uid-other".into();
    restart_on_an_invalid_file(&mut desk, "WorkloadReplaced");
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

/// The wall clock that moments were kept by was an hour ahead, and was put right before the restart.
fn restart_an_hour_earlier(desk: &mut Desk) {
    desk.now = Moment(desk.now.0 - 3_600_000);
    restart(desk);
}

#[test]
fn after_a_clock_was_put_back_drift_is_corrected_as_before() {
    let mut desk = rolling();
    desk.policy.drift = Drift::Correct;
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    desk.later(7200);
    desk.workload().containers[0].image = "nginx:1.20".into();
    desk.look("corrects drift nginx:1.25→nginx:1.20 → patch app=nginx:1.25");
    desk.patch_goes_through();
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    restart_an_hour_earlier(&mut desk);
    desk.workload().containers[0].image = "nginx:1.20".into();
    desk.look("");
    assert_eq!(desk.wake, Some(desk.now + Duration::from_secs(30)));
    desk.later(30);
    desk.look("→ patch app=nginx:1.25");
}

#[test]
fn after_a_clock_was_put_back_a_missing_image_is_looked_for_as_before() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.policy.ecr.check = true;
    desk.later(7200);
    desk.desired = Some(DesiredState {
        images: Some(images("111122223333.dkr.ecr.eu-west-1.amazonaws.com/web:1")),
        problem: None,
    });
    desk.look("→ check images");
    desk.reply(Err(Setback::ImageMissing("no such tag".into())), "image missing");
    restart_an_hour_earlier(&mut desk);
    desk.look("");
    assert_eq!(desk.wake, Some(desk.now + Duration::from_secs(60)));
    desk.later(60);
    desk.look("→ check images");
}

#[test]
fn after_a_clock_was_put_back_a_warning_is_fresh_again() {
    let mut workload = Workload { kind: Kind::StatefulSet, ..fixture::workload("web") };
    workload.revision = Some("web-1".into());
    let mut desk = desk("nginx:1.25", Some(workload));
    desk.later(7200);
    desk.look("→ patch app=nginx:1.25");
    desk.patch_goes_through();
    restart_an_hour_earlier(&mut desk);
    desk.status(2, 0, 2);
    desk.look("");
    desk.later(15);
    let uid = desk.workload().uid.clone();
    desk.look(&format!("→ {:?}", Step::ReadWarning { uid, reason: Some("FailedCreate") }));
    let (reason, message) = ("FailedCreate".into(), "exceeded quota".into());
    let warning = Event { reason, message, seen: Some(desk.now) };
    desk.reply(Ok(Reply::Warning(Some(warning))), "");
    desk.look("failed(FailedCreate  3/3 old 2 log \"\")");
}
