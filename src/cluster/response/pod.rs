//! Pods of `v1`. `[C]`

use serde::Deserialize;

use super::Meta;
use crate::model::{ContainerState, Pod, PodContainer, Terminated};

/// A Pod as it is sent.
#[derive(Debug, Deserialize)]
pub struct PodObject {
    pub(in crate::cluster) metadata: Meta,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    conditions: Option<Vec<PodCondition>>,
    init_container_statuses: Option<Vec<ContainerStatus>>,
    container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodCondition {
    r#type: Box<str>,
    status: Box<str>,
    reason: Box<str>,
    message: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: Box<str>,
    ready: bool,
    restart_count: u32,
    image: Box<str>,
    state: State,
    last_state: State,
}

/// At most one of the three is set; none means waiting.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    waiting: Option<Waiting>,
    running: Option<serde::de::IgnoredAny>,
    terminated: Option<Ended>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: Box<str>,
    message: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ended {
    exit_code: i32,
    reason: Box<str>,
    message: Box<str>,
}

impl PodObject {
    /// The pod it is.
    pub(super) fn into_pod(self) -> Pod {
        let PodObject { metadata, status } = self;
        let conditions = status.conditions.unwrap_or_default();
        let init = status.init_container_statuses.unwrap_or_default().into_iter();
        let main = status.container_statuses.unwrap_or_default().into_iter();
        let containers =
            init.map(|c| c.into_container(true)).chain(main.map(|c| c.into_container(false)));
        Pod {
            containers: containers.collect(),
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            resource_version: metadata.resource_version.parse().unwrap_or(0),
            labels: metadata.labels.unwrap_or_default().into_iter().collect(),
            deleting: metadata.deletion_timestamp.is_some(),
            ready: conditions.iter().any(|c| &*c.r#type == "Ready" && &*c.status == "True"),
            unschedulable: conditions.into_iter().find_map(unschedulable),
        }
    }
}

fn unschedulable(condition: PodCondition) -> Option<Box<str>> {
    let PodCondition { r#type, status, reason, message } = condition;
    let is_so = &*r#type == "PodScheduled" && &*status == "False" && &*reason == "Unschedulable";
    is_so.then_some(message)
}

impl ContainerStatus {
    fn into_container(self, init: bool) -> PodContainer {
        PodContainer {
            name: self.name,
            init,
            ready: self.ready,
            restarts: self.restart_count,
            image: self.image,
            state: self.state.into_state(),
            last: self.last_state.terminated.map(Ended::into_terminated),
        }
    }
}

impl State {
    fn into_state(self) -> ContainerState {
        match (self.terminated, self.running, self.waiting) {
            (Some(ended), _, _) => ContainerState::Terminated(ended.into_terminated()),
            (None, Some(_), _) => ContainerState::Running,
            (None, None, waiting) => {
                let Waiting { reason, message } = waiting.unwrap_or_default();
                ContainerState::Waiting { reason, message }
            }
        }
    }
}

impl Ended {
    fn into_terminated(self) -> Terminated {
        Terminated { exit_code: self.exit_code, reason: self.reason, message: self.message }
    }
}
