//! `depd plan` on a cluster: what admission says, in its own words, and nothing changed.

use std::process::Output;

use depd::sandbox::{Fault, RequestView, Response, Status};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::verdicts::Subject;
use crate::verdicts::means::{allow, deny};

fn plan(depd: &Depd, cluster: &Cluster, more: &[&str]) -> (Option<i32>, String) {
    let mut command = depd.program(&["plan", "--state", "state"]);
    command.args(more).env("KUBECONFIG", &cluster.kubeconfig);
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout) + &text(stderr))
}

/// The version of a workload, which every write raises.
fn version(subject: &Subject<'_>) -> Value {
    subject.cluster.get(&subject.path()).expect("there")["metadata"]["resourceVersion"].clone()
}

/// Every image but nginx:1.24 is refused.
fn refuse(subject: &Subject<'_>) {
    if subject.cluster.is_real() {
        return deny(subject, "deployments", "apps", "object.spec.template.spec");
    }
    let path = subject.path();
    subject.cluster.set_faults(move |request: &RequestView<'_>| {
        let is_it = request.method == "PATCH" && request.target.starts_with(&format!("{path}?"));
        let words = "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'p' with binding \
                     'b' denied request: only nginx:1.24 is allowed here";
        is_it.then(|| Fault::Respond(Response::status(&Status::new(422, "Invalid", words))))
    });
}

#[test]
fn a_plan_has_the_words_of_admission_and_changes_nothing() {
    let cluster = Cluster::start();
    let [free, guarded] = [(); 2].map(|()| {
        let subject = Subject::create(&cluster, "deployments", 1, |_| {});
        subject.settle();
        subject
    });
    refuse(&guarded);
    let depd = Depd::prepare(&cluster.kubeconfig);
    let missing = cluster.unused_namespace();
    for namespace in [&free.namespace, &guarded.namespace, &missing] {
        depd.save("web", namespace, "nginx:1.25");
    }
    let before = [version(&free), version(&guarded)];
    let (code, text) = plan(&depd, &cluster, &[]);
    assert_eq!(code, Some(1), "{text}");
    for part in [
        "roll out          web: nginx:1.24 → nginx:1.25",
        "only nginx:1.24 is allowed here",
        "create namespace",
        "3 services: 2 would be changed, 1 is in trouble; nothing was changed",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let key = format!("web_{}", free.namespace);
    let (code, text) = plan(&depd, &cluster, &[&key]);
    assert_eq!(code, Some(3), "{text}");
    assert_eq!([version(&free), version(&guarded)], before, "nothing was written");
    assert!(!cluster.namespace_exists(&missing));
    assert!(!depd.folder().join("state").exists());
    depd.save("web", &free.namespace, "nginx:1.24");
    let (code, text) = plan(&depd, &cluster, &[&key]);
    assert_eq!(code, Some(0), "{text}");
    if cluster.is_real() {
        allow(&guarded);
    }
}

fn doctor(
    depd: &Depd,
    kubeconfig: &std::path::Path,
) -> (Option<i32>, Vec<(String, String, String)>) {
    let mut command = depd.program(&["doctor", "--state", "state", "--output", "json"]);
    let output = command.env("KUBECONFIG", kubeconfig).output().expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |one: &Value, field: &str| one[field].as_str().expect("text").to_owned();
    let line = |one: &Value| (text(one, "verdict"), text(one, "check"), text(one, "finding"));
    (output.status.code(), report["checks"].as_array().expect("a list").iter().map(line).collect())
}

#[test]
fn a_doctor_finds_that_the_printed_rights_are_enough() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let depd = Depd::prepare(&cluster.kubeconfig);
    depd.save("web", &namespace, "nginx:1.25");
    let (code, lines) = doctor(&depd, &cluster.kubeconfig);
    assert_eq!(code, Some(0), "{lines:#?}");
    let found = |check: &str, part: &str| {
        lines
            .iter()
            .any(|(verdict, own, text)| verdict == "ok" && own == check && text.contains(part))
    };
    assert!(found("rights", "that depd needs"), "{lines:#?}");
    assert!(found("API server", "Kubernetes v1."), "{lines:#?}");
    assert!(found("certificate", "ends at"), "{lines:#?}");
    assert!(found("clock", "within seconds"), "{lines:#?}");
}

#[test]
fn a_doctor_names_each_verb_that_is_missing_and_where() {
    let cluster = Cluster::start();
    if !cluster.is_real() {
        println!("skipped: the sandbox grants everything to everybody; see tests/cli/doctor.rs");
        return;
    }
    let [own, other] = [cluster.namespace(), cluster.namespace()];
    let kubeconfig = cluster.restricted(std::slice::from_ref(&own));
    let role = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{own}/roles/depd");
    let mut rules = cluster.get(&role).expect("there")["rules"].clone();
    rules[0]["verbs"] = serde_json::json!(["get", "list", "watch"]);
    cluster.patch(&role, &serde_json::json!({ "rules": rules }));
    let depd = Depd::prepare(&kubeconfig);
    depd.save("web", &own, "nginx:1.25");
    let says = |part: String| {
        crate::wait::wait_for(&part, || {
            let (code, lines) = doctor(&depd, &kubeconfig);
            let found = lines.iter().any(|(v, c, f)| v == "fail" && c == "rights" && *f == part);
            (found && code == Some(1)).then_some(())
        });
    };
    let patch = |places: &str| {
        format!("patch on apps/deployments is not granted in {places}; no image can be changed")
    };
    says(patch(&own));
    depd.save("web", &other, "nginx:1.25");
    says(patch(&own));
    says(format!(
        "get, list, watch, patch on apps/deployments is not granted in {other}; nothing is deployed"
    ));
}
