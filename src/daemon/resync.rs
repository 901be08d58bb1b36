//! Every now and then all services are looked at again, whatever was told of them. `[E]`
//!
//! A look that finds nothing to do costs microseconds and no request, so this is a cheap belt to the
//! braces of watches and timers: what a defect forgot is made up for. It asks the cluster nothing;
//! the caches are what is looked at.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crate::model::ServiceKey;
use crate::worker::Floor;

/// client-go's controllers resync about as often.
const EVERY: Duration = Duration::from_secs(600);

/// Starts the thread; it ends, at its next turn, when nobody has the floor any more.
///
/// # Errors
/// The operating system gives no thread.
pub fn begin(floor: &Arc<Floor>) -> io::Result<()> {
    let floor: Weak<Floor> = Arc::downgrade(floor);
    let run = move || {
        loop {
            thread::sleep(EVERY);
            match floor.upgrade() {
                Some(floor) => look_at_all(&floor),
                None => return,
            }
        }
    };
    thread::Builder::new().name("resync".into()).spawn(run).map(drop)
}

/// Every service that has a dep file is looked at.
fn look_at_all(floor: &Floor) {
    let keys: Vec<ServiceKey> = floor.desired.read().keys().cloned().collect();
    keys.iter().for_each(|key| floor.queue.add(key));
}
