//! Every kind of access that depd claims to know, on a real control plane.
//!
//! The sandbox knows one token and one certificate, so these tests say why they do nothing there.

use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::depd::Depd;
use crate::way::Evidence;
use crate::ways::{Credentials, Kind, Place, is_young, kinds, short_lived, variable};
use crate::webhook::Webhook;
use crate::{deploying, failing, faults, pending, restarting, stopping};

/// A scenario with its name.
type Scenario = (&'static str, fn());

macro_rules! scenarios {
    ($($path:path),* $(,)?) => { &[$((stringify!($path), $path as fn())),*] };
}

/// What is run with every kind of access: each sort of request that depd makes, on old connections and
/// on new ones, in a first process and in a second.
const SUITE: &[Scenario] = scenarios![
    deploying::a_saved_file_is_deployed_followed_and_reported,
    deploying::a_newer_file_supersedes_the_rollout_in_flight,
    deploying::a_change_by_somebody_else_is_said_and_not_undone,
    failing::an_image_that_does_not_exist_is_named_and_a_good_one_is_deployed_at_once,
    failing::a_crash_loop_is_named_with_the_last_lines_of_the_log,
    pending::a_new_namespace_is_created_told_and_its_workload_deployed_when_it_is_applied,
    restarting::a_rollout_that_ended_while_depd_was_down_gets_its_verdict,
    faults::connections_that_are_cut_are_made_again_and_nothing_is_missed,
    stopping::a_term_signal_ends_it_in_order,
];

/// Runs at a time; most of each is waiting.
const AT_ONCE: usize = 6;

#[test]
fn the_same_suite_passes_with_every_kind_of_access() {
    let Some(place) = Place::find() else { return };
    let wanted = std::env::var("DEPD_TEST_KIND").unwrap_or_default();
    let kinds: Vec<Kind> = kinds().into_iter().filter(|kind| kind.name.contains(&wanted)).collect();
    // One scenario after the other, so that no two runs of the same one come together.
    let jobs: Vec<(usize, &Scenario)> = SUITE
        .iter()
        .flat_map(|scenario| (0..kinds.len()).map(move |kind| (kind, scenario)))
        .collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((at, (name, scenario))) =
                    jobs.get(next.fetch_add(1, Ordering::SeqCst))
                {
                    let kind = &kinds[*at];
                    let run = || kind.make(&place).run(*scenario);
                    match catch_unwind(AssertUnwindSafe(run)) {
                        Ok(evidence) => done.lock().expect("fine").push((*at, evidence)),
                        Err(_) => {
                            let failure = format!("{} with {}", name, kind.name);
                            println!("FAILED: {failure}");
                            failed.lock().expect("fine").push(failure);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("fine");
    assert!(failed.is_empty(), "{} of {} runs: {failed:?}", failed.len(), jobs.len());
    let done = done.into_inner().expect("fine");
    for (at, kind) in kinds.iter().enumerate() {
        judge(kind, done.iter().filter(|(of, _)| *of == at).map(|(_, evidence)| evidence));
    }
}

/// Prints what the server saw of a kind in all its runs.
fn judge<'a>(kind: &Kind, runs: impl Iterator<Item = &'a Evidence>) {
    let (mut count, mut several, mut all) = (0, 0, Evidence::default());
    for run in runs {
        count += 1;
        several += usize::from(run.credentials.len() > 1);
        all.requests += run.requests;
        all.connections += run.connections;
        all.credentials.extend(run.credentials.iter().cloned());
    }
    let Evidence { requests, connections, credentials } = all;
    let credentials = credentials.len();
    println!(
        "{}: {count} scenarios, {requests} requests with {credentials} known credentials, {several} times with several in one, {connections} connections",
        kind.name
    );
    assert_eq!(count, SUITE.len(), "{}", kind.name);
    let is_so = match kind.credentials {
        Credentials::Nameless => credentials == 0,
        Credentials::One => credentials == 1,
        Credentials::OneEach => credentials == count && several == 0,
        Credentials::Many => several > 0,
    };
    assert!(is_so, "{}: {:?}", kind.name, kind.credentials);
}

#[test]
fn a_token_file_that_is_replaced_is_read_again() {
    let Some(place) = Place::find() else { return };
    let file = place.path("the-token");
    fs::write(&file, "nonsense").expect("written");
    let user = format!("tokenFile: {}", file.display());
    let kubeconfig = place.kubeconfig(&place.server, "", &user);
    let namespace = place.cluster.namespace();
    place.cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = Depd::start_unready(&kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.wait_for_log("does not accept the credentials");
    let new = place.path("new-token");
    fs::write(&new, &place.token).expect("written");
    fs::rename(new, file).expect("replaced");
    depd.slack.wait_for("Deployed: web");
}

#[test]
fn tokens_that_expire_every_second_cause_no_failure_and_no_storm() {
    let Some(place) = Place::find() else { return };
    let life = 1000;
    Webhook::shared()
        .judge("expiring-", move |made| is_young(made, life).then(|| "expiring-user".to_owned()));
    let user = short_lived(&place.path("plugin"), "expiring", Some(life));
    // Renewed when four fifths of a life are over.
    is_busy_without_a_failure(&place, &user, 25, Duration::from_millis(800));
}

/// The tokens say when they end, and the server refuses them from then on: it asks again about a token that
/// it knows after 10 s, which is later than that. Whoever goes on with an old one is refused.
#[test]
fn tokens_that_say_their_end_are_never_used_after_it() {
    let Some(place) = Place::find() else { return };
    let life = 8000;
    let (asked, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, bad) = (Arc::clone(&asked), Arc::clone(&refused));
    Webhook::shared().judge("ending-", move |made| {
        let is_good = is_young(made, life);
        count.fetch_add(1, Ordering::SeqCst);
        bad.fetch_add(usize::from(!is_good), Ordering::SeqCst);
        is_good.then(|| "ending-user".to_owned())
    });
    let user = short_lived(&place.path("plugin"), "ending", Some(life));
    // Renewed when four fifths of a life are over.
    is_busy_without_a_failure(&place, &user, 6, Duration::from_millis(6400));
    let (asked, seen) = (asked.load(Ordering::SeqCst), refused.load(Ordering::SeqCst));
    println!("{asked} questions to the webhook, {seen} refusals");
    assert!(asked >= 5, "{asked} questions");
    assert_eq!(seen, 0, "an old token was used");
    // An old one is refused indeed.
    let old = place.kubeconfig(&place.server, "", "token: ending-1");
    Depd::start_unready(&old, &[]).wait_for_log("does not accept the credentials");
    assert!(refused.load(Ordering::SeqCst) > 0);
}

/// The plugin does not say that they end, so only the refusal tells.
#[test]
fn tokens_that_the_server_refuses_after_a_while_cause_no_failure_and_no_storm() {
    let Some(place) = Place::find() else { return };
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    Webhook::shared().judge("revoked-", move |made| {
        let is_good = is_young(made, 2000);
        count.fetch_add(usize::from(!is_good), Ordering::SeqCst);
        is_good.then(|| "revoked-user".to_owned())
    });
    let user = short_lived(&place.path("plugin"), "revoked", None);
    // The server asks again about a token that it knows every 10 s.
    is_busy_without_a_failure(&place, &user, 5, Duration::from_secs(10));
    let refused = refused.load(Ordering::SeqCst);
    println!("{refused} refusals by the webhook");
    assert!(refused >= 4, "{refused} refusals");
}

/// Deploys again and again, each service at its own pace, until the plugin ran so often. No more than one
/// run was due in each `period`.
fn is_busy_without_a_failure(place: &Place, user: &str, wanted: u32, period: Duration) {
    let kubeconfig = place.kubeconfig(&place.server, "", user);
    let namespace = place.cluster.namespace();
    let names = ["one", "two", "three", "four"];
    for name in names {
        place.cluster.apply_deployment(&namespace, name, "nginx:1.0", 1);
    }
    for name in names {
        place.cluster.wait_until_available(&namespace, name);
    }
    let start = Instant::now();
    let depd = Depd::start(&kubeconfig, &[]);
    let runs = || {
        let lines = fs::read_to_string(place.path("runs")).unwrap_or_default().lines().count();
        u32::try_from(lines).expect("small")
    };
    let mut versions = [0; 4];
    let mut deployed = 0;
    while runs() < wanted {
        let due: Vec<usize> = crate::wait::wait_for("a message", || {
            let messages = depd.slack.messages();
            let is_told = |at: &usize| {
                let image = format!("→ nginx:1.{} ", versions[*at]);
                let title = format!("Deployed: {} ", names[*at]);
                let mut of = messages.iter().filter(|message| message.title.starts_with(&title));
                versions[*at] == 0 || of.any(|message| message.text.contains(&image))
            };
            let due: Vec<usize> = (0..names.len()).filter(is_told).collect();
            (!due.is_empty()).then_some(due)
        });
        for at in due {
            deployed += usize::from(versions[at] > 0);
            versions[at] += 1;
            depd.save(names[at], &namespace, &format!("nginx:1.{}", versions[at]));
        }
    }
    let titles = depd.slack.titles();
    assert!(titles.iter().all(|title| title.starts_with("Deployed")), "{titles:?}");
    println!("{deployed} deployments, {wanted} runs of the plugin in {:?}", start.elapsed());
    // The first is due at once, and each that comes late lets the next come sooner.
    let most = 5 + u32::try_from(start.elapsed().as_millis() / period.as_millis()).expect("small");
    assert!(wanted <= most, "{wanted} runs of the plugin, {most} at most");
}

/// What depd's ServiceAccount may do in a namespace, in the words of the API server.
fn rights_in(namespace: &str) -> String {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": namespace },
    });
    let text = kubectl(
        &variable("DEPD_TEST_KUBECONFIG"),
        &["create", "--validate=false", "-o", "json", "-f", "-"],
        &review.to_string(),
    );
    let answer: Value = serde_json::from_str(&text.expect("a review")).expect("JSON");
    let words = |value: &Value| {
        let list = value.as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|word| word.as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
            .join(",")
    };
    let rules = answer["status"]["resourceRules"].as_array().cloned().unwrap_or_default();
    let mut lines: Vec<String> = rules
        .iter()
        .map(|rule| {
            let names = words(&rule["resourceNames"]);
            let names = if names.is_empty() { names } else { format!("/{names}") };
            let resources = words(&rule["resources"]);
            format!("[{}] {resources}{names}: {}", words(&rule["apiGroups"]), words(&rule["verbs"]))
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines.join("\n")
}

fn printed(arguments: &[&str]) -> String {
    let depd = Command::new(env!("CARGO_BIN_EXE_depd")).arg("rbac").args(arguments).output();
    String::from_utf8(depd.expect("it runs").stdout).expect("UTF-8")
}

/// What `depd rbac --events` prints, and in one namespace what `--ecr-pull-secret` adds.
#[test]
fn depd_has_the_rights_of_the_golden_list_and_no_other() {
    let Some(place) = Place::find() else { return };
    insta::assert_snapshot!("rights", rights_in("default"));
    let namespace = place.cluster.namespace();
    let manifest = printed(&["--namespace", &namespace, "--events", "--ecr-pull-secret"]);
    let admin = variable("DEPD_TEST_ADMIN_KUBECONFIG");
    kubectl(&admin, &["apply", "-f", "-"], &manifest).expect("applied");
    let rights = crate::wait::wait_for("the new role to count", || {
        let rights = rights_in(&namespace);
        rights.contains("secrets").then_some(rights)
    });
    insta::assert_snapshot!("rights-with-pull-secrets", rights);
}

#[test]
fn the_printed_policy_lets_its_user_change_images_and_nothing_else() {
    let Some(place) = Place::find() else { return };
    let admin = variable("DEPD_TEST_ADMIN_KUBECONFIG");
    let policy = printed(&["--policy", "--user", "minikube-user"]);
    kubectl(&admin, &["apply", "-f", "-"], &policy).expect("applied");
    let namespace = place.cluster.namespace();
    place.cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let limited = variable("DEPD_TEST_CERT_KUBECONFIG");
    let patch = |operations: Value| {
        let text = operations.to_string();
        kubectl(
            &limited,
            &["-n", &namespace, "patch", "deployment", "web", "--type", "json", "-p", &text],
            "",
        )
    };
    // Another number each time: what changes nothing is refused by nobody.
    let mut number = 1;
    crate::wait::wait_for("the policy to be in force", || {
        number += 1;
        patch(json!([{ "op": "replace", "path": "/spec/replicas", "value": number % 3 }])).err()
    });
    let template = "/spec/template/spec";
    let refused = [
        (json!({ "op": "replace", "path": "/spec/replicas", "value": 5 }), "spec differs"),
        (
            json!({ "op": "add", "path": format!("{template}/hostNetwork"), "value": true }),
            "spec.template.spec differs",
        ),
        (
            json!({ "op": "add", "path": format!("{template}/containers/0/env"), "value": [{"name": "A"}] }),
            "containers differ",
        ),
        (
            json!({ "op": "add", "path": format!("{template}/containers/-"), "value": {"name": "b", "image": "b:1"} }),
            "containers differ",
        ),
        (
            json!({ "op": "add", "path": format!("{template}/initContainers"), "value": [{"name": "b", "image": "b:1"}] }),
            "initContainers differ",
        ),
        (
            json!({ "op": "add", "path": "/spec/template/metadata/labels/x", "value": "y" }),
            "spec.template.metadata differs",
        ),
        (
            json!({ "op": "add", "path": "/spec/template/metadata/annotations", "value": {"x": "y"} }),
            "annotations differ in more than restartedAt",
        ),
        (
            json!({ "op": "add", "path": "/metadata/labels", "value": {"x": "y"} }),
            "metadata.labels differs",
        ),
    ];
    for (operation, words) in refused {
        let said = patch(json!([operation])).expect_err(words);
        assert!(said.contains(words) && said.contains("depd-images-only"), "{words}: {said}");
    }
    patch(json!([
        { "op": "replace", "path": format!("{template}/containers/0/image"), "value": "nginx:1.25" },
        { "op": "add", "path": "/metadata/annotations/x", "value": "y" },
        { "op": "add", "path": format!("{template}/imagePullSecrets"), "value": [{ "name": "pull" }] },
    ]))
    .expect("images, annotations and pull secrets are depd's job");
    for _ in 0..2 {
        let restart = Command::new(env!("CARGO_BIN_EXE_depd"))
            .args(["restart", &format!("web_{namespace}"), "--kubeconfig"])
            .arg(&limited)
            .output()
            .expect("it runs");
        assert!(restart.status.success(), "{restart:?}");
    }
    let with_another =
        json!({ "op": "add", "path": "/spec/template/metadata/annotations/x", "value": "y" });
    let said = patch(json!([with_another])).expect_err("another annotation");
    assert!(said.contains("annotations differ in more than restartedAt"), "{said}");
    whatever_its_rights_it_cannot_scale_create_or_delete(&place, &admin);
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        kubectl(&admin, &["delete", kind, "depd-images-only"], "").expect("deleted");
    }
}

/// The same user with every right that RBAC can give, so that only the policy is in its way.
fn whatever_its_rights_it_cannot_scale_create_or_delete(place: &Place, admin: &Path) {
    let namespace = place.cluster.namespace();
    let object = |kind: &str, name: &str| {
        let mut object = json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name },
            "spec": { "selector": { "matchLabels": { "app": name } }, "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "c", "image": "nginx:1.24" }] } } } });
        if kind != "DaemonSet" {
            object["spec"]["replicas"] = 1.into();
        }
        object.to_string()
    };
    let limited = |arguments: &[&str], input: &str| {
        let who = ["--as", "minikube-user", "--as-group", "system:masters", "-n", &namespace];
        kubectl(admin, &[&who, arguments].concat(), input)
    };
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        let target = format!("{kind}/web");
        kubectl(admin, &["-n", &namespace, "create", "-f", "-"], &object(kind, "web")).expect(kind);
        let replicas = json!({ "spec": { "replicas": 3, "minReadySeconds": 3 } }).to_string();
        let status = json!({ "status": { "observedGeneration": 77 } }).to_string();
        let patch = ["patch", &target, "--type", "merge", "-p"];
        let refused: &[(&[&str], &str, &str)] = &[
            (&["scale", &target, "--replicas", "3"], "", "may not scale"),
            (&[&patch[..], &[&replicas, "--subresource", "scale"]].concat(), "", "may not scale"),
            (&[&patch[..], &[&status, "--subresource", "status"]].concat(), "", "write the status"),
            (&[&patch[..], &[&replicas]].concat(), "", "spec differs"),
            (&["create", "-f", "-"], &object(kind, "new"), "may not create"),
            (&["delete", &target], "", "may not create or delete"),
        ];
        for (arguments, input, words) in refused {
            if kind == "DaemonSet" && arguments.contains(&"scale") {
                continue;
            }
            let what = format!("{arguments:?} of {kind}");
            let said = limited(arguments, input).expect_err(&what);
            assert!(said.contains(words) && said.contains("depd-images-only"), "{what}: {said}");
        }
        let image = json!([{ "op": "replace", "path": "/spec/template/spec/containers/0/image",
            "value": "nginx:1.25" }]);
        limited(&["patch", &target, "--type", "json", "-p", &image.to_string()], "").expect(kind);
    }
}

/// What kubectl prints, or complains about.
fn kubectl(kubeconfig: &Path, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(variable("DEPD_TEST_KUBECTL"))
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("read");
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
