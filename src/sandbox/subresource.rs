//! Paths below an object: status, scale, and the log of a pod; and reviews of what one may do.

use serde_json::{Value, json};

use super::api::Call;
use super::http::{Request, Response};
use super::json::{default, fields, int, list, text};
use super::kubelet;
use super::object::{self, Part};
use super::resources::PODS;
use super::selector::Labels;
use super::status::{About, Cause, Status};
use super::store::Object;
use super::verbs::{self, Patch};
use super::wall::Wall;

/// Answers a request about a subresource.
pub(super) fn answer(
    call: &Call<'_>,
    method: &str,
    name: &str,
    part: &str,
) -> Result<Response, Status> {
    let known = call.target.resource.row().subresources.iter().any(|sub| sub.name == part);
    if !known {
        return Err(Status::unknown_resource());
    }
    match (part, method) {
        ("log", "GET" | "HEAD") if call.target.resource == PODS => log(call, name),
        ("status", "GET" | "HEAD") => verbs::get(call, name),
        ("status", "PUT" | "PATCH") => status(call, method, name),
        ("scale", "GET" | "HEAD" | "PUT" | "PATCH") => scale(call, method, name),
        _ => Err(Status::method_not_allowed()),
    }
}

/// SelfSubjectAccessReview: the sandbox allows everything to everybody it knows.
pub(super) fn review(request: &Request) -> Result<Response, Status> {
    let mut review = verbs::body(request, "SelfSubjectAccessReview")?;
    default(fields(&mut review), "metadata", json!({}));
    review["kind"] = "SelfSubjectAccessReview".into();
    review["apiVersion"] = "authorization.k8s.io/v1".into();
    review["status"] = json!({"allowed": true});
    Ok(Response::json(201, &review))
}

fn status(call: &Call<'_>, method: &str, name: &str) -> Result<Response, Status> {
    let (key, write) = (call.key(name), call.write());
    let made = if method == "PUT" {
        let body = verbs::body(call.request, call.target.resource.row().kind)?;
        call.shared.write(|store| object::update(store, &key, body, Part::Status, write))?
    } else {
        let patch = Patch::of(call)?;
        call.shared.write(|store| verbs::patched(store, &key, &patch, Part::Status, write))?.1
    };
    Ok(call.show(200, &made))
}

/// `autoscaling/v1` Scale: a view of `spec.replicas` through which only that can be changed.
fn scale(call: &Call<'_>, method: &str, name: &str) -> Result<Response, Status> {
    let key = call.key(name);
    let missing = || Status::not_found(object::about(key.resource, name));
    if matches!(method, "GET" | "HEAD") {
        let found = call.shared.read(|store| store.get(&key).cloned()).ok_or_else(missing)?;
        return Ok(Response::json(200, &scale_of(&found)));
    }
    let (put, patch) = match method {
        "PUT" => (Some(verbs::body(call.request, "Scale")?), None),
        _ => (None, Some(Patch::of(call)?)),
    };
    let write = call.write();
    let made = call.shared.write(|store| {
        let old = store.get(&key).cloned().ok_or_else(missing)?;
        let wanted = match (&put, &patch) {
            (Some(body), _) => body.clone(),
            (None, Some(patch)) => patch.apply(&scale_of(&old))?,
            (None, None) => scale_of(&old),
        };
        let replicas = int(&wanted, "/spec/replicas");
        if replicas < 0 {
            let why = "must be greater than or equal to 0";
            let about = About { group: "autoscaling", resource: "Scale", name };
            let cause = Cause::invalid("spec.replicas", &replicas.into(), why);
            return Err(Status::invalid(about, &[cause]));
        }
        let mut new = Value::clone(&old);
        new["spec"]["replicas"] = replicas.into();
        if let Some(version) = wanted.pointer("/metadata/resourceVersion") {
            new["metadata"]["resourceVersion"] = version.clone();
        }
        object::update(store, &key, new, Part::Main, write)
    })?;
    Ok(Response::json(200, &scale_of(&made)))
}

fn scale_of(object: &Value) -> Value {
    let selector = Labels::of(&object["spec"]["selector"]).unwrap_or_default();
    let metadata = &object["metadata"];
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": int(object, "/spec/replicas")},
        "status": {"replicas": int(object, "/status/replicas"), "selector": selector.show()},
    })
}

/// The log of one container, of this run or the previous one. `follow` is not followed: the lines
/// come, and the answer ends.
fn log(call: &Call<'_>, name: &str) -> Result<Response, Status> {
    let found = call.shared.read(|store| store.get(&call.key(name)).cloned());
    let pod = found.ok_or_else(|| Status::not_found(object::about(PODS, name)))?;
    let container = container(&pod, name, call.query.get("container"))?;
    let previous = call.query.is_true("previous");
    check_started(&pod, container, previous)?;
    let mut lines = kubelet::log_lines(container);
    if let Some(tail) = call.query.number("tailLines") {
        let skipped = lines.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
        lines = &lines[skipped..];
    }
    let stamp = match call.query.is_true("timestamps") {
        true => format!("{} ", Wall::now().text()),
        false => String::new(),
    };
    let mut text: String = lines.iter().map(|line| format!("{stamp}{line}\n")).collect();
    if let Some(limit) = call.query.number("limitBytes") {
        text.truncate(usize::try_from(limit).unwrap_or(usize::MAX).min(text.len()));
    }
    Ok(Response::bytes(200, "text/plain", text.into_bytes()))
}

fn container<'a>(pod: &'a Object, name: &str, wanted: &str) -> Result<&'a Value, Status> {
    let containers = list(pod, "/spec/containers");
    let all = list(pod, "/spec/initContainers").iter().chain(containers);
    if let [only] = containers
        && wanted.is_empty()
    {
        return Ok(only);
    }
    if let Some(found) = all.clone().find(|c| text(c, "/name") == wanted) {
        return Ok(found);
    }
    let names = |list: &[Value]| {
        let names: Vec<&str> = list.iter().map(|c| text(c, "/name")).collect();
        format!("[{}]", names.join(" "))
    };
    Err(Status::bad_request(match wanted {
        "" => format!(
            "a container name must be specified for pod {name}, choose one of: {}",
            names(containers)
        ),
        other => format!("container {other} is not valid for pod {name}"),
    }))
}

/// A container that has not run has no log, and the kubelet says why it has not run.
fn check_started(pod: &Value, container: &Value, previous: bool) -> Result<(), Status> {
    let (name, pod_name) = (text(container, "/name"), text(pod, "/metadata/name"));
    let groups = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let mut statuses = groups.iter().flat_map(|group| list(pod, group));
    let status = statuses.find(|status| text(status, "/name") == name).unwrap_or(&Value::Null);
    let ended = status["lastState"].get("terminated").is_some();
    if previous {
        if ended {
            return Ok(());
        }
        return Err(Status::bad_request(format!(
            "previous terminated container \"{name}\" in pod \"{pod_name}\" not found"
        )));
    }
    let state = &status["state"];
    if ended || state.get("running").is_some() || state.get("terminated").is_some() {
        return Ok(());
    }
    let why = match text(state, "/waiting/reason") {
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        "" => "ContainerCreating",
        other => other,
    };
    Err(Status::bad_request(format!(
        "container \"{name}\" in pod \"{pod_name}\" is waiting to start: {why}"
    )))
}
