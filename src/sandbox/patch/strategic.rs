//! Strategic merge patch: a merge patch that knows which lists are maps in disguise.
//!
//! The knowledge is a table of field names, not a schema: enough for what kubectl sends about the
//! kinds that the sandbox serves. Directives understood: `$patch` (replace, delete, merge),
//! `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`. Facts: the `patchStrategy` and
//! `patchMergeKey` tags of `k8s.io/api`, and apimachinery's `strategicpatch` package.

use serde_json::{Map, Value};

use super::super::json::fields;
use super::super::status::Status;

/// How a list takes a patch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ListKind {
    /// Replaced as a whole.
    Atomic,
    /// Elements are found by this member.
    ByKey(&'static str),
    /// A set of plain values.
    Set,
}

/// Applies a strategic merge patch.
pub(in super::super) fn strategic(target: &Value, patch: &Value) -> Result<Value, Status> {
    let Value::Object(changes) = patch else {
        return Err(Status::bad_request("invalid JSON document"));
    };
    let mut patched = target.clone();
    merge_object(&mut patched, changes)?;
    Ok(patched)
}

fn merge_object(target: &mut Value, changes: &Map<String, Value>) -> Result<(), Status> {
    match changes.get("$patch").map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => {
            *target = without_directives(changes);
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some(other) => {
            return Err(Status::bad_request(format!("unknown patch type found: {other}")));
        }
    }
    let members = fields(target);
    if let Some(Value::Array(keep)) = changes.get("$retainKeys") {
        members.retain(|name, _| keep.iter().any(|kept| kept == name.as_str()));
    }
    for (name, change) in changes {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = change.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(Value::Array(items)) = members.get_mut(list) {
                items.retain(|item| !gone.contains(item));
            }
        } else if !name.starts_with('$') {
            merge_member(members, name, change)?;
        }
    }
    for (name, order) in changes {
        if let Some(list) = name.strip_prefix("$setElementOrder/")
            && let (Some(Value::Array(items)), Some(order)) =
                (members.get_mut(list), order.as_array())
        {
            set_order(items, order, list_kind(list, items));
        }
    }
    Ok(())
}

fn merge_member(
    members: &mut Map<String, Value>,
    name: &str,
    change: &Value,
) -> Result<(), Status> {
    match change {
        Value::Null => drop(members.remove(name)),
        Value::Object(changes) if changes.get("$patch") == Some(&"delete".into()) => {
            members.remove(name);
        }
        Value::Object(changes) => {
            merge_object(members.entry(name).or_insert(Value::Null), changes)?;
        }
        Value::Array(changes) => {
            let own = members.entry(name).or_insert(Value::Array(Vec::new()));
            if !own.is_array() {
                *own = Value::Array(Vec::new());
            }
            let Value::Array(items) = own else { return Ok(()) };
            merge_list(items, changes, list_kind(name, changes))?;
        }
        plain => drop(members.insert(name.into(), plain.clone())),
    }
    Ok(())
}

fn merge_list(items: &mut Vec<Value>, changes: &[Value], kind: ListKind) -> Result<(), Status> {
    let replace = changes.iter().any(|c| c["$patch"] == "replace");
    match kind {
        _ if replace => {
            let kept = changes.iter().filter(|c| c.get("$patch").is_none());
            *items = kept.map(clean).collect();
        }
        ListKind::Atomic => *items = changes.iter().map(clean).collect(),
        ListKind::Set => {
            for change in changes {
                if !items.contains(change) {
                    items.push(change.clone());
                }
            }
        }
        ListKind::ByKey(key) => {
            for change in changes {
                merge_element(items, change, key)?;
            }
        }
    }
    Ok(())
}

fn merge_element(items: &mut Vec<Value>, change: &Value, key: &str) -> Result<(), Status> {
    let Value::Object(changes) = change else { return Ok(()) };
    let Some(own) = changes.get(key) else {
        return Err(Status::bad_request(format!(
            "map: {change} does not contain declared merge key: {key}"
        )));
    };
    let place = items.iter().position(|item| &item[key] == own);
    match (place, changes.get("$patch").and_then(Value::as_str)) {
        (Some(at), Some("delete")) => drop(items.remove(at)),
        (None, Some("delete")) => {}
        (Some(at), _) => merge_object(&mut items[at], changes)?,
        (None, _) => items.push(clean(change)),
    }
    Ok(())
}

