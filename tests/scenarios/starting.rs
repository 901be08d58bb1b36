//! A start that finds what an accident looks like: a folder that is not mounted or filled yet, a folder
//! that is being filled, a cluster that lacks what the files name, a consent that was for another time.

use std::fs;
use std::path::PathBuf;

use depd::sandbox::{Fault, RequestView, Sandbox, SandboxOptions};

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

/// A depd that was killed after it had seen 25 services run what their files ask for; their namespace and
/// names.
fn depd_that_knew_25(cluster: &Cluster) -> (Depd, String, Vec<String>) {
    let namespace = cluster.namespace();
    let names = cluster.many_deployments(&namespace, 25);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    names.iter().for_each(|name| depd.save(name, &namespace, "nginx:1.24"));
    depd.launch(&[]);
    depd.wait_for_stored(names.len());
    depd.kill();
    (depd, namespace, names)
}

/// Moves these dep files elsewhere, as if their volume were not mounted; the way back for each.
fn take_away(depd: &Depd, names: &[String], namespace: &str) -> Vec<(PathBuf, PathBuf)> {
    let away = depd.folder().join("away");
    fs::create_dir_all(&away).expect("a folder");
    let move_away = |name: &String| {
        let file = format!("{name}_{namespace}.dep");
        let (from, to) = (depd.file(&file), away.join(&file));
        fs::rename(&from, &to).expect("moved");
        (to, from)
    };
    names.iter().map(move_away).collect()
}

#[test]
fn a_folder_that_is_found_empty_where_files_were_lets_go_of_nothing_and_goes_on_when_they_are_back()
{
    let cluster = Cluster::start();
    let (mut depd, namespace) = Depd::that_deployed_web(&cluster);
    depd.kill();
    // What a person undoes while depd is down is theirs, and the folder is not mounted at the start.
    cluster.set_image(&namespace, "web", "nginx:1.20");
    let back = take_away(&depd, &["web".to_owned()], &namespace);
    depd.launch(&[]);
    let message = depd.slack.wait_for("Everything is held");
    assert!(message.text.contains(&format!("web_{namespace}")), "{message:?}");
    assert!(message.text.contains("--accept-change"), "{message:?}");
    let resume = depd.program(&["resume", "--all", "--state", "state"]).output().expect("it runs");
    assert_eq!(resume.status.code(), Some(1), "it is no halt");
    back.iter().for_each(|(from, to)| fs::rename(from, to).expect("moved"));
    depd.slack.wait_for("Changed in the cluster: web");
    depd.look_at_everything(&namespace);
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.20");
    assert_eq!(cluster.changes_by_depd(&namespace), ["patch deployments/web"]);
    depd.save("web", &namespace, "nginx:1.26");
    depd.wait_for_deployed("web", "nginx:1.26");
}

#[test]
fn a_folder_that_was_emptied_on_purpose_while_depd_was_down_is_accepted_by_a_person() {
    let cluster = Cluster::start();
    let (mut depd, namespace) = Depd::that_deployed_web(&cluster);
    depd.wait_for_acknowledged();
    depd.kill();
    take_away(&depd, &["web".to_owned()], &namespace);
    let pass = depd.once(&[]).output().expect("it runs");
    let text = String::from_utf8(pass.stderr).expect("UTF-8");
    assert_eq!(pass.status.code(), Some(1), "{text}");
    assert!(text.contains("Everything is held"), "{text}");
    depd.launch(&["--accept-change"]);
    depd.wait_for_log("No longer managed");
    // An end in order keeps what was said.
    depd.signal("-TERM");
    assert!(depd.wait().success());
    // Nothing is remembered of it that could be lost once more.
    depd.launch(&[]);
    depd.look_at_everything(&namespace);
    assert!(!depd.log().iter().any(|line| line.contains("Everything is held")));
}

