//! Waiting for a condition, with a limit that only a defect reaches.

use std::thread;
use std::time::{Duration, Instant};

/// Far beyond what anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// Asks again and again until there is an answer; fails with `what` at the limit.
#[track_caller]
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "still waiting for {what} after {LIMIT:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
