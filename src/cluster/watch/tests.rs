//! The list-watch loop against the embedded sandbox, which is made to misbehave.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

use serde_json::{Value, json};

use super::super::access::Access;
use super::super::connector::ApiConnector;
use super::super::kubeconfig;
use super::super::redact::Redaction;
use super::super::response::PodObject;
use super::super::session::ClientOptions;
use super::super::tls::Tls;
use super::*;
use crate::model::{Kind, Workload};
use crate::net::CachingResolver;
use crate::sandbox::{About, Fault, RequestView, Response, Sandbox, SandboxOptions, Status};

/// How long a test waits for what must happen.
const LIMIT: Duration = Duration::from_secs(20);

fn sandbox_with(options: SandboxOptions) -> Sandbox {
    Sandbox::start(SandboxOptions { controllers: false, ..options }).unwrap()
}

fn sandbox() -> Sandbox {
    sandbox_with(SandboxOptions::default())
}

fn access(sandbox: &Sandbox) -> Access {
    let file = Path::new("sandbox");
    let config = kubeconfig::parse(file, &sandbox.kubeconfig()).unwrap();
    let merged = kubeconfig::merge(vec![(file.to_owned(), config)]).unwrap();
    kubeconfig::pick(&merged, None).unwrap()
}

fn client_with(sandbox: &Sandbox, options: ClientOptions) -> Client {
    Client::new(&access(sandbox), options).unwrap()
}

fn client(sandbox: &Sandbox) -> Client {
    client_with(sandbox, ClientOptions::default())
}

fn put(sandbox: &Sandbox, name: &str, image: &str) {
    put_into(sandbox, "default", name, image);
}

fn put_into(sandbox: &Sandbox, namespace: &str, name: &str, image: &str) {
    let object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": name, "image": image}]},
            },
        },
    });
    sandbox.apply(object).unwrap();
}

/// A reflector, and what it told so far.
struct Story {
    reflector: Reflector,
    events: Receiver<WatchEvent<Workload>>,
}

fn follow(client: &Client) -> Story {
    let (tell, events) = mpsc::channel();
    let sink = move |event| drop(tell.send(event));
    let reflector = spawn_reflector::<Workload>(
        client,
        Kind::Deployment,
        Scope::Cluster,
        ListWatch::new(),
        sink,
    )
    .unwrap();
    Story { reflector, events }
}

/// A workload in a few letters: `web nginx:1.25`.
fn short(workload: &Workload) -> String {
    format!("{} {}", workload.key.service(), workload.containers[0].image)
}

impl Story {
    fn next(&self) -> WatchEvent<Workload> {
        self.events.recv_timeout(LIMIT).expect("something is told")
    }

    /// The next event in words.
    fn told(&self) -> String {
        match self.next() {
            WatchEvent::Restarted { items, .. } => {
                let items: Vec<String> = items.iter().map(short).collect();
                format!("restarted with [{}]", items.join(", "))
            }
            WatchEvent::Synced => "synced".into(),
            WatchEvent::Applied(item) => format!("applied {}", short(&item)),
            WatchEvent::Deleted(item) => format!("deleted {}", short(&item)),
            WatchEvent::Disconnected { why, .. } => format!("disconnected: {why}"),
            WatchEvent::Forbidden { error, .. } => format!("forbidden: {error}"),
        }
    }

    #[track_caller]
    fn expect(&self, events: &[&str]) {
        for expect in events {
            assert_eq!(self.told(), *expect);
        }
    }

    /// The next event is a disconnection for this reason.
    #[track_caller]
    fn expect_disconnected(&self, why: &str) {
        let told = self.told();
        assert!(told.starts_with("disconnected: cannot watch deployments: "), "{told}");
        assert!(told.contains(why), "{told}");
    }

    /// The sink is dropped with the thread; nothing more is told before.
    #[track_caller]
    fn expect_end(&self) {
        assert_eq!(self.events.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
    }
}

/// How kube-apiserver refuses parameters that it does not take.
fn refusal() -> Fault {
    let why = "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature \
               gate is enabled";
    let cause =
        json!({"reason": "FieldValueForbidden", "message": why, "field": "sendInitialEvents"});
    let details = json!({"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]});
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: {why}"),
        "reason": "Invalid", "details": details, "code": 422,
    });
    Fault::Respond(Response::json(422, &body))
}

fn is_streamed_list(request: &RequestView<'_>) -> bool {
    request.target.contains("sendInitialEvents=true")
}

/// Makes the next `times` watches go wrong, and no other request, on a server that streams no lists.
fn spoil_watches(sandbox: &Sandbox, times: u32, fault: Fault) {
    let left = AtomicU32::new(times);
    sandbox.set_faults(move |r: &RequestView<'_>| {
        if is_streamed_list(r) {
            return Some(refusal());
        }
        let due = r.watch
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        due.then(|| fault.clone())
    });
}

