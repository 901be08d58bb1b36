//! Private images: the pull secret of a namespace, and the look into the registry before a rollout.
//!
//! ECR is played by the server that `scripts/moto` starts. Server-side apply is the API server's own, so the
//! tests of the secret run on a real control plane only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

/// What `scripts/moto env` exports.
struct Moto {
    url: String,
    account: String,
    id: String,
    key: String,
}

impl Moto {
    fn find() -> Option<Moto> {
        let Ok(url) = std::env::var("DEPD_TEST_MOTO") else {
            println!("skipped: DEPD_TEST_MOTO is set by scripts/moto only");
            return None;
        };
        let account = std::env::var("DEPD_TEST_MOTO_ACCOUNT").expect("set with it");
        let keys = std::env::var("DEPD_TEST_MOTO_PULLER").expect("set with it");
        let (id, key) = keys.split_once(' ').expect("two words");
        Some(Moto { url, account, id: id.to_owned(), key: key.to_owned() })
    }

    fn host(&self) -> String {
        format!("{}.dkr.ecr.eu-west-1.amazonaws.com", self.account)
    }

    fn image(&self, tag: &str) -> String {
        format!("{}/shop/web:{tag}", self.host())
    }

    /// The `auth` of a pull secret, which moto makes of the account alone.
    fn auth(&self) -> String {
        STANDARD.encode(format!("AWS:{}-auth-token", self.account))
    }

    /// A depd that may use it.
    fn depd(&self, cluster: &Cluster, arguments: &[&str]) -> Depd {
        let mut depd = Depd::prepare(&cluster.kubeconfig);
        depd.set("AWS_ENDPOINT_URL", &self.url);
        depd.set("AWS_ACCESS_KEY_ID", &self.id);
        depd.set("AWS_SECRET_ACCESS_KEY", &self.key);
        depd.launch(arguments);
        depd
    }
}

/// A real control plane and moto, else says what is missing.
fn both() -> Option<(Cluster, Moto)> {
    let moto = Moto::find()?;
    let cluster = Cluster::start();
    if !cluster.is_real() {
        println!("skipped: server-side apply is the API server's; scripts/test-cluster has one");
        return None;
    }
    Some((cluster, moto))
}

fn secret_path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/depd-ecr")
}

/// Gives depd in one namespace what the README asks for pull secrets, and nothing elsewhere.
fn permit(cluster: &Cluster, namespace: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": "depd-pull-secrets", "namespace": namespace },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "depd-pull-secrets",
        },
        "subjects": [{ "kind": "ServiceAccount", "name": "depd", "namespace": "depd-system" }],
    });
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    cluster.create(&path, &binding);
}

#[track_caller]
fn auth_in(secret: &Value, host: &str) -> Option<String> {
    let content = secret["data"][".dockerconfigjson"].as_str().expect("content");
    let config: Value =
        serde_json::from_slice(&STANDARD.decode(content).expect("base64")).expect("JSON");
    config["auths"][host]["auth"].as_str().map(str::to_owned)
}

#[test]
fn a_new_namespace_gets_its_pull_secret_and_keeps_it_fresh_and_nothing_secret_is_printed() {
    let Some((cluster, moto)) = both() else { return };
    let namespace = cluster.unused_namespace();
    let depd = moto.depd(&cluster, &["--ecr-pull-secret", "--ecr-renew", "1s"]);
    depd.save("web", &namespace, &moto.image("1.2.3"));
    depd.slack.wait_for("Namespace created: web");
    permit(&cluster, &namespace);
    let account = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
    wait_for("the default service account", || cluster.get(&account));
    cluster.patch(&account, &json!({ "imagePullSecrets": [{ "name": "regcred" }] }));
    cluster.apply_deployment(&namespace, "web", "nginx:1.24", 1);
    depd.slack.wait_for("Deployed: web");

    let deployment = cluster.get_deployment(&namespace, "web").expect("there");
    let template = &deployment["spec"]["template"]["spec"];
    assert_eq!(
        template["imagePullSecrets"],
        json!([{ "name": "regcred" }, { "name": "depd-ecr" }])
    );
    let secret = cluster.get(&secret_path(&namespace)).expect("it is made");
    assert_eq!(secret["type"], "kubernetes.io/dockerconfigjson");
    assert_eq!(secret["metadata"]["labels"]["app.kubernetes.io/managed-by"], "depd");
    assert_eq!(auth_in(&secret, &moto.host()), Some(moto.auth()));
    let requests = cluster.requests_of_depd(&namespace);
    let patches = requests.iter().filter(|request| *request == "patch deployments/web").count();
    assert_eq!(patches, 1, "secret and image in one PATCH: {requests:?}");

    let renewed = |secret: &Value| secret["metadata"]["annotations"]["depd.dev/renewed"].clone();
    let first = renewed(&secret);
    for _ in 0..2 {
        let before = renewed(&cluster.get(&secret_path(&namespace)).expect("there"));
        wait_for("the pull secret to be renewed", || {
            let secret = cluster.get(&secret_path(&namespace))?;
            (renewed(&secret) != before).then_some(())
        });
    }
    assert_ne!(renewed(&cluster.get(&secret_path(&namespace)).expect("there")), first);

    let mut printed = depd.log().join("\n");
    depd.slack.messages().iter().for_each(|message| printed += &format!("{message:?}"));
    printed += &depd.everything_kept();
    let arguments = std::fs::read(format!("/proc/{}/cmdline", depd.pid())).expect("it runs");
    printed += &String::from_utf8_lossy(&arguments);
    let password = format!("{}-auth-token", moto.account);
    for secret in [&moto.key, &moto.id, &moto.auth(), &password] {
        assert!(!printed.contains(secret.as_str()), "a secret was printed or kept");
    }
}

