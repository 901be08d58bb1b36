//! Everything is held until a person says to go on.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

/// Runs `depd resume --all` beside the daemon; the exit code and all that it said.
fn resume(depd: &Depd) -> (Option<i32>, String) {
    let output = depd.program(&["resume", "--all", "--state", "state"]).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("UTF-8"))
}

#[test]
fn failures_in_a_row_halt_the_rest_until_it_is_resumed() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    for name in ["one", "two", "three"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let depd = Depd::start(&cluster.kubeconfig, &["--halt-after", "2"]);
    let nothing_to_do = resume(&depd);
    assert_eq!(nothing_to_do, (Some(0), "nothing was halted; depd goes on as before\n".to_owned()));
    depd.save("one", &namespace, "nginx:missing");
    depd.slack.wait_for("Failed: one");
    depd.save("two", &namespace, "nginx:missing");
    let message = depd.slack.wait_for("Everything is held");
    assert_eq!(message.color, "danger");
    assert!(message.text.contains("2 rollouts failed in a row"), "{message:?}");
    assert!(message.text.contains("depd resume --all"), "{message:?}");
    depd.save("three", &namespace, "nginx:1.25");
    let unused = cluster.unused_namespace();
    depd.save("four", &unused, "nginx:1.25");
    depd.look_at_everything(&namespace);
    // The namespace is asked for first, so its look is not over with the barrier.
    wait_for("both to wait", || {
        let asked = cluster.all_requests_of_depd(&unused);
        asked.iter().any(|request| request.starts_with("get")).then_some(())
    });
    depd.look_at_everything(&namespace);
    assert_eq!(cluster.image(&namespace, "three"), "nginx:1.24");
    assert!(!cluster.namespace_exists(&unused), "no namespace is created either");
    let (code, text) = resume(&depd);
    assert_eq!((code, &*text), (Some(0), "depd goes on; 2 services waited\n"));
    depd.slack.wait_for("Deployed: three");
    assert_eq!(cluster.image(&namespace, "three"), "nginx:1.25");
    wait_for("the namespace", || cluster.namespace_exists(&unused).then_some(()));
}

#[test]
fn what_failures_in_a_row_halted_stays_so_over_restarts_until_it_is_resumed() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    for name in ["one", "two", "three"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let halt = ["--halt-after", "2"];
    let mut depd = Depd::start(&cluster.kubeconfig, &halt);
    depd.save("one", &namespace, "nginx:missing");
    depd.slack.wait_for("Failed: one");
    // One failure before the restart and one after it are two in a row.
    depd.kill();
    depd.launch(&halt);
    depd.save("two", &namespace, "nginx:missing");
    depd.slack.wait_for("Everything is held");
    depd.slack.wait_for("Failed: two");
    depd.wait_for_acknowledged();
    depd.kill();
    depd.save("three", &namespace, "nginx:1.25");
    let said = |depd: &Depd, command: &mut Command| {
        let output = command.stdout(Stdio::piped()).output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        assert_eq!(cluster.image(&namespace, "three"), "nginx:1.24", "{}", depd.folder().display());
        (output.status.code(), String::from_utf8(text).expect("UTF-8"))
    };
    let (code, text) = said(&depd, &mut depd.command(&["--dry-run", "--halt-after", "2"]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Everything is held: 2 rollouts failed in a row"), "{text}");
    let (code, text) = said(&depd, &mut depd.once(&halt));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("go on with: depd resume --all"), "{text}");
    let (code, text) = said(&depd, &mut depd.program(&["status", "--state", "state"]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("everything is held: 2 rollouts failed in a row"), "{text}");
    // Whatever the settings are now, it takes a person.
    depd.launch(&[]);
    depd.wait_for_log("Everything is held: 2 rollouts failed in a row");
    depd.look_at_everything(&namespace);
    assert_eq!(cluster.image(&namespace, "three"), "nginx:1.24");
    assert_eq!(resume(&depd), (Some(0), "depd goes on; 1 services waited\n".to_owned()));
    depd.slack.wait_for("Deployed: three");
    assert_eq!(depd.told("Everything is held"), 1, "told once");
}

#[test]
fn a_halt_is_lifted_where_no_depd_runs_too() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    for name in ["one", "two"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let halt = ["--halt-after", "1"];
    let mut depd = Depd::start(&cluster.kubeconfig, &halt);
    depd.save("one", &namespace, "nginx:missing");
    depd.slack.wait_for("Failed: one");
    depd.kill();
    assert_eq!(resume(&depd), (Some(0), "no depd runs now; the next one goes on\n".to_owned()));
    let (code, text) = resume(&depd);
    assert_eq!(code, Some(1), "there is nothing more to lift: {text}");
    depd.save("two", &namespace, "nginx:1.25");
    depd.launch(&halt);
    depd.slack.wait_for("Deployed: two");
}

#[test]
fn what_only_a_new_start_can_answer_is_not_resumed() {
    let cluster = Cluster::start();
    let (mut depd, namespace) = Depd::that_deployed_web(&cluster);
    depd.kill();
    depd.launch(&["--ecr-repo", "registry.example.com/team"]);
    depd.slack.wait_for("Everything is held");
    let (code, text) = resume(&depd);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("--accept-change"), "{text}");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.25");
}

#[test]
fn the_control_socket_is_for_its_user_only_and_goes_with_the_daemon() {
    let cluster = Cluster::start();
    let mut depd = Depd::start(&cluster.kubeconfig, &[]);
    let socket = depd.folder().join("state/control");
    let mode = std::fs::metadata(&socket).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    depd.signal("-TERM");
    assert!(depd.wait().success());
    assert!(!socket.exists());
    let (code, text) = resume(&depd);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no depd runs on the state folder state"), "{text}");
    // One that was killed leaves the name behind, which is in nobody's way.
    depd.launch(&[]);
    depd.kill();
    assert!(socket.exists());
    assert_eq!(resume(&depd).0, Some(1));
    depd.launch(&[]);
    wait_for("the control socket", || (resume(&depd).0 == Some(0)).then_some(()));
}