/// Makes the next `times` streams that should begin with a list go wrong.
fn spoil_streamed_lists(sandbox: &Sandbox, times: u32, fault: Fault) {
    let left = AtomicU32::new(times);
    sandbox.set_faults(move |r: &RequestView<'_>| {
        let due = is_streamed_list(r)
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        due.then(|| fault.clone())
    });
}

/// The client deletes nothing, ever; somebody else does it here.
fn delete(sandbox: &Sandbox, name: &str) {
    let access = access(sandbox);
    let connector = ApiConnector::new(Tls::load(&access, None).unwrap(), None);
    let config = ureq::Agent::config_builder().proxy(None).build();
    let agent = ureq::Agent::with_parts(config, connector, CachingResolver::shared());
    let path = format!("/apis/apps/v1/namespaces/default/deployments/{name}");
    assert_eq!(agent.delete(format!("{}{path}", sandbox.url())).call().unwrap().status(), 200);
}

/// How often the sandbox gave a list, in either way.
fn lists(sandbox: &Sandbox) -> usize {
    let given = sandbox.requests().into_iter().filter(|r| r.status == 200);
    given.filter(|r| r.uri.contains("limit=500") || r.uri.contains("sendInitialEvents")).count()
}

/// How often it was asked for a page, and for a stream that begins with a list.
fn asked(sandbox: &Sandbox) -> (usize, usize) {
    let requests = sandbox.requests();
    let count = |part: &str| requests.iter().filter(|r| r.uri.contains(part)).count();
    (count("limit=500"), count("sendInitialEvents"))
}

/// The newest version of its Deployments.
fn newest(sandbox: &Sandbox) -> String {
    let list = client(sandbox).list_workloads(Kind::Deployment, &Scope::Cluster).unwrap();
    list.resource_version.into()
}

/// A line of a stream.
fn line(kind: &str, object: &Value) -> Fault {
    Fault::WatchBytes(format!("{}\n", json!({"type": kind, "object": object})).into_bytes())
}

#[test]
fn everything_is_told_and_then_every_change() {
    let sandbox = sandbox();
    put(&sandbox, "a", "nginx:1");
    put(&sandbox, "b", "nginx:1");
    let client = client(&sandbox);
    let story = follow(&client);
    story.expect(&["restarted with [a nginx:1, b nginx:1]", "synced"]);
    put(&sandbox, "b", "nginx:2");
    put(&sandbox, "c", "nginx:1");
    delete(&sandbox, "a");
    story.expect(&["applied b nginx:2", "applied c nginx:1", "deleted a nginx:1"]);
    assert!(story.reflector.is_running());
    assert_eq!(asked(&sandbox), (0, 1), "list and watch are one request");
    assert!(!sandbox.requests().iter().any(|r| r.uri.contains("&resourceVersion=")));
}

#[test]
fn a_server_that_streams_no_lists_is_asked_for_pages_from_then_on_which_is_no_news() {
    let answer = |code| {
        let body = json!({"kind": "Status", "code": code, "message": "no", "reason": ""});
        Fault::Respond(Response::json(code, &body))
    };
    let object = json!({"metadata": {"name": "x", "namespace": "y", "resourceVersion": "9"}});
    let cases = [
        refusal(),
        answer(400),
        answer(404),
        answer(500),
        // The parameters are passed over.
        line("BOOKMARK", &json!({"metadata": {"resourceVersion": "9"}})),
        // Something in between cuts or spoils it.
        line("ADDED", &object),
        Fault::WatchBytes(Vec::new()),
        Fault::WatchBytes(b"<html>\n".to_vec()),
        line("ERROR", &Status::expired("too old").body()),
    ];
    for fault in cases {
        let sandbox = sandbox();
        put(&sandbox, "a", "nginx:1");
        spoil_streamed_lists(&sandbox, 1, fault.clone());
        let story = follow(&client(&sandbox));
        story.expect(&["restarted with [a nginx:1]", "synced"]);
        put(&sandbox, "a", "nginx:2");
        story.expect(&["applied a nginx:2"]);
        assert_eq!(asked(&sandbox), (1, 1), "{fault:?}");
    }
}

