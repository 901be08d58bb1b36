//! Deployments to change: made, listed, waited for, and taken away.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::api::Api;
use crate::figures::wait_for;

/// What every Deployment runs at first. The fake kubelet lets these two run.
pub const FIRST_IMAGE: &str = "nginx:1.24";
const SECOND_IMAGE: &str = "nginx:1.25";
/// There is no such image, says the fake kubelet.
pub const MISSING_IMAGE: &str = "nginx:missing";

const PER_NAMESPACE: usize = 1000;
/// Connections that set things up.
const SETTERS: usize = 16;

/// The other one of two images: after the first round their ReplicaSets exist, so that the
/// controllers have the same work in every round.
pub fn other(image: &str) -> &'static str {
    if image == FIRST_IMAGE { SECOND_IMAGE } else { FIRST_IMAGE }
}

/// A Deployment with one container that is named like it.
#[derive(Clone, Debug)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// Deployments in namespaces of their own, which go with them.
pub struct Services {
    api: Api,
    namespaces: Vec<String>,
    pub all: Vec<Service>,
}

impl Services {
    /// Makes `count` Deployments and waits until they are as they should be.
    pub fn create(api: &Api, count: usize, replicas: u32) -> Services {
        eprintln!("bench: {count} Deployments, {replicas} pods each");
        let needed = count.div_ceil(PER_NAMESPACE);
        let mut services = Services { api: api.clone(), namespaces: Vec::new(), all: Vec::new() };
        services.namespaces.extend((0..needed).map(|_| create_namespace(api)));
        in_parallel(count, |index| {
            let namespace = &services.namespaces[index / PER_NAMESPACE];
            let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
            api.post(&path, &deployment(&name(index), replicas));
        });
        services.wait_until_settled();
        let mut all = Vec::with_capacity(count);
        for namespace in &services.namespaces {
            all.extend(services.list(namespace).into_iter().map(|item| Service {
                namespace: namespace.clone(),
                name: item.metadata.name,
                uid: item.metadata.uid,
            }));
        }
        assert_eq!(all.len(), count, "every Deployment is there");
        services.all = all;
        services
    }

    /// Waits until the controllers have nothing left to do for any of them.
    pub fn wait_until_settled(&self) {
        self.namespaces.iter().for_each(|namespace| self.wait_until_namespace_settled(namespace));
    }

    /// The same for one namespace.
    pub fn wait_until_namespace_settled(&self, namespace: &str) {
        let (every, limit) = (Duration::from_millis(300), Duration::from_secs(600));
        wait_for("the controllers", every, limit, || {
            self.list(namespace).iter().all(Item::is_settled).then_some(())
        });
    }

    fn list(&self, namespace: &str) -> Vec<Item> {
        self.api.get::<List>(&format!("/apis/apps/v1/namespaces/{namespace}/deployments")).items
    }

    /// Takes everything away and waits until it is gone, so that it disturbs nothing that follows.
    pub fn remove(self) {
        let namespaces = self.namespaces.clone();
        let api = self.api.clone();
        drop(self);
        for namespace in namespaces {
            let path = format!("/api/v1/namespaces/{namespace}");
            let (every, limit) = (Duration::from_millis(200), Duration::from_secs(900));
            wait_for("a namespace to go", every, limit, || api.find(&path).is_none().then_some(()));
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            self.api.delete(&format!("/api/v1/namespaces/{namespace}"));
        }
    }
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    uid: String,
    generation: u64,
}

#[derive(Deserialize)]
struct Spec {
    replicas: u32,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    observed_generation: u64,
    replicas: u32,
    updated_replicas: u32,
    available_replicas: u32,
}

impl Item {
    /// What `kubectl rollout status` calls done.
    fn is_settled(&self) -> bool {
        let (wanted, status) = (self.spec.replicas, &self.status);
        status.observed_generation >= self.metadata.generation
            && [status.replicas, status.updated_replicas, status.available_replicas] == [wanted; 3]
    }
}

const PREFIX: &str = "svc-";
const DIGITS: usize = 5;

fn name(index: usize) -> String {
    format!("{PREFIX}{index:0DIGITS$}")
}

/// Every service that a text names.
pub fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(PREFIX).filter_map(move |(at, _)| {
        let name = text.get(at..at + PREFIX.len() + DIGITS)?;
        name[PREFIX.len()..].bytes().all(|byte| byte.is_ascii_digit()).then_some(name)
    })
}

fn create_namespace(api: &Api) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let name = format!("bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    api.post("/api/v1/namespaces", &object);
    // Pods need it, and the controller that makes it takes its time.
    let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
    let (every, limit) = (Duration::from_millis(20), Duration::from_secs(60));
    wait_for("a service account", every, limit, || api.find(&account));
    name
}

fn deployment(name: &str, replicas: u32) -> serde_json::Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": name, "image": FIRST_IMAGE }] }
            }
        }
    })
}

/// Calls `work` with every number below `count`, from a few threads.
fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..SETTERS.min(count) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    work(index);
                }
            });
        }
    });
}
