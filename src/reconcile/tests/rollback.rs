//! The last good images are put back where that is asked for: once, and against nobody.

use super::restarts::restart;
use super::*;
use crate::desired::{AllowedImages, ImageLimits};
use crate::reconcile::retry;

const GONE: &str = "docker.io/library/nginx:1.25: not found";

/// A desk whose rollout to nginx:1.25 is about to fail, with rollback switched on.
fn failing() -> Desk {
    let mut desk = rolling();
    desk.policy.rollback = true;
    desk.pods = vec![waiting("web-new", "bbb", "ErrImagePull", GONE)];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk
}

const FAILED: &str = "failed(ErrImagePull nginx:1.25 1/1 old 3 log \"\") rolling back \
                      nginx:1.25→nginx:1.24 → LookAtWorkload";

/// It fails, the workload is looked at once more, and the PATCH back is planned.
#[track_caller]
fn begin_return(desk: &mut Desk) {
    desk.look(FAILED);
    desk.look_goes_through();
    desk.look("→ patch app=nginx:1.24");
}

/// The same, with the last good image put back and running.
fn rolled_back() -> Desk {
    let mut desk = failing();
    begin_return(&mut desk);
    desk.patch_goes_through();
    desk.pods.clear();
    desk.later(2);
    desk.status(3, 3, 3);
    desk.look("rolled back nginx:1.25→nginx:1.24 in 2s");
    desk
}

#[test]
fn the_last_good_image_is_put_back_once_and_the_content_stays_rejected() {
    let mut desk = rolled_back();
    desk.look("");
    restart(&mut desk);
    desk.look("");
    desk.workload().generation += 1;
    desk.look("");
    assert_eq!(desk.service.rejected, Some(images("nginx:1.25")));
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
    desk.patch_goes_through();
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    assert_eq!(desk.service.rejected, None);
}

#[test]
fn a_content_that_was_rolled_back_is_still_rejected_when_its_file_went_away_and_comes_back() {
    let mut desk = rolled_back();
    desk.desired = None;
    desk.look("Unmanaged");
    assert!(desk.service.is_let_go() && desk.service.durable().is_let_go());
    desk.save("nginx:1.25");
    desk.look("rejected nginx:1.25→nginx:1.24");
    desk.look("");
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
}

#[test]
fn a_way_back_that_gave_its_place_up_asks_for_room_before_it_is_sent_again() {
    let mut desk = failing();
    desk.look(FAILED);
    desk.look_goes_through();
    desk.look("→ patch app=nginx:1.24");
    let lost = || Setback::Transient { text: "connection reset".into(), retry_after: None };
    desk.reply(Err(lost()), "");
    for expect in ["", "Unreachable(\"connection reset\")"] {
        desk.later(600);
        desk.look("→ patch app=nginx:1.24");
        desk.reply(Err(lost()), expect);
    }
    assert!(!desk.service.has_place());
    desk.later(600);
    desk.admitted = false;
    desk.look("");
    assert!(!desk.service.has_place());
    desk.admitted = true;
    desk.look("→ patch app=nginx:1.24");
}

#[test]
fn a_restart_between_verdict_and_patch_puts_it_back_all_the_same() {
    let mut desk = failing();
    desk.look(FAILED);
    restart(&mut desk);
    desk.look("→ LookAtWorkload");
    desk.look_goes_through();
    restart(&mut desk);
    desk.look("→ patch app=nginx:1.24");
    desk.patch_goes_through();
    restart(&mut desk);
    desk.pods.clear();
    desk.status(3, 3, 3);
    desk.look("rolled back nginx:1.25→nginx:1.24 in 0s");
}

#[test]
fn a_lost_reply_to_the_rollback_leads_to_one_verdict() {
    let mut desk = failing();
    begin_return(&mut desk);
    desk.workload().containers[0].image = "nginx:1.24".into();
    desk.workload().generation += 1;
    let lost = Setback::Transient { text: "connection reset".into(), retry_after: None };
    desk.reply(Err(lost), "");
    desk.pods.clear();
    desk.look("started");
    desk.status(3, 3, 3);
    desk.look("rolled back nginx:1.25→nginx:1.24 in 0s");
}

