//! From the text of kubeconfigs to an [`Access`], in the layouts that people have.

use super::*;
use crate::cluster::access::{
    Access, Authorization, ClientIdentity, ExecPlugin, ExecVersion, Impersonation, Material, Trust,
};
use crate::cluster::secret::Secret;

const FILE: &str = "/home/ann/.kube/config";

const MINIKUBE: &str = r#"
apiVersion: v1
clusters:
- cluster:
    certificate-authority: /home/ann/.minikube/ca.crt
    extensions:
    - extension:
        last-update: Mon, 02 Nov 2026 09:14:31 CET
        provider: minikube.sigs.k8s.io
        version: v1.38.0
      name: cluster_info
    server: https://192.168.49.2:8443
  name: minikube
contexts:
- context:
    cluster: minikube
    extensions:
    - extension:
        last-update: Mon, 02 Nov 2026 09:14:31 CET
        provider: minikube.sigs.k8s.io
        version: v1.38.0
      name: context_info
    namespace: default
    user: minikube
  name: minikube
current-context: minikube
kind: Config
preferences: {}
users:
- name: minikube
  user:
    client-certificate: /home/ann/.minikube/profiles/minikube/client.crt
    client-key: /home/ann/.minikube/profiles/minikube/client.key
"#;

const DOCKER_DESKTOP: &str = "
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: YXV0aG9yaXR5
    server: https://kubernetes.docker.internal:6443
  name: docker-desktop
contexts:
- context:
    cluster: docker-desktop
    user: docker-desktop
  name: docker-desktop
current-context: docker-desktop
kind: Config
preferences: {}
users:
- name: docker-desktop
  user:
    client-certificate-data: Y2VydGlmaWNhdGU=
    client-key-data: |
      a2V5IG9m
      IGFubg==
";

const EKS: &str = "
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: YXV0aG9yaXR5
    server: https://0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com
  name: arn:aws:eks:eu-central-1:111122223333:cluster/shop
contexts:
- context:
    cluster: arn:aws:eks:eu-central-1:111122223333:cluster/shop
    user: arn:aws:eks:eu-central-1:111122223333:cluster/shop
  name: arn:aws:eks:eu-central-1:111122223333:cluster/shop
current-context: arn:aws:eks:eu-central-1:111122223333:cluster/shop
kind: Config
preferences: {}
users:
- name: arn:aws:eks:eu-central-1:111122223333:cluster/shop
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args: [--region, eu-central-1, eks, get-token, --cluster-name, shop, --output, json]
      command: aws
      env:
      - name: AWS_PROFILE
        value: shop
      interactiveMode: IfAvailable
      provideClusterInfo: false
";

/// The access of a single file.
fn access(text: &str) -> Result<Access, KubeconfigError> {
    pick(&merge(vec![(FILE.into(), parse(Path::new(FILE), text)?)])?, None)
}

/// A kubeconfig with these fields in its cluster and its user.
fn config(cluster: &str, user: &str) -> String {
    format!(
        "current-context: dev\n\
         clusters: [{{name: c, cluster: {{{cluster}}}}}]\n\
         contexts: [{{name: dev, context: {{cluster: c, user: u}}}}]\n\
         users: [{{name: u, user: {{{user}}}}}]\n"
    )
}

fn with_user(user: &str) -> Result<Access, KubeconfigError> {
    access(&config("server: https://a.example", user))
}

fn with_cluster(cluster: &str) -> Result<Access, KubeconfigError> {
    access(&config(cluster, "token: t"))
}

fn file(path: &str) -> Material {
    Material::File(path.into())
}

fn inline(content: &str) -> Material {
    Material::Inline(Secret::new(content.into()))
}

fn token(text: &str) -> Authorization {
    Authorization::Token(Secret::new(text.into()))
}

#[test]
fn minikube_names_its_certificates_as_files() {
    let access = access(MINIKUBE).unwrap();
    assert_eq!(access.server.as_str(), "https://192.168.49.2:8443");
    assert_eq!((&*access.context, &*access.cluster), ("minikube", "minikube"));
    assert_eq!(access.trust, Trust::Authority(file("/home/ann/.minikube/ca.crt")));
    let folder = "/home/ann/.minikube/profiles/minikube";
    let identity = ClientIdentity {
        certificate: file(&format!("{folder}/client.crt")),
        key: file(&format!("{folder}/client.key")),
    };
    assert_eq!(access.identity, Some(identity));
    assert_eq!(access.authorization, Authorization::None);
    assert_eq!(access.origin, FILE);
}

