//! `depd resume`: lifts the hold of one service, or tells the running depd to go on. `[E]`

use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::print::print;
use super::stored::{StoreArguments, parse_key};
use super::workload::{ClusterArguments, mark};
use crate::cluster::Mark;
use crate::daemon::control::Request;
use crate::model::ServiceKey;

/// Go on with a service that depd pause held, or with everything after --halt-after.
///
/// depd resume KEY takes the annotation depd.dev/paused from its workload. depd resume --all speaks to
/// the running depd: services that waited are rolled out, and failures are counted anew. That depd
/// is found by its state folder: run this as the same user, and with the same --state or
/// STATE_DIRECTORY.
///
/// Exit code 0: it goes on. 1: it cannot, and why. 2: wrong usage.
#[derive(Debug, Args)]
pub struct ResumeArguments {
    /// The service, as its file is called: SERVICE_NAMESPACE
    #[arg(value_name = "KEY", value_parser = parse_key, required_unless_present = "all")]
    key: Option<ServiceKey>,

    /// Everything that --halt-after held
    #[arg(long, conflicts_with = "key")]
    all: bool,

    /// The state folder of the running depd [env: STATE_DIRECTORY] [default: /var/lib/depd for root,
    /// else ~/.local/state/depd]
    #[arg(long, value_name = "DIR")]
    state: Option<std::path::PathBuf>,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Lifts the hold, or asks the running depd.
pub fn run(arguments: &ResumeArguments) -> Result<ExitCode, Failure> {
    let text = match &arguments.key {
        Some(key) => lift(arguments, key)?,
        None => resume_all(arguments)?,
    };
    print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn lift(arguments: &ResumeArguments, key: &ServiceKey) -> Result<String, Failure> {
    let kind = mark(&arguments.cluster.client()?, key, &Mark::Paused(false))?.name();
    let (service, namespace) = (key.service(), key.namespace());
    Ok(format!("{kind} {service} in {namespace} is held no longer"))
}

fn resume_all(arguments: &ResumeArguments) -> Result<String, Failure> {
    let store = StoreArguments {
        state: arguments.state.clone(),
        env_file: arguments.cluster.env_file.clone(),
    };
    store.ask(&Request::ResumeAll)
}
