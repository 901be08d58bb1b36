//! The client against the embedded sandbox: what is sent, what comes of it, and what goes wrong.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::error::{LONGEST_RETRY_AFTER, Sent};
use super::super::kubeconfig;
use super::*;
use crate::model::{Image, Target};
use crate::sandbox::{About, Fault, RequestView, Response, Sandbox, SandboxOptions, Status};

/// How long a test waits for what must happen.
const LIMIT: Duration = Duration::from_secs(20);

const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const DEPLOYMENTS: About<'static> = About { group: "apps", resource: "deployments", name: "" };

/// A sandbox that does nothing by itself.
fn still() -> Sandbox {
    Sandbox::start(SandboxOptions { controllers: false, ..SandboxOptions::default() }).unwrap()
}

fn access(sandbox: &Sandbox, context: &str) -> Access {
    let file = Path::new("sandbox");
    let config = kubeconfig::parse(file, &sandbox.kubeconfig()).unwrap();
    let merged = kubeconfig::merge(vec![(file.to_owned(), config)]).unwrap();
    kubeconfig::pick(&merged, Some(context)).unwrap()
}

fn client_with(sandbox: &Sandbox, options: ClientOptions) -> Client {
    Client::new(&access(sandbox, "depd-sandbox"), options).unwrap()
}

fn client(sandbox: &Sandbox) -> Client {
    client_with(sandbox, ClientOptions::default())
}

fn key(service: &str) -> ServiceKey {
    ServiceKey::new(service, "default").unwrap()
}

fn deployment(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": name, "image": image}]},
            },
        },
    })
}

/// The patch that a planner makes of what it saw.
fn patch(seen: &Workload, image: &str) -> ImagePatch {
    ImagePatch {
        kind: Kind::Deployment,
        key: seen.key.clone(),
        uid: seen.uid.clone(),
        has_annotations: seen.has_annotations,
        targets: vec![Target {
            expected: seen.containers[0].image.clone(),
            init: false,
            index: 0,
            container: seen.containers[0].name.clone(),
            image: Image::parse(image).unwrap(),
        }],
        pull_secrets: None,
        change_cause: format!("depd: {image}"),
    }
}

/// The requests so far: method, target and status.
fn requests(sandbox: &Sandbox) -> Vec<String> {
    let all = sandbox.requests().into_iter();
    all.map(|r| format!("{} {} {}", r.method, r.uri, r.status)).collect()
}

/// Answers the requests with this method, and no others.
fn answer(sandbox: &Sandbox, method: &'static str, response: Response) {
    sandbox.set_faults(move |r: &RequestView<'_>| {
        (r.method == method).then(|| Fault::Respond(response.clone()))
    });
}

#[test]
fn a_certificate_and_a_token_are_both_good_to_log_in() {
    let sandbox = still();
    for context in ["depd-sandbox", "depd-sandbox-token"] {
        let client = Client::new(&access(&sandbox, context), ClientOptions::default()).unwrap();
        assert_eq!(&*client.version().unwrap().major, "1");
    }
    let users: Vec<String> = sandbox.requests().into_iter().map(|r| r.user).collect();
    assert_eq!(users, ["depd", "depd-token"]);
}

#[test]
fn credentials_that_are_not_accepted_are_said_to_be() {
    let sandbox = still();
    let mut access = access(&sandbox, "depd-sandbox-token");
    access.authorization =
        super::super::Authorization::Token(super::super::Secret::new("canary".into()));
    let client = Client::new(&access, ClientOptions::default()).unwrap();
    let error = client.get_workload(Kind::Deployment, &key("web")).unwrap_err();
    assert_eq!(error.class, Class::Unauthorized);
    assert!(error.to_string().contains("renew them in the kubeconfig"), "{error}");
}

