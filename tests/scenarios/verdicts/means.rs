//! What is done to a cluster so that a rollout fails.

use serde_json::{Value, json};

use super::Subject;
use crate::cluster::Cluster;
use crate::wait::wait_for;

/// A quota that is in force.
pub fn quota(subject: &Subject<'_>, resource: &str, hard: u32) {
    let quotas = subject.in_core("resourcequotas");
    let quota = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": { "name": "small" },
        "spec": { "hard": { resource: hard.to_string() } },
    });
    subject.cluster.create(&quotas, &quota);
    wait_for("the quota to be counted", || {
        let quota = subject.cluster.get(&format!("{quotas}/small"))?;
        let used = &quota["status"]["used"][resource];
        used.as_str().filter(|used| *used != "0").map(|_| ())
    });
}

/// A policy that refuses every image but the first, and is in force.
pub fn deny(subject: &Subject<'_>, resource: &str, group: &str, pod_spec: &str) {
    let base = "/apis/admissionregistration.k8s.io/v1";
    let name = &subject.namespace;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": [resource],
            }] },
            "validations": [{
                "expression": format!("{pod_spec}.containers.all(c, c.image == 'nginx:1.24')"),
                "message": "only nginx:1.24 is allowed here",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": {
                "matchLabels": { "kubernetes.io/metadata.name": name },
            } },
        },
    });
    subject.cluster.create(&format!("{base}/validatingadmissionpolicies"), &policy);
    subject.cluster.create(&format!("{base}/validatingadmissionpolicybindings"), &binding);
    let containers = json!({ "containers": [{ "name": "web", "image": "nginx:1.25" }] });
    let (path, mut probe) = match resource {
        "pods" => (
            subject.in_core("pods"),
            json!({ "apiVersion": "v1", "kind": "Pod", "spec": containers }),
        ),
        _ => {
            let mut object = subject.object(1);
            object["spec"]["template"]["spec"]["containers"] = containers["containers"].clone();
            (subject.collection(), object)
        }
    };
    probe["metadata"]["name"] = "probe".into();
    wait_for("the policy to be in force", || {
        let answer = subject.cluster.try_create(&path, &probe);
        answer["message"].as_str()?.contains("is allowed here").then_some(())
    });
}

pub fn allow(subject: &Subject<'_>) {
    let base = "/apis/admissionregistration.k8s.io/v1";
    for resource in ["validatingadmissionpolicybindings", "validatingadmissionpolicies"] {
        subject.cluster.delete(&format!("{base}/{resource}/{}", subject.namespace));
    }
}

/// The node that is tainted now and then.
const TAINTED: &str = "/api/v1/nodes/node-2";

/// One node for DaemonSets, and another for what is to have none.
pub fn label_nodes(cluster: &Cluster) {
    for (node, word) in [("/api/v1/nodes/node-1", "one"), (TAINTED, "two")] {
        cluster.patch(node, &json!({ "metadata": { "labels": { "depd-test": word } } }));
    }
}

pub fn taint(subject: &Subject<'_>, taints: &Value) {
    subject.cluster.patch(TAINTED, &json!({ "spec": { "taints": taints } }));
}

/// What the kubelet writes when a readiness probe fails; the fake one does not probe.
pub fn warn_of_probe(subject: &Subject<'_>) {
    let pod = wait_for("a pod that runs and is not ready", || {
        let is_it = |pod: &Value| {
            pod["spec"]["containers"][0]["image"] == "nginx:hang"
                && pod["status"]["containerStatuses"][0]["state"].get("running").is_some()
        };
        subject.cluster.pods(&subject.namespace).into_iter().find(is_it)
    });
    let metadata = &pod["metadata"];
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": "unhealthy", "namespace": subject.namespace },
        "involvedObject": { "apiVersion": "v1", "kind": "Pod", "name": metadata["name"],
            "namespace": subject.namespace, "uid": metadata["uid"] },
        "type": "Warning",
        "reason": "Unhealthy",
        "message": "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "firstTimestamp": metadata["creationTimestamp"],
        "lastTimestamp": metadata["creationTimestamp"],
        "count": 3,
        "source": { "component": "kubelet", "host": "node-1" },
    });
    subject.cluster.create(&subject.in_core("events"), &event);
}
