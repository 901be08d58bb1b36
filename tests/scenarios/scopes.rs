//! Which namespaces depd looks at, and with which rights.

use depd::sandbox::RequestView;

use crate::cluster::{Cluster, denied};
use crate::depd::Depd;
use crate::verdicts::Subject;
use crate::wait::wait_for;

fn namespaces(cluster: &Cluster, count: usize) -> Vec<String> {
    (0..count).map(|_| cluster.namespace()).collect()
}

/// How often depd listed the Deployments of a namespace on its own.
fn lists(cluster: &Cluster, namespace: &str) -> usize {
    let all = cluster.all_requests_of_depd(namespace).into_iter();
    all.filter(|request| *request == "list deployments/").count()
}

/// A watch whose first part is the list counts as one, too.
fn watches(cluster: &Cluster, namespace: &str) -> usize {
    let all = cluster.all_requests_of_depd(namespace).into_iter();
    all.filter(|request| *request == "watch deployments/").count()
}

fn looks(cluster: &Cluster, namespace: &str) -> usize {
    lists(cluster, namespace) + watches(cluster, namespace)
}

fn wait_for_titles(depd: &Depd, part: &str, count: usize) {
    wait_for(&format!("{count} × {part}"), || (depd.told(part) >= count).then_some(()));
}

#[test]
fn a_role_in_each_of_two_namespaces_is_enough_and_others_are_told() {
    let cluster = Cluster::start();
    let all = namespaces(&cluster, 3);
    for namespace in &all {
        cluster.deployment(namespace, "web", "nginx:1.24", 1);
    }
    let missing = cluster.unused_namespace();
    let depd = Depd::prepare(&cluster.restricted(&all[..2]));
    for namespace in all.iter().chain([&missing]) {
        depd.save("web", namespace, "nginx:1.25");
    }
    let mut depd = depd;
    depd.launch(&[]);
    wait_for_titles(&depd, "Deployed: web", 2);
    wait_for_titles(&depd, "Not permitted: web", 2);
    for namespace in &all[..2] {
        assert_eq!(cluster.image(namespace, "web"), "nginx:1.25");
    }
    for namespace in [&all[2], &missing] {
        let words = format!("the namespace {namespace} is missing or not permitted");
        let told = depd.slack.messages().into_iter().find(|it| it.text.contains(&words));
        let told = told.expect("it is told");
        assert!(told.text.contains("lacks verb list on apps/deployments"), "{told:?}");
    }
    assert_eq!(cluster.image(&all[2], "web"), "nginx:1.24");
    assert!(!cluster.namespace_exists(&missing));
    assert_eq!(depd.slack.titles().len(), 4, "each is told once: {:?}", depd.slack.titles());
}

#[test]
fn a_namespace_is_watched_while_a_file_names_it() {
    let cluster = Cluster::start();
    let all = namespaces(&cluster, 3);
    for namespace in &all {
        cluster.deployment(namespace, "web", "nginx:1.24", 1);
    }
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &all[0], "nginx:1.25");
    wait_for_titles(&depd, "Deployed: web", 1);
    depd.save("web", &all[1], "nginx:1.25");
    wait_for_titles(&depd, "Deployed: web", 2);
    let before = looks(&cluster, &all[0]);
    assert!(before > 0);
    assert_eq!(looks(&cluster, &all[2]), 0, "no file names it");
    std::fs::remove_file(depd.file(&format!("web_{}.dep", all[0]))).expect("removed");
    depd.wait_for_log("No longer managed");
    depd.save("web", &all[0], "nginx:1.26");
    wait_for_titles(&depd, "Deployed: web", 3);
    assert_eq!(cluster.image(&all[0], "web"), "nginx:1.26");
    assert!(looks(&cluster, &all[0]) > before, "it was left, and is looked at anew");
}

