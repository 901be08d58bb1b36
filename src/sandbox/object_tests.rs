use super::super::resources::CONFIG_MAPS;
use super::*;

const WRITE: Write = Write { now: Wall(1_700_000_000_000), dry_run: false };

fn store() -> Store {
    let mut store = Store::new(100, 3);
    create(&mut store, NAMESPACES, "", json!({"metadata": {"name": "qa"}}), WRITE).unwrap();
    store
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "resourceVersion": "", "managedFields": [{"manager": "x"}]},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "nginx:1.24"}]},
            },
        },
        "status": {"replicas": 7},
    })
}

fn made(store: &mut Store) -> (Key, Value) {
    let object = create(store, DEPLOYMENTS, "qa", deployment(), WRITE).unwrap();
    (Key::new(DEPLOYMENTS, "qa", "web"), Value::clone(&object))
}

#[test]
fn a_created_object_carries_what_the_server_adds_and_nothing_that_it_owns() {
    let (_, object) = made(&mut store());
    let metadata = &object["metadata"];
    assert_eq!(metadata["generation"], 1);
    assert_eq!(metadata["creationTimestamp"], "2023-11-14T22:13:20Z");
    assert_eq!(metadata["namespace"], "qa");
    assert!(metadata["uid"].is_string() && metadata["resourceVersion"].is_string());
    assert!(metadata.get("managedFields").is_none());
    assert_eq!(object["status"], json!({}));
}

#[test]
fn a_write_that_changes_nothing_keeps_the_version() {
    let mut store = store();
    let (key, object) = made(&mut store);
    let revision = store.revision();
    let again = update(&mut store, &key, object.clone(), Part::Main, WRITE).unwrap();
    assert_eq!(*again, object);
    assert_eq!(store.revision(), revision);
}

#[test]
fn spec_and_annotations_raise_the_generation_labels_and_status_do_not() {
    fn check(change: impl FnOnce(&mut Value), part: Part, generation: i64) {
        let mut store = store();
        let (key, mut object) = made(&mut store);
        change(&mut object);
        let object = update(&mut store, &key, object, part, WRITE).unwrap();
        assert_eq!(object["metadata"]["generation"], generation);
    }
    check(|d| d["spec"]["replicas"] = 2.into(), Part::Main, 2);
    check(|d| d["metadata"]["annotations"] = json!({"a": "b"}), Part::Main, 2);
    check(|d| d["metadata"]["labels"] = json!({"a": "b"}), Part::Main, 1);
    check(|d| d["status"] = json!({"replicas": 1}), Part::Status, 1);
    check(|d| d["spec"]["replicas"] = 2.into(), Part::Status, 1);
}

#[test]
fn each_path_changes_its_own_half_only() {
    let mut store = store();
    let (key, mut object) = made(&mut store);
    object["spec"]["replicas"] = 5.into();
    object["status"] = json!({"replicas": 9});
    let main = update(&mut store, &key, object.clone(), Part::Main, WRITE).unwrap();
    assert_eq!((&main["spec"]["replicas"], &main["status"]), (&json!(5), &json!({})));
    let mut object = Value::clone(&main);
    object["spec"]["replicas"] = 6.into();
    object["status"] = json!({"replicas": 9});
    let status = update(&mut store, &key, object, Part::Status, WRITE).unwrap();
    assert_eq!(
        (&status["spec"]["replicas"], &status["status"]["replicas"]),
        (&json!(5), &json!(9))
    );
}

#[test]
fn a_stale_version_and_a_foreign_uid_are_conflicts() {
    let mut store = store();
    let (key, object) = made(&mut store);
    let mut newer = object.clone();
    newer["spec"]["replicas"] = 2.into();
    update(&mut store, &key, newer, Part::Main, WRITE).unwrap();
    let refused = update(&mut store, &key, object.clone(), Part::Main, WRITE).unwrap_err();
    assert_eq!((refused.code, refused.reason), (409, "Conflict"));
    let mut foreign = object;
    foreign["metadata"]["uid"] = "other".into();
    assert_eq!(check_uid(&store, &key, &foreign).unwrap_err().code, 409);
    foreign["metadata"]["resourceVersion"] = "".into();
    let refused = update(&mut store, &key, foreign, Part::Main, WRITE).unwrap_err();
    assert_eq!((refused.code, refused.reason), (422, "Invalid"));
}

#[test]
fn nothing_is_made_where_there_is_no_namespace_or_a_dying_one() {
    let mut store = store();
    let missing = create(&mut store, DEPLOYMENTS, "nowhere", deployment(), WRITE).unwrap_err();
    assert_eq!(missing.message, "namespaces \"nowhere\" not found");
    let namespace = Key::new(NAMESPACES, "", "qa");
    delete(&mut store, &namespace, &DeleteOptions::default(), WRITE).unwrap();
    let dying = create(&mut store, DEPLOYMENTS, "qa", deployment(), WRITE).unwrap_err();
    assert_eq!((dying.code, dying.reason), (403, "Forbidden"));
    assert_eq!(dying.details["causes"][0]["reason"], "NamespaceTerminating");
    assert_eq!(
        dying.message,
        "deployments.apps \"web\" is forbidden: unable to create new content in namespace qa \
         because it is being terminated"
    );
}

#[test]
fn a_pod_on_a_node_goes_gracefully_and_at_once_when_forced() {
    let mut store = store();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "a"}]}});
    create(&mut store, PODS, "qa", pod, WRITE).unwrap();
    let key = Key::new(PODS, "qa", "p");
    let Deleted::Shown(going) = delete(&mut store, &key, &DeleteOptions::default(), WRITE).unwrap()
    else {
        panic!("a graceful deletion shows the object");
    };
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 30);
    assert!(store.get(&key).is_some());
    let now = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    delete(&mut store, &key, &now, WRITE).unwrap();
    assert!(store.get(&key).is_none());
}

#[test]
fn a_finalizer_holds_an_object_until_it_is_taken_off() {
    let mut store = store();
    let object = json!({"metadata": {"name": "c", "finalizers": ["x/y"]}});
    create(&mut store, CONFIG_MAPS, "qa", object, WRITE).unwrap();
    let key = Key::new(CONFIG_MAPS, "qa", "c");
    delete(&mut store, &key, &DeleteOptions::default(), WRITE).unwrap();
    let mut object = Value::clone(store.get(&key).unwrap());
    object["metadata"]["finalizers"] = json!([]);
    update(&mut store, &key, object, Part::Main, WRITE).unwrap();
    assert!(store.get(&key).is_none());
}

#[test]
fn a_dry_run_leaves_no_trace() {
    let mut store = store();
    let (key, mut object) = made(&mut store);
    let revision = store.revision();
    let dry = Write { dry_run: true, ..WRITE };
    object["spec"]["replicas"] = 2.into();
    assert_eq!(update(&mut store, &key, object, Part::Main, dry).unwrap()["spec"]["replicas"], 2);
    delete(&mut store, &key, &DeleteOptions::default(), dry).unwrap();
    create(&mut store, CONFIG_MAPS, "qa", json!({"metadata": {"name": "c"}}), dry).unwrap();
    assert_eq!(store.revision(), revision);
}
