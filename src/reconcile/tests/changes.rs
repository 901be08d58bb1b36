//! A changed file, and a cluster that changes by itself.

use super::*;

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
fn drift_is_corrected_where_asked_and_ever_more_slowly_against_a_fighter() {
    let mut desk = rolling();
    desk.policy.drift = Drift::Correct;
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    for (pause, said) in [(0, "corrects drift nginx:1.25→nginx:1.20 "), (30, ""), (60, "")] {
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
fn a_correction_that_may_not_be_sent_is_neither_said_nor_counted() {
    let mut desk = rolling();
    desk.policy.drift = Drift::Correct;
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    desk.workload().containers[0].image = "nginx:1.20".into();
    desk.workload().generation += 1;
    desk.admitted = false;
    desk.look("");
    desk.admitted = true;
    desk.workload().paused = true;
    desk.look("Held(Paused, Deployment)");
    assert_eq!((desk.service.corrections, desk.service.corrected_at), (0, None));
    desk.workload().paused = false;
    desk.look("corrects drift nginx:1.25→nginx:1.20 Lifted → patch app=nginx:1.25");
    assert_eq!((desk.service.corrections, desk.service.corrected_at), (1, Some(desk.now)));
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
fn a_rollout_that_somebody_interrupts_ends_in_words_whatever_is_done_about_drift() {
    let told = "superseded by somebody drift nginx:1.25→nginx:1.20";
    let check = |drift, expect: &str| {
        let mut desk = rolling();
        desk.policy.drift = drift;
        desk.look("");
        desk.workload().containers[0].image = "nginx:1.20".into();
        desk.workload().generation += 1;
        desk.look(expect);
        assert!(!desk.service.in_flight());
        desk
    };
    check(Drift::Report, told).look("");
    check(Drift::Ignore, told).look("");
    let told = "superseded by somebody corrects drift nginx:1.25→nginx:1.20 → patch app=nginx:1.25";
    let mut desk = check(Drift::Correct, told);
    desk.patch_goes_through();
    desk.look("");
    desk.workload().containers[0].image = "nginx:1.20".into();
    desk.workload().generation += 1;
    desk.look("superseded by somebody");
    desk.later(30);
    desk.look("→ patch app=nginx:1.25");
}

#[test]
fn images_that_are_pinned_out_of_order_are_still_ours() {
    let container = fixture::container;
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
