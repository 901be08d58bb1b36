//! Which workloads are watched: those of the namespaces that the files name. `[E]`
//!
//! A thread keeps the watches: it opens and closes them as namespaces appear in the folder and
//! vanish from it, as [`Covers`] says. A watch is closed only when those that take its place are
//! open, so that nothing which was known is forgotten in between, and while it is not cut off: after
//! a restore of etcd only it can say what of its own words never was. The cache knows scope by scope
//! what was listed and is watched: a workload is absent only where somebody looks. Each kind has
//! watches of its own, because it has lists, versions and rights of its own.
//!
//! A namespace that may not be listed holds up nobody else. For a user whose rights end at some
//! namespaces the API server answers the same for one that does not exist. A kind that may not be
//! listed is done without, except Deployments.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use log::{error, info, warn};

use super::cover::{Covers, MOST_UNSETTLED, Place};
use super::sight::{Scene, Sight};
use super::start_up::Seen;
use crate::clock;
use crate::cluster::{ApiError, Client, Reflector, Scope, WatchEvent, spawn_reflector};
use crate::model::{Kind, ServiceKey, Workload};
use crate::observed::{self, Unopened};
use crate::worker::Floor;

/// How often the keeper looks although nobody told it anything.
const TICK: Duration = Duration::from_secs(60);

/// Tells the keeper that something changed. Never blocks.
#[derive(Clone, Debug)]
pub struct WorkloadWatches {
    words: Sender<Word>,
    /// What of folder and cluster is out of view.
    pub sight: Arc<Sight>,
}

/// The half that the keeper's thread waits on.
#[derive(Debug)]
pub struct Words {
    own: Sender<Word>,
    heard: Receiver<Word>,
    sight: Arc<Sight>,
}

#[derive(Debug)]
enum Word {
    /// The folder was read; from now on it is known which namespaces its files name.
    FolderRead,
    /// Those namespaces are others than before.
    NamespacesChanged,
    /// This was listed, and its watch is open.
    Open(Place),
    /// This may not be listed or watched.
    Refused(Place),
    /// A watch that was cut off is open again.
    Resumed,
    /// The daemon ends.
    End,
}

impl WorkloadWatches {
    /// The bell and what hears it.
    #[must_use]
    pub fn new() -> (WorkloadWatches, Words) {
        let (words, heard) = unbounded();
        let sight: Arc<Sight> = Arc::default();
        let watches = WorkloadWatches { words: words.clone(), sight: Arc::clone(&sight) };
        (watches, Words { own: words, heard, sight })
    }

    /// The folder was read completely.
    pub fn folder_read(&self) {
        let _ = self.words.send(Word::FolderRead);
    }

    /// A namespace is named for the first time, or by no file any more.
    pub fn namespaces_changed(&self) {
        let _ = self.words.send(Word::NamespacesChanged);
    }

    /// Closes every watch.
    pub fn end(&self) {
        let _ = self.words.send(Word::End);
    }
}

/// Starts the thread that opens and closes watches; `seen` is told whenever every scope is watched, or
/// cannot be.
///
/// # Errors
/// The operating system gives no thread.
pub fn keep(
    client: Client,
    floor: &Arc<Floor>,
    words: Words,
    seen: Sender<Seen>,
) -> io::Result<()> {
    let mut keeper = Keeper {
        client,
        floor: Arc::downgrade(floor),
        words: words.own,
        sight: words.sight,
        covers: Covers::default(),
        open: HashMap::new(),
        folder_read: false,
        seen,
        introduced: false,
    };
    let run = move || {
        loop {
            match words.heard.recv_timeout(TICK) {
                Ok(Word::End) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(word) => keeper.take(word),
                Err(RecvTimeoutError::Timeout) => {}
            }
            keeper.adjust();
        }
    };
    thread::Builder::new().name("workload-watches".into()).spawn(run).map(drop)
}

struct Keeper {
    client: Client,
    floor: Weak<Floor>,
    words: Sender<Word>,
    sight: Arc<Sight>,
    covers: Covers,
    open: HashMap<Place, Watch>,
    folder_read: bool,
    /// Who waits for a complete sight of the cluster.
    seen: Sender<Seen>,
    /// What was seen of it first was written into the log.
    introduced: bool,
}

struct Watch {
    reflector: Reflector,
    /// It was listed and opened, or that was refused.
    settled: bool,
    /// False once it is to be closed: what it still tells then is of no use.
    open: Arc<AtomicBool>,
    /// It is cut off, and has not shown since whether the server is where it was.
    cut_off: Arc<AtomicBool>,
}

impl Watch {
    /// What it told stands, or nobody can correct it any more.
    fn may_close(&self) -> bool {
        !self.cut_off.load(Ordering::Acquire) || !self.reflector.is_running()
    }
}

impl Keeper {
    fn take(&mut self, word: Word) {
        match word {
            Word::FolderRead => self.folder_read = true,
            Word::Open(place) => self.settle(&place),
            Word::Refused(place) => {
                if place.1 == Scope::Cluster {
                    self.covers.refuse(place.0, clock::now());
                }
                self.settle(&place);
            }
            Word::NamespacesChanged | Word::Resumed | Word::End => {}
        }
    }

