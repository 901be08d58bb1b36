//! What a daemon with these settings would do now, found out without doing it: `depd plan`. `[E]`
//!
//! It reads the folder and lists the cluster once, gives every service the state that the store
//! remembers, and lets the production code look at it: the same plan, the same steps, the same PATCH,
//! which is only tried ([`Rehearsing`]). Nothing is written, neither to the cluster nor to the store
//! nor to disk, nobody is told anything, and a daemon may be at work beside it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use log::warn;
use parking_lot::{Mutex, RwLock};

use super::cover::{Covers, Place};
use super::grounds::{Grounds, note_read};
use super::parallel::in_parallel;
use super::registry;
use super::settings::Settings;
use super::wiring::restore;
use super::workload_watches::Part;
use crate::clock;
use crate::cluster::{ApiError, Class, Client, ConnectError, Scope, WatchEvent};
use crate::desired::{DesiredState, Register};
use crate::model::{Alert, Kind, ServiceKey, Standing, What, Workload};
use crate::reconcile::{Gate, Service};
use crate::source::{Finding, SourceError, exposure, read_all};
use crate::worker::{Entry, Floor, Journal, Rehearsing, Tried, look};

/// Looks at one service, which are more than the steps before any PATCH.
const LOOKS_MOST: u32 = 12;
/// Between two looks at what somebody else is busy with.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// How often that is looked at again: some seconds.
const BUSY_LOOKS: u32 = 100;

/// What a store remembers; by default nothing.
#[derive(Debug, Default)]
pub struct Past {
    /// States of services.
    pub services: Vec<(ServiceKey, String)>,
    /// Names and values.
    pub meta: BTreeMap<String, String>,
}

/// Folder and cluster as they are, ready to be rehearsed on.
pub struct Rehearsal {
    grounds: Grounds,
    steps: Arc<Rehearsing>,
    /// Everything that a start would hold back, and why.
    pub held: Option<Alert>,
}

/// What would be done about one service.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The service.
    pub key: ServiceKey,
    /// What its file says; `None` without a file.
    pub desired: Option<DesiredState>,
    /// The kind of its workload, where there is one and only one.
    pub kind: Option<Kind>,
    /// Its state before.
    pub before: Service,
    /// Its state after the last look.
    pub after: Service,
    /// What the steps came to.
    pub tried: Tried,
}

/// Why nothing can be said.
#[derive(Debug)]
pub enum RehearsalError {
    /// The cluster cannot be spoken to at all.
    Connect(ConnectError),
    /// The folder cannot be read.
    Source(SourceError),
    /// The cluster does not answer.
    Api(ApiError),
    /// The operating system gives no thread.
    Threads(io::Error),
}

impl Rehearsal {
    /// Reads the folder, lists the cluster, and judges as a start would.
    ///
    /// # Errors
    /// One of the two cannot be seen.
    pub fn prepare(settings: &Settings, past: &Past) -> Result<Rehearsal, RehearsalError> {
        let desired = read_folder(settings).map_err(RehearsalError::Source)?;
        let client = Client::new(&settings.access, settings.client());
        let client = client.map_err(RehearsalError::Connect)?;
        let ecr = registry::open(&settings.registry, &client);
        let reads = registry::runner(&client, ecr.as_ref());
        let steps = Arc::new(Rehearsing::new(client.clone(), reads));
        let floor = Arc::new(floor(settings, desired, Arc::clone(&steps)));
        let remembered = restore(&floor, &past.services);
        see_cluster(&client, &floor, settings.workers)?;
        let (mut meta, settings) = (past.meta.clone(), settings.clone());
        note_read(&mut meta, remembered.len(), past.services.len());
        let grounds = Grounds { floor, meta, remembered, settings };
        let identity = grounds.identity(&client).map_err(RehearsalError::Api)?;
        let objection = grounds.objection(&client, &identity).map_err(RehearsalError::Api)?;
        let standing = Standing::from_meta(&grounds.meta);
        let halted = standing.halted.then_some(Alert::Halted { failures: standing.failures });
        // What is held is shown all the same: what would come if a person says so.
        let waiting = grounds.floor.gate.lock().open();
        debug_assert!(waiting.is_empty(), "nobody has asked yet");
        Ok(Rehearsal { grounds, steps, held: objection.or(halted) })
    }

    /// Every service that has a file or is remembered, sorted as `depd status` sorts them.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceKey> {
        let mut keys: Vec<ServiceKey> = {
            let desired = self.grounds.floor.desired.read();
            let remembered = self.grounds.remembered.iter();
            let managed = remembered.filter(|(_, service)| !service.is_let_go());
            desired.keys().chain(managed.map(|(key, _)| key)).cloned().collect()
        };
        keys.sort_by(|a, b| (a.namespace(), a.service()).cmp(&(b.namespace(), b.service())));
        keys.dedup();
        keys
    }

    /// Rehearses these services.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn perform(&self, keys: &[ServiceKey]) -> Result<Vec<Rehearsed>, RehearsalError> {
        in_parallel(self.grounds.settings.workers, keys, |key| self.rehearse(key))
            .map_err(RehearsalError::Threads)
    }

    fn rehearse(&self, key: &ServiceKey) -> Rehearsed {
        let floor = &self.grounds.floor;
        let cell = floor.services.of(key);
        let before = {
            let mut service = cell.lock();
            forget_requests(&mut service);
            service.clone()
        };
        let (mut looks, mut busy_looks) = (0, 0);
        let tried = loop {
            let steps = self.steps.tried(key).steps;
            look(floor, key);
            looks += 1;
            let tried = self.steps.tried(key);
            if tried.is_busy && busy_looks < BUSY_LOOKS {
                busy_looks += 1;
                thread::sleep(BUSY_PAUSE);
                continue;
            }
            let is_over = tried.patch.is_some() || tried.trouble.is_some() || tried.steps == steps;
            if is_over || looks - busy_looks >= LOOKS_MOST {
                break tried;
            }
        };
        let after = cell.lock().clone();
        let kind = floor.workloads.read().get(key).map(|workload| workload.kind);
        let desired = floor.desired.read().get(key).cloned();
        Rehearsed { key: key.clone(), desired, kind, before, after, tried }
    }
}

