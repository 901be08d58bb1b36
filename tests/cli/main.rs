//! The command line as a person meets it: help, and a clear line for everything that is wrong.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod check;
mod doctor;
mod fixed;
mod live;
mod manners;
mod plan;
mod rbac;
mod report;
mod running;
mod stored;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use depd::sandbox::{Sandbox, SandboxOptions};
use tempfile::TempDir;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("deps")).expect("a folder");
    folder
}

/// A depd in `folder`, with nothing of the caller's environment.
fn depd(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_depd"));
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder);
    command.env("STATE_DIRECTORY", folder.join("state"));
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Runs to its end, which must be a failure with this code and a last line that begins like this.
#[track_caller]
fn refuses(mut command: Command, code: i32, line: &str) {
    let output = command.output().expect("it runs");
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.lines().any(|own| own.starts_with(line)), "no line {line:?} in:\n{text}");
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn help_reads_well() {
    let text = |arguments: &[&str]| {
        let output = depd(folder().path(), arguments).output().expect("it runs");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    insta::assert_snapshot!("help", text(&["--help"]));
    insta::assert_snapshot!("help-run", text(&["run", "--help"]));
    insta::assert_snapshot!("help-check", text(&["check", "--help"]));
    insta::assert_snapshot!("help-doctor", text(&["doctor", "--help"]));
    insta::assert_snapshot!("help-plan", text(&["plan", "--help"]));
    insta::assert_snapshot!("help-report", text(&["report", "--help"]));
    insta::assert_snapshot!("help-report-preview", text(&["report", "preview", "--help"]));
    insta::assert_snapshot!("help-report-test", text(&["report", "test", "--help"]));
    insta::assert_snapshot!("help-status", text(&["status", "--help"]));
    insta::assert_snapshot!("help-history", text(&["history", "--help"]));
    insta::assert_snapshot!("help-wait", text(&["wait", "--help"]));
    insta::assert_snapshot!("help-rbac", text(&["rbac", "--help"]));
    insta::assert_snapshot!("help-rollback", text(&["rollback", "--help"]));
    insta::assert_snapshot!("help-resume", text(&["resume", "--help"]));
    insta::assert_snapshot!("help-pause", text(&["pause", "--help"]));
    insta::assert_snapshot!("help-retry", text(&["retry", "--help"]));
    insta::assert_snapshot!("help-restart", text(&["restart", "--help"]));
    insta::assert_snapshot!("help-once", text(&["once", "--help"]));
    insta::assert_snapshot!("help-guide", text(&["guide", "--help"]));
    insta::assert_snapshot!("guide", text(&["guide"]));
    insta::assert_snapshot!("help-version", text(&["version", "--help"]));
    insta::assert_snapshot!("help-demo", text(&["demo", "--help"]));
    insta::assert_snapshot!("help-sandbox", text(&["sandbox", "--help"]));
}

#[test]
fn a_near_miss_is_suggested() {
    refuses(depd(folder().path(), &["demmo"]), 2, "  tip: a similar subcommand exists: 'demo'");
    refuses(
        depd(folder().path(), &["run", "--dep", "x"]),
        2,
        "  tip: a similar argument exists: '--deps'",
    );
}

#[test]
fn without_a_kubeconfig_it_says_what_to_set() {
    refuses(
        depd(folder().path(), &["run"]),
        2,
        "depd: no kubeconfig: set KUBECONFIG or --kubeconfig",
    );
}

#[test]
fn a_missing_folder_is_named() {
    let folder = folder();
    refuses(
        depd(folder.path(), &["run", "--deps", "nope"]),
        2,
        "depd: the folder nope does not exist: create it, or set DEPS (or --deps)",
    );
    let mut command = depd(folder.path(), &["run"]);
    command.env("DEPS", "elsewhere");
    refuses(command, 2, "depd: the folder elsewhere does not exist");
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let folder = folder();
    fs::write(folder.path().join(".env"), "DEPS=from-file\n").expect("written");
    refuses(depd(folder.path(), &["run"]), 2, "depd: the folder from-file");
    let with_env = |arguments: &[&str]| {
        let mut command = depd(folder.path(), arguments);
        command.env("DEPS", "from-env");
        command
    };
    refuses(with_env(&["run"]), 2, "depd: the folder from-env");
    refuses(with_env(&["run", "--deps", "from-flag"]), 2, "depd: the folder from-flag");
}

#[test]
fn bad_settings_are_named_and_secrets_are_not_repeated() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("it starts");
    let folder = folder();
    fs::write(folder.path().join("kubeconfig"), sandbox.kubeconfig()).expect("written");
    let with = |name: &str, value: &str| {
        let mut command = depd(folder.path(), &["run"]);
        command.env("KUBECONFIG", "kubeconfig").env(name, value);
        command
    };
    let webhook = || with("WEBHOOK_FOR_SLACK", "http://hooks.example.com/SECRET");
    refuses(webhook(), 2, "depd: the webhook's address in WEBHOOK_FOR_SLACK is not usable");
    assert!(!stderr(&webhook().output().expect("it runs")).contains("SECRET"));
    refuses(with("ECR_REPO", "https://x y"), 2, "depd: ");
    refuses(depd(folder.path(), &["run", "--timeout", "soon"]), 2, "error: invalid value 'soon'");
    refuses(depd(folder.path(), &["run", "--workers", "0"]), 2, "error: invalid value '0'");
    refuses(depd(folder.path(), &["run", "--env-file", "nope"]), 2, "depd: cannot read nope");
    refuses(
        depd(folder.path(), &["run", "--kubeconfig", "kubeconfig", "--context", "nope"]),
        2,
        "depd: ",
    );
}

