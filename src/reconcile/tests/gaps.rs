//! Times in which a watch showed nothing.

use super::*;

/// When the verdict by time is due, in seconds after the last progress.
#[track_caller]
fn wakes(desk: &Desk, after: u64) {
    let wake = desk.wake.expect("an alarm").since(Moment(1000)).as_secs();
    assert_eq!(wake, after);
}

/// The watch is cut now, or goes on.
fn cut(desk: &mut Desk) {
    desk.gap = Some(Gap::begin(desk.now));
}

fn mend(desk: &mut Desk) {
    let gap = desk.gap.expect("a gap");
    desk.gap = Some(Gap { until: Some(desk.now), ..gap });
}

/// Rolling, the new ReplicaSet is known, and no pod is ready.
fn hanging() -> Desk {
    let mut desk = rolling();
    desk.pods = vec![waiting("web-new", "bbb", "ContainerCreating", "")];
    desk.look("");
    desk.later(120);
    desk.look("→ FindReplicaSet");
    desk.reply(Ok(Reply::ReplicaSet(Some("bbb".into()))), "");
    desk.look("");
    wakes(&desk, 240);
    desk
}

#[test]
fn a_rollout_that_got_well_while_nothing_was_shown_has_not_timed_out() {
    let mut desk = hanging();
    cut(&mut desk);
    desk.later(300);
    desk.look("");
    desk.later(1000);
    desk.look("");
    mend(&mut desk);
    desk.look("");
    desk.later(1);
    desk.status(3, 3, 3);
    desk.look("succeeded in 1421s");
}

#[test]
fn only_the_time_in_which_nothing_was_shown_is_taken_out() {
    let mut desk = hanging();
    cut(&mut desk);
    desk.later(300);
    desk.look("");
    desk.later(10);
    mend(&mut desk);
    // It has stood for 120 s, and has five more to catch up.
    desk.look("");
    wakes(&desk, 240 + 310 + 5);
    desk.look("");
    wakes(&desk, 240 + 310 + 5);
    desk.later(124);
    desk.look("");
    desk.later(1);
    desk.pods.clear();
    desk.times_out("timed out: NoProgress(240s)");
}

#[test]
fn a_gap_that_is_over_before_anybody_looked_counts_as_well() {
    let mut desk = hanging();
    cut(&mut desk);
    desk.later(300);
    mend(&mut desk);
    desk.later(60);
    desk.look("");
    wakes(&desk, 240 + 300 + 5);
}

#[test]
fn a_watch_that_is_cut_every_minute_puts_off_no_verdict_for_ever() {
    let mut desk = hanging();
    for _ in 0..2 {
        cut(&mut desk);
        desk.look("");
        desk.later(2);
        mend(&mut desk);
        desk.look("");
        desk.later(53);
        desk.look("");
    }
    wakes(&desk, 240 + 2 * 7);
    desk.later(24);
    desk.pods.clear();
    desk.times_out("timed out: NoProgress(240s)");
}

#[test]
fn a_rollout_that_began_within_a_gap_has_its_whole_time_after_it() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    cut(&mut desk);
    desk.later(100);
    desk.look("→ patch app=nginx:1.25");
    desk.patch_goes_through();
    desk.later(400);
    mend(&mut desk);
    desk.look("");
    wakes(&desk, 500 + 5 + 120);
}

#[test]
fn a_sign_of_trouble_has_its_grace_in_sight() {
    let mut desk = rolling();
    let quota = Condition {
        holds: true,
        reason: "FailedCreate".into(),
        message: "exceeded quota".into(),
        updated_at: "10:00".into(),
    };
    desk.workload().replicas.updated = 0;
    desk.workload().replica_failure = Some(quota);
    desk.look("");
    desk.later(10);
    cut(&mut desk);
    desk.later(20);
    desk.look("");
    desk.later(20);
    mend(&mut desk);
    desk.look("");
    // It has shown for 10 s, and what happened since has five more to be read.
    desk.later(9);
    desk.look("");
    desk.later(1);
    desk.look("failed(FailedCreate  3/3 old 3 log \"\")");
}

