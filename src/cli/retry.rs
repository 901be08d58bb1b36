//! `depd retry`: tells the running depd to try rejected images once more. `[E]`

use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::print::print;
use super::stored::{StoreArguments, parse_key};
use crate::daemon::control::Request;
use crate::model::ServiceKey;

/// Tell the running depd to try once more what was rolled back or refused.
///
/// Images that were rolled back, or that the API server refused, are otherwise not tried again until
/// the file changes. depd is found by its state folder: run this as the same user, and with the
/// same --state or STATE_DIRECTORY. depd wait KEY waits for the verdict.
///
/// Exit code 0: it tries. 1: no depd runs there, or it has no such file. 2: wrong usage.
#[derive(Debug, Args)]
pub struct RetryArguments {
    /// The service, as its file is called: SERVICE_NAMESPACE
    #[arg(value_name = "KEY", value_parser = parse_key)]
    key: ServiceKey,

    #[command(flatten)]
    store: StoreArguments,
}

/// Asks, and prints the answer.
pub fn run(arguments: &RetryArguments) -> Result<ExitCode, Failure> {
    let key = &arguments.key;
    let request =
        Request::Retry { service: key.service().to_owned(), namespace: key.namespace().to_owned() };
    print(&format!("{}\n", arguments.store.ask(&request)?))?;
    Ok(ExitCode::SUCCESS)
}
