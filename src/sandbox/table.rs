//! The tables that `kubectl get` prints. `[C]`
//!
//! Columns and cells are those of `pkg/printers/internalversion/printers.go` in Kubernetes 1.37.

use serde_json::{Value, json};

use super::format::{Include, metadata_only};
use super::json::{int, list, text};
use super::resources::{
    CONFIG_MAPS, DEPLOYMENTS, EVENTS, Id, NAMESPACES, PODS, REPLICA_SETS, SECRETS,
    SERVICE_ACCOUNTS, SERVICES,
};
use super::selector::Labels;
use super::wall::Wall;

/// Name, JSON type, and whether it is shown only with `-o wide`.
type Column = (&'static str, &'static str, bool);

const NAME: Column = ("Name", "string", false);
const AGE: Column = ("Age", "string", false);
const WORKLOAD: [Column; 3] =
    [("Containers", "string", true), ("Images", "string", true), ("Selector", "string", true)];

/// A whole table; `meta` is its list metadata.
pub(super) fn table(
    resource: Id,
    objects: &[&Value],
    meta: Value,
    include: Include,
    now: Wall,
) -> Value {
    let definitions: Vec<Value> = columns(resource).iter().map(definition).collect();
    let rows: Vec<Value> =
        objects.iter().map(|object| row(resource, object, include, now)).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn definition((name, kind, wide): &Column) -> Value {
    let format = if *name == "Name" { "name" } else { "" };
    json!({
        "name": name,
        "type": kind,
        "format": format,
        "description": "",
        "priority": i32::from(*wide),
    })
}

fn row(resource: Id, object: &Value, include: Include, now: Wall) -> Value {
    let mut row = json!({"cells": cells(resource, object, now)});
    match include {
        Include::Metadata => row["object"] = metadata_only(object),
        Include::Object => row["object"] = object.clone(),
        Include::None => {}
    }
    row
}

fn columns(resource: Id) -> Vec<Column> {
    match resource {
        DEPLOYMENTS => {
            let own = [
                NAME,
                ("Ready", "string", false),
                ("Up-to-date", "string", false),
                ("Available", "string", false),
                AGE,
            ];
            [&own[..], &WORKLOAD].concat()
        }
        REPLICA_SETS => {
            let own = [
                NAME,
                ("Desired", "integer", false),
                ("Current", "integer", false),
                ("Ready", "integer", false),
                AGE,
            ];
            [&own[..], &WORKLOAD].concat()
        }
        PODS => vec![
            NAME,
            ("Ready", "string", false),
            ("Status", "string", false),
            ("Restarts", "string", false),
            AGE,
            ("IP", "string", true),
            ("Node", "string", true),
            ("Nominated Node", "string", true),
            ("Readiness Gates", "string", true),
        ],
        NAMESPACES => vec![NAME, ("Status", "string", false), AGE],
        SECRETS => vec![NAME, ("Type", "string", false), ("Data", "string", false), AGE],
        CONFIG_MAPS => vec![NAME, ("Data", "string", false), AGE],
        SERVICE_ACCOUNTS => vec![NAME, AGE],
        SERVICES => vec![
            NAME,
            ("Type", "string", false),
            ("Cluster-IP", "string", false),
            ("External-IP", "string", false),
            ("Port(s)", "string", false),
            AGE,
            ("Selector", "string", true),
        ],
        EVENTS => vec![
            ("Last Seen", "string", false),
            ("Type", "string", false),
            ("Reason", "string", false),
            ("Object", "string", false),
            ("Subobject", "string", true),
            ("Source", "string", true),
            ("Message", "string", false),
            ("First Seen", "string", true),
            ("Count", "string", true),
            ("Name", "string", true),
        ],
        _ => vec![NAME, ("Created At", "date", false)],
    }
}

fn cells(resource: Id, object: &Value, now: Wall) -> Value {
    let name = &object["metadata"]["name"];
    let age = now.age_of(text(object, "/metadata/creationTimestamp"));
    let count = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len).to_string();
    match resource {
        DEPLOYMENTS => {
            let (ready, wanted) =
                (int(object, "/status/readyReplicas"), int(object, "/spec/replicas"));
            let [names, images, selector] = workload(object);
            json!([
                name,
                format!("{ready}/{wanted}"),
                int(object, "/status/updatedReplicas"),
                int(object, "/status/availableReplicas"),
                age,
                names,
                images,
                selector,
            ])
        }
        REPLICA_SETS => {
            let [names, images, selector] = workload(object);
            json!([
                name,
                int(object, "/spec/replicas"),
                int(object, "/status/replicas"),
                int(object, "/status/readyReplicas"),
                age,
                names,
                images,
                selector,
            ])
        }
        PODS => pod(object, &age, now),
        NAMESPACES => json!([name, text(object, "/status/phase"), age]),
        SECRETS => json!([name, text(object, "/type"), count("data"), age]),
        CONFIG_MAPS => json!([name, count("data"), age]),
        SERVICE_ACCOUNTS => json!([name, age]),
        SERVICES => service(object, &age),
        EVENTS => event(object, now),
        _ => json!([name, text(object, "/metadata/creationTimestamp")]),
    }
}

