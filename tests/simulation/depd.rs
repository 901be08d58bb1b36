//! One depd process of the simulated world: the production control loop, with simulated threads and
//! edges around it.
//!
//! Production code is the floor with its queue, register, caches, gate and services, the passes over
//! them, what takes in events of the folder and of the watches, `settle`, the list-watch machine, and
//! the batches of the store. Everything here only stands where in a real process a thread, a socket
//! or a file would be.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use depd::cluster::reflector::{End, ListWatch, Outcome, Step};
use depd::cluster::{ApiError, Call, Class, Resource, Sent, Verb, WatchEvent};
use depd::desired::{FileName, parse_name};
use depd::model::{Kind, Moment, Pod, Workload};
use depd::observed::Sight;
use depd::source::settle::{Finding, Hint, Mark, Name, Pace, Said, Settle};
use depd::source::{FileReport, FolderEvent};
use depd::store::{Answer, Batch};
use depd::worker::{Floor, look};
use depd::{cluster, daemon};
use parking_lot::Mutex;

use crate::cluster::{Scope, Seen};
use crate::sabotage::Sabotage;
use crate::world::World;

/// The process, from its start to its crash.
pub struct Depd {
    pub floor: Floor,
    pub source: Mutex<Source>,
    pub streams: Mutex<BTreeMap<Scope, Stream>>,
    pub writer: Mutex<Writer>,
    pub post: Mutex<Post>,
    pub start: Mutex<Start>,
    pub wake: Mutex<Option<Moment>>,
    /// Rings when the set of namespaces with rollouts in flight changes.
    pub bell: Arc<AtomicBool>,
}

/// The thread that watches the folder.
pub struct Source {
    pub settle: Settle,
    pub arrivals: VecDeque<Arrival>,
    looking: Looking,
    scanned: bool,
}

/// What the kernel has for the thread, in order.
pub enum Arrival {
    Hint(Name, Hint),
    Mark(Mark),
}

enum Looking {
    No,
    Due(Vec<Name>),
    Read,
}

/// One list-watch loop.
pub struct Stream {
    state: ListWatch,
    open: Option<(u64, u64)>,
    until_ms: u64,
    listed: Option<Listed>,
}

enum Listed {
    Workloads(Vec<Workload>, u64),
    Pods(Vec<Pod>, u64),
}

/// The thread that writes the store.
#[derive(Default)]
pub struct Writer {
    pub batch: Batch,
    pub backlog: Batch,
    pub next_id: u64,
    /// Records that are not on disk.
    pub pending: Vec<usize>,
    /// Whether everything else is halted, where that is news and not on disk.
    pub halts: Option<bool>,
}

/// The thread that speaks to the receiver.
#[derive(Default)]
pub struct Post {
    pub waiting: VecDeque<(u64, String)>,
    pub not_before_ms: u64,
    pub failures: u32,
}

/// What start-up waits for.
#[derive(Default)]
pub struct Start {
    cluster: bool,
    folder: bool,
    pub judged: bool,
}

impl Source {
    pub fn new() -> Source {
        Source {
            settle: Settle::new(Pace::default()),
            arrivals: VecDeque::new(),
            looking: Looking::No,
            scanned: false,
        }
    }
}

impl Stream {
    pub fn new() -> Stream {
        Stream { state: ListWatch::new(), open: None, until_ms: 0, listed: None }
    }
}

impl Depd {
    /// The source thread takes one event.
    pub fn receive(&self, world: &World) -> bool {
        let now = world.now();
        let mut source = self.source.lock();
        let Some(arrival) = source.arrivals.pop_front() else { return false };
        let said = match arrival {
            Arrival::Hint(name, hint) => {
                let torn = world.setup.sabotage == Some(Sabotage::TornLook);
                let hint = if torn && hint == Hint::Written { Hint::Complete } else { hint };
                source.settle.hint(&name, hint, now);
                Vec::new()
            }
            Arrival::Mark(mark) => source.settle.mark(mark, now),
        };
        drop(source);
        said.into_iter().for_each(|(name, said)| self.tell(world, &name, said));
        self.end_folder_start(world);
        true
    }

