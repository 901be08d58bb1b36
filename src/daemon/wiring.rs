//! The only file that knows every edge: it starts them, connects them, and ends them in order.
//!
//! Data flows as the crate's documentation draws it: source → desired → queue → workers → cluster,
//! with the watches feeding the caches and the queue from the other side, and reports leaving by
//! their own thread.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use log::{error, info, warn};
use parking_lot::{Mutex, RwLock};

use super::authors::Authors;
use super::control::Control;
use super::grounds::{self, Grounds};
use super::http::Probes;
use super::idle;
use super::introduce;
use super::journal::Ledger;
use super::pod_watches::{self, PodWatches};
use super::progress::{Bell, Progress};
use super::receivers::{self, Outbox, Receivers};
use super::registry;
use super::requests;
use super::resync;
use super::service_manager::ServiceManager;
use super::settings::Settings;
use super::sight::{self, Scene};
use super::signals;
use super::start_up::{self, Seen, StartUp};
use super::survey::Survey;
use super::workload_watches::{self, WorkloadWatches};
use crate::clock;
use crate::cluster::{Access, Client, ConnectError};
use crate::model::{ServiceKey, Standing};
use crate::reconcile::{Gate, Service};
use crate::source::{FileReport, FolderEvent, FolderState, Source, SourceError};
use crate::store::{
    Lock, Remembered, STATES_LOST, Saved, ServiceChange, Store, StoreError, lock_instead,
};
use crate::worker::{Floor, Pool};

/// What is in hand may take this long to finish at the end.
const DRAIN_LIMIT: Duration = Duration::from_millis(1000);
/// What waits for its receiver, or to be kept, may take this long at the end.
const REPORT_LIMIT: Duration = Duration::from_millis(400);

