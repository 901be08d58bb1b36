//! How soon something must be on disk: at once, or in one transaction with what comes right after. `[C]`

use std::time::Duration;

use crate::model::Moment;

/// What a stream of steps waits for more, at most.
const GATHER: Duration = Duration::from_millis(10);
/// Each step that somebody waits for counts as much; so 250 each second are a stream.
const STEP: Duration = Duration::from_millis(4);
/// Eight at once are none yet.
const FEW: Duration = Duration::from_millis(32);
/// A stream is forgotten within a moment.
const MOST: Duration = Duration::from_millis(64);

/// How soon something must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// Somebody waits for it.
    Now,
    /// A message waits for it: at once, but not in a transaction of its own right after another.
    Soon,
    /// Nobody does: what comes next takes it along.
    Later,
}

/// How thick steps came that somebody waits for. Each must be on disk before its request is sent, but
/// when hundreds come at once, they wait for the API server anyway, and one transaction for ten of them
/// leaves it the CPU of nine. It fills with every step and runs out with time.
#[derive(Debug, Default)]
pub struct Rush {
    level: Duration,
    at: Moment,
}

impl Rush {
    /// When a step that comes now is due, the batch before having been taken at `last`.
    pub fn due(&mut self, haste: Haste, last: Moment, now: Moment) -> Moment {
        self.level = self.level.saturating_sub(now.since(self.at));
        self.at = now;
        let gather = self.level.saturating_sub(FEW).min(GATHER);
        match haste {
            Haste::Now => {
                self.level = (self.level + STEP).min(MOST);
                now + gather
            }
            Haste::Soon => now.max(last + gather.max(Duration::from_millis(3))),
            Haste::Later => now + Duration::from_millis(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Haste, Rush};
    use crate::model::Moment;

    #[test]
    fn a_lone_message_is_due_at_once_and_one_of_many_a_little_later() {
        let last = Moment(1000);
        for (haste, now, due) in [
            (Haste::Now, 1000, 1000),
            (Haste::Soon, 1001, 1003),
            (Haste::Soon, 1003, 1003),
            (Haste::Soon, 2000, 2000),
            (Haste::Later, 2000, 2030),
        ] {
            let moment = Rush::default().due(haste, last, Moment(now));
            assert_eq!(moment, Moment(due), "{haste:?} at {now}");
        }
    }

    /// How long each of these steps waits for more.
    fn waits(rush: &mut Rush, times: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let wait = |at| rush.due(Haste::Now, Moment(0), Moment(at)).0 - at;
        times.into_iter().map(wait).collect()
    }

    #[test]
    fn what_somebody_waits_for_waits_for_more_in_a_stream_only() {
        let mut rush = Rush::default();
        assert_eq!(waits(&mut rush, [1000; 12]), [0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 8, 10]);
        assert_eq!(waits(&mut rush, [1200]), [0], "it is over");
        let steady = waits(&mut rush, (2000..4000).step_by(4));
        assert!(steady.iter().all(|wait| *wait == 0), "one after another");
        let storm = waits(&mut rush, (5000..7000).step_by(2));
        assert_eq!(storm.last(), Some(&10));
    }

    #[test]
    fn in_a_stream_messages_do_not_come_between() {
        let mut rush = Rush::default();
        waits(&mut rush, [1000; 20]);
        assert_eq!(rush.due(Haste::Soon, Moment(1000), Moment(1002)), Moment(1010));
    }
}
