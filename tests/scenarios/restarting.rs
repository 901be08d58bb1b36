//! A depd that ends in the middle of things, and the next one in its place.

use std::fs;
use std::process::Output;

use depd::sandbox::{About, Fault, RequestView, Response, Status};

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

#[test]
fn a_rollout_that_was_in_flight_at_a_kill_gets_its_one_verdict() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    // Enough for the rollout that succeeds, on a slow machine too.
    let limit = ["--timeout", "15s"];
    let mut depd = Depd::start(&cluster.kubeconfig, &["--timeout", "10m"]);
    depd.save("web", &namespace, "nginx:hang");
    depd.wait_for_log("Rolling out");
    depd.kill();
    assert!(depd.slack.titles().is_empty());
    depd.launch(&limit);
    let message = depd.slack.wait_for("Timed out: web");
    assert!(message.text.contains("nginx:1.24 → nginx:hang"), "{message:?}");
    assert_eq!(cluster.changes_by_depd(&namespace), ["patch deployments/web"], "no second PATCH");
    depd.save("web", &namespace, "nginx:1.26");
    depd.slack.wait_for("Deployed: web");
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
    assert_eq!(cluster.changes_by_depd(&namespace).len(), 2);
}

#[test]
pub fn a_rollout_that_ended_while_depd_was_down_gets_its_verdict() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::start(&cluster.kubeconfig, &[]);
    // Whatever the old depd finds out before it is killed, its receiver does not hear of it.
    depd.slack.go_down();
    depd.save("web", &namespace, "nginx:1.25");
    depd.wait_for_log("Rolling out");
    depd.kill();
    cluster.wait_until_available(&namespace, "web");
    depd.slack.come_back();
    depd.launch(&[]);
    depd.slack.wait_for("Deployed: web");
    depd.look_at_everything(&namespace);
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
    assert_eq!(cluster.changes_by_depd(&namespace), ["patch deployments/web"], "no second PATCH");
}

#[test]
fn a_file_that_changed_while_depd_was_down_is_deployed() {
    let cluster = Cluster::start();
    let (mut depd, namespace) = Depd::that_deployed_web(&cluster);
    depd.kill();
    depd.save("web", &namespace, "nginx:1.26");
    depd.launch(&[]);
    let message = depd.wait_for_deployed("web", "nginx:1.26");
    assert!(message.text.contains("nginx:1.25 → nginx:1.26"), "{message:?}");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.26");
    assert_eq!(depd.told("Changed in the cluster"), 0, "that is no drift");
}

#[test]
fn an_image_that_changed_while_depd_was_down_is_told_and_left() {
    let cluster = Cluster::start();
    let (mut depd, namespace) = Depd::that_deployed_web(&cluster);
    depd.kill();
    cluster.set_image(&namespace, "web", "nginx:1.20");
    depd.launch(&[]);
    let message = depd.slack.wait_for("Changed in the cluster: web");
    assert_eq!(message.color, "warning");
    depd.look_at_everything(&namespace);
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.20");
    assert_eq!(cluster.changes_by_depd(&namespace), ["patch deployments/web"]);
    assert_eq!(depd.told("Changed in the cluster"), 1);
}

#[test]
fn a_verdict_that_nobody_heard_is_told_after_a_kill() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.slack.go_down();
    depd.save("web", &namespace, "nginx:1.25");
    depd.wait_for_log("Deployed");
    // It was on its way, so it was in the store before.
    wait_for("an attempt to deliver", || (depd.slack.refused() > 0).then_some(()));
    depd.kill();
    assert!(depd.slack.titles().is_empty());
    depd.slack.come_back();
    depd.launch(&[]);
    depd.slack.wait_for("Deployed: web");
    depd.look_at_everything(&namespace);
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
}

#[test]
fn a_second_depd_on_the_same_state_says_who_runs_and_leaves() {
    let cluster = Cluster::start();
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    let second = |arguments: &[&str]| -> (Option<i32>, String) {
        let Output { status, stderr, .. } = depd.command(arguments).output().expect("it runs");
        (status.code(), String::from_utf8(stderr).expect("UTF-8"))
    };
    let (code, text) = second(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("already running, pid {}\n", depd.pid())), "{text}");
    let (code, text) = second(&["--quiet"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("already running"), "{text}");
}

#[test]
fn fault_40_a_depd_whose_state_was_deleted_leaves_it_to_the_one_that_began_there_anew() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::start(&cluster.kubeconfig, &[]);
    fs::remove_dir_all(depd.folder().join("state")).expect("ours");
    // What cron does a minute later.
    let second = depd.launch_beside();
    depd.save("web", &namespace, "nginx:1.25");
    let status = depd.wait();
    assert_eq!(status.code(), Some(1));
    let line = depd.wait_for_log("is used by another depd");
    assert!(line.contains(&format!("pid {}: this one ends", second.pid())), "{line}");
    depd.slack.wait_for("Deployed: web");
    depd.look_at_everything(&namespace);
    assert_eq!(depd.told("Deployed: web"), 1);
    assert_eq!(cluster.changes_by_depd(&namespace), ["patch deployments/web"]);
}

