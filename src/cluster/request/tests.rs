//! Requests as they go over the wire.

use super::*;
use crate::model::{Image, PullSecrets, SelectorRule, Target};

fn key() -> ServiceKey {
    ServiceKey::new("web", "qa").unwrap()
}

fn patch(has_annotations: bool, targets: &[(bool, usize, &str, &str)]) -> ImagePatch {
    let target = |(init, index, container, image): &(bool, usize, &str, &str)| Target {
        expected: "nginx:1.24".into(),
        init: *init,
        index: *index,
        container: (*container).into(),
        image: Image::parse(image).unwrap(),
    };
    ImagePatch {
        kind: Kind::Deployment,
        key: key(),
        uid: "0a1b".into(),
        has_annotations,
        targets: targets.iter().map(target).collect(),
        pull_secrets: None,
        change_cause: "depd: nginx:1.25".into(),
    }
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body.as_ref().unwrap().bytes).unwrap()
}

#[test]
fn a_change_of_images_is_one_guarded_patch() {
    let request = Request::patch_images(&patch(true, &[(false, 0, "web", "nginx:1.25")]));
    assert_eq!(request.target, "/apis/apps/v1/namespaces/qa/deployments/web?fieldManager=depd");
    assert_eq!(request.body.as_ref().unwrap().content_type, "application/json-patch+json");
    let expect = json!([
        {"op": "test", "path": "/metadata/uid", "value": "0a1b"},
        {"op": "test", "path": "/spec/template/spec/containers/0/name", "value": "web"},
        {"op": "test", "path": "/spec/template/spec/containers/0/image", "value": "nginx:1.24"},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "nginx:1.25"},
        {
            "op": "add",
            "path": "/metadata/annotations/kubernetes.io~1change-cause",
            "value": "depd: nginx:1.25",
        },
    ]);
    assert_eq!(body(&request), expect);
}

#[test]
fn pull_secrets_are_added_to_the_list_that_was_seen_or_as_a_list_while_there_is_none() {
    const PATH: &str = "/spec/template/spec/imagePullSecrets";
    let check = |before: &[&str], add: &[&str], expect: Value| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        let secrets = PullSecrets { before: names(before), add: names(add) };
        let patch = ImagePatch {
            pull_secrets: Some(secrets),
            ..patch(true, &[(false, 0, "web", "nginx:1.25")])
        };
        let steps = body(&Request::patch_images(&patch));
        let own = |step: &&Value| step["path"] == PATH;
        let found: Vec<Value> = steps.as_array().unwrap().iter().filter(own).cloned().collect();
        assert_eq!(Value::from(found), expect);
    };
    check(
        &[],
        &["regcred", "depd-ecr"],
        json!([
            {"op": "test", "path": PATH, "value": null},
            {"op": "add", "path": PATH, "value": [{"name": "regcred"}, {"name": "depd-ecr"}]},
        ]),
    );
    check(
        &["own", ""],
        &["depd-ecr"],
        json!([
            {"op": "test", "path": PATH, "value": [{"name": "own"}, {}]},
            {"op": "add", "path": PATH, "value": [{"name": "own"}, {}, {"name": "depd-ecr"}]},
        ]),
    );
    check(&["depd-ecr"], &[], json!([]));
}

#[test]
fn a_missing_map_of_annotations_is_added_whole_while_it_is_missing() {
    let targets = [(true, 1, "setup", "busybox:1"), (false, 2, "web", "nginx:1.25")];
    let expect = json!([
        {"op": "test", "path": "/metadata/uid", "value": "0a1b"},
        {"op": "test", "path": "/spec/template/spec/initContainers/1/name", "value": "setup"},
        {"op": "test", "path": "/spec/template/spec/initContainers/1/image", "value": "nginx:1.24"},
        {"op": "replace", "path": "/spec/template/spec/initContainers/1/image", "value": "busybox:1"},
        {"op": "test", "path": "/spec/template/spec/containers/2/name", "value": "web"},
        {"op": "test", "path": "/spec/template/spec/containers/2/image", "value": "nginx:1.24"},
        {"op": "replace", "path": "/spec/template/spec/containers/2/image", "value": "nginx:1.25"},
        {"op": "test", "path": "/metadata/annotations", "value": null},
        {
            "op": "add",
            "path": "/metadata/annotations",
            "value": {"kubernetes.io/change-cause": "depd: nginx:1.25"},
        },
    ]);
    assert_eq!(body(&Request::patch_images(&patch(false, &targets))), expect);
}

#[test]
fn text_from_outside_stays_inside_its_json_string() {
    let mut patch = patch(true, &[(false, 0, "web", "nginx:1.25")]);
    patch.change_cause = "\"},{\"op\":\"remove\",\"path\":\"/spec\"}\n\u{7}".into();
    let sent = body(&Request::patch_images(&patch));
    assert_eq!(sent.as_array().unwrap().len(), 5);
    assert_eq!(sent[4]["value"], *patch.change_cause);
}