#[test]
fn nothing_is_put_back_unless_somebody_asked_for_it() {
    let mut desk = failing();
    desk.policy.rollback = false;
    desk.look("failed(ErrImagePull nginx:1.25 1/1 old 3 log \"\")");
    for (setting, annotation) in [(true, Some(false)), (false, Some(true))] {
        let mut desk = failing();
        desk.policy.rollback = setting;
        desk.workload().rollback = annotation;
        let plain = "failed(ErrImagePull nginx:1.25 1/1 old 3 log \"\")";
        desk.look(if annotation == Some(true) { FAILED } else { plain });
    }
}

#[test]
fn what_somebody_changed_meanwhile_is_left_to_them() {
    let mut desk = failing();
    begin_return(&mut desk);
    desk.reply(Err(Setback::Outdated), "");
    desk.workload().containers[0].image = "nginx:1.20".into();
    desk.look("drift nginx:1.25→nginx:1.20");
    desk.look("");
    assert_eq!(desk.service.rejected, Some(images("nginx:1.25")), "and is not tried again");
}

#[test]
fn a_change_by_somebody_after_the_rollback_is_not_undone_even_where_drift_is_corrected() {
    let mut desk = rolled_back();
    desk.policy.drift = Drift::Correct;
    desk.workload().containers[0].image = "nginx:1.20".into();
    desk.workload().generation += 1;
    desk.look("drift nginx:1.25→nginx:1.20");
    desk.look("");
}

#[test]
fn a_rollback_that_the_api_server_refuses_is_told_as_that_and_is_the_end_of_it() {
    let mut desk = failing();
    begin_return(&mut desk);
    desk.reply(
        Err(Setback::Refused("policy says no".into())),
        "could not put back nginx:1.25→nginx:1.24: the API server does not accept it: policy says no",
    );
    desk.look("");
    restart(&mut desk);
    desk.look("");
}

#[test]
fn a_rollback_that_fails_is_the_end_of_it() {
    let mut desk = failing();
    begin_return(&mut desk);
    desk.patch_goes_through();
    desk.status(4, 1, 2);
    desk.pods = vec![waiting("web-back", "ccc", "ErrImagePull", GONE)];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("ccc".into()))), "");
    desk.look("rollback failed nginx:1.25→nginx:1.24");
    desk.look("");
    desk.later(10_000);
    desk.look("");
}

#[test]
fn a_workload_that_is_made_anew_does_not_get_what_was_rejected() {
    let mut desk = rolled_back();
    desk.workload = None;
    desk.look("WorkloadDeleted → LookAtNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Active)), "");
    desk.workload = Some(Workload { uid: "uid-other".into(), ..fixture::workload("web") });
    desk.look("rejected nginx:1.25→nginx:1.24");
    desk.look("");
}

#[test]
fn a_newer_file_supersedes_a_rollback() {
    let mut desk = failing();
    begin_return(&mut desk);
    desk.patch_goes_through();
    desk.save("nginx:1.26");
    desk.look("superseded → patch app=nginx:1.26");
}

#[test]
fn a_first_rollout_has_nothing_to_go_back_to() {
    let mut desk = failing();
    desk.service.good = None;
    desk.look("failed(ErrImagePull nginx:1.25 1/1 old 3 log \"\")");
}

#[test]
fn an_image_that_no_pod_runs_is_not_known_to_be_good() {
    let mut workload = fixture::workload("web");
    workload.replicas = Replicas::default();
    let mut desk = desk("nginx:1.25", Some(workload));
    desk.look("→ patch app=nginx:1.25");
    assert_eq!(desk.service.good, None, "before the change");
    desk.patch_goes_through();
    desk.status(0, 0, 0);
    desk.look("succeeded in 0s");
    assert_eq!(desk.service.good, None, "after it");
}

#[test]
fn after_two_bad_files_the_image_before_both_is_put_back() {
    let mut desk = failing();
    desk.policy.rollback = false;
    desk.look("failed(ErrImagePull nginx:1.25 1/1 old 3 log \"\")");
    desk.policy.rollback = true;
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
    desk.patch_goes_through();
    desk.status(4, 1, 3);
    desk.pods = vec![waiting("web-newer", "ccc", "ErrImagePull", GONE)];
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("ccc".into()))), "");
    desk.look(
        "failed(ErrImagePull nginx:1.26 1/1 old 3 log \"\") rolling back nginx:1.26→nginx:1.24 → \
         LookAtWorkload",
    );
}

