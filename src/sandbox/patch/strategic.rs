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
            let order = changes.get(&format!("$setElementOrder/{name}")).and_then(Value::as_array);
            merge_member(members, name, change, order)?;
        }
    }
    for (name, order) in changes {
        // An order for a list that the patch does not change otherwise.
        if let Some(list) = name.strip_prefix("$setElementOrder/")
            && !changes.contains_key(list)
            && let (Some(Value::Array(items)), Some(order)) =
                (members.get_mut(list), order.as_array())
        {
            let before = items.clone();
            arrange(items, order, &before, list_kind(list, order));
        }
    }
    Ok(())
}

fn merge_member(
    members: &mut Map<String, Value>,
    name: &str,
    change: &Value,
    order: Option<&Vec<Value>>,
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
            let (before, kind) = (items.clone(), list_kind(name, changes));
            merge_list(items, changes, kind)?;
            arrange(items, order.unwrap_or(changes), &before, kind);
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
        return Err(Status::internal(format!(
            "map: {} does not contain declared merge key: {key}",
            in_go(change)
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

/// Puts the elements that `order` names in that order, and weaves the others in: each comes before the
/// first named one that it preceded in the list as it was.
fn arrange(items: &mut Vec<Value>, order: &[Value], before: &[Value], kind: ListKind) {
    if kind == ListKind::Atomic {
        return;
    }
    let same = |item: &Value, wanted: &Value| match kind {
        ListKind::ByKey(key) => item[key] == wanted[key],
        _ => item == wanted,
    };
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(item, other));
    let all = std::mem::take(items);
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        all.into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    let mut named = named.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    while let (Some(other), Some(next)) = (others.peek(), named.peek()) {
        let precedes = match (place(before, other), place(before, next)) {
            (Some(own), Some(of_next)) => own < of_next,
            _ => false,
        };
        items.extend(if precedes { others.next() } else { named.next() });
    }
    items.extend(named);
    items.extend(others);
}

/// A new element without the directives in it.
fn clean(value: &Value) -> Value {
    match value {
        Value::Object(members) => without_directives(members),
        Value::Array(items) => items.iter().map(clean).collect(),
        plain => plain.clone(),
    }
}

/// A value as Go prints it.
fn in_go(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".into(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(in_go).collect::<Vec<_>>().join(" "))
        }
        Value::Object(members) => {
            let pairs = members.iter().map(|(name, value)| format!("{name}:{}", in_go(value)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
        plain => plain.to_string(),
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
            json!({"containers": [{"name": "a", "image": "x:2", "env": [{"name": "L", "value": "2"}, {"name": "K", "value": "1"}]}, {"name": "b", "image": "y:1"}]}),
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
            json!({"ports": [{"port": 443}, {"port": 80}]}),
        );
    }

    #[test]
    fn an_element_without_its_key_is_refused_in_the_words_of_go() {
        let refused = strategic(&json!({}), &json!({"containers": [{"image": "x"}]})).unwrap_err();
        let words = "map: map[image:x] does not contain declared merge key: name";
        assert_eq!((refused.code, refused.message.as_str()), (500, words));
    }
}
