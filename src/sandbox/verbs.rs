//! The verbs on stored objects, from a decoded request to an answer.

use serde_json::{Value, json};

use super::api::Call;
use super::http::{Request, Response};
use super::list;
use super::object::{self, DeleteOptions, Deleted, Part, Propagation, Write};
use super::patch::{JsonPatch, merge, strategic};
use super::protobuf;
use super::status::{About, Cause, Status};
use super::store::{Key, Object, Store};
use super::validate::decodes;
use super::wall::Wall;
use super::watch::Watch;

const BODIES: &[&str] =
    &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// A decoded PATCH body.
pub(super) enum Patch {
    Json(JsonPatch),
    Merge(Value),
    Strategic(Value),
    /// Server-side apply; here a strategic merge that also creates, for nobody owns fields.
    Apply(Value),
}

impl Call<'_> {
    /// The key of the named object.
    pub(super) fn key(&self, name: &str) -> Key {
        Key::new(self.target.resource, self.target.stored_in(), name)
    }

    /// Now, and whether the client only wants to see what would happen.
    pub(super) fn write(&self) -> Write {
        Write { now: Wall::now(), dry_run: self.query.get("dryRun") == "All" }
    }

    /// An object in the form that the client asked for.
    pub(super) fn show(&self, code: u16, object: &Object) -> Response {
        Response::json(code, &self.format.one(self.target.resource, object, Wall::now()))
    }
}

pub(super) fn get(call: &Call<'_>, name: &str) -> Result<Response, Status> {
    let found = call.shared.read(|store| store.get(&call.key(name)).cloned());
    let about = object::about(call.target.resource, name);
    Ok(call.show(200, &found.ok_or_else(|| Status::not_found(about))?))
}

pub(super) fn list(call: &Call<'_>) -> Result<Response, Status> {
    let page = call.shared.read(|store| list::list(store, &call.target, &call.query))?;
    let body = call.format.many(call.target.resource, &page.objects, &page.meta, Wall::now());
    Ok(Response::bytes(200, "application/json", body))
}

pub(super) fn watch(call: &Call<'_>) -> Result<Watch, Status> {
    let interval = call.shared.bookmark_interval;
    call.shared.read(|store| Watch::new(store, &call.target, &call.query, call.format, interval))
}

pub(super) fn create(call: &Call<'_>) -> Result<Response, Status> {
    let body = body(call.request, call.target.resource.row().kind)?;
    let (resource, write) = (call.target.resource, call.write());
    if resource.row().namespaced && call.target.namespace.is_none() {
        return Err(Status::method_not_allowed());
    }
    let namespace = call.target.stored_in();
    let made =
        call.shared.write(|store| object::create(store, resource, namespace, body, write))?;
    Ok(call.show(201, &made))
}

pub(super) fn replace(call: &Call<'_>, name: &str) -> Result<Response, Status> {
    let body = body(call.request, call.target.resource.row().kind)?;
    let (key, write) = (call.key(name), call.write());
    let made = call.shared.write(|store| {
        object::check_uid(store, &key, &body)?;
        object::update(store, &key, body, Part::Main, write)
    })?;
    Ok(call.show(200, &made))
}

pub(super) fn patch(call: &Call<'_>, name: &str) -> Result<Response, Status> {
    let patch = Patch::of(call)?;
    let (key, write) = (call.key(name), call.write());
    let (code, made) =
        call.shared.write(|store| patched(store, &key, &patch, Part::Main, write))?;
    Ok(call.show(code, &made))
}

/// Applies a patch to the stored object; says whether that made it (201) or changed it (200).
pub(super) fn patched(
    store: &mut Store,
    key: &Key,
    patch: &Patch,
    part: Part,
    write: Write,
) -> Result<(u16, Object), Status> {
    let Some(old) = store.get(key).cloned() else {
        let about = object::about(key.resource, &key.name);
        let Patch::Apply(body) = patch else { return Err(Status::not_found(about)) };
        let mut body = body.clone();
        body["metadata"]["name"] = key.name.clone().into();
        let made = object::create(store, key.resource, &key.namespace, body, write)?;
        return Ok((201, made));
    };
    let new = patch.apply(&old)?;
    decodes(key.resource, &new).map_err(|error| Status::patch_not_decoded(&new, &error))?;
    Ok((200, object::update(store, key, new, part, write)?))
}

