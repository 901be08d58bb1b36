//! Which pods are watched: those of the namespaces where a rollout is in flight. `[E]`
//!
//! One watch per namespace, or a single cluster-wide one for many of them, as [`Cover`] says. A watch
//! is kept for [`LINGER`] after the last rollout, because rollouts come in series.
//!
//! **Why watch them at all.** The other way would be to ask: a change of a pod's waiting reason does not
//! touch its Deployment, so a verdict within a second means one list by selector for each rollout in
//! flight and second. Measured (`scripts/bench` on kube-apiserver 1.37.2, one pod each, 4,000 services,
//! the released program): a rollout that succeeds brings 6 events of pods, 22 KiB, and costs the watch's
//! thread 0.63 ms of CPU; one of 1,000 at once that fail brings 4, 14 KiB and 0.34 ms. One list of a
//! rollout's pods by selector is 9 KiB, and 11 ms until it is there on a busy server. So a rollout of
//! three seconds would cost more bytes that way and three requests besides, and 1,000 at once would ask
//! for more in each second than a small API server answers. A field selector does not help either: a
//! container that crashes is in a pod whose phase is `Running`.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{error, warn};

use super::cover::{Cover, MOST_UNSETTLED};
use crate::clock;
use crate::cluster::reflector::ListWatch;
use crate::cluster::{Client, Reflector, Scope, WatchEvent, spawn_reflector};
use crate::model::{Moment, Pod};
use crate::worker::Floor;

/// How long a watch outlives the last rollout of its namespace.
const LINGER: Duration = Duration::from_secs(60);

/// Tells the keeper of the watches that something changed. Never blocks.
#[derive(Clone, Debug)]
pub struct PodWatches {
    look: Sender<()>,
}

/// The half that the keeper's thread waits on.
#[derive(Debug)]
pub struct Wanted(Receiver<()>);

impl PodWatches {
    /// The bell and what hears it.
    #[must_use]
    pub fn new() -> (PodWatches, Wanted) {
        let (look, wanted) = bounded(1);
        (PodWatches { look }, Wanted(wanted))
    }

    /// The set of namespaces with rollouts in flight changed.
    pub fn ring(&self) {
        // A full channel means that the bell rings already.
        let _ = self.look.try_send(());
    }
}

