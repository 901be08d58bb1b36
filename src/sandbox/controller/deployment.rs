//! Deployment → ReplicaSets: one look at one Deployment.
//!
//! Facts: `pkg/controller/deployment` in Kubernetes 1.37, whose steps and order are kept, because
//! clients see every write in between.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::json::{annotation, int, list, set_annotation, text};
use super::super::object::{self, DeleteOptions, Part, Write};
use super::super::resources::{DEPLOYMENTS, REPLICA_SETS};
use super::super::store::{Key, NAME_LETTERS, Object, Store};
use super::conditions::{self, Condition};

/// The annotation that counts the templates of a Deployment.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of a Deployment that its ReplicaSets do not get.
const NOT_COPIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
const HASH_LABEL: &str = "pod-template-hash";

/// One Deployment, its ReplicaSets, and the store to change them in.
pub(super) struct Rollout<'a> {
    pub(super) store: &'a mut Store,
    pub(super) write: Write,
    key: Key,
    /// As last written.
    pub(super) deployment: Value,
    /// The ReplicaSet of the current template.
    pub(super) new: Option<Key>,
    /// All others, oldest first.
    pub(super) old: Vec<Key>,
}

/// Looks at a Deployment once; says when to look again even if nothing happens.
pub(super) fn sync(store: &mut Store, key: &Key, write: Write) -> Option<Duration> {
    let deployment = Value::clone(store.get(key)?);
    let mut rollout =
        Rollout { store, write, key: key.clone(), deployment, new: None, old: Vec::new() };
    rollout.find_sets();
    if !rollout.deployment["metadata"]["deletionTimestamp"].is_null() {
        rollout.adopt_new();
        rollout.write_counts();
        return None;
    }
    rollout.note_pause();
    if rollout.deployment["spec"]["paused"] == true || rollout.is_scaled() {
        rollout.adopt_new();
        rollout.spread();
        if rollout.deployment["spec"]["paused"] == true {
            rollout.forget_history();
        }
        rollout.write_counts();
    } else if rollout.deployment["spec"]["strategy"]["type"] == "Recreate" {
        rollout.recreate();
    } else {
        rollout.roll();
    }
    conditions::look_again(&rollout.deployment, write.now)
}

