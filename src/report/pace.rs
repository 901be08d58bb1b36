//! How fast a receiver may be written to: a token bucket. `[C]`: the time is handed in.
//!
//! Slack allows one message a second per webhook and short bursts ("Rate limits").

use std::time::Duration;

use crate::model::Moment;

/// What more than may be sent within this time is a storm.
const STORM: Duration = Duration::from_secs(10);

/// A token bucket that fills at a fixed rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    interval_ms: u64,
    burst: u64,
    /// The bucket is full at this time; each message moves it one interval into the future.
    full_at: Moment,
}

impl Pace {
    /// One message each `interval`, and `burst` of them at once after a quiet time.
    #[must_use]
    pub fn new(interval: Duration, burst: u32) -> Pace {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        Pace { interval_ms, burst: u64::from(burst.max(1)), full_at: Moment(0) }
    }

    /// `per_second` messages each second, with the same bursts; at least one, at most a thousand.
    #[must_use]
    pub fn at_rate(self, per_second: u32) -> Pace {
        Pace { interval_ms: 1000 / u64::from(per_second.clamp(1, 1000)), ..self }
    }

    /// How long to wait before the next message.
    #[must_use]
    pub fn wait(&self, now: Moment) -> Duration {
        let room_at = self.full_at.0.saturating_sub(self.interval_ms * (self.burst - 1));
        Moment(room_at).since(now)
    }

    /// A message goes out.
    pub fn spend(&mut self, now: Moment) {
        self.full_at = Moment(self.full_at.max(now).0.saturating_add(self.interval_ms));
    }

    /// Some intervals.
    #[must_use]
    pub fn intervals(&self, count: u32) -> Duration {
        Duration::from_millis(self.interval_ms.saturating_mul(u64::from(count)))
    }

    /// More messages than this that wait are a storm: what may be sent within ten seconds, and ten at
    /// least.
    #[must_use]
    pub fn calm(&self) -> usize {
        let storm = u64::try_from(STORM.as_millis()).unwrap_or(u64::MAX);
        usize::try_from((storm / self.interval_ms).max(10)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_out_at_once_and_then_one_each_interval() {
        let mut pace = Pace::new(Duration::from_secs(1), 5);
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

    #[test]
    fn a_storm_is_more_than_ten_seconds_of_messages() {
        let pace = Pace::new(Duration::from_secs(1), 5);
        assert_eq!(pace.calm(), 10);
        assert_eq!(pace.at_rate(100).calm(), 1000);
        assert_eq!(Pace::new(Duration::from_secs(2), 5).calm(), 10);
    }
}
