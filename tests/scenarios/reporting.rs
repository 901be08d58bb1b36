//! Who is told, and that nobody who is told badly holds up a deployment.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cluster::{Cluster, denied};
use crate::depd::Depd;
use crate::receiver::{Message, Receiver};
use crate::wait::wait_for;

const SECRET: &str = "canary-0123456789abcdef";

fn of_event(receiver: &Receiver, event: &str) -> Option<Message> {
    receiver.messages().into_iter().find(|message| message.body["event"] == event)
}

#[test]
fn several_receivers_are_told_each_what_it_wants_and_in_its_own_form() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let (json, discord, teams) = (Receiver::start(), Receiver::start(), Receiver::start());
    depd.set("WEBHOOK_URL", &json.url());
    depd.set("WEBHOOK_SECRET", SECRET);
    depd.set("WEBHOOK_FOR_DISCORD", &discord.url());
    depd.set("WEBHOOK_FOR_TEAMS", &teams.url());
    let told = depd.folder().join("told");
    depd.set("ON_VERDICT", &format!("'/usr/bin/tee -a {}'", told.display()));
    let only_others = format!("teams=namespace:{}", cluster.unused_namespace());
    depd.launch(&[
        "--cluster-name",
        "blue",
        "--report",
        "slack=failures",
        "--report",
        &only_others,
    ]);
    depd.save("web", &namespace, "nginx:1.25");
    let deployed = wait_for("the JSON of a success", || of_event(&json, "deployed"));
    for (field, expect) in
        [("version", "1"), ("service", "\"web\""), ("level", "\"good\""), ("cluster", "\"blue\"")]
    {
        assert_eq!(deployed.body[field].to_string(), expect, "{:?}", deployed.body);
    }
    assert_eq!(deployed.body["images"][0]["from"], "nginx:1.24");
    assert_eq!(deployed.body["images"][0]["to"], "nginx:1.25");
    assert!(deployed.body["changed_by"].is_string(), "{:?}", deployed.body);
    assert!(deployed.body["uid"].is_string(), "{:?}", deployed.body);
    let signature = "x-depd-signature: sha256=";
    assert!(deployed.headers.iter().any(|line| line.starts_with(signature)), "{deployed:?}");
    depd.save("web", &namespace, "nginx:missing");
    let failed = wait_for("the JSON of a failure", || of_event(&json, "failed"));
    assert!(failed.body["reason"].as_str().is_some_and(|it| it.contains("ErrImagePull")));
    depd.slack.wait_for("Failed: web");
    assert_eq!(depd.slack.titles().len(), 1, "no success: {:?}", depd.slack.titles());
    wait_for("both at Discord", || (discord.messages().len() == 2).then_some(()));
    let embed = discord.messages()[1].body["embeds"][0].clone();
    assert!(embed["title"].as_str().is_some_and(|it| it.starts_with("Failed: web")), "{embed}");
    let lines = wait_for("both on the program's input", || {
        let text = fs::read_to_string(&told).unwrap_or_default();
        (text.lines().count() == 2).then_some(text)
    });
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    assert_eq!(events.map(|it| it["event"].clone()).collect::<Vec<_>>(), ["deployed", "failed"]);
    assert!(teams.messages().is_empty(), "it wants another namespace");
}

/// Security row 3.
#[test]
fn no_secret_is_in_the_log_the_store_the_arguments_or_a_message() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let json = Receiver::start();
    depd.set("WEBHOOK_URL", &json.url());
    depd.set("WEBHOOK_SECRET", SECRET);
    depd.launch_with_log("trace", &[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: web");
    wait_for("the JSON", || of_event(&json, "deployed"));
    // And where it goes wrong.
    depd.slack.go_down();
    depd.save("web", &namespace, "nginx:missing");
    wait_for("an attempt", || (depd.slack.refused() > 0).then_some(()));
    depd.wait_for_log("the message is kept");
    let mut seen = vec![("the log", depd.log().join("\n").into_bytes())];
    let cmdline = format!("/proc/{}/cmdline", depd.pid());
    seen.push(("the arguments", fs::read(cmdline).expect("it runs")));
    for message in json.messages().iter().chain(&depd.slack.messages()) {
        seen.push(("a message", message.body.to_string().into_bytes()));
    }
    seen.push(("the store", everything_in(&depd.folder().join("state"))));
    for (place, bytes) in seen {
        assert!(!bytes.is_empty(), "{place} is looked at");
        for secret in [SECRET, "test-webhook-secret"] {
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} is in {place}");
        }
    }
}

fn everything_in(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).expect("readable");
    files.flat_map(|file| fs::read(file.expect("an entry").path()).unwrap_or_default()).collect()
}