#[test]
fn a_broken_kubeconfig_is_named() {
    let folder = folder();
    fs::write(folder.path().join("broken"), "clusters: [").expect("written");
    let mut command = depd(folder.path(), &["run", "--kubeconfig", "broken"]);
    let text = stderr(&command.output().expect("it runs"));
    assert!(text.contains("broken"), "{text}");
    refuses(command, 2, "depd: ");
}

/// Starts depd on `kubeconfig`, waits for a line of its log, and ends it.
#[track_caller]
fn says(folder: &Path, kubeconfig: &str, part: &str) {
    fs::write(folder.join("kubeconfig"), kubeconfig).expect("written");
    let mut command = depd(folder, &["run", "--kubeconfig", "kubeconfig"]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it runs");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let (sender, told) = mpsc::channel();
    thread::spawn(move || {
        lines.map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    let mut seen = Vec::new();
    let found = loop {
        match told.recv_timeout(Duration::from_secs(60)) {
            Ok(line) if line.contains(part) => break true,
            Ok(line) => seen.push(line),
            Err(_) => break false,
        }
    };
    child.kill().expect("it still runs, and tries again");
    child.wait().expect("it ends");
    assert!(found, "no {part:?} in:\n{}", seen.join("\n"));
}

#[test]
fn an_unreachable_api_is_said_and_tried_again() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("bound").port();
    drop(closed);
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("it starts");
    let own = format!("127.0.0.1:{}", sandbox.address().port());
    let kubeconfig = sandbox.kubeconfig().replace(&own, &format!("127.0.0.1:{port}"));
    says(folder().path(), &kubeconfig, "cannot get namespaces kube-system");
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("it starts");
    let other = Sandbox::start(SandboxOptions::default()).expect("it starts");
    let address = |s: &Sandbox| format!("127.0.0.1:{}", s.address().port());
    let kubeconfig = sandbox.kubeconfig().replace(&address(&sandbox), &address(&other));
    says(folder().path(), &kubeconfig, "certificate");
}

#[test]
fn a_folder_that_watches_without_an_api_still_names_bad_files() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("it starts");
    let folder = folder();
    fs::write(folder.path().join("deps/no underscore.dep"), "nginx:1\n").expect("written");
    says(folder.path(), &sandbox.kubeconfig(), "no underscore.dep");
}

#[test]
fn the_demo_deploys_what_it_tells_to_type_and_leaves_nothing_behind() {
    let folder = folder();
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).expect("a folder");
    let mut command = depd(folder.path(), &["demo"]);
    command.env("TMPDIR", &temporary).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let (sender, told) = mpsc::channel();
    let pass_on = |lines: Box<dyn BufRead + Send>, sender: mpsc::Sender<String>| {
        thread::spawn(move || {
            lines.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
    };
    pass_on(Box::new(BufReader::new(child.stdout.take().expect("piped"))), sender.clone());
    pass_on(Box::new(BufReader::new(child.stderr.take().expect("piped"))), sender);
    let mut seen = Vec::new();
    // Looks through everything that was said so far, and then waits for more.
    let mut wait_for = |parts: &[&str]| loop {
        let fits = |line: &&String| parts.iter().all(|part| line.contains(part));
        if let Some(line) = seen.iter().find(fits) {
            return String::clone(line);
        }
        match told.recv_timeout(Duration::from_secs(60)) {
            Ok(line) => seen.push(line),
            Err(_) => return format!("no {parts:?} in:\n{}", seen.join("\n")),
        }
    };
    let rollout = wait_for(&["web_default: Deployed", "nginx:1.24.3"]);
    let printed = wait_for(&["echo nginx:1.25 > deps/web_default.dep"]);
    let typed = Command::new("sh").args(["-c", printed.trim()]).current_dir(folder.path()).status();
    let deployed = wait_for(&["web_default: Deployed", "nginx:1.24.3 → nginx:1.25"]);
    let kept = fs::read_dir(&temporary).expect("readable").count();
    let export = wait_for(&["export DEPS="]);
    let export = export.split("once ").nth(1).and_then(|text| text.split(" was typed").next());
    let script = format!(
        "{}; {} rollback web_default",
        export.unwrap_or("false"),
        env!("CARGO_BIN_EXE_depd")
    );
    let back =
        Command::new("sh").args(["-c", &script]).current_dir(folder.path()).env_clear().output();
    let returned = wait_for(&["web_default: Deployed", "nginx:1.25 → nginx:1.24.3"]);
    let term = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    let status = child.wait().expect("it ends");
    assert!(rollout.contains("web_default: Deployed"), "{rollout}");
    assert!(typed.expect("sh runs").success(), "{printed}");
    assert!(deployed.contains("web_default: Deployed"), "{deployed}");
    assert_eq!(kept, 1, "the folder with the kubeconfig that the demo tells to use");
    assert!(back.is_ok_and(|output| output.status.success()), "{script}");
    assert!(returned.contains("web_default: Deployed"), "{returned}");
    assert!(term.expect("kill runs").success());
    assert_eq!(status.code(), Some(0));
    assert_eq!(fs::read_dir(&temporary).expect("readable").count(), 0);
}
