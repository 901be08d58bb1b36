//! `tests/FAULTS.md`: every fault and attack that depd must survive has its tests, and they exist.

use std::fs;

use super::none;

const FILE: &str = "tests/FAULTS.md";

/// Letter and last number of what the file lists.
const LISTS: &[(&str, u32)] = &[("F", 47), ("S", 18)];

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

/// Whether the file has this function, and it is a test.
fn is_test(file: &str, name: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let head = format!("fn {name}(");
    // Some are public, because another test runs them as well.
    let is_head = |line: &&str| line.trim_start_matches("pub ").starts_with(&head);
    let Some(at) = lines.iter().position(is_head) else { return false };
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with(['#', '/']));
    // Those of tests/folder are in a list of their own instead of having an attribute.
    let is_listed = [",", "]"].iter().any(|end| text.contains(&format!("{name}{end}")));
    is_listed || above.into_iter().any(|line| *line == "#[test]")
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
            if !is_test(file, name) {
                found.push(format!("{}: {file} has no test {name}", row.id));
            }
        }
    }
    none(&found, FILE);
}

#[test]
fn what_must_be_proven_on_a_real_control_plane_is() {
    // These run there, all of them, by way of `Cluster::start` and its like.
    let is_proof = |(file, _): &(String, String)| file.starts_with("tests/scenarios/");
    let found: Vec<String> = rows()
        .iter()
        .filter(|row| row.real && !row.tests.iter().any(is_proof))
        .map(|row| format!("{}: none of its tests runs on a real control plane", row.id))
        .collect();
    none(&found, FILE);
}