#[test]
fn docker_desktop_carries_its_certificates_inside() {
    let access = access(DOCKER_DESKTOP).unwrap();
    assert_eq!(access.server.as_str(), "https://kubernetes.docker.internal:6443");
    assert_eq!(access.trust, Trust::Authority(inline("authority")));
    let identity = ClientIdentity { certificate: inline("certificate"), key: inline("key of ann") };
    assert_eq!(access.identity, Some(identity));
}

#[test]
fn the_users_ways_to_log_in_are_told_apart() {
    let check = |user: &str, expect: Authorization| {
        assert_eq!(with_user(user).unwrap().authorization, expect, "{user}");
    };
    let secret = |text: &str| Secret::new(text.into());
    check("token: abc", token("abc"));
    check("token: ''", Authorization::None);
    check("token: null", Authorization::None);
    check("token: 0123456", token("0123456"));
    check("token: 1e3", token("1e3"));
    check("", Authorization::None);
    check(
        "tokenFile: token",
        Authorization::TokenFile { path: "/home/ann/.kube/token".into(), fallback: None },
    );
    check(
        "tokenFile: /run/token, token: spare",
        Authorization::TokenFile { path: "/run/token".into(), fallback: Some(secret("spare")) },
    );
    check(
        "username: ann, password: pw",
        Authorization::Basic { username: "ann".into(), password: secret("pw") },
    );
    check("username: ann", Authorization::Basic { username: "ann".into(), password: secret("") });
}

fn plugin(user: &str) -> ExecPlugin {
    match with_user(user).unwrap().authorization {
        Authorization::Exec(plugin) => *plugin,
        other => panic!("{other:?}"),
    }
}

#[test]
fn eks_runs_a_program_for_its_tokens() {
    let Authorization::Exec(plugin) = access(EKS).unwrap().authorization else {
        panic!("no plugin")
    };
    assert_eq!((&*plugin.command, plugin.version), ("aws", ExecVersion::V1Beta1));
    let args: Vec<&str> = plugin.args.iter().map(|arg| &**arg.expose()).collect();
    let expect = ["--region", "eu-central-1", "eks", "get-token", "--cluster-name", "shop"];
    assert_eq!(args, [&expect[..], &["--output", "json"]].concat());
    assert_eq!(plugin.env, [("AWS_PROFILE".into(), Secret::new("shop".into()))]);
    assert_eq!(plugin.cluster, None);
}

#[test]
fn a_plugin_is_asked_only_where_nothing_else_is_given() {
    let exec = "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: aws}";
    assert_eq!(plugin(exec).version, ExecVersion::V1Beta1);
    let beside = |user: &str| with_user(&format!("{user}, {exec}")).unwrap();
    assert_eq!(beside("token: t").authorization, token("t"));
    assert!(matches!(beside("username: ann").authorization, Authorization::Basic { .. }));
    let certificate = beside("client-certificate: a, client-key: b");
    assert_eq!(certificate.authorization, Authorization::None);
    assert!(certificate.identity.is_some());
}

#[test]
fn the_command_of_a_plugin_is_looked_for_in_path_or_beside_the_file() {
    let check = |command: &str, expect: &str| {
        let user = format!(
            "exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: {command}}}"
        );
        assert_eq!(&*plugin(&user).command, expect);
    };
    check("aws", "aws");
    check("./aws", "/home/ann/.kube/./aws");
    check("bin/aws", "/home/ann/.kube/bin/aws");
    check("/opt/aws", "/opt/aws");
}

#[test]
fn a_plugin_that_wants_the_cluster_is_told_what_the_file_says() {
    let user = "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: IfAvailable, \
                command: a, provideClusterInfo: true}";
    let cluster = "server: 'https://a.example/x/', certificate-authority-data: YXV0aG9yaXR5, \
                   tls-server-name: b, proxy-url: 'http://p:1', disable-compression: true, \
                   extensions: [{name: other, extension: 1}, \
                   {name: client.authentication.k8s.io/exec, extension: {audience: x}}]";
    let Authorization::Exec(plugin) = access(&config(cluster, user)).unwrap().authorization else {
        panic!("no plugin")
    };
    let told = plugin.cluster.unwrap();
    assert_eq!(&*told.server, "https://a.example/x/");
    assert_eq!(told.tls_server_name.as_deref(), Some("b"));
    assert_eq!(told.trust, Trust::Authority(inline("authority")));
    assert_eq!(told.config, Some(serde_json::json!({ "audience": "x" })));
    assert!(told.disable_compression && told.proxy_url.is_some());
}

