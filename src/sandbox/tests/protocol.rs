//! Requests and answers: authentication, verbs, watches, faults, the end.

use super::*;

#[test]
fn a_certificate_or_the_token_opens_the_door_and_nothing_else_does() {
    let Fixture { sandbox, client } = fixture();
    let code = |client: &Client| client.get("/api/v1/namespaces/default").code;
    assert_eq!(code(&client), 200);
    let mut bare = Client::new(&sandbox, None);
    assert_eq!(code(&bare), 401);
    bare.token = Some("wrong".into());
    assert_eq!(code(&bare), 401);
    bare.token = Some(sandbox.token().into());
    assert_eq!(code(&bare), 200);
    let other = Sandbox::start(SandboxOptions::default()).unwrap();
    let foreign = Client::new(&sandbox, Some(other.identity()));
    assert_eq!(code(&foreign), 401);
    let second = sandbox.issue("someone").unwrap();
    assert_eq!(code(&Client::new(&sandbox, Some(&second))), 200);
    let users: Vec<String> = sandbox.requests().into_iter().map(|r| r.user).collect();
    assert_eq!(users, ["depd", "", "", "depd-token", "", "someone"]);
}

#[test]
fn an_unknown_authority_is_refused_by_the_client() {
    let (one, other) = (fixture().sandbox, fixture().sandbox);
    let mut client = Client::new(&other, None);
    client.url = one.url();
    assert!(client.request("GET", "/version", &[], "").is_err());
}

#[test]
fn the_version_says_which_server_is_pretended() {
    let version = fixture().client.get("/version").body;
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("37")));
}

#[test]
fn a_guarded_patch_is_refused_as_the_real_server_refuses_it() {
    let fixture = fixture();
    fixture.deploy("nginx:1.24", 1);
    let patch = json!([{"op": "test", "path": "/metadata/uid", "value": "another"}]);
    let refused = fixture.client.patch(WEB, "json-patch+json", &patch);
    let expect = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the server rejected our request due to an error in our request",
        "reason": "Invalid",
        "details": {},
        "code": 422,
    });
    assert_eq!((refused.code, refused.body), (422, expect));
}

#[test]
fn a_patch_that_changes_nothing_keeps_the_version() {
    let fixture = fixture();
    let before = fixture.deploy("nginx:1.24", 1);
    let after = fixture.set_image("nginx:1.24");
    assert_eq!(after.code, 200);
    assert_eq!(after.body["metadata"], before["metadata"]);
}

#[test]
fn a_missing_namespace_is_404_and_a_dying_one_403_until_it_is_gone() {
    let Fixture { sandbox, client } = fixture();
    let path = "/apis/apps/v1/namespaces/qa/deployments";
    let missing = client.post(path, &deployment("nginx:1.24", 1));
    assert_eq!(missing.code, 404);
    assert_eq!(missing.body["details"], json!({"name": "qa", "kind": "namespaces"}));
    let namespace = json!({"metadata": {"name": "qa"}});
    assert_eq!(client.post("/api/v1/namespaces", &namespace).code, 201);
    assert_eq!(client.post("/api/v1/namespaces", &namespace).body["reason"], "AlreadyExists");
    assert_eq!(client.post(path, &deployment("nginx:1.24", 2)).code, 201);
    let web = format!("{path}/web");
    assert!(sandbox.wait_for(&web, LIMIT, is_done));
    let going = client.delete("/api/v1/namespaces/qa");
    assert_eq!((going.code, &going.body["status"]["phase"]), (200, &json!("Terminating")));
    let dying = client.post(path, &deployment("nginx:1.24", 1));
    // The controllers may have been faster than this client.
    assert!(dying.code == 403 || dying.code == 404, "{dying:?}");
    assert!(sandbox.wait_for("/api/v1/namespaces/qa", LIMIT, Value::is_null));
    assert_eq!(sandbox.get(&web), None);
}

