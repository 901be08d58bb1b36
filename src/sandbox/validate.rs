//! The mistakes that the API server refuses with 422 and a list of causes. `[C]`
//!
//! Facts: `pkg/apis/{core,apps}/validation` of Kubernetes 1.37. An image with blanks around it, for
//! one, is allowed in a pod template and refused only in a Pod: the ReplicaSet then fails to make
//! pods. What is not checked here is accepted, which the real server may not do.

use std::collections::HashSet;

use serde_json::Value;

use super::json::{int, list, text};
use super::resources::{DEPLOYMENTS, Id, NAMESPACES, PODS, REPLICA_SETS, SERVICES};
use super::selector::Labels;
use super::status::{About, Cause, Status};

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
    characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
    '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case \
    alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character \
    (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Checks a completed object; `old` is what it replaces.
pub(super) fn validate(resource: Id, object: &Value, old: Option<&Value>) -> Result<(), Status> {
    let mut causes = Vec::new();
    if old.is_none() {
        name(resource, object, &mut causes);
    }
    match resource {
        DEPLOYMENTS => {
            workload(object, true, &mut causes);
            deployment(object, &mut causes);
        }
        REPLICA_SETS => workload(object, false, &mut causes),
        PODS => {
            pod_spec(&object["spec"], "spec", &mut causes);
            if old.is_none() {
                images_of_pod(&object["spec"], &mut causes);
            }
        }
        _ => {}
    }
    if let Some(old) = old {
        immutable(resource, object, old, &mut causes);
    }
    if causes.is_empty() {
        return Ok(());
    }
    let row = resource.row();
    let name = text(object, "/metadata/name");
    Err(Status::invalid(About { group: row.group, resource: row.kind, name }, &causes))
}

fn name(resource: Id, object: &Value, causes: &mut Vec<Cause>) {
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
        return;
    }
    let label = matches!(resource, NAMESPACES | SERVICES);
    let (limit, rule) = if label { (63, LABEL_RULE) } else { (253, SUBDOMAIN_RULE) };
    let value = Value::from(name);
    if name.len() > limit {
        let unit = if label { "characters" } else { "bytes" };
        let why = format!("must be no more than {limit} {unit}");
        causes.push(Cause::invalid("metadata.name", &value, &why));
        if resource == NAMESPACES {
            // It is also the value of the label that every namespace gets.
            let why = "must be no more than 63 bytes";
            causes.push(Cause::invalid("metadata.labels", &value, why));
        }
    }
    let fits = if label { is_label(name) } else { name.split('.').all(is_label) };
    if !fits {
        causes.push(Cause::invalid("metadata.name", &value, rule));
    }
}

fn is_label(part: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
}

/// What a Deployment and a ReplicaSet share.
fn workload(object: &Value, strict: bool, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    not_negative(spec, "replicas", "spec", causes);
    let template = &spec["template"];
    let selector = &spec["selector"];
    if selector.is_null() {
        causes.push(Cause::required("spec.selector", ""));
    }
    match Labels::of(selector) {
        // No selector selects nothing; an empty one everything.
        Some(_) if selector.is_null() => mismatched(template, causes),
        None => causes.push(Cause::invalid("spec.selector", selector, "invalid label selector")),
        Some(labels) if labels.is_empty() => {
            let kind = if strict { "deployment" } else { "replicaset" };
            let why = format!("empty selector is invalid for {kind}");
            causes.push(Cause::invalid("spec.selector", selector, &why));
        }
        Some(labels) if !labels.matches(&template["metadata"]["labels"]) => {
            mismatched(template, causes);
        }
        Some(_) => {}
    }
    pod_spec(&template["spec"], "spec.template.spec", causes);
    let policy = &template["spec"]["restartPolicy"];
    if policy.is_string() && policy != "Always" {
        let field = "spec.template.spec.restartPolicy";
        causes.push(Cause::unsupported(field, policy, &["Always"]));
    }
}

