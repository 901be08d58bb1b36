//! The one place that asks the operating system for the time of the control loop. `[E]`
//!
//! The clock is monotonic (`CLOCK_MONOTONIC`, through `std::time::Instant`): when the wall clock
//! jumps or the machine sleeps, no deadline fires early.

use std::sync::LazyLock;
use std::time::Instant;

use crate::model::Moment;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the first call in this process.
#[must_use]
pub fn now() -> Moment {
    Moment(u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX))
}