#[test]
fn a_first_start_that_would_change_much_is_held_until_it_is_meant() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let names = cluster.many_deployments(&namespace, 25);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    names.iter().for_each(|name| depd.save(name, &namespace, "nginx:1.25"));
    depd.launch(&[]);
    let message = depd.slack.wait_for("Everything is held");
    assert_eq!(message.color, "danger");
    assert!(message.text.contains("25 services"), "{message:?}");
    assert!(message.text.contains("--apply-all"), "{message:?}");
    depd.look_at_everything(&namespace);
    assert_eq!(depd.told("Everything is held"), 1);
    assert!(cluster.requests_of_depd(&namespace).is_empty());
    depd.kill();
    depd.launch(&["--apply-all"]);
    wait_for("25 messages", || (depd.told("Deployed") >= 25).then_some(()));
    for name in &names {
        assert_eq!(cluster.image(&namespace, name), "nginx:1.25");
    }
    assert_eq!(cluster.changes_by_depd(&namespace).len(), 25);
}

#[test]
fn a_folder_that_was_empty_at_a_first_start_is_held_against_the_same_limit_when_it_is_filled() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let names = cluster.many_deployments(&namespace, 25);
    let mut depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.kill();
    // Started twice on nothing, it still has not seen a file.
    depd.launch(&[]);
    // A volume that is mounted late, for example: another folder of that name, full of files.
    let (late, deps) = (depd.folder().join("late"), depd.folder().join("deps"));
    std::fs::create_dir(&late).expect("a folder");
    for name in &names {
        std::fs::write(late.join(format!("{name}_{namespace}.dep")), "nginx:1.25\n")
            .expect("written");
    }
    std::fs::remove_dir(&deps).expect("removed");
    std::fs::rename(&late, &deps).expect("moved");
    let message = depd.slack.wait_for("Everything is held");
    assert!(message.text.contains("25 services"), "{message:?}");
    assert!(message.text.contains("--apply-all"), "{message:?}");
    depd.look_at_everything(&namespace);
    assert!(cluster.changes_by_depd(&namespace).is_empty());
    depd.kill();
    depd.launch(&["--apply-all"]);
    wait_for("25 messages", || (depd.told("Deployed") >= 25).then_some(()));
}

#[test]
fn files_that_a_person_writes_one_by_one_after_a_first_start_on_nothing_are_deployed() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let names = cluster.many_deployments(&namespace, 25);
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("svc-0", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: svc-0");
    // The folder was seen with something in it: from here on nothing is a first start any more.
    names[1..].iter().for_each(|name| depd.save(name, &namespace, "nginx:1.25"));
    wait_for("25 messages", || (depd.told("Deployed") >= 25).then_some(()));
    assert_eq!(depd.told("Everything is held"), 0);
}

#[test]
fn a_cluster_whose_uid_may_not_be_read_any_more_is_the_same_and_one_that_does_not_answer_is_asked_again()
 {
    let cluster = Cluster::start_for_faults();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let is_of_the_uid = |target: &str| target.starts_with("/api/v1/namespaces/kube-system");
    let refuse = move |request: &RequestView<'_>| {
        let about = About { group: "", resource: "namespaces", name: "kube-system" };
        let why = "User \"depd\" cannot get resource \"namespaces\" in API group \"\" at the \
                   cluster scope";
        let refusal = Response::status(&Status::forbidden(about, why));
        is_of_the_uid(request.target).then_some(Fault::Respond(refusal))
    };
    let mut depd = Depd::start(&cluster.kubeconfig, &[]);
    let deployed = |depd: &mut Depd, image: &str| {
        depd.save("web", &namespace, image);
        wait_for(image, || (cluster.image(&namespace, "web") == image).then_some(()));
        depd.kill();
        depd.launch(&[]);
    };
    deployed(&mut depd, "nginx:1.25");
    cluster.set_faults(refuse);
    deployed(&mut depd, "nginx:1.26");
    cluster.clear_faults();
    deployed(&mut depd, "nginx:1.27");
    assert_eq!(depd.told("Everything is held"), 0);
    // Without an answer nothing is known, and nothing is done.
    depd.kill();
    cluster.set_faults(move |request| is_of_the_uid(request.target).then_some(Fault::ResetBefore));
    depd.save("web", &namespace, "nginx:1.28");
    depd.launch(&[]);
    depd.wait_for_log("nothing is changed before that is known");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.27");
    cluster.clear_faults();
    wait_for("the change", || (cluster.image(&namespace, "web") == "nginx:1.28").then_some(()));
}

