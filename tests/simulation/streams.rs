//! The threads that list and watch, in the simulated world. What follows from an answer, and what is made
//! of what is told, is decided by `cluster::reflector` and `daemon::Part` of production.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use depd::cluster::reflector::{End, ListWatch, Outcome, Step};
use depd::cluster::{ApiError, Call, Class, Resource, Verb, WatchEvent};
use depd::model::{Kind, Pod, Workload};
use depd::worker::Floor;
use depd::{cluster, daemon};

use crate::cluster::{Cluster, Scope, Seen};
use crate::depd::Depd;
use crate::sabotage::Sabotage;
use crate::world::World;

/// One list-watch loop.
pub struct Stream {
    state: ListWatch,
    open: Option<(u64, u64)>,
    until_ms: u64,
    listed: Option<Listed>,
    /// What was listed is the first part of a stream.
    streams_on: bool,
    /// It was listed and opened once.
    settled: bool,
    /// False once it is to be closed.
    part: Arc<AtomicBool>,
}

enum Listed {
    Workloads(Vec<Workload>, u64),
    Pods(Vec<Pod>, u64),
}

impl Stream {
    pub fn new() -> Stream {
        Stream {
            state: ListWatch::new(),
            open: None,
            until_ms: 0,
            listed: None,
            streams_on: false,
            settled: false,
            part: Arc::new(AtomicBool::new(true)),
        }
    }

    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// What it still tells is of no use.
    pub fn close(&self) {
        self.part.store(false, Ordering::SeqCst);
    }

    /// When it goes on, unless a stream is open.
    pub fn until_ms(&self) -> Option<u64> {
        self.open.is_none().then_some(self.until_ms)
    }

