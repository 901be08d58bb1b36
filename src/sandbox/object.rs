//! Create, replace, delete: what the API server does to an object between the request and the
//! store. `[C]`: the store and the time come in as arguments.
//!
//! The server owns part of the metadata (uid, times, generation, resourceVersion), keeps `status`
//! out of the main path and everything else out of the status path, and a write that changes nothing
//! is none. `managedFields` are never stored: server-side apply knows no owners here. Facts:
//! `registry/generic/registry/store.go` and the strategies of the kinds in Kubernetes 1.37.

use serde_json::{Value, json};

use super::defaults::{complete, prune};
use super::json::{default, fields, int, list, text};
use super::resources::{
    DEPLOYMENTS, Id, NAMESPACES, PODS, REPLICA_SETS, SERVICE_ACCOUNTS, SERVICES,
};
use super::status::{About, Status};
use super::store::{Key, Object, Store};
use super::validate::{decodes, validate};
use super::wall::Wall;

/// When a write happens, and whether it is only tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) now: Wall,
    pub(super) dry_run: bool,
}

/// Which half of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Main,
    Status,
}

/// `DeleteOptions`, as far as they matter here.
#[derive(Clone, Debug, Default)]
pub(super) struct DeleteOptions {
    pub(super) grace_seconds: Option<i64>,
    pub(super) propagation: Propagation,
    /// Only this very object, by uid.
    pub(super) uid: Option<String>,
    /// Only this version of it.
    pub(super) resource_version: Option<String>,
}

/// What becomes of the objects that name the deleted one as owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

/// What a DELETE answers with.
#[derive(Debug)]
pub(super) enum Deleted {
    /// It is gone.
    Gone(Status),
    /// Shown as it was last, or as it is while it goes.
    Shown(Object),
}

/// The finalizer that holds an owner until the last of its dependents is gone.
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// Namespaces that cannot be deleted.
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

/// How refusals name an object of a resource.
pub(super) fn about(resource: Id, name: &str) -> About<'_> {
    let row = resource.row();
    About { group: row.group, resource: row.plural, name }
}

/// POST: `namespace` is that of the request, empty for cluster-scoped resources.
pub(super) fn create(
    store: &mut Store,
    resource: Id,
    namespace: &str,
    mut object: Value,
    write: Write,
) -> Result<Object, Status> {
    check_kind(resource, &object)?;
    decodes(resource, &object).map_err(|error| not_decoded(resource, &error))?;
    prune(&mut object);
    place_in(&mut object, namespace, resource)?;
    let metadata = fields(&mut object["metadata"]);
    if metadata.get("resourceVersion").and_then(Value::as_str).is_some_and(|rv| !rv.is_empty()) {
        let why = "resourceVersion should not be set on objects to be created";
        return Err(Status::internal(why));
    }
    for owned in ["managedFields", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(owned);
    }
    if !metadata.contains_key("name")
        && let Some(prefix) = metadata.get("generateName").and_then(Value::as_str)
    {
        let prefix: String = prefix.chars().take(58).collect();
        let name = format!("{prefix}{}", store.suffix());
        metadata.insert("name".into(), name.into());
    }
    metadata.insert("uid".into(), store.uid().into());
    metadata.insert("creationTimestamp".into(), write.now.text().into());
    metadata.remove("generation");
    if counts_generations(resource) {
        metadata.insert("generation".into(), 1.into());
    }
    let name = text(&object, "/metadata/name").to_owned();
    check_namespace(store, resource, namespace, &name)?;
    first_status(resource, &mut object);
    admit_pod(resource, &mut object);
    complete(resource, &mut object);
    validate(resource, &object, None)?;
    let key = Key::new(resource, namespace, &name);
    if store.get(&key).is_some() {
        return Err(Status::already_exists(about(resource, &name)));
    }
    if write.dry_run {
        return Ok(Object::new(object));
    }
    Ok(store.put(key, object))
}

/// PUT, and the second half of PATCH.
pub(super) fn update(
    store: &mut Store,
    key: &Key,
    mut object: Value,
    part: Part,
    write: Write,
) -> Result<Object, Status> {
    let about = about(key.resource, &key.name);
    let old = store.get(key).cloned().ok_or_else(|| Status::not_found(about))?;
    check_kind(key.resource, &object)?;
    decodes(key.resource, &object).map_err(|error| not_decoded(key.resource, &error))?;
    prune(&mut object);
    check_identity(&object, &old, key)?;
    place_in(&mut object, &key.namespace, key.resource)?;
    keep_server_fields(&mut object, &old);
    match part {
        Part::Main if key.resource.has_status() => copy(&mut object, &old, "status"),
        Part::Main => {}
        Part::Status => {
            let (status, annotations) =
                (object["status"].take(), object["metadata"]["annotations"].take());
            object = Value::clone(&old);
            object["status"] = status;
            object["metadata"]["annotations"] = annotations;
            prune(&mut object);
        }
    }
    complete(key.resource, &mut object);
    if part == Part::Main {
        validate(key.resource, &object, Some(&old))?;
        raise_generation(key.resource, &mut object, &old);
    }
    if object == *old {
        return Ok(old);
    }
    if write.dry_run {
        return Ok(Object::new(object));
    }
    let finished = !object["metadata"]["deletionTimestamp"].is_null()
        && list(&object, "/metadata/finalizers").is_empty()
        && int(&object, "/metadata/deletionGracePeriodSeconds") == 0
        && key.resource != NAMESPACES;
    let stored = store.put(key.clone(), object);
    if finished {
        store.remove(key);
    }
    Ok(stored)
}

