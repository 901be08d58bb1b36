//! The one request that changes an image: what to send, decided by the planner.

use super::{Image, ServiceKey};

/// One guarded JSON Patch: it applies only if the workload is still the one that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePatch {
    /// The workload.
    pub key: ServiceKey,
    /// Its uid, tested first: a replaced workload refuses the patch.
    pub uid: Box<str>,
    /// `metadata.annotations` exists; where it does not, the patch adds the whole map.
    pub has_annotations: bool,
    /// The containers to change; never empty.
    pub targets: Vec<Target>,
    /// Text of the annotation `kubernetes.io/change-cause`, shown by `kubectl rollout history`.
    pub change_cause: String,
}

/// One container and the image it must run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// It is one of `initContainers`.
    pub init: bool,
    /// Its index in that list, guarded by a test of its name.
    pub index: usize,
    /// Its name.
    pub container: Box<str>,
    /// The image to set.
    pub image: Image,
}
