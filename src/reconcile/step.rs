//! What the planner can ask the cluster edge to do, and what may come back.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{EcrRegistry, Event, Image, ImagePatch, NamespaceState, PullSecrets, Workload};

/// One request to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Does the namespace exist?
    LookAtNamespace,
    /// Create the namespace.
    CreateNamespace,
    /// Read the workload afresh: the cache lags behind.
    LookAtWorkload,
    /// Are these images in ECR?
    CheckImages(Vec<Image>),
    /// Make sure that the namespace has a pull secret for these registries, and find out what the
    /// workload's template needs to use it.
    EnsurePullSecret(BTreeSet<EcrRegistry>),
    /// Change the images.
    Patch(ImagePatch),
    /// Ask for the `pod-template-hash` of the new ReplicaSet.
    FindReplicaSet,
    /// Read the last lines of a container's log.
    FetchLog {
        /// The pod.
        pod: Box<str>,
        /// Its container.
        container: Box<str>,
        /// The run before the current one.
        previous: bool,
    },
    /// Read the newest warning about an object.
    ReadWarning {
        /// Its uid.
        uid: Box<str>,
        /// Only warnings of this reason.
        reason: Option<&'static str>,
    },
}

/// A step that went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Step::LookAtNamespace`].
    Namespace(NamespaceState),
    /// To [`Step::CreateNamespace`].
    NamespaceCreated,
    /// To [`Step::LookAtWorkload`]: the workload as it is now, if it is there.
    Looked(Option<Box<Workload>>),
    /// To [`Step::CheckImages`]: they are, or that cannot be found out.
    ImagesChecked,
    /// To [`Step::EnsurePullSecret`]: it is there, and this is to be added to the template.
    PullSecretReady(PullSecrets),
    /// To [`Step::Patch`]: the workload as stored.
    Patched(Box<Workload>),
    /// To [`Step::FindReplicaSet`]; `None` when the controller has not made it yet.
    ReplicaSet(Option<Box<str>>),
    /// To [`Step::FetchLog`].
    Log(String),
    /// To [`Step::ReadWarning`].
    Warning(Option<Event>),
}

/// A step that did not go through, by what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setback {
    /// It was not done, and may work later: no connection, 429, some 5xx.
    Transient {
        /// What happened, for people.
        text: String,
        /// How long the server asked to wait.
        retry_after: Option<Duration>,
    },
    /// No answer, or none that says: it may have been done all the same, and may work later.
    Unanswered(String),
    /// A guard of the PATCH failed, or the workload is not there: look afresh.
    Outdated,
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// The role does not allow it.
    NotPermitted(String),
    /// The API server does not know who asks, or nobody says who that is.
    Unauthenticated(String),
    /// Refused for good: admission or validation.
    Refused(String),
    /// An image is not in its registry.
    ImageMissing(String),
    /// The registry lets nobody in, or a pull secret is in the way.
    Registry(String),
    /// Somebody else is at it: ask again in a moment.
    Busy,
}
