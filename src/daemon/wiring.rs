//! The only file that knows every edge: it starts them, connects them, and ends them in order.
//!
//! Data flows as the crate's documentation draws it: source → desired → queue → workers → cluster,
//! with the watches feeding the caches and the queue from the other side, and reports leaving by
//! their own thread.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{error, info, warn};
use parking_lot::{Mutex, RwLock};

use super::control::{Answer, Control, Request};
use super::journal::Ledger;
use super::pod_watches::{self, PodWatches};
use super::settings::{Settings, SlackSettings};
use super::start_up::{self, Seen, StartUp};
use crate::clock;
use crate::cluster::{
    Access, Client, ClientOptions, ConnectError, Reflector, Scope, Trust, WatchEvent,
    spawn_reflector,
};
use crate::failpoint::Failpoint;
use crate::model::{Kind, ServiceKey, Workload, shown};
use crate::reconcile::{Gate, Resumed, Service};
use crate::report::delivery::{Delivery, Fate, Parcel};
use crate::source::{FileReport, FolderEvent, FolderState, Source, SourceError, SourceOptions};
use crate::store::{Outgoing, Remembered, Store, StoreError};
use crate::worker::{Floor, Pool};

/// What is in hand may take this long to finish at the end.
const DRAIN_LIMIT: Duration = Duration::from_millis(1000);
/// What waits for its receiver, or to be kept, may take this long at the end.
const REPORT_LIMIT: Duration = Duration::from_millis(400);

/// A running daemon.
pub struct Daemon {
    source: Source,
    floor: Arc<Floor>,
    pool: Pool,
    client: Client,
    workloads: Vec<Reflector>,
    delivery: Option<Arc<Delivery>>,
    store: Option<Arc<Store>>,
    started_up: Receiver<()>,
    control: Option<Control>,
}

/// Why the daemon cannot start; displays as what, where, and what to do.
#[derive(Debug)]
pub enum StartError {
    /// The cluster cannot be spoken to at all.
    Connect(ConnectError),
    /// The folder cannot be watched.
    Source(SourceError),
    /// Another depd runs, or a newer one wrote the state.
    Store(StoreError),
    /// The operating system gives no thread.
    Threads(io::Error),
}

impl Daemon {
    /// Starts everything and returns at once; the cluster need not be reachable yet.
    ///
    /// # Errors
    /// Another depd runs on the same state, bad certificates, a folder that cannot be watched, or no
    /// threads.
    pub fn start(settings: &Settings) -> Result<Daemon, StartError> {
        // First the lock: a second depd has nothing to say but who runs.
        let (ledger, remembered) = open_ledger(settings)?;
        introduce(settings);
        let (store, delivery) = (ledger.store.clone(), ledger.delivery.clone());
        let options =
            ClientOptions { idle_connections: settings.workers + 8, ..ClientOptions::default() };
        let client = Client::new(&settings.access, options).map_err(StartError::Connect)?;
        let (bell, wanted) = PodWatches::new();
        let floor = Arc::new(Floor {
            queue: Default::default(),
            desired: RwLock::default(),
            workloads: RwLock::default(),
            pods: RwLock::default(),
            interest: Mutex::default(),
            gate: Mutex::new(Gate::new(settings.max_rollouts, settings.halt_after)),
            services: Default::default(),
            cluster: Box::new(client.clone()),
            journal: Box::new(ledger),
            interest_changed: Box::new(move || bell.ring()),
            policy: settings.policy.clone(),
            clock: Box::new(clock::now),
            dice: Box::new(dice),
        });
        let services = restore(&floor, &remembered.services);
        let (seen, waits) = start_up::bell();
        let (over, started_up) = bounded(1);
        let start_up = StartUp {
            floor: Arc::clone(&floor),
            client: client.clone(),
            store: store.clone(),
            meta: remembered.meta,
            remembered: services,
            settings: settings.clone(),
            over,
        };
        start_up.begin(waits).map_err(StartError::Threads)?;
        let pool = Pool::start(settings.workers, &floor).map_err(StartError::Threads)?;
        start_timer(&floor).map_err(StartError::Threads)?;
        pod_watches::keep(client.clone(), &floor, wanted).map_err(StartError::Threads)?;
        let workloads = watch_workloads(&client, &floor, &seen).map_err(StartError::Threads)?;
        let source = watch_folder(settings, &floor, seen).map_err(StartError::Source)?;
        let control = settings.state.as_deref().and_then(|folder| listen(folder, &floor));
        Ok(Daemon { source, floor, pool, client, workloads, delivery, store, started_up, control })
    }

