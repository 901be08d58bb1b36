//! Namespaces: what each of them holds from the start, and how one goes away with all in it; and
//! what goes away with its owner.
//!
//! Facts: the namespace, serviceaccount, root-ca-cert-publisher and garbagecollector controllers.

use serde_json::{Value, json};

use super::super::json::{list, text};
use super::super::object::{self, DeleteOptions, FOREGROUND, Part, Write};
use super::super::resources::{CONFIG_MAPS, SERVICE_ACCOUNTS};
use super::super::store::{Change, Key, Store};

const ROOT_CA: &str = "kube-root-ca.crt";

/// Looks at a namespace once.
pub(super) fn sync(store: &mut Store, key: &Key, ca_pem: &str, write: Write) {
    let Some(namespace) = store.get(key).cloned() else { return };
    if namespace["metadata"]["deletionTimestamp"].is_null() {
        return furnish(store, &key.name, ca_pem, write);
    }
    for inside in store.inside(&key.name) {
        // Pods go gracefully and finalizers may hold others; each end brings us back here.
        let going =
            store.get(&inside).is_none_or(|o| !o["metadata"]["deletionTimestamp"].is_null());
        if !going {
            drop(object::delete(store, &inside, &DeleteOptions::default(), write));
        }
    }
    if store.inside(&key.name).is_empty() && list(&namespace, "/metadata/finalizers").is_empty() {
        store.remove(key);
    }
}

fn furnish(store: &mut Store, namespace: &str, ca_pem: &str, write: Write) {
    let account = (SERVICE_ACCOUNTS, json!({"metadata": {"name": "default"}}));
    let authority = json!({"metadata": {"name": ROOT_CA}, "data": {"ca.crt": ca_pem}});
    for (resource, object) in [account, (CONFIG_MAPS, authority)] {
        // There already is as good.
        drop(object::create(store, resource, namespace, object, write));
    }
}

/// After an object is gone: its dependents go too, and owners that waited for it may.
pub(super) fn collect(store: &mut Store, gone: &Value, write: Write) {
    for key in store.owned_by(text(gone, "/metadata/uid")) {
        drop(object::delete(store, &key, &DeleteOptions::default(), write));
    }
    for owner in list(gone, "/metadata/ownerReferences") {
        if store.owned_by(text(owner, "/uid")).is_empty() {
            release(store, owner, text(gone, "/metadata/namespace"), write);
        }
    }
}

/// Foreground deletion: the dependents go first.
pub(super) fn cascade(store: &mut Store, change: &Change, write: Write) {
    let Some(object) = change.after.as_ref() else { return };
    let waits = !object["metadata"]["deletionTimestamp"].is_null()
        && list(object, "/metadata/finalizers").contains(&FOREGROUND.into());
    if !waits {
        return;
    }
    let dependents = store.owned_by(text(object, "/metadata/uid"));
    if dependents.is_empty() {
        unhold(store, &change.key, write);
    }
    for key in dependents {
        drop(object::delete(store, &key, &DeleteOptions::default(), write));
    }
}

fn release(store: &mut Store, owner: &Value, namespace: &str, write: Write) {
    let resource =
        super::super::resources::Id::of_kind(text(owner, "/apiVersion"), text(owner, "/kind"));
    if let Some(resource) = resource {
        unhold(store, &Key::new(resource, namespace, text(owner, "/name")), write);
    }
}

fn unhold(store: &mut Store, key: &Key, write: Write) {
    let Some(object) = store.get(key) else { return };
    let mut object = Value::clone(object);
    if let Some(Value::Array(finalizers)) = object.pointer_mut("/metadata/finalizers")
        && finalizers.contains(&FOREGROUND.into())
    {
        finalizers.retain(|finalizer| finalizer != FOREGROUND);
        drop(object::update(store, key, object, Part::Main, write));
    }
}
