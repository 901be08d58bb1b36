//! What people do beside depd, and to it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use depd::sandbox::{Sandbox, SandboxOptions};
use serde_json::json;

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

fn changes(cluster: &Cluster, namespace: &str) -> usize {
    cluster.changes_by_depd(namespace).len()
}

/// What a tool does that scales, annotates, and moves containers about; it never sends an image.
fn meddle(cluster: &Cluster, namespace: &str, round: u32) {
    let note = json!({ "metadata": { "annotations": { "round": round.to_string() } },
                       "spec": { "replicas": 1 + round % 3 } });
    cluster.merge_patch(namespace, "web", &note);
    let containers = "/spec/template/spec/containers";
    let swap = json!([{ "op": "move", "from": format!("{containers}/0"), "path": format!("{containers}/1") }]);
    cluster.json_patch(namespace, "web", &swap);
}

#[test]
fn fault_23_what_a_second_writer_does_meanwhile_is_lost_on_neither_side() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let sidecar = json!([{ "op": "add", "path": "/spec/template/spec/containers/-",
                           "value": { "name": "sidecar", "image": "sidecar:1" } }]);
    cluster.json_patch(&namespace, "web", &sidecar);
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    let (over, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    let last = "nginx:1.39";
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                meddle(&cluster, &namespace, rounds.fetch_add(1, Ordering::SeqCst));
            }
        });
        for version in 30..40 {
            let image = format!("nginx:1.{version}");
            depd.save("web", &namespace, &image);
            wait_for("the image", || (image_of_web(&cluster, &namespace) == image).then_some(()));
        }
        over.store(true, Ordering::SeqCst);
    });
    depd.wait_for_deployed("web", last);
    let deployment = cluster.get_deployment(&namespace, "web").expect("there");
    let round = rounds.load(Ordering::SeqCst) - 1;
    assert_eq!(deployment["metadata"]["annotations"]["round"], round.to_string());
    assert_eq!(deployment["spec"]["replicas"], 1 + round % 3);
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().cloned();
    let images = containers.expect("a list").into_iter().map(|it| it["image"].clone());
    let images: BTreeSet<String> = images.map(|it| it.as_str().expect("text").into()).collect();
    assert_eq!(images, BTreeSet::from(["sidecar:1".into(), last.into()]));
    let tries = changes(&cluster, &namespace);
    println!("{rounds:?} rounds of the other writer, {tries} PATCHes for 10 images");
    assert!((10..=40).contains(&tries), "{tries} PATCHes for 10 images");
    assert_eq!(depd.told("Deployed"), depd.slack.titles().len(), "{:?}", depd.slack.titles());
}

fn image_of_web(cluster: &Cluster, namespace: &str) -> String {
    let deployment = cluster.get_deployment(namespace, "web").expect("there");
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().cloned();
    let web = containers.expect("a list").into_iter().find(|it| it["name"] == "web");
    web.and_then(|it| it["image"].as_str().map(str::to_owned)).expect("it is there")
}

#[test]
fn fault_25_a_workload_that_is_made_anew_during_its_rollout_is_not_taken_for_the_old_one() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = Depd::start(&cluster.kubeconfig, &["--timeout", "20s"]);
    depd.save("web", &namespace, "nginx:hang");
    depd.wait_for_log("Rolling out");
    cluster.delete_deployment(&namespace, "web");
    depd.slack.wait_for("Workload deleted: web");
    // Complete at once, and of the same generation soon.
    cluster.apply_deployment(&namespace, "web", "nginx:1.20", 1);
    wait_for("the new one", || (cluster.image(&namespace, "web") == "nginx:hang").then_some(()));
    depd.save("web", &namespace, "nginx:1.25");
    let message = depd.wait_for_deployed("web", "nginx:1.25");
    assert!(!message.text.contains("nginx:1.24"), "that was the old one: {message:?}");
    depd.look_at_everything(&namespace);
    assert_eq!(depd.slack.titles().len(), 3, "{:?}", depd.slack.titles());
    // hang, hang, 1.25; the new one may get its first annotation while it is patched.
    let tries = changes(&cluster, &namespace);
    assert!((3..6).contains(&tries), "{tries} PATCHes");
}

