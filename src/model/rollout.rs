//! One attempt to move a workload to the desired images, from the PATCH to its verdict.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Condition, ImageSet, Moment, Replicas};

/// What changes in one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The container's name.
    pub container: Box<str>,
    /// The image it had.
    pub from: Box<str>,
    /// The image it gets, as the API server stored it (an admission webhook may have pinned it).
    pub to: Box<str>,
}

/// A rollout in flight, or one that failed and may still recover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Which rollout of this service it is, counted from 1.
    pub attempt: u32,
    /// The workload it belongs to; another uid ends it.
    pub uid: Box<str>,
    /// What the dep file asked for.
    pub desired: ImageSet,
    /// What that means per container.
    pub changes: Vec<Change>,
    /// `metadata.generation` in the reply to the PATCH: status older than this says nothing.
    pub generation: i64,
    /// That PATCH made this generation, and the controller had seen the one before. So a ReplicaSet
    /// that is the newest of the workload and runs these images is the one of this rollout, even
    /// before the controller says that it has seen the generation.
    #[serde(default)]
    pub sole_change: bool,
    /// The `Progressing` condition in that reply: until it differs, it is about an older rollout.
    pub stale_progressing: Option<Condition>,
    /// When the PATCH was answered.
    pub started: Moment,
    /// The best counts so far, once the controller has counted for this rollout.
    pub best: Option<Replicas>,
    /// When that was; the time limit counts from here.
    pub progressed: Moment,
    /// `pod-template-hash` of the new ReplicaSet, once it was asked for, and the generation for
    /// which it was: somebody may change the template on the way.
    pub template: Option<(i64, Box<str>)>,
    /// The generation for which the hash was last asked for.
    pub asked_for: i64,
    /// The hashes of the troubled pods because of which it was asked for before the controller had
    /// seen the generation.
    #[serde(default)]
    pub asked_early: Vec<Box<str>>,
    /// The sign of failure that is showing, and since when.
    pub suspicion: Option<(Sign, Moment)>,
    /// A new pod was ready at some time.
    pub ever_ready: bool,
    /// The last lines of a crashed container, once they were fetched; empty if there were none.
    pub log_tail: Option<String>,
}

/// A kind of trouble that pods show; each has a grace of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Sign {
    /// `InvalidImageName`, `ErrImageNeverPull`: no retry can help.
    ImageUnusable,
    /// The registry says that there is no such image.
    ImageNotFound,
    /// The image cannot be pulled for a reason that may pass: credentials, rate limit, network.
    ImagePull,
    /// The container cannot be created: `CreateContainerConfigError` and its relatives.
    ContainerCreate,
    /// The container starts and dies.
    Crash,
}

/// Why a rollout failed, with what is needed to say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of trouble.
    pub sign: Sign,
    /// The container in trouble.
    pub container: Box<str>,
    /// The image it was to run.
    pub image: Box<str>,
    /// The reason in the cluster's words, for example `ImagePullBackOff`.
    pub reason: Box<str>,
    /// The message in the kubelet's words, cut and cleaned; may be empty.
    pub message: Box<str>,
    /// How the container's last run ended, where one did.
    pub exit_code: Option<i32>,
    /// New pods that show this sign.
    pub bad_pods: usize,
    /// New pods in all.
    pub new_pods: usize,
    /// Old pods that still serve.
    pub old_serving: i32,
    /// Last lines of the container's log, for crashes; may be empty.
    pub log_tail: String,
}

/// Why a rollout ran out of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lateness {
    /// depd's own limit: no progress for this long.
    NoProgress(Duration),
    /// Kubernetes said `ProgressDeadlineExceeded`, in these words.
    ProgressDeadline(Box<str>),
}