    fn tell(&self, world: &World, name: &Name, said: Said) {
        let FileName::Dep(key) = parse_name(&name.to_string_lossy()) else { return };
        let report = match said {
            Said::Finding(Finding::Images(images)) => FileReport::Images(images),
            Said::Finding(Finding::Problem(problem)) => FileReport::Problem(problem),
            Said::Finding(Finding::Empty) | Said::Gone => FileReport::Gone,
            _ => return,
        };
        world.note(|| format!("file {key}: {report:?}"));
        daemon::take_folder_event(&self.floor, FolderEvent::File { key, report });
    }

    /// The source thread takes what is due, reads it, or sets the second mark.
    pub fn look_at_files(&self, world: &World) -> bool {
        let now = world.now();
        let mut source = self.source.lock();
        let source = &mut *source;
        source.looking = match std::mem::replace(&mut source.looking, Looking::No) {
            Looking::No => {
                let due = source.settle.take_due(now, 9);
                if due.is_empty() {
                    return false;
                }
                source.arrivals.push_back(Arrival::Mark(Mark::Before));
                Looking::Due(due)
            }
            Looking::Due(names) => {
                for name in &names {
                    let found = world.folder.lock().look(name, now.0);
                    source.settle.looked(name, found);
                }
                Looking::Read
            }
            Looking::Read => {
                source.arrivals.push_back(Arrival::Mark(Mark::After));
                Looking::No
            }
        };
        true
    }

    /// A full scan, as at the start and after doubts.
    pub fn scan(&self, world: &World) {
        let now = world.now();
        let entries = world.folder.lock().entries(now.0);
        let mut source = self.source.lock();
        source.settle.scan_begins();
        for (name, stamp, old) in entries {
            if !source.settle.sighted(&name, stamp, old, now) {
                source.settle.appeared(&name, old, now);
            }
        }
        source.settle.scan_ends(&std::collections::BTreeSet::new(), now);
        source.scanned = true;
        drop(source);
        self.end_folder_start(world);
    }

    /// The kernel lost events: the looks under way do not count, and a scan follows.
    pub fn overflow(&self, world: &World) {
        let now = world.now();
        let mut source = self.source.lock();
        source.arrivals.clear();
        source.looking = Looking::No;
        source.settle.doubt(now);
        drop(source);
        self.scan(world);
    }

    /// Every workload is known.
    fn sees_cluster(&self, world: &World) -> bool {
        let cache = self.floor.workloads.read();
        world.setup.keys.iter().all(|key| cache.sight(key.namespace()) == Sight::Complete)
    }

    fn end_folder_start(&self, world: &World) {
        let source = self.source.lock();
        let over = source.scanned && source.settle.unsettled() == 0;
        drop(source);
        if over {
            self.start.lock().folder = true;
            self.judge(world);
        }
    }

    fn judge(&self, world: &World) {
        let mut start = self.start.lock();
        if !start.cluster || !start.folder || start.judged {
            return;
        }
        start.judged = world.setup.sabotage != Some(Sabotage::EarlyGate);
        drop(start);
        world.note(|| "start-up is over".into());
        daemon::let_in(&self.floor);
    }

    /// A worker takes a key and looks at it.
    pub fn work(&self, world: &World) -> bool {
        let Some(key) = self.floor.queue.try_take() else { return false };
        world.checks.lock().taken(&key);
        if world.setup.sabotage == Some(Sabotage::TwoHands) {
            world.checks.lock().taken(&key);
        }
        look(&self.floor, &key);
        world.checks.lock().let_go(&key);
        self.floor.queue.done(&key);
        true
    }

    /// The timer thread.
    pub fn turn_timer(&self, world: &World) -> bool {
        let before = self.floor.queue.len();
        *self.wake.lock() = self.floor.queue.turn_timer(world.now());
        self.floor.queue.len() != before
    }