#[test]
fn another_repository_is_held_until_it_is_accepted() {
    let cluster = Cluster::start();
    let (mut depd, namespace) = Depd::that_deployed_web(&cluster);
    depd.kill();
    let repo = ["--ecr-repo", "registry.example.com/team"];
    depd.launch(&repo);
    let message = depd.slack.wait_for("Everything is held");
    assert!(message.text.contains("registry.example.com/team"), "{message:?}");
    assert!(message.text.contains("--accept-change"), "{message:?}");
    depd.look_at_everything(&namespace);
    assert_eq!(cluster.changes_by_depd(&namespace), ["patch deployments/web"]);
    depd.kill();
    depd.launch(&[repo[0], repo[1], "--accept-change"]);
    wait_for("the image of the other repository", || {
        (cluster.image(&namespace, "web") == "registry.example.com/team/nginx:1.25").then_some(())
    });
    assert_eq!(depd.told("Everything is held"), 1);
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    for name in ["web", "same"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let depd = Depd::prepare(&cluster.kubeconfig);
    depd.save("web", &namespace, "nginx:1.25");
    depd.save("same", &namespace, "nginx:1.24");
    depd.save("absent", &cluster.unused_namespace(), "nginx:1.24");
    let mut command = depd.command(&["--dry-run"]);
    let output = command.stdout(std::process::Stdio::piped()).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("web: nginx:1.24 → nginx:1.25\n"), "{text}");
    assert!(text.contains("3 services: 2 would be changed; nothing was changed"), "{text}");
    assert!(!text.contains("same"), "{text}");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.24");
    assert!(depd.slack.titles().is_empty());
}

#[test]
fn no_more_rollouts_than_asked_for_are_in_flight() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    for name in ["one", "two"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let depd = Depd::start(&cluster.kubeconfig, &["--max-rollouts", "1", "--timeout", "3s"]);
    depd.save("one", &namespace, "nginx:hang");
    depd.save("two", &namespace, "nginx:hang");
    wait_for("both verdicts", || (depd.told("Timed out") == 2).then_some(()));
    let says = |line: &String| {
        ["Rolling out", "Timed out"].into_iter().find(|word| line.contains(&format!(": {word}: ")))
    };
    let course: Vec<&str> = depd.log().iter().filter_map(says).collect();
    assert_eq!(course, ["Rolling out", "Timed out", "Rolling out", "Timed out"]);
    assert_eq!(cluster.changes_by_depd(&namespace).len(), 2);
}

#[test]
fn a_store_that_was_deleted_under_depd_is_whole_again_at_the_next_start() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let names = cluster.many_deployments(&namespace, 25);
    let (in_flight, others) = names.split_first().expect("some");
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    names.iter().for_each(|name| depd.save(name, &namespace, "nginx:1.24"));
    depd.launch(&[]);
    depd.look_at_everything(&namespace);
    others.iter().for_each(|name| cluster.set_image(&namespace, name, "nginx:1.20"));
    wait_for("24 messages", || (depd.told("Changed in the cluster") >= 24).then_some(()));
    depd.save(in_flight, &namespace, "nginx:hang");
    depd.wait_for_log("Rolling out");
    for end in ["", "-wal", "-shm"] {
        let file = depd.folder().join(format!("state/depd.db{end}"));
        std::fs::remove_file(file).expect("there");
    }
    // The message about it is in the new store before it is told.
    depd.look_at_everything(&namespace);
    depd.wait_for_log("deleted or replaced under the running depd");
    depd.kill();
    depd.launch(&["--timeout", "3s"]);
    depd.slack.wait_for(&format!("Timed out: {in_flight}"));
    depd.look_at_everything(&namespace);
    for name in others {
        assert_eq!(cluster.image(&namespace, name), "nginx:1.20", "what a person did is left");
    }
    let patch = format!("patch deployments/{in_flight}");
    assert_eq!(cluster.changes_by_depd(&namespace), [patch]);
    assert_eq!((depd.told("Changed in the cluster"), depd.told("Everything is held")), (24, 0));
}

#[test]
fn states_that_cannot_be_read_hold_many_differences_like_a_first_start() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let names = cluster.many_deployments(&namespace, 25);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    names.iter().for_each(|name| depd.save(name, &namespace, "nginx:1.24"));
    depd.launch(&[]);
    depd.look_at_everything(&namespace);
    names.iter().for_each(|name| cluster.set_image(&namespace, name, "nginx:1.20"));
    wait_for("25 messages", || (depd.told("Changed in the cluster") >= 25).then_some(()));
    depd.kill();
    let database = rusqlite::Connection::open(depd.folder().join("state/depd.db")).expect("opens");
    database.execute("UPDATE service SET state = 'of another depd'", ()).expect("writes");
    drop(database);
    depd.launch(&[]);
    depd.slack.wait_for("Everything is held");
    depd.kill();
    // And it stays so until a person has decided.
    depd.launch(&[]);
    wait_for("the second word", || (depd.told("Everything is held") >= 2).then_some(()));
    depd.look_at_everything(&namespace);
    assert!(cluster.changes_by_depd(&namespace).is_empty());
}
