//! `depd resume`: lifts the hold of one service, or tells the running depd to go on. `[E]`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::print::print;
use super::stored::{StoreArguments, parse_key, said};
use super::workload::{ClusterArguments, mark};
use crate::cluster::Mark;
use crate::daemon::control::{NoAnswer, Request};
use crate::model::{ServiceKey, Standing};
use crate::store::{Reader, Store};

/// The disk may take this long.
const SAVE_LIMIT: Duration = Duration::from_secs(10);

/// Go on with a service that depd pause held, or with everything after --halt-after.
///
/// depd resume KEY takes the annotation depd.dev/paused from its workload. depd resume --all speaks to
/// the running depd: services that waited are rolled out, and failures are counted anew. Where none
/// runs, the next one goes on. The state folder says which depd that is: run this as the same user, and
/// with the same --state or STATE_DIRECTORY.
///
/// Exit code 0: it goes on. 1: it cannot, and why. 2: wrong usage, such as a KEY without a workload.
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
    state: Option<PathBuf>,

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
    match store.answer(&Request::ResumeAll)? {
        Ok(answer) => said(answer),
        Err(NoAnswer::NotRunning(folder)) => {
            lift_halt(&folder)?.ok_or_else(|| Failure::work(NoAnswer::NotRunning(folder)))
        }
        Err(other) => Err(Failure::work(other)),
    }
}

/// Lifts the halt that the last depd left in its state; `None` where there is nothing to lift.
fn lift_halt(folder: &Path) -> Result<Option<String>, Failure> {
    let left = match Reader::open(folder) {
        Ok(reader) => Standing::from_meta(&reader.meta().map_err(Failure::work)?),
        Err(_) => return Ok(None),
    };
    if !left.halted {
        return Ok(None);
    }
    // Takes the lock: should a depd have started meanwhile, it is that one which must be asked.
    let (store, _) = Store::open(folder, |_| {}).map_err(Failure::work)?;
    store.stands(&Standing { turn: 1, failures: 0, halted: false });
    if !store.close(SAVE_LIMIT) {
        let folder = folder.display();
        return Err(Failure::work(format!(
            "the state in {folder} cannot be written: see its disk"
        )));
    }
    Ok(Some("no depd runs now; the next one goes on".to_owned()))
}
