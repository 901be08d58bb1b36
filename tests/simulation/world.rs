//! The world: who moves next, what fails, and when depd dies. One thread, and one seed.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use depd::cluster::reflector::End;
use depd::cluster::{Class, Sent};
use depd::daemon;
use depd::model::{Kind, Moment, ServiceKey, Standing, Workload};
use depd::reconcile::{Drift, Gate, Patience, Policy};
use depd::store::{Batch, ServiceChange};
use depd::worker::Floor;
use parking_lot::{Mutex, RwLock};

use crate::checks::Checks;
use crate::cluster::{Cluster, Scope};
use crate::depd::{Arrival, Depd, Post, Source, Start, Stream, Writer, lost};
use crate::dice::Dice;
use crate::folder::Folder;
use crate::hands::Hands;
use crate::sabotage::Sabotage;

/// Passes within passes: so many workers are in the middle of something at most.
const WORKERS: u32 = 4;
/// Rounds in which everything must have come to rest.
const ROUNDS: u32 = 20_000;

/// What a seed decides at the start.
#[derive(Clone, Debug)]
pub struct Setup {
    pub keys: Vec<ServiceKey>,
    pub steps: u32,
    pub max_rollouts: Option<usize>,
    halt_after: Option<u32>,
    drift: Drift,
    /// Requests that fail, in a hundred.
    api_faults: u64,
    /// Streams that are cut, in a thousand turns.
    cuts: u64,
    receiver_faults: u64,
    /// Crashes in ten thousand steps.
    crashes: u64,
    pub disk_faults: bool,
    /// Everybody's last save is after everybody else's last change.
    pub final_round: bool,
    pub sabotage: Option<Sabotage>,
}

/// The disk of the store.
#[derive(Debug, Default)]
pub struct Disk {
    pub refuses: bool,
    services: BTreeMap<ServiceKey, String>,
    outbox: BTreeMap<u64, String>,
    meta: BTreeMap<String, String>,
    last_id: u64,
}

pub struct World {
    pub setup: Setup,
    pub dice: Mutex<Dice>,
    clock: Arc<AtomicU64>,
    pub cluster: Mutex<Cluster>,
    pub folder: Mutex<Folder>,
    pub disk: Mutex<Disk>,
    pub checks: Mutex<Checks>,
    depd: Mutex<Option<Arc<Depd>>>,
    me: Weak<World>,
    depth: AtomicU32,
    /// No fault any more.
    calm: AtomicBool,
    /// Numbers for images.
    pub images: AtomicU64,
    crashes: AtomicU32,
    requests: AtomicU32,
    trace: Option<Mutex<Vec<String>>>,
}

/// How depd dies: unwinds through everything that was under way, without a word.
struct Crash;

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

