//! `depd status`: what runs where, what is in flight, what waits and what went wrong, read from the
//! store beside a daemon that runs or not.

mod rows;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::env_file::Environment;
use super::print::{self, Form, document};
use super::stored::{StoreArguments, managed, parse_key, unknown};
use crate::clock;
use crate::model::{ServiceKey, Standing};
use crate::store::{self, Reader};
use rows::{Status, table};

/// Between two looks of `--watch`.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// Say what runs where, what is in flight, what waits and what went wrong.
///
/// It reads the state that the daemon keeps, and needs no cluster. States: deployed, rolling out,
/// failed, timed out, rolling back, rolled back, refused (by the API server), pending (no workload yet), held (paused),
/// drifted (somebody changed the cluster), does not fit (the file, to the workload), bad file,
/// queued.
///
/// Exit code 0: shown. 1: the state cannot be read. 2: wrong usage, such as an unknown KEY.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Only this service, as its file is called: SERVICE_NAMESPACE
    #[arg(value_name = "KEY", value_parser = parse_key)]
    key: Option<ServiceKey>,

    /// Show it again whenever something changes, until Ctrl-C
    #[arg(long)]
    watch: bool,

    /// How to print it
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Table)]
    output: Form,

    #[command(flatten)]
    store: StoreArguments,
}

/// Reads and prints.
pub fn run(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    let env = arguments.store.environment()?;
    let reader = arguments.store.open(&env)?;
    if arguments.watch {
        return watch(arguments, &env, &reader);
    }
    let status = look(arguments, &env, &reader)?;
    let colours = print::colours();
    document(arguments.output, &status, |status| table(status, clock::now(), colours))?;
    Ok(ExitCode::SUCCESS)
}

fn look(
    arguments: &StatusArguments,
    env: &Environment,
    reader: &Reader,
) -> Result<Status, Failure> {
    let services = managed(reader.services().map_err(Failure::work)?);
    let rollouts = reader.newest_rollouts().map_err(Failure::work)?;
    let messages = reader.outbox().map_err(Failure::work)?;
    let daemon = store::holder(&arguments.store.folder(env));
    let standing = Standing::from_meta(&reader.meta().map_err(Failure::work)?);
    let mut status = Status::new((daemon, standing), &services, &rollouts, &messages);
    if let Some(key) = &arguments.key {
        let known: Vec<ServiceKey> = services.into_iter().map(|service| service.key).collect();
        if !known.contains(key) {
            return Err(unknown(key, &known));
        }
        status.only(key);
    }
    Ok(status)
}

/// Shows the table anew whenever it differs, as long as somebody looks.
fn watch(
    arguments: &StatusArguments,
    env: &Environment,
    reader: &Reader,
) -> Result<ExitCode, Failure> {
    let colours = print::colours();
    let (mut shown, mut last) = (String::new(), String::new());
    loop {
        let status = look(arguments, env, reader)?;
        let text = match arguments.output {
            Form::Table => table(&status, clock::now(), colours),
            Form::Json => serde_json::to_string(&status).map_err(Failure::work)? + "\n",
            Form::Yaml => {
                format!("---\n{}", yaml_serde::to_string(&status).map_err(Failure::work)?)
            }
        };
        // To a terminal ages go on; elsewhere each would be a whole new table.
        let differs = match arguments.output == Form::Table && !colours {
            true => {
                let told = serde_json::to_string(&status).map_err(Failure::work)?;
                told != std::mem::replace(&mut last, told.clone())
            }
            false => text != shown,
        };
        if differs {
            // To the first column of the first line, and everything after it cleared.
            let home = if colours { "\x1b[H\x1b[2J\x1b[3J" } else { "" };
            match print::out(&format!("{home}{text}")) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Err(error) => return Err(Failure::work(format!("cannot print: {error}"))),
                Ok(()) => shown = text,
            }
        }
        if print::closed_within(WATCH_PAUSE) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}
