//! `depd run`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use log::info;

use super::Failure;
use super::env_file::Environment;
use super::settings;
use crate::daemon::{Daemon, LogStyle, StartError, init_logging, wait_for_stop};
use crate::model::{parse_duration, shown};
use crate::store::StoreError;

/// Watch the folder and deploy what its files ask for, until stopped.
///
/// Settings come from flags, else from the environment, else from the file .env in the working
/// directory. Names there: DEPS (the folder), ECR_REPO (completes short image names), KUBECONFIG,
/// and WEBHOOK_FOR_SLACK (the address of a Slack incoming webhook; a secret, so never a flag).
/// RUST_LOG chooses what is logged, for example debug.
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

    /// What to do when somebody changes an image in the cluster
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = DriftChoice::Report)]
    pub drift: DriftChoice,

    /// What to do when a rollout fails or times out; the annotation depd.dev/rollback of a workload,
    /// with the same values, counts more
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = RollbackChoice::Never)]
    pub rollback: RollbackChoice,

    /// The graces of signs of failure, in percent of the usual; for tests, which have no time
    #[arg(long, value_name = "N", default_value_t = 100, hide = true, value_parser = value_parser!(u32).range(1..=1000))]
    pub grace_percent: u32,

    /// A namespace of Kubernetes itself (kube-system and the like) that may be deployed to; can be
    /// given several times
    #[arg(long, value_name = "NAME")]
    pub allow_namespace: Vec<String>,

    /// Do not create a namespace that is missing
    #[arg(long)]
    pub no_create_namespaces: bool,

    /// The folder of what must survive a restart [env: STATE_DIRECTORY] [default: /var/lib/depd for
    /// root, else ~/.local/state/depd]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Rollouts that may be in flight at once [default: no bound]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub max_rollouts: Option<u32>,

    /// Start nothing more after this many failures in a row, until depd resume --all [default: never]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub halt_after: Option<u32>,

    /// Go on although cluster, folder or ECR_REPO are not those of the last run
    #[arg(long)]
    pub accept_change: bool,

    /// Roll out everything that differs on a first start, even if that is more than 20 services
    #[arg(long)]
    pub apply_all: bool,

    /// Say what would be rolled out now, change nothing, and end
    #[arg(long)]
    pub dry_run: bool,

    /// Say nothing when another depd is running already
    #[arg(long)]
    pub quiet: bool,

    /// Threads that speak to the cluster
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u16).range(1..=1000))]
    pub workers: u16,

    /// Look at the folder every second instead of being told of changes
    #[arg(long)]
    pub poll: bool,

    /// Watch the folders beneath the folder too
    #[arg(long)]
    pub recursive: bool,

    /// Refuse to start on a folder that everybody on this machine may write to, instead of warning
    #[arg(long)]
    pub strict: bool,
}

/// What to do about drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DriftChoice {
    /// Say so, and leave it
    #[default]
    Report,
    /// Put the file's image back
    Correct,
    /// Leave it, and do not say so
    Ignore,
}

/// When to put the last good images back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RollbackChoice {
    /// Leave the rollout as it is
    #[default]
    Never,
    /// Put the last good images back, and do not try this content of the file again
    OnFailure,
}

/// Runs until stopped.
pub fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    let environment = Environment::load(arguments.env_file.as_deref())?;
    init_logging(LogStyle::Daemon, environment.text("RUST_LOG")?.as_deref());
    let settings = settings::validate(arguments, &environment)?;
    let started = Daemon::start(&settings);
    if let (Ok(_), Some(file)) = (&started, &environment.file) {
        info!("settings from {}", shown(file));
    }
    match started {
        Ok(daemon) if settings.dry_run => {
            daemon.wait_for_start_up();
            let _ = daemon.stop();
            Ok(ExitCode::SUCCESS)
        }
        Ok(daemon) => until_stopped(daemon),
        // For cron: the daemon is there, and that is what was asked for.
        Err(StartError::Store(error @ StoreError::Locked { .. })) => {
            if !arguments.quiet {
                eprintln!("depd: {error}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(Failure::work(error)),
    }
}

/// Waits for a signal, then ends the daemon in order.
pub fn until_stopped(daemon: Daemon) -> Result<ExitCode, Failure> {
    let signal = wait_for_stop().map_err(Failure::work)?;
    info!("{signal}: finishing what is in hand");
    let in_order = daemon.stop();
    info!("{}", if in_order { "stopped" } else { "stopped, with work left undone" });
    Ok(ExitCode::SUCCESS)
}
