//! `depd doctor`: is everything there that depd needs, and if not, what is to be done? `[E]`
//!
//! Each part is looked at on a thread of its own and within a time limit, so that what hangs or is
//! broken hides nothing else. It looks with the rooms that the daemon uses, changes nothing, sends no
//! message, and shows no secret.

mod cluster;
mod findings;
mod folder;
mod receivers;
mod registry;
mod rights;
mod settings;
mod state;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::Failure;
use super::env_file::Environment;
use super::print::{self, Form, document};
use super::run::RunArguments;
use super::settings as raw;
use crate::daemon::{Log, LogStyle, init_logging};
use crate::source::{FileRead, Finding as FileFinding, read_all};
use findings::{Finding, Report, table};

/// Each part may take this long.
const LIMIT: Duration = Duration::from_secs(10);

/// Look for what keeps depd from working, and say what to do about it.
///
/// Put it in the place of depd run, with the same flags and settings: kubeconfig, the way to the API
/// server, its certificate and clock, every right that depd needs, the folder and its files, limits of
/// the kernel, the state folder, who is told, Amazon ECR. Nothing is changed and no message is sent;
/// depd may be running meanwhile.
///
/// Exit code 0: all is well, but perhaps for warnings. 1: something is missing or wrong. 2: wrong
/// usage.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// How to print it
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Table)]
    output: Form,

    #[command(flatten)]
    run: RunArguments,
}

/// Flags of `depd run` that mean nothing here; they are taken all the same, and not shown in the help.
pub const WITHOUT_MEANING: &[&str] = &[
    "dry_run",
    "log_file",
    "log_format",
    "quiet",
    "http",
    "max_rollouts",
    "halt_after",
    "accept_change",
    "apply_all",
    "ecr_renew",
    "cluster_name",
    "timeout",
    "drift",
    "rollback",
    "allow_namespace",
    "report",
    "slack_rate",
];

/// What all parts look at.
struct Patient {
    run: RunArguments,
    env: Environment,
    /// Every file of the folder; the reason where it cannot be read.
    files: Result<Vec<FileRead>, String>,
}

impl Patient {
    /// Every namespace that a file names, sorted.
    fn namespaces(&self) -> BTreeSet<String> {
        let keys = self.files.iter().flatten().filter(|file| file.finding != FileFinding::Empty);
        keys.filter_map(|file| Some(file.key.as_ref()?.namespace().to_owned())).collect()
    }
}

/// Where a part leaves what it finds.
struct Notes(Sender<Finding>);

impl Notes {
    fn add(&self, finding: Finding) {
        // Nobody listens any more once the time is over.
        let _ = self.0.send(finding);
    }
}

/// A part: what it looks at, and the name that it has if it takes too long.
type Part = (&'static str, fn(&Patient, &Notes));

/// In the order in which they are shown.
const PARTS: &[Part] = &[
    ("settings", settings::look),
    ("cluster", cluster::look),
    ("folder", folder::look),
    ("state", state::look),
    ("messages", receivers::look),
    ("ECR", registry::look),
];

/// Looks, prints, and sums up in the exit code.
pub fn run(arguments: DoctorArguments) -> Result<ExitCode, Failure> {
    let DoctorArguments { output, run } = arguments;
    let mut findings = Vec::new();
    let env = Environment::load(run.env_file.as_deref()).unwrap_or_else(|failure| {
        findings.push(Finding::fail("settings", failure.text(), ""));
        Environment::default()
    });
    // The log repeats what is shown; who wants more asks for it.
    let log = Log::of(LogStyle::Demo, env.text("RUST_LOG")?);
    init_logging(Log { otherwise: Some("off"), ..log });
    let files = read_files(&run, &env);
    let patient = Arc::new(Patient { run, env, files });
    findings.extend(examine(&patient, PARTS, LIMIT)?);
    let report = Report::new(findings);
    let colours = print::colours();
    document(output, &report, |report| table(report, colours))?;
    Ok(if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The rules of images are judged elsewhere; where they are wrong, files are read without them.
fn read_files(run: &RunArguments, env: &Environment) -> Result<Vec<FileRead>, String> {
    let folder = raw::deps(run.deps.as_deref(), "--deps", env).map_err(Failure::text)?;
    let options = crate::source::SourceOptions {
        rules: raw::image_rules(&run.images, env).unwrap_or_default(),
        recursive: run.recursive,
        ..crate::source::SourceOptions::new(folder)
    };
    read_all(&options).map_err(|error| error.to_string())
}

/// Every part at the same time, and what each has found when it is done or its time is over.
fn examine(
    patient: &Arc<Patient>,
    parts: &[Part],
    limit: Duration,
) -> Result<Vec<Finding>, Failure> {
    let until = Instant::now() + limit;
    let mut heard = Vec::new();
    for (name, look) in parts {
        let (sender, told) = channel();
        let (patient, look) = (Arc::clone(patient), *look);
        let run = move || look(&patient, &Notes(sender));
        // It is left alone where it hangs, and ends with the process.
        let spawned = thread::Builder::new().name((*name).to_owned()).spawn(run);
        heard.push((*name, told, spawned.map_err(Failure::work)?));
    }
    let mut findings = Vec::new();
    for (name, told, thread) in heard {
        loop {
            match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(finding) => findings.push(finding),
                Err(RecvTimeoutError::Disconnected) => {
                    if thread.join().is_err() {
                        let remedy = "what is above is a defect in depd: please report it";
                        findings.push(Finding::fail(name, "it could not be looked at", remedy));
                    }
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {
                    let text = format!("not done within {} s", limit.as_secs());
                    let remedy = "see which of the lines of this part is missing, and try again";
                    findings.push(Finding::fail(name, text, remedy));
                    break;
                }
            }
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_or_panics_hides_nothing_else() {
        fn fine(_: &Patient, notes: &Notes) {
            notes.add(Finding::ok("fine", "all is well"));
        }
        fn hangs(_: &Patient, notes: &Notes) {
            notes.add(Finding::ok("first", "found before"));
            thread::park_timeout(Duration::from_secs(600));
        }
        fn panics(_: &Patient, notes: &Notes) {
            notes.add(Finding::ok("second", "found before"));
            panic!("on purpose");
        }
        let patient = Arc::new(Patient {
            run: RunArguments::default(),
            env: Environment::default(),
            files: Ok(Vec::new()),
        });
        let check = |parts: &[Part], limit: u64, expect: &[&str]| {
            let found = examine(&patient, parts, Duration::from_secs(limit)).ok().expect("threads");
            let names: Vec<&str> = found.iter().map(Finding::check).collect();
            assert_eq!(names, expect);
        };
        check(&[("panics", panics), ("fine", fine)], 60, &["second", "panics", "fine"]);
        check(&[("fine", fine), ("hangs", hangs)], 3, &["fine", "first", "hangs"]);
    }
}