/// Starts the thread that opens and closes watches. It ends when every bell is gone.
///
/// # Errors
/// The operating system gives no thread.
pub fn keep(client: Client, floor: &Arc<Floor>, wanted: Wanted) -> io::Result<()> {
    let mut keeper = Keeper {
        client,
        floor: Arc::downgrade(floor),
        open: HashMap::new(),
        cover: Cover::default(),
        refused: Arc::default(),
    };
    let run = move || {
        loop {
            match wanted.0.recv_timeout(LINGER / 4) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => keeper.adjust(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    thread::Builder::new().name("pod-watches".into()).spawn(run).map(drop)
}

struct Keeper {
    client: Client,
    floor: Weak<Floor>,
    open: HashMap<Scope, Watch>,
    cover: Cover,
    /// The cluster-wide watch was refused since the last look.
    refused: Arc<AtomicBool>,
}

struct Watch {
    reflector: Reflector,
    needed: Moment,
    /// It was listed, or that was refused.
    settled: Arc<AtomicBool>,
    /// False once nobody needs it any more: what its thread has still to tell does not count.
    open: Arc<AtomicBool>,
}

impl Keeper {
    fn adjust(&mut self) {
        let Some(floor) = self.floor.upgrade() else { return };
        let now = clock::now();
        if self.refused.swap(false, Ordering::AcqRel) {
            self.open.remove(&Scope::Cluster);
            self.cover.refuse(now);
        }
        // A watch whose thread died is opened anew where it is needed.
        self.open.retain(|_, watch| watch.reflector.is_running());
        let namespaces = floor.interest.lock().namespaces();
        let waits = |watch: &&Watch| !watch.settled.load(Ordering::Acquire);
        let mut unsettled = self.open.values().filter(waits).count();
        for scope in self.cover.scopes(namespaces.iter().map(|name| &**name), now) {
            if let Some(watch) = self.open.get_mut(&scope) {
                watch.needed = now;
            } else if unsettled < MOST_UNSETTLED
                && let Some(watch) = self.start(&scope)
            {
                // The others follow: whichever of these settles rings.
                unsettled += 1;
                self.open.insert(scope, watch);
            }
        }
        self.open.retain(|scope, watch| {
            let stays = now.since(watch.needed) < LINGER;
            if !stays && let Scope::Namespace(name) = scope {
                // Else it would vouch for its pods when the watch that took over is cut.
                let mut pods = floor.pods.write();
                watch.open.store(false, Ordering::Release);
                pods.close(name);
            }
            stays
        });
        if !self.open.contains_key(&Scope::Cluster) {
            let watched = self.open.keys().filter_map(|scope| match scope {
                Scope::Namespace(name) => Some(name.clone()),
                Scope::Cluster => None,
            });
            floor.pods.write().keep_only(&watched.collect());
        }
    }

    fn start(&self, scope: &Scope) -> Option<Watch> {
        let (floor, of) = (self.floor.clone(), scope.clone());
        let refused = Arc::clone(&self.refused);
        let settled = Arc::new(AtomicBool::new(false));
        let is_settled = Arc::clone(&settled);
        let open = Arc::new(AtomicBool::new(true));
        let is_open = Arc::clone(&open);
        let sink = move |event| {
            if let Some(floor) = floor.upgrade() {
                let is_refused = matches!(event, WatchEvent::Forbidden { .. });
                let is_listed = matches!(event, WatchEvent::Restarted { .. });
                take(&floor, &of, &is_open, event);
                let is_first =
                    (is_refused || is_listed) && !is_settled.swap(true, Ordering::AcqRel);
                let is_wide = is_refused && of == Scope::Cluster;
                if is_wide {
                    refused.store(true, Ordering::Release);
                }
                if is_first || is_wide {
                    (floor.interest_changed)();
                }
            }
        };
        match spawn_reflector::<Pod>(&self.client, (), scope.clone(), ListWatch::new(), sink) {
            Ok(reflector) => Some(Watch { reflector, needed: clock::now(), settled, open }),
            Err(problem) => {
                error!("cannot watch pods: {problem}; failures are told at the time limit only");
                None
            }
        }
    }
}

/// Takes word from a watch of pods, as long as it is `open`: into the cache, and the rollouts concerned
/// are looked at.
pub fn take(floor: &Floor, scope: &Scope, open: &AtomicBool, event: WatchEvent<Pod>) {
    let namespace = scope.namespace();
    // A watch is closed under the same lock.
    let cache = || {
        let pods = floor.pods.write();
        open.load(Ordering::Acquire).then_some(pods)
    };
    // What is known of the pods there says nothing any more.
    let lose = || {
        let now = (floor.clock)();
        if let Some(mut pods) = cache() {
            pods.lose(namespace, now);
        }
    };
    match event {
        WatchEvent::Restarted { items, resource_version } => {
            let now = (floor.clock)();
            let Some(mut pods) = cache() else { return };
            pods.find(namespace, now);
            pods.replace(namespace, items, resource_version);
            drop(pods);
            touch_rollouts(floor, namespace);
        }
        WatchEvent::Applied(pod) => {
            // First the cache, then the question whom it concerns: whoever becomes interested in
            // between finds the pod in the cache.
            let news = cache().and_then(|mut pods| pods.apply(namespace, pod.clone()));
            let Some(news) = news else { return };
            touch(floor, &pod);
            // A pod that changed its labels concerns those that it left as well.
            if let Some(before) = news.before.filter(|before| before.labels != pod.labels) {
                touch(floor, &before);
            }
        }
        WatchEvent::Deleted(pod) => {
            let news = cache().is_some_and(|mut pods| pods.delete(namespace, &pod));
            if news {
                touch(floor, &pod);
            }
        }
        WatchEvent::Synced => {
            let now = (floor.clock)();
            let found = cache().is_some_and(|mut pods| pods.find(namespace, now));
            if found {
                touch_rollouts(floor, namespace);
            }
        }
        WatchEvent::Disconnected { why, retry_in } => {
            lose();
            warn!("{why}; again in {} ms", retry_in.as_millis());
        }
        WatchEvent::Forbidden { error, retry_in } => {
            lose();
            let seconds = retry_in.as_secs();
            warn!("{error}; failures are told at the time limit only; again in {seconds} s");
        }
    }
}

/// All rollouts there should be looked at: the time in which nothing was seen of them is to be taken out
/// of theirs.
pub(super) fn touch_rollouts(floor: &Floor, namespace: Option<&str>) {
    let mut concerned = floor.interest.lock().keys(namespace);
    concerned.sort_unstable();
    concerned.iter().for_each(|key| floor.queue.add_express(key));
}

/// The rollouts that a pod belongs to should be looked at.
fn touch(floor: &Floor, pod: &Pod) {
    let concerned = floor.interest.lock().concerned(pod);
    concerned.iter().for_each(|key| floor.queue.add_express(key));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::nowhere;
    use crate::model::ServiceKey;
    use crate::worker::tests::lone_floor;

    fn keeper(floor: &Arc<Floor>) -> Keeper {
        let workload = crate::model::fixture::workload("web");
        floor.interest.lock().add(&workload.key, &workload.selector);
        Keeper {
            client: nowhere::client(),
            floor: Arc::downgrade(floor),
            open: HashMap::new(),
            cover: Cover::default(),
            refused: Arc::default(),
        }
    }

    #[test]
    fn a_watch_whose_thread_ended_is_opened_anew() {
        let floor = Arc::new(lone_floor());
        let mut keeper = keeper(&floor);
        keeper.adjust();
        assert_eq!(keeper.open.len(), 1);
        keeper.open.values().for_each(|watch| nowhere::end(&watch.reflector));
        keeper.adjust();
        assert_eq!(keeper.open.len(), 1);
        assert!(keeper.open.values().all(|watch| watch.reflector.is_running()));
    }

    #[test]
    fn news_of_a_rollout_does_not_wait_for_all_the_files_that_came_at_once() {
        let floor = lone_floor();
        let web = crate::model::fixture::workload("web");
        floor.interest.lock().add(&web.key, &web.selector);
        for n in 0..9 {
            floor.queue.add(&crate::model::fixture::key(&format!("file-{n}")));
        }
        let pod = crate::model::fixture::pod("web-1", &[("app", "web")]);
        take(&floor, &Scope::Cluster, &AtomicBool::new(true), WatchEvent::Applied(pod));
        let taken = [floor.queue.try_take(), floor.queue.try_take()];
        assert!(taken.contains(&Some(web.key)), "{taken:?}");
    }

    #[test]
    fn of_many_namespaces_only_so_many_are_listed_at_a_time_and_in_the_end_all() {
        let floor = Arc::new(lone_floor());
        let mut keeper = keeper(&floor);
        keeper.cover.refuse(clock::now());
        let selector = crate::model::fixture::workload("web").selector;
        for n in 1..40 {
            let key = ServiceKey::new("web", &format!("ns-{n}")).expect("valid");
            floor.interest.lock().add(&key, &selector);
        }
        for settled in 0..=40 {
            keeper.adjust();
            assert_eq!(keeper.open.len(), 40.min(settled + MOST_UNSETTLED));
            let waits = |watch: &&Watch| !watch.settled.load(Ordering::Acquire);
            if let Some(watch) = keeper.open.values().find(waits) {
                watch.settled.store(true, Ordering::Release);
            }
        }
    }
}
