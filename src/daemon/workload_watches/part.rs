//! What one watch of workloads tells, taken into the cache. `[E]`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{debug, error, info, warn};
use parking_lot::RwLockWriteGuard;

use crate::cluster::{ApiError, Scope, WatchEvent};
use crate::daemon::cover::Place;
use crate::daemon::pod_watches::touch_rollouts;
use crate::model::{Kind, ServiceKey, Workload};
use crate::observed::{Sight, Unopened, Workloads};
use crate::worker::Floor;

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

    /// Its kind and scope.
    #[must_use]
    pub fn place(&self) -> Place {
        (self.kind, self.scope.clone())
    }

    /// Into the cache, and who is concerned is looked at.
    pub fn take(&self, floor: &Floor, event: WatchEvent<Workload>) {
        let scope = self.scope.namespace();
        match event {
            WatchEvent::Restarted { items, resource_version } => {
                let now = (floor.clock)();
                let Some(mut cache) = self.cache(floor) else { return };
                cache.await_watch(self.kind, scope);
                let found = cache.find(self.kind, scope, now);
                let mut changed = cache.replace(self.kind, scope, items, resource_version);
                // All of those are looked at when the last watch that they wait for is open.
                changed.retain(|key| cache.sight(key.namespace()) != Sight::Unseen);
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
                let Some(mut cache) = self.cache(floor) else { return };
                let news = cache.stream(scope, workload);
                drop(cache);
                if news {
                    touch(floor, &key);
                }
            }
            WatchEvent::Deleted(workload) => {
                let Some(mut cache) = self.cache(floor) else { return };
                let news = cache.delete(scope, &workload);
                drop(cache);
                if news {
                    touch(floor, &workload.key);
                }
            }
            WatchEvent::Synced => {
                let now = (floor.clock)();
                let Some(mut cache) = self.cache(floor) else { return };
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

    /// The cache, unless this watch was closed, which is done under the same lock.
    fn cache<'a>(&self, floor: &'a Floor) -> Option<RwLockWriteGuard<'a, Workloads>> {
        let cache = floor.workloads.write();
        self.open.load(Ordering::Acquire).then_some(cache)
    }

    /// From now on time says nothing about the rollouts there.
    fn lose(&self, floor: &Floor) {
        let now = (floor.clock)();
        if let Some(mut cache) = self.cache(floor) {
            cache.lose(self.kind, self.scope.namespace(), now);
        }
    }

    fn refused(&self, floor: &Floor, error: &ApiError) {
        let (kind, scope) = (self.kind, self.scope.namespace());
        let why = match scope {
            Some(namespace) => {
                format!("the namespace {namespace} is missing or not permitted: {error}")
            }
            None => error.to_string(),
        };
        let Some(mut cache) = self.cache(floor) else { return };
        let news = cache.refuse(kind, scope, &why);
        let is_one_of_many = scope.is_some() && cache.is_refused(kind, None);
        drop(cache);
        if !news {
            return;
        }
        match (kind, scope) {
            (_, None) => warn!("{why}; each namespace is watched on its own instead"),
            (Kind::Deployment, Some(_)) => {
                error!("{why}; nothing can be deployed there until then");
            }
            // How many there are is told when all of them were asked.
            (_, Some(_)) if is_one_of_many => debug!("{error}"),
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
        floor.queue.add_express(key);
    }
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