/// A running daemon.
pub struct Daemon {
    /// Pull secrets are renewed until this is dropped.
    _renewals: Option<Sender<()>>,
    source: Source,
    floor: Arc<Floor>,
    pool: Pool,
    client: Client,
    workloads: WorkloadWatches,
    receivers: Arc<Receivers>,
    store: Option<Arc<Store>>,
    /// On the dep folder, where the state folder cannot be used.
    _lock: Option<Lock>,
    started_up: Receiver<()>,
    bell: Bell,
    _probes: Option<Probes>,
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
    /// The address for probes cannot be listened on.
    Http(SocketAddr, io::Error),
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
        let clients: Arc<OnceLock<Client>> = Arc::default();
        let (ledger, mut remembered, _lock) = open_ledger(settings, &clients)?;
        introduce::introduce(settings);
        let (store, receivers) = (ledger.store.clone(), Arc::clone(&ledger.receivers));
        let (authors, steps) = (Arc::clone(&ledger.authors), ledger.bell.clone());
        let client = Client::new(&settings.access, settings.client());
        let client = client.map_err(StartError::Connect)?;
        let ecr = registry::open(&settings.registry, &client);
        let _ = clients.set(client.clone());
        let (bell, wanted) = PodWatches::new();
        let floor = Arc::new(Floor {
            queue: Default::default(),
            desired: RwLock::default(),
            workloads: RwLock::default(),
            pods: RwLock::default(),
            interest: Mutex::default(),
            retries: Mutex::default(),
            gate: Mutex::new(Gate::new(
                settings.max_rollouts,
                settings.halt_after,
                Standing::from_meta(&remembered.meta),
            )),
            services: Default::default(),
            cluster: registry::runner(&client, ecr.as_ref()),
            journal: Box::new(ledger),
            interest_changed: Box::new(move || bell.ring()),
            policy: settings.policy.clone(),
            clock: Box::new(clock::now),
            dice: Box::new(dice),
        });
        let services = restore(&floor, &remembered.services);
        forget_unread(&mut remembered, &services, store.as_deref());
        let (seen, waits) = start_up::bell();
        let (over, started_up) = bounded(1);
        let grounds = Grounds {
            floor: Arc::clone(&floor),
            meta: remembered.meta,
            remembered: services,
            settings: settings.clone(),
        };
        let start_up =
            StartUp { grounds, client: client.clone(), store: store.clone(), over: Some(over) };
        start_up.begin(waits).map_err(StartError::Threads)?;
        let pool = Pool::start(settings.workers, &floor).map_err(StartError::Threads)?;
        start_timer(&floor).map_err(StartError::Threads)?;
        resync::begin(&floor).map_err(StartError::Threads)?;
        idle::begin(client.clone(), &floor).map_err(StartError::Threads)?;
        pod_watches::keep(client.clone(), &floor, wanted).map_err(StartError::Threads)?;
        let renewals = ecr.filter(|_| settings.registry.pull_secret);
        let renewals = renewals.map(|ecr| registry::keep(&ecr, &floor));
        let _renewals = renewals.transpose().map_err(StartError::Threads)?;
        let (workloads, words) = WorkloadWatches::new();
        workload_watches::keep(client.clone(), &floor, words, seen.clone())
            .map_err(StartError::Threads)?;
        let source = watch_folder(settings, &floor, authors, seen, workloads.clone())
            .map_err(StartError::Source)?;
        let control = settings.state.as_deref().and_then(|folder| requests::listen(folder, &floor));
        let in_sight = Arc::clone(&workloads.sight);
        let _probes = sight::answer_probes(settings, &floor, &started_up, in_sight)
            .map_err(|(address, error)| StartError::Http(address, error))?;
        Ok(Daemon {
            _renewals,
            source,
            floor,
            pool,
            client,
            workloads,
            receivers,
            store,
            _lock,
            started_up,
            bell: steps,
            control,
            _probes,
        })
    }

    /// Folder and cluster were seen completely and judged.
    #[must_use]
    pub fn has_started_up(&self) -> bool {
        // One word, and then the sender is gone: either way there is nothing more to wait for.
        !matches!(self.started_up.try_recv(), Err(TryRecvError::Empty))
    }

    /// Why this daemon must end although nobody asked for it.
    #[must_use]
    pub fn must_end(&self) -> Option<StoreError> {
        self.store.as_ref().and_then(|store| store.taken_over())
    }

    /// Where everything stands.
    #[must_use]
    pub fn survey(&self) -> Survey {
        Survey::of(&self.floor)
    }

    /// The rollouts in flight, for somebody who watches.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress::new(&self.floor, self.bell.clone())
    }

    /// Tells the service manager that the daemon works, and from now on that it still does.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn report_to(&self, manager: &ServiceManager) -> Result<(), StartError> {
        manager.ready();
        manager.watch_over(&self.floor).map_err(StartError::Threads)
    }

    /// From now on a take-over of the state folder does not ask this process to end: it does already, and
    /// a second request would cut that short.
    pub fn expect_end(&self) {
        if let Some(store) = &self.store {
            store.when_taken_over(|| ());
        }
    }

    /// Ends everything in order, within a bound of about two seconds: no new work, what is in hand
    /// is finished, what waits is sent and kept. True when all of it was done in time.
    ///
    /// # Errors
    /// Another depd has taken the state folder over, before this or meanwhile.
    pub fn stop(self) -> Result<bool, StoreError> {
        self.expect_end();
        self.floor.queue.close();
        self.workloads.end();
        // Its name must be gone before the lock of the folder is.
        drop(self.control);
        // A dead network mount can hold the source up for ever; the end does not wait for it.
        let source = self.source;
        let _ = thread::Builder::new().name("source-end".into()).spawn(move || source.stop());
        let drained = self.pool.finish(DRAIN_LIMIT);
        if !drained {
            warn!("requests were still in flight after {} ms", DRAIN_LIMIT.as_millis());
        }
        let reported = self.receivers.finish(REPORT_LIMIT);
        self.client.shutdown();
        let store = self.store.as_deref();
        let closed = store.is_none_or(|store| store.close(REPORT_LIMIT));
        let taken_over = store.and_then(Store::taken_over);
        if !reported {
            match store.filter(|store| store.keeps()) {
                None => warn!("messages still wait, and without a store they are lost"),
                Some(_) if taken_over.is_some() => {
                    warn!("messages still wait, and with the state folder they are lost");
                }
                Some(_) if closed => info!("messages still wait; they are sent at the next start"),
                Some(_) => warn!(
                    "messages still wait; those that are in the store are sent at the next start, and \
                     what could not be saved is lost"
                ),
            }
        }
        match taken_over {
            Some(why) => Err(why),
            None => Ok(drained && closed),
        }
    }
}

/// The store and the receivers, each telling the other what became of messages.
fn open_ledger(
    settings: &Settings,
    client: &Arc<OnceLock<Client>>,
) -> Result<(Ledger, Remembered, Option<Lock>), StartError> {
    let mut lock = None;
    let host = receivers::host();
    let start = |outbox: Option<&Outbox<'_>>| {
        let started = Receivers::start(&settings.receivers, outbox, client, &host);
        started.map(Arc::new).map_err(StartError::Threads)
    };
    let (store, receivers, remembered) = match &settings.state {
        None => (None, start(None)?, Remembered::default()),
        Some(folder) => {
            let slot: Arc<OnceLock<Arc<Receivers>>> = Arc::default();
            let told = Arc::clone(&slot);
            let committed = move |message| {
                if let Some(receivers) = told.get() {
                    receivers.committed(message);
                }
            };
            let (store, remembered) = Store::open(folder, committed).map_err(StartError::Store)?;
            if !store.is_locked() {
                lock = lock_instead(&settings.deps).map_err(StartError::Store)?;
            }
            store.when_taken_over(signals::ask_to_stop);
            let store = Arc::new(store);
            remembered.notes.iter().for_each(|note| warn!("{note}"));
            let receivers = start(Outbox::of(&store, folder, remembered.last_message).as_ref())?;
            // Before anything can be saved.
            let _ = slot.set(Arc::clone(&receivers));
            (Some(store), receivers, remembered)
        }
    };
    let authors = Arc::new(Authors::new(settings.deps.clone()));
    let cluster = cluster_name(settings);
    let bell = Bell::default();
    Ok((Ledger { store, receivers, authors, host, cluster, bell }, remembered, lock))
}

