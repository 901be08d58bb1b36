//! Shuttle's lock and condition variable with the methods of `parking_lot` that the queue uses.

use std::cell::Cell;
use std::collections::HashSet;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::Thread;
use shuttle::{sync, thread};

thread_local! {
    /// The time; shuttle runs all threads of a test on one.
    pub static NOW_MS: Cell<u64> = const { Cell::new(0) };
}

/// So often others may go on before a wait is over.
const TURNS: usize = 3;

#[derive(Debug)]
pub struct Mutex<T>(sync::Mutex<T>);

pub struct MutexGuard<'a, T> {
    lock: &'a Mutex<T>,
    held: Option<sync::MutexGuard<'a, T>>,
}

#[derive(Debug)]
pub struct Condvar {
    /// Not shuttle's lock: nobody else goes on while it is held.
    waiters: std::sync::Mutex<Waiters>,
}

/// Who waits, so that a call for one is taken by one.
#[derive(Debug, Default)]
struct Waiters {
    next: u64,
    waiting: Vec<(u64, Thread)>,
    called: HashSet<u64>,
}

/// How a wait ended.
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl<T> Mutex<T> {
    pub fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { lock: self, held: Some(self.0.lock().expect("nobody panicked")) }
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl Condvar {
    pub fn new() -> Condvar {
        Condvar { waiters: std::sync::Mutex::default() }
    }

    fn waiters(&self) -> std::sync::MutexGuard<'_, Waiters> {
        self.waiters.lock().expect("nobody panicked")
    }

    fn enter(&self) -> u64 {
        let mut waiters = self.waiters();
        let own = waiters.next;
        waiters.next += 1;
        waiters.waiting.push((own, thread::current()));
        own
    }

    fn is_called(&self, own: u64) -> bool {
        self.waiters().called.contains(&own)
    }

    /// The wait is over; true when it was called.
    fn leave(&self, own: u64) -> bool {
        let mut waiters = self.waiters();
        waiters.waiting.retain(|(waiting, _)| *waiting != own);
        waiters.called.remove(&own)
    }

    fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let own = self.enter();
        drop(guard.held.take());
        while !self.is_called(own) {
            thread::park();
        }
        self.leave(own);
        guard.held = Some(guard.lock.0.lock().expect("nobody panicked"));
    }

    /// Unless it is called meanwhile, the time is over after some turns of the others; but a limit
    /// without an end is none.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, limit: Duration) -> WaitTimeoutResult {
        if limit == Duration::MAX {
            self.wait(guard);
            return WaitTimeoutResult(false);
        }
        let own = self.enter();
        drop(guard.held.take());
        for _ in 0..TURNS {
            thread::yield_now();
        }
        guard.held = Some(guard.lock.0.lock().expect("nobody panicked"));
        let timed_out = !self.leave(own);
        if timed_out {
            let ms = u64::try_from(limit.as_millis()).expect("small");
            NOW_MS.set(NOW_MS.get() + ms);
        }
        WaitTimeoutResult(timed_out)
    }

    pub fn notify_one(&self) {
        let mut waiters = self.waiters();
        if waiters.waiting.is_empty() {
            return;
        }
        let any = thread_rng().gen_range(0..waiters.waiting.len());
        let (one, thread) = waiters.waiting.swap_remove(any);
        waiters.called.insert(one);
        drop(waiters);
        thread.unpark();
    }

    pub fn notify_all(&self) {
        let mut waiters = self.waiters();
        let all = std::mem::take(&mut waiters.waiting);
        waiters.called.extend(all.iter().map(|(own, _)| *own));
        drop(waiters);
        all.iter().for_each(|(_, thread)| thread.unpark());
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("it is held")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("it is held")
    }
}
