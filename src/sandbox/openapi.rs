//! OpenAPI v3, as little as kubectl needs. `[C]`
//!
//! `kubectl apply` and `create` look here whether PATCH takes the parameter `fieldValidation`, so as
//! to leave validation to the server; for the merge of a patch they then use the types that they
//! carry themselves. Schemas are not served, so `kubectl explain` has nothing to say.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::http::Response;
use super::resources::Id;
use super::status::Status;

/// Answers `/openapi/v3` and what is below it.
pub(super) fn v3(rest: &[&str]) -> Result<Response, Status> {
    let body = match *rest {
        [] => index(),
        ["api", "v1"] => document(""),
        ["apis", group, "v1"] if Id::all().any(|id| id.row().group == group) => document(group),
        _ => return Err(Status::unknown_resource()),
    };
    Ok(Response::json(200, &body))
}

fn prefix(group: &str) -> String {
    if group.is_empty() { "api/v1".into() } else { format!("apis/{group}/v1") }
}

fn index() -> Value {
    let paths: BTreeMap<String, Value> = Id::all()
        .map(|id| {
            let prefix = prefix(id.row().group);
            let url = format!("/openapi/v3/{prefix}?hash=depd-sandbox");
            (prefix, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

fn document(group: &str) -> Value {
    let mut paths = Map::new();
    for row in Id::all().map(Id::row).filter(|row| row.group == group) {
        let kind = json!({"group": row.group, "version": row.version, "kind": row.kind});
        let parameters: Vec<Value> =
            ["dryRun", "fieldManager", "fieldValidation"].into_iter().map(parameter).collect();
        let operation = |action: &str| {
            json!({
                "parameters": parameters,
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": kind,
            })
        };
        let scope = if row.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("/{}{scope}/{}", prefix(group), row.plural);
        paths.insert(format!("{collection}/{{name}}"), json!({"patch": operation("patch")}));
        paths.insert(collection, json!({"post": operation("post")}));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "depd sandbox", "version": "v1.37.2"},
        "paths": paths,
        "components": {"schemas": {}},
    })
}

fn parameter(name: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}})
}