#[test]
fn fault_43_a_lost_setting_is_held_and_nothing_is_patched() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let env = depd.folder().join(".env");
    let whole = fs::read_to_string(&env).expect("readable");
    fs::write(&env, format!("{whole}ECR_REPO=registry.example.com/team\n")).expect("written");
    depd.launch(&[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: web");
    assert_eq!(cluster.image(&namespace, "web"), "registry.example.com/team/nginx:1.25");
    depd.kill();
    // The whole file is lost, and with it the receiver: the log says it.
    fs::remove_file(&env).expect("removed");
    depd.launch(&[]);
    let line = depd.wait_for_log("Everything is held");
    assert!(line.contains("ECR_REPO was registry.example.com/team, and is not set"), "{line}");
    // What a person writes now is held as well.
    depd.save("web", &namespace, "nginx:1.26");
    depd.save("barrier", &namespace, "this is no image");
    depd.wait_for_log("Bad dep file");
    assert_eq!(changes(&cluster, &namespace), 1);
    depd.kill();
    fs::write(&env, format!("{whole}ECR_REPO=registry.example.com/team\n")).expect("written");
    depd.launch(&[]);
    wait_for("the held change", || {
        let image = cluster.image(&namespace, "web");
        (image == "registry.example.com/team/nginx:1.26").then_some(())
    });
}

#[test]
fn fault_43_another_cluster_is_held_and_nothing_is_patched_there() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    cluster.deployment(&namespace, "old", "nginx:1.24", 1);
    depd.save("old", &namespace, "nginx:1.24");
    depd.slack.wait_for("Deployed: web");
    depd.kill();
    // Somebody switched the context: the same names, another cluster.
    let other = Sandbox::start(SandboxOptions::default()).expect("it starts");
    other
        .apply(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace }
        }))
        .expect("created");
    other
        .apply(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "web", "namespace": namespace },
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": { "app": "web" } },
                "template": {
                    "metadata": { "labels": { "app": "web" } },
                    "spec": { "containers": [{ "name": "web", "image": "nginx:1.20" }] }
                }
            }
        }))
        .expect("created");
    let file = depd.folder().join("other");
    fs::write(&file, other.kubeconfig()).expect("written");
    depd.launch(&["--kubeconfig", "other"]);
    let message = depd.slack.wait_for("Everything is held");
    assert!(message.text.contains("the cluster was"), "{message:?}");
    depd.save("web", &namespace, "nginx:1.26");
    // One that the other cluster does not have, in a namespace that it does not have either.
    depd.save("new", &cluster.unused_namespace(), "nginx:1.26");
    fs::remove_file(depd.file(&format!("old_{namespace}.dep"))).expect("removed");
    depd.look_at_everything(&namespace);
    let touched = other.requests().into_iter().any(|r| r.user == "depd" && r.method != "GET");
    assert!(!touched, "nothing is changed in the other cluster");
    let told = ["Deployed", "Everything is held", "Bad dep file"];
    let is_due = |title: &String| told.iter().any(|due| title.starts_with(due));
    assert!(depd.slack.titles().iter().all(is_due), "{:?}", depd.slack.titles());
    assert_eq!(changes(&cluster, &namespace), 1);
    depd.kill();
    depd.launch(&[]);
    wait_for("the change in the right cluster", || {
        (cluster.image(&namespace, "web") == "nginx:1.26").then_some(())
    });
}

#[test]
fn fault_44_an_empty_store_on_a_thousand_files_is_held_with_one_message() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let names: Vec<String> = (0..1000).map(|n| format!("svc-{n}")).collect();
    // Without pods: what counts is how many differ.
    names.iter().for_each(|name| cluster.apply_deployment(&namespace, name, "nginx:1.24", 0));
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    names.iter().for_each(|name| depd.save(name, &namespace, "nginx:1.25"));
    depd.launch(&[]);
    let message = depd.slack.wait_for("Everything is held");
    assert!(message.text.contains("1000 services differ"), "{message:?}");
    depd.look_at_everything(&namespace);
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
    assert_eq!(changes(&cluster, &namespace), 0);
}

