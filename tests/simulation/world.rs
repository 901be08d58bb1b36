//! The world: who moves next, what fails, and when depd dies. One thread, and one seed.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use depd::daemon;
use depd::model::{Moment, ServiceKey};
use parking_lot::Mutex;

use crate::checks::Checks;
use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::folder::Folder;
use crate::sabotage::Sabotage;
use crate::setup::Setup;
use crate::source::Arrival;

/// Passes within passes: so many workers are in the middle of something at most.
const WORKERS: u32 = 4;
/// Rounds in which everything must have come to rest.
const ROUNDS: u32 = 20_000;

pub struct World {
    pub setup: Setup,
    pub dice: Mutex<Dice>,
    pub clock: Arc<AtomicU64>,
    pub cluster: Mutex<Cluster>,
    pub folder: Mutex<Folder>,
    pub disk: Mutex<Disk>,
    pub checks: Mutex<Checks>,
    pub depd: Mutex<Option<Arc<Depd>>>,
    pub me: Weak<World>,
    pub depth: AtomicU32,
    /// No fault any more.
    pub calm: AtomicBool,
    /// Numbers for images.
    pub images: AtomicU64,
    pub crashes: AtomicU32,
    pub requests: AtomicU32,
    pub trace: Option<Mutex<Vec<String>>>,
}

/// How depd dies: unwinds through everything that was under way, without a word.
pub struct Crash;

/// What came of a seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub finding: Option<String>,
    pub trace: Vec<String>,
    pub requests: u32,
    pub patches: u32,
    pub crashes: u32,
    pub outcomes: BTreeMap<&'static str, u32>,
    /// Different for different courses of things.
    pub fingerprint: u64,
}

/// Lets a seed run. The same arguments give the same report.
pub fn simulate(seed: u64, sabotage: Option<Sabotage>, traced: bool) -> Report {
    let world = World::new(seed, sabotage, traced);
    world.run();
    let mut checks = world.checks.lock();
    let trace = world.trace.as_ref().map(|trace| std::mem::take(&mut *trace.lock()));
    let report = Report {
        finding: checks.finding.take(),
        trace: trace.unwrap_or_default(),
        requests: world.requests.load(Ordering::SeqCst),
        patches: world.cluster.lock().patches,
        crashes: world.crashes.load(Ordering::SeqCst),
        outcomes: std::mem::take(&mut checks.outcomes),
        fingerprint: world.dice.lock().next(),
    };
    drop(checks);
    *world.depd.lock() = None;
    report
}

impl World {
    fn new(seed: u64, sabotage: Option<Sabotage>, traced: bool) -> Arc<World> {
        let mut dice = Dice::new(seed);
        let setup = Setup::new(&mut dice, sabotage);
        let mut cluster = Cluster::new(sabotage);
        let mut folder = Folder::default();
        for key in &setup.keys {
            folder.add(key);
            if dice.percent(85) {
                cluster.create(key, "good:1", i32::try_from(dice.below(4)).expect("small"));
            }
        }
        let world = Arc::new_cyclic(|me| World {
            setup,
            dice: Mutex::new(dice),
            clock: Arc::new(AtomicU64::new(1_000_000)),
            cluster: Mutex::new(cluster),
            folder: Mutex::new(folder),
            disk: Mutex::default(),
            checks: Mutex::default(),
            depd: Mutex::new(None),
            me: me.clone(),
            depth: AtomicU32::new(0),
            calm: AtomicBool::new(false),
            images: AtomicU64::new(1000),
            crashes: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            trace: traced.then(Mutex::default),
        });
        world.note(|| format!("{:?}", world.setup));
        world.launch();
        world
    }

    pub fn now(&self) -> Moment {
        Moment(self.clock.load(Ordering::SeqCst))
    }

    pub fn depd(&self) -> Option<Arc<Depd>> {
        self.depd.lock().clone()
    }