#[test]
fn a_second_service_shares_the_secret_and_one_with_pull_secrets_of_its_own_keeps_them() {
    let Some((cluster, moto)) = both() else { return };
    let namespace = cluster.namespace();
    permit(&cluster, &namespace);
    for name in ["one", "two"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let own =
        json!({ "spec": { "template": { "spec": { "imagePullSecrets": [{ "name": "own" }] } } } });
    cluster.merge_patch(&namespace, "two", &own);
    cluster.wait_until_available(&namespace, "two");
    let depd = moto.depd(&cluster, &["--ecr-pull-secret"]);
    depd.save("one", &namespace, &moto.image("1.2.3"));
    depd.slack.wait_for("Deployed: one");
    depd.save("two", &namespace, &moto.image("1.2.4"));
    depd.slack.wait_for("Deployed: two");
    let names = |service: &str| {
        let deployment = cluster.get_deployment(&namespace, service).expect("there");
        deployment["spec"]["template"]["spec"]["imagePullSecrets"].clone()
    };
    assert_eq!(names("one"), json!([{ "name": "depd-ecr" }]));
    assert_eq!(names("two"), json!([{ "name": "own" }, { "name": "depd-ecr" }]));
    // The next change needs the secret as well, and nothing of the template.
    depd.save("two", &namespace, &moto.image("2.0.0"));
    wait_for("the second message", || {
        let titles = depd.slack.titles();
        (titles.iter().filter(|title| title.starts_with("Deployed: two")).count() == 2)
            .then_some(())
    });
    assert_eq!(names("two"), json!([{ "name": "own" }, { "name": "depd-ecr" }]));
}

#[test]
fn a_secret_of_somebody_else_is_left_alone_and_other_images_are_deployed() {
    let Some((cluster, moto)) = both() else { return };
    let namespace = cluster.namespace();
    permit(&cluster, &namespace);
    for name in ["web", "other"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let foreign = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "depd-ecr" },
        "type": "Opaque", "stringData": { "password": "theirs" },
    });
    cluster.create(&format!("/api/v1/namespaces/{namespace}/secrets"), &foreign);
    let before = cluster.get(&secret_path(&namespace));
    let depd = moto.depd(&cluster, &["--ecr-pull-secret"]);
    depd.save("web", &namespace, &moto.image("1.2.3"));
    let message = depd.slack.wait_for("No access to the registry: web");
    assert!(message.text.contains("has a Secret depd-ecr that is not depd's"), "{message:?}");
    depd.save("other", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: other");
    assert_eq!(cluster.get(&secret_path(&namespace)), before, "not a byte of it changed");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.24");
    cluster.remove(&secret_path(&namespace));
    depd.slack.wait_for("Deployed: web");
}

#[test]
fn what_somebody_else_wrote_into_the_secret_is_not_overwritten() {
    let Some((cluster, moto)) = both() else { return };
    let namespace = cluster.namespace();
    permit(&cluster, &namespace);
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = moto.depd(&cluster, &["--ecr-pull-secret", "--ecr-renew", "1s"]);
    depd.save("web", &namespace, &moto.image("1.2.3"));
    depd.slack.wait_for("Deployed: web");
    let theirs = STANDARD.encode("{\"auths\":{}}");
    cluster.patch(&secret_path(&namespace), &json!({ "data": { ".dockerconfigjson": theirs } }));
    depd.wait_for_log("somebody else wrote to Secret depd-ecr");
    depd.slack.wait_for("Pull secrets are not renewed");
    let secret = cluster.get(&secret_path(&namespace)).expect("there");
    assert_eq!(secret["data"][".dockerconfigjson"], theirs);
}

#[test]
fn without_the_right_to_it_the_missing_verb_is_named() {
    let Some((cluster, moto)) = both() else { return };
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = moto.depd(&cluster, &["--ecr-pull-secret"]);
    depd.save("web", &namespace, &moto.image("1.2.3"));
    let message = depd.slack.wait_for("Not permitted: web");
    assert!(message.text.contains("the role lacks verb get on secrets"), "{message:?}");
}

#[test]
fn an_image_that_is_not_in_ecr_is_not_rolled_out_and_its_neighbours_are_named() {
    let Some(moto) = Moto::find() else { return };
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = moto.depd(&cluster, &["--ecr-check"]);
    depd.save("web", &namespace, &moto.image("1.2.5"));
    let message = depd.slack.wait_for("Image missing: web");
    assert!(message.text.contains("the nearest tags are 1.2.3, 1.2.4, 2.0.0"), "{message:?}");
    assert_eq!(cluster.requests_of_depd(&namespace), [""; 0]);
    depd.save("web", &namespace, &moto.image("1.2.4"));
    depd.slack.wait_for("Deployed: web");
    assert_eq!(cluster.requests_of_depd(&namespace), ["patch deployments/web"]);
}
