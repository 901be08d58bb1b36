//! The cluster a test runs on: the embedded sandbox, or a real control plane.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use depd::sandbox::{
    About, Fault, RequestRecord, RequestView, Response, Sandbox, SandboxOptions, Status,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;
use crate::control_plane::{ControlPlane, Share, share};
use crate::line::Line;
use crate::relay::Relay;
use crate::wait::wait_for;
use crate::way::{self, events_about, user_of};

/// A cluster, and an administrator's access to it.
pub struct Cluster {
    kind: Kind,
    /// What depd is given.
    pub kubeconfig: PathBuf,
    admin: Api,
    /// What stands between depd and the cluster, and the folder of the kubeconfig for it.
    relay: Option<(Relay, TempDir)>,
    _share: Option<Share>,
}

enum Kind {
    Sandbox {
        sandbox: Sandbox,
        _folder: TempDir,
    },
    /// `user` is depd's, where it is not its service account.
    Real {
        audit_log: PathBuf,
        user: Option<String>,
    },
}

impl Cluster {
    /// The real control plane where the environment names one, else a fresh sandbox. With an access of
    /// its own where the thread was given one; whoever gave it has a share.
    pub fn start() -> Cluster {
        if let Some(way) = way::current() {
            let mut cluster = Cluster::real(way.kubeconfig.clone(), None);
            let Kind::Real { user, .. } = &mut cluster.kind else { unreachable!("it is real") };
            *user = Some(way.identity.user.clone());
            return cluster;
        }
        match std::env::var_os("DEPD_TEST_KUBECONFIG") {
            Some(kubeconfig) => Cluster::real(kubeconfig.into(), Some(share())),
            None => Cluster::sandbox(),
        }
    }

    /// The real control plane, whose server no other test uses meanwhile; says so where there is none.
    pub fn start_alone() -> Option<(Cluster, ControlPlane)> {
        let alone = ControlPlane::alone()?;
        let kubeconfig = std::env::var_os("DEPD_TEST_KUBECONFIG").expect("set");
        Some((Cluster::real(kubeconfig.into(), None), alone))
    }

    /// The same real one again, for another thread while this one is there.
    pub fn again(&self) -> Cluster {
        Cluster::real(self.kubeconfig.clone(), None)
    }

    /// Whether this is a real control plane.
    pub fn is_real(&self) -> bool {
        matches!(self.kind, Kind::Real { .. })
    }

    /// A cluster that can be made to misbehave: the sandbox does it itself, before a real one stands a
    /// relay that does.
    pub fn start_for_faults() -> Cluster {
        let cluster = Cluster::start();
        if cluster.is_real() { cluster.behind_a_relay() } else { cluster }
    }

    /// The same cluster, which depd reaches through a relay only.
    pub fn behind_a_relay(mut self) -> Cluster {
        let relay = Relay::start(&self.kubeconfig);
        let folder = tempfile::tempdir().expect("a folder");
        self.kubeconfig = folder.path().join("kubeconfig");
        fs::write(&self.kubeconfig, relay.kubeconfig("127.0.0.1")).expect("written");
        self.relay = Some((relay, folder));
        self
    }

    /// What depd reaches it through.
    pub fn relay(&self) -> &Relay {
        &self.relay.as_ref().expect("it is behind a relay").0
    }