    /// Waits until folder and cluster were seen completely and judged.
    pub fn wait_for_start_up(&self) {
        let _ = self.started_up.recv();
    }

    /// Ends everything in order, within a bound of about two seconds: no new work, what is in hand
    /// is finished, what waits is sent and kept. True when all of it was done in time.
    #[must_use]
    pub fn stop(self) -> bool {
        self.floor.queue.close();
        self.workloads.iter().for_each(Reflector::stop);
        // Its name must be gone before the lock of the folder is.
        drop(self.control);
        // A dead network mount can hold the source up for ever; the end does not wait for it.
        let source = self.source;
        let _ = thread::Builder::new().name("source-end".into()).spawn(move || source.stop());
        let drained = self.pool.finish(DRAIN_LIMIT);
        if !drained {
            warn!("requests were still in flight after {} ms", DRAIN_LIMIT.as_millis());
        }
        self.client.shutdown();
        let reported = self.delivery.as_deref().is_none_or(|d| d.finish(REPORT_LIMIT));
        if !reported {
            info!("messages still wait; they are sent at the next start");
        }
        let closed = self.store.as_deref().is_none_or(|store| store.close(REPORT_LIMIT));
        drained && closed
    }
}

/// The store and the delivery, each telling the other what became of messages.
fn open_ledger(settings: &Settings) -> Result<(Ledger, Remembered), StartError> {
    let acknowledge: Arc<OnceLock<Arc<Store>>> = Arc::default();
    let delivery = settings.slack.as_ref().map(|slack| deliver(slack, Arc::clone(&acknowledge)));
    let delivery = delivery.transpose()?.map(Arc::new);
    let Some(folder) = &settings.state else {
        return Ok((Ledger { store: None, delivery }, Remembered::default()));
    };
    let hand_over = delivery.clone();
    let committed = move |message| {
        if let Some(delivery) = &hand_over {
            Failpoint::BeforeMessage.pass();
            delivery.send(parcel(message));
        }
    };
    let (store, mut remembered) = Store::open(folder, committed).map_err(StartError::Store)?;
    let store = Arc::new(store);
    remembered.notes.iter().for_each(|note| warn!("{note}"));
    let _ = acknowledge.set(Arc::clone(&store));
    if let Some(delivery) = &delivery {
        remembered.messages.drain(..).for_each(|message| delivery.send(parcel(message)));
    }
    Ok((Ledger { store: Some(store), delivery }, remembered))
}

/// The standard library seeds its hashers from the operating system.
fn dice() -> u64 {
    RandomState::new().hash_one(0)
}

/// Without a control socket everything else goes on.
fn listen(folder: &Path, floor: &Arc<Floor>) -> Option<Control> {
    let floor = Arc::downgrade(floor);
    let answer = move |request| match (request, floor.upgrade()) {
        (Request::ResumeAll, Some(floor)) => resume_all(&floor),
        (_, None) => Answer { done: false, text: "depd is about to end".to_owned() },
    };
    let name = folder.display();
    Control::start(folder, answer)
        .inspect_err(|error| {
            warn!("no control socket in {name} ({error}): depd resume cannot work")
        })
        .ok()
}