impl Rollout<'_> {
    fn find_sets(&mut self) {
        let uid = text(&self.deployment, "/metadata/uid");
        let mut sets: Vec<(Key, Object)> = Vec::new();
        for key in self.store.owned_by(uid) {
            if key.resource == REPLICA_SETS
                && let Some(object) = self.store.get(&key)
            {
                sets.push((key.clone(), object.clone()));
            }
        }
        sets.sort_by_key(|(key, set)| {
            (text(set, "/metadata/creationTimestamp").to_owned(), key.name.clone())
        });
        let wanted = &self.deployment["spec"]["template"];
        let new = sets.iter().position(|(_, set)| same_template(&set["spec"]["template"], wanted));
        self.new = new.map(|at| sets.remove(at).0);
        self.old = sets.into_iter().map(|(key, _)| key).collect();
    }

    /// A ReplicaSet as it is now; an empty object when it is gone.
    pub(super) fn set(&self, key: &Key) -> Object {
        self.store.get(key).cloned().unwrap_or_default()
    }

    /// The current one first, then the others, oldest first.
    pub(super) fn all(&self) -> Vec<Object> {
        self.new.iter().chain(&self.old).map(|key| self.set(key)).collect()
    }

    /// `spec.replicas` of the Deployment.
    pub(super) fn wanted(&self) -> i64 {
        int(&self.deployment, "/spec/replicas")
    }

    /// A pause is said in the conditions, so that its time does not count as lack of progress.
    fn note_pause(&mut self) {
        if !conditions::has_deadline(&self.deployment) {
            return;
        }
        let current = conditions::condition(&self.deployment["status"], "Progressing");
        let reason = current.map(|c| text(c, "/reason")).unwrap_or_default();
        let noted = reason == "DeploymentPaused";
        let paused = self.deployment["spec"]["paused"] == true;
        if reason == "ProgressDeadlineExceeded" || noted == paused {
            return;
        }
        let (reason, words) = if paused {
            ("DeploymentPaused", "Deployment is paused")
        } else {
            ("DeploymentResumed", "Deployment is resumed")
        };
        self.say("Unknown", reason, words.to_owned());
        self.write_status();
    }

    /// Sets the Progressing condition in the copy at hand.
    fn say(&mut self, status: &str, reason: &str, message: String) {
        let condition = Condition { kind: "Progressing", status, reason, message };
        conditions::set(&mut self.deployment["status"], &condition, self.write.now);
    }

    /// Writes status and annotations of the copy at hand.
    pub(super) fn write_status(&mut self) {
        let copy = self.deployment.clone();
        // It was read under the same lock: it cannot be gone or changed.
        if let Ok(written) = object::update(self.store, &self.key, copy, Part::Status, self.write) {
            self.deployment = Value::clone(&written);
        }
    }

    /// Counts without judging the rollout: while paused, scaling, or going away.
    fn write_counts(&mut self) {
        let all = self.all();
        let all: Vec<&Value> = all.iter().map(|set| &**set).collect();
        let new = self.new.as_ref().map(|key| self.set(key));
        self.deployment["status"] =
            conditions::counted(&self.deployment, &all, new.as_deref(), self.write.now);
        self.write_status();
    }

    /// Counts, and judges the rollout.
    pub(super) fn write_progress(&mut self) {
        let all = self.all();
        let all: Vec<&Value> = all.iter().map(|set| &**set).collect();
        let new = self.new.as_ref().map(|key| self.set(key));
        let now = self.write.now;
        let mut status = conditions::counted(&self.deployment, &all, new.as_deref(), now);
        conditions::judge(&self.deployment, &all, new.as_deref(), &mut status, now);
        self.deployment["status"] = status;
        self.write_status();
    }

    /// Whether `spec.replicas` changed since the ReplicaSets were sized.
    fn is_scaled(&mut self) -> bool {
        self.adopt_new();
        let wanted = self.wanted().to_string();
        self.all().iter().any(|set| {
            int(set, "/spec/replicas") > 0
                && annotation(set, DESIRED).is_some_and(|desired| desired != wanted)
        })
    }

    /// Brings an existing ReplicaSet of the current template up to date: its annotations, and its
    /// revision, which becomes the highest.
    pub(super) fn adopt_new(&mut self) {
        let Some(key) = self.new.clone() else { return };
        let revision = self.next_revision();
        let mut set = Value::clone(&self.set(&key));
        let mut changed = copy_annotations(&self.deployment, &mut set);
        changed |= raise_revision(&mut set, revision);
        let min_ready = self.deployment["spec"].get("minReadySeconds").cloned();
        if set["spec"].get("minReadySeconds") != min_ready.as_ref() {
            set["spec"]["minReadySeconds"] = min_ready.unwrap_or_default();
            changed = true;
        }
        if changed {
            self.update_set(&key, set.clone());
        }
        let own = annotation(&set, REVISION).unwrap_or_default().to_owned();
        let mut told = set_annotation(&mut self.deployment, REVISION, &own);
        let silent = conditions::condition(&self.deployment["status"], "Progressing").is_none();
        if silent && conditions::has_deadline(&self.deployment) {
            self.say(
                "True",
                "FoundNewReplicaSet",
                format!("Found new replica set \"{}\"", key.name),
            );
            told = true;
        }
        if told {
            self.write_status();
        }
    }

    fn next_revision(&self) -> i64 {
        let revision = |key: &Key| {
            annotation(&self.set(key), REVISION).and_then(|r| r.parse::<i64>().ok()).unwrap_or(0)
        };
        self.old.iter().map(revision).max().unwrap_or(0) + 1
    }

    /// Makes the ReplicaSet of the current template, when there is none.
    pub(super) fn ensure_new(&mut self) {
        if self.new.is_some() {
            return self.adopt_new();
        }
        let collisions = int(&self.deployment, "/status/collisionCount");
        let template = &self.deployment["spec"]["template"];
        let hash = template_hash(template, collisions);
        let name = format!("{}-{hash}", self.key.name);
        let revision = self.next_revision();
        let set = self.made_set(&name, &hash, revision);
        let namespace = self.key.namespace.clone();
        match object::create(self.store, REPLICA_SETS, &namespace, set, self.write) {
            Ok(_) => {
                self.new = Some(Key::new(REPLICA_SETS, &namespace, &name));
                set_annotation(&mut self.deployment, REVISION, &revision.to_string());
                if conditions::has_deadline(&self.deployment) {
                    let words = format!("Created new replica set \"{name}\"");
                    self.say("True", "NewReplicaSetCreated", words);
                }
                self.write_status();
            }
            Err(refused) if refused.reason == "AlreadyExists" => {
                self.deployment["status"]["collisionCount"] = (collisions + 1).into();
                self.write_status();
            }
            // Nothing can be made in a namespace that goes away, and nothing needs to be said.
            Err(refused) if refused.details["causes"][0]["reason"] == "NamespaceTerminating" => {}
            Err(refused) => {
                let words =
                    format!("Failed to create new replica set \"{name}\": {}", refused.message);
                self.say("False", "ReplicaSetCreateError", words);
                self.write_status();
            }
        }
    }

    fn made_set(&self, name: &str, hash: &str, revision: i64) -> Value {
        let spec = &self.deployment["spec"];
        let mut template = spec["template"].clone();
        template["metadata"]["labels"][HASH_LABEL] = hash.into();
        let mut selector = spec["selector"].clone();
        selector["matchLabels"][HASH_LABEL] = hash.into();
        let mut set = json!({
            "metadata": {
                "name": name,
                "labels": template["metadata"]["labels"],
                "ownerReferences": [owner_reference(&self.deployment)],
            },
            "spec": {
                "replicas": self.room_for_new(0),
                "minReadySeconds": int(spec, "/minReadySeconds"),
                "selector": selector,
                "template": template,
            },
        });
        copy_annotations(&self.deployment, &mut set);
        raise_revision(&mut set, revision);
        let wanted = self.wanted();
        set_annotation(&mut set, DESIRED, &wanted.to_string());
        set_annotation(&mut set, MAX, &(wanted + max_surge(&self.deployment)).to_string());
        set
    }

    /// Resizes a ReplicaSet; says whether its size changed. With `mark` the annotations about the
    /// size of the Deployment are brought up to date even when the size stays.
    pub(super) fn resize(&mut self, key: &Key, size: i64, mark: bool) -> bool {
        let mut set = Value::clone(&self.set(key));
        let resized = int(&set, "/spec/replicas") != size;
        if !resized && !mark {
            return false;
        }
        let wanted = self.wanted();
        set["spec"]["replicas"] = size.into();
        let mut changed = set_annotation(&mut set, DESIRED, &wanted.to_string());
        let max = (wanted + max_surge(&self.deployment)).to_string();
        changed |= set_annotation(&mut set, MAX, &max);
        if resized || changed {
            self.update_set(key, set);
        }
        resized
    }

    fn update_set(&mut self, key: &Key, set: Value) {
        // Read under the same lock, only resized and annotated: nothing to refuse.
        drop(object::update(self.store, key, set, Part::Main, self.write));
    }

    /// Deletes the oldest ReplicaSets without pods, beyond `revisionHistoryLimit`.
    pub(super) fn forget_history(&mut self) {
        let limit = int(&self.deployment, "/spec/revisionHistoryLimit");
        let mut old: Vec<(i64, Key, Object)> = Vec::new();
        for key in &self.old {
            let set = self.set(key);
            if set["metadata"]["deletionTimestamp"].is_null() {
                let revision = annotation(&set, REVISION).and_then(|r| r.parse().ok()).unwrap_or(0);
                old.push((revision, key.clone(), set));
            }
        }
        old.sort_by_key(|(revision, ..)| *revision);
        let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        for (_, key, set) in old.into_iter().take(excess) {
            let busy = int(&set, "/status/replicas") != 0
                || int(&set, "/spec/replicas") != 0
                || int(&set, "/metadata/generation") > int(&set, "/status/observedGeneration");
            if !busy {
                let options = DeleteOptions::default();
                drop(object::delete(self.store, &key, &options, self.write));
                self.old.retain(|own| *own != key);
            }
        }
    }
}

