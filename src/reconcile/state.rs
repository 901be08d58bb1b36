//! Where a service stands: what matters most about it, for whoever shows it. `[C]`

use serde::Serialize;

use super::{Phase, Service};
use crate::model::What;

/// Where a service stands. Programs read the words in kebab case: they are a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// Nobody has looked at it yet.
    Queued,
    /// Its workload or namespace is not there yet.
    Pending,
    /// A rollout is in flight.
    RollingOut,
    /// It runs what its file asks for.
    Deployed,
    /// The last good images are put back.
    RollingBack,
    /// They are, and what the file asks for is rejected.
    RolledBack,
    /// Its rollout failed.
    Failed,
    /// Its rollout made no progress. Only its history tells that from another failure.
    TimedOut,
    /// The API server refused the change.
    Refused,
    /// It is left alone, because somebody asked for that.
    Held,
    /// Somebody else changed its images.
    Drifted,
    /// Its file names what the workload does not have.
    DoesNotFit,
    /// Its file cannot be used.
    BadFile,
}

impl ServiceState {
    /// What the state that depd keeps of it comes to.
    #[must_use]
    pub fn of(service: &Service) -> ServiceState {
        if service.told_problem.is_some() {
            return ServiceState::BadFile;
        }
        if service.told_misfit.is_some() {
            return ServiceState::DoesNotFit;
        }
        match &service.complaint {
            Some(What::Held(..)) => return ServiceState::Held,
            Some(What::Drift { .. }) => return ServiceState::Drifted,
            _ => {}
        }
        match &service.phase {
            Phase::Settled(settled) if service.rejected.as_ref() == Some(&settled.desired) => {
                ServiceState::RolledBack
            }
            Phase::New | Phase::Settled(_) if service.hold.is_some() => ServiceState::Held,
            Phase::New => ServiceState::Queued,
            Phase::Settled(_) => ServiceState::Deployed,
            Phase::Waiting(_) => ServiceState::Pending,
            Phase::Patching(_) | Phase::Rolling(_) => ServiceState::RollingOut,
            Phase::Returning(_) | Phase::RollingBack(_) => ServiceState::RollingBack,
            Phase::Refused(_) => ServiceState::Refused,
            Phase::Broken(_) => ServiceState::Failed,
        }
    }

    /// For people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ServiceState::Queued => "queued",
            ServiceState::Pending => "pending",
            ServiceState::RollingOut => "rolling out",
            ServiceState::RollingBack => "rolling back",
            ServiceState::RolledBack => "rolled back",
            ServiceState::Deployed => "deployed",
            ServiceState::Failed => "failed",
            ServiceState::TimedOut => "timed out",
            ServiceState::Refused => "refused",
            ServiceState::Held => "held",
            ServiceState::Drifted => "drifted",
            ServiceState::DoesNotFit => "does not fit",
            ServiceState::BadFile => "bad file",
        }
    }
}
