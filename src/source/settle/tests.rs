//! Single files through single stories. The random ones are in [`super::simulation`].

use std::ffi::OsString;

use super::{Finding, Hint, Look, Mark, Name, Pace, Said, Settle, Stamp};
use crate::model::{Image, ImageSet, Moment, Problem};

/// A settle with one file, and a hand to move it.
struct Story {
    settle: Settle,
    now: Moment,
    told: Vec<String>,
}

fn name() -> Name {
    OsString::from("web_prod.dep").into()
}

fn finding(text: &str) -> Finding {
    match Image::parse(text) {
        _ if text.is_empty() => Finding::Empty,
        Ok(image) => Finding::Images(ImageSet::Single(image)),
        Err(problem) => Finding::Problem(Problem { place: None, text: problem.text }),
    }
}

fn found(text: &str, stamp: u64, old: bool) -> Look {
    Look::Found { stamp: Stamp(stamp), finding: finding(text), old, torn: false }
}

impl Story {
    fn new() -> Story {
        Story { settle: Settle::new(Pace::default()), now: Moment(100_000), told: Vec::new() }
    }

    fn hint(&mut self, hint: Hint) -> &mut Story {
        self.settle.hint(&name(), hint, self.now);
        self
    }

    fn pass(&mut self, ms: u64) -> &mut Story {
        self.now = Moment(self.now.0 + ms);
        self
    }

    /// Takes the look that is due, which must be so.
    fn look(&mut self, look: Look) -> &mut Story {
        assert_eq!(self.settle.take_due(self.now, 9), [name()], "at {:?}", self.now);
        self.mark(Mark::Before);
        self.settle.looked(&name(), look);
        self.mark(Mark::After)
    }

    fn mark(&mut self, mark: Mark) -> &mut Story {
        for (_, said) in self.settle.mark(mark, self.now) {
            self.told.push(match said {
                Said::Finding(Finding::Images(images)) => images.to_string(),
                Said::Finding(Finding::Empty) => "empty".into(),
                Said::Finding(_) => "problem".into(),
                Said::Gone => "gone".into(),
                Said::Nothing => "nothing".into(),
            });
        }
        self
    }

    fn idle(&mut self) -> &mut Story {
        assert!(self.settle.take_due(self.now, 9).is_empty(), "at {:?}", self.now);
        self
    }

    fn settled(&mut self, told: &[&str]) {
        assert_eq!(self.settle.next_due(), None);
        assert_eq!(self.settle.unsettled(), 0);
        assert_eq!(self.told, told);
    }
}

#[test]
fn a_closed_file_is_acted_on_at_once() {
    let mut story = Story::new();
    story
        .hint(Hint::Written)
        .idle()
        .hint(Hint::Complete)
        .look(found("a:1", 1, false))
        .settled(&["a:1"]);
}

#[test]
fn a_file_that_stays_open_needs_two_equal_looks_a_second_apart() {
    let mut story = Story::new();
    story.hint(Hint::Written).pass(999).idle();
    story.pass(1).look(found("a:1", 1, false)).pass(999).idle();
    story.pass(1).look(found("a:1", 1, true)).settled(&["a:1"]);
}

#[test]
fn each_write_to_an_open_file_starts_the_second_anew() {
    let mut story = Story::new();
    for _ in 0..5 {
        story.hint(Hint::Written).pass(900).idle();
    }
    story.pass(100).look(found("a:1", 5, true)).hint(Hint::Written).pass(999).idle();
    story
        .pass(1)
        .look(found("a:12", 6, true))
        .pass(1000)
        .look(found("a:12", 6, true))
        .settled(&["a:12"]);
}

#[test]
fn constant_writing_is_waited_out_until_patience_ends_and_then_two_equal_looks_do() {
    let mut story = Story::new();
    let mut looks: u64 = 0;
    for tick in 0..2000 {
        story.hint(Hint::Written).pass(10);
        if story.settle.next_due().is_some_and(|at| at <= story.now) {
            looks += 1;
            story.look(found("a:1", tick, false));
        }
        if !story.told.is_empty() {
            break;
        }
    }
    assert_eq!((story.told.as_slice(), looks), (["a:1".to_owned()].as_slice(), 2));
}

#[test]
fn an_old_file_found_by_a_scan_is_complete_and_a_fresh_one_needs_a_second_look() {
    let mut story = Story::new();
    story.settle.appeared(&name(), true, story.now);
    story.look(found("a:1", 1, true)).settled(&["a:1"]);
    let mut story = Story::new();
    story.settle.appeared(&name(), false, story.now);
    story.look(found("a:1", 1, false)).pass(1000).look(found("a:1", 1, true)).settled(&["a:1"]);
}

#[test]
fn a_close_overtakes_the_second_look() {
    let mut story = Story::new();
    story.settle.appeared(&name(), false, story.now);
    story.look(found("a:1", 1, false)).pass(200);
    story.hint(Hint::Written).hint(Hint::Complete).look(found("a:12", 2, false)).settled(&["a:12"]);
}

#[test]
fn a_problem_is_told_after_a_second_and_only_if_nothing_better_came() {
    let mut story = Story::new();
    story.hint(Hint::Complete).look(found("a:", 1, false)).pass(999).idle();
    story.pass(1).look(found("a:", 1, true)).settled(&["problem"]);
    let mut story = Story::new();
    story.hint(Hint::Complete).look(found("a:", 1, false)).pass(500);
    story.hint(Hint::Complete).look(found("a:1", 2, false)).settled(&["a:1"]);
}

#[test]
fn an_invalid_file_that_has_been_so_for_long_is_told_at_once() {
    let mut story = Story::new();
    story.settle.appeared(&name(), true, story.now);
    story.look(found("a:", 1, true)).settled(&["problem"]);
}

