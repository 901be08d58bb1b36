//! `depd run`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, value_parser};
use log::info;

use super::Failure;
use super::env_file::Environment;
use super::settings;
use crate::daemon::{Daemon, LogStyle, init_logging, wait_for_stop};
use crate::model::parse_duration;

/// Watch the folder and deploy what its files ask for, until stopped.
///
/// Settings come from flags, else from the environment, else from the file .env in the working
/// directory. Names there: DEPS (the folder), ECR_REPO (completes short image names), KUBECONFIG,
/// and WEBHOOK_FOR_SLACK (the address of a Slack incoming webhook; a secret, so never a flag).
/// RUST_LOG, in the environment, chooses what is logged, for example debug.
///
/// SIGTERM and SIGINT end it: what is in hand is finished first, within two seconds.
#[derive(Debug, Default, Args)]
pub struct RunArguments {
    /// The folder of dep files [env: DEPS] [default: deps]
    #[arg(long, value_name = "DIR")]
    pub deps: Option<PathBuf>,

    /// Read settings from this file instead of .env
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,

    /// The kubeconfig to use [env: KUBECONFIG] [default: ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig, instead of its current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// Completes images that name no registry, for example
    /// 123456789012.dkr.ecr.eu-central-1.amazonaws.com [env: ECR_REPO]
    #[arg(long, value_name = "REPO")]
    pub ecr_repo: Option<String>,

    /// A file that holds the webhook's address [env: WEBHOOK_FOR_SLACK, the address itself]
    #[arg(long, value_name = "FILE")]
    pub slack_webhook_file: Option<PathBuf>,

    /// Messages to Slack each second, after a short burst; Slack itself allows one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1000))]
    pub slack_rate: u32,

    /// A rollout without progress for this long has timed out, unless its workload says otherwise
    #[arg(long, value_name = "TIME", default_value = "4m", value_parser = parse_duration)]
    pub timeout: Duration,

    /// Threads that speak to the cluster
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u16).range(1..=1000))]
    pub workers: u16,

    /// Look at the folder every second instead of being told of changes
    #[arg(long)]
    pub poll: bool,
}

/// Runs until stopped.
pub fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    init_logging(LogStyle::Daemon);
    let environment = Environment::load(arguments.env_file.as_deref())?;
    if let Some(file) = &environment.file {
        info!("settings from {}", file.display());
    }
    let settings = settings::validate(arguments, &environment)?;
    let daemon = Daemon::start(&settings).map_err(Failure::work)?;
    until_stopped(daemon)
}

/// Waits for a signal, then ends the daemon in order.
pub fn until_stopped(daemon: Daemon) -> Result<ExitCode, Failure> {
    let signal = wait_for_stop().map_err(Failure::work)?;
    info!("{signal}: finishing what is in hand");
    let in_order = daemon.stop();
    info!("{}", if in_order { "stopped" } else { "stopped, with work left undone" });
    Ok(ExitCode::SUCCESS)
}
