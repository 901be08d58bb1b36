//! The kinds of workload that a dep file may mean.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of `apps/v1` that runs pods from a template, in the order in which a name is looked for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum Kind {
    /// A Deployment.
    #[default]
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}

impl Kind {
    /// Every kind, in the order in which a name is looked for.
    pub const ALL: [Kind; 3] = [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet];

    /// As the API writes it, for example `StatefulSet`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Deployment => "Deployment",
            Kind::StatefulSet => "StatefulSet",
            Kind::DaemonSet => "DaemonSet",
        }
    }

    /// As kubectl takes it, for example `statefulset`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Deployment => "deployment",
            Kind::StatefulSet => "statefulset",
            Kind::DaemonSet => "daemonset",
        }
    }

    /// The label whose value tells pods of the newest template from older ones.
    ///
    /// A DaemonSet's pods carry the hash of a ControllerRevision too, but only the number of the
    /// template stands in the DaemonSet itself; its controller accepts either (`IsPodUpdated`), and
    /// so no right on ControllerRevisions is needed.
    #[must_use]
    pub fn revision_label(self) -> &'static str {
        match self {
            Kind::Deployment => "pod-template-hash",
            Kind::StatefulSet => "controller-revision-hash",
            Kind::DaemonSet => "pod-template-generation",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
