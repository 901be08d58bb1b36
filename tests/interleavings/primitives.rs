//! Shuttle's lock and condition variable with the methods of `parking_lot` that the queue uses.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

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
    inner: sync::Condvar,
    calls: AtomicUsize,
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
        Condvar { inner: sync::Condvar::new(), calls: AtomicUsize::new(0) }
    }

    fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().expect("it is held");
        guard.held = Some(self.inner.wait(held).expect("nobody panicked"));
    }

    /// Unless it is called meanwhile, the time is over after some turns of the others; but a limit
    /// without an end is none.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, limit: Duration) -> WaitTimeoutResult {
        if limit == Duration::MAX {
            self.wait(guard);
            return WaitTimeoutResult(false);
        }
        let before = self.calls.load(Ordering::SeqCst);
        drop(guard.held.take());
        for _ in 0..TURNS {
            thread::yield_now();
        }
        guard.held = Some(guard.lock.0.lock().expect("nobody panicked"));
        let timed_out = self.calls.load(Ordering::SeqCst) == before;
        if timed_out {
            let ms = u64::try_from(limit.as_millis()).expect("small");
            NOW_MS.set(NOW_MS.get() + ms);
        }
        WaitTimeoutResult(timed_out)
    }

    pub fn notify_one(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.inner.notify_one();
    }

    pub fn notify_all(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.inner.notify_all();
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