fn resume_all(floor: &Floor) -> Answer {
    let resumed = floor.gate.lock().resume();
    match resumed {
        Resumed::GoesOn(waiting) => {
            waiting.iter().for_each(|key| floor.queue.add(key));
            let text = format!("depd goes on; {} services waited", waiting.len());
            info!("resumed: {text}");
            Answer { done: true, text }
        }
        Resumed::WasNotHalted => {
            Answer { done: true, text: "nothing was halted; depd goes on as before".to_owned() }
        }
        Resumed::HeldOtherwise => Answer {
            done: false,
            text:
                "depd is held for another reason, which its log and its message name: it must be \
                   started anew with what they say (--accept-change or --apply-all)"
                    .to_owned(),
        },
    }
}

fn parcel(message: Outgoing) -> Parcel {
    Parcel { id: Some(message.id), payload: message.payload }
}

/// Puts back what the store remembers; a state that cannot be read is found out again. A rollout
/// that was in flight has its place before any other may start.
pub fn restore(floor: &Floor, services: &[(ServiceKey, String)]) -> HashMap<ServiceKey, Service> {
    let mut remembered = HashMap::with_capacity(services.len());
    for (key, state) in services {
        match serde_json::from_str::<Service>(state) {
            Ok(service) => {
                let service = service.resumed((floor.clock)());
                let woken = floor.gate.lock().note(key, service.has_place());
                debug_assert!(woken.is_empty(), "nobody waits yet");
                floor.services.restore(key.clone(), service.clone());
                remembered.insert(key.clone(), service);
            }
            Err(problem) => warn!("{key}: its state cannot be read ({problem}); it begins anew"),
        }
    }
    remembered
}

fn introduce(settings: &Settings) {
    let Access { origin, context, server, .. } = &settings.access;
    let folder = shown(&settings.deps);
    info!("depd {}: folder {folder}, API server {server}", env!("CARGO_PKG_VERSION"));
    info!("credentials from {origin}, context {context:?}");
    if settings.access.trust == Trust::Unverified {
        warn!("the kubeconfig says insecure-skip-tls-verify: anybody can pretend to be {server}");
    }
    match &settings.slack {
        Some(slack) => info!("messages go to {}", slack.webhook.host()),
        None => info!("no messages: WEBHOOK_FOR_SLACK is not set; this log has everything"),
    }
}

fn deliver(
    slack: &SlackSettings,
    acknowledge: Arc<OnceLock<Arc<Store>>>,
) -> Result<Delivery, StartError> {
    let settled = move |message: u64, fate| match (acknowledge.get(), fate) {
        (Some(store), Fate::Delivered) => {
            Failpoint::AfterMessage.pass();
            store.delivered(message)
        }
        (Some(store), Fate::SetAside(why)) => store.set_aside(message, &why),
        (None, _) => {}
    };
    Delivery::start(slack.webhook.clone(), slack.per_second, settled).map_err(StartError::Threads)
}

fn start_timer(floor: &Arc<Floor>) -> io::Result<()> {
    let floor = Arc::clone(floor);
    thread::Builder::new().name("timer".into()).spawn(move || floor.queue.run_timer()).map(drop)
}

/// Each kind by itself: they have lists, versions and rights of their own.
fn watch_workloads(
    client: &Client,
    floor: &Arc<Floor>,
    seen: &Sender<Seen>,
) -> io::Result<Vec<Reflector>> {
    let watch = |kind: Kind| {
        let (floor, seen) = (Arc::downgrade(floor), seen.clone());
        spawn_reflector::<Workload>(client, kind, Scope::Cluster, move |event| {
            let may_complete =
                matches!(event, WatchEvent::Restarted { .. } | WatchEvent::Forbidden { .. });
            if let Some(floor) = floor.upgrade() {
                take_workload(&floor, kind, event);
                if may_complete && floor.workloads.read().is_synced() {
                    let _ = seen.send(Seen::Cluster);
                }
            }
        })
    };
    Kind::ALL.into_iter().map(watch).collect()
}

