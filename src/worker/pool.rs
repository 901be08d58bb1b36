//! The threads. A panic costs one step, not the thread.
//!
//! A thread costs memory even while it waits, and most of the time there is nothing to do. So there
//! is always one that waits for the next key, and whoever takes a key as the last one that waited
//! starts another, up to the limit: a burst has all of them at work within milliseconds. Those that
//! found nothing to do for [`PATIENCE`] end again. Who comes and who goes is decided by [`Crew`].

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use log::{error, warn};

use super::crew::{Crew, End, Work};
use super::{Floor, look};
use crate::clock;
use crate::model::ServiceKey;

/// Deep enough for a TLS handshake and a JSON document.
const STACK_BYTES: usize = 512 * 1024;

/// How long a worker waits for a key before it ends, if another one waits as well.
const PATIENCE: Duration = Duration::from_secs(10);

/// The worker threads.
#[derive(Debug)]
pub struct Pool {
    crew: Arc<Crew>,
}

impl Pool {
    /// Starts the first of at most `workers` threads that look at keys until the queue is closed.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(workers: usize, floor: &Arc<Floor>) -> io::Result<Pool> {
        let crew = Arc::new(Crew::new(workers));
        hire(&crew, floor)?;
        Ok(Pool { crew })
    }

    /// Waits until every worker has finished what it had in hand, at most for `limit`; true if all
    /// have. The queue must be closed.
    #[must_use]
    pub fn finish(&self, limit: Duration) -> bool {
        let until = clock::now() + limit;
        loop {
            if self.crew.is_gone() {
                return true;
            }
            if clock::now() >= until {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Starts one more worker, unless there are as many as there may be.
fn hire(crew: &Arc<Crew>, floor: &Arc<Floor>) -> io::Result<()> {
    let Some(number) = crew.enlist() else { return Ok(()) };
    let (own, floor) = (Arc::clone(crew), Arc::clone(floor));
    let builder = thread::Builder::new().name(format!("worker-{number}")).stack_size(STACK_BYTES);
    let started = builder.spawn(move || {
        let end = serve(&own, &floor);
        drop(floor);
        if end == End::Closed {
            own.leave();
        }
    });
    if started.is_err() {
        crew.leave();
    }
    started.map(drop)
}

fn serve(crew: &Arc<Crew>, floor: &Arc<Floor>) -> End {
    crew.serve(&Work {
        take: || floor.queue.take_within(PATIENCE),
        hire: || {
            if let Err(problem) = hire(crew, floor) {
                warn!("no further worker can be started ({problem}); those that there are go on");
            }
        },
        look: |key: &ServiceKey| {
            let pass = catch_unwind(AssertUnwindSafe(|| look(floor, key)));
            if pass.is_err() {
                error!(
                    "{key}: a step panicked; it is skipped, the rest goes on. Please report this."
                );
                floor.queue.add_at(key, clock::now() + Duration::from_secs(30));
            }
        },
        done: |key: &ServiceKey| floor.queue.done(key),
    })
}