#[test]
fn every_namespace_has_its_default_service_account() {
    let Fixture { sandbox, .. } = fixture();
    sandbox
        .apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "qa"}}))
        .unwrap();
    for namespace in ["default", "kube-system", "qa"] {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        assert!(sandbox.wait_for(&path, LIMIT, Value::is_object), "{namespace}");
    }
}

#[test]
fn a_watch_shows_every_change_in_order_and_ends_in_time() {
    let Fixture { sandbox, client } = with(SandboxOptions {
        controllers: false,
        bookmark_interval: Duration::from_millis(10),
        ..SandboxOptions::default()
    });
    let version = client.get(DEPLOYMENTS).body["metadata"]["resourceVersion"].clone();
    let version = version.as_str().unwrap();
    let mut events = client.watch(&format!(
        "{DEPLOYMENTS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=2&resourceVersion={version}"
    ));
    let object = |image| {
        let mut object = deployment(image, 1);
        object["metadata"]["namespace"] = "default".into();
        object
    };
    sandbox.apply(object("a:1")).unwrap();
    sandbox.apply(object("a:2")).unwrap();
    assert_eq!(client.delete(WEB).code, 200);
    let mut next = || loop {
        let event = events.next()?;
        if event["type"] != "BOOKMARK" {
            return Some(event["type"].as_str().unwrap().to_owned());
        }
    };
    assert_eq!(next().as_deref(), Some("ADDED"));
    assert_eq!(next().as_deref(), Some("MODIFIED"));
    assert_eq!(next().as_deref(), Some("DELETED"));
    assert_eq!(next(), None);
}

#[test]
fn a_watch_from_a_forgotten_revision_gets_410() {
    let Fixture { sandbox, client } =
        with(SandboxOptions { history: 2, ..SandboxOptions::default() });
    for number in 0..9 {
        let data = json!({"number": number.to_string()});
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": data}});
        sandbox.apply(object).unwrap();
    }
    let mut events = client.watch("/api/v1/namespaces?watch=true&resourceVersion=1");
    let event = events.next().unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert!(events.next().is_none());
}

#[test]
fn unknown_things_and_formats_get_their_own_codes() {
    let fixture = fixture();
    fixture.deploy("nginx:1.24", 1);
    let check = |method: &str, path: &str, headers: &[(&str, &str)], body: &str, code: u16| {
        let answer = fixture.client.send(method, path, headers, body);
        assert_eq!(answer.code, code, "{method} {path} {headers:?}: {}", answer.text);
        assert_eq!(answer.body["kind"], "Status", "{method} {path}");
    };
    check("GET", "/api/v1/namespaces/default/pods/none", &[], "", 404);
    check("GET", "/apis/apps/v1/namespaces/default/poems", &[], "", 404);
    check("GET", &format!("{WEB}/poem"), &[], "", 404);
    check("POST", WEB, &[("content-type", "application/json")], "{}", 405);
    check("PATCH", WEB, &[("content-type", "text/poem")], "{}", 415);
    check("PATCH", WEB, &[("content-type", "application/json-patch+json")], "{}", 400);
    check("PUT", WEB, &[("content-type", "application/json")], "{", 400);
    check("GET", WEB, &[("accept", "application/vnd.kubernetes.protobuf")], "", 406);
    let huge = "x".repeat(4 * 1024 * 1024);
    check("PUT", WEB, &[("content-type", "application/json")], &huge, 413);
}

#[test]
fn server_side_apply_makes_and_merges() {
    let Fixture { sandbox: _sandbox, client } = fixture();
    let path = "/api/v1/namespaces/default/secrets/pull";
    let apply = |query: &str, body: &Value| {
        client.patch(&format!("{path}{query}"), "apply-patch+yaml", body)
    };
    let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}, "stringData": {"a": "b"}});
    assert_eq!(apply("", &body).code, 422);
    assert_eq!(apply("?fieldManager=depd", &body).code, 201);
    let again = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"c": "d"}});
    let merged = apply("?fieldManager=depd", &again);
    assert_eq!((merged.code, &merged.body["data"]), (200, &json!({"a": "Yg==", "c": "ZA=="})));
}