#[test]
fn no_name_leaves_its_place_in_a_path() {
    let check = |name: &str, expect: &str| {
        let target = Request::get_namespace(name).target;
        assert_eq!(target, format!("/api/v1/namespaces/{expect}"), "{name:?}");
    };
    check("qa", "qa");
    check("a-b.c_d~e", "a-b.c_d~e");
    check("..", "%2E%2E");
    check(".", "%2E");
    check("...", "...");
    check("../../nodes", "..%2F..%2Fnodes");
    check("a%2fb", "a%252fb");
    check("a?b=c&d#e;f", "a%3Fb%3Dc%26d%23e%3Bf");
    check("a b+c", "a%20b%2Bc");
    check("\r\nHost: x", "%0D%0AHost%3A%20x");
    check("é\u{202e}\0", "%C3%A9%E2%80%AE%00");
}

#[test]
fn every_request_asks_for_what_its_name_says() {
    fn check(request: Request, words: &str, target: &str) {
        assert_eq!(request.call.to_string(), words);
        assert_eq!(request.target, target);
    }
    let qa = Scope::Namespace("qa".into());
    check(
        Request::get_workload(Kind::Deployment, &key()),
        "get deployments web in qa",
        "/apis/apps/v1/namespaces/qa/deployments/web",
    );
    check(Request::get_namespace("qa"), "get namespaces qa", "/api/v1/namespaces/qa");
    check(Request::version(), "get version", "/version");
    check(
        Request::list(Resource::Deployments, &Scope::Cluster, None),
        "list deployments",
        "/apis/apps/v1/deployments?limit=500",
    );
    check(
        Request::list(Resource::Pods, &qa, Some("a/b=")),
        "list pods in qa",
        "/api/v1/namespaces/qa/pods?limit=500&continue=a%2Fb%3D",
    );
    check(
        Request::watch(Resource::Pods, &Scope::Cluster, "17", 300),
        "watch pods",
        "/api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion=17&timeoutSeconds=300",
    );
    check(
        Request::list_and_watch(Resource::Pods, &qa, 300),
        "list pods in qa",
        "/api/v1/namespaces/qa/pods?watch=true&sendInitialEvents=true\
         &resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=300",
    );
    let log = LogOf {
        namespace: "qa",
        name: "web-1",
        container: "web",
        previous: false,
        lines: 9,
        limit_bytes: 1,
    };
    check(
        Request::log(log),
        "get pods/log web-1 in qa",
        "/api/v1/namespaces/qa/pods/web-1/log?container=web&tailLines=9&limitBytes=1",
    );
    check(
        Request::log(LogOf { previous: true, ..log }),
        "get pods/log web-1 in qa",
        "/api/v1/namespaces/qa/pods/web-1/log?container=web&tailLines=9&limitBytes=1&previous=true",
    );
}

#[test]
fn a_list_never_names_a_version_so_that_it_is_the_newest() {
    let list = Request::list(Resource::Deployments, &Scope::Cluster, Some("t")).target;
    assert!(!list.contains("resourceVersion"), "{list}");
}

#[test]
fn a_new_namespace_is_asked_for_by_its_name_alone() {
    let request = Request::create_namespace("qa");
    assert_eq!(request.call.to_string(), "create namespaces qa");
    assert_eq!(request.target, "/api/v1/namespaces?fieldManager=depd");
    assert_eq!(request.body.as_ref().unwrap().content_type, "application/json");
    let expect = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "qa"}});
    assert_eq!(body(&request), expect);
}

#[test]
fn selectors_become_one_query_value() {
    let check = |rules: Vec<SelectorRule>, expect: &str| {
        let request = Request::replica_sets("qa", &Selector(rules.into()));
        let start = "/apis/apps/v1/namespaces/qa/replicasets?labelSelector=";
        assert_eq!(request.target, format!("{start}{expect}"));
    };
    let values = |all: &[&str]| all.iter().map(|v| (*v).into()).collect::<Box<[_]>>();
    check(vec![], "");
    check(vec![SelectorRule::In("app".into(), values(&["web"]))], "app%3Dweb");
    check(
        vec![
            SelectorRule::In("example.org/app".into(), values(&["web"])),
            SelectorRule::In("tier".into(), values(&["front", "back"])),
            SelectorRule::NotIn("stage".into(), values(&["qa"])),
            SelectorRule::Exists("a".into()),
            SelectorRule::DoesNotExist("b".into()),
        ],
        "example.org%2Fapp%3Dweb%2Ctier%20in%20%28front%2Cback%29%2Cstage%20notin%20%28qa%29%2Ca%2C%21b",
    );
}

#[test]
fn resources_are_named_as_a_role_names_them() {
    assert_eq!(Resource::Deployments.with_group(), "apps/deployments");
    assert_eq!(Resource::StatefulSets.with_group(), "apps/statefulsets");
    assert_eq!(Resource::ReplicaSets.with_group(), "apps/replicasets");
    assert_eq!(Resource::PodLog.with_group(), "pods/log");
}
