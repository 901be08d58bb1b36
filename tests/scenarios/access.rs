//! Every kind of access that depd claims to know, on a real control plane.
//!
//! The sandbox knows one token and one certificate, so these tests say why they do nothing there.

use std::fs;
use std::io::{self, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use depd::cluster::kubeconfig::{Choice, load};
use depd::cluster::{Access, Authorization, Material, Trust};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::http::Request;
use crate::proxy::Proxy;

/// The control plane, and what its kubeconfigs say.
struct Place {
    cluster: Cluster,
    server: String,
    ca: Vec<u8>,
    token: String,
    folder: TempDir,
}

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name).expect(name).into()
}

fn read(kubeconfig: &Path) -> Access {
    let choice = Choice { kubeconfig: Some(kubeconfig.to_owned()), context: None };
    load(&choice, |_| None).expect("a kubeconfig")
}

fn content(material: &Material) -> Vec<u8> {
    match material {
        Material::File(path) => fs::read(path).expect("readable"),
        Material::Inline(content) => content.expose().clone(),
    }
}

impl Place {
    fn find() -> Option<Place> {
        if std::env::var_os("DEPD_TEST_TOKEN_WEBHOOK").is_none() {
            println!("skipped: the sandbox has one token only; scripts/test-cluster runs this");
            return None;
        }
        let cluster = Cluster::start();
        let access = read(&cluster.kubeconfig);
        let Trust::Authority(ca) = &access.trust else { panic!("no authority") };
        let Authorization::Token(token) = &access.authorization else { panic!("no token") };
        Some(Place {
            server: access.server.as_str().to_owned(),
            ca: content(ca),
            token: token.expose().to_string(),
            cluster,
            folder: tempfile::tempdir().expect("a folder"),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A kubeconfig for this cluster with these fields in its cluster and its user.
    fn kubeconfig(&self, name: &str, server: &str, cluster: &str, user: &str) -> PathBuf {
        let ca = STANDARD.encode(&self.ca);
        let text = format!(
            "current-context: t\n\
             clusters: [{{name: t, cluster: {{server: '{server}', certificate-authority-data: {ca}{cluster}}}}}]\n\
             contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\n\
             users: [{{name: t, user: {{{user}}}}}]\n"
        );
        let file = self.path(name);
        fs::write(&file, text).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
        file
    }

    /// The main job, once.
    fn deploys(&self, name: &str, mut depd: Depd) {
        println!("with {name}");
        let namespace = self.cluster.namespace();
        self.cluster.deployment(&namespace, "web", "nginx:1.24", 1);
        depd.launch(&[]);
        depd.save("web", &namespace, "nginx:1.25");
        depd.slack.wait_for("Deployed: web");
        assert_eq!(self.cluster.image(&namespace, "web"), "nginx:1.25", "{name}");
        assert!(!depd.log().iter().any(|line| line.contains(&self.token)), "{name}");
    }
}

#[test]
fn every_kind_of_access_does() {
    let Some(place) = Place::find() else { return };
    let server = place.server.clone();
    let token = format!("token: {}", place.token);
    let plain = |name: &str, file: PathBuf| place.deploys(name, Depd::prepare(&file));

    plain("a token", place.kubeconfig("token", &server, "", &token));

    let minikube = read(&variable("DEPD_TEST_CERT_KUBECONFIG"));
    let identity = minikube.identity.expect("a certificate");
    let data = |material: &Material| STANDARD.encode(content(material));
    let (certificate, key) = (data(&identity.certificate), data(&identity.key));
    let user = format!("client-certificate-data: {certificate}, client-key-data: {key}");
    plain("certificate data", place.kubeconfig("certificate", &server, "", &user));
    plain("certificate files", variable("DEPD_TEST_CERT_KUBECONFIG"));

    let port = server.rsplit(':').next().expect("a port");
    let elsewhere = format!("https://api.localhost:{port}");
    let named = ", tls-server-name: kubernetes";
    plain("another server name", place.kubeconfig("named", &elsewhere, named, &token));

    for kind in ["http", "socks5"] {
        let proxy = Proxy::start();
        let setting = format!(", proxy-url: '{kind}://{}'", proxy.address);
        plain(kind, place.kubeconfig(kind, &server, &setting, &token));
        assert!(proxy.tunnels() > 0, "{kind} was passed by");
    }

    let admin = read(&variable("DEPD_TEST_ADMIN_KUBECONFIG")).identity.expect("a certificate");
    let (certificate, key) = (data(&admin.certificate), data(&admin.key));
    let user = format!(
        "client-certificate-data: {certificate}, client-key-data: {key}, \
         as: 'system:serviceaccount:depd-system:depd', as-groups: ['system:authenticated']"
    );
    plain("impersonation", place.kubeconfig("impersonation", &server, "", &user));

    in_a_pod(&place, port);
}

/// The files and variables that a pod has, in a mount namespace of its own.
fn in_a_pod(place: &Place, port: &str) {
    let mut depd = Depd::prepare(Path::new(""));
    fs::write(place.path("pod-token"), &place.token).expect("written");
    fs::write(place.path("pod-ca"), &place.ca).expect("written");
    let script = format!(
        "mount -t tmpfs none /run && d=/run/secrets/kubernetes.io/serviceaccount && mkdir -p $d && \
         cp {} $d/token && cp {} $d/ca.crt && exec \"$@\"",
        place.path("pod-token").display(),
        place.path("pod-ca").display()
    );
    let can = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/run"]).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("skipped: a pod; this user may not make a mount namespace (unshare -m)");
        return;
    }
    depd.starter = ["unshare", "-m", "sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    depd.env = vec![
        ("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into()),
        ("KUBERNETES_SERVICE_HOST".into(), "127.0.0.1".into()),
        ("KUBERNETES_SERVICE_PORT".into(), port.into()),
    ];
    place.deploys("a service account in a pod", depd);
}

#[test]
fn a_token_file_that_is_replaced_is_read_again() {
    let Some(place) = Place::find() else { return };
    let file = place.path("the-token");
    fs::write(&file, "nonsense").expect("written");
    let user = format!("tokenFile: {}", file.display());
    let kubeconfig = place.kubeconfig("config", &place.server, "", &user);
    let namespace = place.cluster.namespace();
    place.cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = Depd::start_unready(&kubeconfig, &[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.wait_for_log("does not accept the credentials");
    let new = place.path("new-token");
    fs::write(&new, &place.token).expect("written");
    fs::rename(new, file).expect("replaced");
    depd.slack.wait_for("Deployed: web");
}

/// Both use the one webhook, so one after the other.
#[test]
fn credential_plugins_do_and_expiring_tokens_cause_no_failure_and_no_storm() {
    let Some(place) = Place::find() else { return };
    let webhook = Webhook::start();
    the_real_aws(&place, &webhook);
    tokens_that_live_for_seconds(&place, &webhook);
}

/// What `aws eks get-token` makes with the key AKIAEXAMPLE.
fn is_of_eks(token: &str) -> bool {
    let Some(url) = token.strip_prefix("k8s-aws-v1.") else { return false };
    let url = URL_SAFE_NO_PAD.decode(url).unwrap_or_default();
    let url = String::from_utf8_lossy(&url).into_owned();
    url.starts_with("https://sts.") && url.contains("X-Amz-Credential=AKIAEXAMPLE")
}

/// From now on the API server takes tokens of `aws eks get-token`, from this test process.
pub fn accept_tokens_of_eks() {
    Webhook::start().accept(is_of_eks);
}

fn the_real_aws(place: &Place, webhook: &Webhook) {
    let Some(aws) = std::env::var_os("DEPD_TEST_AWS") else {
        println!("skipped: aws eks get-token; DEPD_TEST_AWS names no aws (scripts/test-cluster)");
        return;
    };
    webhook.accept(is_of_eks);
    let user = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1beta1, command: {}, args: [--region, \
         eu-central-1, eks, get-token, --cluster-name, shop, --output, json], env: [{{name: \
         AWS_ACCESS_KEY_ID, value: AKIAEXAMPLE}}, {{name: AWS_SECRET_ACCESS_KEY, value: made-up}}, \
         {{name: PATH, value: /usr/bin:/bin}}]}}",
        aws.to_string_lossy()
    );
    let kubeconfig = place.kubeconfig("eks", &place.server, "", &user);
    place.deploys("aws eks get-token", Depd::prepare(&kubeconfig));
}

/// Seconds that a token lives.
const LIFE: u64 = 5;

fn tokens_that_live_for_seconds(place: &Place, webhook: &Webhook) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    webhook.accept(move |token| {
        let made = token.strip_prefix("short-").and_then(|made| made.parse::<u64>().ok());
        made.is_some_and(|made| now() <= made + LIFE)
    });
    let runs = place.path("runs");
    let plugin = place.path("plugin");
    let script = format!(
        "#!/bin/sh\necho >> {}\nnow=$(date +%s)\n\
         end=$(date -u -d @$((now + {LIFE})) +%Y-%m-%dT%H:%M:%SZ)\n\
         echo '{{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{{\"token\":\"short-'$now'\",\"expirationTimestamp\":\"'$end'\"}}}}'\n",
        runs.display()
    );
    fs::write(&plugin, script).expect("written");
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o700)).expect("ours");
    let user = "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, \
                command: ./plugin, env: [{name: PATH, value: '/usr/bin:/bin'}]}";
    let kubeconfig = place.kubeconfig("short", &place.server, "", user);
    let namespace = place.cluster.namespace();
    place.cluster.deployment(&namespace, "web", "nginx:1.0", 1);
    let start = Instant::now();
    let depd = Depd::start(&kubeconfig, &[]);
    let mut version = 0;
    // Five lives of a token, with a deployment at any moment of them.
    while start.elapsed().as_secs() < 5 * LIFE {
        version += 1;
        let image = format!("nginx:1.{version}");
        depd.save("web", &namespace, &image);
        depd.slack.wait_for(&format!("Deployed: web ({namespace})"));
        crate::wait::wait_for("the message of this version", || {
            depd.slack.messages().iter().find(|m| m.text.contains(&image)).map(|_| ())
        });
    }
    let titles = depd.slack.titles();
    assert!(titles.iter().all(|title| title.starts_with("Deployed")), "{titles:?}");
    let runs = fs::read(runs).expect("it ran").len();
    // One each four seconds is due; twice as many would be a storm in the making.
    let most = usize::try_from(start.elapsed().as_secs() / 2 + 3).expect("small");
    println!("{version} deployments, {runs} runs of the plugin");
    assert!((3..=most).contains(&runs), "{runs} runs of the plugin, {most} at most");
}

