//! The state of a service → where it stands, in a word and a sentence: for `depd status`, which
//! reads it from the store, and `depd plan`, which finds it out. Both promise the words as they are.

use serde::Serialize;

use super::print::Tone;
use crate::model::{ImageSet, Notice, ServiceKey, What};
use crate::reconcile::{Phase, Service};
use crate::report::words::words;
use crate::store::StoredRollout;

/// Where a service stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Queued,
    Pending,
    RollingOut,
    Deployed,
    RollingBack,
    RolledBack,
    Failed,
    TimedOut,
    Refused,
    Held,
    Drifted,
    DoesNotFit,
    BadFile,
}

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
) -> (State, String) {
    let sentence = |what: &What| words(&Notice { key: key.clone(), what: what.clone() }).sentence;
    let complaint = service.complaint.as_ref();
    if let Some(problem) = &service.told_problem {
        return (State::BadFile, sentence(&What::BadFile(problem.clone())));
    }
    if let Some(problem) = &service.told_misfit {
        return (State::DoesNotFit, sentence(&What::Unfit(problem.clone())));
    }
    match complaint {
        Some(what @ What::Held(..)) => return (State::Held, sentence(what)),
        Some(what @ What::Drift { .. }) => return (State::Drifted, sentence(what)),
        _ => {}
    }
    let state = match &service.phase {
        Phase::New => State::Queued,
        Phase::Waiting(_) => State::Pending,
        Phase::Patching(_) | Phase::Rolling(_) => State::RollingOut,
        Phase::Returning(_) | Phase::RollingBack(_) => State::RollingBack,
        Phase::Settled(settled) if service.rejected.as_ref() == Some(&settled.desired) => {
            State::RolledBack
        }
        Phase::Settled(_) => State::Deployed,
        Phase::Refused(_) => State::Refused,
        Phase::Broken(_) => match ended(newest) {
            Some(("Timed out", _)) => State::TimedOut,
            _ => State::Failed,
        },
    };
    if let (State::Deployed | State::Queued, Some((hold, kind))) = (state, service.hold) {
        return (State::Held, sentence(&What::Held(hold, kind)));
    }
    let told = service.request_complaint.as_ref().or(complaint).map(sentence);
    let detail = match state {
        State::Failed | State::TimedOut | State::Refused | State::RolledBack => {
            ended(newest).map(|(_, detail)| detail.to_owned()).or(told)
        }
        _ => told,
    };
    (state, detail.unwrap_or_default())
}

fn ended(newest: Option<&StoredRollout>) -> Option<(&str, &str)> {
    let end = newest?.end.as_ref()?;
    Some((&end.verdict, &end.detail))
}

impl State {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Pending => "pending",
            State::RollingOut => "rolling out",
            State::RollingBack => "rolling back",
            State::RolledBack => "rolled back",
            State::Deployed => "deployed",
            State::Failed => "failed",
            State::TimedOut => "timed out",
            State::Refused => "refused",
            State::Held => "held",
            State::Drifted => "drifted",
            State::DoesNotFit => "does not fit",
            State::BadFile => "bad file",
        }
    }

    /// How good it is.
    pub fn tone(self) -> Tone {
        match self {
            State::Deployed => Tone::Good,
            State::Failed | State::Refused | State::DoesNotFit | State::BadFile => Tone::Bad,
            State::Pending
            | State::TimedOut
            | State::RollingBack
            | State::RolledBack
            | State::Held
            | State::Drifted => Tone::Warning,
            State::Queued | State::RollingOut => Tone::Plain,
        }
    }
}
