//! `depd run`: the daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use log::{error, info};

use super::Failure;
use super::anew::Program;
use super::env_file::Environment;
use super::images::ImageArguments;
use super::live::{self, Live};
use super::print::complain;
use super::receivers::ReceiverArguments;
use super::{plan, settings};
use crate::daemon::{
    Asked, Daemon, Destination, Log, LogFile, LogForm, LogStyle, Requests, Screen, ServiceManager,
    StartError, init_logging,
};
use crate::model::{parse_duration, shown};
use crate::store::StoreError;

/// Watch the folder and deploy what its files ask for, until stopped.
///
/// Settings come from flags, else from the environment, else from the file .env in the working
/// directory. Names there: DEPS (the folder), ECR_REPO (completes short image names), KUBECONFIG,
/// and who is told: WEBHOOK_FOR_SLACK, WEBHOOK_FOR_TEAMS, WEBHOOK_FOR_DISCORD, WEBHOOK_URL with
/// WEBHOOK_SECRET, ON_VERDICT. RUST_LOG chooses what is logged, for example debug.
///
/// SIGTERM and SIGINT end it: what is in hand is finished first, within two seconds. SIGHUP opens the
/// log file anew, and where .env, the kubeconfig or the program itself changed, starts depd anew in the
/// same process; what is wrong in them is said, and depd goes on as before. SIGUSR1 writes into the log where
/// everything stands. A terminal that is closed ends it as SIGTERM does.
///
/// Exit code 0: it was stopped, or another depd works with the same state. 1: it cannot start. 2: a
/// flag or a setting is wrong.
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

    #[command(flatten)]
    pub images: ImageArguments,

    /// Keep a pull secret for Amazon ECR in every namespace that an image of it is deployed to, and let
    /// its workload use it; for clusters whose nodes cannot pull from ECR by themselves
    #[arg(long)]
    pub ecr_pull_secret: bool,

    /// Before a rollout, look whether its image is in Amazon ECR; if not, change nothing
    #[arg(long)]
    pub ecr_check: bool,

    /// Renew pull secrets after this long, instead of at half the 12 hours that their tokens live
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub ecr_renew: Option<Duration>,

    /// The name of the cluster in messages [env: CLUSTER_NAME] [default: the context's]
    #[arg(long, value_name = "NAME")]
    pub cluster_name: Option<String>,

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

    /// The longest silence on a watch, after which it is opened anew [default: 90s]; for tests, which
    /// have no time
    #[arg(long, value_name = "TIME", hide = true, value_parser = parse_duration)]
    pub watch_idle: Option<Duration>,

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

    /// Start nothing more after this many failures in a row, also after a restart, until depd resume
    /// --all [default: never]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub halt_after: Option<u32>,

    /// Go on although cluster, folder or ECR_REPO are not those of the last run, or although the files of
    /// all services, or of more than 20, are gone; a start anew by SIGHUP does without
    #[arg(long)]
    pub accept_change: bool,

    /// Roll out everything that differs on a first start, even if that is more than 20 services, those
    /// counted whose namespace may not be listed yet or would be created; the first start of an empty
    /// folder goes on until its first files are there; a start anew by SIGHUP does without
    #[arg(long)]
    pub apply_all: bool,

    /// Say what would be rolled out now, change nothing, and end: depd plan
    #[arg(long)]
    pub dry_run: bool,

    /// Append the log to this file instead of standard error; SIGHUP opens it anew
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// What a record of the log looks like
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Say nothing when another depd is running already
    #[arg(long)]
    pub quiet: bool,

    /// Answer probes there, for example 0.0.0.0:8080: /healthz, and /readyz once folder and cluster
    /// are watched
    #[arg(long, value_name = "ADDR")]
    pub http: Option<std::net::SocketAddr>,

    /// Threads that speak to the cluster
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u16).range(1..=1000))]
    pub workers: u16,

    /// Look at the folder every second instead of being told of changes
    #[arg(long)]
    pub poll: bool,

    /// Watch the folders beneath the folder too
    #[arg(long)]
    pub recursive: bool,

    /// Refuse a folder that everybody on this machine may write to, instead of warning: do not start on
    /// it, and hold everything when it becomes so later
    #[arg(long)]
    pub strict: bool,

    // The last: its heading is that of everything after it.
    #[command(flatten)]
    pub receivers: ReceiverArguments,
}

/// What a record of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people
    #[default]
    Text,
    /// A JSON object on one line
    Json,
}

impl From<LogFormat> for LogForm {
    fn from(format: LogFormat) -> LogForm {
        match format {
            LogFormat::Text => LogForm::Text,
            LogFormat::Json => LogForm::Json,
        }
    }
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
    if arguments.dry_run {
        return plan::dry_run(arguments);
    }
    // Before any thread is there: a signal must not end what is not finished.
    let mut requests = Requests::new().map_err(Failure::work)?;
    let program = Program::of_this_process();
    let Some(started) = start(arguments)? else { return Ok(ExitCode::SUCCESS) };
    let manager = ServiceManager::from_environment();
    let live = Live::start(&started.daemon, started.screen.clone());
    started.daemon.report_to(&manager).map_err(Failure::work)?;
    loop {
        match requests.wait() {
            Asked::Dump => started.daemon.survey().log(),
            Asked::Reload if !started.is_changed(arguments, &program) => {}
            Asked::Reload => {
                manager.reloading();
                drop(live);
                let _ = started.daemon.stop();
                return Err(program.start_anew());
            }
            asked @ Asked::Stop(_) => {
                manager.stopping();
                drop(live);
                return end(started.daemon, asked, requests);
            }
        }
    }
}