    /// The keeper of the pod watches.
    pub fn adjust_pod_watches(&self, world: &World) -> bool {
        if !self.bell.swap(false, Ordering::SeqCst) {
            return false;
        }
        let wanted = self.floor.interest.lock().namespaces();
        let mut streams = self.streams.lock();
        for name in &wanted {
            streams.entry(Scope::PodsOf(name.to_string())).or_insert_with(Stream::new);
        }
        let linger = world.percent(50);
        streams.retain(|scope, _| match scope {
            Scope::PodsOf(name) => linger || wanted.contains(name.as_str()),
            Scope::Workloads(_) => true,
        });
        let watched: HashSet<Box<str>> = streams
            .keys()
            .filter_map(|scope| match scope {
                Scope::PodsOf(name) => Some(name.as_str().into()),
                Scope::Workloads(_) => None,
            })
            .collect();
        drop(streams);
        self.floor.pods.write().keep_only(&watched);
        true
    }

    /// One turn of a watch thread. False: it waits.
    pub fn turn_stream(&self, world: &World, scope: &Scope) -> bool {
        let Some(mut stream) = self.streams.lock().remove(scope) else { return false };
        let moved = stream.turn(self, world, scope);
        self.streams.lock().insert(scope.clone(), stream);
        moved
    }

    pub fn scopes(&self) -> Vec<Scope> {
        self.streams.lock().keys().cloned().collect()
    }

    /// The store's thread: what waits becomes one transaction, and its messages may be sent.
    pub fn write_store(&self, world: &World) -> bool {
        let mut writer = self.writer.lock();
        let fresh = std::mem::take(&mut writer.batch);
        writer.backlog.absorb(fresh);
        if writer.backlog.is_empty() {
            return false;
        }
        let refused = world.disk.lock().refuses;
        let messages: Vec<_> = if refused {
            writer.backlog.announce()
        } else {
            world.disk.lock().write(&writer.backlog);
            let saved = std::mem::take(&mut writer.backlog);
            let fresh = saved.messages.into_values().filter(|waiting| !waiting.announced);
            fresh.map(|waiting| waiting.message).collect()
        };
        let said = std::mem::take(&mut writer.pending);
        let halts = writer.halts.take_if(|_| !refused);
        drop(writer);
        if refused && said.is_empty() {
            return false;
        }
        world.note(|| format!("store: {} said, refused: {refused}", said.len()));
        let mut checks = world.checks.lock();
        checks.store_lost |= refused;
        checks.committed(&said);
        checks.halt_is_kept = halts.unwrap_or(checks.halt_is_kept);
        drop(checks);
        let mut post = self.post.lock();
        post.waiting.extend(messages.into_iter().map(|message| (message.id, message.payload)));
        true
    }

    /// The thread that delivers: one attempt with the oldest message.
    pub fn deliver(&self, world: &World) -> bool {
        let now_ms = world.now().0;
        let post = self.post.lock();
        let front = post.waiting.front().filter(|_| post.not_before_ms <= now_ms).cloned();
        drop(post);
        let Some((id, payload)) = front else { return false };
        let record: usize = payload.parse().expect("the number of a record");
        let reached = !world.fault_of_receiver();
        let acknowledged = reached && !world.fault_of_receiver();
        if reached {
            world.checks.lock().repeats_allowed |= !acknowledged;
            world.checks.lock().received(record);
            if world.setup.sabotage == Some(Sabotage::RepeatedMessage) {
                world.checks.lock().received(record);
            }
        }
        world.note(|| format!("message {record}: reached {reached}, heard of it {acknowledged}"));
        world.maybe_crash();
        let mut post = self.post.lock();
        if acknowledged {
            post.waiting.pop_front();
            post.failures = 0;
            drop(post);
            self.writer.lock().batch.answer(id, Answer::Delivered);
        } else {
            post.failures += 1;
            let wait = depd::queue::backoff::delay(post.failures, world.roll());
            post.not_before_ms = now_ms + u64::try_from(wait.as_millis()).expect("small");
        }
        true
    }

