//! What keeps a service from being deployed, and that it goes on afterwards.

use super::restarts::restart;
use super::*;
use crate::model::Hold;

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

/// A desk whose namespace is about to be created.
fn creating() -> Desk {
    let mut desk = desk("nginx:1.25", None);
    desk.look("→ LookAtNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Missing)), "");
    let before = desk.service.durable();
    desk.look("→ CreateNamespace");
    assert_ne!(desk.service.durable(), before, "that it was asked for is kept");
    desk
}

#[test]
fn a_namespace_whose_creation_was_answered_in_vain_is_said_to_be_created() {
    let mut desk = creating();
    desk.reply(Err(Setback::Unanswered("reset".into())), "");
    desk.later(5);
    desk.look("→ CreateNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Active)), "NamespaceCreated");
    desk.look("");
}

/// The creation was asked for in vain: there was no connection.
fn refused(desk: &mut Desk) {
    let refused = Setback::Transient { text: "connection refused".into(), retry_after: None };
    desk.reply(Err(refused), "");
}

#[test]
fn a_namespace_that_could_not_be_asked_for_is_created_after_a_restart() {
    let mut desk = creating();
    refused(&mut desk);
    restart(&mut desk);
    desk.look("→ CreateNamespace");
    desk.reply(Ok(Reply::NamespaceCreated), "NamespaceCreated");
}

#[test]
fn a_namespace_that_somebody_else_created_while_it_could_not_be_asked_for_is_theirs() {
    let mut desk = creating();
    refused(&mut desk);
    desk.later(5);
    desk.look("→ CreateNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Active)), "WorkloadMissing");
}

#[test]
fn what_is_in_doubt_stays_so_when_it_cannot_be_asked_for_again() {
    let mut desk = creating();
    desk.reply(Err(Setback::Unanswered("reset".into())), "");
    desk.later(5);
    desk.look("→ CreateNamespace");
    refused(&mut desk);
    desk.later(5);
    desk.look("→ CreateNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Active)), "NamespaceCreated");
}

#[test]
fn a_namespace_that_somebody_else_creates_at_the_same_time_is_theirs() {
    let mut desk = creating();
    desk.reply(Ok(Reply::Namespace(NamespaceState::Active)), "WorkloadMissing");
    desk.look("");
}

#[test]
fn a_restart_after_a_namespace_was_created_says_so() {
    let mut desk = creating();
    restart(&mut desk);
    desk.look("→ LookAtNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Active)), "NamespaceCreated");
    desk.look("");
}

#[test]
fn a_namespace_that_is_not_there_after_a_restart_in_doubt_is_not_created_and_not_called_deleted() {
    let mut desk = creating();
    restart(&mut desk);
    desk.look("→ LookAtNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Missing)), "NamespaceInDoubt");
    desk.look("");
    // What is written newly counts.
    desk.save("nginx:1.26");
    desk.look("→ LookAtNamespace");
    desk.reply(Ok(Reply::Namespace(NamespaceState::Missing)), "");
    desk.look("→ CreateNamespace");
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
fn a_paused_workload_is_held_and_goes_on_when_it_is_lifted() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.workload().paused = true;
    desk.look("Held(Paused, Deployment)");
    desk.look("");
    desk.workload().paused = false;
    desk.look("Lifted → patch app=nginx:1.25");
}

#[test]
fn a_hold_is_known_before_there_is_anything_to_do() {
    let mut desk = desk("nginx:1.24", Some(fixture::workload("web")));
    desk.look("AlreadyRuns");
    desk.workload().held_by_annotation = true;
    desk.look("");
    assert_eq!(desk.service.durable().hold, Some((Hold::Annotation, Kind::Deployment)));
    desk.workload().held_by_annotation = false;
    desk.look("");
    assert_eq!(desk.service.hold, None);
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
fn the_rollouts_of_a_file_that_comes_back_are_numbered_on() {
    let mut desk = rolling();
    assert_eq!(desk.service.attempts, 1);
    desk.desired = None;
    desk.look("Unmanaged");
    assert!(desk.service.is_let_go() && desk.service.durable().is_let_go());
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
    desk.patch_goes_through();
    assert_eq!(desk.service.attempts, 2);
}

#[test]
fn the_verdict_of_a_rollout_is_told_when_its_file_went_away_and_came_back() {
    let mut desk = rolling();
    desk.desired = None;
    desk.look("Unmanaged");
    desk.save("nginx:1.25");
    desk.look("started");
    desk.status(4, 4, 4);
    desk.look("succeeded in 0s");
    desk.desired = None;
    desk.look("Unmanaged");
    desk.save("nginx:1.25");
    desk.look("AlreadyRuns");
}

#[test]
fn nothing_follows_from_what_is_seen_before_start_up_is_over() {
    let mut before = desk("nginx:1.25", None);
    before.started = false;
    before.look("");
    before.workload = Some(fixture::workload("web"));
    before.look("");
    before.started = true;
    before.look("→ patch app=nginx:1.25");
    // Another folder, another cluster: neither is taken for the old one.
    let mut settled = rolling();
    settled.started = false;
    settled.workload = None;
    settled.look("");
    settled.desired = None;
    settled.look("");
    assert!(settled.service.in_flight());
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
fn a_rollout_that_was_left_for_content_that_had_to_wait_is_taken_up_when_the_file_says_it_again() {
    let mut desk = rolling();
    desk.admitted = false;
    desk.save("nginx:1.26");
    desk.look("superseded");
    desk.save("nginx:1.25");
    desk.look("started");
    assert_eq!((desk.service.attempts, desk.service.in_flight()), (2, true));
    desk.status(4, 4, 4);
    desk.look("succeeded in 0s");
    // Once it was seen to work, there is nothing more to tell of it.
    desk.save("nginx:1.26");
    desk.look("");
    desk.save("nginx:1.25");
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
fn a_hold_that_goes_on_is_not_said_to_be_lifted() {
    let mut desk = rolling();
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    desk.workload().paused = true;
    desk.save("nginx:1.26");
    desk.look("Held(Paused, Deployment)");
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

const KUBE_SYSTEM: &str = "Unfit(Problem { place: None, text: \"the namespace kube-system belongs to \
                           Kubernetes itself; to deploy there, start depd with --allow-namespace \
                           kube-system\" })";

/// The rollout was under way when depd was started anew without the flag.
fn rolling_where_it_is_not_allowed_any_more() -> Desk {
    let mut desk = rolling();
    desk.key = ServiceKey::new("web", "kube-system").expect("valid");
    desk.workload().key = ServiceKey::new("web", "kube-system").expect("valid");
    desk
}

#[test]
fn a_rollout_in_a_namespace_that_is_not_allowed_any_more_is_followed_and_no_other_begins() {
    let mut desk = rolling_where_it_is_not_allowed_any_more();
    desk.look(KUBE_SYSTEM);
    assert!(desk.service.has_place());
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
    assert!(!desk.service.has_place());
    desk.save("nginx:1.26");
    desk.look("");
}

#[test]
fn nothing_is_put_back_in_a_namespace_that_is_not_allowed_any_more() {
    let mut desk = rolling_where_it_is_not_allowed_any_more();
    desk.policy.rollback = true;
    desk.workload().timeout = Some(Duration::from_secs(60));
    desk.look(KUBE_SYSTEM);
    desk.later(60);
    desk.look("→ LookAtWorkload");
    desk.look_goes_through();
    desk.look(
        "timed out: NoProgress(60s) could not put back nginx:1.25→nginx:1.24: the namespace \
         kube-system belongs to Kubernetes itself; to deploy there, start depd with \
         --allow-namespace kube-system",
    );
    desk.look("");
    assert!(!desk.service.has_place());
}

#[test]
fn that_a_file_does_not_fit_is_forgotten_with_its_workload() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    let image = Image::parse("a:1").expect("valid");
    let named = ImageSet::Named(vec![("nope".into(), image)]);
    desk.desired = Some(DesiredState { images: Some(named), problem: None });
    desk.look(
        "Unfit(Problem { place: None, text: \"the workload has no container nope; its containers: \
         app\" })",
    );
    desk.workload = None;
    desk.look("→ LookAtNamespace");
    assert_eq!(desk.service.told_misfit, None);
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
