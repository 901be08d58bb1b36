//! Discovery: what kubectl asks to learn which resources there are. `[C]`
//!
//! Both forms are served: one document per group, and the aggregated one of
//! `apidiscovery.k8s.io/v2`. Facts: "API Discovery" in the Kubernetes API concepts.

use serde_json::{Value, json};

use super::http::Response;
use super::resources::{Id, Resource, Subresource};

/// Groups besides the core group, and their only version.
const GROUPS: &[&str] = &["apps", "authorization.k8s.io"];
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The answer to a discovery path; none when the path is something else.
pub(super) fn answer(names: &[&str], accept: &str) -> Option<Response> {
    let aggregated = accept.replace(' ', "").split(',').any(|range| range == AGGREGATED);
    let body = match *names {
        [] => json!({"paths": ["/api", "/api/v1", "/apis", "/apis/apps/v1", "/healthz", "/livez",
            "/openapi/v3", "/readyz", "/version"]}),
        ["api"] if aggregated => return Some(all_at_once(&[""])),
        ["apis"] if aggregated => return Some(all_at_once(GROUPS)),
        ["api"] => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
        ["apis"] => json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": GROUPS.iter().map(|name| group(name)).collect::<Vec<_>>(),
        }),
        ["apis", name] if GROUPS.contains(&name) => {
            let mut group = group(name);
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            group
        }
        ["api", "v1"] => resources(""),
        ["apis", name, "v1"] if GROUPS.contains(&name) => resources(name),
        _ => return None,
    };
    Some(Response::json(200, &body))
}

/// Whether a group is served.
pub(super) fn has(group: &str) -> bool {
    GROUPS.contains(&group)
}

fn version_of(group: &str) -> String {
    if group.is_empty() { "v1".into() } else { format!("{group}/v1") }
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": version_of(name), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn rows(group: &str) -> impl Iterator<Item = &'static Resource> {
    Id::all().map(Id::row).filter(move |row| row.group == group)
}

fn resources(group: &str) -> Value {
    let mut all = Vec::new();
    for row in rows(group) {
        let mut resource = json!({
            "name": row.plural,
            "singularName": row.singular,
            "namespaced": row.namespaced,
            "kind": row.kind,
            "verbs": row.verbs,
        });
        if !row.short.is_empty() {
            resource["shortNames"] = json!(row.short);
        }
        if !row.categories.is_empty() {
            resource["categories"] = json!(row.categories);
        }
        all.push(resource);
        all.extend(row.subresources.iter().map(|sub| below(row, sub)));
    }
    if group == "authorization.k8s.io" {
        all.push(json!({
            "name": "selfsubjectaccessreviews",
            "singularName": "selfsubjectaccessreview",
            "namespaced": false,
            "kind": "SelfSubjectAccessReview",
            "verbs": ["create"],
        }));
    }
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version_of(group),
        "resources": all,
    })
}

fn below(row: &Resource, sub: &Subresource) -> Value {
    let (group, version, kind) = sub.speaks;
    let mut resource = json!({
        "name": format!("{}/{}", row.plural, sub.name),
        "singularName": "",
        "namespaced": row.namespaced,
        "kind": kind,
        "verbs": sub.verbs,
    });
    if group != row.group {
        resource["group"] = group.into();
        resource["version"] = version.into();
    }
    resource
}

fn all_at_once(groups: &[&str]) -> Response {
    let items: Vec<Value> = groups
        .iter()
        .map(|name| {
            let mut resources: Vec<Value> = rows(name).map(discovered).collect();
            if *name == "authorization.k8s.io" {
                resources.push(json!({
                    "resource": "selfsubjectaccessreviews",
                    "responseKind": {"group": name, "version": "v1", "kind": "SelfSubjectAccessReview"},
                    "scope": "Cluster",
                    "singularResource": "selfsubjectaccessreview",
                    "verbs": ["create"],
                }));
            }
            let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
            let version = json!({"version": "v1", "resources": resources, "freshness": "Current"});
            json!({"metadata": metadata, "versions": [version]})
        })
        .collect();
    let body = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    });
    Response::bytes(200, AGGREGATED, body.to_string().into_bytes())
}

fn discovered(row: &'static Resource) -> Value {
    let below: Vec<Value> = row
        .subresources
        .iter()
        .map(|sub| {
            let (group, version, kind) = sub.speaks;
            json!({
                "subresource": sub.name,
                "responseKind": {"group": group, "version": version, "kind": kind},
                "verbs": sub.verbs,
            })
        })
        .collect();
    let mut resource = json!({
        "resource": row.plural,
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
        "scope": if row.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": row.singular,
        "verbs": row.verbs,
    });
    if !row.short.is_empty() {
        resource["shortNames"] = json!(row.short);
    }
    if !row.categories.is_empty() {
        resource["categories"] = json!(row.categories);
    }
    if !below.is_empty() {
        resource["subresources"] = below.into();
    }
    resource
}