/// What depd's ServiceAccount may do in a namespace, in the words of the API server.
fn rights_in(namespace: &str) -> String {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": namespace },
    });
    let text = kubectl(
        &variable("DEPD_TEST_KUBECONFIG"),
        &["create", "--validate=false", "-o", "json", "-f", "-"],
        &review.to_string(),
    );
    let answer: Value = serde_json::from_str(&text.expect("a review")).expect("JSON");
    let words = |value: &Value| {
        let list = value.as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|word| word.as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
            .join(",")
    };
    let rules = answer["status"]["resourceRules"].as_array().cloned().unwrap_or_default();
    let mut lines: Vec<String> = rules
        .iter()
        .map(|rule| {
            let names = words(&rule["resourceNames"]);
            let names = if names.is_empty() { names } else { format!("/{names}") };
            let resources = words(&rule["resources"]);
            format!("[{}] {resources}{names}: {}", words(&rule["apiGroups"]), words(&rule["verbs"]))
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines.join("\n")
}

fn printed(arguments: &[&str]) -> String {
    let depd = Command::new(env!("CARGO_BIN_EXE_depd")).arg("rbac").args(arguments).output();
    String::from_utf8(depd.expect("it runs").stdout).expect("UTF-8")
}

/// What `depd rbac --events` prints, and in one namespace what `--ecr-pull-secret` adds.
#[test]
fn depd_has_the_rights_of_the_golden_list_and_no_other() {
    let Some(place) = Place::find() else { return };
    insta::assert_snapshot!("rights", rights_in("default"));
    let namespace = place.cluster.namespace();
    let manifest = printed(&["--namespace", &namespace, "--events", "--ecr-pull-secret"]);
    let admin = variable("DEPD_TEST_ADMIN_KUBECONFIG");
    kubectl(&admin, &["apply", "-f", "-"], &manifest).expect("applied");
    let rights = crate::wait::wait_for("the new role to count", || {
        let rights = rights_in(&namespace);
        rights.contains("secrets").then_some(rights)
    });
    insta::assert_snapshot!("rights-with-pull-secrets", rights);
}

#[test]
fn the_printed_policy_lets_its_user_change_images_and_nothing_else() {
    let Some(place) = Place::find() else { return };
    let admin = variable("DEPD_TEST_ADMIN_KUBECONFIG");
    let policy = printed(&["--policy", "--user", "minikube-user"]);
    kubectl(&admin, &["apply", "-f", "-"], &policy).expect("applied");
    let namespace = place.cluster.namespace();
    place.cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let limited = variable("DEPD_TEST_CERT_KUBECONFIG");
    let patch = |operations: Value| {
        let text = operations.to_string();
        kubectl(
            &limited,
            &["-n", &namespace, "patch", "deployment", "web", "--type", "json", "-p", &text],
            "",
        )
    };
    // Another number each time: what changes nothing is refused by nobody.
    let mut number = 1;
    crate::wait::wait_for("the policy to be in force", || {
        number += 1;
        patch(json!([{ "op": "replace", "path": "/spec/replicas", "value": number % 3 }])).err()
    });
    let template = "/spec/template/spec";
    let refused = [
        (json!({ "op": "replace", "path": "/spec/replicas", "value": 5 }), "spec differs"),
        (
            json!({ "op": "add", "path": format!("{template}/hostNetwork"), "value": true }),
            "spec.template.spec differs",
        ),
        (
            json!({ "op": "add", "path": format!("{template}/containers/0/env"), "value": [{"name": "A"}] }),
            "containers differ",
        ),
        (
            json!({ "op": "add", "path": format!("{template}/containers/-"), "value": {"name": "b", "image": "b:1"} }),
            "containers differ",
        ),
        (
            json!({ "op": "add", "path": format!("{template}/initContainers"), "value": [{"name": "b", "image": "b:1"}] }),
            "initContainers differ",
        ),
        (
            json!({ "op": "add", "path": "/spec/template/metadata/labels/x", "value": "y" }),
            "spec.template.metadata differs",
        ),
        (
            json!({ "op": "add", "path": "/spec/template/metadata/annotations", "value": {"x": "y"} }),
            "annotations differ in more than restartedAt",
        ),
        (
            json!({ "op": "add", "path": "/metadata/labels", "value": {"x": "y"} }),
            "metadata.labels differs",
        ),
    ];
    for (operation, words) in refused {
        let said = patch(json!([operation])).expect_err(words);
        assert!(said.contains(words) && said.contains("depd-images-only"), "{words}: {said}");
    }
    patch(json!([
        { "op": "replace", "path": format!("{template}/containers/0/image"), "value": "nginx:1.25" },
        { "op": "add", "path": "/metadata/annotations/x", "value": "y" },
        { "op": "add", "path": format!("{template}/imagePullSecrets"), "value": [{ "name": "pull" }] },
    ]))
    .expect("images, annotations and pull secrets are depd's job");
    for _ in 0..2 {
        let restart = Command::new(env!("CARGO_BIN_EXE_depd"))
            .args(["restart", &format!("web_{namespace}"), "--kubeconfig"])
            .arg(&limited)
            .output()
            .expect("it runs");
        assert!(restart.status.success(), "{restart:?}");
    }
    let with_another =
        json!({ "op": "add", "path": "/spec/template/metadata/annotations/x", "value": "y" });
    let said = patch(json!([with_another])).expect_err("another annotation");
    assert!(said.contains("annotations differ in more than restartedAt"), "{said}");
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        kubectl(&admin, &["delete", kind, "depd-images-only"], "").expect("deleted");
    }
}

