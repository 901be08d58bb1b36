//! What takes more than one step: pods that stay behind, strategies that wait for people, rollback.

use serde_json::{Value, json};

use super::means::label_nodes;
use super::{QUICK, Subject, steady};
use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

/// A cluster with StatefulSets; says so where there is none.
fn real() -> Option<Cluster> {
    let cluster = Cluster::start();
    if !cluster.is_real() {
        println!("skipped: the sandbox has no StatefulSets and DaemonSets");
        return None;
    }
    Some(cluster)
}

#[test]
fn a_stateful_set_that_is_stuck_on_a_bad_image_goes_on_when_the_named_pod_is_deleted() {
    let Some(cluster) = real() else { return };
    let depd = Depd::start(&cluster.kubeconfig, QUICK);
    let subject = Subject::create(&cluster, "statefulsets", 2, |_| {});
    let namespace = &subject.namespace;
    subject.settle();
    depd.save("web", namespace, "nginx:missing");
    let failed = subject.message(&depd, "Failed");
    let command = format!("kubectl delete pod web-1 -n {namespace}");
    assert!(failed.text.contains(&command), "{failed:?}");
    depd.save("web", namespace, "nginx:1.25");
    let stuck = subject.message(&depd, "In trouble");
    insta::assert_snapshot!("stateful-set-stuck", steady(&stuck.text, namespace));
    assert_ne!(subject.kubectl_says_done(), Some(true));
    cluster.delete(&format!("/api/v1/namespaces/{namespace}/pods/web-1"));
    subject.message(&depd, "Deployed");
    assert_ne!(subject.kubectl_says_done(), Some(false));
}

#[test]
fn a_parallel_stateful_set_heals_by_a_good_image_alone() {
    let Some(cluster) = real() else { return };
    let depd = Depd::start(&cluster.kubeconfig, QUICK);
    let parallel = |object: &mut Value| object["spec"]["podManagementPolicy"] = "Parallel".into();
    let subject = Subject::create(&cluster, "statefulsets", 2, parallel);
    subject.settle();
    depd.save("web", &subject.namespace, "nginx:missing");
    let failed = subject.message(&depd, "Failed");
    assert!(!failed.text.contains("kubectl delete pod"), "{failed:?}");
    depd.save("web", &subject.namespace, "nginx:1.25");
    subject.message(&depd, "Deployed");
}

#[test]
fn on_delete_waits_until_somebody_deletes_the_old_pods() {
    let Some(cluster) = real() else { return };
    label_nodes(&cluster);
    let depd = Depd::start(&cluster.kubeconfig, &["--timeout", "10s"]);
    for kind in ["statefulsets", "daemonsets"] {
        let on_delete =
            |object: &mut Value| object["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
        let subject = Subject::create(&cluster, kind, 2, on_delete);
        subject.settle();
        depd.save("web", &subject.namespace, "nginx:1.25");
        let held = subject.message(&depd, "Held");
        assert!(held.text.contains("OnDelete"), "{held:?}");
        for pod in cluster.pods(&subject.namespace) {
            let name = pod["metadata"]["name"].as_str().expect("a name");
            cluster.delete(&subject.in_core(&format!("pods/{name}")));
        }
        subject.message(&depd, "Deployed");
        let is_of_it = |title: &&String| title.ends_with(&format!("({})", subject.namespace));
        assert_eq!(depd.slack.titles().iter().filter(is_of_it).count(), 2, "{kind}");
    }
}

#[test]
fn a_name_in_two_kinds_is_held_until_one_is_left() {
    let Some(cluster) = real() else { return };
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    let subject = Subject::create(&cluster, "statefulsets", 1, |_| {});
    cluster.deployment(&subject.namespace, "web", "nginx:1.24", 1);
    subject.settle();
    depd.save("web", &subject.namespace, "nginx:1.25");
    let message = subject.message(&depd, "Does not fit");
    assert!(message.text.contains("a Deployment and a StatefulSet named web"), "{message:?}");
    cluster.delete_deployment(&subject.namespace, "web");
    subject.message(&depd, "Deployed");
}

#[test]
fn the_last_good_image_is_put_back_and_the_bad_content_is_not_tried_again() {
    let cluster = Cluster::start();
    let arguments = [QUICK, &["--rollback", "on-failure"]].concat();
    let mut depd = Depd::start(&cluster.kubeconfig, &arguments);
    let subject = Subject::create(&cluster, "deployments", 2, |_| {});
    let namespace = &subject.namespace;
    subject.settle();
    depd.save("web", namespace, "nginx:1.25");
    subject.message(&depd, "Deployed");
    depd.save("web", namespace, "nginx:missing");
    subject.message(&depd, "Failed");
    let back = subject.message(&depd, "Rolled back");
    insta::assert_snapshot!("rolled-back", steady(&back.text, namespace));
    assert_eq!(cluster.image(namespace, "web"), "nginx:1.25");
    assert_ne!(subject.kubectl_says_done(), Some(false));
    depd.kill();
    depd.launch(&arguments);
    // The same content again, and somebody who touches the workload: neither starts anything.
    depd.save("web", namespace, "nginx:missing");
    cluster.patch(&subject.path(), &json!({ "metadata": { "labels": { "touched": "yes" } } }));
    depd.save("web", namespace, "nginx:1.26");
    wait_for("the other image to be deployed", || (depd.told("Deployed") == 2).then_some(()));
    let changes = cluster.changes_by_depd(namespace);
    assert_eq!(changes.len(), 4, "{changes:?}");
    assert_eq!(depd.slack.titles().len(), 4, "{:?}", depd.slack.titles());
}

#[test]
fn a_rollout_that_gets_well_after_its_failure_is_said_to_have_recovered() {
    let cluster = Cluster::start();
    let depd = Depd::start(&cluster.kubeconfig, &["--timeout", "1s"]);
    let subject = Subject::create(&cluster, "deployments", 1, |_| {});
    subject.settle();
    // Not before two seconds can it be pulled.
    depd.save("web", &subject.namespace, "nginx:flaky");
    subject.message(&depd, "Timed out");
    subject.message(&depd, "Recovered");
    wait_for("kubectl to agree", || (subject.kubectl_says_done() != Some(false)).then_some(()));
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
}