/// Containers, images, selector.
fn workload(object: &Value) -> [String; 3] {
    let containers = list(object, "/spec/template/spec/containers");
    let join =
        |field: &str| containers.iter().map(|c| text(c, field)).collect::<Vec<_>>().join(",");
    let selector = Labels::of(&object["spec"]["selector"]);
    let selector = selector.map_or("<invalid>".to_owned(), |labels| labels.show());
    [join("/name"), join("/image"), selector]
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

fn service(object: &Value, age: &str) -> Value {
    let ports: Vec<String> = list(object, "/spec/ports")
        .iter()
        .map(|port| format!("{}/{}", int(port, "/port"), text(port, "/protocol")))
        .collect();
    let selector = json!({"matchLabels": object["spec"]["selector"]});
    let selector = Labels::of(&selector).map_or_else(String::new, |labels| labels.show());
    json!([
        object["metadata"]["name"],
        text(object, "/spec/type"),
        or_none(text(object, "/spec/clusterIP")),
        or_none(text(object, "/spec/externalName")),
        or_none(&ports.join(",")),
        age,
        or_none(&selector),
    ])
}

fn event(object: &Value, now: Wall) -> Value {
    let first = now.age_of(text(object, "/firstTimestamp"));
    let last = match text(object, "/lastTimestamp") {
        "" => first.clone(),
        time => now.age_of(time),
    };
    let involved = &object["involvedObject"];
    let kind = text(involved, "/kind").to_lowercase();
    json!([
        last,
        text(object, "/type"),
        text(object, "/reason"),
        format!("{kind}/{}", text(involved, "/name")),
        text(involved, "/fieldPath"),
        text(object, "/source/component"),
        text(object, "/message").trim(),
        first,
        int(object, "/count").max(1),
        object["metadata"]["name"],
    ])
}

fn pod(object: &Value, age: &str, now: Wall) -> Value {
    let statuses = list(object, "/status/containerStatuses");
    let ready = statuses.iter().filter(|s| s["ready"] == true && running(s)).count();
    let sidecars = list(object, "/spec/initContainers").iter();
    let sidecars = sidecars.filter(|c| c["restartPolicy"] == "Always").count();
    let total = list(object, "/spec/containers").len() + sidecars;
    let (reason, counted) = match initializing(object) {
        Some(reason) => (reason, list(object, "/status/initContainerStatuses")),
        None => (reason(object), statuses),
    };
    let reason = if object["metadata"]["deletionTimestamp"].is_null() {
        reason
    } else {
        "Terminating".into()
    };
    json!([
        object["metadata"]["name"],
        format!("{ready}/{total}"),
        reason,
        restarts(counted, now),
        age,
        or_none(text(object, "/status/podIP")),
        or_none(text(object, "/spec/nodeName")),
        "<none>",
        "<none>",
    ])
}

fn running(status: &Value) -> bool {
    status["state"].get("running").is_some()
}

fn restarts(statuses: &[Value], now: Wall) -> String {
    let count: i64 = statuses.iter().map(|status| int(status, "/restartCount")).sum();
    let ends = statuses.iter().map(|status| text(status, "/lastState/terminated/finishedAt"));
    match ends.max() {
        Some(last) if count > 0 && !last.is_empty() => {
            format!("{count} ({} ago)", now.age_of(last))
        }
        _ => count.to_string(),
    }
}

/// What the first init container that is not done holds the pod up with.
fn initializing(object: &Value) -> Option<String> {
    let specs = list(object, "/spec/initContainers");
    for (at, status) in list(object, "/status/initContainerStatuses").iter().enumerate() {
        let sidecar =
            specs.iter().any(|c| c["name"] == status["name"] && c["restartPolicy"] == "Always");
        let state = &status["state"];
        if state["terminated"]["exitCode"] == 0 || sidecar && status["started"] == true {
            continue;
        }
        let waiting = text(state, "/waiting/reason");
        return Some(match text(state, "/terminated/reason") {
            "" if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            "" => format!("Init:{at}/{}", specs.len()),
            ended => format!("Init:{ended}"),
        });
    }
    None
}

/// Why the pod is as it is: the first container that waits or ended says so, else its phase.
fn reason(object: &Value) -> String {
    let statuses = list(object, "/status/containerStatuses").iter();
    let reasons = statuses.filter_map(|status| {
        let state = &status["state"];
        let reason = match text(state, "/waiting/reason") {
            "" => text(state, "/terminated/reason"),
            waiting => waiting,
        };
        (!reason.is_empty()).then(|| reason.to_owned())
    });
    let mut reasons = reasons;
    reasons.next().unwrap_or_else(|| text(object, "/status/phase").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_700_000_060_000);

    #[test]
    fn every_row_has_a_cell_for_every_column() {
        for id in Id::all() {
            let empty = json!({"metadata": {"name": "x"}});
            let cells = cells(id, &empty, NOW);
            let plural = id.row().plural;
            assert_eq!(cells.as_array().unwrap().len(), columns(id).len(), "{plural}");
        }
    }

    #[test]
    fn a_deployment_shows_ready_of_wanted() {
        let object = json!({
            "metadata": {"name": "web", "creationTimestamp": "2023-11-14T22:13:20Z"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}},
            },
            "status": {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
        });
        let expect = json!(["web", "2/3", 1, 2, "60s", "a,b", "i,j", "app=web"]);
        assert_eq!(cells(DEPLOYMENTS, &object, NOW), expect);
    }

    #[test]
    fn a_pod_shows_why_it_waits_and_when_it_restarted() {
        let mut object = json!({
            "metadata": {"name": "p", "creationTimestamp": "2023-11-14T22:13:20Z"},
            "spec": {"containers": [{"name": "a"}]},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "a",
                "restartCount": 2,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"finishedAt": "2023-11-14T22:14:10Z"}},
            }]},
        });
        let shown = cells(PODS, &object, NOW);
        assert_eq!(
            &shown.as_array().unwrap()[..5],
            json!(["p", "0/1", "CrashLoopBackOff", "2 (10s ago)", "60s"]).as_array().unwrap()
        );
        object["metadata"]["deletionTimestamp"] = "2023-11-14T22:14:10Z".into();
        assert_eq!(cells(PODS, &object, NOW)[2], "Terminating");
    }
}
