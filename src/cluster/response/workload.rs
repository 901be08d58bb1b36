//! Workloads and ReplicaSets of `apps/v1`. `[C]`
//!
//! The three kinds of workload share most of their shape, so one struct reads them all; the kind is
//! known from where the object was asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::{Annotations, Meta};
use crate::model::{
    Condition, Container, Kind, Replicas, Selector, SelectorRule, ServiceKey, Strategy, Workload,
    parse_duration,
};

/// A probe's words are cut to this many characters; a command can be a script.
const PROBE_LIMIT: usize = 120;

/// A Deployment, StatefulSet or DaemonSet as it is sent.
#[derive(Debug, Deserialize)]
pub struct WorkloadObject {
    pub(in crate::cluster) metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: StatusFields,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: Option<i32>,
    paused: bool,
    min_ready_seconds: u64,
    progress_deadline_seconds: Option<u64>,
    selector: LabelSelector,
    template: Template,
    /// Of a Deployment.
    strategy: StrategyFields,
    /// Of a StatefulSet.
    pod_management_policy: Box<str>,
    /// Of the other kinds.
    update_strategy: StrategyFields,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StrategyFields {
    r#type: Box<str>,
    rolling_update: Option<RollingUpdate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RollingUpdate {
    partition: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: PodSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    containers: Option<Vec<ContainerSpec>>,
    init_containers: Option<Vec<ContainerSpec>>,
    image_pull_secrets: Option<Vec<Reference>>,
    service_account_name: Option<Box<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reference {
    name: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerSpec {
    name: Box<str>,
    image: Box<str>,
    resources: Resources,
    #[serde(rename = "readinessProbe")]
    readiness_probe: Option<Probe>,
    #[serde(rename = "startupProbe")]
    startup_probe: Option<Probe>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    limits: Option<Limits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Limits {
    memory: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Probe {
    http_get: Option<Endpoint>,
    tcp_socket: Option<Endpoint>,
    grpc: Option<Endpoint>,
    exec: Option<Exec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    path: Option<Box<str>>,
    port: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Exec {
    command: Vec<Box<str>>,
}

/// A number or a text: quantities and ports may be either.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Text {
    Number(i64),
    Text(Box<str>),
}

impl Text {
    fn into_text(self) -> Box<str> {
        match self {
            Text::Number(number) => number.to_string().into(),
            Text::Text(text) => text,
        }
    }
}

impl Probe {
    /// `GET :8080/healthz`, `tcp :5432`, `grpc :9000` or `exec cat /tmp/ready`.
    fn words(self) -> Option<Box<str>> {
        let at = |endpoint: Endpoint| {
            let port = endpoint.port.map(Text::into_text).unwrap_or_default();
            format!(":{port}{}", endpoint.path.unwrap_or_default())
        };
        let text = match self {
            Probe { http_get: Some(endpoint), .. } => format!("GET {}", at(endpoint)),
            Probe { tcp_socket: Some(endpoint), .. } => format!("tcp {}", at(endpoint)),
            Probe { grpc: Some(endpoint), .. } => format!("grpc {}", at(endpoint)),
            Probe { exec: Some(exec), .. } => format!("exec {}", exec.command.join(" ")),
            _ => return None,
        };
        Some(text.chars().take(PROBE_LIMIT).collect::<String>().into())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LabelSelector {
    match_labels: Option<BTreeMap<Box<str>, Box<str>>>,
    match_expressions: Option<Vec<Requirement>>,
}

#[derive(Debug, Deserialize)]
struct Requirement {
    key: Box<str>,
    operator: Operator,
    #[serde(default)]
    values: Option<Vec<Box<str>>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusFields {
    observed_generation: i64,
    replicas: i32,
    updated_replicas: i32,
    ready_replicas: i32,
    available_replicas: i32,
    update_revision: Box<str>,
    desired_number_scheduled: i32,
    current_number_scheduled: i32,
    updated_number_scheduled: i32,
    number_ready: i32,
    number_available: i32,
    conditions: Option<Vec<ConditionFields>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConditionFields {
    r#type: Box<str>,
    status: Box<str>,
    reason: Box<str>,
    message: Box<str>,
    last_update_time: Option<Box<str>>,
}

impl WorkloadObject {
    /// The workload it is; `None` when its names are not valid.
    pub(super) fn into_workload(self, kind: Kind) -> Option<Workload> {
        let WorkloadObject { metadata, spec, status } = self;
        let strategy = spec.strategy(kind);
        let replicas = status.replicas(kind, spec.replicas);
        let annotations = metadata.annotations.as_ref();
        let held = annotations.and_then(|a| a.paused.as_deref()) == Some("true");
        let timeout = annotations.and_then(|a| a.timeout.as_deref());
        let timeout = timeout.and_then(|text| parse_duration(text).ok());
        let revision = match kind {
            Kind::Deployment => None,
            Kind::StatefulSet => Some(status.update_revision).filter(|r| !r.is_empty()),
            Kind::DaemonSet => annotations.and_then(|a| a.template_generation.clone()),
        };
        let conditions = status.conditions.unwrap_or_default();
        Some(Workload {
            kind,
            key: ServiceKey::new(&metadata.name, &metadata.namespace).ok()?,
            resource_version: metadata.resource_version.parse().unwrap_or(0),
            generation: metadata.generation,
            has_annotations: annotations.is_some(),
            held_by_annotation: held,
            timeout,
            rollback: annotations.and_then(|a| rollback(a.rollback.as_deref()?)),
            paused: spec.paused,
            strategy,
            in_order: kind == Kind::StatefulSet && &*spec.pod_management_policy != "Parallel",
            min_ready: Duration::from_secs(spec.min_ready_seconds),
            progress_deadline: Duration::from_secs(spec.progress_deadline_seconds.unwrap_or(600)),
            selector: spec.selector.into_selector(),
            containers: containers(spec.template.spec.containers),
            init_containers: containers(spec.template.spec.init_containers),
            pull_secrets: names(spec.template.spec.image_pull_secrets),
            service_account: spec.template.spec.service_account_name.filter(|n| !n.is_empty()),
            observed_generation: status.observed_generation,
            revision,
            replicas,
            // Unknown, as it is while a Deployment is paused and after, says nothing against it.
            progressing: condition(&conditions, "Progressing", |status| status != "False"),
            replica_failure: condition(&conditions, "ReplicaFailure", |status| status == "True")
                .filter(|c| c.holds),
            uid: metadata.uid,
        })
    }
}

impl Spec {
    fn strategy(&self, kind: Kind) -> Strategy {
        let own = match kind {
            Kind::Deployment => &self.strategy,
            Kind::StatefulSet | Kind::DaemonSet => &self.update_strategy,
        };
        let partition = own.rolling_update.as_ref().and_then(|rolling| rolling.partition);
        match (&*own.r#type, partition) {
            ("Recreate", _) => Strategy::Recreate,
            ("OnDelete", _) => Strategy::OnDelete,
            (_, Some(partition)) if partition > 0 => Strategy::Partition(partition),
            _ => Strategy::Rolling,
        }
    }
}

impl StatusFields {
    fn replicas(&self, kind: Kind, wanted: Option<i32>) -> Replicas {
        match kind {
            Kind::Deployment | Kind::StatefulSet => Replicas {
                wanted: wanted.unwrap_or(1),
                total: self.replicas,
                updated: self.updated_replicas,
                ready: self.ready_replicas,
                available: self.available_replicas,
            },
            Kind::DaemonSet => Replicas {
                wanted: self.desired_number_scheduled,
                total: self.current_number_scheduled,
                updated: self.updated_number_scheduled,
                ready: self.number_ready,
                available: self.number_available,
            },
        }
    }
}

fn names(references: Option<Vec<Reference>>) -> Box<[Box<str>]> {
    references.unwrap_or_default().into_iter().map(|reference| reference.name).collect()
}

/// The values of `--rollback`; anything else is as if it were not there.
fn rollback(text: &str) -> Option<bool> {
    match text {
        "on-failure" => Some(true),
        "never" => Some(false),
        _ => None,
    }
}

fn containers(specs: Option<Vec<ContainerSpec>>) -> Box<[Container]> {
    let specs = specs.unwrap_or_default().into_iter();
    let container = |c: ContainerSpec| Container {
        name: c.name,
        image: c.image,
        memory_limit: c.resources.limits.and_then(|l| l.memory).map(Text::into_text),
        probe: c.readiness_probe.or(c.startup_probe).and_then(Probe::words),
    };
    specs.map(container).collect()
}

fn condition(
    all: &[ConditionFields],
    name: &str,
    holds: impl Fn(&str) -> bool,
) -> Option<Condition> {
    let found = all.iter().find(|c| &*c.r#type == name)?;
    Some(Condition {
        holds: holds(&found.status),
        reason: found.reason.clone(),
        message: found.message.clone(),
        updated_at: found.last_update_time.clone().unwrap_or_default(),
    })
}

impl LabelSelector {
    fn into_selector(self) -> Selector {
        let labels = self.match_labels.unwrap_or_default().into_iter();
        let labels = labels.map(|(key, value)| SelectorRule::In(key, [value].into()));
        let expressions = self.match_expressions.unwrap_or_default().into_iter();
        let expressions = expressions.map(|r| {
            let values = r.values.unwrap_or_default().into();
            match r.operator {
                Operator::In => SelectorRule::In(r.key, values),
                Operator::NotIn => SelectorRule::NotIn(r.key, values),
                Operator::Exists => SelectorRule::Exists(r.key),
                Operator::DoesNotExist => SelectorRule::DoesNotExist(r.key),
            }
        });
        Selector(labels.chain(expressions).collect())
    }
}

/// A ReplicaSet, of which the metadata and the template's images matter.
#[derive(Debug, Deserialize)]
pub(in crate::cluster) struct ReplicaSet {
    pub(super) metadata: Meta,
    #[serde(default)]
    spec: ReplicaSetSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReplicaSetSpec {
    template: Template,
}

impl ReplicaSet {
    fn belongs_to(&self, owner_uid: &str) -> bool {
        let owners = self.metadata.owner_references.as_deref().unwrap_or_default();
        owners.iter().any(|o| o.controller && &*o.uid == owner_uid)
    }

    fn revision(&self) -> i64 {
        let revision = |a: &Annotations| a.revision.as_ref()?.parse().ok();
        self.metadata.annotations.as_ref().and_then(revision).unwrap_or(0)
    }

    fn runs_images_of(&self, owner: &Workload) -> bool {
        let same = |own: &Option<Vec<ContainerSpec>>, all: &[Container]| {
            let own = own.as_deref().unwrap_or_default().iter();
            own.map(|c| (&c.name, &c.image)).eq(all.iter().map(|c| (&c.name, &c.image)))
        };
        let own = &self.spec.template.spec;
        same(&own.containers, &owner.containers)
            && same(&own.init_containers, &owner.init_containers)
    }
}

/// The label `pod-template-hash` of the owner's ReplicaSet with the highest revision.
///
/// As long as the controller has not seen the owner's generation, that one may be of an older
/// template; then it counts only if it runs the owner's images.
pub(in crate::cluster) fn current_template_hash(
    sets: &[ReplicaSet],
    owner: &Workload,
) -> Option<String> {
    let own = sets.iter().filter(|set| set.belongs_to(&owner.uid));
    let newest = own.max_by_key(|set| set.revision())?;
    if owner.observed_generation < owner.generation && !newest.runs_images_of(owner) {
        return None;
    }
    let labels = newest.metadata.labels.as_ref()?;
    labels.get("pod-template-hash").map(|hash| hash.to_string())
}