#[test]
fn a_change_is_one_request_and_its_answer_is_the_workload_afterwards() {
    let sandbox = still();
    sandbox.apply(deployment("web", "nginx:1.24")).unwrap();
    let client = client(&sandbox);
    let before = client.get_workload(Kind::Deployment, &key("web")).unwrap().unwrap();
    assert!(!before.has_annotations);
    let after = client.patch_images(&patch(&before, "nginx:1.25")).unwrap();
    assert_eq!(&*after.containers[0].image, "nginx:1.25");
    assert_eq!(after.generation, before.generation + 1);
    assert!(after.has_annotations && after.resource_version > before.resource_version);
    let again = client.patch_images(&patch(&after, "nginx:1.26")).unwrap();
    assert_eq!(&*again.containers[0].image, "nginx:1.26");
    let stored = sandbox.get(WEB).unwrap();
    let cause = &stored["metadata"]["annotations"]["kubernetes.io/change-cause"];
    assert_eq!(cause, "depd: nginx:1.26");
    let change = format!("PATCH {WEB}?fieldManager=depd 200");
    assert_eq!(requests(&sandbox), [format!("GET {WEB} 200"), change.clone(), change]);
}

#[test]
fn a_workload_that_is_not_what_was_seen_stays_as_it_is() {
    let sandbox = still();
    sandbox.apply(deployment("web", "nginx:1.24")).unwrap();
    let client = client(&sandbox);
    let seen = client.get_workload(Kind::Deployment, &key("web")).unwrap().unwrap();
    let refused = |change: fn(&mut ImagePatch)| {
        let mut patch = patch(&seen, "nginx:1.25");
        change(&mut patch);
        let error = client.patch_images(&patch).unwrap_err();
        assert_eq!(error.class, Class::TestFailed, "{patch:?}");
        assert_eq!(
            &*client.get_workload(Kind::Deployment, &key("web")).unwrap().unwrap().uid,
            &*seen.uid
        );
        assert_eq!(sandbox.get(WEB).unwrap()["metadata"]["generation"], 1);
    };
    refused(|p| p.uid = "another".into());
    refused(|p| p.targets[0].container = "another".into());
    refused(|p| p.targets[0].index = 7);
    refused(|p| p.targets[0].init = true);
    refused(|p| p.targets[0].expected = "nginx:1.23".into());
    refused(|p| p.has_annotations = true);
}

#[test]
fn what_is_missing_is_none_and_a_patch_of_it_an_error() {
    let sandbox = still();
    sandbox.apply(deployment("web", "nginx:1.24")).unwrap();
    let client = client(&sandbox);
    assert_eq!(client.get_workload(Kind::Deployment, &key("none")).unwrap(), None);
    let nowhere = ServiceKey::new("web", "nowhere").unwrap();
    assert_eq!(client.get_workload(Kind::Deployment, &nowhere).unwrap(), None);
    let seen = client.get_workload(Kind::Deployment, &key("web")).unwrap().unwrap();
    let gone = ImagePatch { key: key("none"), ..patch(&seen, "nginx:1.25") };
    assert_eq!(client.patch_images(&gone).unwrap_err().class, Class::NotFound);
}

#[test]
fn a_namespace_is_missing_then_active_then_terminating() {
    let sandbox = still();
    let client = client(&sandbox);
    let state = || client.namespace_exists("qa").unwrap();
    assert_eq!(state(), NamespaceState::Missing);
    client.create_namespace("qa").unwrap();
    assert_eq!(state(), NamespaceState::Active);
    client.create_namespace("qa").unwrap();
    let terminating = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "qa"},
        "status": {"phase": "Terminating"},
    });
    sandbox.apply(terminating).unwrap();
    assert_eq!(state(), NamespaceState::Terminating);
    let refused = client.create_namespace("A B").unwrap_err();
    assert!(matches!(refused.class, Class::Invalid { .. }), "{refused}");
    assert!(refused.to_string().starts_with("cannot create namespaces A B: "), "{refused}");
}

/// More than two pages of Deployments.
fn many(sandbox: &Sandbox) -> usize {
    let count = 2 * usize::try_from(super::super::request::PAGE).unwrap() + 7;
    for number in 0..count {
        sandbox.apply(deployment(&format!("web-{number:05}"), "nginx:1.24")).unwrap();
    }
    count
}

