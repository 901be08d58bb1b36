//! The only file that knows every edge: it starts them, connects them, and ends them in order.
//!
//! Data flows as the crate's documentation draws it: source → desired → queue → workers → cluster,
//! with the watches feeding the caches and the queue from the other side, and reports leaving by
//! their own thread.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use log::{error, info, warn};
use parking_lot::{Mutex, RwLock};

use super::logging::log_notice;
use super::pod_watches::{self, PodWatches};
use super::settings::{Settings, SlackSettings};
use crate::cluster::{
    Access, Client, ClientOptions, ConnectError, Reflector, Scope, Trust, WatchEvent,
    spawn_reflector,
};
use crate::model::{Notice, ServiceKey, Workload};
use crate::report::delivery::Delivery;
use crate::report::slack;
use crate::report::words::words;
use crate::source::{FileReport, FolderEvent, FolderState, Source, SourceError, SourceOptions};
use crate::worker::{Floor, Pool};

/// What is in hand may take this long to finish at the end.
const DRAIN_LIMIT: Duration = Duration::from_millis(1000);
/// What waits for its receiver may take this long at the end.
const REPORT_LIMIT: Duration = Duration::from_millis(500);

/// A running daemon.
pub struct Daemon {
    source: Source,
    floor: Arc<Floor>,
    pool: Pool,
    client: Client,
    workloads: Reflector,
    delivery: Option<Arc<Delivery>>,
}

/// Why the daemon cannot start; displays as what, where, and what to do.
#[derive(Debug)]
pub enum StartError {
    /// The cluster cannot be spoken to at all.
    Connect(ConnectError),
    /// The folder cannot be watched.
    Source(SourceError),
    /// The operating system gives no thread.
    Threads(io::Error),
}

impl Daemon {
    /// Starts everything and returns at once; the cluster need not be reachable yet.
    ///
    /// # Errors
    /// Bad certificates, a folder that cannot be watched, or no threads.
    pub fn start(settings: &Settings) -> Result<Daemon, StartError> {
        introduce(settings);
        let options =
            ClientOptions { idle_connections: settings.workers + 8, ..ClientOptions::default() };
        let client = Client::new(&settings.access, options).map_err(StartError::Connect)?;
        let delivery = settings.slack.as_ref().map(deliver).transpose()?.map(Arc::new);
        let (bell, wanted) = PodWatches::new();
        let floor = Arc::new(Floor {
            queue: Default::default(),
            desired: RwLock::default(),
            workloads: RwLock::default(),
            pods: RwLock::default(),
            interest: Mutex::default(),
            services: Default::default(),
            cluster: Box::new(client.clone()),
            tell: Box::new(teller(delivery.clone())),
            interest_changed: Box::new(move || bell.ring()),
            timeout: settings.timeout,
        });
        let pool = Pool::start(settings.workers, &floor).map_err(StartError::Threads)?;
        start_timer(&floor).map_err(StartError::Threads)?;
        pod_watches::keep(client.clone(), &floor, wanted).map_err(StartError::Threads)?;
        let workloads = watch_workloads(&client, &floor).map_err(StartError::Threads)?;
        let source = watch_folder(settings, &floor).map_err(StartError::Source)?;
        Ok(Daemon { source, floor, pool, client, workloads, delivery })
    }

    /// Ends everything in order, within a bound of about two seconds: no new work, what is in hand
    /// is finished, messages that wait are sent. True when all of it was done in time.
    #[must_use]
    pub fn stop(self) -> bool {
        self.source.stop();
        self.floor.queue.close();
        self.workloads.stop();
        let drained = self.pool.finish(DRAIN_LIMIT);
        if !drained {
            warn!("requests were still in flight after {} ms", DRAIN_LIMIT.as_millis());
        }
        self.client.shutdown();
        let reported = self.delivery.as_deref().is_none_or(|d| d.finish(REPORT_LIMIT));
        if !reported {
            warn!("messages to Slack were still waiting; the log has them all");
        }
        drained && reported
    }
}

fn introduce(settings: &Settings) {
    let Access { origin, context, server, .. } = &settings.access;
    let folder = settings.deps.display();
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

fn deliver(slack: &SlackSettings) -> Result<Delivery, StartError> {
    Delivery::start(slack.webhook.clone(), slack.per_second).map_err(StartError::Threads)
}

/// What workers tell goes to the log, and to Slack where it is loud enough.
fn teller(delivery: Option<Arc<Delivery>>) -> impl Fn(Notice) + Send + Sync {
    move |notice| {
        let words = words(&notice);
        log_notice(&notice, &words);
        if let (Some(delivery), Some(message)) = (&delivery, slack::payload(&notice, &words)) {
            delivery.send(message);
        }
    }
}

fn start_timer(floor: &Arc<Floor>) -> io::Result<()> {
    let floor = Arc::clone(floor);
    thread::Builder::new().name("timer".into()).spawn(move || floor.queue.run_timer()).map(drop)
}

fn watch_workloads(client: &Client, floor: &Arc<Floor>) -> io::Result<Reflector> {
    let floor = Arc::downgrade(floor);
    spawn_reflector::<Workload>(client, Scope::Cluster, move |event| {
        if let Some(floor) = floor.upgrade() {
            take_workload(&floor, event);
        }
    })
}

fn take_workload(floor: &Floor, event: WatchEvent<Workload>) {
    match event {
        WatchEvent::Restarted { items, resource_version } => {
            let first = !floor.workloads.read().is_synced();
            let known = items.len();
            let changed = floor.workloads.write().replace(items, resource_version);
            if first {
                info!("the cluster has {known} Deployments");
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
            if floor.workloads.write().delete(&workload.key, workload.resource_version) {
                touch(floor, &workload.key);
            }
        }
        WatchEvent::Synced => {}
        WatchEvent::Disconnected { why, retry_in } => {
            warn!("{why}; again in {} ms", retry_in.as_millis());
        }
        WatchEvent::Forbidden { error, retry_in } => {
            error!(
                "{error}; nothing can be deployed until then; again in {} s",
                retry_in.as_secs()
            );
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
    let keys: Vec<ServiceKey> = floor.desired.read().keys().cloned().collect();
    keys.iter().for_each(|key| floor.queue.add(key));
}

fn watch_folder(settings: &Settings, floor: &Arc<Floor>) -> Result<Source, SourceError> {
    let options = SourceOptions {
        poll: settings.poll,
        rules: settings.image_rules.clone(),
        ..SourceOptions::new(settings.deps.clone())
    };
    let floor = Arc::downgrade(floor);
    let mut first_scan = true;
    Source::start(options, move |event| {
        if let FolderEvent::Scanned { files } = event {
            if std::mem::take(&mut first_scan) {
                info!("the folder has {files} dep files");
            }
        } else if let Some(floor) = floor.upgrade() {
            take_folder_event(&floor, event);
        }
    })
}

fn take_folder_event(floor: &Floor, event: FolderEvent) {
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
            StartError::Threads(error) => write!(
                f,
                "cannot start a thread ({error}): raise the limit on processes (ulimit -u) or \
                 lower --workers"
            ),
        }
    }
}

impl std::error::Error for StartError {}
