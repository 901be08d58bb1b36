//! Random schedules: a writer, the kernel's queue, and the source thread, interleaved in every order.
//!
//! The checkers know nothing of how settling works: only contents that were complete are told, in
//! the order in which they were, and the last one always is.

use std::collections::VecDeque;
use std::ffi::OsString;

use proptest::prelude::*;

use super::{Finding, Hint, Look, Mark, Name, Pace, Said, Settle, Stamp};
use crate::model::{Image, ImageSet, Moment, Problem};

/// How somebody saves a file.
#[derive(Clone, Copy, Debug)]
enum Save {
    /// Truncates it, writes in chunks, closes.
    InPlace { chunks: u8 },
    /// Removes it first, as git does.
    Anew { chunks: u8 },
    /// Moves a complete file over it.
    Move,
    /// Leaves it empty.
    Empty,
    /// Removes it.
    Remove,
}

/// One step of the schedule.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The writer does the next half of an operation: the effect, or the event about it.
    Write,
    /// The source thread receives an event.
    Receive,
    /// It takes what is due, or reads, or sets the second mark: whatever comes next.
    Look,
    /// Time passes.
    Pass(u16),
}

#[derive(Clone, Debug)]
enum Half {
    Create,
    Truncate,
    Append(&'static str),
    Close,
    Replace(String),
    Unlink,
    Tell(Hint),
}

enum Arrival {
    Hint(Hint),
    Mark(Mark),
}

enum Look1 {
    None,
    Taken,
    Read,
}

struct World {
    settle: Settle,
    name: Name,
    now: Moment,
    content: Option<String>,
    stamp: u64,
    plan: VecDeque<Half>,
    queue: VecDeque<Arrival>,
    look: Look1,
    /// How long the save under way has taken.
    saving_ms: u64,
    /// Everything that was complete at some time, in order.
    complete: Vec<Option<String>>,
    told: Vec<Option<String>>,
}

/// What a content means: an image, or nothing worth telling.
fn image(content: &str) -> Option<String> {
    Image::parse(content).is_ok().then(|| content.to_owned())
}

impl World {
    fn new(saves: &[Save]) -> World {
        let mut plan = VecDeque::new();
        for (number, save) in saves.iter().enumerate() {
            plan.extend(halves(*save, number));
        }
        World {
            settle: Settle::new(Pace::default()),
            name: OsString::from("web_prod.dep").into(),
            now: Moment(1_000_000),
            content: None,
            stamp: 0,
            plan,
            queue: VecDeque::new(),
            look: Look1::None,
            saving_ms: 0,
            complete: vec![None],
            told: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write => self.write(),
            Step::Receive => self.receive(),
            Step::Look => self.look(),
            Step::Pass(ms) if self.plan.is_empty() => self.now = Moment(self.now.0 + u64::from(ms)),
            // No save takes a second: what happens when one does is a rule of its own.
            Step::Pass(ms) => {
                let passed = u64::from(ms).min(900 - self.saving_ms);
                self.saving_ms += passed;
                self.now = Moment(self.now.0 + passed);
            }
        }
    }

    fn write(&mut self) {
        let Some(half) = self.plan.pop_front() else { return };
        self.stamp += 1;
        match half {
            Half::Create | Half::Truncate => self.content = Some(String::new()),
            Half::Append(text) => self.content.get_or_insert_default().push_str(text),
            Half::Close => {
                self.saving_ms = 0;
                self.complete.push(self.content.clone());
            }
            Half::Replace(text) => {
                self.saving_ms = 0;
                self.content = Some(text);
                self.complete.push(self.content.clone());
            }
            Half::Unlink => {
                self.content = None;
                self.complete.push(None);
            }
            Half::Tell(hint) => self.queue.push_back(Arrival::Hint(hint)),
        }
    }

    fn receive(&mut self) {
        match self.queue.pop_front() {
            Some(Arrival::Hint(hint)) => self.settle.hint(&self.name, hint, self.now),
            Some(Arrival::Mark(mark)) => {
                for (_, said) in self.settle.mark(mark, self.now) {
                    self.told.push(match said {
                        Said::Finding(Finding::Images(images)) => Some(images.to_string()),
                        _ => None,
                    });
                }
            }
            None => {}
        }
    }

