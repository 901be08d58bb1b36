//! Services whose namespace or workload is not there yet.

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

#[test]
pub fn a_new_namespace_is_created_told_and_its_workload_deployed_when_it_is_applied() {
    let cluster = Cluster::start();
    let namespace = cluster.unused_namespace();
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    let message = depd.slack.wait_for("Namespace created: web");
    assert_eq!(message.color, "warning");
    assert!(
        message.text.contains(&format!("kubectl apply -n {namespace} -f web.yaml")),
        "{message:?}"
    );
    assert!(cluster.namespace_exists(&namespace));
    cluster.apply_deployment(&namespace, "web", "nginx:1.24", 1);
    depd.slack.wait_for("Deployed: web");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.25");
    assert_eq!(depd.slack.titles().len(), 2);
}

#[test]
fn a_missing_workload_is_said_once_and_deployed_when_it_appears() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    let message = depd.slack.wait_for("Workload missing: web");
    assert!(message.text.contains(&format!("namespace {namespace} has no workload web")));
    cluster.apply_deployment(&namespace, "web", "nginx:1.25", 1);
    depd.slack.wait_for("Deployed: web");
    let requests = cluster.requests_of_depd(&namespace);
    assert_eq!(requests, [format!("get namespaces/{namespace}")], "the image was there already");
}

#[test]
fn a_deleted_workload_is_said_and_deployed_again_when_it_returns() {
    let cluster = Cluster::start();
    let (depd, namespace) = Depd::that_deployed_web(&cluster);
    cluster.delete_deployment(&namespace, "web");
    depd.slack.wait_for("Workload deleted: web");
    cluster.apply_deployment(&namespace, "web", "nginx:1.20", 1);
    wait_for("the second deployment", || (depd.told("Deployed") == 2).then_some(()));
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.25");
}
