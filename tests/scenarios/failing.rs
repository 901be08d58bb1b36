//! Rollouts that fail: the reason is named, once, and a good file afterwards is deployed at once.

use std::time::Instant;

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::receiver::Message;
use crate::wait::wait_for;

/// Deploys `tag` over a healthy workload and returns the message and the namespace.
fn fail(cluster: &Cluster, depd: &Depd, namespace: &str, tag: &str, title: &str) -> Message {
    cluster.deployment(namespace, "web", "nginx:1.24", 2);
    depd.save("web", namespace, &format!("nginx:{tag}"));
    depd.slack.wait_for(title)
}

/// How long after a pod showed `reason` the message came; printed, not asserted.
fn print_latency(shown: Instant, message: &Message) {
    println!(
        "message {} ms after the pod's status was seen",
        message.at.duration_since(shown).as_millis()
    );
}

fn wait_for_reason(cluster: &Cluster, namespace: &str, reason: &str) -> Instant {
    wait_for(&format!("a pod with {reason}"), || {
        let shows = |pod: &serde_json::Value| pod["status"].to_string().contains(reason);
        cluster.pods(namespace).iter().any(shows).then(Instant::now)
    })
}

#[test]
pub fn an_image_that_does_not_exist_is_named_and_a_good_one_is_deployed_at_once() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    cluster.deployment(&namespace, "web", "nginx:1.24", 2);
    depd.save("web", &namespace, "nginx:missing");
    let shown = wait_for_reason(&cluster, &namespace, "ErrImagePull");
    let message = depd.slack.wait_for("Failed: web");
    print_latency(shown, &message);
    assert_eq!(message.color, "danger");
    assert!(message.text.contains("cannot pull nginx:missing"), "{message:?}");
    assert!(message.text.contains("not found"), "{message:?}");
    assert!(message.text.contains(&format!("web_{namespace}.dep")), "{message:?}");
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: web");
    assert_eq!(depd.slack.titles().len(), 2, "each outcome once: {:?}", depd.slack.titles());
    let mut requests = cluster.requests_of_depd(&namespace);
    // Where the Deployment does not tell its new ReplicaSet in time, that is asked for.
    requests.retain(|request| request != "list replicasets/");
    assert_eq!(requests, ["patch deployments/web", "patch deployments/web"]);
}

#[test]
fn an_invalid_image_name_is_named() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    let message = fail(&cluster, &depd, &namespace, "invalid", "Failed: web");
    assert!(message.text.contains("InvalidImageName"), "{message:?}");
}

#[test]
pub fn a_crash_loop_is_named_with_the_last_lines_of_the_log() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    let message = fail(&cluster, &depd, &namespace, "crash", "Failed: web");
    assert!(message.text.contains("CrashLoopBackOff"), "{message:?}");
    assert!(message.text.contains("```"), "the log's last lines: {message:?}");
    assert!(message.text.contains("fatal"), "{message:?}");
}

#[test]
fn a_pull_error_that_passes_is_no_failure() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    fail(&cluster, &depd, &namespace, "flaky", "Deployed: web");
    assert_eq!(depd.slack.titles().len(), 1);
}

#[test]
fn a_rollout_without_progress_times_out() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let depd = Depd::start(&cluster.kubeconfig, &["--timeout", "3s"]);
    let message = fail(&cluster, &depd, &namespace, "hang", "Timed out: web");
    assert_eq!(message.color, "warning");
    assert!(message.text.contains("no progress for 3.0 s"), "{message:?}");
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: web");
}