    fn look(&mut self) {
        match self.look {
            Look1::None if !self.settle.take_due(self.now, 9).is_empty() => {
                self.queue.push_back(Arrival::Mark(Mark::Before));
                self.look = Look1::Taken;
            }
            Look1::None => {}
            Look1::Taken => {
                let look = self.read();
                self.settle.looked(&self.name, look);
                self.look = Look1::Read;
            }
            Look1::Read => {
                self.queue.push_back(Arrival::Mark(Mark::After));
                self.look = Look1::None;
            }
        }
    }

    fn read(&self) -> Look {
        let Some(content) = &self.content else { return Look::Missing };
        let finding = match Image::parse(content) {
            Ok(image) => Finding::Images(ImageSet::Single(image)),
            Err(_) if content.is_empty() => Finding::Empty,
            Err(problem) => Finding::Problem(Problem { place: None, text: problem.text }),
        };
        Look::Found { stamp: Stamp(self.stamp), finding, old: false, torn: false }
    }

    /// Lets everything run out.
    fn drain(&mut self) {
        for _ in 0..2000 {
            self.write();
            while !self.queue.is_empty() {
                self.receive();
            }
            self.look();
            if self.plan.is_empty() {
                self.now = Moment(self.now.0 + 10);
            }
        }
    }

    /// Everything told was complete, in this order.
    fn check_order(&self) {
        let mut at = 0;
        for told in &self.told {
            let meaning = |content: &Option<String>| content.as_deref().and_then(image);
            match self.complete[at..].iter().position(|content| meaning(content) == *told) {
                Some(further) => at += further,
                None => panic!(
                    "{told:?} was told but not complete then: {:?}, told {:?}",
                    self.complete, self.told
                ),
            }
        }
    }

    fn check_last(&self) {
        let last = self.complete.last().and_then(|content| content.as_deref().and_then(image));
        let told = self.told.last().cloned().flatten();
        assert_eq!(told, last, "of {:?} was told {:?}", self.complete, self.told);
        assert_eq!((self.settle.unsettled(), self.settle.next_due()), (0, None));
    }
}

fn halves(save: Save, number: usize) -> Vec<Half> {
    // Every prefix from `a:1` on is a valid image: exactly what must not be taken.
    let chunks = |n: u8| {
        let first = ["a:1", "b:1", "c:1"][number % 3];
        let texts =
            std::iter::once(first).chain(["2", "3", "4", "5"].into_iter().take(usize::from(n)));
        texts.flat_map(|text| [Half::Append(text), Half::Tell(Hint::Written)]).collect::<Vec<_>>()
    };
    let close = vec![Half::Close, Half::Tell(Hint::Complete)];
    match save {
        Save::InPlace { chunks: n } => {
            [vec![Half::Truncate, Half::Tell(Hint::Written)], chunks(n), close].concat()
        }
        Save::Anew { chunks: n } => {
            let start = vec![
                Half::Unlink,
                Half::Tell(Hint::Vanished),
                Half::Create,
                Half::Tell(Hint::Written),
            ];
            [start, chunks(n), close].concat()
        }
        Save::Move => vec![Half::Replace(format!("m:{number}")), Half::Tell(Hint::Complete)],
        Save::Empty => [vec![Half::Truncate, Half::Tell(Hint::Written)], close].concat(),
        Save::Remove => vec![Half::Unlink, Half::Tell(Hint::Vanished)],
    }
}

fn any_save() -> impl Strategy<Value = Save> {
    prop_oneof![
        4 => (0u8..4).prop_map(|chunks| Save::InPlace { chunks }),
        2 => (0u8..4).prop_map(|chunks| Save::Anew { chunks }),
        1 => Just(Save::Move),
        1 => Just(Save::Empty),
        1 => Just(Save::Remove),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Write),
        3 => Just(Step::Receive),
        3 => Just(Step::Look),
        1 => (0u16..1200).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_prefix_is_ever_told_and_the_last_content_always_wins(
        saves in proptest::collection::vec(any_save(), 1..8),
        steps in proptest::collection::vec(any_step(), 0..300),
    ) {
        let mut world = World::new(&saves);
        for step in steps {
            world.step(step);
        }
        world.drain();
        world.check_order();
        world.check_last();
    }
}