    pub fn turn(&mut self, depd: &Depd, world: &World, scope: &Scope) -> bool {
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
            self.lose(depd, world, scope, wait);
            return true;
        }
        let mut opened = false;
        let cluster = world.cluster.lock();
        let newest = cluster.version;
        world.note(|| format!("stream {scope:?}: {step:?} at {newest}"));
        let wait = match step {
            Step::Stream if world.setup.watch_list => {
                self.listed = Some(list(&cluster, scope));
                self.streams_on = true;
                Duration::ZERO
            }
            // An older server streams no lists.
            Step::Stream => {
                let class = Class::Invalid { message: "sendInitialEvents".into() };
                let error = ApiError { call: Box::new(call(scope)), class };
                self.state.on(Outcome::StreamFailed(&error), dice)
            }
            Step::List => {
                self.listed = Some(list(&cluster, scope));
                Duration::ZERO
            }
            Step::Compare => self.state.on(Outcome::Compared(&newest.to_string()), dice),
            Step::Watch(version) => {
                let version: u64 = version.parse().expect("a number");
                if cluster.remembers(version) {
                    self.open = Some((version, now_ms));
                    opened = true;
                    self.state.on(Outcome::Opened, 0)
                } else {
                    let error = ApiError { call: Box::new(call(scope)), class: Class::Expired };
                    self.state.on(Outcome::OpenFailed(&error), dice)
                }
            }
        };
        drop(cluster);
        self.wait(now_ms, wait);
        if opened {
            self.show(depd, world, scope);
        }
        true
    }

    /// The stream goes on.
    fn show(&mut self, depd: &Depd, world: &World, scope: &Scope) {
        self.settled = true;
        world.checks.lock().shows(scope);
        match scope {
            Scope::Workloads(..) => self.take_workload(&depd.floor, scope, WatchEvent::Synced),
            Scope::Pods(_) => self.take_pod(&depd.floor, scope, WatchEvent::Synced),
        }
    }

    /// Nothing goes on for now.
    fn lose(&mut self, depd: &Depd, world: &World, scope: &Scope, retry_in: Duration) {
        world.checks.lock().shows_no_more(scope);
        if world.setup.sabotage == Some(Sabotage::UnsaidLoss) {
            // Longer than a time limit.
            self.until_ms += 600_000;
            return;
        }
        let why = "cut".to_owned();
        match scope {
            Scope::Workloads(..) => {
                let event = WatchEvent::Disconnected { why, retry_in };
                self.take_workload(&depd.floor, scope, event);
            }
            Scope::Pods(_) => {
                let event = WatchEvent::Disconnected { why, retry_in };
                self.take_pod(&depd.floor, scope, event);
            }
        }
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
        let text = version.to_string();
        let streams_on = std::mem::take(&mut self.streams_on);
        let wait = match streams_on {
            true => {
                self.open = Some((version, world.now().0));
                self.state.on(Outcome::Streamed(&text), dice)
            }
            false => self.state.on(Outcome::Listed(&text), dice),
        };
        self.wait(world.now().0, wait);
        world.note(|| format!("stream {scope:?}: listed as of {version}"));
        match listed {
            Listed::Workloads(mut items, resource_version) => {
                items.iter_mut().for_each(|item| world.falsify(item));
                let event = WatchEvent::Restarted { items, resource_version };
                self.take_workload(&depd.floor, scope, event);
            }
            Listed::Pods(items, resource_version) => {
                let event = WatchEvent::Restarted { items, resource_version };
                self.take_pod(&depd.floor, scope, event);
            }
        }
        if streams_on {
            self.show(depd, world, scope);
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
            self.end(depd, world, scope, &end, now_ms - since);
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
            self.end(depd, world, scope, &end, now_ms - since);
            return true;
        }
        self.open = Some((at, since));
        if let Some(seen) = seen.filter(|_| !world.loses_event()) {
            world.note(|| format!("stream {scope:?}: {}", short(&seen)));
            self.tell(depd, world, scope, seen);
        }
        true
    }

    fn tell(&self, depd: &Depd, world: &World, scope: &Scope, seen: Seen) {
        let floor = &depd.floor;
        match seen {
            Seen::Workload(workload) if world.deletes_in_words() => {
                self.take_workload(floor, scope, WatchEvent::Deleted(workload));
            }
            Seen::Workload(mut workload) => {
                world.falsify(&mut workload);
                self.take_workload(floor, scope, WatchEvent::Applied(workload));
            }
            Seen::WorkloadGone(workload) => {
                self.take_workload(floor, scope, WatchEvent::Deleted(workload));
            }
            Seen::Pod(mut pod) => {
                world.falsify_pod(&mut pod);
                self.take_pod(floor, scope, WatchEvent::Applied(pod));
            }
            Seen::PodGone(pod) => {
                self.take_pod(floor, scope, WatchEvent::Deleted(pod));
            }
        }
    }

    /// What the production thread of a watch does with word from it.
    fn take_workload(&self, floor: &Floor, scope: &Scope, event: WatchEvent<Workload>) {
        let part = Arc::clone(&self.part);
        daemon::Part::new(kind_of(scope), wire_scope(scope), part).take(floor, event);
    }

    /// The same of pods.
    fn take_pod(&self, floor: &Floor, scope: &Scope, event: WatchEvent<Pod>) {
        daemon::take_pod(floor, &wire_scope(scope), &self.part, event);
    }

    fn end(&mut self, depd: &Depd, world: &World, scope: &Scope, end: &End, lived_ms: u64) {
        let dice = u32::try_from(world.roll() >> 32).expect("32 bits");
        let wait = self.state.on(Outcome::Ended(end, Duration::from_millis(lived_ms)), dice);
        self.open = None;
        self.wait(world.now().0, wait);
        // That its time limit ended a stream is no news.
        if *end != End::Closed {
            self.lose(depd, world, scope, wait);
        }
    }
}

fn list(cluster: &Cluster, scope: &Scope) -> Listed {
    match scope {
        Scope::Workloads(kind, namespace) => {
            Listed::Workloads(cluster.workloads(*kind, namespace.as_deref()), cluster.version)
        }
        Scope::Pods(namespace) => Listed::Pods(cluster.pods(namespace.as_deref()), cluster.version),
    }
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
    let (Scope::Workloads(_, namespace) | Scope::Pods(namespace)) = scope;
    match namespace {
        Some(name) => cluster::Scope::Namespace(name.as_str().into()),
        None => cluster::Scope::Cluster,
    }
}

fn kind_of(scope: &Scope) -> Kind {
    match scope {
        Scope::Workloads(kind, _) => *kind,
        Scope::Pods(_) => Kind::Deployment,
    }
}

fn call(scope: &Scope) -> Call {
    let (resource, namespace) = match scope {
        Scope::Workloads(_, namespace) => (Resource::Deployments, namespace),
        Scope::Pods(namespace) => (Resource::Pods, namespace),
    };
    let namespace = namespace.as_deref().map(Into::into);
    Call { verb: Verb::Watch, resource, namespace, name: None }
}