/// DELETE of one object.
pub(super) fn delete(
    store: &mut Store,
    key: &Key,
    options: &DeleteOptions,
    write: Write,
) -> Result<Deleted, Status> {
    let about = about(key.resource, &key.name);
    let old = store.get(key).cloned().ok_or_else(|| Status::not_found(about))?;
    check_preconditions(&old, options, about)?;
    if key.resource == NAMESPACES && IMMORTAL.contains(&key.name.as_str()) {
        return Err(Status::forbidden(about, "this namespace may not be deleted"));
    }
    if options.propagation == Propagation::Orphan && !write.dry_run {
        orphan(store, text(&old, "/metadata/uid"));
    }
    let deleting = !old["metadata"]["deletionTimestamp"].is_null();
    let mut object = Value::clone(&old);
    if options.propagation == Propagation::Foreground {
        let metadata = fields(&mut object["metadata"]);
        let finalizers = metadata.entry("finalizers").or_insert(json!([]));
        if let Value::Array(finalizers) = finalizers
            && !finalizers.contains(&FOREGROUND.into())
        {
            finalizers.push(FOREGROUND.into());
        }
    }
    let grace = grace_seconds(key.resource, &old, options);
    let shown = matches!(key.resource, PODS | SERVICE_ACCOUNTS | SERVICES);
    let held = !list(&object, "/metadata/finalizers").is_empty() || key.resource == NAMESPACES;
    if grace == 0 && !held {
        if !write.dry_run {
            store.remove(key);
        }
        return Ok(match shown {
            true => Deleted::Shown(old),
            false => Deleted::Gone(Status::deleted(about, text(&old, "/metadata/uid"))),
        });
    }
    if !deleting || grace < int(&old, "/metadata/deletionGracePeriodSeconds") {
        let until = Wall(write.now.0 + grace * 1000);
        object["metadata"]["deletionTimestamp"] = until.text().into();
        object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        if counts_generations(key.resource) {
            object["metadata"]["generation"] = (int(&old, "/metadata/generation") + 1).into();
        }
    }
    if key.resource == NAMESPACES {
        object["status"]["phase"] = "Terminating".into();
        fields(&mut object["metadata"]).remove("deletionGracePeriodSeconds");
    }
    if object == *old || write.dry_run {
        return Ok(Deleted::Shown(Object::new(object)));
    }
    Ok(Deleted::Shown(store.put(key.clone(), object)))
}

fn grace_seconds(resource: Id, old: &Value, options: &DeleteOptions) -> i64 {
    if resource != PODS {
        return 0;
    }
    let ended = matches!(text(old, "/status/phase"), "Failed" | "Succeeded");
    if ended || text(old, "/spec/nodeName").is_empty() {
        return 0;
    }
    let own = int(old, "/spec/terminationGracePeriodSeconds");
    options.grace_seconds.unwrap_or(own).max(0)
}

fn check_preconditions(
    old: &Value,
    options: &DeleteOptions,
    about: About<'_>,
) -> Result<(), Status> {
    let pairs = [
        ("UID", "/metadata/uid", &options.uid),
        ("ResourceVersion", "/metadata/resourceVersion", &options.resource_version),
    ];
    for (name, pointer, wanted) in pairs {
        let own = text(old, pointer);
        if let Some(wanted) = wanted
            && wanted != own
        {
            let why = format!(
                "Precondition failed: {name} in precondition: {wanted}, {name} in object meta: {own}"
            );
            return Err(Status::conflict(about, &why));
        }
    }
    Ok(())
}

/// Takes the owner off everything that names it.
fn orphan(store: &mut Store, uid: &str) {
    for key in store.owned_by(uid) {
        if let Some(object) = store.get(&key) {
            let mut object = Value::clone(object);
            if let Some(Value::Array(owners)) = object.pointer_mut("/metadata/ownerReferences") {
                owners.retain(|owner| text(owner, "/uid") != uid);
            }
            prune(&mut object);
            store.put(key, object);
        }
    }
}

