//! The work queue's blocking shell, and the coming and going of workers, under shuttle, which chooses at
//! every lock and every wake-up which thread goes on: many thousands of interleavings, each of which a
//! failure names and repeats.
//!
//! The sources of both are compiled here once more, and where they say `parking_lot` they find
//! the lock and the condition variable of this file, which are shuttle's. So production has neither a
//! switch nor a build of its own, and `cargo test --test interleavings` is the whole command.
//!
//! Time passes only while the timer waits for a deadline and is not woken before.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(
    missing_docs,
    dead_code,
    reason = "sources of the library, of which a part is tested here"
)]

extern crate self as parking_lot;

#[path = "../../src/worker/crew.rs"]
mod crew;
#[path = "../../src/queue/keyed.rs"]
mod keyed;
#[path = "../../src/queue/lane.rs"]
mod lane;
mod primitives;
#[path = "../../src/queue/shell.rs"]
mod shell;
mod workers;

pub use primitives::{Condvar, Mutex};

use keyed::KeyedQueue;
use shell::WorkQueue;

/// What the sources of the queue need of the crate.
mod model {
    pub use depd::model::Moment;
}

mod queue {
    pub use super::shell::Taken;
}

mod clock {
    use std::time::Duration;

    use super::model::Moment;
    use super::primitives::NOW_MS;

    pub const BEAT: Duration = Duration::from_secs(1);

    pub fn now() -> Moment {
        Moment(NOW_MS.get())
    }

    pub fn stop_beating() {}
    pub fn beat() {}
}

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use primitives::NOW_MS;
use shuttle::sync::Arc;
use shuttle::thread;

/// Interleavings of each test.
const RUNS: usize = 2000;

fn explore(test: impl Fn() + Send + Sync + 'static) {
    let run = move || {
        NOW_MS.set(1000);
        test();
    };
    shuttle::check_random(run, RUNS);
}

/// What the workers of one run saw.
#[derive(Default)]
struct Seen {
    in_hand: [AtomicBool; 3],
    looks: [AtomicU32; 3],
}

impl Seen {
    /// A worker has the key in hand, and is slow.
    fn look(&self, key: usize) {
        assert!(!self.in_hand[key].swap(true, Ordering::SeqCst), "{key} is in two hands");
        thread::yield_now();
        self.looks[key].fetch_add(1, Ordering::SeqCst);
        self.in_hand[key].store(false, Ordering::SeqCst);
    }
}

fn worker(queue: &Arc<WorkQueue<usize>>, seen: &Arc<Seen>) -> thread::JoinHandle<()> {
    let (queue, seen) = (Arc::clone(queue), Arc::clone(seen));
    thread::spawn(move || {
        while let Some(key) = queue.take() {
            seen.look(key);
            queue.done(&key);
        }
    })
}

#[test]
fn no_key_is_lost_and_none_is_in_two_hands() {
    explore(|| {
        let (queue, seen) = (Arc::new(WorkQueue::default()), Arc::new(Seen::default()));
        let workers = [worker(&queue, &seen), worker(&queue, &seen)];
        let lanes: [fn(&WorkQueue<usize>, &usize); 2] = [WorkQueue::add, WorkQueue::add_express];
        let adders = [(lanes[0], [0, 1, 0]), (lanes[1], [1, 2, 1])].map(|(add, keys)| {
            let (queue, seen) = (Arc::clone(&queue), Arc::clone(&seen));
            thread::spawn(move || {
                for key in keys {
                    let before = seen.looks[key].load(Ordering::SeqCst);
                    add(&queue, &key);
                    // What was added is looked at after that, whoever was at it meanwhile.
                    while seen.looks[key].load(Ordering::SeqCst) == before {
                        thread::yield_now();
                    }
                }
            })
        });
        let _ = adders.map(|adder| adder.join().expect("every key was looked at"));
        while !queue.is_empty() {
            thread::yield_now();
        }
        queue.close();
        let _ = workers.map(|worker| worker.join().expect("it ends"));
    });
}

#[test]
fn the_oldest_key_is_handed_out_first_however_often_another_is_touched() {
    explore(|| {
        let queue: Arc<WorkQueue<usize>> = Arc::default();
        let busy = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || (0..4).for_each(|_| queue.add(&0)))
        };
        queue.add(&1);
        let mut taken = Vec::new();
        while !taken.contains(&1) {
            let key = queue.take().expect("it is open");
            taken.push(key);
            // Touched while it is in hand: behind those that wait already.
            queue.add(&key);
            queue.done(&key);
        }
        assert!(taken.len() <= 2, "{taken:?}");
        busy.join().expect("it ends");
    });
}

#[test]
fn neither_lane_waits_for_the_end_of_the_other() {
    explore(|| {
        let queue: Arc<WorkQueue<usize>> = Arc::default();
        (0..8).for_each(|key| queue.add(&key));
        let news = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.add_express(&8))
        };
        let take = || {
            let key = queue.take().expect("it is open");
            // Touched while it is in hand: whoever has news all the time lets others in.
            queue.add_express(&key);
            queue.done(&key);
            key
        };
        news.join().expect("it ends");
        let taken: Vec<usize> = (0..16).map(|_| take()).collect();
        assert!(taken[..2].contains(&8), "{taken:?}");
        assert!((0..8).all(|key| taken.contains(&key)), "{taken:?}");
    });
}

#[test]
fn the_earliest_deadline_is_kept() {
    explore(|| {
        let queue: Arc<WorkQueue<usize>> = Arc::default();
        let timer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.run_timer())
        };
        let (start, ms) = (clock::now(), Duration::from_millis);
        queue.add_at(&0, start + ms(900));
        queue.add_at(&0, start + ms(10));
        let in_time = clock::now() == start;
        assert_eq!(queue.take(), Some(0));
        if in_time {
            // The timer may have gone on for whole beats before the key was taken.
            let late = clock::now().since(start + ms(10)).as_millis() % clock::BEAT.as_millis();
            assert!(late <= 1, "{late} ms late");
        }
        queue.done(&0);
        queue.close();
        timer.join().expect("it ends");
    });
}

#[test]
fn closing_lets_what_is_in_hand_finish_and_ends_everybody() {
    explore(|| {
        let (queue, seen) = (Arc::new(WorkQueue::default()), Arc::new(Seen::default()));
        let workers = [worker(&queue, &seen), worker(&queue, &seen)];
        let timer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.run_timer())
        };
        queue.add(&0);
        queue.add_at(&1, clock::now() + Duration::from_millis(5));
        queue.close();
        let _ = workers.map(|worker| worker.join().expect("it ends"));
        timer.join().expect("it ends");
        assert!(seen.in_hand.iter().all(|held| !held.load(Ordering::SeqCst)));
        assert_eq!(queue.take(), None);
    });
}