#[test]
fn whom_to_act_as_is_read() {
    let check = |user: &str, expect: Option<Impersonation>| {
        assert_eq!(with_user(user).unwrap().impersonation, expect, "{user}");
    };
    check("token: t, as: ''", None);
    let bob =
        Impersonation { user: "bob".into(), uid: None, groups: Vec::new(), extra: BTreeMap::new() };
    check("token: t, as: bob", Some(bob.clone()));
    let more = Impersonation {
        uid: Some("7".into()),
        groups: vec!["dev".into(), "ops".into()],
        extra: BTreeMap::from([("reason".into(), vec!["a".into(), "b".into()])]),
        ..bob
    };
    check(
        "token: t, as: bob, as-uid: '7', as-groups: [dev, ops], as-user-extra: {Reason: [a, b]}",
        Some(more),
    );
}

#[test]
fn nothing_secret_goes_over_a_connection_that_is_not_encrypted() {
    let plain = |user: &str| access(&config("server: 'http://a.example'", user)).unwrap();
    for user in ["token: t", "username: ann", "client-certificate: a, client-key: b"] {
        let access = plain(user);
        assert_eq!((access.authorization, access.identity), (Authorization::None, None), "{user}");
    }
}

#[test]
fn a_proxy_of_one_cluster_is_read() {
    let proxy = |url: &str| {
        let cluster = format!("server: https://a.example, proxy-url: '{url}'");
        with_cluster(&cluster).unwrap().proxy.map(|proxy| proxy.url.to_string())
    };
    assert_eq!(proxy(""), None);
    assert_eq!(proxy("http://u:p@proxy:3128").as_deref(), Some("http://proxy:3128"));
    assert_eq!(proxy("socks5://127.0.0.1:1080").as_deref(), Some("socks5://127.0.0.1:1080"));
}

#[test]
fn a_certificate_and_a_token_may_come_together() {
    let both = with_user("client-certificate: a.crt, client-key: a.key, token: t").unwrap();
    assert!(both.identity.is_some());
    assert_eq!(both.authorization, token("t"));
}

#[test]
fn what_makes_the_server_trustworthy_is_told_apart() {
    let check = |cluster: &str, expect: Trust| {
        let access = with_cluster(&format!("server: https://a.example{cluster}")).unwrap();
        assert_eq!(access.trust, expect, "{cluster}");
    };
    check("", Trust::PublicRoots);
    check(", insecure-skip-tls-verify: false", Trust::PublicRoots);
    check(", insecure-skip-tls-verify: true", Trust::Unverified);
    check(", certificate-authority: ca.crt", Trust::Authority(file("/home/ann/.kube/ca.crt")));
    check(", certificate-authority-data: YXV0aG9yaXR5", Trust::Authority(inline("authority")));
    check(", certificate-authority: ''", Trust::PublicRoots);
}

#[test]
fn the_name_to_verify_can_differ_from_the_host() {
    let named = with_cluster("server: https://10.0.0.1, tls-server-name: kubernetes").unwrap();
    assert_eq!(named.tls_server_name.as_deref(), Some("kubernetes"));
    let empty = with_cluster("server: https://10.0.0.1, tls-server-name: ''").unwrap();
    assert_eq!(empty.tls_server_name, None);
}

