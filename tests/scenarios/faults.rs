//! An API server that misbehaves: what was asked for happens all the same, once.
//!
//! The faults are made by the sandbox itself, and by a relay before a real control plane; the comments
//! name the rows of `tests/FAULTS.md`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use depd::sandbox::{Fault, RequestView, Response};
use serde_json::json;

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

/// How often a fault struck.
type Hits = Arc<AtomicUsize>;

/// When requests came.
type Arrivals = Arc<Mutex<Vec<Instant>>>;

/// Lets the first PATCHes of a Deployment by depd go wrong, one for each fault.
fn break_patches(cluster: &Cluster, faults: Vec<Fault>) -> Arrivals {
    let arrivals = Arrivals::default();
    let noted = Arc::clone(&arrivals);
    cluster.set_faults(move |request| {
        if request.user != "depd" || request.method != "PATCH" {
            return None;
        }
        let mut noted = noted.lock().expect("nobody panics with it");
        noted.push(Instant::now());
        faults.get(noted.len() - 1).cloned()
    });
    arrivals
}

fn is_watch_of_deployments(request: &RequestView<'_>) -> bool {
    request.watch && request.target.contains("/deployments?")
}

/// Every watch of Deployments ends like one of these, in turn, until the faults are cleared.
fn break_watches(cluster: &Cluster, ends: Vec<Fault>) -> Hits {
    let hits = Hits::default();
    let counted = Arc::clone(&hits);
    cluster.set_faults(move |request| {
        is_watch_of_deployments(request).then(|| {
            let turn = counted.fetch_add(1, Ordering::SeqCst);
            ends[turn % ends.len()].clone()
        })
    });
    hits
}

fn status(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": reason, "message": message, "code": code
    });
    Response::json(code, &body)
}

/// How many of depd's PATCHes of `name` were answered, whatever the answer was.
fn patches(cluster: &Cluster, namespace: &str, name: &str) -> usize {
    let patch = format!("patch deployments/{name}");
    cluster.requests_of_depd(namespace).into_iter().filter(|request| *request == patch).count()
}

/// Changes of the spec so far, the creation included.
fn generation(cluster: &Cluster, namespace: &str, name: &str) -> i64 {
    let deployment = cluster.get_deployment(namespace, name).expect("it is there");
    deployment["metadata"]["generation"].as_i64().expect("a number")
}