    /// A line of the trace.
    pub fn note(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let at = self.now().0 - 1_000_000;
            let indent =
                "  ".repeat(usize::try_from(self.depth.load(Ordering::SeqCst)).expect("small"));
            trace.lock().push(format!("{:>7}.{:03} {indent}{}", at / 1000, at % 1000, line()));
        }
    }

    pub fn roll(&self) -> u64 {
        self.dice.lock().next()
    }

    pub fn percent(&self, often: u64) -> bool {
        self.dice.lock().percent(often)
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    /// While somebody waits, others go on.
    pub fn others(&self) {
        self.maybe_crash();
        if self.is_calm() {
            return;
        }
        for _ in 0..self.roll() % 6 {
            if self.depth.load(Ordering::SeqCst) + 1 < WORKERS {
                self.depth.fetch_add(1, Ordering::SeqCst);
                self.step();
                self.depth.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.maybe_crash();
    }

    /// From the first step to rest.
    fn run(&self) {
        for _ in 0..self.setup.steps {
            self.guarded(World::step);
            if self.checks.lock().finding.is_some() {
                return;
            }
        }
        let last = self.calm_down();
        for _ in 0..ROUNDS {
            let moved = self.guarded(World::everybody);
            if self.checks.lock().finding.is_some() {
                return;
            }
            if !moved && !self.skip() {
                let (folder, cluster) = (self.folder.lock(), self.cluster.lock());
                return self.checks.lock().at_rest(&folder, &cluster, &last);
            }
        }
        self.checks.lock().fail(format!("no rest: still busy after {ROUNDS} rounds"));
    }

    /// Runs something that depd may die in.
    fn guarded<T: Default>(&self, run: impl FnOnce(&World) -> T) -> T {
        match catch_unwind(AssertUnwindSafe(|| run(self))) {
            Ok(value) => value,
            Err(death) if death.is::<Crash>() => {
                self.bury();
                T::default()
            }
            Err(panic) => {
                self.checks.lock().fail(format!("panic: {}", text(&*panic)));
                T::default()
            }
        }
    }

    /// Somebody moves.
    fn step(&self) {
        let choice = self.dice.lock().weighted(&[
            (8, Move::Time),
            (12, Move::Writer),
            (12, Move::Receive),
            (9, Move::Look),
            (1, Move::Scan),
            (14, Move::Work),
            (7, Move::Timer),
            (30, Move::Stream),
            (5, Move::Watches),
            (4, Move::PodWatches),
            (u64::from(self.setup.cover_changes), Move::Cover),
            (12, Move::Controller),
            (6, Move::Store),
            (6, Move::Post),
            (3, Move::Operate),
            (2, Move::Late),
            (1, Move::Restart),
        ]);
        self.maybe_crash();
        let depd = self.depd();
        match (choice, depd) {
            (Move::Time, _) => self.pass(),
            (Move::Writer, _) => drop(self.write(false)),
            (Move::Controller, _) => drop(self.control()),
            (Move::Operate, _) => self.operate(),
            (Move::Late, _) => drop(self.percent(20) && self.late_arrival()),
            (Move::Restart, None) => self.launch(),
            (_, None) => {}
            (Move::Restart, Some(_)) => {}
            (Move::Receive, Some(depd)) => drop(depd.receive(self)),
            (Move::Look, Some(depd)) => drop(depd.look_at_files(self)),
            (Move::Scan, Some(depd)) => {
                let overflow = self.percent(30);
                self.note(|| format!("scan, after an overflow: {overflow}"));
                match overflow {
                    true => depd.overflow(self),
                    false => depd.scan(self),
                }
            }
            (Move::Work, Some(depd)) => drop(depd.work(self)),
            (Move::Timer, Some(depd)) => drop(depd.turn_timer(self)),
            (Move::Stream, Some(depd)) => {
                let scopes = depd.scopes();
                if !scopes.is_empty() {
                    let scope = self.dice.lock().pick(&scopes);
                    depd.turn_stream(self, &scope);
                }
            }
            (Move::Watches, Some(depd)) => drop(depd.adjust_workload_watches(self)),
            (Move::PodWatches, Some(depd)) => drop(depd.adjust_pod_watches(self)),
            (Move::Cover, Some(depd)) => depd.change_cover(self),
            (Move::Store, Some(depd)) => drop(depd.write_store(self)),
            (Move::Post, Some(depd)) => drop(depd.deliver(self)),
        }
    }

    /// Everybody who can moves once; false when nobody could.
    fn everybody(&self) -> bool {
        let Some(depd) = self.depd() else {
            self.launch();
            return true;
        };
        let mut moved = self.write(true);
        moved |= self.control();
        while depd.receive(self) {
            moved = true;
        }
        moved |= depd.look_at_files(self);
        moved |= depd.turn_timer(self);
        for scope in depd.scopes() {
            moved |= depd.turn_stream(self, &scope);
        }
        moved |= depd.adjust_workload_watches(self);
        moved |= depd.adjust_pod_watches(self);
        while depd.work(self) {
            moved = true;
            if self.checks.lock().finding.is_some() {
                return true;
            }
        }
        moved |= depd.write_store(self);
        moved |= depd.deliver(self);
        // The worst time for a PATCH that is still on its way: when what came after it is done.
        moved || self.late_arrival()
    }

    /// Nothing is left to do now: the clock goes to the next thing that is due, if there is one.
    fn skip(&self) -> bool {
        let depd = self.depd().expect("it runs");
        let due = depd.next_due(self.now().0);
        due.inspect(|at| self.clock.store(*at, Ordering::SeqCst)).is_some()
    }

    /// Time passes, but a writer with an open file does not sleep.
    fn pass(&self) {
        let mut dice = self.dice.lock();
        let (least, spread) = dice.weighted(&[
            (20, (1, 20)),
            (10, (20, 400)),
            (6, (500, 5000)),
            (2, (10_000, 50_000)),
            (1, (60_000, 240_000)),
        ]);
        let then = self.now().0 + least + dice.below(spread);
        drop(dice);
        let late = self.folder.lock().overdue(then);
        late.iter().for_each(|key| self.write_half(key));
        if late.is_empty() {
            self.clock.store(then, Ordering::SeqCst);
        }
    }

    fn write(&self, all: bool) -> bool {
        let busy = self.folder.lock().busy();
        if busy.is_empty() {
            return false;
        }
        if all {
            busy.iter().for_each(|key| self.write_half(key));
        } else {
            let key = self.dice.lock().pick(&busy);
            self.write_half(&key);
        }
        true
    }

    fn write_half(&self, key: &ServiceKey) {
        let event = self.folder.lock().write(key, self.now().0);
        if let (Some((name, hint)), Some(depd)) = (event, self.depd()) {
            self.note(|| format!("kernel: {} {hint:?}", name.to_string_lossy()));
            depd.source.lock().arrivals.push_back(Arrival::Hint(name, hint));
        }
    }

    fn control(&self) -> bool {
        let busy = self.cluster.lock().busy();
        if busy.is_empty() {
            return false;
        }
        let key = self.dice.lock().pick(&busy);
        self.cluster.lock().turn(&key);
        true
    }

    /// No more faults; what is missing is put there; returns who saves a last time,
    /// and whether that was never said before.
    fn calm_down(&self) -> BTreeMap<ServiceKey, bool> {
        self.calm.store(true, Ordering::SeqCst);
        self.note(|| "=== calm".into());
        self.disk.lock().refuses = false;
        self.make_whole();
        if self.depd().is_none() {
            self.launch();
        }
        if let Some(depd) = self.depd() {
            daemon::resume_all(&depd.floor);
        }
        let mut last = BTreeMap::new();
        if self.setup.final_round {
            for key in &self.setup.keys {
                last.insert(key.clone(), self.save_last(key));
            }
        }
        last
    }
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Time,
    Writer,
    Receive,
    Look,
    Scan,
    Work,
    Timer,
    Stream,
    Watches,
    PodWatches,
    Cover,
    Controller,
    Store,
    Post,
    Operate,
    Late,
    Restart,
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words").to_owned()
}
