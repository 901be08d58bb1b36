//! What every command owes a person: help with exit codes, a near word for a slip, and no noise when
//! nobody reads or the disk is full.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;
use tempfile::TempDir;

use super::fixed::fixed_store;
use super::{depd, folder, refuses, stderr};

/// Every command, those beneath others too, as the help lists them.
fn commands(folder: &Path, above: &[String]) -> Vec<Vec<String>> {
    let text = help(folder, above);
    let Some((_, list)) = text.split_once("\nCommands:\n") else { return Vec::new() };
    let list = list.lines().take_while(|line| !line.is_empty());
    let own = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names =
        own.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let mut found = Vec::new();
    for name in names {
        let path = [above, &[name.to_owned()]].concat();
        found.push(path.clone());
        found.extend(commands(folder, &path));
    }
    found
}

fn help(folder: &Path, command: &[String]) -> String {
    let words: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    let output = depd(folder, &words).output().expect("it runs");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn every_help_names_the_exit_codes() {
    let folder = folder();
    let mut all = commands(folder.path(), &[]);
    assert!(all.len() > 20, "{all:?}");
    all.push(vec!["documents".to_owned()]);
    for command in all {
        let text = help(folder.path(), &command);
        for part in ["Exit code", "0: ", "1: ", "2: "] {
            assert!(
                text.contains(part),
                "depd {} --help has no {part:?}:\n{text}",
                command.join(" ")
            );
        }
    }
}

#[test]
fn slips_in_the_new_commands_are_met_with_the_near_word() {
    let folder = folder();
    let check = |arguments: &[&str], line: &str| refuses(depd(folder.path(), arguments), 2, line);
    check(&["paln"], "  tip: a similar subcommand exists: 'plan'");
    let doctor = depd(folder.path(), &["docter"]).output().expect("it runs");
    assert_eq!(doctor.status.code(), Some(2));
    assert!(stderr(&doctor).contains("similar subcommand") && stderr(&doctor).contains("'doctor'"));
    check(&["versoin"], "  tip: a similar subcommand exists: 'version'");
    check(&["plan", "--outptu", "json"], "  tip: a similar argument exists: '--output'");
    check(&["doctor", "--dpes", "x"], "  tip: a similar argument exists: '--deps'");
    check(&["version", "--output", "jsno"], "  tip: a similar value exists: 'json'");
    check(
        &["plan", "web"],
        "error: invalid value 'web' for '[KEY]...': a key is SERVICE_NAMESPACE",
    );
}

#[test]
fn the_version_is_told_in_every_form() {
    let folder = folder();
    let said = |arguments: &[&str]| {
        let output = depd(folder.path(), arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let (version, store) = (env!("CARGO_PKG_VERSION"), depd::store::VERSION);
    assert_eq!(said(&["--version"]), format!("depd {version}\n"));
    assert_eq!(said(&["version"]), format!("depd {version}, store version {store}\n"));
    let json: serde_json::Value =
        serde_json::from_str(&said(&["version", "--output", "json"])).expect("JSON");
    assert_eq!(json, serde_json::json!({ "version": version, "store": store }));
    let yaml = said(&["version", "--output", "yaml"]);
    assert_eq!(yaml, format!("version: {version}\nstore: {store}\n"));
}

/// Commands that print, with arguments; they need no cluster, or say why they have none.
const PRINTING: &[&[&str]] = &[
    &["status"],
    &["status", "--output", "json"],
    &["history"],
    &["history", "--output", "yaml"],
    &["check"],
    &["wait", "web_default", "--timeout", "1s"],
    &["rollback", "web_default"],
    &["doctor"],
    &["doctor", "--output", "json"],
    &["version"],
    &["rbac"],
    &["rbac", "--policy"],
    &["guide"],
    &["guide", "host"],
    &["report", "preview"],
    &["--help"],
    &["--version"],
    &["once", "--help"],
];

/// The fixed store, and a pretend cluster for `depd plan`.
fn site() -> (depd::sandbox::Sandbox, TempDir) {
    let cluster = depd::sandbox::Sandbox::start(Default::default()).expect("it starts");
    let folder = fixed_store();
    std::fs::write(folder.path().join("kubeconfig"), cluster.kubeconfig()).expect("written");
    (cluster, folder)
}

fn printing(folder: &Path) -> Vec<Command> {
    let plan: &[&str] = &["plan", "--accept-change"];
    let all = PRINTING.iter().chain([&plan]);
    let command = |arguments: &&[&str]| {
        let mut command = depd(folder, arguments);
        command.env("KUBECONFIG", "kubeconfig").stdin(Stdio::null());
        command
    };
    all.map(command).collect()
}

#[test]
fn a_full_disk_is_told_clearly_by_every_command() {
    let (_cluster, folder) = site();
    for mut command in printing(folder.path()) {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let output = command.stdout(full).output().expect("it runs");
        let text = stderr(&output);
        let expect = "depd: cannot print: No space left on device (os error 28)\n";
        assert!(text.ends_with(expect), "{command:?}: {text}");
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        // With nowhere to complain either, the exit code still tells.
        let full = || OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let status = command.stdout(full()).stderr(full()).status().expect("it runs");
        assert_eq!(status.code(), Some(1), "{command:?}");
    }
}

#[test]
fn a_closed_pipe_ends_every_command_quietly() {
    let (_cluster, folder) = site();
    for mut command in printing(folder.path()) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command.stdout(writer).output().expect("it runs");
        // What is waited for is told there.
        let is_wait = command.get_args().next().is_some_and(|word| word == "wait");
        assert!(stderr(&output).is_empty() || is_wait, "{command:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{command:?}");
        assert!(output.status.code().is_some(), "{command:?}: {}", output.status);
    }
}

#[test]
fn a_newer_store_is_refused_with_its_version_by_every_command_that_reads_it() {
    let (_cluster, folder) = site();
    let database = Connection::open(folder.path().join("state/depd.db")).expect("opens");
    database.pragma_update(None, "user_version", 99).expect("written");
    drop(database);
    let known = depd::store::VERSION;
    for arguments in [
        &["status"][..],
        &["history"],
        &["wait", "web_default"],
        &["rollback", "web_default"],
        &["plan"],
        &["doctor"],
        &["run"],
        &["once"],
        &["resume", "--all"],
        &["retry", "web_default"],
    ] {
        let mut command = depd(folder.path(), arguments);
        command.env("KUBECONFIG", "kubeconfig");
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
        let expect = format!("has schema version 99, and this depd knows versions up to {known}");
        assert!(text.contains(&expect), "{arguments:?}: {text}");
        assert!(text.contains("start the newer depd again"), "{arguments:?}: {text}");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
    }
}