    fn settle(&mut self, place: &Place) {
        if let Some(watch) = self.open.get_mut(place) {
            watch.settled = true;
        }
    }

    fn adjust(&mut self) {
        let Some(floor) = self.floor.upgrade().filter(|_| self.folder_read) else { return };
        let wanted = self.covers.places(floor.desired.read().namespaces(), clock::now());
        // A watch whose thread died is opened anew; one that is not wanted has its part of the cache
        // closed below, dead or not.
        self.open.retain(|place, watch| !wanted.contains(place) || watch.reflector.is_running());
        self.open_more(&wanted);
        let settled = |place| self.open.get(place).is_some_and(|watch: &Watch| watch.settled);
        if !wanted.iter().all(settled) {
            return;
        }
        self.close_all_but(&floor, &wanted);
        if !std::mem::replace(&mut self.introduced, true) {
            introduce(floor.workloads.read().len(), &wanted);
        }
        // Nobody listens any more once start-up is over.
        let _ = self.seen.send(Seen::Cluster);
    }

    /// Opens what is wanted, as far as there is room. The namespace that comes first has all of its
    /// watches first.
    fn open_more(&mut self, wanted: &HashSet<Place>) {
        let unsettled = self.open.values().filter(|watch| !watch.settled).count();
        let mut missing: Vec<&Place> =
            wanted.iter().filter(|place| !self.open.contains_key(place)).collect();
        missing.sort_unstable_by_key(|(kind, scope)| (scope.namespace(), *kind as usize));
        for place in missing.into_iter().take(MOST_UNSETTLED.saturating_sub(unsettled)) {
            if let Some(watch) = self.start(place) {
                self.open.insert(place.clone(), watch);
            }
        }
    }

    fn close_all_but(&mut self, floor: &Floor, wanted: &HashSet<Place>) {
        let sight = &self.sight;
        self.open.retain(|place, watch| {
            let stays = wanted.contains(place) || !watch.may_close();
            if !stays {
                // Under the lock: a watch that tells something right now has told it, or will find
                // itself closed.
                let mut cache = floor.workloads.write();
                watch.open.store(false, Ordering::Release);
                cache.close(place.0, place.1.namespace());
                sight.found(&Scene::Workloads(place.0, place.1.clone()));
            }
            stays
        });
    }

    fn start(&self, place: &Place) -> Option<Watch> {
        let open = Arc::new(AtomicBool::new(true));
        let (kind, scope) = place.clone();
        let part = Part::new(kind, scope.clone(), Arc::clone(&open));
        let (floor, words) = (self.floor.clone(), self.words.clone());
        let (sight, seen) = (Arc::clone(&self.sight), Arc::clone(&open));
        let cut_off = Arc::new(AtomicBool::new(false));
        let is_cut_off = Arc::clone(&cut_off);
        let scene = Scene::Workloads(kind, scope.clone());
        let mut was_open = false;
        let sink = move |event| {
            let is_open = || seen.load(Ordering::Acquire);
            let mut is_back = false;
            match &event {
                WatchEvent::Disconnected { .. } => {
                    is_cut_off.store(true, Ordering::Release);
                    sight.lost_while(scene.clone(), clock::now(), is_open);
                }
                // Without the right to see it there is nothing to lose.
                WatchEvent::Synced | WatchEvent::Forbidden { .. } => {
                    is_back = is_cut_off.swap(false, Ordering::AcqRel);
                    // Another watch may be in its place.
                    if is_open() {
                        sight.found(&scene);
                    }
                }
                _ => {}
            }
            let word = match &event {
                // A list is not enough: its watch may be refused yet.
                WatchEvent::Synced if !std::mem::replace(&mut was_open, true) => {
                    Some(Word::Open(part.place()))
                }
                WatchEvent::Forbidden { .. } => Some(Word::Refused(part.place())),
                _ if is_back => Some(Word::Resumed),
                _ => None,
            };
            if let Some(floor) = floor.upgrade() {
                part.take(&floor, event);
            }
            if let Some(word) = word {
                let _ = words.send(word);
            }
        };
        match spawn_reflector::<Workload>(&self.client, kind, scope, sink) {
            Ok(reflector) => Some(Watch { reflector, settled: false, open, cut_off }),
            Err(problem) => {
                let seconds = TICK.as_secs();
                error!("cannot watch {kind}s: {problem}; tried again in {seconds} s");
                None
            }
        }
    }
}

fn introduce(workloads: usize, wanted: &HashSet<Place>) {
    let namespaces = wanted.iter().filter(|(kind, _)| *kind == Kind::Deployment).count();
    match wanted.contains(&(Kind::Deployment, Scope::Cluster)) {
        true => info!("the cluster has {workloads} workloads"),
        false if namespaces == 0 => info!("no file names a namespace yet: nothing is watched"),
        false => info!(
            "the cluster has {workloads} workloads in the namespaces of the files ({namespaces})"
        ),
    }
}

