//! What depd has to say about a service: one value per thing that a person may want to know.
//!
//! The planner makes notices; `report` finds the words and the colour for each receiver.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Change, Failure, Kind, Lateness, Problem, Replicas, ServiceKey};

/// Something to say about one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whom it is about.
    pub key: ServiceKey,
    /// What happened.
    pub what: What,
}

/// What happened. Each variant is said once for the thing it tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A dep file asks for images, and the PATCH went through.
    Started {
        /// What changes.
        changes: Vec<Change>,
    },
    /// The rollout moved forward.
    Progressed {
        /// Where it stands.
        replicas: Replicas,
    },
    /// Every pod runs the desired images and is available.
    Succeeded {
        /// What changed.
        changes: Vec<Change>,
        /// From the PATCH to the verdict.
        took: Duration,
    },
    /// The new pods cannot work.
    Failed {
        /// What was tried.
        changes: Vec<Change>,
        /// Why it failed.
        failure: Box<Failure>,
        /// From the PATCH to the verdict.
        took: Duration,
    },
    /// No progress for too long.
    TimedOut {
        /// What was tried.
        changes: Vec<Change>,
        /// Whose limit it was.
        lateness: Lateness,
        /// What looks like the cause, if anything does.
        cause: Option<Box<Failure>>,
        /// Where the rollout stood.
        replicas: Replicas,
        /// From the PATCH to the verdict.
        took: Duration,
    },
    /// A rollout that failed or timed out got well after all.
    Recovered {
        /// What changed.
        changes: Vec<Change>,
        /// From the PATCH to now.
        took: Duration,
    },
    /// Trouble that may pass, but that a person should know of while the rollout goes on.
    Troubled {
        /// What is tried.
        changes: Vec<Change>,
        /// What is wrong.
        failure: Box<Failure>,
    },
    /// depd puts the last good images back.
    RollingBack {
        /// From the rejected images to the good ones.
        changes: Vec<Change>,
    },
    /// The last good images run again; the file's content is rejected until it changes.
    RolledBack {
        /// From the rejected images to the good ones.
        changes: Vec<Change>,
        /// From the PATCH to the verdict.
        took: Duration,
    },
    /// The last good images do not run either, or could not be put back.
    RollbackFailed {
        /// From the rejected images to the good ones.
        changes: Vec<Change>,
        /// What is wrong, if that is known.
        cause: Option<Box<Failure>>,
        /// Why they were not put back, if so: the API server refused them, or the settings do not allow
        /// them any more. The rejected images are still set then.
        refused: Option<String>,
        /// From the PATCH to the verdict.
        took: Duration,
    },
    /// The file still asks for what was rolled back; it is not tried again until it changes.
    Rejected {
        /// From what the file asks to what the cluster runs.
        changes: Vec<Change>,
    },
    /// Other images ended this rollout before its verdict.
    Superseded {
        /// What was under way.
        changes: Vec<Change>,
        /// Who asked for the others.
        by: Successor,
    },
    /// The API server or an admission rule refused the change; final until file or workload change.
    Refused {
        /// What was asked.
        changes: Vec<Change>,
        /// In the API server's words.
        message: String,
    },
    /// The check before a rollout found that an image is not in its registry; nothing was changed.
    ImageMissing {
        /// What was asked.
        changes: Vec<Change>,
        /// Which image, where, and which are near it.
        message: String,
    },
    /// There is no token for a private registry, or no pull secret that can hold it.
    RegistryUnready(String),
    /// The namespace was missing and was created; the workload's YAML is now up to a person.
    NamespaceCreated,
    /// The namespace is there, the workload is not.
    WorkloadMissing,
    /// The namespace is not there, and depd is not to create it: that is turned off, or somebody deleted it.
    NamespaceGone,
    /// The namespace was asked for before a restart, and is not there: the request may never have got
    /// through, or somebody deleted what it made, so depd does not ask again.
    NamespaceInDoubt,
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// The workload was deleted, possibly in the middle of a rollout.
    WorkloadDeleted,
    /// Another workload of the same name took its place in the middle of a rollout.
    WorkloadReplaced,
    /// Somebody changed the images in the cluster while the file stayed as it is.
    Drift {
        /// From what the file asks to what the cluster runs.
        changes: Vec<Change>,
        /// depd puts the file's images back.
        corrected: bool,
    },
    /// The workload is paused; depd waits.
    Held(Hold, Kind),
    /// The hold ended.
    Lifted,
    /// The dep file does not fit the workload.
    Unfit(Problem),
    /// The dep file's content stayed invalid; the last valid content stays in force.
    BadFile(Problem),
    /// The role does not allow what is needed.
    NotPermitted(String),
    /// The cluster cannot be asked at the moment; depd goes on trying.
    Unreachable(String),
    /// The API server stored another image than the one it was sent (digest pinning).
    ImageRewritten {
        /// From what was sent to what was stored.
        changes: Vec<Change>,
    },
    /// The cluster already runs what the file asks for.
    AlreadyRuns,
    /// The cluster already ran what the file asks for when it was first looked at, but not completely.
    /// This is how that ended, which may be old news: for the history and the log only.
    Found {
        /// The images.
        changes: Vec<Change>,
        /// How it stands.
        end: FoundEnd,
        /// Why, in the cluster's words; may be empty.
        message: Box<str>,
    },
    /// The dep file is gone or empty; the workload stays as it is.
    Unmanaged,
}

/// How a rollout ended that may have been over before the first look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FoundEnd {
    /// It runs.
    Well,
    /// It had no progress for too long.
    Late,
    /// It cannot work.
    Failed,
}

/// Why depd waits, and for what kind of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// `spec.paused` is true.
    Paused,
    /// The annotation `depd.dev/paused` is `"true"`.
    Annotation,
    /// The update strategy is `OnDelete`: pods are replaced when somebody deletes them.
    OnDelete,
}

/// Who put other images in the place of those that were rolled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Successor {
    /// A newer dep file.
    File,
    /// Somebody who changed the workload in the cluster.
    SomebodyElse,
}

/// How loud a notice is, in Slack's colour names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A wish came true.
    Good,
    /// Something a person should look at soon.
    Warning,
    /// It failed.
    Danger,
    /// For the log only.
    Quiet,
}

impl What {
    /// How loud this is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            What::Succeeded { .. } | What::Recovered { .. } => Level::Good,
            What::Failed { .. }
            | What::ImageMissing { .. }
            | What::RollbackFailed { .. }
            | What::Refused { .. }
            | What::Unfit(_)
            | What::BadFile(_) => Level::Danger,
            What::TimedOut { .. }
            | What::Troubled { .. }
            | What::RolledBack { .. }
            | What::Rejected { .. }
            | What::NamespaceCreated
            | What::WorkloadMissing
            | What::NamespaceGone
            | What::NamespaceInDoubt
            | What::NamespaceTerminating
            | What::WorkloadDeleted
            | What::WorkloadReplaced
            | What::Drift { .. }
            | What::Held(..)
            | What::RegistryUnready(_)
            | What::NotPermitted(_) => Level::Warning,
            What::Started { .. }
            | What::Progressed { .. }
            | What::RollingBack { .. }
            | What::Superseded { .. }
            | What::Lifted
            | What::Unreachable(_)
            | What::ImageRewritten { .. }
            | What::AlreadyRuns
            | What::Found { .. }
            | What::Unmanaged => Level::Quiet,
        }
    }
}
