//! Bad files: a clear line each, the others go on, nothing in the cluster changes.

use std::fs;

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::receiver::Message;
use crate::wait::wait_for;

#[test]
fn bad_files_are_named_and_the_others_go_on() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    for name in ["web", "broken", "good"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    fs::write(depd.file("no underscore.dep"), "nginx:1.25\n").expect("written");
    fs::write(depd.file("Upper_case.dep"), "nginx:1.25\n").expect("written");
    depd.save("broken", &namespace, "this is no image");
    depd.save("web", &namespace, "");
    depd.save("good", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: good");
    let message = depd.slack.wait_for("Bad dep file: broken");
    assert_eq!(message.color, "danger");
    depd.wait_for_log("no underscore.dep");
    depd.wait_for_log("Upper_case.dep");
    assert_eq!(cluster.requests_of_depd(&namespace), ["patch deployments/good"]);
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.24");
    depd.save("broken", &namespace, "nginx:1.26");
    depd.slack.wait_for("Deployed: broken");
}

#[test]
fn a_file_that_does_not_fit_the_workload_names_its_containers() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "sidecar=nginx:1.25");
    let message = depd.slack.wait_for("Does not fit: web");
    assert!(message.text.contains("no container sidecar; its containers: web"), "{message:?}");
    assert!(cluster.requests_of_depd(&namespace).is_empty());
}

#[test]
fn a_deleted_file_changes_nothing_in_the_cluster() {
    let cluster = Cluster::start();
    let (depd, namespace) = Depd::that_deployed_web(&cluster);
    fs::remove_file(depd.file(&format!("web_{namespace}.dep"))).expect("removed");
    depd.wait_for_log("No longer managed");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.25");
}

#[test]
fn the_webhooks_address_and_the_token_stay_out_of_the_log() {
    let cluster = Cluster::start();
    let (depd, _) = Depd::that_deployed_web(&cluster);
    let log = depd.log().join("\n");
    assert!(!log.contains("test-webhook-secret"), "{log}");
    let kubeconfig = fs::read_to_string(&cluster.kubeconfig).expect("readable");
    for line in kubeconfig.lines().filter(|l| l.contains("token:") || l.contains("key-data:")) {
        let secret = line.rsplit(' ').next().expect("a value");
        assert!(secret.len() > 20 && !log.contains(secret), "{line}");
    }
}

#[test]
fn security_13_an_image_that_is_not_allowed_any_more_comes_back_on_no_way() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::start(&cluster.kubeconfig, &[]);
    for image in ["nginx:1.25", "good.io/web:2"] {
        depd.save("web", &namespace, image);
        wait_for(image, || {
            let told = |it: &Message| it.text.contains(&format!("→ {image} "));
            depd.slack.messages().iter().any(told).then_some(())
        });
    }
    depd.kill();
    let limited = ["--allow-image", "good.io", "--rollback", "on-failure", "--timeout", "20s"];
    depd.launch(&limited);
    // What a person asks for.
    let key = format!("web_{namespace}");
    let written = depd.program(&["rollback", &key, "--state", "state"]).output().expect("it runs");
    assert!(written.status.success(), "{written:?}");
    let text = fs::read_to_string(depd.file(&format!("{key}.dep"))).expect("readable");
    assert!(text.contains("nginx:1.25"), "{text}");
    let message = depd.slack.wait_for("Bad dep file: web");
    assert!(message.text.contains("docker.io/library/nginx are not allowed"), "{message:?}");
    assert_eq!(cluster.image(&namespace, "web"), "good.io/web:2");
    // What is under way while the list changes: it gets its verdict, and nothing is set.
    depd.kill();
    depd.launch(&[]);
    depd.save("web", &namespace, "nginx:flaky");
    depd.wait_for_log("→ nginx:flaky");
    depd.kill();
    depd.launch(&limited);
    depd.wait_for_log("docker.io/library/nginx are not allowed");
    wait_for("its verdict", || {
        let told =
            |it: &Message| it.title.starts_with("Deployed") && it.text.contains("nginx:flaky");
        depd.slack.messages().iter().any(told).then_some(())
    });
    // What depd itself would put back.
    depd.save("web", &namespace, "good.io/web:missing");
    let message = depd.slack.wait_for("Rollback failed: web");
    assert!(message.text.contains("nginx:flaky could not be put back"), "{message:?}");
    assert!(message.text.contains("docker.io/library/nginx are not allowed"), "{message:?}");
    assert_eq!(cluster.image(&namespace, "web"), "good.io/web:missing");
    depd.save("web", &namespace, "good.io/web:3");
    wait_for("the next one", || {
        let told = |it: &Message| it.text.contains("→ good.io/web:3 ");
        depd.slack.messages().iter().any(told).then_some(())
    });
}