impl Setup {
    fn new(dice: &mut Dice, sabotage: Option<Sabotage>) -> Setup {
        let namespaces = 1 + dice.below(2);
        let count = 1 + dice.below(5);
        let key = |n: u64| {
            let namespace = format!("ns-{}", n % namespaces);
            ServiceKey::new(&format!("svc-{n}"), &namespace).expect("valid")
        };
        let quiet = dice.percent(15);
        let often = |dice: &mut Dice, bound: u64| if quiet { 0 } else { dice.below(bound) };
        Setup {
            keys: (0..count).map(key).collect(),
            steps: 200 + u32::try_from(dice.below(1200)).expect("small"),
            max_rollouts: dice
                .percent(40)
                .then(|| 1 + usize::try_from(dice.below(3)).expect("small")),
            halt_after: dice.percent(10).then_some(3),
            drift: dice.pick(&[Drift::Report, Drift::Report, Drift::Correct, Drift::Ignore]),
            api_faults: often(dice, 40),
            cuts: often(dice, 60),
            receiver_faults: often(dice, 50),
            crashes: often(dice, 100),
            disk_faults: !quiet && dice.percent(10),
            final_round: dice.percent(70),
            sabotage,
        }
    }
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

    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    pub fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if self.is_calm() {
            let limit = 60 * u32::try_from(self.setup.keys.len()).expect("small");
            self.checks.lock().request_in_calm(limit);
        }
    }

    /// A request fails, and is not carried out.
    pub fn fault_of_api(&self) -> Option<Class> {
        if self.is_calm() || !self.percent(self.setup.api_faults) {
            return None;
        }
        let mut dice = self.dice.lock();
        let retry_after = dice.percent(50).then(|| Duration::from_secs(dice.below(200)));
        Some(match dice.below(7) {
            0 => lost(Sent::No),
            1 => lost(Sent::Maybe),
            2 => Class::TooManyRequests { retry_after },
            3 => Class::Unavailable { message: "not ready".into(), retry_after },
            4 => Class::ServerError { status: 500, message: "etcd".into(), retry_after },
            5 => Class::Conflict { message: "somebody was quicker".into() },
            _ => Class::Unauthorized,
        })
    }

    /// A connection breaks.
    pub fn fault_of_network(&self) -> bool {
        !self.is_calm() && self.percent(self.setup.api_faults / 2)
    }

    pub fn fault_of_receiver(&self) -> bool {
        !self.is_calm() && self.percent(self.setup.receiver_faults)
    }

    /// A watch stream ends.
    pub fn cut(&self) -> Option<End> {
        if self.is_calm() || self.roll() % 1000 >= self.setup.cuts {
            return None;
        }
        Some(match self.roll() % 4 {
            0 => End::Closed,
            1 => End::Idle,
            2 => End::Broken("reset".into()),
            _ => End::Unreadable("half an object".into()),
        })
    }

    pub fn loses_event(&self) -> bool {
        self.setup.sabotage == Some(Sabotage::LostEvent) && self.percent(50)
    }

    /// Sabotage: what the watch shows is complete, whether it is or not.
    pub fn falsify(&self, workload: &mut Workload) {
        if self.setup.sabotage == Some(Sabotage::FalseStatus) {
            let wanted = workload.replicas.wanted;
            workload.observed_generation = workload.generation;
            workload.replicas.total = wanted;
            workload.replicas.updated = wanted;
            workload.replicas.ready = wanted;
            workload.replicas.available = wanted;
        }
    }

    /// depd dies now, perhaps.
    pub fn maybe_crash(&self) {
        if !self.is_calm() && self.roll() % 10_000 < self.setup.crashes {
            self.crash();
        }
    }

    pub fn crash(&self) {
        if self.depd().is_some() && !self.is_calm() {
            resume_unwind(Box::new(Crash));
        }
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

    fn bury(&self) {
        self.depth.store(0, Ordering::SeqCst);
        self.crashes.fetch_add(1, Ordering::SeqCst);
        let Some(dead) = self.depd.lock().take() else { return };
        let pending = std::mem::take(&mut dead.writer.lock().pending);
        self.note(|| format!("--- depd dies; {} things were not kept", pending.len()));
        let disk = self.disk.lock();
        let restored = disk.services.iter().map(|(key, state)| {
            (key.clone(), serde_json::from_str(state).expect("it was written by depd"))
        });
        self.checks.lock().crashed(&pending, restored.collect());
    }

    /// A depd starts on what the disk has kept.
    pub fn launch(&self) {
        let disk = self.disk.lock();
        let services: Vec<(ServiceKey, String)> =
            disk.services.iter().map(|(key, state)| (key.clone(), state.clone())).collect();
        let waiting = disk.outbox.iter().map(|(id, text)| (*id, text.clone())).collect();
        let next_id = disk.last_id + 1;
        let standing = Standing::from_meta(&disk.meta);
        drop(disk);
        self.note(|| format!("--- depd starts; it remembers {} services", services.len()));
        let bell = Arc::new(AtomicBool::new(false));
        let floor = self.floor(&bell, standing);
        daemon::restore(&floor, &services);
        let depd = Arc::new(Depd {
            floor,
            source: Mutex::new(Source::new()),
            streams: Mutex::new(
                Kind::ALL.map(|kind| (Scope::Workloads(kind), Stream::new())).into_iter().collect(),
            ),
            writer: Mutex::new(Writer { next_id, ..Writer::default() }),
            post: Mutex::new(Post { waiting, ..Post::default() }),
            start: Mutex::new(Start::default()),
            wake: Mutex::new(None),
            bell,
        });
        self.checks.lock().restarted();
        *self.depd.lock() = Some(Arc::clone(&depd));
        // First the watch, then the scan.
        depd.scan(self);
    }

    fn floor(&self, bell: &Arc<AtomicBool>, standing: Standing) -> Floor {
        let (clock, bell) = (Arc::clone(&self.clock), Arc::clone(bell));
        let dice = Mutex::new(Dice::new(self.roll()));
        let most = match self.setup.sabotage {
            Some(Sabotage::WideGate) => None,
            _ => self.setup.max_rollouts,
        };
        Floor {
            queue: Default::default(),
            desired: RwLock::default(),
            workloads: RwLock::default(),
            pods: RwLock::default(),
            interest: Mutex::default(),
            retries: Mutex::default(),
            gate: Mutex::new(Gate::new(most, self.setup.halt_after, standing)),
            services: Default::default(),
            cluster: Box::new(Hands { world: self.me.clone() }),
            journal: Box::new(Hands { world: self.me.clone() }),
            interest_changed: Box::new(move || bell.store(true, Ordering::SeqCst)),
            policy: Policy {
                timeout: Duration::from_secs(240),
                patience: Patience::default(),
                rollback: false,
                drift: self.setup.drift,
                create_namespaces: true,
                allow_namespaces: Vec::new(),
                ecr: Default::default(),
                images: Default::default(),
            },
            clock: Box::new(move || Moment(clock.load(Ordering::SeqCst))),
            dice: Box::new(move || dice.lock().next()),
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
            (18, Move::Stream),
            (4, Move::PodWatches),
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
            (Move::Late, _) => drop(self.late_arrival()),
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
                let scope = self.dice.lock().pick(&depd.scopes());
                depd.turn_stream(self, &scope);
            }
            (Move::PodWatches, Some(depd)) => drop(depd.adjust_pod_watches(self)),
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
        moved |= self.late_arrival();
        while depd.receive(self) {
            moved = true;
        }
        moved |= depd.look_at_files(self);
        moved |= depd.turn_timer(self);
        for scope in depd.scopes() {
            moved |= depd.turn_stream(self, &scope);
        }
        moved |= depd.adjust_pod_watches(self);
        while depd.work(self) {
            moved = true;
            if self.checks.lock().finding.is_some() {
                return true;
            }
        }
        moved |= depd.write_store(self);
        moved | depd.deliver(self)
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

    /// No more faults; what is missing is put there; returns who saves a last time.
    fn calm_down(&self) -> BTreeSet<ServiceKey> {
        self.calm.store(true, Ordering::SeqCst);
        self.note(|| "=== calm".into());
        self.disk.lock().refuses = false;
        while self.late_arrival() {}
        self.make_whole();
        let mut last = BTreeSet::new();
        if self.setup.final_round {
            for key in &self.setup.keys {
                self.save_last(key);
                last.insert(key.clone());
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
    PodWatches,
    Controller,
    Store,
    Post,
    Operate,
    Late,
    Restart,
}

impl Disk {
    /// One transaction.
    pub fn write(&mut self, batch: &Batch) {
        for (key, (change, _)) in &batch.services {
            match change {
                ServiceChange::Put(state) => drop(self.services.insert(key.clone(), state.clone())),
                ServiceChange::Remove => drop(self.services.remove(key)),
            }
        }
        for (id, waiting) in &batch.messages {
            self.outbox.insert(*id, waiting.message.payload.clone());
            self.last_id = self.last_id.max(*id);
        }
        for id in batch.answers.keys() {
            self.outbox.remove(id);
        }
        self.meta.extend(batch.meta.clone());
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words").to_owned()
}
