//! Objects as a kube-apiserver 1.37 sends them, `managedFields` and all, and what is left of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::model::fixture;
use crate::model::{
    Condition, Container, ContainerState, Replicas, Selector, SelectorRule, ServiceKey, Strategy,
    Terminated,
};

const DEPLOYMENT: &str = include_str!("tests/deployment.json");
const POD: &str = include_str!("tests/pod.json");

fn read<O: Object<Of: Default> + serde::de::DeserializeOwned>(value: Value) -> Option<O::Item> {
    serde_json::from_value::<O>(value).unwrap().into_item(O::Of::default())
}

/// The real Deployment with a change.
fn workload(change: impl FnOnce(&mut Value)) -> Workload {
    let mut value: Value = serde_json::from_str(DEPLOYMENT).unwrap();
    change(&mut value);
    read::<WorkloadObject>(value).unwrap()
}

fn container(name: &str, image: &str) -> Box<[Container]> {
    [crate::model::fixture::container(name, image)].into()
}

#[test]
fn a_deployment_is_reduced_to_what_the_planner_needs() {
    let rule = |key: &str, values: &[&str]| {
        SelectorRule::In(key.into(), values.iter().map(|v| (*v).into()).collect())
    };
    let expect = Workload {
        kind: Kind::Deployment,
        key: ServiceKey::new("web", "shop").unwrap(),
        uid: "33063d8c-3fc8-4d36-a440-b0a964f449a5".into(),
        resource_version: 30242,
        generation: 6,
        has_annotations: true,
        held_by_annotation: false,
        timeout: None,
        rollback: None,
        paused: false,
        strategy: Strategy::Rolling,
        in_order: false,
        min_ready: Duration::ZERO,
        progress_deadline: Duration::from_secs(600),
        selector: Selector([rule("app", &["web"]), rule("tier", &["front", "back"])].into()),
        containers: container("web", "nginx:1.25"),
        init_containers: container("setup", "busybox:1"),
        pull_secrets: [Box::from("regcred")].into(),
        service_account: Some("web".into()),
        observed_generation: 6,
        revision: None,
        replicas: Replicas { wanted: 1, total: 1, updated: 1, ready: 1, available: 1 },
        progressing: Some(Condition {
            holds: true,
            reason: "NewReplicaSetAvailable".into(),
            message: "ReplicaSet \"web-576b95958d\" has successfully progressed.".into(),
            updated_at: "2026-11-23T10:30:27Z".into(),
        }),
        replica_failure: None,
    };
    assert_eq!(workload(|_| ()), expect);
}

/// `DeploymentPaused` and `DeploymentResumed` come with the status Unknown.
#[test]
fn a_rollout_whose_progress_is_unknown_has_not_stopped() {
    for (status, holds) in [("True", true), ("Unknown", true), ("False", false)] {
        let read = workload(|object| {
            let conditions = object["status"]["conditions"].as_array_mut().expect("a list");
            let progressing = conditions.iter_mut().find(|c| c["type"] == "Progressing");
            progressing.expect("there")["status"] = status.into();
        });
        assert_eq!(read.progressing.expect("there").holds, holds, "{status}");
    }
}

#[test]
fn the_other_kinds_are_read_by_their_own_names() {
    let own = |kind, value: Value| {
        let object: WorkloadObject = serde_json::from_value(value).unwrap();
        object.into_item(kind).unwrap()
    };
    let metadata = json!({"name": "db", "namespace": "qa", "generation": 3,
        "annotations": {"deprecated.daemonset.template.generation": "2"}});
    let db = own(
        Kind::StatefulSet,
        json!({
            "metadata": metadata,
            "spec": {"replicas": 5, "updateStrategy":
                {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}},
            "status": {"observedGeneration": 3, "replicas": 5, "readyReplicas": 4,
                "availableReplicas": 4, "updatedReplicas": 1, "updateRevision": "db-5d8f"},
        }),
    );
    assert_eq!(db.strategy, Strategy::Partition(2));
    assert_eq!(db.revision.as_deref(), Some("db-5d8f"));
    let counts = Replicas { wanted: 5, total: 5, updated: 1, ready: 4, available: 4 };
    assert_eq!(db.replicas, counts);
    let agent = own(
        Kind::DaemonSet,
        json!({
            "metadata": metadata,
            "spec": {"updateStrategy": {"type": "OnDelete"}},
            "status": {"desiredNumberScheduled": 5, "currentNumberScheduled": 5, "numberReady": 4,
                "numberAvailable": 4, "updatedNumberScheduled": 1},
        }),
    );
    assert_eq!(agent.strategy, Strategy::OnDelete);
    assert_eq!((agent.revision.as_deref(), agent.replicas), (Some("2"), counts));
}