/// The reference by which a dependent names its controller.
pub(super) fn owner_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// `maxSurge` in pods.
pub(super) fn max_surge(deployment: &Value) -> i64 {
    fenceposts(deployment).0
}

/// `maxUnavailable` in pods.
pub(super) fn max_unavailable(deployment: &Value) -> i64 {
    let wanted = int(deployment, "/spec/replicas");
    if wanted == 0 { 0 } else { fenceposts(deployment).1.min(wanted) }
}

/// Surge is rounded up and unavailability down; when both come out as 0, one pod may be missing.
fn fenceposts(deployment: &Value) -> (i64, i64) {
    let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
    if rolling.is_null() {
        return (0, 0);
    }
    let wanted = int(deployment, "/spec/replicas");
    let scaled = |value: &Value, round_up: bool| match value {
        Value::String(percent) => {
            let percent: i64 = percent.trim_end_matches('%').parse().unwrap_or(0);
            if round_up { (wanted * percent + 99) / 100 } else { wanted * percent / 100 }
        }
        count => count.as_i64().unwrap_or(0),
    };
    match (scaled(&rolling["maxSurge"], true), scaled(&rolling["maxUnavailable"], false)) {
        (0, 0) => (0, 1),
        both => both,
    }
}

fn same_template(of_set: &Value, wanted: &Value) -> bool {
    let mut own = of_set.clone();
    if let Some(Value::Object(labels)) = own.pointer_mut("/metadata/labels") {
        labels.remove(HASH_LABEL);
    }
    own == *wanted
}