#[test]
fn a_long_list_comes_in_pages_that_join_without_gap_or_double() {
    let sandbox = still();
    let count = many(&sandbox);
    let client = client(&sandbox);
    for scope in [Scope::Cluster, Scope::Namespace("default".into())] {
        let before = sandbox.requests().len();
        let listed = client.list_workloads(Kind::Deployment, &scope).unwrap();
        let names: Vec<&str> = listed.items.iter().map(|w| w.key.service()).collect();
        let expect: Vec<String> = (0..count).map(|n| format!("web-{n:05}")).collect();
        assert_eq!(names, expect);
        assert!(listed.resource_version.parse::<u64>().unwrap() > 0);
        assert_eq!(sandbox.requests().len() - before, 3);
    }
    let empty =
        client.list_workloads(Kind::Deployment, &Scope::Namespace("kube-system".into())).unwrap();
    assert!(empty.items.is_empty());
}

#[test]
fn a_list_that_expires_between_two_pages_starts_anew() {
    let sandbox = still();
    let count = many(&sandbox);
    let client = client(&sandbox);
    let expired = Response::status(&Status::expired("The provided continue parameter is too old"));
    let left = AtomicU32::new(2);
    let once = expired.clone();
    sandbox.set_faults(move |r: &RequestView<'_>| {
        let due = r.target.contains("continue=")
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        due.then(|| Fault::Respond(once.clone()))
    });
    assert_eq!(
        client.list_workloads(Kind::Deployment, &Scope::Cluster).unwrap().items.len(),
        count
    );
    sandbox.set_faults(move |r: &RequestView<'_>| {
        r.target.contains("continue=").then(|| Fault::Respond(expired.clone()))
    });
    let before = sandbox.requests().len();
    assert_eq!(
        client.list_workloads(Kind::Deployment, &Scope::Cluster).unwrap_err().class,
        Class::Expired
    );
    let attempts = 2 * (1 + LIST_RESTARTS as usize);
    assert_eq!(sandbox.requests().len() - before, attempts, "it gives up at some point");
}

#[test]
fn a_list_that_does_not_get_further_is_given_up() {
    let sandbox = still();
    let client = client(&sandbox);
    let page = json!({"metadata": {"resourceVersion": "7", "continue": "again"}, "items": []});
    answer(&sandbox, "GET", Response::json(200, &page));
    let error = client.list_workloads(Kind::Deployment, &Scope::Cluster).unwrap_err();
    assert!(matches!(error.class, Class::Decode { .. }), "{error:?}");
    assert_eq!(sandbox.requests().len(), 2);
}

#[test]
fn a_server_without_measure_is_given_up_in_words() {
    let check = |expect: &str, requests: usize, page: fn(usize) -> Value| {
        let sandbox = still();
        let client = client(&sandbox);
        let asked = AtomicU32::new(0);
        sandbox.set_faults(move |_: &RequestView<'_>| {
            let nth = asked.fetch_add(1, Ordering::SeqCst) as usize;
            Some(Fault::Respond(Response::json(200, &page(nth))))
        });
        let error = client.list_pods(&Scope::Cluster).unwrap_err();
        assert!(matches!(error.class, Class::Decode { .. }), "{error:?}");
        assert!(error.to_string().contains(expect), "{error}");
        assert_eq!(sandbox.requests().len(), requests, "{expect}");
    };
    check(
        "no name or no uid",
        1,
        |_| json!({"metadata": {"resourceVersion": "7"}, "items": vec![json!({"metadata": {}}); 20_000]}),
    );
    check("more than 5000 items in one answer", 1, |_| {
        let pod = json!({"metadata": {"name": "a", "uid": "b"}});
        json!({"metadata": {"resourceVersion": "7"}, "items": vec![pod; 6_000]})
    });
    check(
        "no end after 1000 pages",
        PAGES_MAX,
        |nth| json!({"metadata": {"resourceVersion": "7", "continue": nth.to_string() + "x"}, "items": []}),
    );
    check("more than 300000 items", 1 + TOTAL_MAX / 5_000, |nth| {
        let pod = json!({"metadata": {"name": "a", "uid": "b"}});
        let next = nth.to_string() + "x";
        json!({"metadata": {"resourceVersion": "7", "continue": next}, "items": vec![pod; 5_000]})
    });
}

