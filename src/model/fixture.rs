//! Small values for the tests of the pure core.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::Strategy as _;

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

/// A container without limit and probe.
pub fn container(name: &str, image: &str) -> Container {
    Container { name: name.into(), image: image.into(), memory_limit: None, probe: None }
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
        rollback: None,
        paused: false,
        strategy: Strategy::Rolling,
        in_order: false,
        min_ready: Duration::ZERO,
        progress_deadline: Duration::from_secs(600),
        selector: selector(name),
        containers: Box::new([container("app", "nginx:1.24")]),
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
        uid: format!("uid-{name}").into(),
        resource_version: 0,
        labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        deleting: false,
        ready: false,
        unschedulable: None,
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

/// Whether a character must never reach a person as it is: it steers a terminal, turns the direction
/// of writing, or cannot be seen. A list of its own, so that it can judge [`super::printable`].
pub fn is_harmful(c: char) -> bool {
    let controls = matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}');
    let turns = matches!(c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let unseen = matches!(c,
        '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200d}' | '\u{2028}' | '\u{2029}' | '\u{202f}'
        | '\u{205f}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{2800}' | '\u{3000}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    controls || turns || unseen
}

/// Any text at all, with what parsers stumble over more often than chance has it: their own signs,
/// whole fragments of the grammar, and every harmful character.
pub fn any_text() -> impl proptest::strategy::Strategy<Value = String> {
    let fragments = prop::sample::select(vec![
        "_",
        ".dep",
        ":",
        "@",
        "=",
        "/",
        "#",
        " ",
        "\t",
        "\n",
        "\r\n",
        "-",
        ".",
        "..",
        "%2f",
        "\"",
        "://",
        "[::1]",
        "nginx",
        "web",
        "prod",
        "latest",
        "1.25",
        "sha256:",
        "sha512",
        "localhost",
        ":5000",
        "Web",
        "web_prod.dep",
        "web=",
        "web: ",
        "# ",
        "\u{feff}",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ]);
    let harmful =
        prop::sample::select(('\0'..='\u{feff}').filter(|c| is_harmful(*c)).collect::<Vec<_>>());
    let part = prop_oneof![
        6 => fragments.prop_map(str::to_owned),
        1 => harmful.prop_map(String::from),
        1 => any::<char>().prop_map(String::from),
        1 => any::<String>(),
        2 => "[a-z0-9.-]{1,12}",
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// The same, and now and then bytes that are no text.
pub fn any_bytes() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => any_text().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}
