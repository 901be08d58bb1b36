//! What the delivery of one receiver does next: which messages, when, and again or never. `[C]`: time and
//! dice are handed in, and whoever asks does what is said.
//!
//! Messages go in order. Whatever was not taken is sent again as it was, and those behind it wait. In a
//! storm many go as one digest, and after it more may gather for the next.

use std::time::Duration;

use super::digest::Storm;
use super::inbox::Inbox;
use super::kind::Kind;
use super::pace::Pace;
use super::record::{Record, VERSION};
use super::transport::Answer;
use crate::model::Moment;
use crate::queue::backoff;

/// Records that one look at the inbox takes: more than any digest tells.
const LOOK: usize = 1_000;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver acknowledged it.
    Delivered,
    /// The receiver will never take it, for this reason.
    SetAside(String),
}

/// What is in memory behind a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// It was the last for now.
    Nothing,
    /// Others are next, and will be settled soon as well.
    Others,
}

/// What is sent at once: records with the numbers of their messages, where a store keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// In the order of the records.
    pub ids: Vec<Option<u64>>,
    /// One, or those of a digest.
    pub records: Vec<Record>,
    /// More is there that would have gone along, had there been room.
    is_full: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this, and say with [`Dispatch::answered`] what came of it.
    Send(Load),
    /// The first message in the inbox is no record that this depd knows: set it aside.
    SetAside(Option<u64>),
    /// Ask again then, whatever comes meanwhile.
    Rest(Moment),
    /// Ask again then, or when no more will come.
    Gather(Moment),
    /// Ask again when something came, or when what is left in the store may have become readable.
    Listen,
    /// Everything was sent.
    End,
}

/// What became of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is settled.
    Settled(Fate),
    /// It is kept, and sent again after this time.
    Kept(Duration),
}

/// The delivery of one receiver, between one message and the next.
#[derive(Debug)]
pub struct Dispatch {
    kind: Kind,
    pace: Pace,
    storm: Storm,
    /// What is under way, or is sent again.
    load: Option<Load>,
    /// How often it was not taken.
    failures: u32,
    /// Nothing is sent before.
    rests_until: Moment,
    /// More may gather until then.
    gathers_until: Moment,
}

impl Dispatch {
    /// To a receiver of this kind, at this pace.
    #[must_use]
    pub fn new(kind: Kind, pace: Pace) -> Dispatch {
        Dispatch {
            kind,
            pace,
            storm: Storm::default(),
            load: None,
            failures: 0,
            rests_until: Moment(0),
            gathers_until: Moment(0),
        }
    }

    /// Nothing is under way: the inbox is looked at next.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.load.is_none()
    }

    /// What to do now.
    pub fn next(&mut self, inbox: &Inbox, now: Moment) -> Next {
        if now < self.rests_until {
            return Next::Rest(self.rests_until);
        }
        if self.load.is_none() {
            if now < self.gathers_until && !inbox.is_closed() {
                return Next::Gather(self.gathers_until);
            }
            match self.pick(inbox) {
                Ok(Some(load)) => self.load = Some(load),
                Ok(None) if inbox.is_closed() => return Next::End,
                Ok(None) => {
                    if !inbox.has_more() {
                        self.storm.over();
                    }
                    return Next::Listen;
                }
                Err(unknown) => return Next::SetAside(unknown),
            }
        }
        let pause = self.pace.wait(now);
        if !pause.is_zero() {
            self.rests_until = now + pause;
            return Next::Rest(self.rests_until);
        }
        match &self.load {
            Some(load) => {
                self.pace.spend(now);
                Next::Send(load.clone())
            }
            None => Next::Listen,
        }
    }

    /// What is next in the inbox; the number of a message that is no record where that comes first.
    fn pick(&self, inbox: &Inbox) -> Result<Option<Load>, Option<u64>> {
        // The rest of a storm is part of it, however small.
        let is_storm = inbox.count() > self.pace.calm() || self.storm.is_on();
        let is_digest = is_storm && self.kind.digest_limits().is_some();
        let mut load = Load { ids: Vec::new(), records: Vec::new(), is_full: false };
        for parcel in inbox.peek(if is_digest { LOOK } else { 1 }) {
            match serde_json::from_str::<Record>(&parcel.payload) {
                Ok(record) if record.version == VERSION => {
                    load.ids.push(parcel.id);
                    load.records.push(record);
                }
                _ if load.records.is_empty() => return Err(parcel.id),
                // Those before it go first.
                _ => break,
            }
        }
        let size = if is_digest { self.kind.digest_size(&load.records) } else { 1 };
        load.is_full = size < load.records.len();
        load.ids.truncate(size);
        load.records.truncate(size);
        Ok((!load.records.is_empty()).then_some(load))
    }

    /// The receiver said this of what was sent.
    pub fn answered(&mut self, answer: &Answer, now: Moment, jitter: u64) -> Outcome {
        let fate = match answer {
            Answer::Taken => Fate::Delivered,
            Answer::Never { why, .. } => Fate::SetAside(why.clone()),
            Answer::Later { wait, .. } => {
                self.failures = self.failures.saturating_add(1);
                let pause = pause(*wait, self.failures, jitter);
                self.rests_until = now + pause;
                return Outcome::Kept(pause);
            }
        };
        self.failures = 0;
        if let Some(load) = self.load.take() {
            self.note_storm(&load, now);
        }
        Outcome::Settled(fate)
    }

    fn note_storm(&mut self, load: &Load, now: Moment) {
        if load.records.len() == 1 {
            return self.storm.over();
        }
        let gap = self.pace.intervals(self.storm.digest_sent());
        if !load.is_full {
            self.gathers_until = now + gap;
        }
    }
}