    /// When something happens by itself.
    pub fn next_due(&self, now_ms: u64) -> Option<u64> {
        let settle = self.source.lock().settle.next_due().map(|at| at.0);
        let wake = self.wake.lock().map(|at| at.0).filter(|at| *at < u64::MAX);
        let post = self.post.lock();
        let post = (!post.waiting.is_empty()).then_some(post.not_before_ms);
        let streams = self.streams.lock();
        let streams = streams.values().filter(|stream| stream.open.is_none());
        let streams = streams.map(|stream| stream.until_ms).filter(|at| *at > now_ms).min();
        [settle, wake, post, streams].into_iter().flatten().min().map(|at| at.max(now_ms + 1))
    }
}

impl Stream {
    fn turn(&mut self, depd: &Depd, world: &World, scope: &Scope) -> bool {
        let now_ms = world.now().0;
        if let Some(listed) = self.listed.take() {
            self.tell_list(depd, world, scope, listed);
            return true;
        }
        if let Some((version, since)) = self.open {
            return self.read(depd, world, scope, version, since);
        }
        if self.until_ms > now_ms {
            return false;
        }
        let step = self.state.step();
        let dice = u32::try_from(world.roll() >> 32).expect("32 bits");
        if let Some(class) = world.fault_of_api() {
            let error = ApiError { call: Box::new(call(scope)), class };
            world.note(|| format!("stream {scope:?}: {step:?} failed: {error}"));
            let wait = match step {
                Step::Stream => self.state.on(Outcome::StreamFailed(&error), dice),
                Step::List => self.state.on(Outcome::ListFailed(&error), dice),
                Step::Compare => self.state.on(Outcome::CompareFailed(&error), dice),
                Step::Watch(_) => self.state.on(Outcome::OpenFailed(&error), dice),
            };
            self.wait(now_ms, wait);
            return true;
        }
        let cluster = world.cluster.lock();
        let newest = cluster.version;
        world.note(|| format!("stream {scope:?}: {step:?} at {newest}"));
        let wait = match step {
            // The server of this world streams no lists.
            Step::Stream => {
                let class = Class::Invalid { message: "sendInitialEvents".into() };
                let error = ApiError { call: Box::new(call(scope)), class };
                self.state.on(Outcome::StreamFailed(&error), dice)
            }
            Step::List => {
                self.listed = Some(match scope {
                    Scope::Workloads(kind) => Listed::Workloads(cluster.workloads(*kind), newest),
                    Scope::PodsOf(name) => Listed::Pods(cluster.pods(name), newest),
                });
                Duration::ZERO
            }
            Step::Compare => self.state.on(Outcome::Compared(&newest.to_string()), dice),
            Step::Watch(version) => {
                let version: u64 = version.parse().expect("a number");
                if cluster.remembers(version) {
                    self.open = Some((version, now_ms));
                    self.state.on(Outcome::Opened, 0)
                } else {
                    let error = ApiError { call: Box::new(call(scope)), class: Class::Expired };
                    self.state.on(Outcome::OpenFailed(&error), dice)
                }
            }
        };
        self.wait(now_ms, wait);
        true
    }

    fn wait(&mut self, now_ms: u64, wait: Duration) {
        self.until_ms = now_ms + u64::try_from(wait.as_millis()).expect("small");
    }

    /// The list has arrived; meanwhile the world went on.
    fn tell_list(&mut self, depd: &Depd, world: &World, scope: &Scope, listed: Listed) {
        let version = match &listed {
            Listed::Workloads(_, version) | Listed::Pods(_, version) => *version,
        };
        let dice = u32::try_from(world.roll() >> 32).expect("32 bits");
        let wait = self.state.on(Outcome::Listed(&version.to_string()), dice);
        self.wait(world.now().0, wait);
        world.note(|| format!("stream {scope:?}: listed as of {version}"));
        match listed {
            Listed::Workloads(mut items, resource_version) => {
                items.iter_mut().for_each(|item| world.falsify(item));
                let event = WatchEvent::Restarted { items, resource_version };
                take_workload(&depd.floor, scope, event);
                let synced = depd.sees_cluster(world);
                depd.start.lock().cluster |= synced;
                depd.judge(world);
            }
            Listed::Pods(items, resource_version) => {
                let event = WatchEvent::Restarted { items, resource_version };
                daemon::take_pod(&depd.floor, &wire_scope(scope), event);
            }
        }
    }