    /// From now on every request is shown to `hook`, which may let it go wrong.
    pub fn set_faults(
        &self,
        hook: impl Fn(&RequestView<'_>) -> Option<Fault> + Send + Sync + 'static,
    ) {
        match (&self.kind, &self.relay) {
            (_, Some((relay, _))) => relay.set_faults(Arc::new(hook)),
            (Kind::Sandbox { sandbox, .. }, None) => sandbox.set_faults(hook),
            (Kind::Real { .. }, None) => panic!("a real cluster has no faults on demand"),
        }
    }

    /// From now on nothing goes wrong.
    pub fn clear_faults(&self) {
        match (&self.kind, &self.relay) {
            (_, Some((relay, _))) => relay.clear_faults(),
            (Kind::Sandbox { sandbox, .. }, None) => sandbox.clear_faults(),
            (Kind::Real { .. }, None) => {}
        }
    }

    fn real(kubeconfig: PathBuf, share: Option<Share>) -> Cluster {
        let path = |name: &str| PathBuf::from(std::env::var_os(name).expect(name));
        let admin = Api::from_kubeconfig(&path("DEPD_TEST_ADMIN_KUBECONFIG"));
        let kind = Kind::Real { audit_log: path("DEPD_TEST_AUDIT_LOG"), user: None };
        Cluster { kind, kubeconfig, admin, relay: None, _share: share }
    }

    fn sandbox() -> Cluster {
        let sandbox = Sandbox::start(SandboxOptions::default()).expect("the sandbox starts");
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        fs::write(&kubeconfig, sandbox.kubeconfig()).expect("written");
        let mut admin = Api::from_kubeconfig(&kubeconfig);
        // Another user than depd, so that requests can be told apart.
        admin.become_bearer(sandbox.token(), sandbox.ca_pem());
        let kind = Kind::Sandbox { sandbox, _folder: folder };
        Cluster { kind, kubeconfig, admin, relay: None, _share: None }
    }

    /// Where it listens on loopback.
    pub fn port(&self) -> u16 {
        self.admin.port()
    }

    /// A name that no other test uses.
    pub fn unused_namespace(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{n}-{}", std::process::id());
        if let Some(way) = way::current() {
            way.note(&name);
        }
        name
    }

    /// A fresh namespace.
    pub fn namespace(&self) -> String {
        let name = self.unused_namespace();
        self.create_namespace(&name);
        name
    }

    /// Creates the namespace, as a person does who reads that it is missing.
    pub fn create_namespace(&self, name: &str) {
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.admin.post("/api/v1/namespaces", &namespace);
        // Pods need it, and the controller that makes it takes its time.
        if self.is_real() {
            let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
            wait_for("the default service account", || self.admin.get(&account));
        }
    }

    /// Creates a Deployment whose container is named like it, and waits until its rollout is done.
    pub fn deployment(&self, namespace: &str, name: &str, image: &str, replicas: u32) {
        self.apply_deployment(namespace, name, image, replicas);
        self.wait_until_available(namespace, name);
    }

    /// Creates a Deployment.
    pub fn apply_deployment(&self, namespace: &str, name: &str, image: &str, replicas: u32) {
        let deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": { "app": name } },
                "template": {
                    "metadata": { "labels": { "app": name } },
                    "spec": { "containers": [{ "name": name, "image": image }] }
                }
            }
        });
        self.admin.post(&format!("/apis/apps/v1/namespaces/{namespace}/deployments"), &deployment);
    }

    /// Creates so many Deployments, `svc-0` and on, and waits until their rollouts are done.
    pub fn many_deployments(&self, namespace: &str, count: usize) -> Vec<String> {
        let names: Vec<String> = (0..count).map(|n| format!("svc-{n}")).collect();
        names.iter().for_each(|name| self.apply_deployment(namespace, name, "nginx:1.24", 1));
        names.iter().for_each(|name| self.wait_until_available(namespace, name));
        names
    }

    pub fn wait_until_available(&self, namespace: &str, name: &str) {
        wait_for(&format!("{name} to be available"), || {
            let deployment = self.get_deployment(namespace, name)?;
            let done = deployment["status"]["availableReplicas"] == deployment["spec"]["replicas"]
                && deployment["status"]["observedGeneration"]
                    == deployment["metadata"]["generation"];
            done.then_some(())
        });
    }

    pub fn get_deployment(&self, namespace: &str, name: &str) -> Option<Value> {
        self.admin.get(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}"))
    }

    pub fn image(&self, namespace: &str, name: &str) -> String {
        let deployment = self.get_deployment(namespace, name).expect("it is there");
        let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
        image.as_str().expect("a text").to_owned()
    }

    /// Somebody else than depd changes the image of the container that is named like its Deployment.
    pub fn set_image(&self, namespace: &str, name: &str, image: &str) {
        let containers = json!([{ "name": name, "image": image }]);
        let template = json!({ "spec": { "containers": containers } });
        self.merge_patch(namespace, name, &json!({ "spec": { "template": template } }));
    }

    pub fn pods(&self, namespace: &str) -> Vec<Value> {
        let list = self.admin.get(&format!("/api/v1/namespaces/{namespace}/pods"));
        list.and_then(|list| list["items"].as_array().cloned()).unwrap_or_default()
    }

    pub fn remove(&self, path: &str) {
        self.admin.delete(path);
    }

    /// The Events about an object, as `kubectl describe` finds them.
    pub fn events_of(&self, namespace: &str, name: &str) -> Vec<Value> {
        let list = self.admin.get(&format!(
            "/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name%3D{name}"
        ));
        list.and_then(|list| list["items"].as_array().cloned()).unwrap_or_default()
    }

    pub fn namespace_exists(&self, name: &str) -> bool {
        self.admin.get(&format!("/api/v1/namespaces/{name}")).is_some()
    }

    pub fn merge_patch(&self, namespace: &str, name: &str, patch: &Value) {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        self.admin.patch(&path, patch);
    }

    pub fn json_patch(&self, namespace: &str, name: &str, operations: &Value) {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        self.admin.json_patch(&path, operations);
    }

    pub fn delete_namespace(&self, name: &str) {
        self.admin.delete(&format!("/api/v1/namespaces/{name}"));
    }

    pub fn delete_deployment(&self, namespace: &str, name: &str) {
        self.admin.delete(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}"));
    }

    /// What is at a path of the API.
    pub fn get(&self, path: &str) -> Option<Value> {
        self.admin.get(path)
    }

    /// Creates an object.
    pub fn create(&self, path: &str, object: &Value) {
        self.admin.post(path, object);
    }

    /// Changes an object by merge patch.
    pub fn patch(&self, path: &str, patch: &Value) {
        self.admin.patch(path, patch);
    }

    /// Deletes what is at a path.
    pub fn delete(&self, path: &str) {
        self.admin.delete(path);
    }

    /// What the API server says about creating an object, without creating it.
    pub fn try_create(&self, path: &str, object: &Value) -> Value {
        self.admin.dry_run(path, object)
    }

    /// Every request of depd that concerns `namespace`, as `VERB RESOURCE/NAME`, but for the lists
    /// and watches that keep its view of workloads and pods.
    pub fn requests_of_depd(&self, namespace: &str) -> Vec<String> {
        let is_view = |request: &String| {
            let kinds = ["deployments/", "statefulsets/", "daemonsets/", "pods/"];
            let verb = request.strip_prefix("list ").or_else(|| request.strip_prefix("watch "));
            verb.is_some_and(|kind| kinds.contains(&kind))
        };
        let all = self.all_requests_of_depd(namespace).into_iter();
        all.filter(|request| !is_view(request)).collect()
    }

    /// Those among them that change something.
    pub fn changes_by_depd(&self, namespace: &str) -> Vec<String> {
        let is_read =
            |request: &String| request.starts_with("list ") || request.starts_with("get ");
        self.requests_of_depd(namespace).into_iter().filter(|request| !is_read(request)).collect()
    }

    /// Those that keep its view as well.
    pub fn all_requests_of_depd(&self, namespace: &str) -> Vec<String> {
        match (&self.kind, &self.relay) {
            (_, Some((relay, _))) => recorded(relay.requests(), namespace),
            (Kind::Sandbox { sandbox, .. }, None) => recorded(sandbox.requests(), namespace),
            (Kind::Real { audit_log, user }, None) => {
                audited(audit_log, namespace, user.as_deref())
            }
        }
    }

    /// A new token of depd's service account.
    pub fn token_of_depd(&self) -> String {
        let path = "/api/v1/namespaces/depd-system/serviceaccounts/depd/token";
        let answer = self.admin.post(path, &json!({ "spec": { "audiences": [] } }));
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// An access through a line that can be cut.
    pub fn by_line(&self) -> (PathBuf, Line) {
        if let Some(way) = way::current() {
            return (way.kubeconfig.clone(), way.line.clone());
        }
        let text = fs::read_to_string(&self.kubeconfig).expect("readable");
        let target = format!("127.0.0.1:{}", self.port());
        let line = Line::start(target.parse().expect("an address"));
        let file = self.kubeconfig.with_file_name(format!("{}.by-line", self.unused_namespace()));
        fs::write(&file, text.replace(&target, &line.address.to_string())).expect("written");
        (file, line)
    }

    /// A kubeconfig of a user who may look at everything in this namespace, and change nothing. The
    /// sandbox knows no rights; there a hook refuses in the words of RBAC.
    pub fn only_to_read(&self, namespace: &String) -> PathBuf {
        match &self.kind {
            Kind::Sandbox { .. } => {
                let none: [String; 0] = [];
                self.set_faults(move |request| {
                    (request.method == "PATCH").then(|| beyond(request, &none)).flatten()
                });
                self.kubeconfig.clone()
            }
            Kind::Real { .. } => {
                self.with_roles_in(std::slice::from_ref(namespace), &["get", "list", "watch"])
            }
        }
    }

    /// Gives that user the right to change workloads as well.
    pub fn let_patch(&self, namespace: &str) {
        if !self.is_real() {
            return self.clear_faults();
        }
        let path = "/apis/rbac.authorization.k8s.io/v1/namespaces";
        self.admin.json_patch(
            &format!("{path}/{namespace}/roles/depd"),
            &json!([{ "op": "add", "path": "/rules/0/verbs/-", "value": "patch" }]),
        );
        let role = format!("{path}/{namespace}/rolebindings/depd");
        let subject = self.admin.get(&role).expect("a binding")["subjects"][0].clone();
        let home = subject["namespace"].as_str().expect("a namespace");
        let review = json!({ "spec": {
            "user": format!("system:serviceaccount:{home}:depd"),
            "resourceAttributes": { "group": "apps", "resource": "deployments", "verb": "patch",
                                    "namespace": namespace } } });
        let reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        wait_for("the right to be in force", || {
            let answer = self.admin.post(reviews, &review);
            (answer["status"]["allowed"] == true).then_some(())
        });
    }

    /// A kubeconfig of a user whose rights end at these namespaces: a Role in each of them. The
    /// sandbox knows no rights; there a hook refuses everything else in the words of RBAC.
    pub fn restricted(&self, namespaces: &[String]) -> PathBuf {
        match &self.kind {
            Kind::Sandbox { .. } => {
                let allowed: Vec<String> = namespaces.to_vec();
                self.set_faults(move |request| beyond(request, &allowed));
                self.kubeconfig.clone()
            }
            Kind::Real { .. } => self.with_roles_in(namespaces, &["get", "list", "watch", "patch"]),
        }
    }

    fn with_roles_in(&self, namespaces: &[String], verbs: &[&str]) -> PathBuf {
        let home = self.namespace();
        let api = "/apis/rbac.authorization.k8s.io/v1/namespaces";
        let account = json!({ "metadata": { "name": "depd", "namespace": home } });
        self.admin.post(&format!("/api/v1/namespaces/{home}/serviceaccounts"), &account);
        let subject = json!({ "kind": "ServiceAccount", "name": "depd", "namespace": home });
        let group = "rbac.authorization.k8s.io";
        for namespace in namespaces {
            let role = json!({ "metadata": { "name": "depd" }, "rules": [
                { "apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "daemonsets"],
                  "verbs": verbs },
                { "apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"] },
                { "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"] },
                { "apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"] },
                { "apiGroups": [""], "resources": ["events"], "verbs": ["list"] },
                { "apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"] }
            ] });
            self.admin.post(&format!("{api}/{namespace}/roles"), &role);
            let binding = json!({ "metadata": { "name": "depd" }, "subjects": [subject],
                "roleRef": { "apiGroup": group, "kind": "Role", "name": "depd" } });
            self.admin.post(&format!("{api}/{namespace}/rolebindings"), &binding);
        }
        let path = format!("/api/v1/namespaces/{home}/serviceaccounts/depd/token");
        let request = json!({ "spec": { "audiences": [] } });
        let answer = self.admin.post(&path, &request);
        let token = answer["status"]["token"].as_str().expect("a token");
        let text = fs::read_to_string(&self.kubeconfig).expect("readable");
        let (before, rest) = text.split_once("token: ").expect("a token");
        let (_, after) = rest.split_once('\n').expect("a further line");
        let file = self.kubeconfig.with_file_name(format!("{home}.kubeconfig"));
        fs::write(&file, format!("{before}token: {token}\n{after}")).expect("written");
        file
    }
}