#[test]
fn fault_45_a_namespace_that_a_person_deleted_is_not_made_again() {
    let cluster = Cluster::start();
    let (namespace, elsewhere) = (cluster.namespace(), cluster.namespace());
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    cluster.deployment(&elsewhere, "other", "nginx:1.24", 1);
    let mut depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: web");
    cluster.delete_namespace(&namespace);
    depd.slack.wait_for("Workload deleted: web");
    wait_for("the namespace to be gone", || (!cluster.namespace_exists(&namespace)).then_some(()));
    depd.save("other", &elsewhere, "nginx:1.25");
    depd.slack.wait_for("Deployed: other");
    depd.kill();
    depd.launch(&[]);
    depd.look_at_everything(&elsewhere);
    assert!(!cluster.namespace_exists(&namespace));
    let requests = cluster.requests_of_depd(&namespace);
    assert!(!requests.iter().any(|request| request.starts_with("create")), "{requests:?}");
    assert_eq!(depd.told("Workload deleted"), 1);
}

#[test]
fn fault_46_a_rollout_that_a_person_undid_is_said_and_left() {
    let cluster = Cluster::start();
    let (depd, namespace) = Depd::that_deployed_web(&cluster);
    cluster.undo_rollout(&namespace, "web");
    let message = depd.slack.wait_for("Changed in the cluster: web");
    assert_eq!(message.color, "warning");
    cluster.wait_until_available(&namespace, "web");
    depd.look_at_everything(&namespace);
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.24");
    assert_eq!(changes(&cluster, &namespace), 1);
    assert_eq!(depd.slack.titles().len(), 3, "{:?}", depd.slack.titles());
    // The next change of the file counts.
    depd.save("web", &namespace, "nginx:1.26");
    wait_for("the next change", || {
        (cluster.image(&namespace, "web") == "nginx:1.26").then_some(())
    });
}

#[test]
fn drift_is_corrected_where_that_is_asked_for_and_a_fight_is_said_once() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = Depd::start(&cluster.kubeconfig, &["--drift", "correct"]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: web");
    cluster.undo_rollout(&namespace, "web");
    wait_for("the correction", || (changes(&cluster, &namespace) == 2).then_some(()));
    wait_for("its end", || (depd.told("Deployed: web") == 2).then_some(()));
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.25");
    // Again: the next correction waits for half a minute, and nobody is told a second time.
    cluster.undo_rollout(&namespace, "web");
    cluster.wait_until_available(&namespace, "web");
    depd.look_at_everything(&namespace);
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.24");
    assert_eq!(changes(&cluster, &namespace), 2);
    let said = depd.told("Changed in the cluster: web") + depd.told("Corrected");
    assert_eq!(said, 1, "{:?}", depd.slack.titles());
}

#[test]
fn fault_47_scaling_during_a_rollout_and_after_it_makes_no_second_message() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    // Pulls for two seconds, and is well then.
    depd.save("web", &namespace, "nginx:flaky");
    depd.wait_for_log("Rolling out");
    cluster.merge_patch(&namespace, "web", &json!({ "spec": { "replicas": 3 } }));
    depd.slack.wait_for("Deployed: web");
    let available = cluster.get_deployment(&namespace, "web").expect("there");
    assert_eq!(available["status"]["availableReplicas"], 3, "those that were wanted by then");
    for replicas in [1, 2] {
        cluster.merge_patch(&namespace, "web", &json!({ "spec": { "replicas": replicas } }));
        cluster.wait_until_available(&namespace, "web");
    }
    depd.look_at_everything(&namespace);
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
    assert_eq!(changes(&cluster, &namespace), 1);
}

impl Cluster {
    /// `kubectl rollout undo`: by kubectl itself on a real control plane, by what it sends elsewhere.
    fn undo_rollout(&self, namespace: &str, name: &str) {
        if self.is_real() {
            let path = |name: &str| std::env::var_os(name).expect("set");
            let status = Command::new(path("DEPD_TEST_KUBECTL"))
                .arg("--kubeconfig")
                .arg(path("DEPD_TEST_ADMIN_KUBECONFIG"))
                .args(["-n", namespace, "rollout", "undo", &format!("deployment/{name}")])
                .status();
            return assert!(status.expect("kubectl runs").success());
        }
        self.set_image(namespace, name, "nginx:1.24");
    }
}
