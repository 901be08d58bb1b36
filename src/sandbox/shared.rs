//! What the threads of the sandbox share: the store behind its lock, and who waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

use super::RequestRecord;
use super::faults::{Fault, FaultHook, RequestView};
use super::store::{Change, Store};
use super::tls::Authority;

/// How many requests are remembered.
const MAX_RECORDS: usize = 200_000;

/// One per sandbox.
pub(super) struct Shared {
    store: Mutex<Store>,
    /// Told after every change: watches wait here.
    changed: Condvar,
    /// Told after every change: the controllers wait here.
    work: Condvar,
    stopping: AtomicBool,
    records: Mutex<VecDeque<RequestRecord>>,
    faults: RwLock<Option<FaultHook>>,
    pub(super) authority: Authority,
    pub(super) token: String,
    pub(super) bookmark_interval: Duration,
    /// Whether the controllers run; without them nobody takes what they have not seen.
    controllers: bool,
}

impl Shared {
    pub(super) fn new(
        store: Store,
        authority: Authority,
        token: String,
        bookmark_interval: Duration,
        controllers: bool,
    ) -> Shared {
        Shared {
            store: Mutex::new(store),
            changed: Condvar::new(),
            work: Condvar::new(),
            stopping: AtomicBool::new(false),
            records: Mutex::new(VecDeque::new()),
            faults: RwLock::new(None),
            authority,
            token,
            bookmark_interval,
            controllers,
        }
    }

    /// Reads the store.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&self.store.lock())
    }

    /// Changes the store, and wakes whoever waits for a change.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store.lock();
        let before = store.revision();
        let result = change(&mut store);
        let changed = store.revision() != before;
        if !self.controllers {
            store.take_unseen();
        }
        drop(store);
        if changed {
            self.changed.notify_all();
            self.work.notify_one();
        }
        result
    }

    /// Waits until the store changes after `revision`, the sandbox stops, or `until`; then looks.
    pub(super) fn wait_beyond<T>(
        &self,
        revision: u64,
        until: Instant,
        look: impl FnOnce(&Store) -> T,
    ) -> T {
        let mut store = self.store.lock();
        while store.revision() <= revision && !self.is_stopping() {
            if self.changed.wait_until(&mut store, until).timed_out() {
                break;
            }
        }
        look(&store)
    }

    /// For the controllers: waits for changes or until a timer; none when the sandbox stops.
    pub(super) fn next_changes(&self, timer: Option<Instant>) -> Option<Vec<Change>> {
        let mut store: MutexGuard<'_, Store> = self.store.lock();
        loop {
            if self.is_stopping() {
                return None;
            }
            if store.has_unseen() || timer.is_some_and(|at| at <= Instant::now()) {
                return Some(store.take_unseen());
            }
            match timer {
                Some(at) => drop(self.work.wait_until(&mut store, at)),
                None => self.work.wait(&mut store),
            }
        }
    }

    /// Sleeps, but not through the end of the sandbox.
    pub(super) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut store = self.store.lock();
        while !self.is_stopping() && !self.changed.wait_until(&mut store, until).timed_out() {}
    }

    /// Tells every thread to come to an end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // A thread between its look at the flag and its wait would miss the call without the lock.
        drop(self.store.lock());
        self.changed.notify_all();
        self.work.notify_all();
    }

    /// Whether [`Shared::stop`] was called.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Notes a request for the audit.
    pub(super) fn record(&self, record: RequestRecord) {
        let mut records = self.records.lock();
        if records.len() == MAX_RECORDS {
            records.pop_front();
        }
        records.push_back(record);
    }

    /// All remembered requests, oldest first.
    pub(super) fn records(&self) -> Vec<RequestRecord> {
        self.records.lock().iter().cloned().collect()
    }

    /// Puts a fault hook in place, or takes it away.
    pub(super) fn set_faults(&self, hook: Option<FaultHook>) {
        *self.faults.write() = hook;
    }

    /// Asks the fault hook about a request.
    pub(super) fn fault(&self, request: &RequestView<'_>) -> Option<Fault> {
        let hook = self.faults.read().clone();
        hook.and_then(|hook| hook(request))
    }
}
