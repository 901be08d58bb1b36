//! What the API server adds to an object, and what it leaves out. `[C]`
//!
//! Facts: the defaulting functions of `pkg/apis/{apps,core}/v1` in Kubernetes, and the `omitempty`
//! tags of `k8s.io/api`. Only what clients of the sandbox can notice is here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::json::{default, fields, text};
use super::resources::{DEPLOYMENTS, Id, NAMESPACES, PODS, REPLICA_SETS, SECRETS, SERVICES};

/// Members that are maps, and are left out when they are empty.
const OMITTED_MAPS: &[&str] = &[
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "data",
    "stringData",
    "binaryData",
    "limits",
    "requests",
];

/// Members that are left out when they are false or 0.
const OMITTED_ZEROS: &[&str] = &[
    "paused",
    "minReadySeconds",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "stdin",
    "stdinOnce",
    "tty",
];

/// Drops what a typed object would not print: nulls, empty lists and maps, some zeros.
pub(super) fn prune(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(prune);
            members.retain(|name, member| match member {
                Value::Null => false,
                Value::Array(items) => !items.is_empty() || name == "containers",
                Value::Object(inner) => !inner.is_empty() || !OMITTED_MAPS.contains(&name.as_str()),
                Value::Bool(false) => !OMITTED_ZEROS.contains(&name.as_str()),
                Value::Number(number) => {
                    number.as_i64() != Some(0) || !OMITTED_ZEROS.contains(&name.as_str())
                }
                _ => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

/// Adds the defaults of the kind.
pub(super) fn complete(resource: Id, object: &mut Value) {
    match resource {
        DEPLOYMENTS => deployment(fields(&mut object["spec"])),
        REPLICA_SETS => {
            let spec = fields(&mut object["spec"]);
            default(spec, "replicas", 1);
            template(spec);
        }
        PODS => pod_spec(fields(&mut object["spec"])),
        NAMESPACES => namespace(object),
        SECRETS => secret(object),
        SERVICES => service(fields(&mut object["spec"])),
        _ => {}
    }
}

fn deployment(spec: &mut Map<String, Value>) {
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default(spec, "progressDeadlineSeconds", 600);
    let strategy = fields(spec.entry("strategy").or_insert(Value::Null));
    default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = fields(strategy.entry("rollingUpdate").or_insert(Value::Null));
        default(rolling, "maxSurge", "25%");
        default(rolling, "maxUnavailable", "25%");
    }
    template(spec);
}

fn template(spec: &mut Map<String, Value>) {
    let template = fields(spec.entry("template").or_insert(Value::Null));
    default(template, "metadata", json!({}));
    pod_spec(fields(template.entry("spec").or_insert(Value::Null)));
}

fn pod_spec(spec: &mut Map<String, Value>) {
    default(spec, "restartPolicy", "Always");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", "default-scheduler");
    let accounts = [spec.get("serviceAccountName").cloned(), spec.get("serviceAccount").cloned()];
    if let Some(account) = accounts.into_iter().flatten().next() {
        // Two names for one thing: the second is from before v1.
        default(spec, "serviceAccountName", account.clone());
        default(spec, "serviceAccount", account);
    }
    for name in ["initContainers", "containers"] {
        for one in spec.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            container(fields(one));
        }
    }
    for one in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        for source in ["secret", "configMap", "projected", "downwardAPI"] {
            if let Some(Value::Object(source)) = one.get_mut(source) {
                default(source, "defaultMode", 0o644);
            }
        }
    }
}

fn container(container: &mut Map<String, Value>) {
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    default(container, "resources", json!({}));
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    default(container, "imagePullPolicy", if is_latest(image) { "Always" } else { "IfNotPresent" });
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        default(fields(port), "protocol", "TCP");
    }
    for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::Object(field)) = variable.pointer_mut("/valueFrom/fieldRef") {
            default(field, "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(name) {
            default(probe, "timeoutSeconds", 1);
            default(probe, "periodSeconds", 10);
            default(probe, "successThreshold", 1);
            default(probe, "failureThreshold", 3);
            if let Some(Value::Object(get)) = probe.get_mut("httpGet") {
                default(get, "path", "/");
                default(get, "scheme", "HTTP");
            }
        }
    }
}

