//! `depd once`: one pass over the folder, for people who want cron itself to be the loop. `[E]`

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use log::{error, info, warn};

use super::Failure;
use super::live::Live;
use super::run::{RunArguments, start};
use crate::clock;
use crate::daemon::Daemon;
use crate::model::parse_duration;

/// Between two looks at whether everything has its verdict.
const PAUSE: Duration = Duration::from_millis(50);

/// Roll out what the folder asks for now, wait for the verdicts, and end.
///
/// It takes the flags and settings of depd run, and the same state: what one pass began, the next goes
/// on with. A service whose workload is not there yet is waited for by nobody; a later pass finds it.
///
/// After --halt-after failures in a row, no further pass rolls anything out until depd resume --all.
///
/// Exit code 0: every service runs what its file asks for, or is pending or held; also when another
/// depd works on the same state. 1: some failed, which the log names, everything is held, or it cannot
/// start. 2: wrong usage.
#[derive(Debug, Args)]
// Nobody asks after the health of one pass.
#[command(mut_arg("http", |http| http.hide(true)))]
pub struct OnceArguments {
    /// Give up after this long, wherever things stand
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    within: Duration,

    #[command(flatten)]
    run: RunArguments,
}

/// Starts everything, waits, and ends it.
pub fn run(arguments: &OnceArguments) -> Result<ExitCode, Failure> {
    let Some(started) = start(&arguments.run)? else { return Ok(ExitCode::SUCCESS) };
    let daemon = started.daemon;
    let live = Live::start(&daemon, started.screen);
    let until = clock::now() + arguments.within;
    let in_time = wait(&daemon, until);
    drop(live);
    let survey = daemon.survey();
    survey.log();
    let _ = daemon.stop();
    if !in_time {
        let minutes = arguments.within.as_secs() / 60;
        warn!(
            "not everything had its verdict within {minutes} minutes; the next pass goes on with it"
        );
    }
    let failed = survey.failed.len();
    match (failed, in_time) {
        (0, true) if !survey.held => info!("every service runs what its file asks for"),
        (0, _) => {}
        (1, _) => error!("1 service does not run what its file asks for"),
        (n, _) => error!("{n} services do not run what their files ask for"),
    }
    if survey.held {
        error!("everything is held, for the reason told above");
    }
    Ok(if failed == 0 && in_time && !survey.held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether everything had its verdict in time.
fn wait(daemon: &Daemon, until: crate::model::Moment) -> bool {
    loop {
        if daemon.has_started_up() && daemon.survey().is_quiet() {
            return true;
        }
        if clock::now() >= until {
            return false;
        }
        thread::sleep(PAUSE);
    }
}
