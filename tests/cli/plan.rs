//! `depd plan`: the same decisions as the daemon's, tried on a cluster and not done.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use depd::sandbox::{
    About, Fault, RequestView, Response, Sandbox, SandboxOptions, Status, samples,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::stored::{Site, says};
use super::{depd, folder, refuses, stderr};

/// A pretend cluster without controllers, so that nothing in it moves by itself.
fn still() -> (Sandbox, TempDir) {
    let options = SandboxOptions { controllers: false, ..SandboxOptions::default() };
    let cluster = Sandbox::start(options).expect("it starts");
    samples().into_iter().for_each(|object| drop(cluster.apply(object).expect("applied")));
    let folder = folder();
    fs::write(folder.path().join("kubeconfig"), cluster.kubeconfig()).expect("written");
    (cluster, folder)
}

fn workload(kind: &str, name: &str, more: &Value) -> Value {
    let mut spec = json!({
        "selector": { "matchLabels": { "app": name } },
        "template": {
            "metadata": { "labels": { "app": name } },
            "spec": { "containers": [
                { "name": name, "image": "nginx:1.24" }, { "name": "side", "image": "side:1" }
            ] },
        },
    });
    let all = spec.as_object_mut().expect("an object");
    all.extend(more.as_object().expect("an object").clone());
    json!({
        "apiVersion": "apps/v1", "kind": kind, "spec": spec,
        "metadata": { "name": name, "namespace": "default" },
    })
}

fn save(folder: &Path, name: &str, content: &str) {
    fs::write(folder.join("deps").join(name), content).expect("written");
}

fn plan(folder: &Path, more: &[&str]) -> Command {
    let mut command = depd(folder, &[&["plan", "--kubeconfig", "kubeconfig"], more].concat());
    command.env("NO_COLOR", "1");
    command
}

fn run(mut command: Command, code: i32) -> String {
    let output = command.output().expect("it runs");
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{text}{}", stderr(&output));
    text
}

/// The workloads, in the versions that they have.
fn versions(cluster: &Sandbox) -> BTreeMap<&'static str, Value> {
    let deployments = ["web", "api", "worker", "two", "guarded", "shy", "paused", "twin"];
    let version = |name: &'static str| {
        let path = format!("/apis/apps/v1/namespaces/default/deployments/{name}");
        let object = cluster.get(&path).expect("there");
        (name, object["metadata"]["resourceVersion"].clone())
    };
    deployments.into_iter().map(version).collect()
}

/// What the folder holds beneath it, all names and times of change.
fn everything_in(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.expect("an entry");
        let changed = entry.metadata().expect("there").modified().expect("a time");
        found.insert(entry.file_name().to_string_lossy().into_owned(), format!("{changed:?}"));
    }
    found
}

/// One file for each thing that can be said.
fn prepare(cluster: &Sandbox, folder: &Path) {
    let none = json!({});
    for object in [
        workload("Deployment", "two", &none),
        workload("Deployment", "guarded", &none),
        workload("Deployment", "shy", &none),
        workload("Deployment", "paused", &json!({ "paused": true })),
        workload("Deployment", "twin", &none),
        workload("StatefulSet", "twin", &json!({ "serviceName": "twin" })),
    ] {
        cluster.apply(object).expect("applied");
    }
    save(folder, "web_default.dep", "nginx:1.25\n");
    save(folder, "api_default.dep", "ghcr.io/example/api:1.0.0\n");
    save(folder, "two_default.dep", "two=nginx:1.25\nside=side:2\n");
    save(folder, "guarded_default.dep", "nginx:1.25\n");
    save(folder, "shy_default.dep", "nginx:1.25\n");
    save(folder, "paused_default.dep", "nginx:1.25\n");
    save(folder, "twin_default.dep", "nginx:1.25\n");
    save(folder, "nobody_default.dep", "nginx:1.25\n");
    save(folder, "shop_elsewhere.dep", "nginx:1.25\n");
    save(folder, "dns_kube-system.dep", "nginx:1.25\n");
    save(folder, "typo_default.dep", "nginx\n");
    save(folder, "fits_default.dep", "");
    cluster.set_faults(|request: &RequestView<'_>| {
        let is_patch_of =
            |name: &str| request.method == "PATCH" && request.target.contains(&format!("/{name}?"));
        let webhook = |says: &str| {
            let message = format!("admission webhook \"images.example.com\" {says}");
            Some(Fault::Respond(Response::status(&Status::new(400, "BadRequest", message))))
        };
        if is_patch_of("guarded") {
            webhook("denied the request: nginx:1.25 is not signed")
        } else if is_patch_of("shy") {
            webhook("does not support dry run")
        } else {
            None
        }
    });
}