#[test]
fn passing_trouble_says_nothing_about_streamed_lists() {
    let busy = json!({"kind": "Status", "code": 429, "message": "slow down"});
    let cases = [
        Fault::ResetBefore,
        Fault::Respond(Response::text(503, "no healthy upstream")),
        Fault::Respond(Response::json(429, &busy)),
        line("ERROR", &busy),
    ];
    for fault in cases {
        let sandbox = sandbox();
        put(&sandbox, "a", "nginx:1");
        spoil_streamed_lists(&sandbox, 2, fault.clone());
        let story = follow(&client(&sandbox));
        for _ in 0..2 {
            let told = story.told();
            assert!(told.starts_with("disconnected: cannot list deployments: "), "{told}");
        }
        story.expect(&["restarted with [a nginx:1]", "synced"]);
        assert_eq!(asked(&sandbox).0, 0, "no page after {fault:?}");
    }
}

#[test]
fn after_a_streamed_list_was_cut_the_watch_goes_on_or_everything_is_streamed_again() {
    let sandbox = sandbox_with(SandboxOptions { history: 3, ..SandboxOptions::default() });
    put(&sandbox, "a", "nginx:1");
    put(&sandbox, "b", "nginx:1");
    let version = newest(&sandbox);
    let end = json!({"metadata": {
        "resourceVersion": version,
        "annotations": {"k8s.io/initial-events-end": "true"},
    }});
    let first = AtomicU32::new(1);
    let down = Arc::new(AtomicU32::new(1));
    let still = Arc::clone(&down);
    sandbox.set_faults(move |r: &RequestView<'_>| {
        if r.method != "GET" {
            return None;
        }
        if first.swap(0, Ordering::SeqCst) == 1 {
            return Some(line("BOOKMARK", &end));
        }
        (still.load(Ordering::SeqCst) == 1).then_some(Fault::ResetBefore)
    });
    let story = follow(&client(&sandbox));
    story.expect(&["restarted with []", "synced"]);
    story.expect_disconnected("");
    delete(&sandbox, "a");
    for number in 0..9 {
        put(&sandbox, "b", &format!("nginx:{number}"));
    }
    down.store(0, Ordering::SeqCst);
    let mut told = story.told();
    while told == "synced" || told.starts_with("disconnected") {
        told = story.told();
    }
    assert_eq!(told, "restarted with [b nginx:8]");
    assert_eq!(asked(&sandbox), (1, 2), "the page is the test's own");
}

#[test]
fn the_list_says_of_which_moment_it_is() {
    let sandbox = sandbox();
    put(&sandbox, "a", "nginx:1");
    let story = follow(&client(&sandbox));
    let WatchEvent::Restarted { items, resource_version } = story.next() else { panic!("no list") };
    assert!(resource_version >= items[0].resource_version && resource_version > 0);
}

#[test]
fn one_namespace_can_be_watched_alone() {
    let sandbox = sandbox();
    let qa = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "qa"}});
    sandbox.apply(qa).unwrap();
    put(&sandbox, "a", "nginx:1");
    put_into(&sandbox, "qa", "b", "nginx:1");
    let (tell, events) = mpsc::channel();
    let scope = Scope::Namespace("qa".into());
    let sink = move |event| drop(tell.send(event));
    let reflector = spawn_reflector::<Workload>(
        &client(&sandbox),
        Kind::Deployment,
        scope,
        ListWatch::new(),
        sink,
    )
    .unwrap();
    let story = Story { reflector, events };
    story.expect(&["restarted with [b nginx:1]", "synced"]);
    put(&sandbox, "a", "nginx:2");
    put_into(&sandbox, "qa", "b", "nginx:2");
    story.expect(&["applied b nginx:2"]);
}

#[test]
fn after_a_cut_nothing_is_missed_and_nothing_invented() {
    for cut in [&b""[..], b"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"na"] {
        let sandbox = sandbox();
        put(&sandbox, "a", "nginx:1");
        put(&sandbox, "b", "nginx:1");
        spoil_watches(&sandbox, u32::MAX, Fault::WatchBytes(cut.to_vec()));
        let story = follow(&client(&sandbox));
        story.expect(&["restarted with [a nginx:1, b nginx:1]", "synced"]);
        story.expect_disconnected("");
        put(&sandbox, "a", "nginx:2");
        put(&sandbox, "c", "nginx:1");
        put(&sandbox, "c", "nginx:2");
        delete(&sandbox, "b");
        sandbox.clear_faults();
        let mut told = Vec::new();
        while told.len() < 4 {
            let next = story.told();
            if next != "synced" && !next.starts_with("disconnected") {
                told.push(next);
            }
        }
        let expect =
            ["applied a nginx:2", "applied c nginx:1", "applied c nginx:2", "deleted b nginx:1"];
        assert_eq!(told, expect);
        assert_eq!(lists(&sandbox), 1, "the history was there: no second list");
    }
}

