//! Moments, and what many of them say together.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment in microseconds since 1970, by the wall clock that the API server's audit log uses too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(i64);

impl Stamp {
    pub fn now() -> Stamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        Stamp(i64::try_from(since.as_micros()).expect("a clock before the year 200,000"))
    }

    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Option<Stamp> {
        text.parse::<jiff::Timestamp>().ok().map(|time| Stamp(time.as_microsecond()))
    }

    /// Milliseconds from `earlier` to here.
    pub fn ms_since(self, earlier: Stamp) -> f64 {
        (self.0 - earlier.0) as f64 / 1000.0
    }
}

/// The value below which `share` (0 to 1) of all values lie, by the nearest rank; 0 for none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// The middle value.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Milliseconds with a fraction.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Asks every `every` until there is an answer; panics with `what` after `limit`.
pub fn wait_for<T>(
    what: &str,
    every: Duration,
    limit: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "still waiting for {what} after {limit:?}");
        thread::sleep(every);
    }
}
