//! The newer form of Events, `events.k8s.io/v1`, in as much as a controller writes it: created there,
//! read as `v1`. `[C]`
//!
//! The API server stores both forms as one, and is stricter about the newer one (`ValidateEventCreate`
//! in its `pkg/apis/core/validation/events.go`). Nothing else of the group is served.

use serde_json::{Value, json};

use super::http::{Request, Response};
use super::object::{self, Write};
use super::resources::EVENTS;
use super::shared::Shared;
use super::status::{About, Cause, Status};
use super::verbs;
use super::wall::Wall;

/// Answers a POST to the Events of a namespace.
pub(super) fn create(
    shared: &Shared,
    request: &Request,
    namespace: &str,
) -> Result<Response, Status> {
    let sent = verbs::body(request, "Event")?;
    let causes = causes(&sent, namespace);
    if !causes.is_empty() {
        let name = sent["metadata"]["name"].as_str().unwrap_or_default();
        return Err(Status::invalid(About { group: "", resource: "Event", name }, &causes));
    }
    let stored = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": sent["metadata"],
        "involvedObject": sent["regarding"],
        "reason": sent["reason"],
        "message": sent["note"],
        "type": sent["type"],
        "eventTime": sent["eventTime"],
        "reportingComponent": sent["reportingController"],
        "reportingInstance": sent["reportingInstance"],
        "action": sent["action"],
        "source": {},
        "firstTimestamp": null,
        "lastTimestamp": null,
    });
    let write = Write { now: Wall::now(), dry_run: false };
    let made =
        shared.write(|store| object::create(store, EVENTS, namespace, stored.clone(), write))?;
    let mut shown = sent;
    shown["metadata"] = made["metadata"].clone();
    Ok(Response::json(201, &shown))
}

fn causes(event: &Value, namespace: &str) -> Vec<Cause> {
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let mut causes = Vec::new();
    if text("eventTime").is_empty() {
        causes.push(Cause::required("eventTime", ""));
    }
    for field in ["reportingController", "reportingInstance", "action", "reason"] {
        match text(field) {
            "" => causes.push(Cause::required(field, "")),
            value if value.len() > 128 => {
                let why = "can have at most 128 characters";
                causes.push(Cause::invalid(field, &event[field], why));
            }
            _ => {}
        }
    }
    if text("note").len() > 1024 {
        causes.push(Cause::invalid("message", &json!(""), "can have at most 1024 characters"));
    }
    if !matches!(text("type"), "Normal" | "Warning") {
        causes.push(Cause::invalid("type", &event["type"], "has invalid value"));
    }
    if event["regarding"]["namespace"] != namespace {
        let field = "involvedObject.namespace";
        let value = &event["regarding"]["namespace"];
        causes.push(Cause::invalid(field, value, "does not match event.namespace"));
    }
    causes
}
