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
//! listed is done without, except Deployments. Where many namespaces refuse one, its watches there rest,
//! and the keeper opens them again now and then.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use log::{error, info, warn};

pub use part::Part;

use super::cover::{ASK_AGAIN, Covers, MOST_UNSETTLED, Place};
use super::sight::{Scene, Sight};
use super::start_up::Seen;
use crate::clock;
use crate::cluster::reflector::ListWatch;
use crate::cluster::{Client, Reflector, Scope, WatchEvent, spawn_reflector};
use crate::model::{Kind, Moment, Workload};
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
    /// This was listed, and its watch is open, for the first time or again after it was cut off.
    Open(Place),
    /// This may not be listed or watched.
    Refused(Place),
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
        without: [0; Kind::ALL.len()],
    };
    let run = move || {
        loop {
            let first = match words.heard.recv_timeout(TICK) {
                Err(RecvTimeoutError::Disconnected) => return,
                word => word.ok(),
            };
            // All that waits at once: a thousand watches come back together.
            for word in first.into_iter().chain(words.heard.try_iter()) {
                if matches!(word, Word::End) {
                    return;
                }
                keeper.take(word);
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
    /// In how many namespaces each kind rests, as the log says.
    without: [usize; Kind::ALL.len()],
}

struct Watch {
    pulse: Pulse,
    /// It was listed and opened, or that was refused.
    settled: bool,
    /// False once it is to be closed: what it still tells then is of no use.
    open: Arc<AtomicBool>,
    /// It is cut off, and has not shown since whether the server is where it was.
    cut_off: Arc<AtomicBool>,
}

/// Whether a watch has a thread.
#[derive(Debug)]
enum Pulse {
    /// It lists and watches.
    Runs(Reflector),
    /// It was refused, and nobody waits for it: a thread and a connection for that were a waste.
    Rests { since: Moment },
}

impl Watch {
    /// What it told stands, or nobody can correct it any more.
    fn may_close(&self) -> bool {
        !self.cut_off.load(Ordering::Acquire) || !self.is_running()
    }

    fn is_running(&self) -> bool {
        matches!(&self.pulse, Pulse::Runs(reflector) if reflector.is_running())
    }

    /// Its thread died, or it has rested long enough: somebody may have granted what it asks for.
    fn is_due(&self, now: Moment) -> bool {
        match self.pulse {
            Pulse::Runs(_) => !self.is_running(),
            Pulse::Rests { since } => now.since(since) >= ASK_AGAIN,
        }
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
                self.rest(&place);
            }
            Word::NamespacesChanged | Word::End => {}
        }
    }

    fn settle(&mut self, place: &Place) {
        if let Some(watch) = self.open.get_mut(place) {
            watch.settled = true;
        }
    }

    /// A kind that is refused in the whole cluster and in many namespaces is asked for there by the
    /// keeper, now and then, unless something of it is known there.
    fn rest(&mut self, place: &Place) {
        let (kind, scope) = place;
        let Some(namespace) = scope.namespace().filter(|_| self.covers.is_refused(*kind)) else {
            return;
        };
        let Some(floor) = self.floor.upgrade() else { return };
        let Some(watch) = self.open.get_mut(place) else { return };
        // Under the lock: it may have been granted since, and what it tells from now on is of no use.
        let cache = floor.workloads.read();
        if cache.is_done_without(*kind, namespace) {
            watch.open.store(false, Ordering::Release);
            watch.pulse = Pulse::Rests { since: clock::now() };
        }
    }

    fn adjust(&mut self) {
        let Some(floor) = self.floor.upgrade().filter(|_| self.folder_read) else { return };
        let wanted = self.covers.places(floor.desired.read().namespaces(), clock::now());
        self.open_more(&wanted);
        let now = clock::now();
        let is_settled = |watch: &Watch| watch.settled && !watch.is_due(now);
        let settled = |place| self.open.get(place).is_some_and(is_settled);
        if !wanted.iter().all(settled) {
            return;
        }
        self.close_all_but(&floor, &wanted);
        self.tell_of_rests();
        if !std::mem::replace(&mut self.introduced, true) {
            introduce(floor.workloads.read().len(), &wanted);
        }
        // Nobody listens any more once start-up is over.
        let _ = self.seen.send(Seen::Cluster);
    }

    /// One line for all of them.
    fn tell_of_rests(&mut self) {
        let minutes = ASK_AGAIN.as_secs() / 60;
        for kind in Kind::ALL {
            let rests = |watch: &Watch| matches!(watch.pulse, Pulse::Rests { .. });
            let of_kind = self.open.iter().filter(|((of, _), _)| *of == kind);
            let count = of_kind.filter(|(_, watch)| rests(watch)).count();
            let told = std::mem::replace(&mut self.without[kind as usize], count);
            if count > told {
                warn!(
                    "depd goes on without {kind}s in {count} namespaces, which its role does not allow \
                     it to list or watch; it asks again every {minutes} minutes"
                );
            }
        }
    }

    /// Opens what is wanted, as far as there is room, and anew what is due. The namespace that comes
    /// first has all of its watches first.
    fn open_more(&mut self, wanted: &HashSet<Place>) {
        let unsettled = self.open.values().filter(|watch| !watch.settled).count();
        let now = clock::now();
        let is_missing = |place| self.open.get(place).is_none_or(|watch: &Watch| watch.is_due(now));
        let mut missing: Vec<&Place> = wanted.iter().filter(|place| is_missing(place)).collect();
        missing.sort_unstable_by_key(|(kind, scope)| (scope.namespace(), *kind));
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
        // Who was refused all of an optional kind need not doubt that a part of it is refused.
        let loops = match kind != Kind::Deployment && self.covers.is_refused(kind) {
            true => ListWatch::believing(),
            false => ListWatch::new(),
        };
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
                WatchEvent::Synced if is_back | !std::mem::replace(&mut was_open, true) => {
                    Some(Word::Open(part.place()))
                }
                WatchEvent::Forbidden { .. } => Some(Word::Refused(part.place())),
                _ => None,
            };
            if let Some(floor) = floor.upgrade() {
                part.take(&floor, event);
            }
            if let Some(word) = word {
                let _ = words.send(word);
            }
        };
        let pulse = spawn_reflector::<Workload>(&self.client, kind, scope, loops, sink);
        match pulse.map(Pulse::Runs) {
            Ok(pulse) => Some(Watch { pulse, settled: false, open, cut_off }),
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

mod part;

#[cfg(test)]
mod tests;
