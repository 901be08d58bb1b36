//! `depd resume`: tells the running depd to go on. `[E]`

use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::stored::StoreArguments;
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

    /// Where the running depd is found.
    #[command(flatten)]
    pub store: StoreArguments,
}

/// Asks, and prints the answer.
pub fn run(arguments: &ResumeArguments) -> Result<ExitCode, Failure> {
    let folder = arguments.store.folder(&arguments.store.environment()?);
    let answer = ask(&folder, &Request::ResumeAll).map_err(Failure::work)?;
    if !answer.done {
        return Err(Failure::work(answer.text));
    }
    println!("{}", answer.text);
    Ok(ExitCode::SUCCESS)
}
