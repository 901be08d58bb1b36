//! `tests/FAULTS.md`: every fault and attack that depd must survive has its tests, and they exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::none;

const FILE: &str = "tests/FAULTS.md";

/// Letter and last number of what the file lists.
const LISTS: &[(&str, u32)] = &[("F", 47), ("S", 18)];

/// What a test calls that cannot run on a real control plane.
const ONLY_SANDBOX: &str = "start_for_faults(";

/// One entry: a fault or an attack.
struct Row {
    /// For example `F13`.
    id: String,
    /// A test of it must run on a real control plane.
    real: bool,
    /// Files and names of functions.
    tests: Vec<(String, String)>,
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(FILE).expect("readable");
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines() {
        let head = line.split_once(": ").map_or("", |(head, _)| head);
        let (id, mark) = head.split_once(' ').unwrap_or((head, ""));
        let is_id = LISTS.iter().any(|(letter, _)| {
            id.strip_prefix(letter).is_some_and(|number| number.parse::<u32>().is_ok())
        });
        if is_id {
            assert!(["", "real"].contains(&mark), "{FILE}: {line}");
            rows.push(Row { id: id.to_owned(), real: mark == "real", tests: Vec::new() });
        } else if let Some(test) = line.strip_prefix("- ") {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{FILE}: {line}"));
            let row = rows.last_mut().unwrap_or_else(|| panic!("{FILE}: {line}"));
            row.tests.push((file.to_owned(), name.to_owned()));
        }
    }
    rows
}

/// The functions of a file with all their lines, attributes above them included.
fn functions(file: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut found = BTreeMap::new();
    let mut attributes = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        if code.starts_with('#') {
            attributes += code;
            continue;
        }
        let margin = &line[..line.len() - code.len()];
        if let Some((_, rest)) = code.split_once("fn ").filter(|(before, _)| {
            before.is_empty() || before.ends_with("const ") || before.starts_with("pub")
        }) {
            let is_in_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
            let name: String = rest.chars().take_while(is_in_name).collect();
            let end = format!("{margin}}}");
            let body = lines.by_ref().take_while(|line| *line != end);
            let body: String = body.flat_map(|line| [line, "\n"]).collect();
            found.insert(name, format!("{attributes}\n{body}"));
        }
        if !code.starts_with("//") {
            attributes.clear();
        }
    }
    found
}

/// Whether the function, or one of the same file that it calls, needs the sandbox.
fn needs_sandbox(functions: &BTreeMap<String, String>, name: &str) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![name]);
    while let Some(name) = open.pop() {
        let Some(body) = functions.get(name).filter(|_| seen.insert(name)) else { continue };
        if body.contains(ONLY_SANDBOX) {
            return true;
        }
        let called = functions.keys().filter(|other| body.contains(&format!("{other}(")));
        open.extend(called.map(String::as_str));
    }
    false
}

#[test]
fn every_fault_and_every_attack_is_listed_once_with_tests() {
    let rows = rows();
    let mut found = Vec::new();
    for id in
        LISTS.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}")))
    {
        let named: Vec<&Row> = rows.iter().filter(|row| row.id == id).collect();
        match named[..] {
            [row] if !row.tests.is_empty() => {}
            [_] => found.push(format!("{id} has no test")),
            _ => found.push(format!("{id} is there {} times", named.len())),
        }
    }
    none(&found, FILE);
}

#[test]
fn every_test_that_is_listed_exists() {
    let mut found = Vec::new();
    for row in rows() {
        for (file, name) in &row.tests {
            // The tests of tests/folder are in a list of their own instead of having an attribute.
            let text = fs::read_to_string(file).unwrap_or_default();
            let is_listed = [",", "]"].iter().any(|end| text.contains(&format!("{name}{end}")));
            let is_test = |body: &String| body.contains("#[test]") || is_listed;
            if !functions(file).get(name).is_some_and(is_test) {
                found.push(format!("{}: {file} has no test {name}", row.id));
            }
        }
    }
    none(&found, FILE);
}

#[test]
fn what_must_be_proven_on_a_real_control_plane_is() {
    let is_proof = |(file, name): &(String, String)| {
        file.starts_with("tests/scenarios/") && !needs_sandbox(&functions(file), name)
    };
    let found: Vec<String> = rows()
        .iter()
        .filter(|row| row.real && !row.tests.iter().any(is_proof))
        .map(|row| format!("{}: none of its tests runs on a real control plane", row.id))
        .collect();
    none(&found, FILE);
}
