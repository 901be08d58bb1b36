//! A pod as the verdict needs it. Field meanings follow the `core/v1` API reference.

use super::Kind;

/// A pod, reduced to what tells whether it works and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.resourceVersion`; 0 where it is not a number.
    pub resource_version: u64,
    /// `metadata.labels`.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Condition `Ready` is true.
    pub ready: bool,
    /// Condition `PodScheduled` is false with reason `Unschedulable`: the scheduler's words.
    pub unschedulable: Option<Box<str>>,
    /// Init containers first, then containers, as `status` lists them.
    pub containers: Box<[PodContainer]>,
}

/// One entry of `status.initContainerStatuses` or `status.containerStatuses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodContainer {
    /// `name`.
    pub name: Box<str>,
    /// It is an init container.
    pub init: bool,
    /// `ready`.
    pub ready: bool,
    /// `restartCount`.
    pub restarts: u32,
    /// `image`, as the kubelet reports it.
    pub image: Box<str>,
    /// `state`.
    pub state: ContainerState,
    /// `lastState.terminated`.
    pub last: Option<Terminated>,
}

/// `state` of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Not running, and why: `reason` and `message` of `waiting`.
    Waiting {
        /// For example `ImagePullBackOff`; empty where the kubelet gave none.
        reason: Box<str>,
        /// The words of the kubelet or runtime; may be empty.
        message: Box<str>,
    },
    /// Running.
    Running,
    /// Ended.
    Terminated(Terminated),
}

/// `terminated`: how a run of a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminated {
    /// `exitCode`.
    pub exit_code: i32,
    /// `reason`, for example `Error` or `OOMKilled`.
    pub reason: Box<str>,
    /// `message`, from the termination log; may be empty.
    pub message: Box<str>,
}

impl Pod {
    /// The label that names the template it was made from, see [`Kind::revision_label`].
    #[must_use]
    pub fn revision(&self, kind: Kind) -> Option<&str> {
        let own = |(k, _): &&(Box<str>, Box<str>)| &**k == kind.revision_label();
        self.labels.iter().find(own).map(|(_, v)| &**v)
    }
}
