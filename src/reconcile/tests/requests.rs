//! Requests that do not get through.

use super::*;

#[test]
fn a_newer_file_during_back_off_is_tried_at_once() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    let down = || Err(Setback::Transient { text: "connection refused".into(), retry_after: None });
    desk.reply(down(), "");
    desk.look("");
    assert!(desk.wake.is_some(), "it is tried again later");
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
}

#[test]
fn a_lost_reply_leads_to_one_rollout_and_one_verdict() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    desk.workload().containers[0].image = "nginx:1.25".into();
    desk.workload().generation = 2;
    let lost = Setback::Transient { text: "connection reset".into(), retry_after: None };
    desk.reply(Err(lost), "");
    desk.look("started");
    desk.status(3, 3, 3);
    desk.look("succeeded in 0s");
}

#[test]
fn a_file_put_back_while_the_reply_is_lost_is_compared_with_the_workload_and_not_the_cache() {
    let lost = || Err(Setback::Transient { text: "connection reset".into(), retry_after: None });
    let put_back = || {
        let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
        desk.look("→ patch app=nginx:1.25");
        desk.reply(lost(), "");
        desk.save("nginx:1.24");
        desk.look("→ LookAtWorkload");
        desk.reply(lost(), "");
        desk.look("");
        desk.now = desk.wake.expect("it is asked again");
        desk.look("→ LookAtWorkload");
        desk
    };

    let mut went_through = put_back();
    went_through.workload().containers[0].image = "nginx:1.25".into();
    went_through.workload().generation = 2;
    went_through.reply(Ok(Reply::Looked(None)), "");
    went_through.look("→ patch app=nginx:1.24");
    went_through.patch_goes_through();
    went_through.status(3, 3, 3);
    went_through.look("succeeded in 0s");

    let mut did_not = put_back();
    did_not.reply(Ok(Reply::Looked(None)), "");
    did_not.look("AlreadyRuns");
    did_not.look("");
}

#[test]
fn a_failed_guard_leads_to_a_fresh_look_and_after_three_to_back_off() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    for _ in 0..3 {
        desk.look("→ patch app=nginx:1.25");
        desk.reply(Err(Setback::Outdated), "");
        desk.look("→ LookAtWorkload");
        desk.reply(Ok(Reply::Looked(None)), "");
    }
    let said = "Unreachable(\"the workload changes faster than it can be patched\")";
    desk.look("→ patch app=nginx:1.25");
    desk.reply(Err(Setback::Outdated), said);
    let mut waits = Vec::new();
    for _ in 0..4 {
        desk.look("");
        let wake = desk.wake.expect("it goes on later");
        waits.push(wake.since(desk.now));
        desk.now = wake;
        desk.look("→ LookAtWorkload");
        desk.reply(Ok(Reply::Looked(None)), "");
        desk.look("→ patch app=nginx:1.25");
        desk.reply(Err(Setback::Outdated), "");
    }
    assert!(waits.is_sorted() && waits[3] >= 8 * waits[0], "ever more slowly: {waits:?}");
}

#[test]
fn retry_after_is_obeyed_and_absurd_values_are_capped() {
    for (asked, waits) in [(5, 5), (100_000, 60)] {
        let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
        desk.look("→ patch app=nginx:1.25");
        let retry_after = Some(Duration::from_secs(asked));
        desk.reply(Err(Setback::Transient { text: "429".into(), retry_after }), "");
        assert_eq!(desk.wake, Some(desk.now + Duration::from_secs(waits)));
        desk.later(waits - 1);
        desk.look("");
        desk.later(1);
        desk.look("→ patch app=nginx:1.25");
    }
}

#[test]
fn a_refusal_is_final_until_the_file_or_the_workload_changes_and_said_once_for_a_content() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    let denied = || Err(Setback::Refused("policy says no".into()));
    let said = "Refused { changes: [Change { container: \"app\", from: \"nginx:1.24\", to: \
                \"nginx:1.25\" }], message: \"policy says no\" }";
    desk.reply(denied(), said);
    desk.look("");
    for seconds in 0..3 {
        desk.workload().generation += 1;
        desk.look("→ patch app=nginx:1.25");
        desk.reply(Err(Setback::Refused(format!("policy says no ({seconds} s)"))), "");
        desk.look("");
    }
    desk.service = retry(&desk.service);
    desk.look("→ patch app=nginx:1.25");
    desk.reply(denied(), said);
    desk.save("nginx:1.26");
    desk.look("→ patch app=nginx:1.26");
    let other = said.replace("\"nginx:1.25", "\"nginx:1.26");
    desk.reply(denied(), &other);
}

