//! `depd once`: one pass over the folder, for people who want cron itself to be the loop. `[E]`

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use log::{error, info, warn};

use super::Failure;
use super::live::Live;
use super::plan;
use super::run::{RunArguments, Started, end, start};
use super::stored::short;
use crate::clock;
use crate::daemon::{Asked, Requests, Survey};
use crate::model::{Moment, parse_duration};

/// Between two looks at whether everything has its verdict.
const PAUSE: Duration = Duration::from_millis(50);
/// The word for a service that runs what its file asks for.
const DEPLOYED: &str = "deployed";

/// Roll out what the folder asks for now, wait for the verdicts, and end.
///
/// It takes the flags and settings of depd run, and the same state: what one pass began, the next goes
/// on with. A service whose workload is not there yet is waited for by nobody; a later pass finds it.
///
/// After --halt-after failures in a row, no further pass rolls anything out until depd resume --all.
///
/// SIGTERM and SIGINT end it early: what is in hand is finished, within two seconds. SIGHUP opens the
/// log file anew, SIGUSR1 writes into the log where everything stands.
///
/// Exit code 0: every service runs what its file asks for, or is pending or held; also when another
/// depd works on the same state. 1: some failed, which the log names, everything is held, it was ended
/// early, or it cannot start. 2: wrong usage.
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

/// Why a pass is over.
enum Over {
    /// Everything has its verdict, or waits for somebody.
    Quiet,
    /// There is no more time.
    Late,
    /// Somebody asked it to end.
    Asked(Asked),
}

/// Starts everything, waits, and ends it.
pub fn run(arguments: &OnceArguments) -> Result<ExitCode, Failure> {
    if arguments.run.dry_run {
        return plan::dry_run(&arguments.run);
    }
    // Before any thread is there: a signal must not end what is not finished.
    let mut requests = Requests::new().map_err(Failure::work)?;
    let Some(started) = start(&arguments.run)? else { return Ok(ExitCode::SUCCESS) };
    let live = Live::start(&started.daemon, started.screen.clone());
    let until = clock::now() + arguments.within;
    let over = wait(&started, &mut requests, until);
    drop(live);
    let survey = started.daemon.survey();
    survey.log();
    if let Over::Asked(asked) = over {
        end(started.daemon, asked, requests)?;
        warn!("this pass was ended early; the next one goes on with it");
        return Ok(ExitCode::FAILURE);
    }
    let _ = started.daemon.stop();
    let in_time = matches!(over, Over::Quiet);
    if !in_time {
        let within = short(arguments.within.as_secs());
        warn!("not everything had its verdict within {within}; the next pass goes on with it");
    }
    sum_up(&survey, in_time);
    let is_good = survey.failed.is_empty() && in_time && !survey.held;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sum_up(survey: &Survey, in_time: bool) {
    match survey.failed.len() {
        0 if in_time && !survey.held => info!("{}", good_end(survey)),
        0 => {}
        1 => error!("1 service does not run what its file asks for"),
        n => error!("{n} services do not run what their files ask for"),
    }
    if survey.held {
        error!("everything is held, for the reason told above");
    }
}

/// Nothing failed, which is not the same as that everything runs.
fn good_end(survey: &Survey) -> String {
    let others = survey.states.iter().filter(|(word, _)| **word != DEPLOYED);
    let others: Vec<String> = others.map(|(word, count)| format!("{count} {word}")).collect();
    match (others.is_empty(), survey.states.get(DEPLOYED)) {
        (true, None) => "there was no service to roll out".to_owned(),
        (true, Some(_)) => "every service runs what its file asks for".to_owned(),
        (false, None) => format!("nothing failed, and nothing was deployed: {}", others.join(", ")),
        (false, Some(_)) => format!(
            "nothing failed, and not every service runs what its file asks for: {}",
            others.join(", ")
        ),
    }
}

fn wait(started: &Started, requests: &mut Requests, until: Moment) -> Over {
    loop {
        for asked in requests.came() {
            match asked {
                Asked::Dump => started.daemon.survey().log(),
                Asked::Reload => started.open_log_anew(),
                Asked::Stop(_) => return Over::Asked(asked),
            }
        }
        if started.daemon.has_started_up() && started.daemon.survey().is_quiet() {
            return Over::Quiet;
        }
        if clock::now() >= until {
            return Over::Late;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_pass_says_no_more_than_is_true() {
        for (states, expect) in [
            (&[][..], "there was no service to roll out"),
            (&[("deployed", 2)], "every service runs what its file asks for"),
            (&[("pending", 1)], "nothing failed, and nothing was deployed: 1 pending"),
            (
                &[("deployed", 2), ("drifted", 1), ("held", 3)],
                "nothing failed, and not every service runs what its file asks for: 1 drifted, 3 held",
            ),
        ] {
            let states = states.iter().copied().collect();
            assert_eq!(good_end(&Survey { states, ..Survey::default() }), expect);
        }
    }
}
