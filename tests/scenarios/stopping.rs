//! The end.

use std::time::Instant;

use crate::cluster::Cluster;
use crate::depd::Depd;

#[test]
fn a_term_signal_ends_it_in_order() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:hang");
    depd.wait_for_log("Rolling out");
    let start = Instant::now();
    depd.signal("-TERM");
    let status = depd.wait();
    println!("ended {} ms after SIGTERM", start.elapsed().as_millis());
    assert!(status.success(), "{status}");
    let last = depd.log().pop().unwrap_or_default();
    assert!(last.ends_with("stopped"), "nothing was left undone: {last}");
}