#[test]
fn a_plan_says_for_every_service_what_would_come_and_changes_nothing() {
    let (cluster, folder) = still();
    prepare(&cluster, folder.path());
    let before = versions(&cluster);
    let redacted = |text: &str| text.replace(&cluster.url(), "https://SERVER");
    insta::assert_snapshot!("table", redacted(&run(plan(folder.path(), &[]), 1)));
    insta::assert_snapshot!("json", redacted(&run(plan(folder.path(), &["--output", "json"]), 1)));
    insta::assert_snapshot!("yaml", redacted(&run(plan(folder.path(), &["--output", "yaml"]), 1)));
    assert_eq!(versions(&cluster), before);
    assert!(cluster.get("/api/v1/namespaces/elsewhere").is_none());
    let writes = cluster.requests().into_iter().filter(|r| r.method != "GET");
    for write in writes.filter(|write| write.user == "depd") {
        assert!(write.uri.contains("dryRun=All"), "{write:?}");
    }
    assert!(!folder.path().join("state").exists(), "no state folder is made");
}

#[test]
fn a_dry_run_of_the_daemon_is_the_plan() {
    let (cluster, folder) = still();
    save(folder.path(), "web_default.dep", "nginx:1.25\n");
    let dry_run = depd(folder.path(), &["run", "--kubeconfig", "kubeconfig", "--dry-run"]);
    assert_eq!(run(dry_run, 0), run(plan(folder.path(), &[]), 3));
    assert!(!folder.path().join("state").exists(), "no state folder is made");
    drop(cluster);
}

#[test]
fn the_exit_code_tells_changes_from_none_and_keys_choose_services() {
    let (_cluster, folder) = still();
    let folder = folder.path();
    save(folder, "web_default.dep", "nginx:1.24\n");
    save(folder, "api_default.dep", "ghcr.io/example/api:1.0.0\n");
    assert!(
        run(plan(folder, &[]), 0)
            .ends_with("2 services: 0 would be changed; nothing was changed\n")
    );
    save(folder, "web_default.dep", "nginx:1.25\n");
    let text = run(plan(folder, &["web_default", "api_default.dep"]), 3);
    assert!(text.contains("web: nginx:1.24 → nginx:1.25"), "{text}");
    let text = run(plan(folder, &["api_default"]), 0);
    assert!(text.ends_with("1 service: 0 would be changed; nothing was changed\n"), "{text}");
    refuses(
        plan(folder, &["wen_default"]),
        2,
        "depd: depd knows no wen_default: did you mean web_default?",
    );
    let text = run(plan(folder, &["--allow-image", "registry.example.com"]), 1);
    assert!(text.contains("bad file"), "{text}");
}

#[test]
fn what_a_start_would_hold_is_said_with_the_flag_that_lets_it_go() {
    let (cluster, folder) = still();
    for n in 0..21 {
        let name = format!("many-{n:02}");
        cluster.apply(workload("Deployment", &name, &json!({}))).expect("applied");
        save(folder.path(), &format!("{name}_default.dep"), "nginx:1.25\n");
    }
    let text = run(plan(folder.path(), &[]), 1);
    assert!(text.contains("Everything is held: ") && text.contains("--apply-all"), "{text}");
    let text = run(plan(folder.path(), &["--apply-all"]), 3);
    assert!(text.ends_with("21 services: 21 would be changed; nothing was changed\n"), "{text}");
}

/// Until the daemon of the site has come to this.
#[track_caller]
fn settles(site: &Site, key: &str, state: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let status = depd(site.path(), &["status", key, "--output", "json"]).output();
        let status = String::from_utf8(status.expect("it runs").stdout).expect("UTF-8");
        if status.contains(&format!("\"state\": \"{state}\"")) {
            return;
        }
        assert!(Instant::now() < until, "{key} is not {state}: {status}");
        std::thread::yield_now();
    }
}