impl Patch {
    /// Decodes the body by its content type.
    pub(super) fn of(call: &Call<'_>) -> Result<Patch, Status> {
        let body = &call.request.body;
        let json = || -> Result<Value, Status> {
            let value: Value = serde_json::from_slice(body)
                .map_err(|_| Status::bad_request("invalid JSON patch"))?;
            if value.is_object() {
                return Ok(value);
            }
            Err(Status::bad_request(
                "error decoding patch: json: cannot unmarshal array into Go value of type \
                 map[string]interface {}",
            ))
        };
        match call.request.content_type() {
            "application/json-patch+json" => JsonPatch::decode(body).map(Patch::Json),
            "application/merge-patch+json" => json().map(Patch::Merge),
            "application/strategic-merge-patch+json" => json().map(Patch::Strategic),
            "application/apply-patch+yaml" => {
                if call.query.get("fieldManager").is_empty() {
                    let why = "is required for apply patch";
                    let about = About { group: "meta.k8s.io", resource: "PatchOptions", name: "" };
                    return Err(Status::invalid(about, &[Cause::required("fieldManager", why)]));
                }
                let value = yaml(body)?;
                if !value["metadata"]["managedFields"].is_null() {
                    return Err(Status::bad_request("metadata.managedFields must be nil"));
                }
                Ok(Patch::Apply(value))
            }
            _ => Err(Status::unknown_patch()),
        }
    }

    /// The object after the patch.
    pub(super) fn apply(&self, old: &Value) -> Result<Value, Status> {
        match self {
            Patch::Json(patch) => patch.apply(old),
            Patch::Merge(patch) => {
                let mut new = old.clone();
                merge(&mut new, patch);
                Ok(new)
            }
            Patch::Strategic(patch) | Patch::Apply(patch) => strategic(old, patch),
        }
    }
}

pub(super) fn delete(call: &Call<'_>, name: &str) -> Result<Response, Status> {
    let (options, write) = delete_options(call)?;
    let key = call.key(name);
    let deleted = call.shared.write(|store| object::delete(store, &key, &options, write))?;
    Ok(match deleted {
        Deleted::Gone(status) => Response::status(&status),
        Deleted::Shown(object) => call.show(200, &object),
    })
}

pub(super) fn delete_all(call: &Call<'_>) -> Result<Response, Status> {
    let row = call.target.resource.row();
    if !row.namespaced || call.target.namespace.is_none() {
        return Err(Status::method_not_allowed());
    }
    let (options, write) = delete_options(call)?;
    let page = call.shared.write(|store| {
        let page = list::list(store, &call.target, &call.query)?;
        for object in &page.objects {
            let key = call.key(super::json::text(object, "/metadata/name"));
            object::delete(store, &key, &options, write)?;
        }
        Ok(page)
    })?;
    let body = call.format.many(call.target.resource, &page.objects, &page.meta, Wall::now());
    Ok(Response::bytes(200, "application/json", body))
}

/// From the body, else from the query.
fn delete_options(call: &Call<'_>) -> Result<(DeleteOptions, Write), Status> {
    let body = match call.request.body.is_empty() {
        true => json!({}),
        false => body(call.request, "DeleteOptions")?,
    };
    let word = |name: &str| match body[name].as_str() {
        Some(text) => text.to_owned(),
        None => call.query.get(name).to_owned(),
    };
    let propagation = match word("propagationPolicy").as_str() {
        "" | "Background" => Propagation::Background,
        "Foreground" => Propagation::Foreground,
        "Orphan" => Propagation::Orphan,
        other => {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            let cause = Cause::unsupported("propagationPolicy", &Value::from(other), &known);
            let about = About { group: "meta.k8s.io", resource: "DeleteOptions", name: "" };
            return Err(Status::invalid(about, &[cause]));
        }
    };
    let grace = body["gracePeriodSeconds"].as_i64();
    let condition = |name: &str| body["preconditions"][name].as_str().map(str::to_owned);
    let mut write = call.write();
    write.dry_run |= body["dryRun"].as_array().is_some_and(|all| all.contains(&"All".into()));
    let options = DeleteOptions {
        grace_seconds: grace.or_else(|| call.query.get("gracePeriodSeconds").parse().ok()),
        propagation,
        uid: condition("uid"),
        resource_version: condition("resourceVersion"),
    };
    Ok((options, write))
}

/// A body that holds one object of a kind.
pub(super) fn body(request: &Request, kind: &str) -> Result<Value, Status> {
    match request.content_type() {
        "" | "application/json" => serde_json::from_slice(&request.body).map_err(|error| {
            Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): couldn't get \
                 version/kind; json parse error: {error}"
            ))
        }),
        "application/yaml" => yaml(&request.body),
        "application/vnd.kubernetes.protobuf" => protobuf::decode(&request.body),
        _ => Err(Status::unsupported_media_type(BODIES)),
    }
}

fn yaml(bytes: &[u8]) -> Result<Value, Status> {
    let value: Value = yaml_serde::from_slice(bytes)
        .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    if value.is_object() {
        return Ok(value);
    }
    Err(Status::bad_request("error decoding YAML: it is not an object"))
}
