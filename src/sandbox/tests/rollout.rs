//! Rollouts: what the controllers and the kubelet make of a Deployment.

use super::*;

fn revision(object: &Value) -> &str {
    object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str().unwrap_or("")
}

/// The waiting reason of the first pod that runs `image`.
fn waiting<'a>(pods: &'a [Value], image: &str) -> &'a str {
    let pod = pods.iter().find(|pod| pod["spec"]["containers"][0]["image"] == image);
    pod.map_or("", |pod| text(pod, "/status/containerStatuses/0/state/waiting/reason"))
}

#[test]
fn a_new_image_rolls_out_and_the_old_replica_set_stays_for_undo() {
    let fixture = fixture();
    let first = fixture.deploy("nginx:1.24", 3);
    assert_eq!(
        (revision(&first), condition(&first, "Available").as_str()),
        ("1", "True MinimumReplicasAvailable")
    );
    assert_eq!(fixture.set_image("nginx:1.25").code, 200);
    let second = fixture.web("rolled out", |web| is_done(web) && revision(web) == "2");
    assert_eq!(condition(&second, "Progressing"), "True NewReplicaSetAvailable");
    let sets = fixture.client.get("/apis/apps/v1/namespaces/default/replicasets").body;
    let mut sizes: Vec<i64> = sets["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["spec"]["replicas"].as_i64().unwrap())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 3]);
}

#[test]
fn a_bad_image_leaves_the_old_pods_serving_and_undo_brings_the_template_back() {
    let fixture = fixture();
    let first = fixture.deploy("nginx:1.24", 3);
    fixture.set_image("nginx:missing");
    let path = "/api/v1/namespaces/default/pods";
    let stuck = || waiting(&fixture.pods(), "nginx:missing") == "ImagePullBackOff";
    assert!(fixture.sandbox.wait_for(path, LIMIT, |_| stuck()) || stuck());
    let web = fixture.sandbox.get(WEB).unwrap();
    assert_eq!(web["status"]["availableReplicas"], 3);
    assert_eq!(web["status"]["updatedReplicas"], 1);
    let undo =
        json!([{"op": "replace", "path": "/spec/template", "value": first["spec"]["template"]}]);
    assert_eq!(fixture.client.patch(WEB, "json-patch+json", &undo).code, 200);
    fixture.web("back", |web| is_done(web) && revision(web) == "3");
}

#[test]
fn a_missed_deadline_is_said_and_stays_for_a_moment_after_the_next_patch() {
    let fixture = with(SandboxOptions {
        controller_lag: Duration::from_millis(50),
        ..SandboxOptions::default()
    });
    let mut object = deployment("nginx:1.24", 1);
    object["spec"]["progressDeadlineSeconds"] = 1.into();
    assert_eq!(fixture.client.post(DEPLOYMENTS, &object).code, 201);
    fixture.web("available", is_done);
    fixture.set_image("nginx:hang");
    let late = "False ProgressDeadlineExceeded";
    fixture.web("late", |web| condition(web, "Progressing") == late);
    let answer = fixture.set_image("nginx:1.25");
    assert_eq!(condition(&answer.body, "Progressing"), late);
    fixture.web("well", |web| {
        is_done(web) && condition(web, "Progressing") == "True NewReplicaSetAvailable"
    });
}

#[test]
fn recreate_never_runs_old_and_new_together() {
    let fixture = fixture();
    let mut object = deployment("nginx:1.24", 2);
    object["spec"]["strategy"] = json!({"type": "Recreate"});
    assert_eq!(fixture.client.post(DEPLOYMENTS, &object).code, 201);
    fixture.web("available", is_done);
    let mut events = fixture.client.watch("/api/v1/namespaces/default/pods?watch=true");
    for _ in 0..2 {
        events.next();
    }
    fixture.set_image("nginx:1.25");
    fixture.web("recreated", |web| is_done(web) && revision(web) == "2");
    let mut old = 2;
    for event in events {
        let new = event["object"]["spec"]["containers"][0]["image"] == "nginx:1.25";
        match (event["type"].as_str().unwrap(), new) {
            ("DELETED", false) => old -= 1,
            ("ADDED", true) => break,
            _ => {}
        }
    }
    assert_eq!(old, 0);
}

#[test]
fn a_paused_deployment_waits_and_goes_on_when_resumed() {
    let fixture = fixture();
    fixture.deploy("nginx:1.24", 1);
    let pause = |value: bool| json!({"spec": {"paused": value}});
    fixture.client.patch(WEB, "merge-patch+json", &pause(true));
    fixture.web("paused", |web| condition(web, "Progressing") == "Unknown DeploymentPaused");
    fixture.set_image("nginx:1.25");
    let seen = fixture.web("observed", |web| {
        web["status"]["observedGeneration"] == web["metadata"]["generation"]
    });
    assert_eq!((revision(&seen), &seen["status"]["updatedReplicas"]), ("1", &Value::Null));
    fixture.client.patch(WEB, "merge-patch+json", &pause(false));
    fixture.web("resumed", |web| is_done(web) && revision(web) == "2");
}

#[test]
fn scaling_through_the_subresource_changes_size_and_not_revision() {
    let fixture = fixture();
    fixture.deploy("nginx:1.24", 1);
    let scale = json!({"spec": {"replicas": 4}});
    let answer = fixture.client.patch(&format!("{WEB}/scale"), "merge-patch+json", &scale);
    assert_eq!((answer.code, &answer.body["spec"]["replicas"]), (200, &json!(4)));
    let web = fixture.web("larger", |web| is_done(web) && web["status"]["replicas"] == 4);
    assert_eq!(revision(&web), "1");
    let zero = json!({"spec": {"replicas": 0}});
    fixture.client.patch(&format!("{WEB}/scale"), "merge-patch+json", &zero);
    fixture.web("empty", |web| is_done(web) && web["status"].get("replicas").is_none());
    let gone = || fixture.pods().is_empty();
    assert!(fixture.sandbox.wait_for("/", LIMIT, |_| gone()));
}

#[test]
fn scaling_in_the_middle_of_a_rollout_shares_the_replicas() {
    let fixture = fixture();
    fixture.deploy("nginx:1.24", 4);
    fixture.set_image("nginx:hang");
    fixture.web("half way", |web| web["status"]["updatedReplicas"] == 2);
    let scale = json!({"spec": {"replicas": 8}});
    fixture.client.patch(&format!("{WEB}/scale"), "merge-patch+json", &scale);
    // 8 wanted and 2 more as surge, shared as 3 old to 2 new were.
    let web = fixture.web("shared", |web| {
        web["status"]["replicas"] == 10 && web["status"]["availableReplicas"] == 6
    });
    assert_eq!(web["status"]["updatedReplicas"], 4);
}

#[test]
fn blanks_around_an_image_fail_in_the_pods_and_show_as_replica_failure() {
    let fixture = fixture();
    fixture.deploy("nginx:1.24", 1);
    assert_eq!(fixture.set_image(" nginx:1.25").code, 200);
    let web = fixture.web("failing", |web| condition(web, "ReplicaFailure") == "True FailedCreate");
    let all = web["status"]["conditions"].as_array().unwrap();
    let failure = all.iter().find(|c| c["type"] == "ReplicaFailure").unwrap();
    assert!(text(failure, "/message").contains("must not have leading or trailing whitespace"));
    fixture.set_image("nginx:1.25");
    fixture.web("well", |web| is_done(web) && condition(web, "ReplicaFailure").is_empty());
}

#[test]
fn deleting_a_deployment_takes_its_replica_sets_and_pods_along() {
    let fixture = fixture();
    fixture.deploy("nginx:1.24", 2);
    assert_eq!(fixture.client.delete(WEB).body["status"], "Success");
    let sets = || {
        fixture.client.get("/apis/apps/v1/namespaces/default/replicasets").body["items"]
            == json!([])
    };
    assert!(fixture.sandbox.wait_for("/", LIMIT, |_| sets() && fixture.pods().is_empty()));
}

#[test]
fn foreground_deletion_keeps_the_owner_until_the_last_and_orphans_stay() {
    let fixture = fixture();
    fixture.deploy("nginx:1.24", 1);
    let first = fixture.client.delete(&format!("{WEB}?propagationPolicy=Foreground"));
    assert_eq!(first.body["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    assert!(fixture.sandbox.wait_for(WEB, LIMIT, Value::is_null));
    fixture.deploy("nginx:1.24", 1);
    fixture.client.delete(&format!("{WEB}?propagationPolicy=Orphan"));
    let sets = fixture.client.get("/apis/apps/v1/namespaces/default/replicasets").body;
    assert_eq!(sets["items"].as_array().unwrap().len(), 1);
    assert_eq!(sets["items"][0]["metadata"].get("ownerReferences"), None);
}

#[test]
fn a_crash_loop_can_be_read_in_the_log_of_the_previous_run() {
    let fixture = fixture();
    assert_eq!(fixture.client.post(DEPLOYMENTS, &deployment("app:crash", 1)).code, 201);
    let looping = || waiting(&fixture.pods(), "app:crash") == "CrashLoopBackOff";
    assert!(fixture.sandbox.wait_for("/", LIMIT, |_| looping()));
    let pod = fixture.pods().remove(0);
    let path = format!("/api/v1/namespaces/default/pods/{}/log", text(&pod, "/metadata/name"));
    let log = fixture.client.get(&format!("{path}?previous=true&tailLines=1"));
    assert_eq!(
        (log.code, log.text.as_str()),
        (200, "fatal: cannot open database: connection refused\n")
    );
    let wrong = fixture.client.get(&format!("{path}?container=other"));
    assert_eq!(wrong.code, 400);
}

#[test]
fn a_container_that_never_ran_has_no_log() {
    let fixture = fixture();
    assert_eq!(fixture.client.post(DEPLOYMENTS, &deployment("app:missing", 1)).code, 201);
    let stuck = || waiting(&fixture.pods(), "app:missing") == "ImagePullBackOff";
    assert!(fixture.sandbox.wait_for("/", LIMIT, |_| stuck()));
    let pod = text(&fixture.pods()[0], "/metadata/name").to_owned();
    let path = format!("/api/v1/namespaces/default/pods/{pod}/log");
    let refused = fixture.client.get(&path);
    assert_eq!(
        refused.body["message"],
        format!(
            "container \"web\" in pod \"{pod}\" is waiting to start: trying and failing to pull image"
        )
    );
    let previous = fixture.client.get(&format!("{path}?previous=true"));
    assert_eq!(
        previous.body["message"],
        format!("previous terminated container \"web\" in pod \"{pod}\" not found")
    );
}

#[test]
fn old_replica_sets_beyond_the_limit_are_forgotten() {
    let fixture = fixture();
    let mut object = deployment("nginx:0", 1);
    object["spec"]["revisionHistoryLimit"] = 1.into();
    assert_eq!(fixture.client.post(DEPLOYMENTS, &object).code, 201);
    fixture.web("available", is_done);
    for number in 1..4 {
        fixture.set_image(&format!("nginx:{number}"));
        let wanted = (number + 1).to_string();
        fixture.web("rolled out", |web| is_done(web) && revision(web) == wanted);
    }
    let count = || {
        let sets = fixture.client.get("/apis/apps/v1/namespaces/default/replicasets").body;
        sets["items"].as_array().map(Vec::len)
    };
    assert!(fixture.sandbox.wait_for("/", LIMIT, |_| count() == Some(2)));
}
