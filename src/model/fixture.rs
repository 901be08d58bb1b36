//! Small values for the tests of the pure core.

use std::time::Duration;

use super::{
    Container, ContainerState, Kind, Pod, PodContainer, Replicas, Selector, SelectorRule,
    ServiceKey, Strategy, Workload,
};

/// `name` in namespace `default`.
pub fn key(name: &str) -> ServiceKey {
    ServiceKey::new(name, "default").expect("a valid name")
}

/// `app=value`.
pub fn selector(value: &str) -> Selector {
    Selector(Box::new([SelectorRule::In("app".into(), Box::new([value.into()]))]))
}

/// A healthy Deployment with one container `app` that runs `nginx:1.24` in three pods.
pub fn workload(name: &str) -> Workload {
    Workload {
        kind: Kind::Deployment,
        key: key(name),
        uid: format!("uid-{name}").into(),
        resource_version: 1,
        generation: 1,
        has_annotations: true,
        held_by_annotation: false,
        timeout: None,
        paused: false,
        strategy: Strategy::Rolling,
        min_ready: Duration::ZERO,
        progress_deadline: Duration::from_secs(600),
        selector: selector(name),
        containers: Box::new([Container { name: "app".into(), image: "nginx:1.24".into() }]),
        init_containers: Box::new([]),
        pull_secrets: Box::new([]),
        service_account: None,
        observed_generation: 1,
        revision: None,
        replicas: Replicas { wanted: 3, total: 3, updated: 3, ready: 3, available: 3 },
        progressing: None,
        replica_failure: None,
    }
}

/// A running pod in namespace `default` with one container `app` that is not ready.
pub fn pod(name: &str, labels: &[(&str, &str)]) -> Pod {
    Pod {
        namespace: "default".into(),
        name: name.into(),
        labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        deleting: false,
        ready: false,
        containers: Box::new([PodContainer {
            name: "app".into(),
            init: false,
            ready: false,
            restarts: 0,
            image: "nginx:1.24".into(),
            state: ContainerState::Running,
            last: None,
        }]),
    }
}
