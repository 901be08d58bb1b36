//! The images are there at the first look, and their rollout is not over.

use super::*;
use crate::model::Strategy;

fn condition(holds: bool, reason: &str) -> Option<Condition> {
    let (message, updated_at) = ("has timed out progressing".into(), "10:00".into());
    Some(Condition { holds, reason: reason.into(), message, updated_at })
}

/// A desk whose workload runs what the file asks for; three are wanted.
fn agreed(kind: Kind, progressing: Option<Condition>, counts: (i32, i32, i32)) -> Desk {
    let workload = Workload { kind, progressing, ..fixture::workload("web") };
    let mut desk = desk("nginx:1.24", Some(workload));
    desk.status(counts.0, counts.1, counts.2);
    desk
}

#[test]
fn a_rollout_that_somebody_began_just_before_is_followed_to_its_verdict() {
    let mut desk = agreed(Kind::Deployment, condition(true, "ReplicaSetUpdated"), (4, 1, 3));
    desk.look("started");
    assert!(desk.service.in_flight());
    desk.later(10);
    desk.status(3, 3, 3);
    desk.look("succeeded in 10s");

    let mut desk = agreed(Kind::Deployment, condition(true, "ReplicaSetUpdated"), (4, 1, 3));
    desk.look("started");
    desk.later(10);
    desk.workload().progressing = condition(false, "ProgressDeadlineExceeded");
    desk.look("timed out: ProgressDeadline(\"has timed out progressing\")");
}

#[test]
fn what_has_failed_before_the_first_look_is_kept_as_failed_and_told_only_when_it_gets_well() {
    for (reason, end) in [("ProgressDeadlineExceeded", "Late"), ("FailedCreate", "Failed")] {
        let mut desk = agreed(Kind::Deployment, condition(false, reason), (4, 1, 3));
        desk.look(&format!("started found {end} \"has timed out progressing\""));
        assert!(matches!(desk.service.phase, Phase::Broken(_)));
        assert_eq!(desk.service.attempts, 1);
        desk.look("");
        desk.status(3, 3, 3);
        desk.look("recovered");
    }
}

#[test]
fn pods_that_are_not_ready_long_after_their_rollout_are_no_rollout() {
    let progressing = condition(true, "NewReplicaSetAvailable");
    let mut desk = agreed(Kind::Deployment, progressing, (3, 3, 2));
    desk.look("AlreadyRuns");
    desk.look("");
}

#[test]
fn what_tells_not_since_when_it_is_sick_is_followed_and_its_end_is_told_to_nobody() {
    for kind in [Kind::StatefulSet, Kind::DaemonSet] {
        let mut desk = agreed(kind, None, (3, 3, 2));
        desk.look("started");
        desk.later(240);
        desk.times_out("found Late \"\"");
        assert!(matches!(desk.service.phase, Phase::Broken(_)), "{kind}");

        let mut desk = agreed(kind, None, (3, 3, 2));
        desk.look("started");
        desk.status(3, 3, 3);
        desk.look("found Well \"\"");
        desk.look("");

        let mut desk = agreed(kind, None, (3, 1, 2));
        desk.look("started");
        desk.status(3, 2, 3);
        desk.look("");
        desk.later(240);
        desk.times_out("timed out: NoProgress(240s)");
    }
}

#[test]
fn what_waits_for_people_at_the_first_look_is_held_without_a_message() {
    let mut desk = agreed(Kind::StatefulSet, None, (3, 1, 3));
    desk.workload().strategy = Strategy::OnDelete;
    desk.look("started");
    assert!(matches!(desk.service.complaint, Some(What::Held(..))));
    let mut desk = agreed(Kind::Deployment, condition(true, "DeploymentPaused"), (4, 1, 3));
    desk.workload().paused = true;
    desk.look("started");
    desk.workload().paused = false;
    desk.look("Lifted");
}