fn mismatched(template: &Value, causes: &mut Vec<Cause>) {
    causes.push(Cause::invalid(
        "spec.template.metadata.labels",
        &template["metadata"]["labels"],
        "`selector` does not match template `labels`",
    ));
}

fn deployment(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let strategy = &spec["strategy"];
    let rolling = &strategy["rollingUpdate"];
    match text(strategy, "/type") {
        "Recreate" if !rolling.is_null() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            causes.push(Cause::forbidden("spec.strategy.rollingUpdate", why));
        }
        "Recreate" => {}
        "RollingUpdate" => rolling_update(rolling, causes),
        _ => {
            let known = ["Recreate", "RollingUpdate"];
            // The server shows its internal form, in which names and order are Go's.
            let kind = &strategy["type"];
            let shown = format!("{{\"Type\":{kind},\"RollingUpdate\":{rolling}}}");
            causes.push(Cause::unsupported("spec.strategy", &shown, &known));
        }
    }
    not_negative(spec, "minReadySeconds", "spec", causes);
    not_negative(spec, "revisionHistoryLimit", "spec", causes);
    not_negative(spec, "progressDeadlineSeconds", "spec", causes);
    let deadline = &spec["progressDeadlineSeconds"];
    if deadline.as_i64().is_some_and(|limit| limit <= int(spec, "/minReadySeconds")) {
        let why = "must be greater than minReadySeconds";
        causes.push(Cause::invalid("spec.progressDeadlineSeconds", deadline, why));
    }
}

fn rolling_update(rolling: &Value, causes: &mut Vec<Cause>) {
    for name in ["maxUnavailable", "maxSurge"] {
        let field = format!("spec.strategy.rollingUpdate.{name}");
        let value = &rolling[name];
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match value {
            Value::String(percent) if !percent.strip_suffix('%').is_some_and(digits) => {
                let why = "a valid percent string must be a numeric string followed by an ending \
                           '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
                causes.push(Cause::invalid(field, value, why));
            }
            Value::Number(count) if count.as_i64().is_some_and(|count| count < 0) => {
                causes.push(Cause::invalid(field, value, "must be greater than or equal to 0"));
            }
            _ => {}
        }
    }
    let zero = |value: &Value| value == 0 || value == "0%";
    if zero(&rolling["maxUnavailable"]) && zero(&rolling["maxSurge"]) {
        let field = "spec.strategy.rollingUpdate.maxUnavailable";
        let why = "may not be 0 when `maxSurge` is 0";
        causes.push(Cause::invalid(field, &rolling["maxUnavailable"], why));
    }
}

fn not_negative(spec: &Value, name: &str, path: &str, causes: &mut Vec<Cause>) {
    if spec[name].as_i64().is_some_and(|value| value < 0) {
        let field = format!("{path}.{name}");
        causes.push(Cause::invalid(field, &spec[name], "must be greater than or equal to 0"));
    }
}

fn pod_spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    if list(spec, "/containers").is_empty() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let mut seen = HashSet::new();
    for group in ["containers", "initContainers"] {
        for (at, container) in list(spec, &format!("/{group}")).iter().enumerate() {
            let place = format!("{path}.{group}[{at}]");
            let name = text(container, "/name");
            if name.is_empty() {
                causes.push(Cause::required(format!("{place}.name"), ""));
            } else if !is_label(name) || name.len() > 63 {
                let why = if is_label(name) { "must be no more than 63 bytes" } else { LABEL_RULE };
                causes.push(Cause::invalid(format!("{place}.name"), &container["name"], why));
            } else if !seen.insert(name) {
                causes.push(Cause::duplicate(format!("{place}.name"), &container["name"]));
            }
            if text(container, "/image").is_empty() {
                causes.push(Cause::required(format!("{place}.image"), ""));
            }
            let policy = &container["imagePullPolicy"];
            let known = ["Always", "IfNotPresent", "Never"];
            if policy.as_str().is_some_and(|policy| !known.contains(&policy)) {
                causes.push(Cause::unsupported(format!("{place}.imagePullPolicy"), policy, &known));
            }
        }
    }
}

