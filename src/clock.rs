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
//!
//! So this clock and the wall clock grow apart. A time that somebody else read from a wall clock is
//! translated by how old it is ([`of_wall`]).

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::model::Moment;

/// How often [`beat`] is to be called.
pub const BEAT: Duration = Duration::from_secs(1);
/// A longer gap between beats is no busy machine but a standstill.
const STANDSTILL: Duration = Duration::from_secs(3);

static START: LazyLock<(Moment, Instant)> = LazyLock::new(|| (wall(), Instant::now()));

static HEART: Mutex<Heart> = Mutex::new(Heart::NEW);

/// When it last beat, how long the process stood still in all, and how many beats there were.
struct Heart {
    last: Option<Duration>,
    lost: Duration,
    /// The latest time that was told: a standstill that is noticed late must not turn time back.
    told: Duration,
    beats: u64,
}

impl Heart {
    const NEW: Heart = Heart { last: None, lost: Duration::ZERO, told: Duration::ZERO, beats: 0 };

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

/// When that was by this clock which the wall clock, as it goes now, calls `time`.
#[must_use]
pub fn of_wall(time: Moment) -> Moment {
    translated(time, wall(), now())
}

fn translated(time: Moment, wall: Moment, now: Moment) -> Moment {
    Moment(now.0.saturating_add(time.0).saturating_sub(wall.0))
}

fn wall() -> Moment {
    Moment::default() + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The process lives.
pub fn beat() {
    let (_, since) = *START;
    let mut heart = HEART.lock();
    let elapsed = since.elapsed();
    heart.lived(elapsed);
    heart.last = Some(elapsed);
    heart.beats += 1;
}

/// How often [`beat`] was called: who finds the same number twice knows that the timer stands still.
#[must_use]
pub fn beats() -> u64 {
    HEART.lock().beats
}

/// Nobody beats any more: from here on time simply passes.
pub fn stop_beating() {
    HEART.lock().last = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_wall_clock_is_as_old_by_this_one() {
        let of_wall = |time, wall, now| translated(Moment(time), Moment(wall), Moment(now)).0;
        assert_eq!(of_wall(9_000, 10_000, 10_000), 9_000);
        assert_eq!(of_wall(9_000, 10_000, 3_610_000), 3_609_000, "put back by an hour since");
        assert_eq!(of_wall(9_000, 10_000, 7_000), 6_000, "this process stood still");
        assert_eq!(of_wall(11_000, 10_000, 7_000), 8_000, "the cluster's clock is ahead");
        assert_eq!(of_wall(1_000, 10_000, 7_000), 0);
    }

    #[test]
    fn a_gap_between_beats_is_taken_out_and_without_beats_time_simply_passes() {
        let mut heart = Heart::NEW;
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
