//! The rows.

use serde_json::{Value, json};

use super::Subject;
use super::means::{allow, deny, quota, taint, warn_of_probe};

/// One way for a rollout to end.
pub struct Row {
    /// The snapshot's name.
    pub name: &'static str,
    /// How it is produced.
    pub how: &'static str,
    /// Plural.
    pub kind: &'static str,
    pub replicas: u32,
    /// What is special about the workload.
    pub object: fn(&mut Value),
    /// What is done once it runs, before the file is saved.
    pub before: fn(&Subject<'_>),
    /// The content of the file.
    pub file: &'static str,
    /// What is done while it rolls out.
    pub meanwhile: fn(&Subject<'_>),
    /// The title of the message, which is the verdict.
    pub title: &'static str,
    /// Messages in all.
    pub messages: usize,
    /// What is cleared up afterwards.
    pub after: fn(&Subject<'_>),
    /// What of a real control plane it needs that the sandbox has not.
    pub needs: Option<&'static str>,
}

const ROW: Row = Row {
    name: "",
    how: "",
    kind: "deployments",
    replicas: 2,
    object: |_| {},
    before: |_| {},
    file: "nginx:1.25",
    meanwhile: |_| {},
    title: "Failed",
    messages: 1,
    after: |_| {},
    needs: None,
};

const CONTAINERS: Option<&str> = Some("StatefulSets and DaemonSets");
const QUOTA: Option<&str> = Some("quota");
const ADMISSION: Option<&str> = Some("admission control");
const SCHEDULER: Option<&str> = Some("scheduler");

pub static ROWS: &[Row] = &[
    Row {
        name: "image-not-found",
        how: "the registry answers that there is no such tag",
        file: "nginx:missing",
        ..ROW
    },
    Row { name: "image-name-invalid", how: "InvalidImageName", file: "nginx:invalid", ..ROW },
    Row { name: "image-never-pulled", how: "ErrImageNeverPull", file: "nginx:absent", ..ROW },
    Row {
        name: "registry-wants-credentials",
        how: "ErrImagePull by pull access denied, past its grace",
        file: "nginx:private",
        ..ROW
    },
    Row {
        name: "registry-limits-the-rate",
        how: "ErrImagePull by 429, past its grace",
        file: "nginx:limited",
        ..ROW
    },
    Row {
        name: "pull-error-that-passes",
        how: "ErrImagePull by a network error for two seconds",
        file: "nginx:flaky",
        title: "Deployed",
        ..ROW
    },
    Row {
        name: "suspicion-at-the-time-limit",
        how: "a pull that fails within its grace when time is up",
        object: |object| annotate(object, "depd.dev/timeout", "3s"),
        file: "nginx:private",
        title: "Timed out",
        ..ROW
    },
    Row {
        name: "config-missing",
        how: "CreateContainerConfigError by a secret that is not there",
        file: "nginx:config",
        ..ROW
    },
    Row {
        name: "config-not-yet-known",
        how: "CreateContainerConfigError by a kubelet that does not know the secret yet",
        file: "nginx:syncing",
        title: "Deployed",
        ..ROW
    },
    Row { name: "container-not-created", how: "CreateContainerError", file: "nginx:mkfail", ..ROW },
    Row { name: "container-not-run", how: "RunContainerError", file: "nginx:runfail", ..ROW },
    Row { name: "crash-loop", how: "exits with 1 again and again", file: "nginx:crash", ..ROW },
    Row {
        name: "out-of-memory",
        how: "killed for its memory again and again",
        object: |object| {
            let container = &mut object["spec"]["template"]["spec"]["containers"][0];
            container["resources"] = json!({ "limits": { "memory": "128Mi" } });
        },
        file: "nginx:oom",
        ..ROW
    },
    Row {
        name: "init-container-crashes",
        how: "an init container that exits with 1 again and again",
        object: with_init_container,
        file: "setup=tool:crash",
        ..ROW
    },
    Row {
        name: "init-image-not-found",
        how: "an init container whose image is not there",
        object: with_init_container,
        file: "setup=tool:missing",
        ..ROW
    },
    Row {
        name: "probe-fails",
        how: "never ready, and the kubelet warns of the readiness probe",
        object: |object| {
            annotate(object, "depd.dev/timeout", "6s");
            let container = &mut object["spec"]["template"]["spec"]["containers"][0];
            container["readinessProbe"] =
                json!({ "httpGet": { "path": "/healthz", "port": 8080 } });
        },
        file: "nginx:hang",
        meanwhile: warn_of_probe,
        title: "Timed out",
        ..ROW
    },
    Row {
        name: "progress-deadline",
        how: "the Deployment's own progressDeadlineSeconds, seen by its controller",
        object: |object| {
            object["spec"]["progressDeadlineSeconds"] = 3.into();
            annotate(object, "depd.dev/timeout", "1h");
        },
        file: "nginx:hang",
        title: "Timed out",
        ..ROW
    },
    Row {
        name: "quota-on-pods",
        how: "a ResourceQuota that has room for the old pods only",
        before: |subject| quota(subject, "pods", 2),
        needs: QUOTA,
        ..ROW
    },
    Row {
        name: "quota-on-replica-sets",
        how: "a ResourceQuota without room for a new ReplicaSet",
        before: |subject| quota(subject, "count/replicasets.apps", 1),
        needs: QUOTA,
        ..ROW
    },
    Row {
        name: "policy-on-pods",
        how: "a ValidatingAdmissionPolicy that refuses the pods",
        before: |subject| deny(subject, "pods", "", "object.spec"),
        after: allow,
        needs: ADMISSION,
        ..ROW
    },
    Row {
        name: "policy-on-the-deployment",
        how: "a ValidatingAdmissionPolicy that refuses the change itself",
        before: |subject| deny(subject, "deployments", "apps", "object.spec.template.spec"),
        title: "Refused",
        after: allow,
        needs: ADMISSION,
        ..ROW
    },
    Row {
        name: "pod-security",
        how: "a namespace that enforces the restricted pod security standard",
        before: |subject| {
            let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
            let path = format!("/api/v1/namespaces/{}", subject.namespace);
            subject.cluster.patch(&path, &json!({ "metadata": { "labels": labels } }));
        },
        needs: ADMISSION,
        ..ROW
    },
    Row {
        name: "no-node",
        how: "a taint on the only node that the pods may run on",
        replicas: 1,
        object: |object| {
            annotate(object, "depd.dev/timeout", "6s");
            object["spec"]["template"]["spec"]["nodeSelector"] = json!({ "depd-test": "two" });
        },
        before: |subject| taint(subject, &json!([{ "key": "depd-test", "effect": "NoSchedule" }])),
        // Said after its time, and failed at the limit.
        messages: 2,
        after: |subject| taint(subject, &Value::Null),
        needs: SCHEDULER,
        ..ROW
    },
    Row {
        name: "recreate",
        how: "strategy Recreate",
        object: |object| object["spec"]["strategy"] = json!({ "type": "Recreate" }),
        title: "Deployed",
        ..ROW
    },
    Row { name: "no-replicas", how: "replicas 0", replicas: 0, title: "Deployed", ..ROW },
    Row {
        name: "min-ready-seconds",
        how: "pods that must stay ready for two seconds",
        object: |object| object["spec"]["minReadySeconds"] = 2.into(),
        title: "Deployed",
        ..ROW
    },
    Row {
        name: "scaled-on-the-way",
        how: "somebody, as an autoscaler does, raises the replicas during the rollout",
        object: |object| object["spec"]["minReadySeconds"] = 2.into(),
        meanwhile: |subject| {
            let scale = json!({ "spec": { "replicas": 3 } });
            subject.cluster.patch(&subject.path(), &scale);
        },
        title: "Deployed",
        ..ROW
    },
    Row {
        name: "stateful-set",
        how: "a StatefulSet with a good image",
        kind: "statefulsets",
        title: "Deployed",
        needs: CONTAINERS,
        ..ROW
    },
    Row {
        name: "stateful-set-with-a-partition",
        how: "a StatefulSet whose partition leaves the first pod as it is",
        kind: "statefulsets",
        object: |object| {
            object["spec"]["updateStrategy"] =
                json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } });
        },
        title: "Deployed",
        needs: CONTAINERS,
        ..ROW
    },
    Row {
        name: "stateful-set-image-not-found",
        how: "a StatefulSet whose image is not there",
        kind: "statefulsets",
        file: "nginx:missing",
        needs: CONTAINERS,
        ..ROW
    },
    Row {
        name: "stateful-set-quota",
        how: "a ResourceQuota without room for a pod that was deleted to be replaced",
        kind: "statefulsets",
        before: |subject| quota(subject, "pods", 1),
        needs: CONTAINERS,
        ..ROW
    },
    Row {
        name: "daemon-set",
        how: "a DaemonSet with a good image",
        kind: "daemonsets",
        title: "Deployed",
        needs: CONTAINERS,
        ..ROW
    },
    Row {
        name: "daemon-set-crash-loop",
        how: "a DaemonSet whose container exits with 1 again and again",
        kind: "daemonsets",
        file: "nginx:crash",
        needs: CONTAINERS,
        ..ROW
    },
    Row {
        name: "daemon-set-quota",
        how: "a ResourceQuota without room for a pod that was deleted to be replaced",
        kind: "daemonsets",
        before: |subject| quota(subject, "pods", 0),
        needs: CONTAINERS,
        ..ROW
    },
];

fn annotate(object: &mut Value, name: &str, value: &str) {
    object["metadata"]["annotations"][name] = value.into();
}

fn with_init_container(object: &mut Value) {
    let init = json!([{ "name": "setup", "image": "tool:1" }]);
    object["spec"]["template"]["spec"]["initContainers"] = init;
}
