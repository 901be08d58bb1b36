//! `depd retry`: tells the running depd to try rejected images once more. `[E]`

use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::print::print;
use super::standing::judge;
use super::stored::{StoreArguments, managed, parse_key, said, unknown};
use crate::daemon::control::Request;
use crate::model::ServiceKey;
use crate::reconcile::{Service, ServiceState, retry};
use crate::store::{self, Holder, Reader, StoreError, StoredRollout};

/// Tell the running depd to try once more what was rolled back or refused.
///
/// Images that were rolled back, or that the API server refused, are otherwise not tried again until
/// the file changes. depd is found by its state folder: run this as the same user, and with the
/// same --state or STATE_DIRECTORY. depd wait KEY waits for the verdict.
///
/// Exit code 0: it tries. 1: no depd runs there, or nothing of this service was rolled back or refused;
/// then it says what to do instead. 2: wrong usage, such as an unknown KEY.
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
    let (stored, known) = remembered(arguments)?;
    let folder = arguments.store.folder(&arguments.store.environment()?);
    let runs = store::holder(&folder) != Holder::Nobody;
    if let Some((service, newest)) = stored.as_ref().filter(|_| runs)
        && let Some(why) = nothing_to_try(key, service, newest.as_ref())
    {
        return Err(Failure::work(why));
    }
    let request =
        Request::Retry { service: key.service().to_owned(), namespace: key.namespace().to_owned() };
    match arguments.store.answer(&request)?.map_err(Failure::work)? {
        // It may be too new to be in the store, but it is not in the folder either.
        answer if !answer.done && stored.is_none() => Err(unknown(key, &known)),
        answer => {
            print(&format!("{}\n", said(answer)?))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A service, and its newest rollout.
type Remembered = (Service, Option<StoredRollout>);

/// What the store tells of the service, and which others there are.
fn remembered(
    arguments: &RetryArguments,
) -> Result<(Option<Remembered>, Vec<ServiceKey>), Failure> {
    let reader = match Reader::open(&arguments.store.folder(&arguments.store.environment()?)) {
        Ok(reader) => reader,
        Err(StoreError::Missing { .. }) => return Ok((None, Vec::new())),
        Err(error) => return Err(Failure::work(error)),
    };
    let mut services = managed(reader.services().map_err(Failure::work)?);
    let known = services.iter().map(|stored| stored.key.clone()).collect();
    services.retain(|stored| stored.key == arguments.key);
    let newest = reader.history(Some(&arguments.key), 1).map_err(Failure::work)?.pop();
    let own = services.pop().and_then(|stored| serde_json::from_str(&stored.state).ok());
    Ok((own.map(|service| (service, newest)), known))
}

/// Why another try is nothing new for this service, and what to do instead.
fn nothing_to_try(
    key: &ServiceKey,
    service: &Service,
    newest: Option<&StoredRollout>,
) -> Option<String> {
    if retry(service) != *service {
        return None;
    }
    let (state, _) = judge(key, service, newest);
    let advice = match state {
        ServiceState::Queued | ServiceState::RollingOut | ServiceState::RollingBack => {
            format!("depd wait {key} waits for its verdict")
        }
        ServiceState::Held => format!("depd resume {key} lifts the hold"),
        ServiceState::Pending => "depd goes on by itself when its workload is there".to_owned(),
        ServiceState::Drifted => format!("save {} anew to roll it out", key.file_name()),
        ServiceState::BadFile | ServiceState::DoesNotFit => format!("correct {}", key.file_name()),
        ServiceState::Deployed
        | ServiceState::Failed
        | ServiceState::TimedOut
        | ServiceState::Refused
        | ServiceState::RolledBack => {
            format!("depd restart {key} makes new pods of the same images")
        }
    };
    let state = state.word();
    Some(format!("{key} is {state}: nothing was rolled back or refused; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture;
    use crate::model::{Hold, Image, ImageSet, Kind};
    use crate::reconcile::{Phase, Refusal, Settled};

    #[test]
    fn where_nothing_was_refused_it_says_what_to_do_instead() {
        let desired = ImageSet::Single(Image::parse("nginx:1").expect("valid"));
        let uid: Box<str> = "u".into();
        let changes = Vec::new();
        let settled = Settled { desired: desired.clone(), uid: uid.clone(), changes };
        let deployed = Service { phase: Phase::Settled(settled), ..Service::default() };
        let held = Service { hold: Some((Hold::Annotation, Kind::Deployment)), ..deployed.clone() };
        let rejected = Service { rejected: Some(desired.clone()), ..deployed.clone() };
        let refusal = Refusal { desired, uid, generation: 1, again: None };
        let refused = Service { phase: Phase::Refused(refusal), ..Service::default() };
        let key = fixture::key("web");
        for (service, expect) in [
            (rejected, None),
            (refused, None),
            (
                deployed,
                Some(
                    "web_default is deployed: nothing was rolled back or refused; depd restart web_default makes new pods of the same images",
                ),
            ),
            (
                held,
                Some(
                    "web_default is held: nothing was rolled back or refused; depd resume web_default lifts the hold",
                ),
            ),
        ] {
            assert_eq!(nothing_to_try(&key, &service, None).as_deref(), expect);
        }
    }
}