fn cluster_name(settings: &Settings) -> String {
    let Access { context, server, .. } = &settings.access;
    match &settings.cluster_name {
        Some(name) => name.clone(),
        None if context.is_empty() => server.to_string(),
        None => context.to_string(),
    }
}

/// The standard library seeds its hashers from the operating system.
fn dice() -> u64 {
    RandomState::new().hash_one(0)
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

/// What cannot be read goes, and that something went stays until a start was judged by it.
fn forget_unread(
    remembered: &mut Remembered,
    read: &HashMap<ServiceKey, Service>,
    store: Option<&Store>,
) {
    grounds::note_read(&mut remembered.meta, read.len(), remembered.services.len());
    let Some(store) = store.filter(|_| read.len() < remembered.services.len()) else { return };
    store.set_meta(STATES_LOST, &remembered.meta[STATES_LOST]);
    let keys = remembered.services.iter().map(|(key, _)| key);
    for key in keys.filter(|key| !read.contains_key(*key)) {
        store.save(Saved { service: Some(ServiceChange::Remove), ..Saved::of(key.clone()) });
    }
}

fn start_timer(floor: &Arc<Floor>) -> io::Result<()> {
    let floor = Arc::clone(floor);
    thread::Builder::new().name("timer".into()).spawn(move || floor.queue.run_timer()).map(drop)
}

fn watch_folder(
    settings: &Settings,
    floor: &Arc<Floor>,
    authors: Arc<Authors>,
    seen: Sender<Seen>,
    watches: WorkloadWatches,
) -> Result<Source, SourceError> {
    let floor = Arc::downgrade(floor);
    Source::start(settings.source(), move |event| {
        if let FolderEvent::State(state) = &event {
            match state {
                FolderState::Unreadable { .. } => watches.sight.lost(Scene::Folder, clock::now()),
                _ => watches.sight.found(&Scene::Folder),
            }
        }
        if let FolderEvent::Scanned { .. } = event {
            let _ = seen.send(Seen::Folder);
            watches.folder_read();
        } else if let Some(floor) = floor.upgrade() {
            if let FolderEvent::File { key, .. } = &event {
                authors.note(key);
            }
            if take_folder_event(&floor, event) {
                watches.namespaces_changed();
            }
            // Nobody listens any more once start-up is over.
            let _ = seen.send(Seen::File);
        }
    })
}

/// Takes word from the folder: into the register, and its service is looked at. True when a namespace
/// is named for the first time, or by no file any more.
pub fn take_folder_event(floor: &Floor, event: FolderEvent) -> bool {
    match event {
        FolderEvent::File { key, report } => {
            let mut desired = floor.desired.write();
            let namespaces = desired.namespaces().len();
            match report {
                FileReport::Images(images) => desired.images(&key, images),
                FileReport::Problem(problem) => desired.problem(&key, problem),
                FileReport::Gone => desired.gone(&key),
            }
            // One file makes one namespace more or less, or none.
            let changed = desired.namespaces().len() != namespaces;
            drop(desired);
            floor.queue.add(&key);
            return changed;
        }
        FolderEvent::Refused { name, problem } => {
            warn!("{name}: {problem}; the file is ignored");
        }
        FolderEvent::State(FolderState::Watching) => info!("the folder is watched"),
        FolderEvent::State(FolderState::Polling { why }) => {
            warn!("the folder is looked at by polling: {why}");
        }
        FolderEvent::State(FolderState::Unreadable { error }) => {
            error!("the folder is not read: {error}; what it said before stays in force");
        }
        FolderEvent::Scanned { .. } => {}
    }
    false
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
            StartError::Http(address, error) => {
                write!(f, "cannot listen on {address} ({error}): choose another --http")
            }
            StartError::Threads(error) => write!(
                f,
                "cannot start a thread ({error}): raise the limit on processes (ulimit -u) or \
                 lower --workers"
            ),
        }
    }
}

impl std::error::Error for StartError {}