/// Deploys `web` through these faults of its PATCH: one rollout, one message. Returns the time before
/// each next PATCH.
#[track_caller]
fn is_deployed_through(faults: Vec<Fault>) -> Vec<Duration> {
    let cluster = Cluster::start_for_faults();
    let namespace = cluster.namespace();
    for name in ["web", "after"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    let count = faults.len();
    let arrivals = break_patches(&cluster, faults);
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: web");
    let arrivals = arrivals.lock().expect("nobody panics with it").clone();
    assert!(arrivals.len() > count, "every fault struck");
    assert_eq!(generation(&cluster, &namespace, "web"), 2, "one rollout only");
    // A second message, if there were one, would come before that of a later service.
    depd.save("after", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: after");
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
    arrivals.windows(2).map(|pair| pair[1].duration_since(pair[0])).collect()
}

#[test]
fn a_connection_reset_before_the_patch_arrived_is_tried_again() {
    // Row 15.
    is_deployed_through(vec![Fault::ResetBefore, Fault::ResetBefore]);
}

#[test]
fn a_connection_reset_after_the_patch_was_applied_makes_no_second_rollout() {
    // Row 16.
    is_deployed_through(vec![Fault::ResetAfter]);
}

#[test]
fn an_overloaded_or_unready_server_is_asked_again_when_it_says() {
    // Row 17.
    let later = |code, reason| Fault::Respond(status(code, reason, "").header("Retry-After", "3"));
    let refusals = vec![later(429, "TooManyRequests"), later(503, "ServiceUnavailable")];
    let gaps = is_deployed_through(refusals);
    // A slow machine makes them longer, and nothing but disobedience makes them shorter.
    let asked = Duration::from_secs(3);
    assert!(gaps[..2].iter().all(|gap| *gap >= asked), "too early: {gaps:?}");
}

#[test]
fn without_a_retry_after_the_own_back_off_serves() {
    // Row 18: as an API server says it, and as a proxy before it does.
    is_deployed_through(vec![
        Fault::Respond(status(429, "TooManyRequests", "")),
        Fault::Respond(Response::text(503, "no healthy upstream")),
        Fault::Respond(Response::text(429, "slow down")),
    ]);
}

/// A rollout whose whole course is hidden by broken watches is known to its end all the same.
#[track_caller]
fn nothing_is_missed_through(ends: Vec<Fault>) {
    let cluster = Cluster::start_for_faults();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let rounds = ends.len();
    let hits = break_watches(&cluster, ends);
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    wait_for("the PATCH", || (patches(&cluster, &namespace, "web") == 1).then_some(()));
    cluster.wait_until_available(&namespace, "web");
    wait_for("every fault", || (hits.load(Ordering::SeqCst) >= rounds).then_some(()));
    cluster.clear_faults();
    depd.slack.wait_for("Deployed: web");
    cluster.set_image(&namespace, "web", "nginx:1.20");
    depd.slack.wait_for("Changed in the cluster: web");
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
    assert_eq!(patches(&cluster, &namespace, "web"), 1);
}

#[test]
fn a_history_that_is_gone_is_listed_again() {
    // Row 19, inside the stream and as the answer.
    let gone = status(410, "Expired", "too old resource version: 1 (2)");
    let event = json!({ "type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version: 1 (2)", "reason": "Expired", "code": 410
    }});
    let inside = format!("{event}\n").into_bytes();
    nothing_is_missed_through(vec![Fault::WatchBytes(inside), Fault::Respond(gone)]);
}

#[test]
fn garbage_in_the_stream_is_survived() {
    // Row 20: half a document, no document, the wrong type, a line without end.
    let endless = vec![b'x'; 8 * 1024 * 1024];
    let wrong = b"{\"type\":\"MODIFIED\",\"object\":{\"metadata\":\"no\",\"spec\":7}}\n";
    nothing_is_missed_through(vec![
        Fault::WatchBytes(b"{\"type\":\"MODIFIED\",\"obj".to_vec()),
        Fault::WatchBytes(b"<html>\xff\xfe</html>\n".to_vec()),
        Fault::WatchBytes(wrong.to_vec()),
        Fault::WatchBytes(endless),
    ]);
}

/// Every PATCH of `web` is answered like this.
fn refuse_web(cluster: &Cluster, response: Response) {
    cluster.set_faults(move |request| {
        let is_web = request.method == "PATCH" && request.target.contains("/deployments/web?");
        (is_web && request.user == "depd").then(|| Fault::Respond(response.clone()))
    });
}

#[test]
fn a_missing_permission_is_named_and_the_others_go_on() {
    // Row 24.
    let cluster = Cluster::start_for_faults();
    let namespace = cluster.namespace();
    for name in ["web", "other"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let words = format!(
        "deployments.apps \"web\" is forbidden: User \"depd\" cannot patch resource \
         \"deployments\" in API group \"apps\" in the namespace \"{namespace}\""
    );
    refuse_web(&cluster, status(403, "Forbidden", &words));
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    let message = depd.slack.wait_for("Not permitted: web");
    assert!(message.text.contains("lacks verb patch on apps/deployments"), "{message:?}");
    depd.save("other", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: other");
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
    assert_eq!(patches(&cluster, &namespace, "web"), 3, "the next is tried after 30 s");
    // A newer file does not wait for the slow retry.
    cluster.clear_faults();
    depd.save("web", &namespace, "nginx:1.26");
    depd.slack.wait_for("Deployed: web");
}

#[test]
fn what_admission_denies_is_said_once_and_not_tried_again() {
    // Row 26.
    let cluster = Cluster::start_for_faults();
    let namespace = cluster.namespace();
    for name in ["web", "other"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let words = "admission webhook \"images.example.com\" denied the request: nginx:1.25 is barred";
    refuse_web(&cluster, status(403, "Forbidden", words));
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    let message = depd.slack.wait_for("Refused: web");
    assert_eq!(message.color, "danger");
    assert!(message.text.contains("nginx:1.25 is barred"), "{message:?}");
    // Looked at again, and seen to be the same: the watch tells of this before it tells of `other`.
    // A label: an annotation of a Deployment is a new generation, which calls for another try.
    let note = json!({ "metadata": { "labels": { "note": "seen" } } });
    cluster.merge_patch(&namespace, "web", &note);
    depd.save("other", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: other");
    assert_eq!(patches(&cluster, &namespace, "web"), 1, "no loop");
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
    cluster.clear_faults();
    depd.save("web", &namespace, "nginx:1.26");
    depd.slack.wait_for("Deployed: web");
    assert_eq!(patches(&cluster, &namespace, "web"), 2);
}

/// As a load balancer does it that is replaced: every connection ends at once, and none is taken for a
/// moment. Also a part of the suite of `access.rs`.
#[test]
pub fn connections_that_are_cut_are_made_again_and_nothing_is_missed() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let (kubeconfig, line) = cluster.by_line();
    let depd = Depd::start(&kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: web");
    line.cut();
    // While nobody can see it.
    let containers = json!([{ "name": "web", "image": "nginx:1.20" }]);
    let patch = json!({ "spec": { "template": { "spec": { "containers": containers } } } });
    cluster.merge_patch(&namespace, "web", &patch);
    line.mend();
    depd.slack.wait_for("Changed in the cluster: web");
    let before = line.connections();
    line.cut();
    line.mend();
    depd.save("web", &namespace, "nginx:1.26");
    wait_for("the message of 1.26", || {
        let told = |text: &str| text.contains("→ nginx:1.26 ");
        depd.slack.messages().iter().any(|message| told(&message.text)).then_some(())
    });
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.26");
    assert!(line.connections() > before, "over a new connection");
    assert_eq!(patches(&cluster, &namespace, "web"), 2);
    assert_eq!(depd.slack.titles().len(), 3, "{:?}", depd.slack.titles());
}
