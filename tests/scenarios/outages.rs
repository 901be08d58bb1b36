//! An API server that is away, that forgot, or that went back in time.
//!
//! Some of these stop the server of the real control plane, so they have it for themselves.

use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use depd::sandbox::Fault;
use serde_json::json;

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

/// Passes every connection to `port` on to `target`.
fn forward(port: u16, target: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is still free");
    let pipe = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    };
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", target)).expect("the server listens");
            pipe(client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
            pipe(server, client);
        }
    });
}

#[test]
fn fault_13_an_api_server_that_is_not_there_yet_is_waited_for() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let own = cluster.port();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let kubeconfig = fs::read_to_string(&cluster.kubeconfig).expect("readable");
    let later = kubeconfig.replace(&format!(":{own}"), &format!(":{}", free.port()));
    assert_ne!(later, kubeconfig);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kubeconfig");
    fs::write(&file, later).expect("written");
    let depd = Depd::start_unready(&file, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.wait_for_log("cannot list");
    forward(free.port(), own);
    depd.slack.wait_for("Deployed: web");
    assert_eq!(depd.slack.titles().len(), 1);
}

#[test]
fn fault_13_a_server_whose_name_has_no_address_yet_is_waited_for() {
    let cluster = Cluster::start().behind_a_relay();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    fs::write(place("kubeconfig"), cluster.relay().kubeconfig("api.depd.test")).expect("written");
    fs::write(place("hosts"), "127.0.0.1 localhost\n").expect("written");
    // Nobody answers questions there.
    fs::write(place("resolv.conf"), "nameserver 127.0.0.1\n").expect("written");
    // The two files take the place of the machine's own, for this depd alone.
    let script = ["hosts", "resolv.conf"]
        .map(|name| format!("mount --bind {} /etc/{name} && ", place(name).display()))
        .concat()
        + "exec \"$@\"";
    let can = Command::new("unshare").args(["-m", "sh", "-c", &script, "sh", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("skipped: this user may not make a mount namespace (unshare -m)");
        return;
    }
    let mut depd = Depd::prepare(&place("kubeconfig"));
    depd.starter = ["unshare", "-m", "sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    depd.env = vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())];
    depd.launch_unready(&[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.wait_for_log("cannot list");
    assert!(depd.log().iter().any(|line| line.contains("api.depd.test")), "the name is said");
    fs::write(place("hosts"), "127.0.0.1 localhost api.depd.test\n").expect("written");
    depd.slack.wait_for("Deployed: web");
    assert_eq!(cluster.changes_by_depd(&namespace), ["patch deployments/web"]);
}

#[test]
fn fault_13_a_server_that_stops_in_the_middle_of_everything_and_comes_back_is_waited_for() {
    let Some((cluster, mut server)) = Cluster::start_alone() else { return };
    let namespace = cluster.namespace();
    for name in ["web", "slow"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    // Pulls for two seconds, and is well then.
    depd.save("slow", &namespace, "nginx:flaky");
    depd.wait_for_log("Rolling out");
    server.stop_server();
    depd.save("web", &namespace, "nginx:1.25");
    depd.wait_for_log("cannot patch");
    depd.save("web", &namespace, "nginx:1.26");
    server.start_server();
    depd.wait_for_deployed("web", "nginx:1.26");
    depd.wait_for_deployed("slow", "nginx:flaky");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.26");
    depd.look_at_everything(&namespace);
    assert_eq!(depd.slack.titles().len(), 3, "{:?}", depd.slack.titles());
    for name in ["web", "slow"] {
        let deployment = cluster.get_deployment(&namespace, name).expect("there");
        assert_eq!(deployment["metadata"]["generation"], 2, "one rollout of {name}");
    }
}

#[test]
fn fault_13_an_outage_longer_than_the_time_limit_is_no_time_without_progress() {
    let cluster = Cluster::start();
    let direct = cluster.kubeconfig.clone();
    let cluster = cluster.behind_a_relay();
    let namespace = cluster.namespace();
    for name in ["never", "on-failure", "hung"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let all = ["never", "on-failure"].map(|rollback| {
        let limits = ["--timeout", "4s", "--rollback", rollback];
        (rollback, Depd::start(&cluster.kubeconfig, &limits))
    });
    // Sees the cluster all the time: when its rollout has timed out, so would the others have.
    let witness = Depd::start(&direct, &["--timeout", "12s"]);
    for (name, depd) in &all {
        // Pulls for two seconds, and is well then.
        depd.save(name, &namespace, "nginx:flaky");
        depd.wait_for_log("Rolling out");
    }
    cluster.relay().cut();
    witness.save("hung", &namespace, "nginx:hang");
    witness.slack.wait_for("Timed out: hung");
    all.iter().for_each(|(name, _)| cluster.wait_until_available(&namespace, name));
    cluster.relay().mend();
    for (name, depd) in &all {
        depd.wait_for_deployed(name, "nginx:flaky");
        depd.look_at_everything(&namespace);
        assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
        assert_eq!(cluster.image(&namespace, name), "nginx:flaky");
    }
}

#[test]
fn fault_14_a_watch_that_falls_silent_is_opened_anew() {
    let cluster = Cluster::start_for_faults();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let hung = AtomicBool::new(false);
    cluster.set_faults(move |request| {
        if !request.watch || !request.target.contains("/deployments?") {
            return None;
        }
        // No list as the first part of a watch, so that the watch has a beginning of its own.
        if request.target.contains("sendInitialEvents") {
            return Some(Fault::WatchBytes(Vec::new()));
        }
        (!hung.swap(true, Ordering::SeqCst)).then_some(Fault::HangWatch)
    });
    let depd = Depd::start(&cluster.kubeconfig, &["--watch-idle", "2s"]);
    depd.save("web", &namespace, "nginx:1.25");
    // Nothing of it can be seen until the silence is noticed.
    depd.wait_for_log("nothing came for too long");
    depd.slack.wait_for("Deployed: web");
    cluster.set_image(&namespace, "web", "nginx:1.20");
    depd.slack.wait_for("Changed in the cluster: web");
    assert_eq!(cluster.changes_by_depd(&namespace), ["patch deployments/web"]);
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
}

#[test]
fn fault_19_a_history_that_etcd_has_compacted_is_listed_again_and_nothing_is_missed() {
    let Some((cluster, mut server)) = Cluster::start_alone() else { return };
    let cluster = cluster.behind_a_relay();
    let namespace = cluster.namespace();
    for name in ["web", "gone", "slow"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    for name in ["web", "gone"] {
        depd.save(name, &namespace, "nginx:1.25");
        depd.wait_for_deployed(name, "nginx:1.25");
    }
    depd.save("slow", &namespace, "nginx:flaky");
    depd.wait_for_log("nginx:flaky");
    wait_for("the PATCH", || (cluster.changes_by_depd(&namespace).len() == 3).then_some(()));
    // All that happens now is in the history only, and that is taken away: also what the server's own
    // cache has of it.
    cluster.relay().cut();
    cluster.set_image(&namespace, "web", "nginx:1.20");
    cluster.delete_deployment(&namespace, "gone");
    cluster.wait_until_available(&namespace, "slow");
    cluster.wait_until_available(&namespace, "web");
    server.compact();
    server.stop_server();
    server.start_server();
    cluster.relay().mend();
    depd.slack.wait_for("Changed in the cluster: web");
    depd.slack.wait_for("Workload deleted: gone");
    depd.wait_for_deployed("slow", "nginx:flaky");
    let refused = |uri: &str| uri.contains("watch=") && uri.contains("/deployments?");
    let expired = cluster.relay().expired();
    assert!(expired.iter().any(|uri| refused(uri)), "410 was the answer: {expired:?}");
    // It goes on from there.
    depd.save("web", &namespace, "nginx:1.26");
    depd.wait_for_deployed("web", "nginx:1.26");
    depd.look_at_everything(&namespace);
    assert_eq!(depd.slack.titles().len(), 7, "{:?}", depd.slack.titles());
}

/// What is late is passed on in the end: first of all that the former rollout is complete.
#[test]
fn fault_21_a_watch_that_is_late_makes_no_false_success() {
    let cluster = Cluster::start().behind_a_relay();
    let namespace = cluster.namespace();
    for (name, late) in [("of-workloads", "/deployments?"), ("of-pods", "/pods?"), ("all", "/")] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
        let depd = Depd::start(&cluster.kubeconfig, &["--timeout", "3s"]);
        // Its namespace is watched from now on.
        depd.save(name, &namespace, "nginx:1.24");
        depd.wait_for_log("Up to date");
        cluster.relay().hold(late);
        depd.save(name, &namespace, "nginx:1.25");
        wait_for("the first", || (cluster.image(&namespace, name) == "nginx:1.25").then_some(()));
        cluster.wait_until_available(&namespace, name);
        let first = depd.told("Deployed");
        depd.save(name, &namespace, "nginx:hang");
        wait_for("the second", || (cluster.image(&namespace, name) == "nginx:hang").then_some(()));
        depd.look_at_everything(&namespace);
        cluster.relay().let_go();
        depd.slack.wait_for(&format!("Timed out: {name} "));
        depd.look_at_everything(&namespace);
        let told = depd.told("Deployed");
        // Where workloads are seen at once, the first may have been seen to be complete.
        assert!(told == first && (late == "/pods?" || told == 0), "{:?}", depd.slack.titles());
    }
}

#[test]
fn fault_22_an_etcd_that_was_restored_to_an_older_state_is_listed_again_and_verdicts_are_true() {
    let Some((cluster, mut server)) = Cluster::start_alone() else { return };
    let namespace = cluster.namespace();
    for name in ["web", "other", "hung"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.wait_for_deployed("web", "nginx:1.25");
    server.snapshot();
    // A future that will not have been.
    depd.save("web", &namespace, "nginx:1.26");
    depd.wait_for_deployed("web", "nginx:1.26");
    cluster.deployment(&namespace, "late", "nginx:1.24", 1);
    depd.save("late", &namespace, "nginx:1.25");
    depd.wait_for_deployed("late", "nginx:1.25");
    depd.save("hung", &namespace, "nginx:hang");
    depd.wait_for_log("nginx:hang");
    wait_for("the PATCH", || (cluster.image(&namespace, "hung") == "nginx:hang").then_some(()));
    // So far ahead that what starts anew does not write as much before depd comes back.
    for n in 0..200 {
        let label = json!({ "metadata": { "labels": { "n": n.to_string() } } });
        cluster.merge_patch(&namespace, "other", &label);
    }
    server.restore();
    depd.wait_for_log("the API server went back to an older state");
    depd.slack.wait_for("Changed in the cluster: web");
    depd.slack.wait_for("Workload deleted: late");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.25", "it is said and left");
    assert_eq!(depd.told("Deployed: hung"), 0, "{:?}", depd.slack.titles());
    // Deployments go on, with true verdicts: also where the rollout that was forgotten had the very
    // same generation.
    depd.save("hung", &namespace, "nginx:missing");
    depd.slack.wait_for("Failed: hung");
    depd.save("hung", &namespace, "nginx:1.25");
    depd.wait_for_deployed("hung", "nginx:1.25");
    depd.save("web", &namespace, "nginx:1.27");
    depd.wait_for_deployed("web", "nginx:1.27");
    depd.save("other", &namespace, "nginx:1.25");
    depd.wait_for_deployed("other", "nginx:1.25");
    for (name, image) in [("web", "nginx:1.27"), ("other", "nginx:1.25"), ("hung", "nginx:1.25")] {
        cluster.wait_until_available(&namespace, name);
        assert_eq!(cluster.image(&namespace, name), image);
    }
    cluster.deployment(&namespace, "late", "nginx:1.24", 1);
    wait_for("the second deployment", || (depd.told("Deployed: late") == 2).then_some(()));
}
