//! The one place that asks the operating system for the time of the control loop. `[E]`
//!
//! Moments count milliseconds since the Unix epoch, so that those kept in the store mean the same
//! after a restart. Within a process they advance by the monotonic clock (`CLOCK_MONOTONIC`, through
//! `std::time::Instant`) from what the wall clock said at the start: when the wall clock jumps or
//! the machine sleeps, no deadline fires early.
//!
//! The monotonic clock goes on while the process alone stands still: stopped by a signal, frozen
//! with its container, or on a virtual machine that is being moved. Nothing was seen of the cluster
//! then, so that time must not count as time without progress. The timer's thread therefore calls
//! [`beat`] every second, and a gap between beats is taken out.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::model::Moment;

/// How often [`beat`] is to be called.
pub const BEAT: Duration = Duration::from_secs(1);
/// A longer gap between beats is no busy machine but a standstill.
const STANDSTILL: Duration = Duration::from_secs(3);

static START: LazyLock<(Moment, Instant)> = LazyLock::new(|| {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Moment::default() + unix, Instant::now())
});

static HEART: Mutex<Heart> =
    Mutex::new(Heart { last: None, lost: Duration::ZERO, told: Duration::ZERO });

/// When it last beat, and how long the process stood still in all.
struct Heart {
    last: Option<Duration>,
    lost: Duration,
    /// The latest time that was told: a standstill that is noticed late must not turn time back.
    told: Duration,
}

impl Heart {
    /// `elapsed` since the start without the time that was lost. Nothing is lost before the first beat.
    fn lived(&mut self, elapsed: Duration) -> Duration {
        if let Some(last) = self.last
            && let gap = elapsed.saturating_sub(last)
            && gap > STANDSTILL
        {
            self.lost += gap;
            self.last = Some(elapsed);
        }
        self.told = self.told.max(elapsed.saturating_sub(self.lost));
        self.told
    }
}

/// The time.
#[must_use]
pub fn now() -> Moment {
    let (start, since) = *START;
    let mut heart = HEART.lock();
    start + heart.lived(since.elapsed())
}

/// The process lives.
pub fn beat() {
    let (_, since) = *START;
    let mut heart = HEART.lock();
    let elapsed = since.elapsed();
    heart.lived(elapsed);
    heart.last = Some(elapsed);
}

/// Nobody beats any more: from here on time simply passes.
pub fn stop_beating() {
    HEART.lock().last = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_between_beats_is_taken_out_and_without_beats_time_simply_passes() {
        let mut heart = Heart { last: None, lost: Duration::ZERO, told: Duration::ZERO };
        let mut lived = |at: u64, beats: bool| {
            let at = Duration::from_secs(at);
            let lived = heart.lived(at);
            if beats {
                heart.last = Some(at);
            }
            lived.as_secs()
        };
        assert_eq!(lived(100, false), 100);
        assert_eq!(lived(101, true), 101);
        assert_eq!(lived(103, false), 103, "a busy machine");
        assert_eq!(lived(200, false), 103, "stopped since the last beat; time does not turn back");
        assert_eq!(lived(201, true), 103);
        assert_eq!(lived(203, true), 104);
    }
}
