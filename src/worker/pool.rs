//! The threads. A panic costs one step, not the thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::error;

use super::{Floor, look};
use crate::clock;

/// Deep enough for a TLS handshake and a JSON document; a hundred of them cost address space only.
const STACK_BYTES: usize = 512 * 1024;

/// The worker threads.
#[derive(Debug)]
pub struct Pool {
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `workers` threads that look at keys until the queue is closed.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(workers: usize, floor: &Arc<Floor>) -> io::Result<Pool> {
        let threads = (0..workers).map(|n| {
            let floor = Arc::clone(floor);
            let builder =
                thread::Builder::new().name(format!("worker-{n}")).stack_size(STACK_BYTES);
            builder.spawn(move || work(&floor))
        });
        Ok(Pool { threads: threads.collect::<io::Result<_>>()? })
    }

    /// Waits until every worker has finished what it had in hand, at most for `limit`; true if all
    /// have. The queue must be closed.
    #[must_use]
    pub fn finish(&self, limit: Duration) -> bool {
        let until = clock::now() + limit;
        loop {
            if self.threads.iter().all(JoinHandle::is_finished) {
                return true;
            }
            if clock::now() >= until {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn work(floor: &Floor) {
    while let Some(key) = floor.queue.take() {
        let pass = catch_unwind(AssertUnwindSafe(|| look(floor, &key)));
        if pass.is_err() {
            error!("{key}: a step panicked; it is skipped, the rest goes on. Please report this.");
            floor.queue.add_at(&key, clock::now() + Duration::from_secs(30));
        }
        floor.queue.done(&key);
    }
}