#[test]
fn what_vanished_beyond_the_history_is_missing_in_the_next_list() {
    let sandbox = sandbox_with(SandboxOptions { history: 3, ..SandboxOptions::default() });
    put(&sandbox, "a", "nginx:1");
    put(&sandbox, "b", "nginx:1");
    let client = client(&sandbox);
    spoil_watches(&sandbox, u32::MAX, Fault::WatchBytes(Vec::new()));
    let story = follow(&client);
    story.expect(&["restarted with [a nginx:1, b nginx:1]", "synced"]);
    story.expect_disconnected("");
    delete(&sandbox, "a");
    for number in 0..9 {
        put(&sandbox, "b", &format!("nginx:{number}"));
    }
    sandbox.clear_faults();
    let mut told = story.told();
    while told == "synced" || told.starts_with("disconnected") {
        told = story.told();
    }
    assert_eq!(told, "restarted with [b nginx:8]");
    story.expect(&["synced"]);
    put(&sandbox, "b", "nginx:9");
    story.expect(&["applied b nginx:9"]);
}

#[test]
fn expired_history_as_an_answer_or_in_the_stream_is_no_news_but_a_list() {
    let expired = Status::expired("too old resource version: 1 (29304)");
    let answer = Fault::Respond(Response::status(&expired));
    for fault in [answer, line("ERROR", &expired.body())] {
        let sandbox = sandbox();
        put(&sandbox, "a", "nginx:1");
        spoil_watches(&sandbox, 1, fault);
        let story = follow(&client(&sandbox));
        let mut told = vec![story.told(), story.told(), story.told()];
        // Only the stream was open before it said so.
        told.retain(|t| t != "synced");
        assert_eq!(told, ["restarted with [a nginx:1]", "restarted with [a nginx:1]"]);
    }
}

#[test]
fn a_silent_stream_is_left_at_the_idle_limit_and_everything_listed_anew() {
    let sandbox = sandbox();
    put(&sandbox, "a", "nginx:1");
    spoil_watches(&sandbox, 1, Fault::HangWatch);
    let watch_idle_limit = Duration::from_millis(200);
    let options = ClientOptions { watch_idle_limit, ..ClientOptions::default() };
    let story = follow(&client_with(&sandbox, options));
    story.expect(&["restarted with [a nginx:1]", "synced"]);
    story.expect_disconnected("nothing came for too long, not even a bookmark");
    story.expect(&["restarted with [a nginx:1]", "synced"]);
}

#[test]
fn bookmarks_keep_a_quiet_stream_open() {
    let sandbox = sandbox_with(SandboxOptions {
        bookmark_interval: Duration::from_millis(20),
        ..SandboxOptions::default()
    });
    let options =
        ClientOptions { watch_idle_limit: Duration::from_secs(1), ..ClientOptions::default() };
    let story = follow(&client_with(&sandbox, options));
    story.expect(&["restarted with []", "synced"]);
    let quiet = Duration::from_millis(2_500);
    assert_eq!(story.events.recv_timeout(quiet), Err(RecvTimeoutError::Timeout));
}

/// A watch that shows version 77777 and breaks.
fn far_ahead() -> Fault {
    line("BOOKMARK", &json!({"metadata": {"resourceVersion": "77777"}}))
}

#[test]
fn a_bookmark_moves_the_place_to_go_on_from() {
    let sandbox = sandbox();
    let newest = json!({"kind": "DeploymentList", "metadata": {"resourceVersion": "77777"}});
    let left = AtomicU32::new(1);
    sandbox.set_faults(move |r: &RequestView<'_>| {
        if r.target.ends_with("limit=1") {
            return Some(Fault::Respond(Response::json(200, &newest)));
        }
        if is_streamed_list(r) {
            return Some(refusal());
        }
        (r.watch && left.swap(0, Ordering::SeqCst) == 1).then(far_ahead)
    });
    let story = follow(&client(&sandbox));
    story.expect(&["restarted with []", "synced"]);
    story.expect_disconnected("");
    story.expect(&["synced"]);
    let asked = sandbox.requests().pop().unwrap().uri;
    assert!(asked.contains("watch=true") && asked.contains("resourceVersion=77777"), "{asked}");
}