    fn read(
        &mut self,
        depd: &Depd,
        world: &World,
        scope: &Scope,
        version: u64,
        since: u64,
    ) -> bool {
        let now_ms = world.now().0;
        if let Some(end) = world.cut() {
            world.note(|| format!("stream {scope:?}: {end:?}"));
            self.end(world, &end, now_ms - since);
            return true;
        }
        let cluster = world.cluster.lock();
        let next = cluster.next_after(scope, version);
        let newest = cluster.version;
        drop(cluster);
        let (at, seen) = match next {
            Some((at, seen)) => (at, Some(seen)),
            None if newest > version && world.percent(10) => (newest, None),
            None => return false,
        };
        if let Err(end) = self.state.seen(&at.to_string()) {
            self.end(world, &end, now_ms - since);
            return true;
        }
        self.open = Some((at, since));
        if let Some(seen) = seen.filter(|_| !world.loses_event()) {
            world.note(|| format!("stream {scope:?}: {}", short(&seen)));
            tell(depd, world, scope, seen);
        }
        true
    }

    fn end(&mut self, world: &World, end: &End, lived_ms: u64) {
        let dice = u32::try_from(world.roll() >> 32).expect("32 bits");
        let wait = self.state.on(Outcome::Ended(end, Duration::from_millis(lived_ms)), dice);
        self.open = None;
        self.wait(world.now().0, wait);
    }
}

fn tell(depd: &Depd, world: &World, scope: &Scope, seen: Seen) {
    let floor = &depd.floor;
    match seen {
        Seen::Workload(mut workload) => {
            world.falsify(&mut workload);
            take_workload(floor, scope, WatchEvent::Applied(workload));
        }
        Seen::WorkloadGone(workload) => {
            take_workload(floor, scope, WatchEvent::Deleted(workload));
        }
        Seen::Pod(pod) => {
            daemon::take_pod(floor, &wire_scope(scope), WatchEvent::Applied(pod));
        }
        Seen::PodGone(pod) => {
            daemon::take_pod(floor, &wire_scope(scope), WatchEvent::Deleted(pod));
        }
    }
}

/// What the production thread of a watch does with word from it.
fn take_workload(floor: &Floor, scope: &Scope, event: WatchEvent<Workload>) {
    let open = Arc::new(AtomicBool::new(true));
    daemon::Part::new(kind_of(scope), wire_scope(scope), open).take(floor, event);
}

fn short(seen: &Seen) -> String {
    match seen {
        Seen::Workload(w) => {
            let (r, image) = (w.replicas, &w.containers[0].image);
            format!(
                "{} {} version {} generation {}/{} {image} wants {} has {} new {} available {}",
                w.key,
                w.uid,
                w.resource_version,
                w.observed_generation,
                w.generation,
                r.wanted,
                r.total,
                r.updated,
                r.available
            )
        }
        Seen::WorkloadGone(w) => format!("{} {} is gone", w.key, w.uid),
        Seen::Pod(pod) => format!("pod {} {:?}", pod.name, pod.containers[0].state),
        Seen::PodGone(pod) => format!("pod {} is gone", pod.name),
    }
}

fn wire_scope(scope: &Scope) -> cluster::Scope {
    match scope {
        Scope::Workloads(_) => cluster::Scope::Cluster,
        Scope::PodsOf(name) => cluster::Scope::Namespace(name.as_str().into()),
    }
}

fn kind_of(scope: &Scope) -> Kind {
    match scope {
        Scope::Workloads(kind) => *kind,
        Scope::PodsOf(_) => Kind::Deployment,
    }
}

fn call(scope: &Scope) -> Call {
    let (resource, namespace) = match scope {
        Scope::Workloads(_) => (Resource::Deployments, None),
        Scope::PodsOf(name) => (Resource::Pods, Some(name.as_str().into())),
    };
    Call { verb: Verb::Watch, resource, namespace, name: None }
}

/// A request that was lost on its way, or its reply.
pub fn lost(sent: Sent) -> Class {
    Class::Network { text: "the connection broke".into(), sent }
}
