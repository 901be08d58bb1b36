//! The simulated API server: objects, versions, their history, and what the world does to them.
//!
//! It is the twin of a real one in what depd can notice: an object changes only with a new resource
//! version, a spec with a new generation; a guarded PATCH applies as a whole or not at all; a watch
//! from a version that was compacted away is refused. The controllers are in `controller.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use depd::cluster::Class;
use depd::model::{
    Container, ImagePatch, Kind, NamespaceState, Pod, Replicas, Selector, SelectorRule, ServiceKey,
    Strategy, Workload,
};

use crate::sabotage::Sabotage;

/// What becomes of pods with an image, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They become available.
    Good,
    /// The registry does not have it, until it is healed.
    Missing,
    /// They crash, until it is healed.
    Crash,
    /// They are never ready, until it is healed.
    Hang,
    /// Admission refuses it.
    Denied,
    /// Admission pins it to a digest.
    Pinned,
}

pub fn fate(image: &str) -> Fate {
    match image.split(':').next().unwrap_or_default() {
        "missing" => Fate::Missing,
        "crash" => Fate::Crash,
        "hang" => Fate::Hang,
        "denied" => Fate::Denied,
        "pinned" => Fate::Pinned,
        _ => Fate::Good,
    }
}

/// Of six services one is a StatefulSet, one a DaemonSet.
fn kind_of(key: &ServiceKey) -> Kind {
    match key.service() {
        "svc-3" => Kind::StatefulSet,
        "svc-4" => Kind::DaemonSet,
        _ => Kind::Deployment,
    }
}

/// The API server itself numbers the templates of a DaemonSet; other kinds' controllers do it later.
fn number_template(workload: &mut Workload) {
    if workload.kind == Kind::DaemonSet {
        workload.revision = Some(new_hash(workload).into());
    }
}

/// What the pods of this template are told by; of a namesake that was there before they are others.
pub fn new_hash(workload: &Workload) -> String {
    format!("h{}-{}", workload.uid, workload.generation)
}

/// The image as a file asks for it, of an image as the server stores it.
pub fn asked(stored: &str) -> &str {
    stored.split('@').next().unwrap_or_default()
}

/// A Deployment with its pods.
#[derive(Clone, Debug)]
pub struct Object {
    pub workload: Workload,
    /// The template hash of the current ReplicaSet, once the controller has made it.
    pub hash: String,
    /// The image that it is for.
    pub template: Box<str>,
    pub pods: BTreeMap<String, Pod>,
    /// Ready pods of the current ReplicaSet.
    pub new_ready: i32,
}

/// Something that a watch tells.
#[derive(Clone, Debug)]
pub enum Seen {
    Workload(Workload),
    WorkloadGone(Workload),
    Pod(Pod),
    PodGone(Pod),
}

/// What is listed and watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In this namespace, or in all.
    Workloads(Kind, Option<String>),
    Pods(Option<String>),
}

impl Scope {
    fn covers(&self, seen: &Seen) -> bool {
        let of = |namespace: &Option<String>, own: &str| {
            namespace.as_ref().is_none_or(|name| name == own)
        };
        match (self, seen) {
            (Scope::Workloads(kind, namespace), Seen::Workload(w) | Seen::WorkloadGone(w)) => {
                w.kind == *kind && of(namespace, w.key.namespace())
            }
            (Scope::Pods(namespace), Seen::Pod(pod) | Seen::PodGone(pod)) => {
                of(namespace, &pod.namespace)
            }
            _ => false,
        }
    }
}

#[derive(Debug)]
pub struct Cluster {
    pub version: u64,
    compacted: u64,
    uids: u64,
    pub namespaces: BTreeMap<String, NamespaceState>,
    pub objects: BTreeMap<ServiceKey, Object>,
    history: Vec<(u64, Seen)>,
    /// Images that work by now although their names say otherwise.
    pub healed: BTreeSet<String>,
    /// The controllers stand still.
    pub stalled: bool,
    /// PATCHes under way whose sender died or gave up.
    pub wire: Vec<ImagePatch>,
    /// Where such a PATCH found the very image that it was meant for, perhaps once more: no guard
    /// of the image can tell.
    pub unforeseen: BTreeSet<ServiceKey>,
    /// Every (uid, image) whose rollout was complete at some time, and the version at the last.
    pub reached: BTreeMap<(String, String), u64>,
    /// The version at which depd itself last set (uid, image).
    pub set: BTreeMap<(String, String), u64>,
    /// The uids of workloads that were deleted.
    pub deleted: BTreeSet<String>,
    /// The workloads whose images depd was the last to change: uid and image.
    pub own: BTreeMap<ServiceKey, (String, String)>,
    /// The version at which somebody else than depd, or a PATCH whose sender was gone, last set (uid, image).
    pub foreign: BTreeMap<(String, String), u64>,
    /// PATCHes that arrived.
    pub patches: u32,
    pub sabotage: Option<Sabotage>,
}