/// Puts the named elements in the given order; the others keep their place behind the element that
/// they followed.
fn set_order(items: &mut Vec<Value>, order: &[Value], kind: ListKind) {
    let same = |item: &Value, wanted: &Value| match kind {
        ListKind::ByKey(key) => item[key] == wanted[key],
        _ => item == wanted,
    };
    let rank = |item: &Value| order.iter().position(|wanted| same(item, wanted));
    let mut last = 0;
    let mut ranked: Vec<(usize, Value)> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        last = rank(&item).map_or(last, |at| at + 1);
        ranked.push((last, item));
    }
    // A stable sort: what has no place of its own stays behind what it followed.
    ranked.sort_by_key(|(at, _)| *at);
    items.extend(ranked.into_iter().map(|(_, item)| item));
}

/// A new element without the directives in it.
fn clean(value: &Value) -> Value {
    match value {
        Value::Object(members) => without_directives(members),
        Value::Array(items) => items.iter().map(clean).collect(),
        plain => plain.clone(),
    }
}

fn without_directives(members: &Map<String, Value>) -> Value {
    let kept = members.iter().filter(|(name, value)| !name.starts_with('$') && !value.is_null());
    Value::Object(kept.map(|(name, value)| (name.clone(), clean(value))).collect())
}

/// What the API types say about the list of this name. `ports` is keyed differently in containers
/// and in Services, and `secrets` are objects only where they are merged.
fn list_kind(name: &str, elements: &[Value]) -> ListKind {
    let has = |key: &str| elements.iter().any(|element| element.get(key).is_some());
    match name {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "secrets"
        | "resourceClaims" => ListKind::ByKey("name"),
        "ports" if has("containerPort") => ListKind::ByKey("containerPort"),
        "ports" => ListKind::ByKey("port"),
        "volumeMounts" => ListKind::ByKey("mountPath"),
        "volumeDevices" => ListKind::ByKey("devicePath"),
        "hostAliases" => ListKind::ByKey("ip"),
        "topologySpreadConstraints" => ListKind::ByKey("topologyKey"),
        "conditions" => ListKind::ByKey("type"),
        "ownerReferences" => ListKind::ByKey("uid"),
        "finalizers" => ListKind::Set,
        _ => ListKind::Atomic,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(target: Value, patch: Value, expect: Value) {
        assert_eq!(strategic(&target, &patch), Ok(expect), "{patch}");
    }

    #[test]
    fn containers_merge_by_name_and_env_within_them() {
        check(
            json!({"containers": [{"name": "a", "image": "x:1", "env": [{"name": "K", "value": "1"}]}, {"name": "b", "image": "y:1"}]}),
            json!({"containers": [{"name": "a", "image": "x:2", "env": [{"name": "L", "value": "2"}]}]}),
            json!({"containers": [{"name": "a", "image": "x:2", "env": [{"name": "K", "value": "1"}, {"name": "L", "value": "2"}]}, {"name": "b", "image": "y:1"}]}),
        );
    }

    #[test]
    fn an_element_can_be_deleted_and_the_order_set() {
        check(
            json!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
            json!({
                "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
                "containers": [{"name": "b", "$patch": "delete"}],
            }),
            json!({"containers": [{"name": "c"}, {"name": "a"}]}),
        );
    }

    #[test]
    fn directives_replace_retain_and_delete() {
        check(
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
            json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
            json!({"strategy": {"type": "Recreate"}}),
        );
        check(
            json!({"labels": {"a": "1", "b": "2"}}),
            json!({"labels": {"$patch": "replace", "c": "3"}}),
            json!({"labels": {"c": "3"}}),
        );
        check(
            json!({"finalizers": ["a", "b"]}),
            json!({"$deleteFromPrimitiveList/finalizers": ["a"]}),
            json!({"finalizers": ["b"]}),
        );
        check(json!({"a": {"b": 1}}), json!({"a": {"$patch": "delete"}}), json!({}));
    }

    #[test]
    fn lists_without_a_key_are_replaced_and_null_removes() {
        check(
            json!({"args": ["a"], "x": 1}),
            json!({"args": ["b"], "x": null}),
            json!({"args": ["b"]}),
        );
    }

    #[test]
    fn ports_of_containers_and_services_have_their_own_keys() {
        check(
            json!({"ports": [{"containerPort": 80, "name": "http"}]}),
            json!({"ports": [{"containerPort": 80, "name": "web"}]}),
            json!({"ports": [{"containerPort": 80, "name": "web"}]}),
        );
        check(
            json!({"ports": [{"port": 80}]}),
            json!({"ports": [{"port": 443}]}),
            json!({"ports": [{"port": 80}, {"port": 443}]}),
        );
    }

    #[test]
    fn an_element_without_its_key_is_a_400() {
        let refused = strategic(&json!({}), &json!({"containers": [{"image": "x"}]}));
        assert_eq!(refused.unwrap_err().code, 400);
    }
}