#[test]
fn a_server_restored_from_a_backup_is_noticed_before_it_is_watched() {
    let sandbox = sandbox();
    put(&sandbox, "a", "nginx:1");
    spoil_watches(&sandbox, 1, far_ahead());
    let story = follow(&client(&sandbox));
    story.expect(&["restarted with [a nginx:1]", "synced"]);
    story.expect_disconnected("");
    let told = story.told();
    let why = "disconnected: cannot list deployments: the API server went back to an older state";
    assert_eq!(told, why);
    story.expect(&["restarted with [a nginx:1]", "synced"]);
    let asked = sandbox.requests();
    assert!(!asked.iter().any(|r| r.uri.contains("resourceVersion=77777")), "{asked:?}");
    put(&sandbox, "a", "nginx:2");
    story.expect(&["applied a nginx:2"]);
}

#[test]
fn an_error_inside_of_a_stream_loses_the_credentials_that_it_quotes() {
    let line = json!({"type": "ERROR", "object": {"kind": "Status", "code": 500,
        "message": "canary-token is bad"}});
    let text = format!("{line}\n");
    let redaction = Redaction::of_header(Some("Bearer canary-token"));
    let event = next::<PodObject>(&mut Lines::new(text.as_bytes(), redaction)).unwrap();
    let Event::Error(status) = event else { panic!("{event:?}") };
    assert_eq!(status.message, "[redacted] is bad");
}

#[test]
fn what_is_no_event_is_said_and_after_the_second_time_everything_listed_anew() {
    let version = |version: &str| json!({"metadata": {"name": "a", "resourceVersion": version}});
    let mut wrong_type = version("9");
    wrong_type["spec"] = json!({"replicas": "three"});
    let cases = [
        (Fault::WatchBytes(b"<html>\n".to_vec()), "expected value"),
        (Fault::WatchBytes(b"{\"type\":\"ADDED\"}\n".to_vec()), "missing field `object`"),
        (Fault::WatchBytes(vec![b'x'; 5 << 20]), "longer than any object can be"),
        (line("SURPRISE", &version("9")), "unknown variant"),
        (line("ADDED", &wrong_type), "invalid type"),
        (line("ADDED", &json!({"metadata": {"name": "a"}})), "no resource version"),
        (line("BOOKMARK", &json!({})), "no resource version"),
    ];
    for (fault, why) in cases {
        let sandbox = sandbox();
        put(&sandbox, "a", "nginx:1");
        spoil_watches(&sandbox, 2, fault);
        let story = follow(&client(&sandbox));
        story.expect(&["restarted with [a nginx:1]", "synced"]);
        story.expect_disconnected(why);
        story.expect(&["synced"]);
        story.expect_disconnected(why);
        story.expect(&["restarted with [a nginx:1]", "synced"]);
    }
}

#[test]
fn a_server_that_shows_an_older_version_is_listed_anew() {
    let sandbox = sandbox();
    put(&sandbox, "a", "nginx:1");
    spoil_watches(&sandbox, 1, line("BOOKMARK", &json!({"metadata": {"resourceVersion": "1"}})));
    let story = follow(&client(&sandbox));
    story.expect(&["restarted with [a nginx:1]", "synced"]);
    story.expect_disconnected("went back to an older state");
    story.expect(&["restarted with [a nginx:1]", "synced"]);
}