impl Cluster {
    pub fn new(sabotage: Option<Sabotage>) -> Cluster {
        Cluster {
            version: 100,
            compacted: 0,
            uids: 0,
            namespaces: BTreeMap::new(),
            objects: BTreeMap::new(),
            history: Vec::new(),
            healed: BTreeSet::new(),
            stalled: false,
            wire: Vec::new(),
            unforeseen: BTreeSet::new(),
            reached: BTreeMap::new(),
            set: BTreeMap::new(),
            deleted: BTreeSet::new(),
            own: BTreeMap::new(),
            foreign: BTreeMap::new(),
            patches: 0,
            sabotage,
        }
    }

    /// Somebody applies the structural YAML.
    pub fn create(&mut self, key: &ServiceKey, image: &str, wanted: i32) {
        let kind = kind_of(key);
        let terminating = NamespaceState::Terminating;
        if self.objects.contains_key(key)
            || self.namespaces.get(key.namespace()) == Some(&terminating)
        {
            return;
        }
        self.namespaces.insert(key.namespace().to_owned(), NamespaceState::Active);
        self.uids += 1;
        let label = SelectorRule::In("app".into(), Box::new([key.service().into()]));
        let mut workload = Workload {
            kind,
            key: key.clone(),
            uid: format!("uid-{}", self.uids).into(),
            resource_version: 0,
            generation: 1,
            has_annotations: self.uids.is_multiple_of(2),
            held_by_annotation: false,
            timeout: None,
            rollback: None,
            paused: false,
            strategy: Strategy::Rolling,
            in_order: false,
            min_ready: Duration::ZERO,
            progress_deadline: Duration::from_secs(600),
            selector: Selector(Box::new([label])),
            containers: Box::new([Container {
                name: "app".into(),
                image: image.into(),
                memory_limit: None,
                probe: None,
            }]),
            init_containers: Box::new([]),
            pull_secrets: Box::new([]),
            service_account: None,
            observed_generation: 0,
            revision: None,
            replicas: Replicas { wanted, ..Replicas::default() },
            progressing: None,
            replica_failure: None,
        };
        number_template(&mut workload);
        let object = Object {
            workload,
            hash: String::new(),
            template: "".into(),
            pods: BTreeMap::new(),
            new_ready: 0,
        };
        self.objects.insert(key.clone(), object);
        self.touch(key);
        self.get(key).iter().for_each(|created| self.note_foreign(created));
    }

    pub fn delete(&mut self, key: &ServiceKey) {
        let Some(object) = self.objects.remove(key) else { return };
        self.deleted.insert(object.workload.uid.to_string());
        for pod in object.pods.into_values() {
            self.tell(Seen::PodGone(pod));
        }
        self.version += 1;
        let last = Workload { resource_version: self.version, ..object.workload };
        self.history.push((self.version, Seen::WorkloadGone(last)));
    }

    /// The namespace goes away: at first it only says so.
    pub fn delete_namespace(&mut self, name: &str) {
        if let Some(state) = self.namespaces.get_mut(name) {
            *state = NamespaceState::Terminating;
        }
    }

    /// What is terminating is gone.
    pub fn finish_namespaces(&mut self) {
        let over: Vec<String> = self
            .namespaces
            .iter()
            .filter(|(_, state)| **state == NamespaceState::Terminating)
            .map(|(name, _)| name.clone())
            .collect();
        for name in over {
            let keys: Vec<ServiceKey> =
                self.objects.keys().filter(|key| key.namespace() == name).cloned().collect();
            keys.iter().for_each(|key| self.delete(key));
            self.namespaces.remove(&name);
        }
    }

    pub fn namespace(&self, name: &str) -> NamespaceState {
        self.namespaces.get(name).copied().unwrap_or(NamespaceState::Missing)
    }

    pub fn create_namespace(&mut self, name: &str) -> bool {
        let fresh = !self.namespaces.contains_key(name);
        if fresh {
            self.namespaces.insert(name.to_owned(), NamespaceState::Active);
        }
        fresh
    }

    /// Somebody writes to the workload; `spec`: more than its metadata.
    pub fn edit(&mut self, key: &ServiceKey, spec: bool, change: impl FnOnce(&mut Workload)) {
        let Some(object) = self.objects.get_mut(key) else { return };
        let before = object.workload.containers[0].image.clone();
        change(&mut object.workload);
        if spec {
            object.workload.generation += 1;
        }
        let is_other = before != object.workload.containers[0].image;
        if is_other {
            number_template(&mut object.workload);
        }
        self.touch(key);
        self.get(key).iter().filter(|_| is_other).for_each(|edited| self.note_foreign(edited));
    }

    /// Nobody who lives as depd has set the image that this workload has now.
    pub fn note_foreign(&mut self, workload: &Workload) {
        let written = (workload.uid.to_string(), workload.containers[0].image.to_string());
        self.foreign.insert(written, self.version);
    }

    /// Stores what was changed under a new version.
    pub fn touch(&mut self, key: &ServiceKey) {
        self.version += 1;
        if let Some(object) = self.objects.get_mut(key) {
            object.workload.resource_version = self.version;
            self.history.push((self.version, Seen::Workload(object.workload.clone())));
        }
    }