#[test]
fn what_is_left_out_has_the_default_of_the_api() {
    let bare =
        read::<WorkloadObject>(json!({"metadata": {"name": "web", "namespace": "qa"}})).unwrap();
    assert_eq!(bare.replicas, Replicas { wanted: 1, ..Replicas::default() });
    assert_eq!(bare.progress_deadline, Duration::from_secs(600));
    assert!(!bare.has_annotations && !bare.paused && bare.containers.is_empty());
    assert_eq!((bare.generation, bare.resource_version), (0, 0));
    assert_eq!((bare.progressing, bare.replica_failure), (None, None));
}

#[test]
fn lists_and_maps_that_are_null_are_empty() {
    let nulls = workload(|d| {
        d["metadata"]["annotations"] = Value::Null;
        d["metadata"]["labels"] = Value::Null;
        d["spec"]["selector"] = json!({"matchLabels": null, "matchExpressions": null});
        d["spec"]["template"]["spec"]["initContainers"] = Value::Null;
        d["status"]["conditions"] = Value::Null;
    });
    assert!(!nulls.has_annotations && nulls.init_containers.is_empty());
    assert_eq!((nulls.selector, nulls.progressing), (Selector::default(), None));
}

#[test]
fn an_empty_map_of_annotations_is_there() {
    assert!(workload(|d| d["metadata"]["annotations"] = json!({})).has_annotations);
}

#[test]
fn what_a_newer_server_adds_is_passed_over() {
    let newer = workload(|d| {
        d["spec"]["somethingNew"] = json!({"a": [1, 2]});
        d["status"]["conditions"][0]["somethingNew"] = json!(true);
        d["metadata"]["somethingNew"] = json!("x");
    });
    assert_eq!(newer, workload(|_| ()));
}

#[test]
fn fields_and_annotations_that_hold_a_rollout_are_read() {
    let held = workload(|d| {
        d["metadata"]["annotations"]["depd.dev/paused"] = json!("true");
        d["metadata"]["annotations"]["depd.dev/timeout"] = json!("90s");
        d["spec"]["paused"] = json!(true);
        d["spec"]["minReadySeconds"] = json!(5);
        d["spec"]["replicas"] = json!(0);
        d["spec"]["progressDeadlineSeconds"] = json!(2_147_483_647);
    });
    assert!(held.held_by_annotation && held.paused);
    assert_eq!(held.timeout, Some(Duration::from_secs(90)));
    assert_eq!((held.min_ready, held.replicas.wanted), (Duration::from_secs(5), 0));
    assert_eq!(held.progress_deadline, Duration::from_secs(2_147_483_647));
    let odd = workload(|d| {
        d["metadata"]["annotations"]["depd.dev/paused"] = json!("yes");
        d["metadata"]["annotations"]["depd.dev/timeout"] = json!("soon");
    });
    assert!(!odd.held_by_annotation);
    assert_eq!(odd.timeout, None);
}

#[test]
fn every_operator_of_a_selector_is_known() {
    let selector = workload(|d| {
        d["spec"]["selector"] = json!({"matchExpressions": [
            {"key": "a", "operator": "In", "values": ["1", "2"]},
            {"key": "b", "operator": "NotIn", "values": ["3"]},
            {"key": "c", "operator": "Exists"},
            {"key": "d", "operator": "DoesNotExist", "values": []},
        ]});
    })
    .selector;
    assert_eq!(selector.to_query(), "a in (1,2),b notin (3),c,!d");
}