/// An image with the tag `latest`, or with neither tag nor digest.
fn is_latest(image: &str) -> bool {
    // What does not parse has no tag at all for the server.
    let parses = !image.is_empty() && image.bytes().all(|byte| byte.is_ascii_graphic());
    if image.contains('@') || !parses {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn namespace(object: &mut Value) {
    default(fields(&mut object["spec"]), "finalizers", json!(["kubernetes"]));
    let name = text(object, "/metadata/name").to_owned();
    let metadata = fields(&mut object["metadata"]);
    let labels = fields(metadata.entry("labels").or_insert(Value::Null));
    labels.insert("kubernetes.io/metadata.name".into(), name.into());
}

/// `stringData` is write-only: it ends up in `data`.
fn secret(object: &mut Value) {
    let members = fields(object);
    default(members, "type", "Opaque");
    if let Some(Value::Object(plain)) = members.remove("stringData") {
        let data = fields(members.entry("data").or_insert(Value::Null));
        for (name, value) in plain {
            let encoded = BASE64.encode(value.as_str().unwrap_or_default());
            data.insert(name, encoded.into());
        }
    }
}

fn service(spec: &mut Map<String, Value>) {
    default(spec, "type", "ClusterIP");
    default(spec, "sessionAffinity", "None");
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let target = port.get("port").cloned().unwrap_or_default();
        default(fields(port), "protocol", "TCP");
        default(fields(port), "targetPort", target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_deployment_gets_the_defaults_that_rollouts_depend_on() {
        let mut object = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "nginx:1.24"}, {"name": "b", "image": "registry:5000/b"},
        ]}}}});
        complete(DEPLOYMENTS, &mut object);
        let spec = &object["spec"];
        assert_eq!(spec["replicas"], 1);
        assert_eq!(spec["progressDeadlineSeconds"], 600);
        assert_eq!(
            spec["strategy"]["rollingUpdate"],
            json!({"maxSurge": "25%", "maxUnavailable": "25%"})
        );
        let containers = &spec["template"]["spec"]["containers"];
        assert_eq!(containers[0]["imagePullPolicy"], "IfNotPresent");
        assert_eq!(containers[1]["imagePullPolicy"], "Always");
    }

    #[test]
    fn recreate_gets_no_rolling_update() {
        let mut object = json!({"spec": {"strategy": {"type": "Recreate"}}});
        complete(DEPLOYMENTS, &mut object);
        assert_eq!(object["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[test]
    fn completing_twice_changes_nothing() {
        let mut once = json!({"metadata": {"name": "n"}, "spec": {"template": {"spec": {
            "containers": [{"name": "a", "image": "a", "ports": [{"containerPort": 1}]}]}}}});
        for id in Id::all() {
            complete(id, &mut once);
            let mut twice = once.clone();
            complete(id, &mut twice);
            assert_eq!(once, twice, "{}", id.row().plural);
        }
    }

    #[test]
    fn what_go_would_not_print_is_left_out() {
        let mut object = json!({
            "metadata": {"creationTimestamp": null, "annotations": {}, "finalizers": []},
            "spec": {"paused": false, "replicas": 0, "containers": [], "emptyDir": {}},
        });
        prune(&mut object);
        let expect =
            json!({"metadata": {}, "spec": {"replicas": 0, "containers": [], "emptyDir": {}}});
        assert_eq!(object, expect);
    }

    #[test]
    fn text_of_a_secret_becomes_data() {
        let mut object = json!({"stringData": {"k": "v"}});
        complete(SECRETS, &mut object);
        assert_eq!(object, json!({"type": "Opaque", "data": {"k": "dg=="}}));
    }
}
