//! LIST: selectors, pages that stay consistent, and which revision is asked for. `[C]`
//!
//! Facts: "Retrieving large results sets in chunks" and "Semantics for get and list" in the
//! Kubernetes API concepts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::format::ListMeta;
use super::json::text;
use super::path::{Query, Target};
use super::selector::{Fields, Labels};
use super::status::{About, Cause, Status};
use super::store::{Expired, Key, Object, Store};

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) objects: Vec<Object>,
    pub(super) meta: ListMeta,
}

/// What the last page told the client to ask for next.
struct Continue {
    revision: u64,
    after: Key,
}

/// Carries out a LIST.
pub(super) fn list(store: &Store, target: &Target, query: &Query) -> Result<Page, Status> {
    let labels = Labels::parse(query.get("labelSelector")).map_err(Status::bad_request)?;
    let fields =
        Fields::parse(query.get("fieldSelector"), target.resource).map_err(Status::bad_request)?;
    let (all, revision) = candidates(store, target, query)?;
    let unfiltered = labels.is_empty() && fields.is_empty();
    let fits =
        |object: &Object| labels.matches(&object["metadata"]["labels"]) && fields.matches(object);
    let mut objects: Vec<Object> = all.into_iter().filter(fits).collect();
    // Revision 0 is answered from the watch cache, which knows no pages.
    let cached = query.get("resourceVersion") == "0" && query.get("continue").is_empty();
    let limit = query
        .number("limit")
        .filter(|_| !cached)
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(0);
    let mut meta = ListMeta { revision, next: None, remaining: None };
    if limit > 0 && objects.len() > limit {
        meta.remaining = unfiltered.then_some(objects.len() - limit);
        objects.truncate(limit);
        meta.next = objects.last().map(|last| encode(revision, last));
    }
    Ok(Page { objects, meta })
}

/// The objects before selectors and limit, and the revision that they show.
fn candidates(store: &Store, target: &Target, query: &Query) -> Result<(Vec<Object>, u64), Status> {
    let namespace = target.namespace.as_deref();
    let current = store.revision();
    let asked = query.get("resourceVersion");
    let token = query.get("continue");
    if !token.is_empty() {
        if !asked.is_empty() && asked != "0" {
            let why = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(why));
        }
        let Continue { revision, after } = decode(token, target)?;
        let snapshot = store.snapshot(target.resource, namespace, Some(after), revision);
        let objects = snapshot.map_err(|Expired { .. }| {
            Status::expired(
                "The provided continue parameter is too old to display a consistent list result. \
                 You must start a new list without the continue parameter.",
            )
        })?;
        return Ok((objects, revision));
    }
    let exact = query.get("resourceVersionMatch");
    if !exact.is_empty() && asked.is_empty() {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        let about = About { group: "meta.k8s.io", resource: "ListOptions", name: "" };
        return Err(Status::invalid(about, &[Cause::forbidden("resourceVersionMatch", why)]));
    }
    let asked = match asked {
        "" => 0,
        text => revision(text)
            .map_err(|error| Status::bad_request(format!("invalid resource version: {error}")))?,
    };
    if asked > current {
        return Err(Status::resource_version_too_large(asked, current));
    }
    if exact == "Exact" {
        let snapshot = store.snapshot(target.resource, namespace, None, asked);
        let objects = snapshot.map_err(|Expired { .. }| {
            Status::expired("The resourceVersion for the provided list is too old.")
        })?;
        return Ok((objects, asked));
    }
    let all = store.list(target.resource, namespace, None);
    Ok((all.map(|(_, object)| object.clone()).collect(), current))
}

/// Reads a resourceVersion; the error is Go's.
pub(super) fn revision(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": \
             invalid syntax"
        )
    })
}

fn encode(revision: u64, last: &Value) -> String {
    let start = format!("{}/{}", text(last, "/metadata/namespace"), text(last, "/metadata/name"));
    let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start});
    BASE64.encode(token.to_string())
}

fn decode(token: &str, target: &Target) -> Result<Continue, Status> {
    let wrong = || Status::bad_request("invalid continue token: continue key is not valid");
    let bytes = BASE64.decode(token).map_err(|_| wrong())?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    let revision = token["rv"].as_u64().ok_or_else(wrong)?;
    let (namespace, name) = text(&token, "/start").split_once('/').ok_or_else(wrong)?;
    Ok(Continue { revision, after: Key::new(target.resource, namespace, name) })
}

#[cfg(test)]
mod tests {
    use super::super::path::split;
    use super::super::resources::CONFIG_MAPS;
    use super::*;

    fn store() -> Store {
        let mut store = Store::new(10, 1);
        for name in ["a", "b", "c", "d", "e"] {
            let metadata = json!({"name": name, "namespace": "qa", "labels": {"odd": name}});
            store.put(Key::new(CONFIG_MAPS, "qa", name), json!({"metadata": metadata}));
        }
        store
    }

    fn ask(store: &Store, query: &str) -> Result<Page, Status> {
        let (path, query) = split(&format!("/api/v1/namespaces/qa/configmaps?{query}"));
        list(store, &Target::of(&path).unwrap(), &query)
    }

    fn names(page: &Page) -> Vec<&str> {
        page.objects.iter().map(|o| text(o, "/metadata/name")).collect()
    }

    #[test]
    fn pages_join_to_the_list_as_it_was_at_the_first() {
        let mut store = store();
        let first = ask(&store, "limit=2").unwrap();
        assert_eq!((names(&first), first.meta.remaining), (vec!["a", "b"], Some(3)));
        store.remove(&Key::new(CONFIG_MAPS, "qa", "c"));
        let token = first.meta.next.clone().unwrap();
        let second = ask(&store, &format!("limit=2&continue={token}")).unwrap();
        assert_eq!(names(&second), ["c", "d"]);
        assert_eq!(second.meta.revision, first.meta.revision);
        let token = second.meta.next.unwrap();
        let third = ask(&store, &format!("limit=2&continue={token}")).unwrap();
        assert_eq!(names(&third), ["e"]);
        assert_eq!(third.meta.next, None);
    }

    #[test]
    fn selectors_narrow_the_list() {
        let store = store();
        assert_eq!(names(&ask(&store, "labelSelector=odd+in+(a,c)").unwrap()), ["a", "c"]);
        assert_eq!(names(&ask(&store, "fieldSelector=metadata.name%3Dd").unwrap()), ["d"]);
    }

    #[test]
    fn impossible_questions_get_the_codes_that_clients_act_on() {
        fn check(store: &Store, query: &str, code: u16, reason: &str) {
            let refused = ask(store, query).unwrap_err();
            assert_eq!((refused.code, refused.reason), (code, reason), "{query}");
        }
        let mut store = store();
        let token = ask(&store, "limit=1").unwrap().meta.next.unwrap();
        for _ in 0..20 {
            store.put(Key::new(CONFIG_MAPS, "qa", "z"), json!({"metadata": {"name": "z"}}));
        }
        check(&store, &format!("continue={token}"), 410, "Expired");
        check(&store, "resourceVersion=2&resourceVersionMatch=Exact", 410, "Expired");
        check(&store, "resourceVersion=99999", 504, "Timeout");
        check(&store, "continue=%21", 400, "BadRequest");
        check(&store, "resourceVersion=x", 400, "BadRequest");
        check(&store, "resourceVersionMatch=Exact", 422, "Invalid");
        check(&store, "fieldSelector=spec.x%3Dy", 400, "BadRequest");
        check(&store, "labelSelector=%3D", 400, "BadRequest");
    }
}
