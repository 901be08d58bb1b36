//! ServiceAccount, roles, and a Deployment of depd, as YAML. `[C]`
//!
//! The rules are those of [`crate::cluster::rights`]. Facts: "Using RBAC Authorization" and
//! "Pod Security Standards" (restricted) of the Kubernetes documentation.

use std::fmt::Write as _;

use crate::cluster::rights::{NAMESPACES, OWN_EVENTS, PULL_SECRETS, RULES, Rule};

const ACCOUNT: &str = "apiVersion: v1
kind: Namespace
metadata:
  name: depd-system
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: depd
  namespace: depd-system
";

const SUBJECT: &str = "subjects:
  - kind: ServiceAccount
    name: depd
    namespace: depd-system
";

/// For a depd outside of the cluster.
pub(super) const TOKEN_SECRET: &str = "---
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata:
  name: depd-token
  namespace: depd-system
  annotations:
    kubernetes.io/service-account.name: depd
";

/// What depd is to do besides, each with an option of `depd run` of the same name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extras {
    /// `--events`
    pub events: bool,
    /// `--ecr-pull-secret`
    pub pull_secret: bool,
}

/// Account, role and binding: in these namespaces, or everywhere if there are none.
pub(super) fn rights(namespaces: &[String], extras: Extras) -> String {
    let mut out = ACCOUNT.to_owned();
    if namespaces.is_empty() {
        out.push_str(&role("ClusterRole", None, extras));
        return out;
    }
    for namespace in namespaces {
        out.push_str(&role("Role", Some(namespace), extras));
    }
    out
}

fn role(kind: &str, namespace: Option<&str>, extras: Extras) -> String {
    let place = namespace.map(|name| format!("  namespace: {name}\n")).unwrap_or_default();
    let extra: Vec<Rule> = [
        extras.events.then_some(&[OWN_EVENTS][..]),
        extras.pull_secret.then_some(PULL_SECRETS),
        namespace.is_none().then_some(&[NAMESPACES][..]),
    ]
    .into_iter()
    .flatten()
    .flatten()
    .copied()
    .collect();
    let rules: String = RULES.iter().chain(&extra).map(rule).collect();
    format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: depd\n{place}\
         rules:\n{rules}\
         ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}Binding\nmetadata:\n  name: depd\n{place}\
         roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {kind}\n  name: depd\n{SUBJECT}"
    )
}

fn rule(rule: &Rule) -> String {
    let group = if rule.group.is_empty() { "\"\"" } else { rule.group };
    let (resources, verbs) = (rule.resources.join(", "), rule.verbs.join(", "));
    let name = rule.name.map(|name| format!("    resourceNames: [{name}]\n")).unwrap_or_default();
    format!("  - apiGroups: [{group}]\n    resources: [{resources}]\n{name}    verbs: [{verbs}]\n")
}

/// depd in a pod. `files` are names and contents of dep files.
pub(super) fn deployment(
    image: &str,
    namespaces: &[String],
    extras: Extras,
    files: &[(String, String)],
) -> String {
    let mut out = String::from(
        "---\n# One key for each dep file. A change of it is seen within about a minute.\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: depd-deps\n  namespace: depd-system\n",
    );
    out.push_str(if files.is_empty() { "data: {}\n" } else { "data:\n" });
    for (name, content) in files {
        // JSON strings are YAML strings, whatever is in them.
        let _ = writeln!(out, "  {name}: {}", serde_json::Value::from(content.as_str()));
    }
    let more = [
        if namespaces.is_empty() { "" } else { ", --no-create-namespaces" },
        if extras.events { ", --events" } else { "" },
        if extras.pull_secret { ", --ecr-pull-secret" } else { "" },
    ]
    .concat();
    let image = serde_json::Value::from(image);
    let _ = write!(
        out,
        r#"---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: depd-state
  namespace: depd-system
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests: {{storage: 1Gi}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: depd
  namespace: depd-system
spec:
  replicas: 1
  strategy: {{type: Recreate}}
  selector:
    matchLabels: {{app: depd}}
  template:
    metadata:
      labels: {{app: depd}}
    spec:
      serviceAccountName: depd
      terminationGracePeriodSeconds: 10
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: {{type: RuntimeDefault}}
      containers:
        - name: depd
          image: {image}
          args: [run, --deps, /deps, --state, /state, --http, "0.0.0.0:8080"{more}]
          # kubectl -n depd-system create secret generic depd-slack --from-file=WEBHOOK_FOR_SLACK=FILE
          env:
            - name: WEBHOOK_FOR_SLACK
              valueFrom:
                secretKeyRef: {{name: depd-slack, key: WEBHOOK_FOR_SLACK, optional: true}}
          ports:
            - {{name: http, containerPort: 8080}}
          livenessProbe:
            httpGet: {{path: /healthz, port: http}}
          readinessProbe:
            httpGet: {{path: /readyz, port: http}}
            periodSeconds: 5
          resources:
            requests: {{cpu: 10m, memory: 32Mi}}
            limits: {{memory: 256Mi}}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}
          volumeMounts:
            - {{name: deps, mountPath: /deps, readOnly: true}}
            - {{name: state, mountPath: /state}}
      volumes:
        - name: deps
          configMap: {{name: depd-deps}}
        - name: state
          persistentVolumeClaim: {{claimName: depd-state}}
"#
    );
    out
}