/// What one watch is for, in its own hands: it takes in what the watch tells.
#[derive(Debug)]
pub struct Part {
    kind: Kind,
    scope: Scope,
    open: Arc<AtomicBool>,
}

impl Part {
    /// A part that takes word as long as it is `open`.
    #[must_use]
    pub fn new(kind: Kind, scope: Scope, open: Arc<AtomicBool>) -> Part {
        Part { kind, scope, open }
    }

    fn place(&self) -> Place {
        (self.kind, self.scope.clone())
    }

    /// Into the cache, and who is concerned is looked at.
    pub fn take(&self, floor: &Floor, event: WatchEvent<Workload>) {
        let scope = self.scope.namespace();
        match event {
            WatchEvent::Restarted { items, resource_version } => {
                let now = (floor.clock)();
                let mut cache = floor.workloads.write();
                if !self.is_open() {
                    return;
                }
                cache.await_watch(self.kind, scope);
                let found = cache.find(self.kind, scope, now);
                let mut changed = cache.replace(self.kind, scope, items, resource_version);
                // All of those are looked at when the last watch that they wait for is open.
                changed.retain(|key| cache.sight(key.namespace()) != observed::Sight::Unseen);
                drop(cache);
                // In the same order every time, so that a simulation can be repeated.
                changed.sort_unstable();
                changed.iter().for_each(|key| touch(floor, key));
                if found {
                    touch_rollouts(floor, scope);
                }
            }
            WatchEvent::Applied(workload) => {
                let key = workload.key.clone();
                let mut cache = floor.workloads.write();
                let news = self.is_open() && cache.stream(scope, workload);
                drop(cache);
                if news {
                    touch(floor, &key);
                }
            }
            WatchEvent::Deleted(workload) => {
                let mut cache = floor.workloads.write();
                let news = self.is_open() && cache.delete(scope, &workload);
                drop(cache);
                if news {
                    touch(floor, &workload.key);
                }
            }
            WatchEvent::Synced => {
                let now = (floor.clock)();
                let mut cache = floor.workloads.write();
                if !self.is_open() {
                    return;
                }
                let before = cache.open(self.kind, scope);
                let found = cache.find(self.kind, scope, now);
                drop(cache);
                if let Some(Unopened::Refused(_)) = before {
                    info!("the {}s of {} may be watched again", self.kind, named(scope));
                }
                match before {
                    Some(_) => touch_all(floor, scope),
                    None if found => touch_rollouts(floor, scope),
                    None => {}
                }
            }
            WatchEvent::Disconnected { why, retry_in } => {
                self.lose(floor);
                warn!("{why}; again in {} ms", retry_in.as_millis());
            }
            WatchEvent::Forbidden { error, .. } => {
                self.lose(floor);
                self.refused(floor, &error);
            }
        }
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// From now on time says nothing about the rollouts there.
    fn lose(&self, floor: &Floor) {
        let now = (floor.clock)();
        floor.workloads.write().lose(self.kind, self.scope.namespace(), now);
    }

    fn refused(&self, floor: &Floor, error: &ApiError) {
        let (kind, scope) = (self.kind, self.scope.namespace());
        let why = match scope {
            Some(namespace) => {
                format!("the namespace {namespace} is missing or not permitted: {error}")
            }
            None => error.to_string(),
        };
        let mut cache = floor.workloads.write();
        let news = self.is_open() && cache.refuse(kind, scope, &why);
        drop(cache);
        if !news {
            return;
        }
        match (kind, scope) {
            (_, None) => warn!("{why}; each namespace is watched on its own instead"),
            (Kind::Deployment, Some(_)) => {
                error!("{why}; nothing can be deployed there until then");
            }
            (_, Some(_)) => {
                warn!("{error}; depd goes on without {kind}s there until its role allows them");
            }
        }
        touch_all(floor, scope);
    }
}

fn named(scope: Option<&str>) -> &str {
    scope.unwrap_or("the whole cluster")
}

/// Workloads without a dep file are none of our business.
fn touch(floor: &Floor, key: &ServiceKey) {
    if floor.desired.read().get(key).is_some() {
        floor.queue.add(key);
    }
}

/// The time in which nothing was seen of them is to be taken out of theirs.
fn touch_rollouts(floor: &Floor, namespace: Option<&str>) {
    let mut keys = floor.interest.lock().keys(namespace);
    keys.sort_unstable();
    keys.iter().for_each(|key| floor.queue.add(key));
}

fn touch_all(floor: &Floor, namespace: Option<&str>) {
    let mut keys: Vec<ServiceKey> = {
        let desired = floor.desired.read();
        let concerned = |key: &&ServiceKey| namespace.is_none_or(|it| it == key.namespace());
        desired.keys().filter(concerned).cloned().collect()
    };
    keys.sort_unstable();
    keys.iter().for_each(|key| floor.queue.add(key));
}

#[cfg(test)]
mod tests;
