//! Which pods are the new ones, without asking.

use super::*;

const GONE: &str = "docker.io/library/nginx:1.25: not found";

fn progressing(message: &str) -> Option<Condition> {
    let (reason, message) = ("ReplicaSetUpdated".into(), message.into());
    Some(Condition { holds: true, reason, message, updated_at: "12:01".into() })
}

fn pod(hash: &str, image: &str) -> Arc<Pod> {
    let mut pod = Pod::clone(&waiting("web-new", hash, "ErrImagePull", GONE));
    pod.containers[0].image = image.into();
    Arc::new(pod)
}

#[test]
fn a_pod_is_new_when_the_condition_names_its_replica_set_and_it_runs_the_new_image() {
    let failed = "failed(ErrImagePull nginx:1.25 1/1 old 3 log \"\")";
    let asks = "→ FindReplicaSet";
    for (message, hash, image, expect) in [
        ("Created new replica set \"web-bbb\"", "bbb", "nginx:1.25", failed),
        ("ReplicaSet \"web-bbb\" is progressing.", "bbb", "docker.io/library/nginx:1.25", failed),
        // Words of the rollout before this one.
        ("ReplicaSet \"web-aaa\" is progressing.", "aaa", "nginx:1.24", asks),
        ("ReplicaSet \"web-aaa\" is progressing.", "bbb", "nginx:1.25", asks),
        // A name that only ends, or begins, like it.
        ("ReplicaSet \"a-web-bbb\" is progressing.", "bbb", "nginx:1.25", asks),
        ("ReplicaSet \"web-bbbc\" is progressing.", "bbb", "nginx:1.25", asks),
        // A kubelet that tells what the image resolves to.
        ("Created new replica set \"web-bbb\"", "bbb", "sha256:0000", asks),
        ("Deployment is progressing.", "bbb", "nginx:1.25", asks),
    ] {
        let mut desk = desk("nginx:1.25", Some(fixture::workload("web")));
        desk.look("→ patch app=nginx:1.25");
        desk.patch_goes_through();
        desk.workload().progressing = progressing(message);
        desk.pods = vec![pod(hash, image)];
        desk.look(expect);
    }
}

#[test]
fn words_from_before_the_rollout_and_of_a_template_that_somebody_else_changed_do_not_count() {
    let message = "Created new replica set \"web-bbb\"";
    let mut before = desk("nginx:1.25", Some(fixture::workload("web")));
    before.workload().progressing = progressing(message);
    let fresh = desk("nginx:1.25", Some(fixture::workload("web")));
    for (mut desk, generations) in [(before, 0), (fresh, 1)] {
        desk.look("→ patch app=nginx:1.25");
        desk.patch_goes_through();
        desk.workload().generation += generations;
        desk.workload().progressing = progressing(message);
        desk.status(4, 1, 3);
        desk.pods = vec![pod("bbb", "nginx:1.25")];
        desk.look("→ FindReplicaSet");
    }
}
