//! The main job.

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

#[test]
pub fn a_saved_file_is_deployed_followed_and_reported() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 3);
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    let message = depd.slack.wait_for("Deployed: web");
    assert_eq!(message.color, "good");
    assert!(message.text.contains("nginx:1.24 → nginx:1.25"), "{message:?}");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.25");
    let deployment = cluster.get_deployment(&namespace, "web").expect("there");
    assert_eq!(deployment["status"]["availableReplicas"], 3);
    let cause = &deployment["metadata"]["annotations"]["kubernetes.io/change-cause"];
    assert_eq!(*cause, format!("depd: web_{namespace}.dep set web=nginx:1.25"));
    assert_eq!(cluster.requests_of_depd(&namespace), ["patch deployments/web"]);
}

#[test]
fn a_hundred_files_in_a_tight_loop_are_a_hundred_patches_and_a_hundred_messages() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let names = cluster.many_deployments(&namespace, 100);
    let depd = Depd::start(&cluster.kubeconfig, &["--apply-all"]);
    for name in &names {
        depd.save(name, &namespace, "nginx:1.25");
    }
    wait_for("a hundred messages", || (depd.slack.messages().len() >= 100).then_some(()));
    let mut titles = depd.slack.titles();
    titles.sort();
    let mut expected: Vec<String> =
        names.iter().map(|name| format!("Deployed: {name} ({namespace})")).collect();
    expected.sort();
    assert_eq!(titles, expected);
    for name in &names {
        assert_eq!(cluster.image(&namespace, name), "nginx:1.25");
    }
    let mut requests = cluster.requests_of_depd(&namespace);
    requests.sort();
    let mut patches: Vec<String> =
        names.iter().map(|name| format!("patch deployments/{name}")).collect();
    patches.sort();
    assert_eq!(requests, patches, "one PATCH each and nothing else");
}

#[test]
fn files_that_are_there_at_the_start_are_deployed_and_agreeing_ones_left_alone() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "same", "nginx:1.24", 1);
    cluster.deployment(&namespace, "other", "nginx:1.24", 1);
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("same", &namespace, "docker.io/library/nginx:1.24");
    depd.save("other", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: other");
    depd.wait_for_log(&format!("same_{namespace}: Up to date"));
    assert_eq!(cluster.requests_of_depd(&namespace), ["patch deployments/other"]);
    assert_eq!(depd.slack.titles().len(), 1);
}

#[test]
pub fn a_newer_file_supersedes_the_rollout_in_flight() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 2);
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:hang");
    wait_for("the first rollout", || {
        (cluster.image(&namespace, "web") == "nginx:hang").then_some(())
    });
    depd.save("web", &namespace, "nginx:1.26");
    let message = depd.slack.wait_for("Deployed: web");
    assert!(message.text.contains("nginx:hang → nginx:1.26"), "{message:?}");
    depd.wait_for_log("Superseded");
    assert_eq!(depd.slack.titles().len(), 1, "no verdict for the superseded one");
}

#[test]
pub fn a_change_by_somebody_else_is_said_and_not_undone() {
    let cluster = Cluster::start();
    let (depd, namespace) = Depd::that_deployed_web(&cluster);
    cluster.set_image(&namespace, "web", "nginx:1.20");
    let message = depd.slack.wait_for("Changed in the cluster: web");
    assert_eq!(message.color, "warning");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.20");
}

#[test]
fn a_paused_workload_is_held_until_it_is_resumed() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    cluster.merge_patch(&namespace, "web", &serde_json::json!({ "spec": { "paused": true } }));
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Held: web");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.24");
    cluster.merge_patch(&namespace, "web", &serde_json::json!({ "spec": { "paused": false } }));
    depd.slack.wait_for("Deployed: web");
}