/// The refusal of what concerns none of these namespaces.
fn beyond(request: &RequestView<'_>, allowed: &[String]) -> Option<Fault> {
    let path = request.target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let at = parts.iter().position(|part| *part == "namespaces");
    let namespace = at.and_then(|at| parts.get(at + 1)).copied();
    let of_depd = request.user == "depd" && path.starts_with("/api");
    if !of_depd || namespace.is_some_and(|it| allowed.iter().any(|name| name == it)) {
        return None;
    }
    let resource = at.map_or_else(|| parts.last(), |at| parts.get(at + 2).or(Some(&"namespaces")));
    let resource = resource.copied().unwrap_or_default();
    let group = if path.starts_with("/apis/apps/") { "apps" } else { "" };
    let place = match namespace {
        Some(namespace) => format!("in the namespace \"{namespace}\""),
        None => "at the cluster scope".into(),
    };
    let verb = match request.method {
        "GET" if request.watch => "watch",
        "GET" if resource == "namespaces" => "get",
        "GET" => "list",
        method => &method.to_lowercase(),
    };
    Some(denied(verb, (group, resource), &place))
}

/// A refusal in the words of RBAC.
pub fn denied(verb: &str, (group, resource): (&str, &str), place: &str) -> Fault {
    let why = format!(
        "User \"depd\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}"
    );
    let status = Status::forbidden(About { group, resource, name: "" }, &why);
    Fault::Respond(Response::status(&status))
}