#[test]
fn a_start_like_a_first_one_waits_for_its_files_also_where_it_is_accepted_that_they_are_gone() {
    let cluster = Cluster::start();
    let (mut depd, namespace, names) = depd_that_knew_25(&cluster);
    let database = rusqlite::Connection::open(depd.folder().join("state/depd.db")).expect("opens");
    let lost = "UPDATE service SET state = 'of another depd' WHERE service <> ?1";
    database.execute(lost, [&names[0]]).expect("writes");
    drop(database);
    names.iter().for_each(|name| cluster.set_image(&namespace, name, "nginx:1.20"));
    let back = take_away(&depd, &names, &namespace);
    depd.launch(&["--accept-change"]);
    depd.wait_for_log("the folder asks for nothing yet");
    back.iter().for_each(|(from, to)| fs::rename(from, to).expect("moved"));
    depd.slack.wait_for("Everything is held");
    assert!(cluster.changes_by_depd(&namespace).is_empty());
}

#[test]
fn a_folder_that_is_filled_only_in_part_lets_go_of_nothing() {
    let cluster = Cluster::start();
    let (mut depd, namespace, names) = depd_that_knew_25(&cluster);
    names.iter().for_each(|name| cluster.set_image(&namespace, name, "nginx:1.20"));
    let back = take_away(&depd, &names[..23], &namespace);
    depd.launch(&[]);
    let message = depd.slack.wait_for("Everything is held");
    assert!(message.text.contains("23 services"), "{message:?}");
    back.iter().for_each(|(from, to)| fs::rename(from, to).expect("moved"));
    wait_for("25 messages", || (depd.told("Changed in the cluster") >= 25).then_some(()));
    assert!(cluster.changes_by_depd(&namespace).is_empty());
}

#[test]
fn files_that_come_while_a_first_start_waits_for_the_cluster_count_with_the_others() {
    let cluster = Cluster::start_for_faults();
    let namespace = cluster.namespace();
    let names = cluster.many_deployments(&namespace, 25);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    // A copy is under way.
    names[..3].iter().for_each(|name| depd.save(name, &namespace, "nginx:1.25"));
    let is_of_the_uid =
        |request: &RequestView<'_>| request.target.starts_with("/api/v1/namespaces/kube-system");
    cluster.set_faults(move |request| is_of_the_uid(request).then_some(Fault::ResetBefore));
    depd.launch(&[]);
    depd.wait_for_log("nothing is changed before that is known");
    names[3..].iter().for_each(|name| depd.save(name, &namespace, "nginx:1.25"));
    depd.look_at_everything(&namespace);
    cluster.clear_faults();
    let message = depd.slack.wait_for("Everything is held");
    assert!(message.text.contains("25 services"), "{message:?}");
    assert!(cluster.changes_by_depd(&namespace).is_empty());
}

#[test]
fn on_a_first_start_services_whose_namespace_would_be_created_count_as_well() {
    let cluster = Cluster::start();
    let namespaces: Vec<String> = (0..21).map(|_| cluster.unused_namespace()).collect();
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    namespaces.iter().for_each(|namespace| depd.save("web", namespace, "nginx:1.25"));
    depd.launch(&[]);
    let message = depd.slack.wait_for("Everything is held");
    assert!(message.text.contains("21 services"), "{message:?}");
    depd.look_at_everything(&namespaces[0]);
    assert!(!namespaces.iter().any(|namespace| cluster.namespace_exists(namespace)));
    let plan = depd.command(&["--dry-run"]).output().expect("it runs");
    assert_eq!(plan.status.code(), Some(0), "{plan:?}");
    depd.kill();
    depd.launch(&["--apply-all"]);
    for namespace in &namespaces {
        wait_for("its namespace", || cluster.namespace_exists(namespace).then_some(()));
    }
}

#[test]
fn a_consent_is_for_the_start_that_it_was_given_at_and_not_for_a_reload() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let config = depd.folder().join("config");
    fs::copy(&cluster.kubeconfig, &config).expect("copied");
    depd.launch(&["--kubeconfig", "config", "--accept-change", "--apply-all"]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: web");
    // Weeks later somebody switches the context for something else.
    let other = Sandbox::start(SandboxOptions::default()).expect("it starts");
    fs::write(&config, other.kubeconfig()).expect("written");
    depd.signal("-HUP");
    let message = depd.slack.wait_for("Everything is held");
    assert!(message.text.contains("the cluster was"), "{message:?}");
    let touched = other.requests().into_iter().any(|it| it.user == "depd" && it.method != "GET");
    assert!(!touched, "nothing is changed in the other cluster");
}
