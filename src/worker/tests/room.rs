//! Who takes up room where the rollouts in flight are bounded, and who waits for it.

use super::*;
use crate::model::{Change, Moment};
use crate::reconcile::{Ask, Intent, Service};

/// A control loop with room for one rollout.
fn narrow_floor() -> Floor {
    let floor = lone_floor();
    let mut gate = Gate::new(Some(1), None, Standing::default());
    assert!(gate.open().is_empty());
    *floor.gate.lock() = gate;
    floor
}

#[test]
fn a_rollout_that_cannot_be_followed_because_two_kinds_share_its_name_keeps_no_room_from_others() {
    let floor = narrow_floor();
    lists(&floor, vec![fixture::workload("web"), fixture::workload("api")]);
    ask(&floor, "web", "nginx:1.25");
    look(&floor, &fixture::key("web"));
    ask(&floor, "api", "nginx:1.25");
    look(&floor, &fixture::key("api"));
    assert_eq!(runs(&floor, "api"), "nginx:1.24", "there is room for one");
    let namesake = Workload { kind: Kind::StatefulSet, ..fixture::workload("web") };
    floor.workloads.write().replace(Kind::StatefulSet, None, vec![namesake], 2);
    look(&floor, &fixture::key("web"));
    look(&floor, &fixture::key("api"));
    assert_eq!(runs(&floor, "api"), "nginx:1.25");
}

#[test]
fn a_rollout_that_may_not_be_followed_any_more_keeps_no_room_from_others() {
    let floor = narrow_floor();
    let there = ServiceKey::new("web", "qa").expect("valid");
    let image = || ImageSet::Single(Image::parse("nginx:1.25").expect("valid"));
    let own = Workload { key: there.clone(), ..fixture::workload("web") };
    for kind in Kind::ALL {
        let own = (kind == Kind::Deployment).then(|| own.clone());
        let mut cache = floor.workloads.write();
        cache.replace(kind, Some("qa"), own.into_iter().collect(), 1);
        let other = (kind == Kind::Deployment).then(|| fixture::workload("api"));
        cache.replace(kind, Some("default"), other.into_iter().collect(), 1);
    }
    floor.desired.write().images(&there, image());
    look(&floor, &there);
    ask(&floor, "api", "nginx:1.25");
    look(&floor, &fixture::key("api"));
    assert_eq!(runs(&floor, "api"), "nginx:1.24", "there is room for one");
    floor.workloads.write().refuse(Kind::Deployment, Some("qa"), "no more");
    look(&floor, &there);
    look(&floor, &fixture::key("api"));
    assert_eq!(runs(&floor, "api"), "nginx:1.25");
}

#[test]
fn a_way_back_that_gave_its_place_up_waits_for_room() {
    let floor = narrow_floor();
    assert!(floor.gate.lock().admit(&fixture::key("api"), Ask::Rollout));
    let mut web = fixture::workload("web");
    web.containers[0].image = "nginx:1.25".into();
    web.replicas.available = 2;
    let desired = ImageSet::Single(Image::parse("nginx:1.25").expect("valid"));
    let change =
        Change { container: "app".into(), from: "nginx:1.25".into(), to: "nginx:1.24".into() };
    let intent = Intent {
        desired: desired.clone(),
        uid: web.uid.clone(),
        generation: web.generation,
        progressing: None,
        changes: vec![change],
        look_first: false,
        misses: 0,
        undoes: None,
        checked: false,
        pull_secrets: None,
    };
    let service = Service {
        phase: Phase::Returning(intent),
        rejected: Some(desired),
        retry_at: Some(Moment(1)),
        ..Service::default()
    };
    floor.services.restore(fixture::key("web"), service);
    lists(&floor, vec![web]);
    ask(&floor, "web", "nginx:1.25");
    look(&floor, &fixture::key("web"));
    assert_eq!(runs(&floor, "web"), "nginx:1.25");
    assert_eq!(floor.gate.lock().note(&fixture::key("api"), false), [fixture::key("web")]);
    look(&floor, &fixture::key("web"));
    assert_eq!(runs(&floor, "web"), "nginx:1.24");
}