#[test]
fn words_that_old_yaml_took_for_booleans_or_octal_numbers_stay_names() {
    for name in ["on", "off", "yes", "no", "y", "n", "0123", "1_000", "0o", "1.2.3", "12:30"] {
        let text = config("server: https://a.example", &format!("token: {name}"))
            .replace("dev", name)
            .replace("name: c,", &format!("name: {name},"))
            .replace("cluster: c,", &format!("cluster: {name},"));
        let access = access(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((&*access.context, &*access.cluster), (name, name));
        assert_eq!(access.authorization, token(name));
    }
}

#[test]
fn the_context_can_be_chosen() {
    let text = "
current-context: one
clusters:
- {name: a, cluster: {server: https://a.example}}
- {name: b, cluster: {server: https://b.example}}
contexts:
- {name: one, context: {cluster: a}}
- {name: two, context: {cluster: b}}
";
    let merged = merge(vec![(FILE.into(), parse(Path::new(FILE), text).unwrap())]).unwrap();
    let server = |context| pick(&merged, context).unwrap().server.as_str().to_owned();
    assert_eq!(server(None), "https://a.example");
    assert_eq!(server(Some("one")), "https://a.example");
    assert_eq!(server(Some("two")), "https://b.example");
}

#[test]
fn the_first_file_that_says_something_wins() {
    let read = |name: &str, text: &str| (name.into(), parse(Path::new(name), text).unwrap());
    let first = read(
        "/first/config",
        "
clusters:
- {name: shared, cluster: {server: https://first.example}}
users:
- {name: ann, user: {tokenFile: token}}
",
    );
    let second = read(
        "/second/config",
        "
current-context: there
clusters:
- {name: shared, cluster: {server: https://second.example, certificate-authority: ca.crt}}
- {name: other, cluster: {server: https://other.example, certificate-authority: ca.crt}}
contexts:
- {name: there, context: {cluster: shared, user: ann}}
- {name: elsewhere, context: {cluster: other, user: ann}}
users:
- {name: ann, user: {username: ann}}
",
    );
    let third = read("/third/config", "current-context: never");
    let merged = merge(vec![first, second, third]).unwrap();

    let there = pick(&merged, None).unwrap();
    assert_eq!(there.server.as_str(), "https://first.example");
    assert_eq!(there.trust, Trust::PublicRoots, "an entry is taken whole, not mixed");
    let token = Authorization::TokenFile { path: "/first/token".into(), fallback: None };
    assert_eq!(there.authorization, token);
    assert_eq!(there.origin, "/first/config, /second/config, /third/config");
    let elsewhere = pick(&merged, Some("elsewhere")).unwrap();
    assert_eq!(elsewhere.trust, Trust::Authority(file("/second/ca.crt")));
}

#[test]
fn what_is_empty_absent_or_unknown_is_no_mistake() {
    let check = |text: &str| {
        let config = parse(Path::new(FILE), text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert!(merge(vec![(FILE.into(), config)]).unwrap().is_empty(), "{text:?}");
    };
    check("");
    check(" \n\n");
    check("# nothing yet\n");
    check("---\n");
    check("null");
    check("apiVersion: v1\nkind: Config\nclusters: null\ncontexts: []\nusers:\n");
    check("current-context: ''\npreferences: {}\nextensions: []\nsomething-new: {a: 1}\n");
    check("\u{feff}apiVersion: v1\n");
}

#[test]
fn a_kubeconfig_can_be_json() {
    let text = r#"{"current-context": "dev",
        "clusters": [{"name": "c", "cluster": {"server": "https://a.example"}}],
        "contexts": [{"name": "dev", "context": {"cluster": "c", "user": ""}}]}"#;
    assert_eq!(access(text).unwrap().server.as_str(), "https://a.example");
}

/// One place to read every sentence that a wrong kubeconfig can bring.
#[test]
fn every_mistake_is_named_with_its_place_and_a_way_out() {
    let of_user = |user: &str| config("server: https://a.example", user);
    let of_cluster = |cluster: &str| config(cluster, "token: t");
    let of_exec = |version: &str, mode: &str| {
        config(
            "server: https://a.example",
            &format!(
                "exec: {{apiVersion: client.authentication.k8s.io/{version}, command: a, interactiveMode: {mode}}}"
            ),
        )
    };
    let cases: Vec<(&str, String)> = vec![
        ("auth provider", of_user("auth-provider: {name: gcp}")),
        ("another auth provider", of_user("auth-provider: {name: openstack}")),
        ("groups without a user", of_user("token: canary, as-groups: [a]")),
        ("proxy of another kind", of_cluster("server: a, proxy-url: 'ftp://u:canary@p:3128'")),
        ("proxy without a scheme", of_cluster("server: a, proxy-url: 'u:canary@p'")),
        (
            "plugin without a command",
            of_user("exec: {apiVersion: client.authentication.k8s.io/v1}"),
        ),
        ("plugin of old", of_exec("v1alpha1", "Never")),
        ("plugin of another kind", of_exec("v7", "Never")),
        ("plugin that asks", of_exec("v1", "Always")),
        ("plugin that does not say", of_exec("v1", "''")),
        (
            "plugin with a nameless variable",
            of_user(
                "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: a, env: [{value: canary}]}",
            ),
        ),
        ("plugin with odd arguments", of_user("exec: {args: {canary: canary}}")),
        ("another kind", "apiVersion: v1\nkind: Secret\nstringData: {a: canary}\n".into()),
        ("another version", "apiVersion: v2\nkind: Config\n".into()),
        ("no current-context", "contexts: [{name: a}, {name: b}]".into()),
        ("no contexts", "clusters: [{name: c}]".into()),
        ("unknown context", "current-context: gone\ncontexts: [{name: a}]".into()),
        ("unknown cluster", of_user("token: t").replace("cluster: c,", "cluster: gone,")),
        ("no cluster", of_user("token: t").replace("cluster: c,", "")),
        ("unknown user", of_user("token: t").replace("user: u}", "user: gone}")),
        ("empty context", "current-context: a\ncontexts: [{name: a}]".into()),
        ("no server", of_cluster("")),
        ("server without host", of_cluster("server: 'https://'")),
        ("server with credentials", of_cluster("server: 'https://u:canary@a.example'")),
        ("server of another kind", of_cluster("server: 'unix:///run/api.sock'")),
        ("authority is not base64", of_cluster("server: a, certificate-authority-data: '*'")),
        (
            "authority and skip",
            of_cluster("server: a, insecure-skip-tls-verify: true, certificate-authority: b"),
        ),
        (
            "authority twice",
            of_cluster("server: a, certificate-authority: b, certificate-authority-data: YQ=="),
        ),
        ("key twice", of_user("client-certificate: a, client-key: b, client-key-data: YQ==")),
        ("certificate without key", of_user("client-certificate: a.crt")),
        ("certificate is not base64", of_user("client-certificate-data: canary!")),
        ("key is not base64", of_user("client-certificate: a, client-key-data: canary!")),
        ("token of two lines", of_user("token: \"canary\\ncanary\"")),
        ("acting as two lines", of_user("token: t, as: \"canary\\ncanary\"")),
        ("two ways to log in", of_user("token: canary, username: ann")),
        ("token is a map", of_user("token: {canary: canary}")),
        ("password is a list", of_user("username: ann, password: [canary]")),
        ("same name twice", "users: [{name: u}, {name: u}]".into()),
        ("same field twice", of_user("token: canary, token: canary2")),
        ("name is missing", "users: [{user: {token: canary}}]".into()),
        ("user is text", "users: [{name: u, user: 'the \"canary\" \\ canary'}]".into()),
        ("skip is text", of_cluster("insecure-skip-tls-verify: 'yes'")),
        ("a list", "- a\n- b\n".into()),
        ("a word", "canary".into()),
        ("a key file", "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n".into()),
        ("broken YAML", "users:\n- name: u\n  user: {token: canary\n".into()),
        ("tabs", "users:\n\t- name: u\n".into()),
        ("two documents", "kind: Config\n---\nkind: Config\n".into()),
    ];
    let mut texts = String::new();
    for (name, text) in cases {
        let error = access(&text).expect_err(name).to_string();
        assert!(!error.contains("canary"), "{name}: {error}");
        assert!(!error.contains('\n'), "{name}: {error}");
        texts.push_str(&format!("{name}\n    {error}\n"));
    }
    insta::assert_snapshot!(texts);
}

#[test]
fn no_credential_is_in_debug_output() {
    let texts = [
        config("server: https://a.example", "token: canary"),
        config("server: https://a.example", "username: ann, password: canary"),
        config("server: https://a.example", "tokenFile: t, token: canary"),
        config(
            "server: https://a.example, proxy-url: 'http://u:canary@p:3128'",
            "client-certificate: a, client-key-data: canary00",
        ),
    ];
    for text in texts {
        let config = parse(Path::new(FILE), &text).unwrap();
        let parsed = format!("{config:?}");
        let merged = merge(vec![(FILE.into(), config)]).unwrap();
        let all = format!("{parsed} {merged:?} {:?}", pick(&merged, None));
        assert!(!all.contains("canary"), "{all}");
        // The content of the key, decoded, as a list of numbers.
        assert!(!all.contains("113, 169"), "{all}");
    }
}
