//! One change of images, as the planner decides it and the cluster edge sends it.

use super::{Image, Kind, PullSecrets, ServiceKey};

/// New images for containers of one workload, guarded by what was seen when it was planned.
///
/// It applies only to the workload with this uid and only while every container still has the
/// name that was seen at its index; otherwise nothing is changed and a fresh look is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePatch {
    /// The kind of workload.
    pub kind: Kind,
    /// The workload.
    pub key: ServiceKey,
    /// Its `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.annotations` exists, so that a key can be added to it.
    pub has_annotations: bool,
    /// What to change; never empty.
    pub targets: Vec<Target>,
    /// What is added to the template's pull secrets, if anything.
    pub pull_secrets: Option<PullSecrets>,
    /// Value of the annotation `kubernetes.io/change-cause`.
    pub change_cause: String,
}

/// One container and its new image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// It is an init container.
    pub init: bool,
    /// Its place in `containers` or `initContainers`, counted from 0.
    pub index: usize,
    /// Its name at that place.
    pub container: Box<str>,
    /// The image that was seen there, and that it must still have for the change to apply: a request
    /// that arrives late, after its sender gave up, must not undo what came after it.
    pub expected: Box<str>,
    /// The image it must run.
    pub image: Image,
}
