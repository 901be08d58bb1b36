//! `depd plan`: what a depd that starts now would do, tried on the cluster and not done. `[E]`
//!
//! The settings are those of `depd run`, and so are the decisions: see [`Rehearsal`]. It writes
//! nothing anywhere: no state folder is made, no lock is taken, and a store is only read.

mod rows;

use std::process::ExitCode;

use clap::Args;

use super::env_file::Environment;
use super::print::{self, Form, document};
use super::run::RunArguments;
use super::stored::{parse_key, unknown};
use super::{Failure, settings};
use crate::daemon::{Log, LogStyle, Past, Rehearsal, RehearsalError, Settings, init_logging};
use crate::model::ServiceKey;
use crate::source::SourceError;
use crate::store::{Reader, StoreError, StoredRollout};
use rows::{Held, Outcome, Plan, table};

/// Something would be changed.
const CHANGES: u8 = 3;

/// What is logged besides the rows, which say themselves what may not be listed.
const LOGGED: &str = "warn,depd::daemon::workload_watches=off";

/// Say what depd would do now, and change nothing.
///
/// Put it in the place of depd run, with the same flags and settings. The API server is asked about
/// every change by a dry run of the very PATCH that would be sent, so that rights, admission and
/// validation have their say. A state folder is read where there is one; depd may be running on it.
///
/// The table leaves out what stays as it is. Plans: roll out, put back (somebody changed the cluster,
/// with --drift correct), roll back, create namespace, let go (the file is gone), unknown (why stands
/// beside it). Where nothing would be done, it is the word of depd status.
///
/// Exit code 0: nothing would be changed. 1: something is in the way: a bad file, a file that does
/// not fit, a refusal, everything held, or no answer. 2: wrong usage, such as an unknown KEY. 3:
/// something would be changed, and nothing is in the way.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Only these services, as their files are called: SERVICE_NAMESPACE
    #[arg(value_name = "KEY", value_parser = parse_key)]
    keys: Vec<ServiceKey>,

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
    "poll",
    "max_rollouts",
    "halt_after",
    "ecr_renew",
    "cluster_name",
    "timeout",
    "slack_webhook_file",
    "teams_webhook_file",
    "discord_webhook_file",
    "webhook_file",
    "webhook_secret_file",
    "on_verdict",
    "events",
    "report",
    "slack_rate",
];

/// Finds out, prints, and sums up in the exit code.
pub fn run(arguments: &PlanArguments) -> Result<ExitCode, Failure> {
    let plan = find_out(&arguments.run, &arguments.keys)?;
    show(arguments.output, &plan)?;
    Ok(match plan.outcome() {
        Outcome::Nothing => ExitCode::SUCCESS,
        Outcome::Changes => ExitCode::from(CHANGES),
        Outcome::Trouble => ExitCode::FAILURE,
    })
}

/// The same for `depd run --dry-run`, whose exit code says only that it worked.
pub fn dry_run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    show(Form::Table, &find_out(arguments, &[])?)?;
    Ok(ExitCode::SUCCESS)
}

fn show(form: Form, plan: &Plan) -> Result<(), Failure> {
    let colours = print::colours();
    document(form, plan, |plan| table(plan, colours))
}

fn find_out(arguments: &RunArguments, keys: &[ServiceKey]) -> Result<Plan, Failure> {
    let env = Environment::load(arguments.env_file.as_deref())?;
    let log = Log::of(LogStyle::Demo, env.text("RUST_LOG")?);
    init_logging(Log { otherwise: Some(LOGGED), ..log });
    let settings = settings::without_receivers(arguments, &env)?;
    let (past, rollouts) = remembered(&settings)?;
    let rehearsal = Rehearsal::prepare(&settings, &past).map_err(failure)?;
    let known = rehearsal.services();
    if let Some(key) = keys.iter().find(|key| !known.contains(key)) {
        return Err(unknown(key, &known));
    }
    let wanted = |key: &ServiceKey| keys.is_empty() || keys.contains(key);
    let chosen: Vec<ServiceKey> = known.into_iter().filter(wanted).collect();
    let services = rehearsal.perform(&chosen).map_err(failure)?;
    let held = rehearsal.held.as_ref().map(Held::of);
    Ok(Plan::new(&settings, held, &services, &rollouts))
}

/// What the store remembers, and the newest rollout of each service; nothing where there is none.
fn remembered(settings: &Settings) -> Result<(Past, Vec<StoredRollout>), Failure> {
    let Some(folder) = &settings.state else { return Ok(Default::default()) };
    let reader = match Reader::open_once(folder) {
        Ok(reader) => reader,
        Err(StoreError::Missing { .. }) => return Ok(Default::default()),
        Err(error) => return Err(Failure::work(error)),
    };
    let services = reader.services().map_err(Failure::work)?;
    let past = Past {
        services: services.into_iter().map(|stored| (stored.key, stored.state)).collect(),
        meta: reader.meta().map_err(Failure::work)?,
    };
    Ok((past, reader.newest_rollouts().map_err(Failure::work)?))
}

fn failure(error: RehearsalError) -> Failure {
    match error {
        RehearsalError::Source(SourceError::Missing(_) | SourceError::NotAFolder(_)) => {
            Failure::usage(error)
        }
        error => Failure::work(error),
    }
}
