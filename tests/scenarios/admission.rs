//! Admission control that refuses or changes what depd sends: policies of a real API server.
//!
//! The sandbox has none of it; what depd makes of a refusal is tested there with made-up answers
//! (`faults.rs`).

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

const API: &str = "/apis/admissionregistration.k8s.io/v1";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A policy for the Deployments of one namespace, removed when dropped.
struct Policy<'a> {
    cluster: &'a Cluster,
    kind: &'static str,
    namespace: &'a str,
}

impl<'a> Policy<'a> {
    /// `Validating` or `Mutating`, with these further fields in policy and binding.
    fn create(
        cluster: &'a Cluster,
        kind: &'static str,
        namespace: &'a str,
        (policy, binding): (Value, Value),
    ) -> Policy<'a> {
        let object = |suffix: &str, common: Value, more: Value| {
            let mut spec = common.as_object().cloned().unwrap_or_default();
            spec.extend(more.as_object().cloned().unwrap_or_default());
            json!({ "apiVersion": "admissionregistration.k8s.io/v1", "spec": spec,
                    "kind": format!("{kind}AdmissionPolicy{suffix}"),
                    "metadata": { "name": namespace } })
        };
        let rules = json!({ "matchConstraints": { "resourceRules": [{ "apiGroups": ["apps"],
            "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"] }] } });
        let place = json!({ "policyName": namespace, "matchResources": { "namespaceSelector": {
            "matchLabels": { "kubernetes.io/metadata.name": namespace } } } });
        let made = Policy { cluster, kind, namespace };
        cluster.create(&made.path("policies"), &object("", rules, policy));
        cluster.create(&made.path("policybindings"), &object("Binding", place, binding));
        made
    }

    fn path(&self, of: &str) -> String {
        format!("{API}/{}admission{of}", self.kind.to_lowercase())
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        for of in ["policybindings", "policies"] {
            self.cluster.delete(&format!("{}/{}", self.path(of), self.namespace));
        }
    }
}

/// What the API server makes of a Deployment with this image, without keeping it.
fn try_image(cluster: &Cluster, namespace: &str, image: &str) -> Value {
    let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "probe" },
        "spec": { "selector": { "matchLabels": { "app": "probe" } }, "template": {
            "metadata": { "labels": { "app": "probe" } },
            "spec": { "containers": [{ "name": "probe", "image": image }] } } } });
    cluster.try_create(&format!("/apis/apps/v1/namespaces/{namespace}/deployments"), &object)
}

fn real() -> Option<Cluster> {
    let cluster = Cluster::start();
    if !cluster.is_real() {
        println!("skipped: the sandbox has no admission control; scripts/test-cluster runs this");
        return None;
    }
    Some(cluster)
}

#[test]
fn fault_26_what_a_policy_denies_is_said_once_and_not_tried_again() {
    let Some(cluster) = real() else { return };
    let namespace = cluster.namespace();
    for name in ["web", "other"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let denial = json!({ "validations": [{ "message": "nginx:1.25 is barred", "expression":
        "object.spec.template.spec.containers.all(c, c.image != 'nginx:1.25')" }] });
    let policy = Policy::create(
        &cluster,
        "Validating",
        &namespace,
        (denial, json!({ "validationActions": ["Deny"] })),
    );
    wait_for("the policy to be in force", || {
        let answer = try_image(&cluster, &namespace, "nginx:1.25");
        answer["message"].as_str()?.contains("is barred").then_some(())
    });
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    let message = depd.slack.wait_for("Refused: web");
    assert_eq!(message.color, "danger");
    assert!(message.text.contains("nginx:1.25 is barred"), "{message:?}");
    // Looked at again, and seen to be the same. A label: an annotation is a new generation.
    cluster.merge_patch(
        &namespace,
        "web",
        &json!({ "metadata": { "labels": { "note": "seen" } } }),
    );
    depd.save("other", &namespace, "nginx:1.26");
    depd.slack.wait_for("Deployed: other");
    assert_eq!(cluster.changes_by_depd(&namespace).len(), 2, "no loop");
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
    drop(policy);
    wait_for("the policy to be gone", || {
        try_image(&cluster, &namespace, "nginx:1.25")["message"].is_null().then_some(())
    });
    depd.save("web", &namespace, "nginx:1.27");
    depd.slack.wait_for("Deployed: web");
}

#[test]
fn fault_26_an_image_that_a_policy_pins_to_its_digest_is_taken_as_ours_and_said_once() {
    let Some(cluster) = real() else { return };
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let containers = "/spec/template/spec/containers/0/image";
    let image = "object.spec.template.spec.containers[0].image";
    let pin = json!({
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConditions": [{ "name": "not-pinned", "expression": format!("!{image}.contains('@')") }],
        "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": format!(
            "[JSONPatch{{op: 'replace', path: '{containers}', value: {image} + '@{DIGEST}'}}]") } }],
    });
    let _policy = Policy::create(&cluster, "Mutating", &namespace, (pin, json!({})));
    wait_for("the policy to be in force", || {
        try_image(&cluster, &namespace, "nginx:1.25").to_string().contains(DIGEST).then_some(())
    });
    let mut depd = Depd::start(&cluster.kubeconfig, &["--drift", "correct"]);
    let said = |depd: &Depd| {
        let is_it = |line: &&String| line.contains("Image rewritten: ") && line.contains(DIGEST);
        depd.log().iter().filter(is_it).count()
    };
    for (n, version) in ["nginx:1.25", "nginx:1.26"].into_iter().enumerate() {
        depd.save("web", &namespace, version);
        wait_for("the verdict", || (depd.told("Deployed: web") == n + 1).then_some(()));
        assert_eq!(cluster.image(&namespace, "web"), format!("{version}@{DIGEST}"));
    }
    // Neither a look nor a new start takes it for somebody else's change.
    cluster.merge_patch(
        &namespace,
        "web",
        &json!({ "metadata": { "labels": { "note": "seen" } } }),
    );
    depd.look_at_everything(&namespace);
    assert_eq!(said(&depd), 2, "once for each image");
    depd.wait_for_acknowledged();
    depd.kill();
    depd.launch(&["--drift", "correct"]);
    depd.look_at_everything(&namespace);
    assert_eq!(said(&depd), 0, "and not again");
    assert_eq!(cluster.changes_by_depd(&namespace).len(), 2, "no fight");
    assert_eq!(depd.slack.titles().len(), 4, "{:?}", depd.slack.titles());
}
