use super::*;

const PACE: Pace = Pace { start: Duration::from_millis(300), stop: Duration::from_millis(50) };

fn pod(image: &str) -> Value {
    json!({
        "metadata": {"name": "p", "namespace": "qa", "uid": "u", "generation": 1},
        "spec": {"containers": [{"name": "app", "image": image}]},
        "status": {"phase": "Pending"},
    })
}

/// Steps through a pod's life until it stays as it is, or `limit` steps.
fn live(mut pod: Value, limit: usize) -> Vec<Value> {
    let mut now = Wall(1_700_000_000_000);
    let mut seen = Vec::new();
    while let Some(wait) = due(&pod, PACE)
        && seen.len() < limit
    {
        now.0 += i64::try_from(wait.as_millis()).unwrap();
        let Step::Change(next) = step(&pod, now) else { break };
        pod = next;
        seen.push(pod.clone());
    }
    seen
}

/// `Running`, or the reason for waiting or ending, of the only container.
fn places(pods: &[Value]) -> Vec<&str> {
    pods.iter()
        .map(|pod| {
            let state = &pod["status"]["containerStatuses"][0]["state"];
            match state.get("running") {
                Some(_) => "Running",
                None => state
                    .pointer("/waiting/reason")
                    .or(state.pointer("/terminated/reason"))
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            }
        })
        .collect()
}

#[test]
fn the_tag_decides_what_becomes_of_a_container() {
    fn check(image: &str, expect: &[&str]) {
        assert_eq!(places(&live(pod(image), 6)), expect, "{image}");
    }
    let creating = "ContainerCreating";
    let crash = [creating, "Running", "Error", "Running", "CrashLoopBackOff", "Running"];
    check("nginx:1.25", &[creating, "Running"]);
    check("nginx", &[creating, "Running"]);
    check("registry:5000/crash", &[creating, "Running"]);
    check("a/b:missing", &[creating, "ErrImagePull", "ImagePullBackOff"]);
    check("a/b:private-3", &[creating, "ErrImagePull", "ImagePullBackOff"]);
    check("a:invalid", &[creating, "InvalidImageName"]);
    check("a:config", &[creating, "CreateContainerConfigError"]);
    check("a:syncing", &[creating, "CreateContainerConfigError", "Running"]);
    check("a:limited", &[creating, "ErrImagePull", "ImagePullBackOff"]);
    check("a:absent", &[creating, "ErrImageNeverPull"]);
    check("a:mkfail", &[creating, "CreateContainerError"]);
    check("a:runfail", &[creating, "RunContainerError"]);
    check("a:hang", &[creating, "Running"]);
    check("a:flaky", &[creating, "ErrImagePull", "Running"]);
    check("a:crash", &crash);
    check("a:crash-2@sha256:00", &crash);
    check("a:crashing", &[creating, "Running"]);
}

#[test]
fn only_healthy_pods_become_ready() {
    fn check(image: &str, ready: bool, phase: &str) {
        let life = live(pod(image), 20);
        let last = life.last().unwrap();
        let condition = |kind| {
            let all = last["status"]["conditions"].as_array().unwrap();
            all.iter().find(|c| c["type"] == kind).unwrap()["status"].clone()
        };
        assert_eq!(condition("Ready"), if ready { "True" } else { "False" }, "{image}");
        assert_eq!(last["status"]["phase"], phase, "{image}");
        let was = life.iter().any(|pod| pod["status"]["containerStatuses"][0]["ready"] == true);
        assert_eq!(was, ready, "{image} was ready at some time");
    }
    check("a:1", true, "Running");
    check("a:flaky", true, "Running");
    check("a:hang", false, "Running");
    check("a:missing", false, "Pending");
    check("a:crash", false, "Running");
    check("a:oom", false, "Running");
}

#[test]
fn a_crash_loop_counts_its_restarts_and_keeps_the_last_end() {
    let life = live(pod("a:oom"), 9);
    let last = &life.last().unwrap()["status"]["containerStatuses"][0];
    assert_eq!(last["restartCount"], 3);
    assert_eq!(last["lastState"]["terminated"]["exitCode"], 137);
    assert_eq!(last["lastState"]["terminated"]["reason"], "OOMKilled");
}

#[test]
fn a_pull_error_reads_as_containerd_writes_it() {
    let life = live(pod("nginx:missing"), 9);
    let message =
        &life.last().unwrap()["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    assert_eq!(
        message,
        "Back-off pulling image \"nginx:missing\": ErrImagePull: rpc error: code = NotFound desc = \
         failed to pull and unpack image \"docker.io/library/nginx:missing\": failed to resolve \
         reference \"docker.io/library/nginx:missing\": docker.io/library/nginx:missing: not found"
    );
}

#[test]
fn containers_wait_for_the_init_containers_before_them() {
    let mut blocked = pod("a:1");
    blocked["spec"]["initContainers"] = json!([{"name": "i", "image": "i:hang"}]);
    let life = live(blocked.clone(), 9);
    assert_eq!(places(&life).last(), Some(&"PodInitializing"));
    assert_eq!(life.last().unwrap()["status"]["phase"], "Pending");
    blocked["spec"]["initContainers"][0]["image"] = "i:1".into();
    assert_eq!(places(&live(blocked, 9)).last(), Some(&"Running"));
}

#[test]
fn a_deleted_pod_stops_and_goes() {
    let mut going = pod("a:1");
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(due(&going, PACE), Some(PACE.stop));
    assert!(matches!(step(&going, Wall(0)), Step::Gone));
}
