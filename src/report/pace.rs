//! How fast a receiver may be written to: a token bucket. `[C]`: the time is handed in.
//!
//! Slack allows one message a second per webhook and short bursts ("Rate limits").

use std::time::Duration;

use crate::model::Moment;

/// Messages that may go out at once after a quiet time.
const BURST: u64 = 5;

/// A token bucket that fills at a fixed rate.
#[derive(Clone, Debug)]
pub struct Pace {
    interval_ms: u64,
    /// The bucket is full at this time; each message moves it one interval into the future.
    full_at: Moment,
}

impl Pace {
    /// `per_second` messages each second, at least one in all that time.
    #[must_use]
    pub fn new(per_second: u32) -> Pace {
        Pace { interval_ms: 1000 / u64::from(per_second.clamp(1, 1000)), full_at: Moment(0) }
    }

    /// How long to wait before the next message.
    #[must_use]
    pub fn wait(&self, now: Moment) -> Duration {
        let room_at = self.full_at.0.saturating_sub(self.interval_ms * (BURST - 1));
        Moment(room_at).since(now)
    }

    /// A message goes out.
    pub fn spend(&mut self, now: Moment) {
        self.full_at = Moment(self.full_at.max(now).0 + self.interval_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_out_at_once_and_then_one_each_interval() {
        let mut pace = Pace::new(1);
        let mut sent = Vec::new();
        let mut now = Moment(10_000);
        for _ in 0..8 {
            now = now + pace.wait(now);
            pace.spend(now);
            sent.push(now.0 - 10_000);
        }
        assert_eq!(sent, [0, 0, 0, 0, 0, 1000, 2000, 3000]);
        now = now + Duration::from_secs(60);
        assert_eq!(pace.wait(now), Duration::ZERO);
    }
}
