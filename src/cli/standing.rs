//! The state of a service → where it stands and why, in a sentence: for `depd status`, which reads it
//! from the store, and `depd plan`, which finds it out.

use serde::Serialize;

use super::print::Tone;
use crate::model::{ImageSet, Notice, ServiceKey, What};
use crate::reconcile::{Service, ServiceState};
use crate::report::words::words;
use crate::store::StoredRollout;

/// One image.
#[derive(Debug, Serialize)]
pub struct ContainerImage {
    /// Null where the file names none.
    pub container: Option<String>,
    /// As the file completes it.
    pub image: String,
}

impl ContainerImage {
    /// As a file names it.
    pub fn shown(&self) -> String {
        match &self.container {
            Some(container) => format!("{container}={}", self.image),
            None => self.image.clone(),
        }
    }
}

/// What a file asks for.
pub fn images(set: &ImageSet) -> Vec<ContainerImage> {
    let image = |container: Option<&str>, image: &dyn ToString| ContainerImage {
        container: container.map(str::to_owned),
        image: image.to_string(),
    };
    match set {
        ImageSet::Single(one) => vec![image(None, one)],
        ImageSet::Named(pairs) => {
            pairs.iter().map(|(container, one)| image(Some(container), one)).collect()
        }
    }
}

/// What matters most about a service, and why it is so.
pub fn judge(
    key: &ServiceKey,
    service: &Service,
    newest: Option<&StoredRollout>,
) -> (ServiceState, String) {
    let sentence = |what: &What| words(&Notice { key: key.clone(), what: what.clone() }).sentence;
    let state = match (ServiceState::of(service), ended(newest)) {
        (ServiceState::Failed, Some(("Timed out", _))) => ServiceState::TimedOut,
        (state, _) => state,
    };
    let complaint = service.complaint.as_ref();
    let told = || service.request_complaint.as_ref().or(complaint).map(sentence);
    let detail = match state {
        ServiceState::BadFile => {
            service.told_problem.clone().map(What::BadFile).as_ref().map(sentence)
        }
        ServiceState::DoesNotFit => {
            service.told_misfit.clone().map(What::Unfit).as_ref().map(sentence)
        }
        ServiceState::Drifted => complaint.map(sentence),
        ServiceState::Held => {
            let held = complaint.filter(|what| matches!(what, What::Held(..))).map(sentence);
            held.or_else(|| service.hold.map(|(hold, kind)| sentence(&What::Held(hold, kind))))
        }
        ServiceState::Failed
        | ServiceState::TimedOut
        | ServiceState::Refused
        | ServiceState::RolledBack => {
            ended(newest).map(|(_, detail)| detail.to_owned()).or_else(told)
        }
        _ => told(),
    };
    (state, detail.unwrap_or_default())
}

fn ended(newest: Option<&StoredRollout>) -> Option<(&str, &str)> {
    let end = newest?.end.as_ref()?;
    Some((&end.verdict, &end.detail))
}

/// How good it is.
pub fn tone(state: ServiceState) -> Tone {
    match state {
        ServiceState::Deployed => Tone::Good,
        ServiceState::Failed
        | ServiceState::Refused
        | ServiceState::DoesNotFit
        | ServiceState::BadFile => Tone::Bad,
        ServiceState::Pending
        | ServiceState::TimedOut
        | ServiceState::RollingBack
        | ServiceState::RolledBack
        | ServiceState::Held
        | ServiceState::Drifted => Tone::Warning,
        ServiceState::Queued | ServiceState::RollingOut => Tone::Plain,
    }
}