#[test]
fn what_is_no_list_is_never_taken_for_an_empty_one() {
    let sandbox = still();
    let client = client(&sandbox);
    let check = |response: Response| {
        answer(&sandbox, "GET", response.clone());
        let error = client.list_workloads(Kind::Deployment, &Scope::Cluster).expect_err("an error");
        assert!(matches!(error.class, Class::Decode { .. }), "{response:?}: {error:?}");
    };
    check(Response::json(200, &json!({})));
    check(Response::json(200, &json!({"items": []})));
    check(Response::json(200, &json!({"kind": "Status", "metadata": {}, "status": "Success"})));
    check(Response::json(200, &json!([])));
    check(Response::json(200, &json!({"metadata": {"resourceVersion": "1"}, "items": [{}]})));
    check(Response::text(200, "<html>welcome</html>"));
    check(Response::text(200, ""));
    check(Response::text(204, ""));
    check(Response::text(200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"meta"));
}

#[test]
fn an_answer_that_cannot_be_a_workload_is_refused() {
    let sandbox = still();
    let client = client(&sandbox);
    let check = |response: Response, words: &str| {
        answer(&sandbox, "GET", response);
        let error = client.get_workload(Kind::Deployment, &key("web")).expect_err(words);
        assert!(matches!(error.class, Class::Decode { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    };
    check(Response::json(200, &json!({"metadata": {"name": ".."}})), "names in it are not valid");
    check(Response::json(200, &json!({"items": []})), "missing field `metadata`");
    check(Response::text(200, &" ".repeat((4 << 20) + 1)), "longer than 4194304 bytes");
}

#[test]
fn the_class_comes_with_status_header_and_body() {
    let sandbox = still();
    let client = client(&sandbox);
    let class = |response: Response| {
        answer(&sandbox, "GET", response);
        client.version().unwrap_err().class
    };
    let busy = Response::text(429, "Too many requests").header("Retry-After", "999999");
    let retry_after = Some(LONGEST_RETRY_AFTER);
    assert_eq!(class(busy), Class::TooManyRequests { retry_after });
    let starting = Response::text(503, "starting").header("Retry-After", "3");
    let retry_after = Some(Duration::from_secs(3));
    let message = "starting".to_owned();
    assert_eq!(class(starting), Class::Unavailable { message, retry_after });
    let denied = class(Response::status(&Status::forbidden(
        DEPLOYMENTS,
        "User \"ann\" cannot list resource \"deployments\" in API group \"apps\" at the cluster scope",
    )));
    let Class::Forbidden(permission) = denied else { panic!("{denied:?}") };
    assert_eq!((&*permission.verb, &*permission.resource), ("list", "apps/deployments"));
}

#[test]
fn a_redirect_is_not_followed_with_credentials() {
    let (sandbox, other) = (still(), still());
    let client = client(&sandbox);
    for code in [301, 302, 307, 308] {
        let location = format!("{}/version", other.url());
        answer(&sandbox, "GET", Response::text(code, "").header("Location", &location));
        let class = client.version().unwrap_err().class;
        assert!(matches!(class, Class::Unexpected { status, .. } if status == code), "{class:?}");
    }
    assert!(other.requests().is_empty());
}

#[test]
fn an_error_that_quotes_the_credentials_loses_them() {
    let sandbox = still();
    let access = access(&sandbox, "depd-sandbox-token");
    let client = Client::new(&access, ClientOptions::default()).unwrap();
    let token = sandbox.token().to_owned();
    for body in [token.clone(), format!("x={token}&y"), format!("Authorization: Bearer {token}")] {
        answer(&sandbox, "GET", Response::text(502, &body));
        let error = client.version().unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&token), "{error:?}");
        assert!(error.to_string().contains("[redacted]"), "{error}");
    }
    // A good answer of the wrong shape, too.
    answer(&sandbox, "GET", Response::json(200, &json!(format!("canary: {token}"))));
    let listed = client.list_pods(&Scope::Cluster).unwrap_err();
    for error in [client.version().unwrap_err(), listed] {
        assert!(!format!("{error} {error:?}").contains(&token), "{error:?}");
        assert!(error.to_string().contains("invalid type: string \"…\""), "{error}");
    }
    let shown = format!("{client:?} {access:?}");
    assert!(!shown.contains(&token), "{shown}");
}

#[test]
fn a_broken_connection_says_whether_the_request_may_have_arrived() {
    let sandbox = still();
    sandbox.apply(deployment("web", "nginx:1.24")).unwrap();
    let client = client(&sandbox);
    let seen = client.get_workload(Kind::Deployment, &key("web")).unwrap().unwrap();
    let sent = |error: ApiError| match error.class {
        Class::Network { sent, .. } => sent,
        other => panic!("{other:?}"),
    };
    let image = || sandbox.get(WEB).unwrap()["spec"]["template"]["spec"]["containers"][0].clone();
    let change = patch(&seen, "nginx:1.25");
    sandbox.set_faults(|r: &RequestView<'_>| (r.method == "PATCH").then_some(Fault::ResetBefore));
    assert_eq!(sent(client.patch_images(&change).unwrap_err()), Sent::Maybe);
    assert_eq!(image()["image"], "nginx:1.24");
    sandbox.set_faults(|r: &RequestView<'_>| (r.method == "PATCH").then_some(Fault::ResetAfter));
    assert_eq!(sent(client.patch_images(&change).unwrap_err()), Sent::Maybe);
    assert_eq!(image()["image"], "nginx:1.25");
    let patches = requests(&sandbox).into_iter().filter(|r| r.starts_with("PATCH"));
    assert_eq!(patches.count(), 1, "nothing is sent twice by itself");
    sandbox.stop();
    let refused = client.patch_images(&change).unwrap_err();
    assert!(refused.to_string().contains("no connection to 127.0.0.1:"), "{refused}");
    assert_eq!(sent(refused), Sent::No);
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_is_not_used() {
    let sandbox = still();
    let client = client(&sandbox);
    client.version().unwrap();
    let port = sandbox.address().port();
    sandbox.stop();
    let _other = Sandbox::start(SandboxOptions { port, ..SandboxOptions::default() }).unwrap();
    // On the dead connection this would be a request that may have arrived; a new one finds that
    // the server is another one.
    let error = client.version().unwrap_err();
    let Class::Network { sent: Sent::No, text } = error.class else { panic!("{error:?}") };
    assert!(text.contains("not signed by the certificate authority"), "{text}");
}

#[test]
fn a_request_ends_at_its_time_limit() {
    let sandbox = still();
    let options =
        ClientOptions { request_limit: Duration::from_millis(200), ..ClientOptions::default() };
    let client = client_with(&sandbox, options);
    client.version().unwrap();
    sandbox.set_faults(|_: &RequestView<'_>| Some(Fault::Delay(3 * LIMIT)));
    let error = client.version().unwrap_err();
    let Class::Network { text, sent: Sent::Maybe } = &error.class else { panic!("{error:?}") };
    assert!(text.contains("no answer in time"), "{text}");
}

#[test]
fn the_hash_is_that_of_the_replica_set_for_the_newest_template() {
    let quick = SandboxOptions {
        pod_start: Duration::from_millis(10),
        pod_stop: Duration::from_millis(10),
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::start(quick).unwrap();
    let client = client(&sandbox);
    sandbox.apply(deployment("web", "nginx:1.24")).unwrap();
    let rolled = |generation: i64| {
        let ready = |d: &Value| {
            d["status"]["observedGeneration"] == generation
                && d["status"]["availableReplicas"] == 1
                && d["status"]["updatedReplicas"] == 1
                && d["status"]["replicas"] == 1
        };
        assert!(sandbox.wait_for(WEB, LIMIT, ready), "{:#?}", sandbox.get(WEB));
        let seen = client.get_workload(Kind::Deployment, &key("web")).unwrap().unwrap();
        let hash = client.new_replica_set_hash(&seen).unwrap().unwrap();
        let pods = client.list_pods(&Scope::Namespace("default".into())).unwrap().items;
        let of_hash = |p: &&Pod| p.revision(Kind::Deployment) == Some(&*hash) && !p.deleting;
        let images: Vec<_> =
            pods.iter().filter(of_hash).map(|p| p.containers[0].image.to_string()).collect();
        (seen, hash, images)
    };
    let (first, old_hash, images) = rolled(1);
    assert_eq!(images, ["nginx:1.24"]);
    client.patch_images(&patch(&first, "nginx:1.25")).unwrap();
    let (_, new_hash, images) = rolled(2);
    assert_eq!(images, ["nginx:1.25"]);
    assert_ne!(old_hash, new_hash);
    let stranger = Workload { uid: "another".into(), ..first };
    assert_eq!(client.new_replica_set_hash(&stranger).unwrap(), None);
}

#[test]
fn of_a_log_only_the_end_is_kept() {
    let sandbox = still();
    let client = client(&sandbox);
    let tail = |response: Response| {
        answer(&sandbox, "GET", response);
        client.log_tail("default", "web-1", "web", true, 20)
    };
    assert_eq!(tail(Response::text(200, "one\ntwo\n")).unwrap(), "one\ntwo\n");
    assert_eq!(tail(Response::text(200, "")).unwrap(), "");
    let long = format!("{}the end", "x".repeat(3 << 20));
    let kept = tail(Response::text(200, &long)).unwrap();
    // The server was asked for less than it sent; what is read of it is bounded all the same.
    assert_eq!(kept.len(), LOG_KEPT_BYTES);
    let binary = Response::bytes(200, "text/plain", b"caf\xe9 \xff".to_vec());
    assert_eq!(tail(binary).unwrap(), "caf\u{fffd} \u{fffd}");
    let none =
        Status::bad_request("previous terminated container \"web\" in pod \"web-1\" not found");
    let error = tail(Response::status(&none)).unwrap_err();
    assert!(matches!(error.class, Class::Unexpected { status: 400, .. }), "{error:?}");
    let last = requests(&sandbox).pop().unwrap();
    assert!(last.contains("tailLines=20") && last.contains("previous=true"), "{last}");
}

#[test]
fn the_end_of_a_stream_is_kept_to_the_byte() {
    let check = |text: &str, kept: usize, expect: &str| {
        assert_eq!(end_of(text.as_bytes(), kept).unwrap(), expect.as_bytes());
    };
    check("", 3, "");
    check("ab", 3, "ab");
    check("abc", 3, "abc");
    check("abcdefgh", 3, "fgh");
    check(&"0123456789".repeat(5_000), 7, "3456789");
}

#[test]
fn shutdown_wakes_a_request_that_waits_and_refuses_further_ones() {
    let sandbox = still();
    let client = client(&sandbox);
    let (arrived, arrival) = mpsc::channel();
    sandbox.set_faults(move |_: &RequestView<'_>| {
        let _ = arrived.send(());
        Some(Fault::Delay(3 * LIMIT))
    });
    let (done, outcome) = mpsc::channel();
    let waiting = client.clone();
    std::thread::spawn(move || done.send(waiting.version()));
    arrival.recv_timeout(LIMIT).expect("the request arrives");
    client.shutdown();
    let error = outcome.recv_timeout(LIMIT).expect("the request is woken").unwrap_err();
    assert!(matches!(error.class, Class::Network { sent: Sent::Maybe, .. }), "{error:?}");
    let error = client.version().unwrap_err();
    assert!(matches!(error.class, Class::Network { sent: Sent::No, .. }), "{error:?}");
}

#[test]
fn many_threads_share_the_connections() {
    let sandbox = still();
    sandbox.apply(deployment("web", "nginx:1.24")).unwrap();
    let client = client(&sandbox);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert!(client.get_workload(Kind::Deployment, &key("web")).unwrap().is_some());
                }
            });
        }
    });
    assert_eq!(sandbox.requests().len(), 160);
}

#[test]
fn a_request_waits_for_a_place_until_an_answer_before_it_was_read() {
    let sandbox = still();
    let request_limit = Duration::from_millis(200);
    let options = ClientOptions { idle_connections: 1, request_limit, ..ClientOptions::default() };
    let client = Client::new(&access(&sandbox, "depd-sandbox"), options).unwrap();
    let unread = client.requests.send(&Request::version()).unwrap();
    let error = client.version().unwrap_err();
    let Class::Network { text, sent: Sent::No } = &error.class else { panic!("{error:?}") };
    assert!(text.contains("other requests came first"), "{text}");
    assert_eq!(sandbox.requests().len(), 1, "it was not sent");
    drop(unread);
    client.version().unwrap();
}