fn images_of_pod(spec: &Value, causes: &mut Vec<Cause>) {
    for group in ["containers", "initContainers"] {
        for (at, container) in list(spec, &format!("/{group}")).iter().enumerate() {
            let image = text(container, "/image");
            if image.trim() != image {
                let field = format!("spec.{group}[{at}].image");
                let why = "must not have leading or trailing whitespace";
                causes.push(Cause::invalid(field, &container["image"], why));
            }
        }
    }
}

fn immutable(resource: Id, object: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let mut fixed = vec![("/metadata/name", "metadata.name"), ("/metadata/uid", "metadata.uid")];
    if matches!(resource, DEPLOYMENTS | REPLICA_SETS) {
        fixed.push(("/spec/selector", "spec.selector"));
    }
    for (pointer, field) in fixed {
        if object.pointer(pointer) != old.pointer(pointer) {
            let value = object.pointer(pointer).unwrap_or(&Value::Null);
            causes.push(Cause::invalid(field, value, "field is immutable"));
        }
    }
}

/// The types of the fields that the controllers and depd read. A wrong type is not a 422 of
/// validation but a failure to decode; the error is Go's, for the caller to wrap.
pub(super) fn decodes(resource: Id, object: &Value) -> Result<(), String> {
    let wrong = |value: &Value, field: &str, want: &str| {
        let found = match value {
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            Value::Array(_) => "array",
            _ => "object",
        };
        format!("json: cannot unmarshal {found} into Go struct field {field} of type {want}")
    };
    let kind = resource.row().kind;
    for name in ["name", "namespace", "resourceVersion", "uid", "generateName"] {
        let value = &object["metadata"][name];
        if !value.is_null() && !value.is_string() {
            return Err(wrong(value, &format!("ObjectMeta.metadata.{name}"), "string"));
        }
    }
    for name in ["annotations", "labels"] {
        let value = &object["metadata"][name];
        let plain = |map: &serde_json::Map<String, Value>| map.values().all(Value::is_string);
        if !value.is_null() && !value.as_object().is_some_and(plain) {
            let inner = value.as_object().and_then(|map| map.values().find(|v| !v.is_string()));
            let field = format!("ObjectMeta.metadata.{name}");
            return Err(wrong(inner.unwrap_or(value), &field, "string"));
        }
    }
    if !matches!(resource, DEPLOYMENTS | REPLICA_SETS | PODS) {
        return Ok(());
    }
    let spec = &object["spec"];
    for name in ["replicas", "minReadySeconds", "progressDeadlineSeconds", "revisionHistoryLimit"] {
        if !spec[name].is_null() && !spec[name].is_i64() && !spec[name].is_u64() {
            return Err(wrong(&spec[name], &format!("{kind}Spec.spec.{name}"), "int32"));
        }
    }
    if !spec["paused"].is_null() && !spec["paused"].is_boolean() {
        return Err(wrong(&spec["paused"], &format!("{kind}Spec.spec.paused"), "bool"));
    }
    let (pod, path) = match resource {
        PODS => (spec, "spec"),
        _ => (&spec["template"]["spec"], "spec.template.spec"),
    };
    for group in ["containers", "initContainers"] {
        if !pod[group].is_null() && !pod[group].is_array() {
            let want = "[]v1.Container";
            return Err(wrong(&pod[group], &format!("PodSpec.{path}.{group}"), want));
        }
        for container in list(pod, &format!("/{group}")) {
            for name in ["name", "image"] {
                if !container[name].is_null() && !container[name].is_string() {
                    let field = format!("Container.{path}.{group}.{name}");
                    return Err(wrong(&container[name], &field, "string"));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