/// Tells what became of the first messages of the inbox, and takes them out.
pub fn settle(
    inbox: &Inbox,
    ids: &[Option<u64>],
    fate: &Fate,
    mut tell: impl FnMut(u64, Fate, Behind),
) {
    let is_last = inbox.count() <= ids.len();
    let behind = if is_last { Behind::Nothing } else { Behind::Others };
    ids.iter().flatten().for_each(|id| tell(*id, fate.clone(), behind));
    inbox.settle(ids.len());
}

/// How long to leave a receiver alone that did not take a message for the `failures`th time: as long as
/// it asked for, but one that asks for nothing is not asked more often for that.
fn pause(asked: Option<Duration>, failures: u32, jitter: u64) -> Duration {
    asked.unwrap_or_default().max(backoff::delay(failures, jitter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::inbox::{Parcel, Put};
    use crate::report::samples;

    const START: Moment = Moment(1_000_000);

    fn dispatch() -> Dispatch {
        Dispatch::new(Kind::Slack, Kind::Slack.pace())
    }

    fn put(inbox: &Inbox, ids: std::ops::RangeInclusive<u64>) {
        let payload = serde_json::to_string(&samples::all()[1]).expect("JSON");
        for id in ids {
            let parcel = Parcel { id: Some(id), payload: payload.clone() };
            assert_eq!(inbox.put(parcel), Put::Kept);
        }
    }

    #[track_caller]
    fn sent(next: Next) -> Vec<u64> {
        let Next::Send(load) = next else { panic!("{next:?}") };
        load.ids.into_iter().flatten().collect()
    }

    fn later(asked_s: Option<u64>) -> Answer {
        Answer::Later { why: "busy".into(), wait: asked_s.map(Duration::from_secs) }
    }

    #[test]
    fn fault_33_a_receiver_that_asks_for_no_time_at_all_is_left_alone_all_the_same() {
        for (asked_s, failures, least_ms, most_ms) in [
            (None, 1, 125, 250),
            (Some(0), 1, 125, 250),
            (Some(0), 9, 15_000, 30_000),
            (Some(1), 9, 15_000, 30_000),
            (Some(60), 9, 60_000, 60_000),
        ] {
            let wait = pause(asked_s.map(Duration::from_secs), failures, 7).as_millis();
            assert!((least_ms..=most_ms).contains(&wait), "{asked_s:?}, {failures}: {wait} ms");
        }
    }

    #[test]
    fn what_was_not_taken_is_sent_again_after_a_pause_before_anything_else() {
        let (mut dispatch, inbox) = (dispatch(), Inbox::default());
        put(&inbox, 1..=2);
        assert_eq!(sent(dispatch.next(&inbox, START)), [1]);
        let Outcome::Kept(pause) = dispatch.answered(&later(Some(3)), START, 0) else {
            panic!("it is kept")
        };
        assert_eq!(pause, Duration::from_secs(3));
        let then = START + pause;
        assert_eq!(dispatch.next(&inbox, START), Next::Rest(then));
        assert_eq!(sent(dispatch.next(&inbox, then)), [1]);
        assert_eq!(dispatch.answered(&Answer::Taken, then, 0), Outcome::Settled(Fate::Delivered));
        let mut told = Vec::new();
        settle(&inbox, &[Some(1)], &Fate::Delivered, |id, _, behind| told.push((id, behind)));
        assert_eq!(told, [(1, Behind::Others)]);
        assert_eq!(sent(dispatch.next(&inbox, then)), [2]);
    }

    #[test]
    fn after_a_digest_more_may_gather_until_no_more_will_come() {
        let (mut dispatch, inbox) = (dispatch(), Inbox::default());
        put(&inbox, 1..=11);
        assert_eq!(sent(dispatch.next(&inbox, START)), (1..=11).collect::<Vec<_>>());
        dispatch.answered(&Answer::Taken, START, 0);
        settle(&inbox, &[None; 11], &Fate::Delivered, |_, _, _| ());
        put(&inbox, 12..=13);
        assert_eq!(
            dispatch.next(&inbox, START),
            Next::Gather(START + Duration::from_secs(5)),
            "though two wait"
        );
        inbox.close();
        assert_eq!(sent(dispatch.next(&inbox, START)), [12, 13]);
        dispatch.answered(&Answer::Taken, START, 0);
        settle(&inbox, &[None; 2], &Fate::Delivered, |_, _, _| ());
        assert_eq!(dispatch.next(&inbox, START), Next::End);
    }

    #[test]
    fn a_storm_is_over_when_nothing_waits_any_more() {
        let (mut dispatch, inbox) = (dispatch(), Inbox::default());
        dispatch.storm.digest_sent();
        assert_eq!(dispatch.next(&inbox, START), Next::Listen);
        put(&inbox, 1..=2);
        assert_eq!(sent(dispatch.next(&inbox, START)), [1], "each is told singly");
    }

    #[test]
    fn the_pace_of_the_receiver_is_kept() {
        let (mut dispatch, inbox) = (dispatch(), Inbox::default());
        put(&inbox, 1..=9);
        let (mut now, mut times) = (START, Vec::new());
        while inbox.count() > 0 {
            match dispatch.next(&inbox, now) {
                Next::Rest(until) => now = until,
                next => {
                    times.push(now.since(START).as_secs());
                    sent(next);
                    dispatch.answered(&Answer::Taken, now, 0);
                    settle(&inbox, &[None], &Fate::Delivered, |_, _, _| ());
                }
            }
        }
        assert_eq!(times, [0, 0, 0, 0, 0, 1, 2, 3, 4]);
    }
}
