//! What `depd demo` finds in its cluster: a few Deployments to change.

use serde_json::{Value, json};

/// The namespace `default`, and in it `web` (3 replicas), `api` (2) and `worker` (1).
#[must_use]
pub fn samples() -> Vec<Value> {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "default"},
    });
    vec![
        namespace,
        deployment("web", "nginx:1.24", 3),
        deployment("api", "ghcr.io/example/api:1.0.0", 2),
        deployment("worker", "ghcr.io/example/worker:1.0.0", 1),
    ]
}

fn deployment(name: &str, image: &str, replicas: u32) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": name, "image": image}]},
            },
        },
    })
}
