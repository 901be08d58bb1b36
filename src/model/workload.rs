//! A workload as the watch cache keeps it: only the fields that planning and reporting need.
//!
//! Field meanings follow the `apps/v1` API reference (Deployment, StatefulSet, DaemonSet).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Image, Kind, ServiceKey};

/// A workload of any kind, reduced. What its kind does not have is as if it were not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What kind of workload it is.
    pub kind: Kind,
    /// Its name and namespace.
    pub key: ServiceKey,
    /// `metadata.uid`: another uid is another workload, whatever its name.
    pub uid: Box<str>,
    /// `metadata.resourceVersion`, comparable since Kubernetes 1.35; 0 when it is not a number.
    pub resource_version: u64,
    /// `metadata.generation`: raised by the API server at each change of the spec.
    pub generation: i64,
    /// `metadata.annotations` exists (a JSON Patch cannot add into an absent map).
    pub has_annotations: bool,
    /// Annotation `depd.dev/paused` is `"true"`.
    pub held_by_annotation: bool,
    /// Annotation `depd.dev/timeout`, where it parses.
    pub timeout: Option<Duration>,
    /// Annotation `depd.dev/rollback`: whether the last good images are put back when a rollout fails;
    /// `None` where the settings decide.
    pub rollback: Option<bool>,
    /// `spec.paused`.
    pub paused: bool,
    /// How pods of an older template are replaced.
    pub strategy: Strategy,
    /// `spec.podManagementPolicy` of a StatefulSet is `OrderedReady`: a pod that never gets ready keeps
    /// all others, and better images, waiting.
    pub in_order: bool,
    /// `spec.minReadySeconds`.
    pub min_ready: Duration,
    /// `spec.progressDeadlineSeconds`.
    pub progress_deadline: Duration,
    /// `spec.selector`.
    pub selector: Selector,
    /// `spec.template.spec.containers`, in order.
    pub containers: Box<[Container]>,
    /// `spec.template.spec.initContainers`, in order.
    pub init_containers: Box<[Container]>,
    /// The names in `spec.template.spec.imagePullSecrets`, in order.
    pub pull_secrets: Box<[Box<str>]>,
    /// `spec.template.spec.serviceAccountName`; `None` is `default`.
    pub service_account: Option<Box<str>>,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// The value of [`Kind::revision_label`] on pods of the newest template, where the workload itself
    /// tells it: `status.updateRevision` of a StatefulSet (once the generation is observed), the
    /// template's number of a DaemonSet.
    pub revision: Option<Box<str>>,
    /// Replica counts, wanted and counted.
    pub replicas: Replicas,
    /// Condition `Progressing`.
    pub progressing: Option<Condition>,
    /// Condition `ReplicaFailure`, when it is true.
    pub replica_failure: Option<Condition>,
}

/// How pods of an older template are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// A few at a time (`RollingUpdate`).
    #[default]
    Rolling,
    /// A StatefulSet's `RollingUpdate` that leaves so many pods, those with the lowest numbers, as
    /// they are.
    Partition(i32),
    /// All are stopped first (`Recreate`).
    Recreate,
    /// When somebody deletes them (`OnDelete`).
    OnDelete,
}

/// A container of the pod template. Its image text may be one that depd itself would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// `name`.
    pub name: Box<str>,
    /// `image`, as stored by the API server.
    pub image: Box<str>,
    /// `resources.limits.memory`, as written there.
    pub memory_limit: Option<Box<str>>,
    /// What is asked of it before it counts as ready, in a few words: `GET :8080/healthz`.
    pub probe: Option<Box<str>>,
}

impl Container {
    /// Whether this container already runs `image`, by meaning and not by spelling.
    #[must_use]
    pub fn runs(&self, image: &Image) -> bool {
        &*self.image == image.as_str() || Image::parse(&self.image).is_ok_and(|own| own == *image)
    }
}

/// `spec.replicas` and the counts of `status`; for a DaemonSet the numbers of nodes that stand for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// `spec.replicas`, or `status.desiredNumberScheduled`.
    pub wanted: i32,
    /// `status.replicas`: all pods, old and new; or `status.currentNumberScheduled`.
    pub total: i32,
    /// `status.updatedReplicas`: pods of the current template; or `status.updatedNumberScheduled`.
    pub updated: i32,
    /// `status.readyReplicas`, or `status.numberReady`.
    pub ready: i32,
    /// `status.availableReplicas`, or `status.numberAvailable`.
    pub available: i32,
}

/// One entry of `status.conditions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `status` is `"True"`; of `Progressing`, that it is not `"False"`.
    pub holds: bool,
    /// `reason`.
    pub reason: Box<str>,
    /// `message`.
    pub message: Box<str>,
    /// `lastUpdateTime`, compared only for being the same.
    pub updated_at: Box<str>,
}

/// `spec.selector`: all rules must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub Box<[SelectorRule]>);

/// One `matchLabels` pair or `matchExpressions` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectorRule {
    /// The label has one of these values (`In`, and each `matchLabels` pair).
    In(Box<str>, Box<[Box<str>]>),
    /// The label is absent or has none of these values.
    NotIn(Box<str>, Box<[Box<str>]>),
    /// The label is there.
    Exists(Box<str>),
    /// The label is absent.
    DoesNotExist(Box<str>),
}

impl Selector {
    /// Whether a pod with these labels belongs to the workload.
    #[must_use]
    pub fn matches(&self, labels: &[(Box<str>, Box<str>)]) -> bool {
        let value = |name: &str| labels.iter().find(|(k, _)| &**k == name).map(|(_, v)| v);
        self.0.iter().all(|rule| match rule {
            SelectorRule::In(k, values) => value(k).is_some_and(|v| values.contains(v)),
            SelectorRule::NotIn(k, values) => value(k).is_none_or(|v| !values.contains(v)),
            SelectorRule::Exists(k) => value(k).is_some(),
            SelectorRule::DoesNotExist(k) => value(k).is_none(),
        })
    }

    /// The `labelSelector` query parameter that asks the API server for the same pods.
    #[must_use]
    pub fn to_query(&self) -> String {
        let rules = self.0.iter().map(|rule| match rule {
            SelectorRule::In(k, values) if values.len() == 1 => format!("{k}={}", values[0]),
            SelectorRule::In(k, values) => format!("{k} in ({})", values.join(",")),
            SelectorRule::NotIn(k, values) => format!("{k} notin ({})", values.join(",")),
            SelectorRule::Exists(k) => k.to_string(),
            SelectorRule::DoesNotExist(k) => format!("!{k}"),
        });
        rules.collect::<Vec<_>>().join(",")
    }
}
