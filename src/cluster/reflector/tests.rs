//! Stories: what happens to a list-watch loop, and what it does about it.

use super::super::call::{Call, Resource, Verb};
use super::super::error::{Permission, Sent};
use super::*;

/// What happens next in a story.
enum Happens {
    Streams(&'static str),
    StreamFails(Class),
    Lists(&'static str),
    ListFails(Class),
    /// The server names its newest version.
    Compares(&'static str),
    CompareFails(Class),
    Opens,
    OpenFails(Class),
    Shows(&'static str),
    /// The stream ends after so many milliseconds.
    Ends(End, u64),
}

use Happens::*;

fn error(class: Class) -> ApiError {
    let call =
        Call { verb: Verb::Watch, resource: Resource::Deployments, namespace: None, name: None };
    ApiError::new(&call, class)
}

fn refused(class: Class) -> End {
    End::Refused(error(class))
}

fn network() -> Class {
    Class::Network { text: "reset".into(), sent: Sent::Maybe }
}

fn broken() -> End {
    End::Broken("reset".into())
}

fn unreadable() -> End {
    End::Unreadable("garbage".into())
}

fn forbidden() -> Class {
    Class::Forbidden(Permission { verb: "watch".into(), resource: "pods".into(), user: "u".into() })
}

fn watch(version: &str) -> Step {
    Step::Watch(version.into())
}

/// Tells a story of a server that streams no lists: after each happening the next step and the longest wait before it, in
/// milliseconds. An event that the loop refuses ends the stream at once, as the reader does it.
#[track_caller]
fn check(mut story: Vec<(Happens, Step, u64)>) {
    story.insert(0, (StreamFails(Class::Invalid { message: String::new() }), Step::List, 0));
    check_streaming(story);
}

/// The same from the very beginning.
#[track_caller]
fn check_streaming(story: Vec<(Happens, Step, u64)>) {
    let mut loops = ListWatch::new();
    assert_eq!(loops.step(), Step::Stream, "a loop begins with everything");
    for (at, (happens, step, wait_ms)) in story.into_iter().enumerate() {
        let wait = tell(&mut loops, happens);
        assert_eq!(loops.step(), step, "step after happening {at}");
        assert_eq!(wait, Duration::from_millis(wait_ms), "wait after happening {at}");
    }
}

fn tell(loops: &mut ListWatch, happens: Happens) -> Duration {
    let dice = u32::MAX;
    match happens {
        Streams(version) => loops.on(Outcome::Streamed(version), dice),
        StreamFails(class) => loops.on(Outcome::StreamFailed(&error(class)), dice),
        Lists(version) => loops.on(Outcome::Listed(version), dice),
        ListFails(class) => loops.on(Outcome::ListFailed(&error(class)), dice),
        Compares(version) => loops.on(Outcome::Compared(version), dice),
        CompareFails(class) => loops.on(Outcome::CompareFailed(&error(class)), dice),
        Opens => loops.on(Outcome::Opened, dice),
        OpenFails(class) => loops.on(Outcome::OpenFailed(&error(class)), dice),
        Shows(version) => match loops.seen(version) {
            Ok(()) => Duration::ZERO,
            Err(end) => loops.on(Outcome::Ended(&end, Duration::from_secs(60)), dice),
        },
        Ends(end, lived_ms) => {
            loops.on(Outcome::Ended(&end, Duration::from_millis(lived_ms)), dice)
        }
    }
}

#[test]
fn a_watch_goes_on_from_the_last_version_it_saw() {
    check(vec![
        (Lists("10"), watch("10"), 0),
        (Opens, watch("10"), 0),
        (Shows("11"), watch("11"), 0),
        (Shows("15"), watch("15"), 0),
        (Ends(End::Closed, 300_000), watch("15"), 0),
        (Opens, watch("15"), 0),
        (Ends(broken(), 300_000), Step::Compare, 200),
        (CompareFails(network()), Step::Compare, 400),
        (Compares("15"), watch("15"), 0),
        (OpenFails(network()), Step::Compare, 800),
        (Compares("17"), watch("15"), 0),
        (Opens, watch("15"), 0),
        (Shows("16"), watch("16"), 0),
    ]);
}

#[test]
fn a_stream_that_began_with_everything_is_a_watch_from_there_on() {
    check_streaming(vec![
        (Streams("10"), watch("10"), 0),
        (Shows("11"), watch("11"), 0),
        (Ends(End::Closed, 300_000), watch("11"), 0),
        (Opens, watch("11"), 0),
        (Ends(refused(Class::Expired), 60_000), Step::Stream, 200),
        (Streams("20"), watch("20"), 0),
        (Shows("19"), Step::Stream, 200),
        (Streams("19"), watch("19"), 0),
        (Ends(broken(), 1), Step::Compare, 400),
        (Compares("18"), Step::Stream, 800),
        (Streams("18"), watch("18"), 0),
        (Ends(End::Idle, 90_000), Step::Stream, 0),
    ]);
}

#[test]
fn a_streamed_list_alone_is_no_progress() {
    check_streaming(vec![
        (Streams("10"), watch("10"), 0),
        (Ends(refused(Class::Expired), 1), Step::Stream, 200),
        (Streams("20"), watch("20"), 0),
        (Ends(refused(Class::Expired), 1), Step::Stream, 400),
    ]);
}

#[test]
fn passing_trouble_is_waited_out_and_anything_else_means_pages_for_good() {
    let unavailable =
        || Class::Unavailable { message: String::new(), retry_after: Some(Duration::from_secs(9)) };
    for passing in [
        network(),
        Class::Credentials { text: String::new() },
        Class::TooManyRequests { retry_after: None },
        Class::Unauthorized,
    ] {
        check_streaming(vec![
            (StreamFails(passing.clone()), Step::Stream, 200),
            (StreamFails(unavailable()), Step::Stream, 9_000),
            (Ends(refused(passing), 1), Step::Stream, 800),
            (Streams("10"), watch("10"), 0),
        ]);
    }
    for lasting in [
        Class::NotFound,
        Class::Expired,
        Class::ResourceVersionTooLarge,
        Class::Invalid { message: String::new() },
        Class::Unexpected { status: 400, text: String::new() },
        Class::ServerError { status: 500, message: String::new(), retry_after: None },
        forbidden(),
    ] {
        for happens in [StreamFails(lasting.clone()), Ends(refused(lasting), 60_000)] {
            check_streaming(vec![
                (happens, Step::List, 0),
                (Lists("10"), watch("10"), 0),
                (Opens, watch("10"), 0),
                (Ends(End::Idle, 90_000), Step::List, 0),
            ]);
        }
    }
    for end in [End::Closed, End::Idle, End::Ignored, End::Rewound, broken(), unreadable()] {
        check_streaming(vec![(Ends(end, 60_000), Step::List, 0), (Lists("1"), watch("1"), 0)]);
    }
}

#[test]
fn a_stream_that_closes_at_once_is_not_opened_in_a_tight_loop() {
    check(vec![
        (Lists("10"), watch("10"), 0),
        (Opens, watch("10"), 0),
        (Ends(End::Closed, 1), watch("10"), 0),
        (Opens, watch("10"), 0),
        (Ends(End::Closed, 1), watch("10"), 400),
        (Opens, watch("10"), 0),
        (Ends(End::Closed, 1), watch("10"), 800),
    ]);
}

#[test]
fn waits_double_up_to_half_a_minute_and_begin_anew_after_progress() {
    let mut story = vec![];
    for wait in [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000] {
        story.push((ListFails(network()), Step::List, wait));
    }
    story.extend([
        (Lists("10"), watch("10"), 0),
        (Opens, watch("10"), 0),
        (Shows("10"), watch("10"), 0),
        (Ends(broken(), 1), Step::Compare, 200),
        (CompareFails(network()), Step::Compare, 400),
        (Compares("10"), watch("10"), 0),
        (Opens, watch("10"), 0),
        // Nothing shown, but it held for long.
        (Ends(broken(), 5_000), Step::Compare, 200),
    ]);
    check(story);
}

#[test]
fn a_list_alone_is_no_progress() {
    // Where the list works and the watch never does, the list must not be repeated at full speed.
    check(vec![
        (Lists("10"), watch("10"), 0),
        (OpenFails(Class::Expired), Step::List, 200),
        (Lists("20"), watch("20"), 0),
        (OpenFails(Class::Expired), Step::List, 400),
        (Lists("30"), watch("30"), 0),
        (Opens, watch("30"), 0),
        (Ends(refused(Class::Expired), 1), Step::List, 800),
    ]);
}

#[test]
fn compacted_history_means_to_list_again() {
    check(vec![
        (Lists("10"), watch("10"), 0),
        (OpenFails(Class::Expired), Step::List, 200),
        (Lists("20"), watch("20"), 0),
        (Opens, watch("20"), 0),
        (Shows("21"), watch("21"), 0),
        (Ends(refused(Class::Expired), 60_000), Step::List, 200),
        (ListFails(network()), Step::List, 400),
        (Lists("30"), watch("30"), 0),
    ]);
}

#[test]
fn a_server_that_went_back_in_time_means_to_list_again() {
    check(vec![
        (Lists("1000"), watch("1000"), 0),
        (Opens, watch("1000"), 0),
        (Shows("1000"), watch("1000"), 0),
        (Shows("999"), Step::List, 200),
        (Lists("999"), watch("999"), 0),
        (Opens, watch("999"), 0),
        (Shows("1000"), watch("1000"), 0),
    ]);
    check(vec![
        (Lists("1000"), watch("1000"), 0),
        (OpenFails(Class::ResourceVersionTooLarge), Step::List, 200),
    ]);
    // It came back from a backup: the watch would be accepted, and silent up to version 1000.
    check(vec![
        (Lists("1000"), watch("1000"), 0),
        (Opens, watch("1000"), 0),
        (Ends(End::Closed, 60_000), watch("1000"), 0),
        (OpenFails(network()), Step::Compare, 400),
        (Compares("999"), Step::List, 800),
        (ListFails(network()), Step::List, 1_600),
        (Lists("999"), watch("999"), 0),
    ]);
}

#[test]
fn versions_are_compared_as_numbers_and_only_when_they_are_some() {
    check(vec![
        (Lists("9"), watch("9"), 0),
        (Opens, watch("9"), 0),
        (Shows("10"), watch("10"), 0),
        (Shows("18446744073709551615"), watch("18446744073709551615"), 0),
    ]);
    check(vec![
        (Lists("b"), watch("b"), 0),
        (Opens, watch("b"), 0),
        (Shows("a"), watch("a"), 0),
        (Shows("7"), watch("7"), 0),
        (Shows("b"), watch("b"), 0),
        (Ends(broken(), 1), Step::Compare, 200),
        (Compares("a"), watch("b"), 0),
    ]);
}

#[test]
fn a_silent_stream_means_to_list_again_at_once() {
    check(vec![
        (Lists("10"), watch("10"), 0),
        (Opens, watch("10"), 0),
        (Ends(End::Idle, 90_000), Step::List, 0),
        (Lists("10"), watch("10"), 0),
    ]);
}

#[test]
fn what_cannot_be_read_twice_in_a_row_casts_doubt_on_the_version() {
    check(vec![
        (Lists("10"), watch("10"), 0),
        (Opens, watch("10"), 0),
        (Ends(unreadable(), 60_000), Step::Compare, 200),
        (Compares("10"), watch("10"), 0),
        (Opens, watch("10"), 0),
        (Ends(unreadable(), 60_000), Step::List, 400),
        (Lists("20"), watch("20"), 0),
        (Opens, watch("20"), 0),
        (Ends(unreadable(), 1), Step::Compare, 800),
        (Compares("20"), watch("20"), 0),
        (Opens, watch("20"), 0),
        (Shows("21"), watch("21"), 0),
        // An event in between took the doubt away.
        (Ends(unreadable(), 1), Step::Compare, 200),
        (Compares("21"), watch("21"), 0),
        (OpenFails(Class::NotFound), Step::List, 400),
    ]);
}

#[test]
fn an_event_without_a_version_never_becomes_the_place_to_go_on_from() {
    check(vec![
        (Lists("10"), watch("10"), 0),
        (Opens, watch("10"), 0),
        (Shows(""), Step::Compare, 200),
        (Compares("10"), watch("10"), 0),
        (Opens, watch("10"), 0),
        (Shows(""), Step::List, 400),
    ]);
}

#[test]
fn a_server_in_trouble_leaves_the_version_beyond_doubt() {
    let unavailable = |seconds: u64| Class::Unavailable {
        message: "starting".into(),
        retry_after: Some(Duration::from_secs(seconds)),
    };
    check(vec![
        (Lists("10"), watch("10"), 0),
        (OpenFails(unavailable(0)), Step::Compare, 200),
        (CompareFails(unavailable(5)), Step::Compare, 5_000),
        (CompareFails(Class::Unauthorized), Step::Compare, 800),
        (CompareFails(Class::Credentials { text: "gone".into() }), Step::Compare, 1_600),
        (Compares("10"), watch("10"), 0),
        (Opens, watch("10"), 0),
        (Ends(refused(unavailable(7)), 1), Step::Compare, 7_000),
    ]);
}

#[test]
fn a_missing_permission_is_asked_for_ever_more_rarely_down_to_once_a_minute() {
    let waits = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
    let mut events: Vec<_> =
        waits.into_iter().map(|wait| (ListFails(forbidden()), Step::List, wait)).collect();
    events.extend([
        (Lists("10"), watch("10"), 0),
        (OpenFails(forbidden()), Step::Compare, 1_000),
        (Compares("10"), watch("10"), 0),
        (OpenFails(forbidden()), Step::Compare, 2_000),
    ]);
    check(events);
}

#[test]
fn who_was_let_in_before_does_not_believe_the_first_refusals() {
    let mut loops = ListWatch::new();
    let refusal = error(forbidden());
    for _ in 0..2 {
        loops.on(Outcome::Listed("10"), 0);
        loops.on(Outcome::Opened, 0);
        let believed = (0..5).map(|_| {
            loops.on(Outcome::OpenFailed(&refusal), 0);
            loops.is_refused()
        });
        assert_eq!(believed.collect::<Vec<_>>(), [false, false, false, true, true]);
    }
}

#[test]
fn who_comes_while_the_server_still_reads_its_roles_asks_again_before_it_believes() {
    let refusal = error(forbidden());
    let mut loops = ListWatch::new();
    loops.on(Outcome::StreamFailed(&refusal), 0);
    let wait = loops.on(Outcome::ListFailed(&refusal), 0);
    assert!(!loops.is_refused());
    assert_eq!(wait, Duration::from_secs(1), "as long as that takes, whatever the dice say");
    loops.on(Outcome::ListFailed(&refusal), 0);
    assert!(loops.is_refused());
}

#[test]
fn who_knows_that_the_server_has_read_its_roles_believes_the_first_refusal() {
    let refusal = error(forbidden());
    let mut loops = ListWatch::believing();
    loops.on(Outcome::StreamFailed(&refusal), 0);
    assert_eq!(loops.step(), Step::List);
    loops.on(Outcome::ListFailed(&refusal), 0);
    assert!(loops.is_refused());
}

#[test]
fn who_may_list_and_was_never_let_watch_hears_of_it_soon() {
    let refusal = error(forbidden());
    let mut loops = ListWatch::new();
    loops.on(Outcome::StreamFailed(&refusal), 0);
    loops.on(Outcome::Listed("10"), 0);
    loops.on(Outcome::OpenFailed(&refusal), 0);
    assert!(!loops.is_refused());
    // That the version can be had is no right to watch.
    loops.on(Outcome::Compared("10"), 0);
    loops.on(Outcome::OpenFailed(&refusal), 0);
    assert!(loops.is_refused());
}

#[test]
fn the_dice_spread_a_wait_over_its_second_half() {
    for (dice, expect) in [(0, 100), (u32::MAX / 2, 150), (u32::MAX, 200)] {
        let mut loops = ListWatch::new();
        let wait = loops.on(Outcome::ListFailed(&error(network())), dice);
        assert!(
            wait.abs_diff(Duration::from_millis(expect)) < Duration::from_millis(1),
            "{wait:?}"
        );
    }
}
