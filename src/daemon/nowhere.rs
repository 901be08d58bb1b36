//! A server that is not there, for tests of what watches it.

use std::thread;
use std::time::Duration;

use crate::clock;
use crate::cluster::{Client, Reflector, fixture};

/// Far beyond what it takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// A client of it: its watches run, and fail for ever.
pub fn client() -> Client {
    fixture::client("http://127.0.0.1:1")
}

/// Ends the thread of a watch.
pub fn end(reflector: &Reflector) {
    reflector.stop();
    wait_until(|| !reflector.is_running());
}

/// Waits for what must come soon.
#[track_caller]
pub fn wait_until(is_so: impl Fn() -> bool) {
    let limit = clock::now() + LIMIT;
    while !is_so() {
        assert!(clock::now() < limit, "it does not come");
        thread::yield_now();
    }
}
