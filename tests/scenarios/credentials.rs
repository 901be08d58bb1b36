//! Ways to be known to the API server.

use std::path::PathBuf;

use crate::cluster::Cluster;
use crate::depd::Depd;

#[test]
fn certificate_files_in_the_layout_of_minikube_do() {
    let cluster = Cluster::start();
    let Some(kubeconfig) = std::env::var_os("DEPD_TEST_CERT_KUBECONFIG").map(PathBuf::from) else {
        println!(
            "skipped: DEPD_TEST_CERT_KUBECONFIG is set by scripts/test-cluster only; the sandbox"
        );
        println!("has certificates inside its kubeconfig, which every other test here uses");
        return;
    };
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = Depd::start(&kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: web");
}