/// Takes word from a watch of workloads: into the cache, and who is concerned is looked at.
pub fn take_workload(floor: &Floor, kind: Kind, event: WatchEvent<Workload>) {
    match event {
        WatchEvent::Restarted { items, resource_version } => {
            let known = items.len();
            let (first, mut changed) = {
                let mut cache = floor.workloads.write();
                (!cache.is_listed(kind), cache.replace(kind, items, resource_version))
            };
            changed.sort_unstable();
            if first {
                info!("the cluster has {known} {kind}s");
                add_all(floor);
            } else {
                changed.iter().for_each(|key| touch(floor, key));
            }
        }
        WatchEvent::Applied(workload) => {
            let key = workload.key.clone();
            if floor.workloads.write().stream(workload) {
                touch(floor, &key);
            }
        }
        WatchEvent::Deleted(workload) => {
            if floor.workloads.write().delete(&workload) {
                touch(floor, &workload.key);
            }
        }
        WatchEvent::Synced => {}
        WatchEvent::Disconnected { why, retry_in } => {
            warn!("{why}; again in {} ms", retry_in.as_millis());
        }
        WatchEvent::Forbidden { error, retry_in } => {
            let is_news = floor.workloads.write().deny(kind);
            if kind == Kind::Deployment {
                let seconds = retry_in.as_secs();
                error!("{error}; nothing can be deployed until then; again in {seconds} s");
            } else if is_news {
                warn!("{error}; depd goes on without {kind}s until its role allows them");
                add_all(floor);
            }
        }
    }
}

/// Workloads without a dep file are none of our business.
fn touch(floor: &Floor, key: &ServiceKey) {
    if floor.desired.read().get(key).is_some() {
        floor.queue.add(key);
    }
}

fn add_all(floor: &Floor) {
    let mut keys: Vec<ServiceKey> = floor.desired.read().keys().cloned().collect();
    keys.sort_unstable();
    keys.iter().for_each(|key| floor.queue.add(key));
}

fn watch_folder(
    settings: &Settings,
    floor: &Arc<Floor>,
    seen: Sender<Seen>,
) -> Result<Source, SourceError> {
    let options = SourceOptions {
        poll: settings.poll,
        recursive: settings.recursive,
        strict: settings.strict,
        rules: settings.image_rules.clone(),
        ..SourceOptions::new(settings.deps.clone())
    };
    let floor = Arc::downgrade(floor);
    Source::start(options, move |event| {
        if let FolderEvent::Scanned { .. } = event {
            let _ = seen.send(Seen::Folder);
        } else if let Some(floor) = floor.upgrade() {
            take_folder_event(&floor, event);
        }
    })
}

/// Takes word from the folder: into the register, and its service is looked at.
pub fn take_folder_event(floor: &Floor, event: FolderEvent) {
    match event {
        FolderEvent::File { key, report } => {
            let mut desired = floor.desired.write();
            match report {
                FileReport::Images(images) => desired.images(&key, images),
                FileReport::Problem(problem) => desired.problem(&key, problem),
                FileReport::Gone => desired.gone(&key),
            }
            drop(desired);
            floor.queue.add(&key);
        }
        FolderEvent::Refused { name, problem } => {
            warn!("{name}: {problem}; the file is ignored");
        }
        FolderEvent::State(FolderState::Watching) => info!("the folder is watched"),
        FolderEvent::State(FolderState::Polling { why }) => {
            warn!("the folder is looked at by polling: {why}");
        }
        FolderEvent::State(FolderState::Unreadable { error }) => {
            error!("the folder cannot be read: {error}; what it said before stays in force");
        }
        FolderEvent::Scanned { .. } => {}
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").finish_non_exhaustive()
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Connect(error) => error.fmt(f),
            StartError::Source(error) => error.fmt(f),
            StartError::Store(error) => error.fmt(f),
            StartError::Threads(error) => write!(
                f,
                "cannot start a thread ({error}): raise the limit on processes (ulimit -u) or \
                 lower --workers"
            ),
        }
    }
}

impl std::error::Error for StartError {}