#[test]
fn beside_a_daemon_the_plan_knows_what_it_remembers() {
    let mut site = Site::start();
    site.save("web_default.dep", "nginx:1.26\n");
    says(&site.wait("web_default"), 0, "deployed");
    let output = |mut command: Command| -> Output { command.output().expect("it runs") };
    let state = site.path().join("state");
    says(&output(plan(site.path(), &[])), 0, "1 service: 0 would be changed");

    let path = "/apis/apps/v1/namespaces/default/deployments/web";
    let mut web = site.cluster.get(path).expect("there");
    web["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:1.20".into();
    web["metadata"].as_object_mut().expect("an object").remove("resourceVersion");
    site.cluster.apply(web).expect("applied");
    settles(&site, "web_default", "drifted");
    says(&output(plan(site.path(), &[])), 0, "web      default    drifted");
    let put_back = plan(site.path(), &["--drift", "correct"]);
    says(&output(put_back), 3, "put back  web: nginx:1.20 → nginx:1.26");
    let repo = plan(site.path(), &["--ecr-repo", "registry.example.com/team"]);
    says(&output(repo), 1, "ECR_REPO was not set, and is registry.example.com/team");

    site.end();
    let before = everything_in(&state);
    site.save("web_default.dep", "nginx:1.27\n");
    says(&output(plan(site.path(), &[])), 3, "roll out  web: nginx:1.20 → nginx:1.27");
    fs::remove_file(site.path().join("deps/web_default.dep")).expect("there");
    says(&output(plan(site.path(), &[])), 1, "the folder has no file any more of 1 service");
    says(&output(plan(site.path(), &["--accept-change"])), 0, "let go");
    assert_eq!(everything_in(&state), before, "nothing was written there");
}

#[test]
fn what_was_rolled_back_or_refused_is_not_planned_again() {
    let mut site = Site::with(&["--rollback", "on-failure", "--halt-after", "1"]);
    site.save("web_default.dep", "nginx:missing\n");
    says(&site.wait("web_default"), 1, "web_default");
    settles(&site, "web_default", "rolled-back");
    site.save("api_default.dep", "ghcr.io/example/api:2.0.0\n");
    let text = String::from_utf8(plan(site.path(), &[]).output().expect("it runs").stdout);
    let text = text.expect("UTF-8");
    assert!(text.contains("Everything is held: 1 rollouts failed in a row"), "{text}");
    assert!(text.contains("depd resume --all"), "{text}");
    assert!(text.contains("rolled back"), "{text}");
    site.end();
    assert_eq!(run(plan(site.path(), &[]), 1), text, "the store knows it");
    let resumed = depd(site.path(), &["resume", "--all"]).output().expect("it runs");
    says(&resumed, 0, "the next one goes on");
    let text = run(plan(site.path(), &[]), 3);
    assert!(text.contains("api: ghcr.io/example/api:1.0.0 → ghcr.io/example/api:2.0.0"), "{text}");
    assert!(text.contains("rolled back"), "{text}");
    assert!(!text.contains("held"), "{text}");
}

#[test]
fn a_cluster_that_does_not_answer_is_trouble() {
    let (cluster, folder) = still();
    save(folder.path(), "web_default.dep", "nginx:1.25\n");
    cluster.stop();
    refuses(plan(folder.path(), &[]), 1, "depd: cannot list deployments in default: ");
}

#[test]
fn what_may_not_be_listed_or_changed_is_named_and_hides_nothing_else() {
    let (cluster, folder) = still();
    save(folder.path(), "web_default.dep", "nginx:1.25\n");
    save(folder.path(), "shop_closed.dep", "nginx:1.25\n");
    save(folder.path(), "api_default.dep", "nginx:1.25\n");
    cluster.set_faults(|request: &RequestView<'_>| {
        let refused = |verb: &str, namespace: &str| {
            let why = format!(
                "User \"depd\" cannot {verb} resource \"deployments\" in API group \"apps\" in the \
                 namespace \"{namespace}\""
            );
            let about = About { group: "apps", resource: "deployments", name: "" };
            Some(Fault::Respond(Response::status(&Status::forbidden(about, &why))))
        };
        match (request.method, request.target) {
            ("GET", target) if target.contains("/namespaces/closed/") => refused("list", "closed"),
            ("PATCH", target) if target.contains("/api?") => refused("patch", "default"),
            _ => None,
        }
    });
    let text = run(plan(folder.path(), &[]), 1);
    for part in [
        "roll out  web: nginx:1.24 → nginx:1.25",
        "lacks verb list on apps/deployments",
        "lacks verb patch on apps/deployments",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(
        text.ends_with("3 services: 1 would be changed, 2 are in trouble; nothing was changed\n"),
        "{text}"
    );
}
