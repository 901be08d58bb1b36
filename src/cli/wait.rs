//! `depd wait`: until the service runs what its file asks for now, or cannot; for CI after scp.
//!
//! It reads the dep file as the daemon does and looks into the daemon's store until that tells of
//! this very content, so that it does not matter whether the daemon has seen the file already.

mod outlook;

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::dep_file::{DepFile, FolderArguments, gone};
use super::stored::{StoreArguments, parse_key};
use super::{Failure, print};
use crate::clock;
use crate::model::{ServiceKey, parse_duration};
use crate::store::{self, Holder, Reader, StoredRollout};
use outlook::{Outlook, Wish, outlook};

/// Between two looks into the store.
const PAUSE: Duration = Duration::from_millis(100);
/// Exit code: there is no verdict yet.
const NO_VERDICT: u8 = 3;

/// Wait until a service runs what its dep file asks for, or it is clear that it cannot.
///
/// For CI, after the file was copied: scp web_prod.dep host:deps/ && ssh host depd wait web_prod.
/// It needs the settings of depd run (DEPS, ECR_REPO, STATE_DIRECTORY, .env), and no cluster. What is
/// going on is told on standard error, the outcome on standard output.
///
/// Exit code 0: it runs. 1: it failed, timed out or was refused, or the file is wrong. 2: wrong
/// usage, such as an unknown KEY. 3: no verdict within --timeout.
#[derive(Debug, Args)]
pub struct WaitArguments {
    /// The service, as its file is called: SERVICE_NAMESPACE
    #[arg(value_name = "KEY", value_parser = parse_key)]
    key: ServiceKey,

    /// How long to wait for a verdict
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    deps: FolderArguments,

    #[command(flatten)]
    store: StoreArguments,
}

/// Waits, and says how it ended.
pub fn run(arguments: &WaitArguments) -> Result<ExitCode, Failure> {
    let env = arguments.store.environment()?;
    let folder = arguments.store.folder(&env);
    let mut file = DepFile::find(&arguments.deps, &arguments.key, &env).map_err(|unknown| {
        if was_there(&folder, &arguments.key) { gone(&arguments.key) } else { unknown }
    })?;
    let until = clock::now() + arguments.timeout;
    let mut told = String::new();
    loop {
        file.look_again()?;
        let text = match look(&folder, arguments, &file)? {
            Outlook::Good(text) => {
                print::print(&format!("{}: {text}\n", arguments.key))?;
                return Ok(ExitCode::SUCCESS);
            }
            Outlook::Bad(text) => {
                print::print(&format!("{}: {text}\n", arguments.key))?;
                return Ok(ExitCode::FAILURE);
            }
            Outlook::NotYet(text) => text,
        };
        if clock::now() >= until {
            print::print(&format!("{}: no verdict yet: {text}\n", arguments.key))?;
            return Ok(ExitCode::from(NO_VERDICT));
        }
        if text != told {
            print::complain(&format!("{}: {text}", arguments.key));
            told = text;
        }
        thread::sleep(PAUSE);
    }
}

/// depd remembers rollouts of it.
fn was_there(folder: &Path, key: &ServiceKey) -> bool {
    let history = Reader::open(folder).and_then(|reader| reader.history(Some(key), 1));
    history.is_ok_and(|rollouts| !rollouts.is_empty())
}

fn look(folder: &Path, arguments: &WaitArguments, file: &DepFile) -> Result<Outlook, Failure> {
    let wish = Wish { read: &file.read, changed_ms: file.changed_ms };
    let reader = match Reader::open(folder) {
        Ok(reader) => reader,
        Err(store::StoreError::Missing { .. }) => {
            return Ok(outlook(&wish, None, None, clock::now(), Holder::Nobody));
        }
        Err(error) => return Err(Failure::work(error)),
    };
    let services = reader.services().map_err(Failure::work)?;
    let service = services.iter().find(|stored| stored.key == arguments.key);
    let newest: Option<StoredRollout> =
        reader.history(Some(&arguments.key), 1).map_err(Failure::work)?.pop();
    Ok(outlook(&wish, service, newest.as_ref(), clock::now(), store::holder(folder)))
}