#[test]
fn a_replica_failure_counts_only_while_it_is_true() {
    let with = |status: &str| {
        workload(|d| {
            let failure = json!({
                "type": "ReplicaFailure", "status": status, "reason": "FailedCreate",
                "message": "exceeded quota: few",
            });
            d["status"]["conditions"].as_array_mut().unwrap().push(failure);
        })
        .replica_failure
    };
    assert_eq!(&*with("True").unwrap().message, "exceeded quota: few");
    assert_eq!(with("False"), None);
}

#[test]
fn names_that_no_api_server_stores_are_refused() {
    for (name, namespace) in [("", "qa"), ("web", ""), ("../x", "qa"), ("web", "a b")] {
        let metadata = json!({"metadata": {"name": name, "namespace": namespace}});
        assert_eq!(read::<WorkloadObject>(metadata), None, "{name} {namespace}");
    }
}

#[test]
fn wrong_types_are_refused_and_not_guessed() {
    let check = |change: fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(DEPLOYMENT).unwrap();
        change(&mut value);
        assert!(serde_json::from_value::<WorkloadObject>(value).is_err());
    };
    check(|d| d["spec"]["replicas"] = json!("3"));
    check(|d| d["metadata"]["generation"] = json!(1.5));
    check(|d| d["spec"]["template"]["spec"]["containers"] = json!({"name": "web"}));
    check(|d| d["spec"]["selector"]["matchExpressions"][0]["operator"] = json!("Gt"));
    check(|d| drop(d.as_object_mut().unwrap().remove("metadata")));
}

#[test]
fn a_crashing_pod_is_reduced_to_its_containers_states() {
    let pod = serde_json::from_str::<PodObject>(POD).unwrap().into_pod();
    assert_eq!((&*pod.namespace, &*pod.name), ("shop", "web-6bdd48ff4f-268vf"));
    assert_eq!(pod.revision(Kind::Deployment), Some("6bdd48ff4f"));
    assert!(!pod.deleting && !pod.ready);
    let [setup, web] = &*pod.containers else { panic!("{pod:?}") };
    let ended = |exit_code, reason: &str| Terminated {
        exit_code,
        reason: reason.into(),
        message: "".into(),
    };
    assert_eq!((&*setup.name, setup.init, setup.ready), ("setup", true, true));
    assert_eq!(setup.state, ContainerState::Terminated(ended(0, "Completed")));
    assert_eq!((setup.restarts, &setup.last), (0, &None));
    assert_eq!((&*web.name, web.init, web.ready), ("web", false, false));
    assert_eq!((web.restarts, &*web.image), (3, "nginx:crash"));
    assert_eq!(web.last, Some(ended(1, "Error")));
    let ContainerState::Waiting { reason, message } = &web.state else { panic!("{web:?}") };
    assert_eq!(&**reason, "CrashLoopBackOff");
    assert!(message.starts_with("back-off 40s restarting failed container=web"), "{message}");
}

#[test]
fn a_pod_without_any_state_waits() {
    let pod = json!({
        "metadata": {"name": "p", "namespace": "qa", "deletionTimestamp": "2026-11-23T10:32:22Z"},
        "status": {"containerStatuses": [
            {"name": "a", "state": {}},
            {"name": "b", "state": {"running": {"startedAt": "2026-11-23T10:32:22Z"}}},
            {"name": "c"},
        ]},
    });
    let pod = read::<PodObject>(pod).unwrap();
    assert!(pod.deleting);
    let waiting = ContainerState::Waiting { reason: "".into(), message: "".into() };
    let states: Vec<_> = pod.containers.iter().map(|c| c.state.clone()).collect();
    assert_eq!(states, [waiting.clone(), ContainerState::Running, waiting]);
}

#[test]
fn a_pod_is_ready_when_its_condition_says_so() {
    let ready = |status: &str| {
        let mut value: Value = serde_json::from_str(POD).unwrap();
        value["status"]["conditions"][3]["status"] = status.into();
        assert_eq!(value["status"]["conditions"][3]["type"], "Ready");
        read::<PodObject>(value).unwrap().ready
    };
    assert!(ready("True"));
    assert!(!ready("False") && !ready("Unknown"));
}

