//! `depd resume`: tells the running depd to go on. `[E]`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::env_file::Environment;
use super::settings;
use crate::daemon::control::{Request, ask};

/// Tell the running depd to go on after --halt-after stopped it.
///
/// Services that waited are rolled out then, and failures are counted anew. It is found by its state
/// folder: run this as the same user, and with the same --state or STATE_DIRECTORY.
#[derive(Debug, Args)]
pub struct ResumeArguments {
    /// Everything that was held
    #[arg(long, required = true)]
    pub all: bool,

    /// The state folder of the running depd [env: STATE_DIRECTORY] [default: /var/lib/depd for root,
    /// else ~/.local/state/depd]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Read settings from this file instead of .env
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

/// Asks, and prints the answer.
pub fn run(arguments: &ResumeArguments) -> Result<ExitCode, Failure> {
    let environment = Environment::load(arguments.env_file.as_deref())?;
    let folder = settings::state(arguments.state.clone(), &environment);
    let answer = ask(&folder, &Request::ResumeAll).map_err(Failure::work)?;
    if !answer.done {
        return Err(Failure::work(answer.text));
    }
    println!("{}", answer.text);
    Ok(ExitCode::SUCCESS)
}