/// Fault row 33.
#[test]
fn a_receiver_that_hangs_slows_neither_a_deployment_nor_another_receiver() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let names = ["one", "two", "three", "four"];
    for name in names {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let json = Receiver::start();
    depd.set("WEBHOOK_URL", &json.url());
    depd.launch(&[]);
    depd.slack.go_silent();
    for name in names {
        depd.save(name, &namespace, "nginx:1.25");
    }
    wait_for("every outcome at the other receiver", || (json.messages().len() == 4).then_some(()));
    // One request is allowed ten seconds, so nobody waited for it.
    assert_eq!(depd.slack.messages().len(), 1, "{:?}", depd.slack.titles());
    depd.slack.come_back();
    for name in names {
        depd.slack.wait_for(&format!("Deployed: {name} "));
    }
}

/// Fault row 35, with fault row 36.
#[test]
fn a_kill_between_a_message_and_its_acknowledgement_repeats_it_and_loses_none() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    for name in ["one", "two"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let mut depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.slack.go_silent();
    depd.save("one", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: one ");
    depd.save("two", &namespace, "nginx:1.25");
    depd.wait_for_log(&format!("two_{namespace}: Deployed"));
    // Whatever is saved later is on disk after what was saved before.
    depd.save("two", &namespace, "nginx:1.26");
    depd.wait_for_log("nginx:1.25 → nginx:1.26");
    depd.kill();
    depd.slack.come_back();
    depd.launch(&[]);
    depd.wait_for_deployed("two", "nginx:1.26");
    let told = (depd.told("Deployed: one "), depd.told("Deployed: two "));
    assert_eq!(told, (2, 2), "{:?}", depd.slack.titles());
}

#[test]
fn events_on_the_workload_tell_how_it_went() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let uid = cluster.get_deployment(&namespace, "web").expect("it is there")["metadata"].clone();
    let depd = Depd::start(&cluster.kubeconfig, &["--events"]);
    let event = |reason: &str| {
        wait_for(&format!("an Event {reason}"), || {
            let events = cluster.events_of(&namespace, "web");
            events.into_iter().find(|event| event["reason"] == reason)
        })
    };
    depd.save("web", &namespace, "nginx:1.25");
    let deployed = event("Deployed");
    assert_eq!(deployed["type"], "Normal", "{deployed}");
    assert_eq!(deployed["involvedObject"]["uid"], uid["uid"], "{deployed}");
    assert_eq!(deployed["involvedObject"]["kind"], "Deployment", "{deployed}");
    assert_eq!(deployed["reportingComponent"], "depd.dev/depd", "{deployed}");
    let note = deployed["message"].as_str().expect("a text");
    assert!(note.contains("nginx:1.24 → nginx:1.25"), "{note}");
    depd.save("web", &namespace, "nginx:missing");
    let failed = event("Failed");
    assert_eq!(failed["type"], "Warning", "{failed}");
    let note = failed["message"].as_str().expect("a text");
    assert!(note.contains("cannot pull nginx:missing"), "{note}");
}

#[test]
fn fault_24_a_namespace_without_the_right_to_create_events_holds_up_no_other() {
    let cluster = Cluster::start_for_faults();
    let (barred, open) = (cluster.namespace(), cluster.namespace());
    for namespace in [&barred, &open] {
        cluster.deployment(namespace, "web", "nginx:1.24", 1);
    }
    let place = format!("/apis/events.k8s.io/v1/namespaces/{barred}/events");
    let within = format!("in the namespace \"{barred}\"");
    cluster.set_faults(move |request| {
        let is_event = request.method == "POST" && request.target.starts_with(&place);
        is_event.then(|| denied("create", ("events.k8s.io", "events"), &within))
    });
    let depd = Depd::start(&cluster.kubeconfig, &["--events"]);
    depd.save("web", &barred, "nginx:1.25");
    depd.wait_for_log("lacks verb create on events.k8s.io/events");
    depd.save("web", &open, "nginx:1.25");
    let has = |namespace: &str, text: &str| {
        let told = |event: &Value| event["message"].as_str().is_some_and(|it| it.contains(text));
        cluster.events_of(namespace, "web").iter().any(told).then_some(())
    };
    wait_for("an Event where it is allowed", || has(&open, "→ nginx:1.25"));
    // What comes later is set aside without another word at that level.
    depd.save("web", &barred, "nginx:1.26");
    depd.wait_for_deployed("web", "nginx:1.26");
    depd.save("web", &open, "nginx:1.26");
    wait_for("the next Event where it is allowed", || has(&open, "→ nginx:1.26"));
    let refused = |line: &String| line.contains("refused a message for good");
    let (named, quiet): (Vec<_>, Vec<_>) =
        depd.log().into_iter().filter(refused).partition(|line| line.contains("ERROR"));
    assert_eq!((named.len(), quiet.len()), (1, 1), "{named:?} {quiet:?}");
    // Once it is granted, the next outcome is on the workload.
    cluster.clear_faults();
    depd.save("web", &barred, "nginx:1.27");
    wait_for("an Event where it is allowed by now", || has(&barred, "→ nginx:1.27"));
}