/// What requests came to earlier is found out anew. A refusal is not: it stands until the file changes.
fn forget_requests(service: &mut Service) {
    let passes = |what: &What| {
        matches!(what, What::NotPermitted(_) | What::Unreachable(_) | What::RegistryUnready(_))
    };
    service.request_complaint = service.request_complaint.take().filter(|what| !passes(what));
}

/// What every file says, as the daemon would read it at its start.
fn read_folder(settings: &Settings) -> Result<Register, SourceError> {
    let options = settings.source();
    if options.strict
        && let Some(sentence) = exposure(&options.folder)
    {
        return Err(SourceError::Exposed(sentence));
    }
    let mut register = Register::default();
    for file in read_all(&options)? {
        match (file.key, file.finding) {
            (Some(key), Finding::Images(images)) => register.images(&key, images),
            (Some(key), Finding::Problem(problem) | Finding::Unread(problem)) => {
                register.problem(&key, problem);
            }
            (_, Finding::Refused(problem)) if !file.stray => {
                warn!("{}: {problem}; the file is ignored", file.name);
            }
            _ => {}
        }
    }
    Ok(register)
}

fn floor(settings: &Settings, desired: Register, steps: Arc<Rehearsing>) -> Floor {
    Floor {
        queue: Default::default(),
        desired: RwLock::new(desired),
        workloads: RwLock::default(),
        pods: RwLock::default(),
        interest: Mutex::default(),
        retries: Mutex::default(),
        // A bound on rollouts in flight would only hide what comes after them.
        gate: Mutex::new(Gate::new(None, None, Standing::default())),
        services: Default::default(),
        cluster: Box::new(steps),
        journal: Box::new(Silence),
        interest_changed: Box::new(|| {}),
        policy: settings.policy.clone(),
        clock: Box::new(clock::now),
        dice: Box::new(|| 0),
    }
}

/// Lists what the daemon would watch: the namespaces of the files, or the whole cluster where it may.
fn see_cluster(client: &Client, floor: &Floor, workers: usize) -> Result<(), RehearsalError> {
    let mut covers = Covers::default();
    let mut asked: HashSet<Place> = HashSet::new();
    loop {
        let wanted = covers.places(floor.desired.read().namespaces(), clock::now());
        let mut places: Vec<&Place> = wanted.difference(&asked).collect();
        // Of several that fail the same one is told every time.
        places.sort_unstable_by_key(|(kind, scope)| (scope.namespace(), *kind));
        if places.is_empty() {
            return Ok(());
        }
        let listed = in_parallel(workers, &places, |(kind, scope)| {
            let (events, is_refused) = match client.list_workloads(*kind, scope) {
                Ok(listed) => {
                    let resource_version = listed.resource_version.parse().unwrap_or_default();
                    let items = listed.items;
                    let list = WatchEvent::<Workload>::Restarted { items, resource_version };
                    // A look at one moment needs no watch.
                    (vec![list, WatchEvent::Synced], false)
                }
                Err(error) if matches!(error.class, Class::Forbidden(_)) => {
                    let is_wide = *scope == Scope::Cluster;
                    (vec![WatchEvent::Forbidden { error, retry_in: Duration::ZERO }], is_wide)
                }
                Err(error) => return Err(error),
            };
            let open = Arc::new(AtomicBool::new(true));
            let part = Part::new(*kind, scope.clone(), open);
            events.into_iter().for_each(|event| part.take(floor, event));
            Ok(is_refused)
        });
        let listed = listed.map_err(RehearsalError::Threads)?;
        let refused: Result<Vec<bool>, ApiError> = listed.into_iter().collect();
        let refused = refused.map_err(RehearsalError::Api)?;
        for ((kind, _), _) in places.iter().zip(refused).filter(|(_, is_refused)| *is_refused) {
            covers.refuse(*kind, clock::now());
        }
        asked.extend(wanted);
    }
}

/// Keeps nothing and tells nobody.
struct Silence;

impl Journal for Silence {
    fn enter(&self, _entry: Entry<'_>) {}

    fn alert(&self, _alert: &Alert) {}

    fn stands(&self, _standing: &Standing) {}
}

impl fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal").field("held", &self.held).finish_non_exhaustive()
    }
}

impl fmt::Display for RehearsalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RehearsalError::Connect(error) => error.fmt(f),
            RehearsalError::Source(error) => error.fmt(f),
            RehearsalError::Api(error) => error.fmt(f),
            RehearsalError::Threads(error) => write!(
                f,
                "cannot start a thread ({error}): raise the limit on processes (ulimit -u)"
            ),
        }
    }
}

impl std::error::Error for RehearsalError {}