    pub fn tell(&mut self, mut seen: Seen) {
        self.version += 1;
        if let Seen::Pod(pod) | Seen::PodGone(pod) = &mut seen {
            pod.resource_version = self.version;
            let all = self.objects.values_mut().flat_map(|object| object.pods.values_mut());
            let own = all.filter(|own| own.uid == pod.uid);
            own.for_each(|own| own.resource_version = self.version);
        }
        self.history.push((self.version, seen));
    }

    /// The guarded PATCH, applied as a whole or not at all.
    pub fn patch(&mut self, patch: &ImagePatch) -> Result<Workload, Class> {
        self.patches += 1;
        let unguarded = self.sabotage == Some(Sabotage::NoUidGuard);
        let unguarded_image = self.sabotage == Some(Sabotage::NoImageGuard);
        let object = self.objects.get_mut(&patch.key).ok_or(Class::NotFound)?;
        let workload = &mut object.workload;
        let same_uid = unguarded || workload.uid == patch.uid;
        let fits = patch.targets.iter().all(|target| {
            let own = workload.containers.get(target.index);
            let is_expected = |image: &str| unguarded_image || *target.expected == *image;
            !target.init
                && own.is_some_and(|own| own.name == target.container && is_expected(&own.image))
        });
        if !same_uid || !fits || workload.has_annotations != patch.has_annotations {
            return Err(Class::TestFailed);
        }
        let refuses_all = self.sabotage == Some(Sabotage::PhantomRefusal);
        let is_denied = |image: &str| refuses_all || fate(image) == Fate::Denied;
        if patch.targets.iter().any(|target| is_denied(target.image.as_str())) {
            return Err(Class::Denied { message: "admission webhook says no".into() });
        }
        let mut changed = false;
        for target in &patch.targets {
            let asked = target.image.as_str();
            let stored = match fate(asked) {
                Fate::Pinned => format!("{asked}@sha256:{:0>64}", "a"),
                _ => asked.to_owned(),
            };
            let own = &mut workload.containers[target.index].image;
            changed |= **own != *stored;
            *own = stored.into();
        }
        workload.has_annotations = true;
        if changed {
            workload.generation += 1;
            number_template(workload);
            let written = (workload.uid.to_string(), workload.containers[0].image.to_string());
            self.own.insert(patch.key.clone(), written.clone());
            self.touch(&patch.key);
            self.set.insert(written, self.version);
        }
        Ok(self.objects[&patch.key].workload.clone())
    }

    pub fn get(&self, key: &ServiceKey) -> Option<Workload> {
        self.objects.get(key).map(|object| object.workload.clone())
    }

    pub fn image(&self, key: &ServiceKey) -> Option<String> {
        self.objects.get(key).map(|object| object.workload.containers[0].image.to_string())
    }

    pub fn workloads(&self, kind: Kind, namespace: Option<&str>) -> Vec<Workload> {
        let all = self.objects.values().map(|object| &object.workload);
        let of = |w: &&Workload| {
            w.kind == kind && namespace.is_none_or(|name| name == w.key.namespace())
        };
        all.filter(of).cloned().collect()
    }

    pub fn pods(&self, namespace: Option<&str>) -> Vec<Pod> {
        let of = |(key, _): &(&ServiceKey, &Object)| {
            namespace.is_none_or(|name| name == key.namespace())
        };
        let objects = self.objects.iter().filter(of);
        objects.flat_map(|(_, object)| object.pods.values().cloned()).collect()
    }

    /// What this workload was in truth at the version that somebody claims to have seen.
    pub fn as_it_was(&self, seen: &Workload) -> Option<&Workload> {
        let at = self.history.binary_search_by_key(&seen.resource_version, |(at, _)| *at).ok()?;
        match &self.history[at].1 {
            Seen::Workload(own) => Some(own).filter(|own| own.uid == seen.uid),
            _ => None,
        }
    }

    /// Whether a workload of this name, with this uid where it is known, was like this at some time.
    pub fn was(
        &self,
        key: &ServiceKey,
        uid: Option<&str>,
        like: impl Fn(&Workload) -> bool,
    ) -> bool {
        let of = |seen: &Workload| seen.key == *key && uid.is_none_or(|uid| *seen.uid == *uid);
        self.history.iter().any(|(_, seen)| match seen {
            Seen::Workload(own) => of(own) && like(own),
            _ => false,
        })
    }

    /// No watch can begin in the history up to now; those that are open go on.
    pub fn compact(&mut self) {
        self.compacted = self.version;
    }

    /// The first change after `version` that `scope` covers.
    pub fn next_after(&self, scope: &Scope, version: u64) -> Option<(u64, Seen)> {
        let from = self.history.partition_point(|(at, _)| *at <= version);
        self.history[from..].iter().find(|(_, seen)| scope.covers(seen)).cloned()
    }

    /// A watch can go on from there.
    pub fn remembers(&self, version: u64) -> bool {
        version >= self.compacted
    }
}