#[test]
fn asking_for_another_try_ends_the_rejection_and_nothing_else() {
    let mut desk = rolled_back();
    desk.service = retry(&desk.service);
    desk.look("→ patch app=nginx:1.25");
    let mut settled = rolling();
    settled.status(3, 3, 3);
    settled.look("succeeded in 0s");
    assert_eq!(retry(&settled.service), settled.service);
}

#[test]
fn a_timeout_is_rolled_back_too() {
    let mut desk = rolling();
    desk.policy.rollback = true;
    desk.look("");
    desk.later(240);
    desk.times_out(TIMED_OUT);
    desk.look_goes_through();
    desk.look("→ patch app=nginx:1.24");
}

const TIMED_OUT: &str =
    "timed out: NoProgress(240s) rolling back nginx:1.25→nginx:1.24 → LookAtWorkload";

#[test]
fn a_rollout_that_is_complete_by_the_time_of_its_rollback_stays() {
    for restarts in [false, true] {
        let mut desk = rolling();
        desk.policy.rollback = true;
        desk.look("");
        desk.later(240);
        desk.times_out(TIMED_OUT);
        if restarts {
            restart(&mut desk);
            desk.look("→ LookAtWorkload");
        }
        desk.later(10);
        // Nobody has told of it.
        desk.status(3, 3, 3);
        desk.look_goes_through();
        desk.look("recovered");
        assert_eq!(desk.service.rejected, None);
        desk.look("");
        desk.save("nginx:1.26");
        desk.look("→ patch app=nginx:1.26");
    }
}

#[test]
fn a_rollout_that_is_complete_before_the_patch_back_could_be_sent_stays() {
    let mut desk = failing();
    begin_return(&mut desk);
    let away = Setback::Transient { text: "no route".into(), retry_after: None };
    desk.reply(Err(away), "");
    desk.status(3, 3, 3);
    desk.look("recovered");
    assert_eq!(desk.service.good.as_ref().map(|good| &*good.images[0].1), Some("nginx:1.25"));
}

fn only(place: &str) -> ImageLimits {
    let allowed = vec![AllowedImages::parse(place).expect("valid")];
    ImageLimits { allowed, digest_only: false }
}

const DISALLOWED: &str = "images of docker.io/library/nginx are not allowed: write one of good.io, or \
                          start depd with another --allow-image";

/// Security row 13: the allow list counts for what is put back, too.
#[test]
fn an_image_that_is_not_allowed_any_more_is_not_put_back() {
    let digest = format!("good.io/web@sha256:{}", "0".repeat(64));
    let limits = [
        ("good.io/web:2", only("good.io"), DISALLOWED),
        (
            &*digest,
            ImageLimits { digest_only: true, ..ImageLimits::default() },
            "a tag can be moved, and depd was started with --digest-only: write the digest, as in \
             name:tag@sha256:…",
        ),
    ];
    for (image, limits, why) in limits {
        let mut desk = rolling();
        desk.save(image);
        desk.policy.rollback = true;
        desk.policy.images = limits;
        desk.look(&format!("superseded → patch app={image}"));
        desk.patch_goes_through();
        desk.look("");
        desk.later(240);
        desk.times_out(&format!(
            "timed out: NoProgress(240s) could not put back {image}→nginx:1.24: {why}"
        ));
        desk.look("");
        desk.save("good.io/web:3");
        desk.policy.images = only("good.io");
        desk.look("→ patch app=good.io/web:3");
    }
}

#[test]
fn a_way_back_that_a_restart_does_not_allow_any_more_is_not_taken() {
    let mut desk = failing();
    begin_return(&mut desk);
    desk.policy.images = only("good.io");
    // As it was read before the list was known; a restart with the list refuses the file itself.
    restart(&mut desk);
    desk.look(&format!("Unfit(Problem {{ place: None, text: {DISALLOWED:?} }})"));
    desk.save("good.io/web:2");
    desk.look("→ patch app=good.io/web:2");
}