#[test]
fn a_missing_permission_is_told_apart_and_waited_out() {
    let sandbox = sandbox();
    let about = About { group: "apps", resource: "deployments", name: "" };
    let why = "User \"ann\" cannot list resource \"deployments\" in API group \"apps\" at the \
               cluster scope";
    let denied = Response::status(&Status::forbidden(about, why));
    sandbox.set_faults(move |_: &RequestView<'_>| Some(Fault::Respond(denied.clone())));
    let story = follow(&client(&sandbox));
    let WatchEvent::Disconnected { .. } = story.next() else { panic!("believed at once") };
    let WatchEvent::Forbidden { error, retry_in } = story.next() else { panic!("not told") };
    let words = "cannot list deployments: the role lacks verb list on apps/deployments for ann";
    assert_eq!(error.to_string(), words);
    assert!(retry_in >= Duration::from_millis(500), "{retry_in:?}");
    // It waits now, and is woken from that as well.
    story.reflector.stop();
    story.expect_end();
}

#[test]
fn a_server_that_is_away_is_said_until_it_is_back() {
    let sandbox = sandbox();
    sandbox.set_faults(|_: &RequestView<'_>| Some(Fault::ResetBefore));
    let story = follow(&client(&sandbox));
    let told = story.told();
    assert!(told.starts_with("disconnected: cannot list deployments: "), "{told}");
    sandbox.clear_faults();
    let mut told = story.told();
    while told.starts_with("disconnected") {
        told = story.told();
    }
    assert_eq!(told, "restarted with []");
}

#[test]
fn stop_ends_a_blocked_read_at_once() {
    let sandbox = sandbox();
    let story = follow(&client(&sandbox));
    story.expect(&["restarted with []", "synced"]);
    let Story { reflector, events } = story;
    let (done, joined) = mpsc::channel();
    std::thread::spawn(move || {
        reflector.join();
        let _ = done.send(());
    });
    joined.recv_timeout(LIMIT).expect("the thread ends");
    put(&sandbox, "a", "nginx:1");
    assert_eq!(events.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn dropping_a_reflector_stops_it() {
    let sandbox = sandbox();
    let Story { reflector, events } = follow(&client(&sandbox));
    events.recv_timeout(LIMIT).expect("the list");
    drop(reflector);
    while events.recv_timeout(LIMIT).is_ok() {}
    assert_eq!(events.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn shutdown_of_the_client_ends_all_its_watches_and_lets_no_new_one_begin() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let stories = [follow(&client), follow(&client.clone())];
    for story in &stories {
        story.expect(&["restarted with []", "synced"]);
    }
    client.shutdown();
    for story in &stories {
        story.expect_end();
    }
    let late = follow(&client);
    late.expect_end();
    assert_eq!(lists(&sandbox), 2);
}

#[test]
fn one_watch_ends_without_the_others() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let (one, other) = (follow(&client), follow(&client));
    for story in [&one, &other] {
        story.expect(&["restarted with []", "synced"]);
    }
    one.reflector.stop();
    one.expect_end();
    put(&sandbox, "a", "nginx:1");
    other.expect(&["applied a nginx:1"]);
    assert!(client.version().is_ok());
}

#[test]
fn through_many_cuts_the_view_stays_that_of_the_cluster() {
    let sandbox = sandbox_with(SandboxOptions { history: 40, ..SandboxOptions::default() });
    let client = client(&sandbox);
    let turn = AtomicU32::new(0);
    // Two watches of three go wrong, each in another way.
    sandbox.set_faults(move |r: &RequestView<'_>| {
        let turn = r.watch.then(|| turn.fetch_add(1, Ordering::SeqCst))?;
        match turn % 6 {
            0 => Some(Fault::WatchBytes(Vec::new())),
            1 => Some(Fault::ResetBefore),
            3 => Some(Fault::WatchBytes(b"{\"type\":".to_vec())),
            4 => Some(Fault::Respond(Response::status(&Status::expired("too old")))),
            _ => None,
        }
    });
    let story = follow(&client);
    for number in 0..200 {
        put(&sandbox, &format!("web-{}", number % 7), &format!("nginx:{number}"));
        if number % 11 == 10 {
            delete(&sandbox, &format!("web-{}", number % 7));
        }
    }
    put(&sandbox, "end", "nginx:1");
    let mut view = BTreeMap::new();
    while !view.contains_key("end") {
        match story.next() {
            WatchEvent::Restarted { items, .. } => {
                view = items.iter().map(|w| (w.key.service().to_owned(), short(w))).collect();
            }
            WatchEvent::Applied(item) => {
                view.insert(item.key.service().to_owned(), short(&item));
            }
            WatchEvent::Deleted(item) => drop(view.remove(item.key.service())),
            _ => {}
        }
    }
    let listed = client.list_workloads(Kind::Deployment, &Scope::Cluster).unwrap().items;
    let expect: Vec<String> = listed.iter().map(short).collect();
    assert_eq!(view.into_values().collect::<Vec<_>>(), expect);
}

#[test]
fn nothing_secret_is_in_debug_output() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let story = follow(&client);
    let shown = format!("{:?} {client:?}", story.reflector);
    for line in sandbox.identity().key_pem.lines().filter(|l| !l.starts_with('-')) {
        assert!(!shown.contains(line), "{shown}");
    }
}