/// A daemon at work, and what it was started with.
pub struct Started {
    /// The daemon.
    pub daemon: Daemon,
    /// Where it shows what it does, besides the log.
    pub screen: Option<Screen>,
    log: Option<LogFile>,
    inputs: Inputs,
}

/// Starts a daemon; `None` when another one works with the same state already.
///
/// # Errors
/// A setting is wrong, or the daemon cannot start.
pub fn start(arguments: &RunArguments) -> Result<Option<Started>, Failure> {
    let environment = Environment::load(arguments.env_file.as_deref())?;
    let log = arguments.log_file.as_deref().map(open_log).transpose()?;
    let to = match &log {
        Some(file) => Destination::File(file.clone()),
        None if is_plain(arguments) => Destination::StandardError,
        None => live::destination(),
    };
    let screen = to.screen();
    init_logging(Log {
        style: LogStyle::Daemon,
        filters: environment.text("RUST_LOG")?,
        otherwise: None,
        form: arguments.log_format.into(),
        to,
    });
    let settings = settings::validate(arguments, &environment)?;
    let inputs = Inputs::read(arguments, &environment);
    match Daemon::start(&settings) {
        Ok(daemon) => {
            if let Some(file) = &environment.file {
                info!("settings from {}", shown(file));
            }
            Ok(Some(Started { daemon, screen, log, inputs }))
        }
        // For cron: the daemon is there, and that is what was asked for.
        Err(StartError::Store(error @ StoreError::Locked { .. })) => {
            if !arguments.quiet {
                complain(&format!("depd: {error}"));
            }
            Ok(None)
        }
        Err(error) => Err(Failure::work(error)),
    }
}

/// Nothing but the log is wanted.
fn is_plain(arguments: &RunArguments) -> bool {
    arguments.quiet || arguments.log_format == LogFormat::Json
}

fn open_log(path: &Path) -> Result<LogFile, Failure> {
    LogFile::open(path).map_err(|error| {
        Failure::usage(format!("cannot write the log to {} ({error})", shown(path)))
    })
}

impl Started {
    /// Goes on in a new log file, where the log is one.
    pub fn open_log_anew(&self) {
        if let Some(Err(error)) = self.log.as_ref().map(LogFile::reopen) {
            error!("SIGHUP: the log file cannot be opened anew: {error}");
        }
    }

    /// Opens the log file anew, reads the settings, and says whether they or the program are others than
    /// before. Settings that are wrong change nothing.
    fn is_changed(&self, arguments: &RunArguments, program: &Program) -> bool {
        self.open_log_anew();
        let read = Environment::load(arguments.env_file.as_deref()).and_then(|environment| {
            settings::validate(arguments, &environment)?;
            Ok(Inputs::read(arguments, &environment))
        });
        match read {
            Ok(_) if program.was_replaced() => {
                info!("SIGHUP: the program was replaced; depd starts anew as the new one");
                true
            }
            Ok(inputs) if inputs == self.inputs => {
                info!("SIGHUP: the settings are as before");
                false
            }
            Ok(_) => {
                info!("SIGHUP: the settings have changed; depd starts anew with them");
                true
            }
            Err(Failure::Usage(text) | Failure::Work(text)) => {
                error!("SIGHUP: {text}. depd goes on with the settings that it has");
                false
            }
        }
    }
}

/// What settings are made of and may change while depd runs.
#[derive(PartialEq, Eq)]
struct Inputs {
    environment: Environment,
    kubeconfigs: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl Inputs {
    fn read(arguments: &RunArguments, environment: &Environment) -> Inputs {
        let listed = environment.get("KUBECONFIG");
        let home = environment.get("HOME").map(|home| Path::new(&home).join(".kube/config"));
        let paths: Vec<PathBuf> = match (&arguments.kubeconfig, listed) {
            (Some(path), _) => vec![path.clone()],
            (None, Some(list)) => std::env::split_paths(&list).collect(),
            (None, None) => home.into_iter().collect(),
        };
        let read = |path: PathBuf| (path.clone(), fs::read(path).ok());
        Inputs {
            environment: environment.clone(),
            kubeconfigs: paths.into_iter().map(read).collect(),
        }
    }
}

/// Ends the daemon in order.
pub fn end(daemon: Daemon, asked: Asked, requests: Requests) -> Result<ExitCode, Failure> {
    let name = match asked {
        Asked::Stop(name) => name,
        Asked::Reload | Asked::Dump => "asked to end",
    };
    daemon.expect_end();
    requests.end_at_once().map_err(Failure::work)?;
    let must_end = daemon.must_end();
    match &must_end {
        Some(why) => error!("{why}"),
        None => info!("{name}: finishing what is in hand"),
    }
    let in_order = daemon.stop().map_err(|why| {
        if must_end.is_none() {
            error!("{why}");
        }
        Failure::work(why)
    })?;
    info!("{}", if in_order { "stopped" } else { "stopped, with work left undone" });
    Ok(ExitCode::SUCCESS)
}
