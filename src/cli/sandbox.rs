//! `depd sandbox`: the embedded Kubernetes API on its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::print::print;
use crate::daemon::{Log, LogStyle, Requests, init_logging};
use crate::model::shown;
use crate::sandbox::{Sandbox, SandboxOptions, samples};

/// A pretend Kubernetes API on this machine, for kubectl and for trying things out.
///
/// It keeps Deployments, rolls them out with pretend pods, and forgets everything when it ends. An
/// image's tag decides what its pods do: missing, private, invalid, crash, oom, hang, flaky and
/// config fail in the way their name says (nginx:missing, nginx:crash-2), any other runs.
///
/// Exit code 0: it was stopped. 1: it cannot start. 2: wrong usage.
#[derive(Debug, Args)]
pub struct SandboxArguments {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Where to write the kubeconfig [default: depd-sandbox.kubeconfig in the temporary folder]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Begin without the sample Deployments
    #[arg(long)]
    empty: bool,
}

/// Runs until stopped.
pub fn run(arguments: &SandboxArguments) -> Result<ExitCode, Failure> {
    init_logging(Log::of(LogStyle::Daemon, std::env::var("RUST_LOG").ok()));
    let sandbox = start(arguments.port, !arguments.empty)?;
    let fallback = || std::env::temp_dir().join("depd-sandbox.kubeconfig");
    let file = arguments.kubeconfig.clone().unwrap_or_else(fallback);
    write_kubeconfig(&sandbox, &file)?;
    print(&format!(
        "A pretend Kubernetes API runs on https://{}. Try:\n\n\
         \x20 export KUBECONFIG={}\n\
         \x20 kubectl get deployments\n\
         \x20 kubectl set image deployment/web web=nginx:1.25\n\
         \x20 kubectl rollout status deployment/web\n\n\
         Ctrl-C ends it, and everything in it is gone.\n",
        sandbox.address(),
        shown(&file)
    ))?;
    Requests::to_stop().map_err(Failure::work)?.wait();
    sandbox.stop();
    Ok(ExitCode::SUCCESS)
}

/// Starts the sandbox, with the sample Deployments or empty.
pub fn start(port: u16, with_samples: bool) -> Result<Sandbox, Failure> {
    let options = SandboxOptions { port, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).map_err(Failure::work)?;
    if with_samples {
        for object in samples() {
            sandbox.apply(object).map_err(Failure::work)?;
        }
    }
    Ok(sandbox)
}

/// Writes the kubeconfig, readable by its owner only: it holds a private key.
pub fn write_kubeconfig(sandbox: &Sandbox, file: &Path) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    // Removed first, so that a link or a file of somebody else is not written through.
    let _ = fs::remove_file(file);
    let write = || {
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        out.write_all(sandbox.kubeconfig().as_bytes())
    };
    write().map_err(|error| {
        let file = shown(file);
        Failure::work(format!("cannot write {file}: {error}; name another with --kubeconfig"))
    })
}