/// What the sandbox or the relay has answered.
fn recorded(requests: Vec<RequestRecord>, namespace: &str) -> Vec<String> {
    let part = format!("/namespaces/{namespace}");
    let line = |request: RequestRecord| {
        let (path, query) = request.uri.split_once('?').unwrap_or((&request.uri, ""));
        let (_, rest) = path.split_once(&part)?;
        let mut rest = rest.split('/').skip(1);
        let (resource, name) = match (rest.next(), rest.next()) {
            (Some(resource), name) => (resource, name.unwrap_or_default()),
            (None, _) => ("namespaces", namespace),
        };
        let verb = match (request.method.as_str(), name) {
            ("GET", "") if query.contains("watch=") => "watch".to_owned(),
            ("GET", "") => "list".to_owned(),
            (method, _) => method.to_lowercase(),
        };
        Some(format!("{verb} {resource}/{name}"))
    };
    requests.into_iter().filter(|r| r.user == "depd").filter_map(line).collect()
}

/// What the API server's own audit log says.
fn audited(audit_log: &Path, namespace: &str, user: Option<&str>) -> Vec<String> {
    let log = fs::read_to_string(audit_log).expect("the audit log");
    let is_account = |name: &str| {
        let account = name.strip_prefix("system:serviceaccount:");
        account.is_some_and(|account| account.ends_with(":depd"))
    };
    let is_depd = |event: &Value| match user {
        Some(user) => user_of(event) == user,
        None => is_account(user_of(event)),
    };
    let line = |event: Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        format!("{} {}/{}", text(&event["verb"]), text(&object["resource"]), text(&object["name"]))
    };
    events_about(&log, namespace).filter(is_depd).map(line).collect()
}
