//! `depd demo`: the sandbox and the daemon in one process, to see it work.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::live::{self, Live};
use super::print::print;
use super::run::end;
use super::{Failure, sandbox};
use crate::cluster::kubeconfig::{self, Choice};
use crate::daemon::{Daemon, Log, LogStyle, Requests, SIGHT_PATIENCE, Settings, init_logging};
use crate::desired::ImageRules;
use crate::model::shown;
use crate::reconcile::{Drift, Patience, Policy};
use crate::registry::RegistrySettings;

/// See it work: a pretend cluster in this process, and the folder ./deps.
///
/// Nothing outside this process is touched: no kubeconfig is read, no message is sent. The folder
/// is made if it is missing, with a file for the sample Deployment web.
///
/// Exit code 0: it was stopped. 1: it cannot start. 2: wrong usage.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// The folder of dep files
    #[arg(long, value_name = "DIR", default_value = "deps")]
    deps: PathBuf,

    /// The port of the pretend Kubernetes API on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Runs until stopped.
pub fn run(arguments: &DemoArguments) -> Result<ExitCode, Failure> {
    let to = live::destination();
    let screen = to.screen();
    init_logging(Log { to, ..Log::of(LogStyle::Demo, std::env::var("RUST_LOG").ok()) });
    let sandbox = sandbox::start(arguments.port, true)?;
    prepare_folder(arguments)?;
    let own = OwnFolder::make()?;
    let file = own.0.join("kubeconfig");
    sandbox::write_kubeconfig(&sandbox, &file)?;
    let choice = Choice { kubeconfig: Some(file.clone()), context: None };
    let settings = Settings {
        deps: arguments.deps.clone(),
        poll: false,
        recursive: false,
        strict: false,
        image_rules: ImageRules::default(),
        access: kubeconfig::load(&choice, |_| None).map_err(Failure::work)?,
        receivers: Vec::new(),
        cluster_name: None,
        secret_files: Vec::new(),
        http: None,
        sight_patience: SIGHT_PATIENCE,
        workers: 100,
        watch_idle: None,
        policy: Policy {
            patience: Patience::default(),
            rollback: false,
            timeout: Duration::from_secs(30),
            drift: Drift::Report,
            create_namespaces: true,
            allow_namespaces: Vec::new(),
            ecr: Default::default(),
            images: Default::default(),
        },
        registry: RegistrySettings::default(),
        state: Some(own.state()),
        max_rollouts: None,
        halt_after: None,
        accept_change: false,
        apply_all: true,
    };
    explain(arguments, &own, &file)?;
    let mut requests = Requests::to_stop().map_err(Failure::work)?;
    let outcome = Daemon::start(&settings).map_err(Failure::work).and_then(|daemon| {
        let live = Live::start(&daemon, screen);
        let asked = requests.wait();
        drop(live);
        end(daemon, asked, requests)
    });
    sandbox.stop();
    outcome
}

/// What the demo keeps, removed at the end, however that comes.
struct OwnFolder(PathBuf);

impl OwnFolder {
    fn make() -> Result<OwnFolder, Failure> {
        let folder = std::env::temp_dir().join(format!("depd-demo-{}", std::process::id()));
        // One that is there already may be somebody else's.
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| {
            let folder = shown(&folder);
            Failure::work(format!(
                "cannot make the folder {folder}: {error}; remove it, or set TMPDIR to another place"
            ))
        })?;
        Ok(OwnFolder(folder))
    }

    fn state(&self) -> PathBuf {
        self.0.join("state")
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The demo begins with a rollout of its own: the sample web runs nginx:1.24, its file asks for more.
fn prepare_folder(arguments: &DemoArguments) -> Result<(), Failure> {
    let folder = shown(&arguments.deps);
    let write = || {
        fs::create_dir_all(&arguments.deps)?;
        let file = arguments.deps.join("web_default.dep");
        if file.exists() { Ok(()) } else { fs::write(file, "nginx:1.24.3\n") }
    };
    write().map_err(|error| Failure::work(format!("cannot prepare the folder {folder}: {error}")))
}

fn explain(arguments: &DemoArguments, own: &OwnFolder, kubeconfig: &Path) -> Result<(), Failure> {
    let (deps, kubeconfig) = (shown(&arguments.deps), shown(kubeconfig));
    let state = own.state();
    let state = shown(&state);
    print(&format!(
        "A pretend cluster runs in this process, with the Deployments web, api and worker.\n\
         In another terminal, here, type:\n\n\
         \x20 echo nginx:1.25 > {deps}/web_default.dep        # a rollout\n\
         \x20 echo nginx:missing > {deps}/web_default.dep     # a failure: no such image\n\
         \x20 echo nginx:crash > {deps}/web_default.dep       # a failure: it crashes\n\
         \x20 echo nginx:1.26 > {deps}/shop_staging.dep       # a namespace that is not there yet\n\
         \x20 kubectl --kubeconfig {kubeconfig} get pods\n\n\
         and, once export DEPS={deps} STATE_DIRECTORY={state} was typed there:\n\n\
         \x20 depd status\n\
         \x20 depd rollback web_default                       # back to what ran well before\n\n\
         Ctrl-C ends it. This is what depd does:\n\n"
    ))
}