fn check_kind(resource: Id, object: &Value) -> Result<(), Status> {
    let row = resource.row();
    if !object.is_object() {
        let why = format!("the object provided is unrecognized (must be of type {})", row.kind);
        return Err(Status::bad_request(why));
    }
    let (version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    let foreign_version = !version.is_empty() && version != row.api_version();
    let foreign_kind = !kind.is_empty() && kind != row.kind;
    if !foreign_version && !foreign_kind {
        return Ok(());
    }
    let short = version.rsplit('/').next().filter(|v| !v.is_empty()).unwrap_or(row.version);
    let group = if row.group.is_empty() { "core" } else { row.group };
    Err(Status::bad_request(format!(
        "{kind} in version \"{short}\" cannot be handled as a {own}: converting ({short}.{kind}) \
         to ({group}.{own}): unknown conversion",
        own = row.kind
    )))
}

fn not_decoded(resource: Id, error: &str) -> Status {
    let row = resource.row();
    Status::bad_request(format!(
        "{} in version \"{}\" cannot be handled as a {}: {error}",
        row.kind, row.version, row.kind
    ))
}

/// Fills in what the path already says: kind, version, namespace.
fn place_in(object: &mut Value, namespace: &str, resource: Id) -> Result<(), Status> {
    let row = resource.row();
    let own = text(object, "/metadata/namespace");
    if !own.is_empty() && own != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let members = fields(object);
    members.insert("apiVersion".into(), row.api_version().into());
    members.insert("kind".into(), row.kind.into());
    let metadata = fields(members.entry("metadata").or_insert(Value::Null));
    if row.namespaced {
        metadata.insert("namespace".into(), namespace.into());
    }
    Ok(())
}

fn check_namespace(store: &Store, resource: Id, namespace: &str, name: &str) -> Result<(), Status> {
    if !resource.row().namespaced {
        return Ok(());
    }
    let key = Key::new(NAMESPACES, "", namespace);
    let Some(found) = store.get(&key) else {
        return Err(Status::not_found(about(NAMESPACES, namespace)));
    };
    if found["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    Err(Status::terminating(about(resource, name), namespace))
}

/// The uid that the body of a PUT names is a precondition; a PATCH of it is a change of what cannot
/// change.
pub(super) fn check_uid(store: &Store, key: &Key, object: &Value) -> Result<(), Status> {
    let Some(old) = store.get(key) else { return Ok(()) };
    let (uid, own) = (text(object, "/metadata/uid"), text(old, "/metadata/uid"));
    if uid.is_empty() || uid == own {
        return Ok(());
    }
    let Key { resource, namespace, name } = key;
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{}/{namespace}/{name}, \
         ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, \
         UID in object meta: {own}",
        resource.row().plural
    );
    Err(Status::conflict(about(*resource, name), &why))
}

/// What may be replaced by this object: the name of the path, and the version that it says.
fn check_identity(object: &Value, old: &Value, key: &Key) -> Result<(), Status> {
    let name = text(object, "/metadata/name");
    if !name.is_empty() && name != key.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        )));
    }
    let about = about(key.resource, &key.name);
    let version = text(object, "/metadata/resourceVersion");
    if !version.is_empty() && version != "0" && version != text(old, "/metadata/resourceVersion") {
        return Err(Status::stale(about));
    }
    Ok(())
}

fn keep_server_fields(object: &mut Value, old: &Value) {
    let metadata = fields(&mut object["metadata"]);
    metadata.remove("managedFields");
    default(metadata, "uid", old["metadata"]["uid"].clone());
    let owned = [
        "name",
        "namespace",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ];
    for name in owned {
        match old["metadata"].get(name) {
            Some(value) => drop(metadata.insert(name.into(), value.clone())),
            None => drop(metadata.remove(name)),
        }
    }
}

fn copy(object: &mut Value, old: &Value, name: &str) {
    let members = fields(object);
    match old.get(name) {
        Some(value) => drop(members.insert(name.into(), value.clone())),
        None => drop(members.remove(name)),
    }
}

fn counts_generations(resource: Id) -> bool {
    matches!(resource, DEPLOYMENTS | REPLICA_SETS | PODS)
}

/// A Deployment counts changes of its annotations too: they are copied to its ReplicaSets.
fn raise_generation(resource: Id, object: &mut Value, old: &Value) {
    let annotated = object["metadata"]["annotations"] != old["metadata"]["annotations"];
    let changed = object["spec"] != old["spec"] || resource == DEPLOYMENTS && annotated;
    if counts_generations(resource) && changed {
        object["metadata"]["generation"] = (int(old, "/metadata/generation") + 1).into();
    }
}

fn first_status(resource: Id, object: &mut Value) {
    let status = match resource {
        DEPLOYMENTS => json!({}),
        REPLICA_SETS => json!({"replicas": 0}),
        PODS => json!({"phase": "Pending", "qosClass": "BestEffort"}),
        NAMESPACES => json!({"phase": "Active"}),
        SERVICES => json!({"loadBalancer": {}}),
        _ => return,
    };
    object["status"] = status;
}

/// What the ServiceAccount admission plugin adds to a pod.
fn admit_pod(resource: Id, object: &mut Value) {
    if resource == PODS {
        let spec = fields(&mut object["spec"]);
        default(spec, "serviceAccountName", "default");
        default(spec, "enableServiceLinks", true);
    }
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