#[test]
fn fault_24_a_user_who_may_only_look_is_told_the_missing_verb_and_the_right_is_noticed() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = Depd::start(&cluster.only_to_read(&namespace), &[]);
    depd.save("web", &namespace, "nginx:1.25");
    let message = depd.slack.wait_for("Not permitted: web");
    assert!(message.text.contains("lacks verb patch on apps/deployments"), "{message:?}");
    depd.look_at_everything(&namespace);
    let tries = cluster.changes_by_depd(&namespace).len();
    assert_eq!(tries, 3, "so many until it is believed, and the next after 30 s");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.24");
    cluster.let_patch(&namespace);
    // A newer file does not wait for the slow retry.
    depd.save("web", &namespace, "nginx:1.26");
    depd.slack.wait_for("Deployed: web");
    assert_eq!(depd.told("Not permitted"), 1, "{:?}", depd.slack.titles());
}

#[test]
fn fault_24_a_role_that_may_list_and_not_watch_is_told_so_and_the_right_is_noticed() {
    let cluster = Cluster::start_for_faults();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let place = format!("in the namespace \"{namespace}\"");
    cluster.set_faults(move |request: &RequestView<'_>| {
        let is_it = request.watch && request.target.contains("/deployments?");
        is_it.then(|| denied("watch", ("apps", "deployments"), &place))
    });
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    let message = depd.slack.wait_for("Not permitted: web");
    assert!(message.text.contains("lacks verb watch on apps/deployments"), "{message:?}");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.24", "nothing was sent before");
    cluster.clear_faults();
    depd.slack.wait_for("Deployed: web");
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
}

/// Nine namespaces, with one file each.
#[track_caller]
fn nine_are_deployed(cluster: &Cluster, all: &[String], depd: &Depd) {
    for namespace in all {
        depd.save("web", namespace, "nginx:1.25");
    }
    wait_for_titles(depd, "Deployed: web", 9);
    for namespace in all {
        assert_eq!(cluster.image(namespace, "web"), "nginx:1.25");
    }
}

#[test]
fn many_namespaces_are_watched_as_one() {
    let cluster = Cluster::start();
    let all = namespaces(&cluster, 9);
    for namespace in &all {
        cluster.deployment(namespace, "web", "nginx:1.24", 1);
    }
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    for namespace in &all {
        depd.save("web", namespace, "nginx:1.24");
    }
    depd.launch(&[]);
    nine_are_deployed(&cluster, &all, &depd);
    let alone: usize = all.iter().map(|namespace| looks(&cluster, namespace)).sum();
    assert_eq!(alone, 0, "none is looked at on its own");
}

#[test]
fn a_role_in_each_of_many_namespaces_is_enough_with_few_lists_at_a_time() {
    let cluster = Cluster::start();
    let all = namespaces(&cluster, 40);
    for namespace in &all {
        cluster.apply_deployment(namespace, "web", "nginx:1.24", 1);
    }
    for namespace in &all {
        cluster.wait_until_available(namespace, "web");
    }
    let mut depd = Depd::prepare(&cluster.restricted(&all));
    for namespace in &all {
        depd.save("web", namespace, "nginx:1.25");
    }
    depd.launch(&["--apply-all"]);
    wait_for_titles(&depd, "Deployed: web", all.len());
    for namespace in &all {
        assert_eq!(cluster.image(namespace, "web"), "nginx:1.25");
        assert_eq!(looks(&cluster, namespace), looks(&cluster, &all[0]), "none is listed twice");
    }
}

#[test]
fn many_namespaces_are_watched_one_by_one_where_the_whole_cluster_is_refused() {
    let cluster = Cluster::start();
    let all = namespaces(&cluster, 9);
    for namespace in &all {
        cluster.deployment(namespace, "web", "nginx:1.24", 1);
    }
    let mut depd = Depd::prepare(&cluster.restricted(&all));
    for namespace in &all {
        depd.save("web", namespace, "nginx:1.24");
    }
    depd.launch(&[]);
    depd.wait_for_log("each namespace is watched on its own instead");
    nine_are_deployed(&cluster, &all, &depd);
}

