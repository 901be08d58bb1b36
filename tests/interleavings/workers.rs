//! Workers come and go: a key never waits for the end of another one's step while there may be one worker
//! more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Arc;
use shuttle::thread;

use super::crew::{Crew, End, Work};
use super::shell::WorkQueue;
use super::{Seen, explore};

/// Beyond what any fair order of things takes.
const TURNS: u32 = 20_000;

/// How long a worker waits for a key. Where it never gives up, only a call wakes it, and one that is lost
/// is seen.
fn patience() -> Duration {
    if thread_rng().gen_bool(0.5) { Duration::MAX } else { Duration::from_secs(1) }
}

/// A pool as in production, with threads of shuttle.
#[derive(Clone)]
struct Pool {
    crew: Arc<Crew>,
    queue: Arc<WorkQueue<usize>>,
    seen: Arc<Seen>,
    /// Keys 0 and 1 are in hand until the other one was looked at as well.
    met: Arc<AtomicU32>,
    started: Arc<AtomicU32>,
}

impl Pool {
    fn start(most: usize) -> Pool {
        let pool = Pool {
            crew: Arc::new(Crew::new(most)),
            queue: Arc::default(),
            seen: Arc::default(),
            met: Arc::default(),
            started: Arc::default(),
        };
        pool.hire();
        pool
    }

    fn hire(&self) {
        if self.crew.enlist().is_none() {
            return;
        }
        self.started.fetch_add(1, Ordering::SeqCst);
        let pool = self.clone();
        thread::spawn(move || {
            let end = pool.crew.serve(&Work {
                take: || pool.queue.take_within(patience()),
                hire: || pool.hire(),
                look: |key: &usize| {
                    pool.seen.look(*key);
                    if *key < 2 {
                        pool.meet(*key);
                    }
                },
                done: |key: &usize| pool.queue.done(key),
            });
            if end == End::Closed {
                pool.crew.leave();
            }
        });
    }

    fn meet(&self, key: usize) {
        self.met.fetch_or(1 << key, Ordering::SeqCst);
        self.wait("the other key waits although there may be one worker more", || {
            self.met.load(Ordering::SeqCst) == 3
        });
    }

    fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        for _ in 0..TURNS {
            if condition() {
                return;
            }
            thread::yield_now();
        }
        panic!("{what}");
    }

    fn end(&self) {
        self.queue.close();
        self.wait("somebody does not end", || self.crew.is_gone());
    }
}

#[test]
fn two_keys_are_in_hand_at_once_whoever_has_just_come_or_gone() {
    // The lanes take turns, so that after one key the other lane is served first than after two.
    for before in [1, 2] {
        explore(move || {
            let pool = Pool::start(2);
            let looks = |key: usize| pool.seen.looks[key].load(Ordering::SeqCst);
            // One is hired for it, and one of the two has nothing to do afterwards.
            for n in 1..=before {
                pool.queue.add(&2);
                pool.wait("a first key waits", || looks(2) == n);
            }
            pool.queue.add(&0);
            pool.queue.add_express(&1);
            let looked = || looks(0) > 0 && looks(1) > 0;
            pool.wait("a key waits", || looked() && pool.queue.is_empty());
            pool.end();
        });
    }
}

#[test]
fn there_are_never_more_workers_than_there_may_be_and_one_is_enough() {
    explore(|| {
        let pool = Pool::start(1);
        for key in [2, 2, 2] {
            pool.queue.add(&key);
        }
        let looked = |pool: &Pool| pool.seen.looks[2].load(Ordering::SeqCst) > 0;
        pool.wait("the key waits", || looked(&pool) && pool.queue.is_empty());
        pool.end();
        assert_eq!(pool.started.load(Ordering::SeqCst), 1);
    });
}