#[test]
fn a_watch_that_is_cut_every_minute_puts_off_no_sign_of_trouble_for_ever() {
    let mut desk = hanging();
    desk.pods = vec![waiting("web-new", "bbb", "ErrImagePull", "unauthorized")];
    desk.look("");
    for wait in [53, 7] {
        cut(&mut desk);
        desk.look("");
        desk.later(2);
        mend(&mut desk);
        desk.look("");
        desk.later(wait);
        desk.look("");
    }
    // Two gaps of 7 s each are taken out of 64 s.
    desk.later(9);
    desk.look("");
    desk.later(1);
    desk.look("failed(ErrImagePull nginx:1.25 1/1 old 3 log \"\")");
}

/// Lists go through, and every stream is refused or cut at once.
#[test]
fn streams_that_never_last_put_off_no_verdict_for_ever() {
    let mut desk = hanging();
    desk.pods.clear();
    let since = desk.now;
    let limit = desk.policy.timeout;
    while desk.step.is_none() {
        assert!(desk.now.since(since) < limit * 6, "it is put off for ever");
        desk.later(4);
        desk.gap = Some(Gap { since, until: Some(desk.now), relapsed: true });
        let plan = desk.peek();
        let says = plan.step.as_ref().map(|_| "→ LookAtWorkload").unwrap_or_default();
        desk.take(plan, says);
    }
    assert!(desk.now.since(since) > limit * 4, "a gap is not held against it at once");
    desk.look_goes_through();
    desk.look("timed out: NoProgress(240s)");
}

/// A watch that was silent for a while before anybody noticed.
#[test]
fn a_limit_that_has_passed_when_a_gap_is_noticed_waits_for_its_end() {
    let mut desk = hanging();
    desk.later(150);
    cut(&mut desk);
    desk.look("");
    desk.later(1000);
    desk.look("");
    mend(&mut desk);
    desk.look("");
    assert_eq!(desk.wake, Some(desk.now + Duration::from_secs(5)));
    desk.later(5);
    desk.pods.clear();
    desk.times_out("timed out: NoProgress(240s)");
}

/// A watch that is silent is left only after a while.
#[test]
fn a_rollout_that_is_complete_although_no_watch_told_so_has_not_timed_out() {
    let mut desk = hanging();
    desk.pods.clear();
    desk.later(120);
    desk.look("→ LookAtWorkload");
    let away = Setback::Transient { text: "no route".into(), retry_after: None };
    desk.reply(Err(away), "");
    desk.look("");
    desk.later(1);
    desk.look("→ LookAtWorkload");
    desk.status(3, 3, 3);
    desk.look_goes_through();
    desk.look("succeeded in 241s");

    let mut desk = hanging();
    desk.pods.clear();
    desk.later(120);
    desk.look("→ LookAtWorkload");
    desk.status(4, 2, 3);
    desk.look_goes_through();
    desk.look("");
    desk.later(240);
    desk.times_out("timed out: NoProgress(240s)");
}

#[test]
fn where_a_workload_may_not_be_looked_at_the_watch_is_believed() {
    let mut desk = hanging();
    desk.pods.clear();
    desk.later(120);
    desk.look("→ LookAtWorkload");
    desk.reply(Err(Setback::NotPermitted("no get".into())), "");
    desk.look("timed out: NoProgress(240s)");
}

#[test]
fn where_a_workload_cannot_be_looked_at_for_good_the_watch_is_believed() {
    let mut desk = hanging();
    desk.pods.clear();
    desk.later(120);
    desk.look("→ LookAtWorkload");
    desk.reply(Err(Setback::Refused("a proxy says no".into())), "");
    desk.look("timed out: NoProgress(240s)");
}

#[test]
fn without_valid_credentials_nothing_is_told_from_a_watch_that_may_be_silent() {
    let mut desk = hanging();
    desk.pods.clear();
    desk.later(120);
    desk.look("→ LookAtWorkload");
    let said = "NotPermitted(\"token expired\")";
    desk.reply(Err(Setback::Unauthenticated("token expired".into())), said);
    desk.look("");
    desk.now = desk.wake.expect("it is asked again");
    desk.look("→ LookAtWorkload");
}

#[test]
fn a_late_rollout_that_cannot_be_looked_at_is_told_of() {
    let refused = || Setback::Transient { text: "500".into(), retry_after: None };
    for away in [refused, || Setback::Unanswered("500".into())] {
        let mut desk = hanging();
        desk.pods.clear();
        desk.later(120);
        for said in ["", "", "Unreachable(\"500\")", ""] {
            desk.look("→ LookAtWorkload");
            desk.reply(Err(away()), said);
            desk.look("");
            desk.now = desk.wake.expect("it is asked again");
        }
        desk.look("→ LookAtWorkload");
    }
}