#[test]
fn a_ninth_namespace_with_a_role_of_its_own_is_not_called_forbidden_before_it_was_asked() {
    let cluster = Cluster::start();
    let all = namespaces(&cluster, 9);
    for namespace in &all {
        cluster.deployment(namespace, "web", "nginx:1.24", 1);
    }
    let mut depd = Depd::prepare(&cluster.restricted(&all));
    for namespace in &all[..8] {
        depd.save("web", namespace, "nginx:1.24");
    }
    depd.launch(&[]);
    nine_are_deployed(&cluster, &all, &depd);
    depd.wait_for_log("each namespace is watched on its own instead");
    assert_eq!(depd.slack.titles().len(), 9, "{:?}", depd.slack.titles());
    let log = depd.log();
    let is_wrong = |line: &&String| line.contains("goes on without");
    assert_eq!(log.iter().find(is_wrong), None, "every kind may be listed in each of them");
}

#[test]
fn a_role_for_deployments_alone_is_enough_and_asks_for_the_rest_once_in_each_namespace() {
    let cluster = Cluster::start_for_faults();
    let all = namespaces(&cluster, 9);
    for namespace in &all {
        cluster.deployment(namespace, "web", "nginx:1.24", 1);
    }
    const OTHERS: [&str; 2] = ["statefulsets", "daemonsets"];
    cluster.set_faults(|request: &RequestView<'_>| {
        let path = request.target.split('?').next().unwrap_or_default();
        let resource = OTHERS.into_iter().find(|it| path.ends_with(&format!("/{it}")))?;
        let verb = if request.watch { "watch" } else { "list" };
        (request.user == "depd").then(|| denied(verb, ("apps", resource), "at the cluster scope"))
    });
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    for namespace in &all {
        depd.save("web", namespace, "nginx:1.24");
    }
    depd.launch(&[]);
    nine_are_deployed(&cluster, &all, &depd);
    for kind in ["StatefulSets", "DaemonSets"] {
        depd.wait_for_log(&format!("depd goes on without {kind} in 9 namespaces"));
    }
    let told = depd.log().iter().filter(|line| line.contains("goes on without")).count();
    assert_eq!(told, 2, "one line for each kind");
    for namespace in &all {
        let asked = cluster.all_requests_of_depd(namespace);
        for resource in OTHERS {
            let of_it = |request: &&String| request.contains(resource);
            assert_eq!(asked.iter().filter(of_it).count(), 2, "{asked:?}");
        }
    }
}

#[test]
fn what_only_a_role_in_its_namespace_allows_is_not_lost_when_a_ninth_namespace_comes() {
    let cluster = Cluster::start_for_faults();
    if !cluster.is_real() {
        println!("skipped: the sandbox has Deployments only; scripts/test-cluster runs this");
        return;
    }
    let set = Subject::create(&cluster, "statefulsets", 1, |_| {});
    let all = [vec![set.namespace.clone()], namespaces(&cluster, 8)].concat();
    for namespace in &all[1..] {
        cluster.deployment(namespace, "web", "nginx:1.24", 1);
    }
    cluster.set_faults(|request: &RequestView<'_>| {
        let path = request.target.split('?').next().unwrap_or_default();
        let resource = ["statefulsets", "daemonsets"]
            .into_iter()
            .find(|resource| path == format!("/apis/apps/v1/{resource}"))?;
        let verb = if request.watch { "watch" } else { "list" };
        (request.user == "depd").then(|| denied(verb, ("apps", resource), "at the cluster scope"))
    });
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    for namespace in &all[..8] {
        depd.save("web", namespace, "nginx:1.25");
    }
    wait_for_titles(&depd, "Deployed: web", 8);
    depd.save("web", &all[8], "nginx:1.25");
    wait_for_titles(&depd, "Deployed: web", 9);
    depd.save("web", &set.namespace, "nginx:1.26");
    wait_for_titles(&depd, "Deployed: web", 10);
    assert_eq!(depd.slack.titles().len(), 10, "{:?}", depd.slack.titles());
}
