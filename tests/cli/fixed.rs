//! The commands that read the store, on a store that is always the same: what they print in every form.

use std::fs;
use std::path::Path;
use std::time::Duration;

use depd::model::{Hold, Image, ImageSet, Kind, What};
use depd::reconcile::{Phase, Service, Settled, Waiting};
use depd::store::Store;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::{depd, folder, stderr};

/// 2026-11-24T18:00:00Z.
const THEN_MS: i64 = 1_795_543_200_000;

fn image(text: &str) -> ImageSet {
    ImageSet::Single(Image::parse(text).expect("valid"))
}

fn settled(text: &str) -> Service {
    let settled = Settled { desired: image(text), uid: "u".into(), changes: Vec::new() };
    Service { phase: Phase::Settled(settled), attempts: 2, ..Service::default() }
}

fn services() -> Vec<(&'static str, Service)> {
    let waiting = Waiting {
        desired: image("nginx:1.25"),
        looked: true,
        told: false,
        may_create: false,
        create: false,
        creation: Default::default(),
    };
    let pending = Service {
        phase: Phase::Waiting(waiting),
        complaint: Some(What::WorkloadMissing),
        ..Service::default()
    };
    let held = Service {
        complaint: Some(What::Held(Hold::Annotation, Kind::StatefulSet)),
        ..settled("postgres:17")
    };
    vec![("api", pending), ("db", held), ("web", settled("nginx:1.25"))]
}

/// A folder with that store beside its dep files; no depd runs.
pub fn fixed_store() -> TempDir {
    let folder = folder();
    let state = folder.path().join("state");
    let (store, _) = Store::open(&state, |_| {}).expect("opens");
    assert!(store.close(Duration::from_secs(60)));
    drop(store);
    let database = Connection::open(state.join("depd.db")).expect("opens");
    for (name, service) in services() {
        let text = serde_json::to_string(&service).expect("JSON");
        let sql = "INSERT INTO service VALUES ('default', ?1, ?2, ?3)";
        database.execute(sql, params![name, text, THEN_MS]).expect("written");
    }
    let rollout =
        "INSERT INTO rollout (namespace, service, attempt, changes, started_by, started_ms,
        verdict, detail, ended_ms, wanted) VALUES ('default', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let ended = |after_ms: i64| Some(THEN_MS + after_ms);
    let row = |values: &[&dyn rusqlite::ToSql]| {
        database.execute(rollout, values).expect("written");
    };
    let (none, nobody): (Option<i64>, Option<&str>) = (None, None);
    row(&[
        &"web",
        &1,
        &"nginx:1.24 → nginx:1.25",
        &"alice",
        &THEN_MS,
        &"Deployed",
        &"3 of 3 pods run it",
        &ended(12_400),
        &"nginx:1.25\n",
    ]);
    row(&[
        &"web",
        &2,
        &"nginx:1.25 → nginx:missing",
        &nobody,
        &(THEN_MS + 60_000),
        &"Failed",
        &"image nginx:missing: no such tag",
        &ended(61_000),
        &"nginx:missing\n",
    ]);
    row(&[
        &"db",
        &1,
        &"postgres:16 → postgres:17",
        &"bob",
        &(THEN_MS + 120_000),
        &nobody,
        &nobody,
        &none,
        &"postgres:17\n",
    ]);
    let message = "INSERT INTO outbox (namespace, service, receiver, created_ms, set_aside_ms,
        set_aside_why, payload) VALUES ('default', 'web', 'slack', ?1, ?2, ?3, '{}')";
    database.execute(message, params![THEN_MS, none, nobody]).expect("written");
    let set_aside = params![THEN_MS, THEN_MS, "404: no_service"];
    database.execute(message, set_aside).expect("written");
    drop(database);
    fs::write(folder.path().join("deps/web_default.dep"), "nginx:missing\n").expect("written");
    folder
}

/// Exit code, what is printed, and what is complained of.
fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = depd(folder, arguments).output().expect("it runs");
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    let code = output.status.code().expect("it ended");
    let text = format!("$ depd {}\n{text}{}exit {code}\n", arguments.join(" "), stderr(&output));
    text.replace(&folder.display().to_string(), "HERE")
}

/// Ages grow, and with them the column.
fn without_ages(text: &str) -> String {
    let is_age = |word: &&str| {
        let number = word.strip_suffix(['s', 'm', 'h', 'd']);
        number.is_some_and(|number| number.parse::<u64>().is_ok())
    };
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.iter().find(|word| is_age(word)) {
            Some(age) => line.replacen(age, "…", 1),
            None => line.to_owned(),
        }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn status_and_history_of_a_fixed_store_read_well_in_every_form() {
    let folder = fixed_store();
    for command in ["status", "history"] {
        for form in ["table", "json", "yaml"] {
            let all = said(folder.path(), &[command, "--output", form]);
            let one = said(folder.path(), &[command, "web_default", "--output", form]);
            let text = if command == "status" { without_ages(&(all + &one)) } else { all + &one };
            insta::assert_snapshot!(format!("{command}-{form}"), text);
        }
    }
}

#[test]
fn the_other_commands_say_what_they_do_with_a_fixed_store() {
    let folder = fixed_store();
    let lines = [
        &["wait", "web_default", "--timeout", "1s"][..],
        &["rollback", "web_default"],
        &["rollback", "web_default", "--to", "7"],
        &["wait", "web_default", "--timeout", "1s"],
        &["retry", "web_default"],
        &["resume", "--all"],
        &["pause", "web_default"],
        &["resume", "web_default"],
        &["restart", "web_default"],
    ];
    let all: Vec<String> = lines.iter().map(|line| said(folder.path(), line)).collect();
    insta::assert_snapshot!("lines", all.join("\n"));
    let content = fs::read_to_string(folder.path().join("deps/web_default.dep"));
    assert_eq!(content.expect("there"), "nginx:1.25\n", "that of the rollout that ran well");
}
