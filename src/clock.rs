//! The one place that asks the operating system for the time of the control loop. `[E]`
//!
//! Moments count milliseconds since the Unix epoch, so that those kept in the store mean the same
//! after a restart. Within a process they advance by the monotonic clock (`CLOCK_MONOTONIC`, through
//! `std::time::Instant`) from what the wall clock said at the start: when the wall clock jumps or
//! the machine sleeps, no deadline fires early.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::Moment;

static START: LazyLock<(Moment, Instant)> = LazyLock::new(|| {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Moment::default() + unix, Instant::now())
});

/// The time.
#[must_use]
pub fn now() -> Moment {
    let (start, since) = *START;
    start + since.elapsed()
}
