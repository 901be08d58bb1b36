//! `/readyz` and `/healthz` while folder and cluster come and go.

use std::fs;

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::proxy::Proxy;
use crate::secrets::get;
use crate::wait::wait_for;

#[test]
fn ready_means_that_folder_and_cluster_are_watched_and_stay_so() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    // A way to the API server that can be cut.
    let proxy = Proxy::start();
    let config = fs::read_to_string(&cluster.kubeconfig).expect("readable");
    let line = format!("cluster:\n    proxy-url: http://{}\n", proxy.address);
    let through = config.replacen("cluster:\n", &line, 1);
    assert_ne!(through, config);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let file = depd.folder().join("kubeconfig");
    fs::write(&file, through).expect("written");
    depd.env.push(("KUBECONFIG".into(), file.display().to_string()));
    depd.save("web", &namespace, "nginx:1.25");
    // A fiftieth of the usual patience.
    depd.launch(&["--http", "127.0.0.1:0", "--grace-percent", "2"]);
    let probes = depd.wait_for_log("probes are answered at http://");
    let (_, rest) = probes.split_once("http://").expect("found");
    let address = rest.split('/').next().expect("an address");
    let becomes = |status: &str, why: &str| {
        wait_for(&format!("{status} {why}"), || {
            let answer = get(address, "/readyz");
            (answer.contains(status) && answer.ends_with(why)).then_some(())
        });
    };
    becomes(" 200 ", "ok");
    proxy.go_down();
    becomes(" 503 ", "the cluster is not watched; the log says why");
    assert!(get(address, "/healthz").contains(" 200 "), "a restart would not help");
    proxy.come_back();
    becomes(" 200 ", "ok");
    let (deps, away) = (depd.folder().join("deps"), depd.folder().join("away"));
    fs::rename(&deps, &away).expect("renamed");
    becomes(" 503 ", "the folder cannot be read; the log says why");
    fs::rename(&away, &deps).expect("renamed");
    becomes(" 200 ", "ok");
}
