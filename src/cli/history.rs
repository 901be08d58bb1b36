//! `depd history`: who rolled out what, when, and how it went, read from the store.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::print::{self, Cell, Form, Tone, document};
use super::stored::{StoreArguments, parse_key, short, stamp, unknown};
use crate::model::ServiceKey;
use crate::store::{Reader, StoredRollout};

/// Say which rollouts there were, newest first: when, what changed, who asked, and how they ended.
///
/// It reads the state that the daemon keeps, and needs no cluster.
///
/// Exit code 0: shown. 1: the state cannot be read. 2: wrong usage, such as an unknown KEY.
#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// Only this service, as its file is called: SERVICE_NAMESPACE
    #[arg(value_name = "KEY", value_parser = parse_key)]
    key: Option<ServiceKey>,

    /// How many rollouts, at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    /// How to print them
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Table)]
    output: Form,

    #[command(flatten)]
    store: StoreArguments,
}

/// The whole document. Its shape is a promise: fields may be added, none changes or goes.
#[derive(Debug, Serialize)]
struct History {
    rollouts: Vec<Entry>,
}

/// One rollout.
#[derive(Debug, Serialize)]
struct Entry {
    service: String,
    namespace: String,
    /// Counts from 1 for each service; what `depd rollback --to` takes.
    attempt: u32,
    started: String,
    /// Null where it is not known.
    by: Option<String>,
    changes: String,
    /// The content of the dep file; null in entries of an older depd.
    wanted: Option<String>,
    /// Null while it is in flight, like the next two.
    verdict: Option<String>,
    seconds: Option<f64>,
    detail: Option<String>,
}

/// Reads and prints.
pub fn run(arguments: &HistoryArguments) -> Result<ExitCode, Failure> {
    let reader = arguments.store.open(&arguments.store.environment()?)?;
    let key = arguments.key.as_ref();
    let rollouts = reader.history(key, arguments.limit).map_err(Failure::work)?;
    if let (Some(key), true) = (key, rollouts.is_empty()) {
        known(&reader, key)?;
    }
    let history = History { rollouts: rollouts.iter().map(Entry::new).collect() };
    let colours = print::colours();
    document(arguments.output, &history, |history| table(history, colours))?;
    Ok(ExitCode::SUCCESS)
}

/// A service without a rollout is no mistake; one that is not there is.
fn known(reader: &Reader, key: &ServiceKey) -> Result<(), Failure> {
    let services = reader.services().map_err(Failure::work)?;
    let known: Vec<ServiceKey> = services.into_iter().map(|service| service.key).collect();
    if known.contains(key) { Ok(()) } else { Err(unknown(key, &known)) }
}

impl Entry {
    fn new(rollout: &StoredRollout) -> Entry {
        let end = rollout.end.as_ref();
        Entry {
            service: rollout.key.service().to_owned(),
            namespace: rollout.key.namespace().to_owned(),
            attempt: rollout.attempt,
            started: stamp(rollout.started_ms),
            by: rollout.by.clone(),
            changes: rollout.changes.clone(),
            wanted: rollout.wanted.clone(),
            verdict: end.map(|end| end.verdict.to_lowercase()),
            seconds: end.map(|end| {
                let millis = (end.at_ms - rollout.started_ms).max(0);
                millis as f64 / 1000.0
            }),
            detail: end.map(|end| end.detail.clone()),
        }
    }
}

fn table(history: &History, colours: bool) -> String {
    if history.rollouts.is_empty() {
        return "no rollouts\n".into();
    }
    let titles = ["STARTED", "SERVICE", "NAMESPACE", "NO", "VERDICT", "TOOK", "BY", "CHANGE"];
    let rows: Vec<Vec<Cell>> = history.rollouts.iter().map(cells).collect();
    print::table(&titles, &rows, colours)
}

fn cells(entry: &Entry) -> Vec<Cell> {
    let took = entry.seconds.map_or_else(String::new, |seconds| match seconds {
        s if s < 10.0 => format!("{s:.1}s"),
        s => short(s as u64),
    });
    vec![
        entry.started.as_str().into(),
        entry.service.as_str().into(),
        entry.namespace.as_str().into(),
        entry.attempt.to_string().into(),
        verdict(entry.verdict.as_deref()),
        took.into(),
        entry.by.as_deref().unwrap_or("-").into(),
        change(entry).into(),
    ]
}

fn verdict(verdict: Option<&str>) -> Cell {
    let tone = match verdict {
        Some("deployed" | "recovered") => Tone::Good,
        Some("failed" | "refused") => Tone::Bad,
        Some("timed out" | "rolled back") => Tone::Warning,
        _ => Tone::Plain,
    };
    Cell::toned(verdict.unwrap_or("in flight"), tone)
}

/// What changed, and for what did not go well, why.
fn change(entry: &Entry) -> String {
    let why = match (entry.verdict.as_deref(), &entry.detail) {
        (Some("failed" | "timed out" | "refused" | "rolled back"), Some(why))
            if !why.is_empty() =>
        {
            why.replace('\n', " ")
        }
        _ => return entry.changes.clone(),
    };
    format!("{}: {why}", entry.changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture::key;
    use crate::store::RolloutEnd;

    fn rollout(attempt: u32, verdict: Option<(&str, &str)>) -> StoredRollout {
        let end = verdict.map(|(verdict, detail)| RolloutEnd {
            verdict: verdict.into(),
            detail: detail.into(),
            at_ms: 4_200,
        });
        StoredRollout {
            key: key("web"),
            attempt,
            changes: "nginx:1.24 → nginx:1.25".into(),
            wanted: Some("nginx:1.25\n".into()),
            by: (attempt == 1).then(|| "ann".into()),
            started_ms: 1_000,
            end,
        }
    }

    #[test]
    fn a_history_reads_well_in_every_form() {
        let failed = Some(("Failed", "1 of 1 new pods cannot pull nginx:1.25 (not found)"));
        let rollouts =
            [rollout(3, None), rollout(2, failed), rollout(1, Some(("Deployed", "in 3 s")))];
        let history = History { rollouts: rollouts.iter().map(Entry::new).collect() };
        insta::assert_snapshot!("table", table(&history, false));
        insta::assert_json_snapshot!("json", history);
        assert_eq!(table(&History { rollouts: Vec::new() }, false), "no rollouts\n");
    }
}