#[test]
fn faults_hit_the_requests_that_they_are_meant_for() {
    let fixture = fixture();
    fixture.deploy("nginx:1.24", 1);
    let on_patch = |fault: Fault| {
        fixture.sandbox.set_faults(move |request: &RequestView<'_>| {
            (request.method == "PATCH").then(|| fault.clone())
        });
    };
    let image = || {
        fixture.sandbox.get(WEB).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"]
            .clone()
    };
    let try_patch = |image: &str| {
        let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
        let headers = [("content-type", "application/strategic-merge-patch+json")];
        fixture.client.request("PATCH", WEB, &headers, &patch.to_string())
    };
    let busy = Status::new(429, "TooManyRequests", "slow down");
    on_patch(Fault::Respond(Response::status(&busy).header("Retry-After", "7")));
    let refused = try_patch("nginx:2").unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "7");
    on_patch(Fault::ResetBefore);
    assert!(try_patch("nginx:3").is_err());
    assert_eq!(image(), "nginx:1.24");
    on_patch(Fault::ResetAfter);
    assert!(try_patch("nginx:4").is_err());
    assert_eq!(image(), "nginx:4");
    fixture.sandbox.clear_faults();
    assert_eq!(try_patch("nginx:5").unwrap().status(), 200);
    let patches = fixture.sandbox.requests().into_iter().filter(|r| r.method == "PATCH");
    assert_eq!(patches.map(|r| r.status).collect::<Vec<_>>(), [429, 200, 200]);
}

#[test]
fn a_watch_can_be_made_to_hang_or_to_babble() {
    let Fixture { sandbox, client } = fixture();
    let path = "/api/v1/namespaces?watch=true";
    sandbox.set_faults(|r: &RequestView<'_>| {
        r.watch.then(|| Fault::WatchBytes(b"{\"type\":\"AD".to_vec()))
    });
    let response = client.request("GET", path, &[], "").unwrap();
    let mut text = String::new();
    assert!(response.into_body().into_reader().read_to_string(&mut text).is_err());
    assert_eq!(text, "{\"type\":\"AD");
    sandbox.set_faults(|r: &RequestView<'_>| r.watch.then_some(Fault::HangWatch));
    let response = client.request("GET", path, &[], "").unwrap();
    assert_eq!(response.status(), 200);
    let agent = client.agent.clone();
    sandbox.stop();
    drop((response, agent));
}

#[test]
fn stopping_ends_open_watches_and_frees_the_port() {
    let Fixture { sandbox, client } = fixture();
    let address = sandbox.address();
    let mut events = client.watch("/api/v1/namespaces?watch=true&resourceVersion=99999");
    sandbox.stop();
    assert!(events.next().is_none());
    let options = SandboxOptions { port: address.port(), ..SandboxOptions::default() };
    assert_eq!(Sandbox::start(options).unwrap().address(), address);
}

#[test]
fn a_taken_port_is_said_with_its_number() {
    let sandbox = fixture().sandbox;
    let port = sandbox.address().port();
    let error = Sandbox::start(SandboxOptions { port, ..SandboxOptions::default() }).unwrap_err();
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
}

#[test]
fn tables_carry_the_columns_of_kubectl() {
    let fixture = fixture();
    fixture.deploy("nginx:1.24", 1);
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let table = fixture.client.send("GET", DEPLOYMENTS, &accept, "").body;
    let names: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| text(c, "/name")).collect();
    assert_eq!(&names[..5], ["Name", "Ready", "Up-to-date", "Available", "Age"]);
    assert_eq!(table["rows"][0]["cells"][1], "1/1");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
}

#[test]
fn everything_is_allowed_when_asked() {
    let review =
        json!({"spec": {"resourceAttributes": {"verb": "patch", "resource": "deployments"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = fixture().client.post(path, &review);
    assert_eq!((answer.code, &answer.body["status"]["allowed"]), (201, &json!(true)));
}
