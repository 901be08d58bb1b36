//! One attempt to move a workload to the desired images, from the PATCH to its verdict.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Condition, Event, ImageSet, Kind, Moment, Replicas};

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

impl Change {
    /// The way back from it.
    #[must_use]
    pub fn reversed(self) -> Change {
        Change { container: self.container, from: self.to, to: self.from }
    }
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
    /// Up to then, times in which nothing was shown of the workload are taken out of that.
    #[serde(default)]
    pub gaps_until: Moment,
    /// How much of that was because streams did not last.
    #[serde(default)]
    pub relapses: Duration,
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
    /// How many containers of the new pods had started or finished at best, once that was counted.
    #[serde(default)]
    pub advanced: Option<usize>,
    /// The last lines of a crashed container, once they were fetched; empty if there were none.
    pub log_tail: Option<String>,
    /// The newest warning about what the suspicion is about, once it was asked for.
    #[serde(default)]
    pub warning: Option<Option<Event>>,
    /// What was asked of the API server for the sake of the verdict, and is not answered yet.
    #[serde(default)]
    pub question: Option<Question>,
    /// Its time is over, and the workload was looked at once more since.
    #[serde(default)]
    pub looked: bool,
    /// Trouble that people were told of while the rollout went on.
    #[serde(default)]
    pub told: Option<Sign>,
    /// The counts at the first look at a workload that ran these images already, where nothing tells
    /// since when it is as it is: until that changes, its end is no news.
    #[serde(default)]
    pub found: Option<Replicas>,
}

/// Something that a verdict should know and the watches do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Which pods are the new ones.
    ReplicaSet,
    /// What the container wrote.
    Log,
    /// What somebody in the cluster warned of.
    Warning,
    /// Whether it is as the watch showed it.
    Workload,
}

/// A kind of trouble that a rollout shows, the most telling first; each has a grace of its own.
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
    /// Pods cannot be created: a quota, an admission webhook, pod security.
    PodCreate,
    /// The controller gave up (`Progressing` is false), and not for lack of time.
    GivenUp,
    /// The scheduler finds no node.
    Unschedulable,
    /// A pod of an older template never gets ready, and its StatefulSet waits for it.
    Stuck,
    /// A pod runs, or tries to, and is not ready.
    Unready,
}

/// Why a rollout failed, or may fail, with what is needed to say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of trouble.
    pub sign: Sign,
    /// The kind of workload.
    pub kind: Kind,
    /// For how long it has been seen.
    pub since: Duration,
    /// The container in trouble; empty where it is about no container.
    pub container: Box<str>,
    /// The image it was to run; empty where it is about no container.
    pub image: Box<str>,
    /// The reason in the cluster's words, for example `ImagePullBackOff`.
    pub reason: Box<str>,
    /// The message in the cluster's words, cut and cleaned; may be empty.
    pub message: Box<str>,
    /// How the container's last run ended, where one did.
    pub exit_code: Option<i32>,
    /// The container's memory limit, where it has one.
    pub memory_limit: Option<Box<str>>,
    /// The container's readiness probe, where it has one.
    pub probe: Option<Box<str>>,
    /// New pods in that trouble (of the wanted ones, where pods cannot be created).
    pub bad_pods: usize,
    /// New pods in all.
    pub new_pods: usize,
    /// Old pods that still serve.
    pub old_serving: i32,
    /// Pods that somebody has to delete before a better image can run: a StatefulSet waits for a pod
    /// that never gets ready.
    pub to_delete: Vec<Box<str>>,
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
