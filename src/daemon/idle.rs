//! Connections that a burst left behind are closed when it is over. `[E]`
//!
//! A hundred of them would keep a hundred descriptors, which others in the process may need, and their
//! buffers. The next change opens one again, which costs some milliseconds.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crate::cluster::Client;
use crate::worker::Floor;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(5);
/// No request for this long is the end of a burst.
const IDLE: Duration = Duration::from_secs(10);

/// Starts the thread; it ends, at its next turn, when nobody has the floor any more.
///
/// # Errors
/// The operating system gives no thread.
pub fn begin(client: Client, floor: &Arc<Floor>) -> io::Result<()> {
    let floor: Weak<Floor> = Arc::downgrade(floor);
    let run = move || {
        while floor.strong_count() > 0 {
            thread::sleep(EVERY);
            client.close_idle(IDLE);
        }
    };
    thread::Builder::new().name("idle".into()).spawn(run).map(drop)
}
