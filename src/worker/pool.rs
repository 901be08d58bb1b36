//! The threads. A panic costs one step, not the thread.
//!
//! A thread costs memory even while it waits, and most of the time there is nothing to do. So there
//! is always one that waits for the next key, and whoever takes a key as the last one that waited
//! starts another, up to the limit: a burst has all of them at work within milliseconds. Those that
//! found nothing to do for [`PATIENCE`] end again.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use log::{error, warn};

use super::{Floor, look};
use crate::clock;
use crate::queue::Taken;

/// Deep enough for a TLS handshake and a JSON document.
const STACK_BYTES: usize = 512 * 1024;

/// How long a worker waits for a key before it ends, if another one waits as well.
const PATIENCE: Duration = Duration::from_secs(10);

/// The worker threads.
#[derive(Debug)]
pub struct Pool {
    crew: Arc<Crew>,
}

/// Who is there.
#[derive(Debug)]
struct Crew {
    most: usize,
    living: AtomicUsize,
    /// Those of the living that have no key in hand.
    waiting: AtomicUsize,
}

impl Pool {
    /// Starts the first of at most `workers` threads that look at keys until the queue is closed.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(workers: usize, floor: &Arc<Floor>) -> io::Result<Pool> {
        let (living, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let crew = Arc::new(Crew { most: workers.max(1), living, waiting });
        hire(&crew, floor)?;
        Ok(Pool { crew })
    }

    /// Waits until every worker has finished what it had in hand, at most for `limit`; true if all
    /// have. The queue must be closed.
    #[must_use]
    pub fn finish(&self, limit: Duration) -> bool {
        let until = clock::now() + limit;
        loop {
            if self.crew.living.load(Ordering::Acquire) == 0 {
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
    let one_more = |living: usize| (living < crew.most).then_some(living + 1);
    let order = Ordering::AcqRel;
    let Ok(before) = crew.living.fetch_update(order, Ordering::Acquire, one_more) else {
        return Ok(());
    };
    crew.waiting.fetch_add(1, order);
    let (own, floor) = (Arc::clone(crew), Arc::clone(floor));
    let builder = thread::Builder::new().name(format!("worker-{before}")).stack_size(STACK_BYTES);
    let started = builder.spawn(move || {
        work(&own, &floor);
        drop(floor);
        own.living.fetch_sub(1, order);
    });
    if started.is_err() {
        crew.waiting.fetch_sub(1, order);
        crew.living.fetch_sub(1, order);
    }
    started.map(drop)
}

/// Looks at keys. Whoever begins counts as waiting already.
fn work(crew: &Arc<Crew>, floor: &Arc<Floor>) {
    loop {
        let key = match floor.queue.take_within(PATIENCE) {
            Taken::Key(key) => key,
            Taken::Closed => return,
            Taken::Nothing => {
                let leave = |waiting: usize| (waiting > 1).then(|| waiting - 1);
                let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
                match crew.waiting.fetch_update(set, fetch, leave) {
                    Ok(_) => return,
                    Err(_) => continue,
                }
            }
        };
        let waited = crew.waiting.fetch_sub(1, Ordering::AcqRel);
        if waited == 1
            && let Err(problem) = hire(crew, floor)
        {
            warn!("no further worker can be started ({problem}); those that there are go on");
        }
        let pass = catch_unwind(AssertUnwindSafe(|| look(floor, &key)));
        if pass.is_err() {
            error!("{key}: a step panicked; it is skipped, the rest goes on. Please report this.");
            floor.queue.add_at(&key, clock::now() + Duration::from_secs(30));
        }
        // Before the key is let go, which may be the next one to take.
        crew.waiting.fetch_add(1, Ordering::AcqRel);
        floor.queue.done(&key);
    }
}