/// FAULTS row 6: vim and git remove a file before they write it anew.
#[test]
fn fault_6_a_file_that_is_replaced_within_a_second_is_never_gone() {
    let mut story = Story::new();
    story.hint(Hint::Complete).look(found("a:1", 1, false));
    story.hint(Hint::Vanished).pass(5).hint(Hint::Written).pass(5).hint(Hint::Complete);
    story.pass(2).look(found("a:2", 2, false)).settled(&["a:1", "a:2"]);
}

#[test]
fn a_vanished_file_is_gone_after_a_second_and_forgotten() {
    let mut story = Story::new();
    story.hint(Hint::Complete).look(found("a:1", 1, false));
    story.hint(Hint::Vanished).idle().pass(1000).look(Look::Missing);
    assert!(story.settle.is_empty());
    story.settled(&["a:1", "gone"]);
}

#[test]
fn a_scratch_file_that_nothing_was_told_of_leaves_without_a_word() {
    let mut story = Story::new();
    story.hint(Hint::Written).hint(Hint::Vanished).pass(1000).look(Look::Missing).settled(&[]);
}

#[test]
fn the_same_is_never_told_twice() {
    let mut story = Story::new();
    for stamp in 0..5 {
        story.hint(Hint::Complete).look(found("a:1", stamp, false)).pass(2000);
    }
    story.settled(&["a:1"]);
}

#[test]
fn a_look_that_a_later_write_overlaps_does_not_count() {
    let mut story = Story::new();
    story.hint(Hint::Complete);
    assert_eq!(story.settle.take_due(story.now, 9), [name()]);
    story.mark(Mark::Before);
    story.settle.looked(&name(), found("a:1", 2, false));
    story.hint(Hint::Written).mark(Mark::After).idle();
    story.hint(Hint::Complete).pass(4).look(found("a:12", 3, false)).settled(&["a:12"]);
}

#[test]
fn a_look_that_begins_while_the_file_is_written_to_does_not_count() {
    let mut story = Story::new();
    story.hint(Hint::Complete);
    assert_eq!(story.settle.take_due(story.now, 9), [name()]);
    story.hint(Hint::Written).mark(Mark::Before);
    story.settle.looked(&name(), found("a:1", 2, false));
    story.mark(Mark::After).idle();
    story.hint(Hint::Complete).pass(8).look(found("a:12", 3, false)).settled(&["a:12"]);
}

#[test]
fn a_file_closed_all_the_time_is_looked_at_ever_more_rarely_and_the_last_close_counts() {
    let mut story = Story::new();
    let mut looks = 0;
    for edit in 0..5000 {
        story.hint(Hint::Written).hint(Hint::Complete);
        if story.settle.next_due().is_some_and(|at| at <= story.now) {
            looks += 1;
            story.look(found(&format!("a:{edit}"), edit, false));
        }
        story.pass(1);
    }
    assert!((10..40).contains(&looks), "{looks}");
    story.pass(500).look(found("a:last", 5000, false));
    assert_eq!(story.told.last().map(String::as_str), Some("a:last"));
}

#[test]
fn a_scan_looks_once_more_at_what_changed_within_a_tick_of_the_clock() {
    let mut story = Story::new();
    story.hint(Hint::Complete).look(found("a:1", 7, false)).pass(20_000);
    story.settle.scan_begins();
    assert!(story.settle.sighted(&name(), Stamp(7), true, story.now));
    story.settle.scan_ends(story.now);
    story.look(found("a:2", 7, true)).pass(20_000);
    story.settle.scan_begins();
    assert!(story.settle.sighted(&name(), Stamp(7), true, story.now));
    story.settle.scan_ends(story.now);
    story.settled(&["a:1", "a:2"]);
}

#[test]
fn a_scan_finds_what_changed_and_what_vanished_without_an_event() {
    let mut story = Story::new();
    story.hint(Hint::Complete).look(found("a:1", 1, true)).pass(20_000);
    story.settle.scan_begins();
    story.settle.sighted(&name(), Stamp(2), true, story.now);
    story.settle.scan_ends(story.now);
    story.look(found("a:2", 2, true)).pass(20_000);
    story.settle.scan_begins();
    story.settle.scan_ends(story.now);
    story.pass(1000).look(Look::Missing).settled(&["a:1", "a:2", "gone"]);
}

#[test]
fn abandoned_looks_are_taken_again() {
    let mut story = Story::new();
    story.hint(Hint::Complete);
    assert_eq!(story.settle.take_due(story.now, 9), [name()]);
    story.settle.abandon_looks(Moment(story.now.0 + 50));
    story.idle().pass(50).look(found("a:1", 1, false)).settled(&["a:1"]);
}

#[test]
fn after_lost_events_no_file_counts_as_closed_any_more() {
    let mut story = Story::new();
    story.hint(Hint::Complete);
    assert_eq!(story.settle.take_due(story.now, 9), [name()]);
    // Somebody begins to write, and the word of it is lost.
    story.settle.doubt(story.now);
    story.look(found("a:1", 1, false)).pass(300).idle();
    story.pass(700).look(found("a:12", 2, false)).idle();
    story.pass(1000).look(found("a:12", 2, false)).settled(&["a:12"]);
}

#[test]
fn after_lost_events_a_look_that_was_due_is_not_sure_either() {
    let mut story = Story::new();
    story.hint(Hint::Complete);
    story.settle.doubt(story.now);
    story.look(found("a:1", 1, false)).idle();
    story.pass(1000).look(found("a:1", 1, false)).settled(&["a:1"]);
}
