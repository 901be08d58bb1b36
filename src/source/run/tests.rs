//! The order of looks, marks and time.

use crossbeam_channel::{bounded, unbounded};

use super::{
    FolderEvent, Hint, MARKS_WITHIN, Mark, Moment, Name, Runner, SourceOptions, Watch, clock,
};

struct Scene {
    runner: Runner,
    events: crossbeam_channel::Receiver<FolderEvent>,
    _folder: tempfile::TempDir,
}

/// A runner that is attached to a folder with one file, of which it has had no hint.
fn scene(poll: bool) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let (sender, events) = unbounded();
    let (_orders, inbox) = bounded(1);
    let options = SourceOptions { poll, ..SourceOptions::new(folder.path().to_owned()) };
    let mut runner =
        Runner::new(options, Box::new(move |event| sender.send(event).unwrap()), inbox);
    let now = clock::now();
    runner.check_folder(now);
    runner.scan_if_due(now);
    std::fs::write(folder.path().join("web_prod.dep"), "app:1").unwrap();
    Scene { runner, events, _folder: folder }
}

fn name() -> Name {
    std::ffi::OsString::from("web_prod.dep").into()
}

/// A look that began `ago` and has only now come to its end.
fn slow_look(runner: &mut Runner, hint: Hint, ago: std::time::Duration) -> Moment {
    let now = clock::now();
    let began = Moment(now.0 - u64::try_from(ago.as_millis()).unwrap());
    runner.settle.hint(&name(), hint, began);
    runner.take_looks(began);
    now
}

#[test]
fn without_marks_hints_have_their_time_to_overtake_a_look_however_long_it_took() {
    let Scene { mut runner, events, _folder } = scene(false);
    runner.attachment.watch.as_mut().unwrap().give_up_marks();
    let now = slow_look(&mut runner, Hint::Complete, MARKS_WITHIN);
    runner.drained = now;
    runner.end_looks_without_marks(now);
    assert!(runner.settle.is_looking());
    // The time is over, but there may be notices that have come within it.
    runner.end_looks_without_marks(now + MARKS_WITHIN);
    assert!(runner.settle.is_looking());
    runner.drained = now + MARKS_WITHIN;
    runner.end_looks_without_marks(now + MARKS_WITHIN);
    assert!(!runner.settle.is_looking());
    assert!(events.try_iter().any(|event| matches!(event, FolderEvent::File { .. })));
}

#[test]
fn marks_are_given_up_when_they_do_not_come_twice_and_not_because_reading_is_slow() {
    let Scene { mut runner, _folder, .. } = scene(false);
    let mut now = slow_look(&mut runner, Hint::Complete, MARKS_WITHIN);
    for works in [true, true, false] {
        runner.drained = now;
        runner.end_looks_without_marks(now);
        assert_eq!(runner.attachment.watch.as_ref().is_some_and(Watch::marks_work), works);
        now = now + MARKS_WITHIN * 2;
    }
}

#[test]
fn two_equal_looks_are_a_second_apart_even_if_reading_takes_longer() {
    let Scene { mut runner, _folder, .. } = scene(true);
    let now = slow_look(&mut runner, Hint::Touched, MARKS_WITHIN);
    assert!(runner.settle.next_due().is_some_and(|at| at >= now + runner.options.pace.settle));
}

/// What the sink hears of a file that was looked at between two marks.
fn told(lost: bool) -> usize {
    let Scene { mut runner, events, _folder } = scene(false);
    let now = clock::now();
    runner.settle.hint(&name(), Hint::Complete, now);
    runner.take_looks(now);
    if lost {
        runner.attachment.watch.as_ref().unwrap().lose();
    }
    runner.mark(Mark::Before, now);
    runner.mark(Mark::After, now);
    events.try_iter().filter(|event| matches!(event, FolderEvent::File { .. })).count()
}

#[test]
fn a_look_does_not_count_when_events_were_lost_meanwhile() {
    assert_eq!((told(false), told(true)), (1, 0));
}
