//! The controllers and the kubelet: one thread that looks again at whatever changed.
//!
//! It sleeps until the store has a change that it has not seen or a timer runs out; it never polls.
//! Each look is one step under the store's lock. Between a write of a client and the look at it lies
//! [`Paces::lag`], as in a real cluster, so that clients meet the states in between.

mod conditions;
mod deployment;
mod namespace;
mod replicaset;
mod rolling;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::kubelet::{self, Pace, Step};
use super::object::{self, DeleteOptions, Write};
use super::resources::{DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS};
use super::shared::Shared;
use super::store::{Change, Key, Object, Store};
use super::wall::Wall;

/// How fast the cluster is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paces {
    pub(super) kubelet: Pace,
    /// From a change until a controller looks at it.
    pub(super) lag: Duration,
}

/// What waits to be looked at, and when.
struct Agenda {
    paces: Paces,
    ca_pem: String,
    timers: BTreeSet<(Instant, Key)>,
    /// The one entry of each key in `timers`.
    due: HashMap<Key, Instant>,
    /// What the kubelet last saw of each pod, so that only changes of it start its clock anew.
    pods: HashMap<Key, u64>,
}

/// The body of the controllers' thread; returns when the sandbox stops.
pub(super) fn run(shared: &Shared, paces: Paces) {
    let mut agenda = Agenda {
        paces,
        ca_pem: shared.authority.ca_pem().to_owned(),
        timers: BTreeSet::new(),
        due: HashMap::new(),
        pods: HashMap::new(),
    };
    while let Some(changes) = shared.next_changes(agenda.next()) {
        let write = Write { now: Wall::now(), dry_run: false };
        for change in changes {
            shared.write(|store| agenda.note(store, &change, write));
        }
        while let Some(key) = agenda.pop(Instant::now()) {
            let write = Write { now: Wall::now(), dry_run: false };
            shared.write(|store| agenda.look(store, &key, write));
            if shared.is_stopping() {
                return;
            }
        }
    }
}

impl Agenda {
    /// When the next timer runs out.
    fn next(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn pop(&mut self, now: Instant) -> Option<Key> {
        let (at, _) = self.timers.first()?;
        if *at > now {
            return None;
        }
        let (_, key) = self.timers.pop_first()?;
        self.due.remove(&key);
        Some(key)
    }

    /// Looks at a key at a time, whatever was planned for it.
    fn plan(&mut self, key: Key, at: Instant) {
        if let Some(before) = self.due.insert(key.clone(), at) {
            self.timers.remove(&(before, key.clone()));
        }
        self.timers.insert((at, key));
    }

    /// Looks at a key after a while, or sooner if that was planned.
    fn within(&mut self, key: Key, wait: Duration) {
        let at = Instant::now() + wait;
        if self.due.get(&key).is_none_or(|before| *before > at) {
            self.plan(key, at);
        }
    }

    /// Decides who must look again because of a change.
    fn note(&mut self, store: &mut Store, change: &Change, write: Write) {
        let lag = self.paces.lag;
        let key = &change.key;
        match key.resource {
            PODS => self.note_pod(change),
            DEPLOYMENTS | REPLICA_SETS | NAMESPACES => self.within(key.clone(), lag),
            _ => {}
        }
        for object in [&change.before, &change.after].into_iter().flatten() {
            if let Some(owner) = owner(key, object) {
                self.within(owner, lag);
            }
        }
        match (&change.before, &change.after) {
            (Some(gone), None) => {
                namespace::collect(store, gone, write);
                if key.resource.row().namespaced {
                    self.within(Key::new(NAMESPACES, "", &key.namespace), lag);
                }
            }
            _ => namespace::cascade(store, change, write),
        }
    }

    /// The kubelet's clock for a pod starts when its containers got where they are.
    fn note_pod(&mut self, change: &Change) {
        let Some(pod) = &change.after else {
            self.pods.remove(&change.key);
            return;
        };
        let seen = fingerprint(pod);
        if self.pods.insert(change.key.clone(), seen) == Some(seen) {
            return;
        }
        if let Some(wait) = kubelet::due(pod, self.paces.kubelet) {
            self.plan(change.key.clone(), Instant::now() + wait);
        }
    }

    fn look(&mut self, store: &mut Store, key: &Key, write: Write) {
        let again = match key.resource {
            DEPLOYMENTS => deployment::sync(store, key, write),
            REPLICA_SETS => replicaset::sync(store, key, write),
            PODS => {
                advance(store, key, write);
                None
            }
            _ => {
                namespace::sync(store, key, &self.ca_pem, write);
                None
            }
        };
        if let Some(wait) = again {
            self.within(key.clone(), wait);
        }
    }
}

/// The kubelet's part: the pod's next step.
fn advance(store: &mut Store, key: &Key, write: Write) {
    let Some(pod) = store.get(key).cloned() else { return };
    match kubelet::step(&pod, write.now) {
        // Status and node come from the kubelet and the scheduler, past the rules for clients.
        Step::Change(next) => drop(store.put(key.clone(), next)),
        Step::Gone => {
            let now = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
            // Gone already, or held by a finalizer: nothing left for the kubelet to do.
            drop(object::delete(store, key, &now, write));
        }
    }
}

/// Who is told about a change of a dependent.
fn owner(key: &Key, object: &Object) -> Option<Key> {
    match key.resource {
        REPLICA_SETS => deployment::owner_deployment(object),
        PODS => {
            let name = deployment::controller_of(object, "ReplicaSet")?;
            Some(Key::new(REPLICA_SETS, &key.namespace, &name))
        }
        _ => None,
    }
}

/// What decides about a pod's next step, as a number.
fn fingerprint(pod: &Value) -> u64 {
    let parts = [
        "/metadata/uid",
        "/metadata/deletionTimestamp",
        "/spec/nodeName",
        "/status/initContainerStatuses",
        "/status/containerStatuses",
    ];
    let mut hasher = DefaultHasher::new();
    for part in parts {
        pod.pointer(part).map(Value::to_string).hash(&mut hasher);
    }
    hasher.finish()
}