/// FNV-1a of the template, in the alphabet of generated names. Not the number that the real
/// controller would find, which hashes Go's printed form; it has the same looks and properties.
fn template_hash(template: &Value, collisions: i64) -> String {
    let mut text = template.to_string();
    if collisions > 0 {
        text.push_str(&collisions.to_string());
    }
    let hash = text
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let letter = |digit: u8| char::from(NAME_LETTERS[usize::from(digit) % NAME_LETTERS.len()]);
    hash.to_string().bytes().map(letter).collect()
}

fn copy_annotations(deployment: &Value, set: &mut Value) -> bool {
    let mut changed = false;
    for (name, value) in deployment["metadata"]["annotations"].as_object().into_iter().flatten() {
        if !NOT_COPIED.contains(&name.as_str()) {
            changed |= set_annotation(set, name, value.as_str().unwrap_or_default());
        }
    }
    changed
}

fn raise_revision(set: &mut Value, revision: i64) -> bool {
    let before = annotation(set, REVISION).map(str::to_owned);
    let number = before.as_ref().and_then(|text| text.parse().ok()).unwrap_or(0);
    if number >= revision {
        return false;
    }
    set_annotation(set, REVISION, &revision.to_string());
    if let Some(before) = before {
        // This template is used again: its earlier numbers are kept for `rollout history`.
        let history = match annotation(set, REVISION_HISTORY) {
            Some(earlier) => format!("{earlier},{before}"),
            None => before,
        };
        set_annotation(set, REVISION_HISTORY, &history);
    }
    true
}

/// The Deployment that controls an object, if one does.
pub(super) fn controller_of(object: &Value, kind: &str) -> Option<String> {
    let owners = list(object, "/metadata/ownerReferences").iter();
    let mut owners = owners.filter(|owner| owner["controller"] == true && owner["kind"] == kind);
    owners.next().map(|owner| text(owner, "/name").to_owned())
}

/// The key of the Deployment that controls a ReplicaSet.
pub(super) fn owner_deployment(set: &Value) -> Option<Key> {
    let name = controller_of(set, "Deployment")?;
    Some(Key::new(DEPLOYMENTS, text(set, "/metadata/namespace"), &name))
}