#[test]
fn events_carry_their_object_and_bookmarks_their_version() {
    let read = |text: &str| serde_json::from_str::<Event<PodObject>>(text);
    let bookmark = r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1",
        "metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}},
        "spec":{"containers":null},"status":{}}}"#;
    let Ok(Event::Bookmark(marker)) = read(bookmark) else { panic!("no bookmark") };
    assert_eq!(&*marker.metadata.resource_version, "7");
    let error = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},
        "status":"Failure","message":"too old resource version: 1 (29304)","reason":"Expired",
        "code":410}}"#;
    let Ok(Event::Error(status)) = read(error) else { panic!("no error") };
    assert_eq!((status.code, &*status.reason), (Some(410), "Expired"));
    let added = format!(r#"{{"type":"ADDED","object":{POD}}}"#);
    assert!(matches!(read(&added), Ok(Event::Added(_))));
    for garbage in [r#"{"type":"OTHER","object":{}}"#, r#"{"type":"ADDED"}"#, "[]", "{", "<html>"] {
        assert!(read(garbage).is_err(), "{garbage}");
    }
}

/// A ReplicaSet: revision, owner and hash.
fn replica_set(revision: &str, owner: &str, controller: bool, hash: &str) -> ReplicaSet {
    let metadata = json!({
        "annotations": {"deployment.kubernetes.io/revision": revision},
        "ownerReferences": [{"kind": "Deployment", "uid": owner, "controller": controller}],
        "labels": {"pod-template-hash": hash},
    });
    let containers = json!([{"name": "app", "image": format!("nginx:{hash}")}]);
    let spec = json!({"template": {"spec": {"containers": containers}}});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

#[test]
fn the_newest_replica_set_of_the_owner_names_the_hash() {
    let check = |sets: &[ReplicaSet], expect: Option<&str>| {
        let mut owner = Workload { uid: "own".into(), ..fixture::workload("web") };
        owner.observed_generation = owner.generation;
        assert_eq!(current_template_hash(sets, &owner).as_deref(), expect);
    };
    check(&[], None);
    check(&[replica_set("1", "own", true, "a")], Some("a"));
    // Numbers, not text: 10 is newer than 9.
    let sets = [replica_set("9", "own", true, "a"), replica_set("10", "own", true, "b")];
    check(&sets, Some("b"));
    let sets = [replica_set("1", "own", true, "a"), replica_set("7", "other", true, "b")];
    check(&sets, Some("a"));
    check(&[replica_set("1", "own", false, "a")], None);
    check(&[replica_set("odd", "own", true, "a")], Some("a"));
    check(&[serde_json::from_value(json!({"metadata": {}})).unwrap()], None);
}

#[test]
fn before_the_controller_has_seen_the_template_a_replica_set_must_run_its_images() {
    let mut owner = Workload { uid: "own".into(), ..fixture::workload("web") };
    owner.generation = owner.observed_generation + 1;
    let mut check = |image: &str, init: bool, expect: Option<&str>| {
        owner.containers = container("app", image);
        owner.init_containers = match init {
            true => owner.containers.clone(),
            false => [].into(),
        };
        let sets = [replica_set("1", "own", true, "a"), replica_set("2", "own", true, "b")];
        assert_eq!(current_template_hash(&sets, &owner).as_deref(), expect, "{image} {init}");
    };
    check("nginx:b", false, Some("b"));
    check("nginx:a", false, None);
    check("nginx:c", false, None);
    check("nginx:b", true, None);
}

#[test]
fn the_version_is_read_from_what_providers_say() {
    let version: Version = serde_json::from_value(
        json!({"major": "1", "minor": "30+", "gitVersion": "v1.30.4-eks-1", "emulationMajor": "1"}),
    )
    .unwrap();
    assert_eq!((&*version.minor, &*version.git_version), ("30+", "v1.30.4-eks-1"));
}
