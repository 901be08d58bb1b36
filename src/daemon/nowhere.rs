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
    let limit = clock::now() + LIMIT;
    while reflector.is_running() {
        assert!(clock::now() < limit, "it does not end");
        thread::yield_now();
    }
}