/// What kubectl prints, or complains about.
fn kubectl(kubeconfig: &Path, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(variable("DEPD_TEST_KUBECTL"))
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("read");
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

type Judge = Box<dyn Fn(&str) -> bool + Send>;

/// Judges tokens for the API server, which knows its users as `minikube-user`.
struct Webhook(Arc<Mutex<Judge>>);

impl Webhook {
    fn start() -> Webhook {
        let address = std::env::var("DEPD_TEST_TOKEN_WEBHOOK").expect("an address");
        let listener = TcpListener::bind(address).expect("a free port");
        let judge: Arc<Mutex<Judge>> = Arc::new(Mutex::new(Box::new(|_| false)));
        let shared = Arc::clone(&judge);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let judge = Arc::clone(&shared);
                thread::spawn(move || drop(review(stream, &judge)));
            }
        });
        Webhook(judge)
    }

    fn accept(&self, judge: impl Fn(&str) -> bool + Send + 'static) {
        *self.0.lock().expect("fine") = Box::new(judge);
    }
}

/// One TokenReview after the other on a connection.
fn review(stream: TcpStream, judge: &Mutex<Judge>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let asked: Value = serde_json::from_slice(&request.body)?;
        let token = asked["spec"]["token"].as_str().unwrap_or_default();
        let authenticated = judge.lock().expect("fine")(token);
        let answer = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "status": { "authenticated": authenticated, "user": { "username": "minikube-user" } },
        })
        .to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        reader.get_mut().write_all(format!("{head}{answer}").as_bytes())?;
    }
    Ok(())
}
