//! `depd report`: what messages look like, and whether they arrive.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::Failure;
use super::env_file::Environment;
use super::print::print;
use super::receivers::ReceiverArguments;
use crate::clock;
use crate::daemon::{Log, LogStyle, ReceiverSettings, host, init_logging, way_to};
use crate::report::kind::Kind;
use crate::report::page::page;
use crate::report::record::Record;
use crate::report::samples;
use crate::report::transport::{Answer, Transport};

/// Who waits longer than this for a receiver that says "later" does not want to wait at all.
const PATIENCE: Duration = Duration::from_secs(30);
/// Successes in the digest that is shown.
const STORM: usize = 46;

/// See what messages look like, or send one of each to everybody who is set up.
///
/// Exit code 0: done. 1: it did not work. 2: wrong usage.
#[derive(Debug, Args)]
pub struct ReportArguments {
    #[command(subcommand)]
    command: ReportCommand,
}

#[derive(Debug, Subcommand)]
enum ReportCommand {
    Preview(PreviewArguments),
    Test(TestArguments),
}

/// Write a page that looks like the messages: success, failure, timeout, namespace created, rollback
/// and digest, drawn from the payloads that depd would send.
///
/// Exit code 0: written. 1: it cannot be written. 2: wrong usage.
#[derive(Debug, Args)]
struct PreviewArguments {
    /// The page
    #[arg(value_name = "FILE", default_value = "depd-preview.html")]
    file: PathBuf,

    /// Whose messages; can be given several times [default: slack, teams, discord]
    #[arg(long, value_name = "RECEIVER", value_enum)]
    receiver: Vec<Shown>,
}

/// A receiver whose messages can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shown {
    Slack,
    Teams,
    Discord,
    Webhook,
}

/// Send one message of each kind to every receiver that is set up, and say what came back.
///
/// Settings are those of depd run: flags, else the environment, else the file .env. Each message says
/// that it is a test. Exit code 0: every message was taken. 1: one was not. 2: nobody is set up, or a
/// setting is wrong.
#[derive(Debug, Args)]
struct TestArguments {
    /// Read settings from this file instead of .env
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,

    #[command(flatten)]
    receivers: ReceiverArguments,
}

/// Runs one of them.
pub fn run(arguments: &ReportArguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        ReportCommand::Preview(arguments) => preview(arguments),
        ReportCommand::Test(arguments) => test(arguments),
    }
}

fn preview(arguments: &PreviewArguments) -> Result<ExitCode, Failure> {
    let kinds: Vec<Kind> = match &arguments.receiver[..] {
        [] => vec![Kind::Slack, Kind::Teams, Kind::Discord],
        shown => shown.iter().map(|shown| shown.kind()).collect(),
    };
    let text = page(&kinds, &samples::all(), &samples::storm(STORM));
    let file = arguments.file.display();
    fs::write(&arguments.file, text).map_err(|error| {
        Failure::work(format!("cannot write {file}: {error}; name another file"))
    })?;
    print(&format!("{file} shows the messages: open it in a browser\n"))?;
    Ok(ExitCode::SUCCESS)
}

impl Shown {
    fn kind(self) -> Kind {
        match self {
            Shown::Slack => Kind::Slack,
            Shown::Teams => Kind::Teams,
            Shown::Discord => Kind::Discord,
            Shown::Webhook => Kind::Webhook,
        }
    }
}

fn test(arguments: &TestArguments) -> Result<ExitCode, Failure> {
    let environment = Environment::load(arguments.env_file.as_deref())?;
    init_logging(Log::of(LogStyle::Demo, environment.text("RUST_LOG")?));
    let receivers = arguments.receivers.validate(&environment)?;
    if receivers.is_empty() {
        return Err(Failure::usage(
            "nobody is set up: set WEBHOOK_FOR_SLACK, WEBHOOK_FOR_TEAMS, WEBHOOK_FOR_DISCORD, \
             WEBHOOK_URL or ON_VERDICT",
        ));
    }
    let mut all_taken = true;
    for receiver in &receivers {
        match way_to(receiver) {
            Some(mut way) => all_taken &= test_one(receiver, &mut *way)?,
            None => {
                print(&format!("{}: not tested, it needs a workload\n", receiver.kind.name()))?;
            }
        }
    }
    Ok(if all_taken { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends one of each; true when all were taken.
fn test_one(receiver: &ReceiverSettings, way: &mut dyn Transport) -> Result<bool, Failure> {
    let kind = receiver.kind;
    print(&format!("{} ({})\n", kind.name(), way.place()))?;
    let mut pace = receiver.pace.clone();
    let mut all_taken = true;
    let singles = samples::all().into_iter().map(|record| vec![record]);
    let digest = kind.digest_limits().map(|_| samples::storm(STORM));
    for records in singles.chain(digest) {
        let name = if records.len() == 1 { &*records[0].event } else { "digest" }.to_owned();
        let records = as_tests(records);
        thread::sleep(pace.wait(clock::now()));
        pace.spend(clock::now());
        let mut answer = way.send(&records);
        if let Answer::Later { wait: Some(wait), .. } = &answer
            && *wait <= PATIENCE
        {
            thread::sleep(*wait);
            answer = way.send(&records);
        }
        let text = match &answer {
            Answer::Taken => "taken".to_owned(),
            Answer::Later { why, .. } => format!("not now: {why}"),
            Answer::Never { why, .. } => format!("refused: {why}"),
        };
        print(&format!("  {name:<18} {text}\n"))?;
        all_taken &= answer == Answer::Taken;
    }
    Ok(all_taken)
}

fn as_tests(records: Vec<Record>) -> Vec<Record> {
    let (time, host) = (format!("{:.3}", Timestamp::now()), host());
    let test = |record: Record| Record {
        id: format!("test/{}/{time}", record.id),
        time: time.clone(),
        host: host.clone(),
        cluster: String::new(),
        test: true,
        ..record
    };
    records.into_iter().map(test).collect()
}