impl Desk {
    /// The PATCH of this image is refused until that is believed and said.
    #[track_caller]
    fn is_refused_for_good(&mut self, image: &str) {
        for (said, wait) in [("", 1), ("", 3), ("NotPermitted(\"lacks patch\")", 0)] {
            self.look(&format!("→ patch app={image}"));
            self.reply(Err(Setback::NotPermitted("lacks patch".into())), said);
            self.look("");
            self.later(wait);
        }
    }
}

#[test]
fn a_missing_right_is_said_once_and_tried_again_slowly() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    let forbidden = || Err(Setback::NotPermitted("lacks patch".into()));
    desk.is_refused_for_good("nginx:1.25");
    desk.later(29);
    desk.look("");
    desk.later(1);
    desk.look("→ patch app=nginx:1.25");
    desk.reply(forbidden(), "");
}

#[test]
fn an_unreachable_api_is_said_after_three_failures() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    for said in ["", "", "Unreachable(\"refused\")", ""] {
        desk.look("→ patch app=nginx:1.25");
        let text = "refused".into();
        desk.reply(Err(Setback::Transient { text, retry_after: None }), said);
        desk.later(60);
    }
}

#[test]
fn a_retry_after_of_nothing_does_not_shorten_the_back_off() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    let mut waits = Vec::new();
    for said in ["", "", "Unreachable(\"429\")", "", ""] {
        desk.look("→ patch app=nginx:1.25");
        let retry_after = Some(Duration::ZERO);
        desk.reply(Err(Setback::Transient { text: "429".into(), retry_after }), said);
        let wake = desk.wake.expect("later");
        waits.push(wake.since(desk.now));
        desk.now = wake;
    }
    assert!(waits[4] >= 8 * waits[0], "{waits:?}");
}

#[test]
fn a_missing_right_is_said_again_for_another_wish() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.is_refused_for_good("nginx:1.25");
    desk.save("nginx:1.24");
    desk.look("→ LookAtWorkload");
    desk.reply(Ok(Reply::Looked(None)), "");
    desk.look("AlreadyRuns");
    desk.save("nginx:1.26");
    desk.is_refused_for_good("nginx:1.26");
}

#[test]
fn a_right_that_is_missing_for_a_moment_only_is_never_mentioned() {
    let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
    desk.look("→ patch app=nginx:1.25");
    desk.reply(Err(Setback::NotPermitted("lacks patch".into())), "");
    desk.later(1);
    desk.look("→ patch app=nginx:1.25");
    desk.patch_goes_through();
}

#[test]
fn a_patch_that_waits_to_be_sent_once_more_keeps_no_place_from_others() {
    let down = || Setback::Transient { text: "reset".into(), retry_after: None };
    let denied = || Setback::NotPermitted("may not patch".into());
    let registry = || Setback::Registry("no answer".into());
    let setbacks: [(&dyn Fn() -> Setback, &[bool]); 3] = [
        (&down, &[true, true, false, false]),
        (&denied, &[false, false, false]),
        (&registry, &[false, false]),
    ];
    for (setback, places) in setbacks {
        let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
        for has_place in places {
            desk.look("→ patch app=nginx:1.25");
            assert!(desk.service.has_place(), "it is sent now");
            let plan = after(&desk.service, &desk.key, Err(setback()), desk.now, 0);
            (desk.service, desk.wake) = (plan.service, plan.wake);
            assert_eq!(desk.service.has_place(), *has_place, "{:?}", setback());
            desk.look("");
            assert_eq!(desk.service.has_place(), *has_place, "{:?}", setback());
            desk.now = desk.wake.expect("it is sent again");
        }
        desk.admitted = false;
        desk.look("");
        desk.admitted = true;
        desk.look("→ patch app=nginx:1.25");
        assert!(desk.service.has_place());
    }
}

#[test]
fn a_patch_that_is_not_to_be_sent_now_keeps_no_place_from_others() {
    let problem = Problem { place: None, text: "no image".into() };
    let invalid = DesiredState { images: None, problem: Some(problem) };
    let stops: [&dyn Fn(&mut Desk); 3] = [
        &|desk| desk.desired = Some(invalid.clone()),
        &|desk| desk.workload().paused = true,
        &|desk| desk.namesakes = vec![Kind::Deployment, Kind::StatefulSet],
    ];
    for stop in stops {
        let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
        desk.look("→ patch app=nginx:1.25");
        super::restarts::restart(&mut desk);
        assert!(desk.service.has_place(), "it may have gone through");
        stop(&mut desk);
        let plan = desk.peek();
        assert!(!plan.service.has_place() && plan.step.is_none(), "{plan:?}");
    }
}
