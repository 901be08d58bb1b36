//! The kinds of access that depd claims to know, each made anew for one run of a scenario.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use depd::cluster::kubeconfig::{Choice, load};
use depd::cluster::{Access, Authorization, Material, Trust};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::line::Line;
use crate::proxy::Proxy;
use crate::way::{Identity, Way};
use crate::webhook::Webhook;

/// The service account that `tests/cluster/rbac.yaml` makes.
const ACCOUNT: &str = "system:serviceaccount:depd-system:depd";

/// A name of the server's certificate that no resolver knows.
const NAME: &str = "kubernetes.default.svc";

/// What the proxies want to hear.
const LOGIN: &str = "ann:proxy-secret";

/// The control plane, and what its kubeconfigs say.
pub struct Place {
    pub cluster: Cluster,
    pub server: String,
    pub token: String,
    ca: Vec<u8>,
    address: SocketAddr,
    pub folder: Arc<TempDir>,
}

pub fn variable(name: &str) -> PathBuf {
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

/// Writes a file that is executable, and nobody else's.
pub fn write_own(file: &Path, text: &str) {
    fs::write(file, text).expect("written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o700)).expect("ours");
}

impl Place {
    pub fn find() -> Option<Place> {
        if std::env::var_os("DEPD_TEST_TOKEN_WEBHOOK").is_none() {
            println!("skipped: the sandbox has one token only; scripts/test-cluster runs this");
            return None;
        }
        let cluster = Cluster::start();
        let access = read(&cluster.kubeconfig);
        let Trust::Authority(ca) = &access.trust else { panic!("no authority") };
        let Authorization::Token(token) = &access.authorization else { panic!("no token") };
        let server = access.server.as_str().to_owned();
        Some(Place {
            address: server.trim_start_matches("https://").parse().expect("an address"),
            server,
            token: token.expose().to_string(),
            ca: content(ca),
            cluster,
            folder: folder(),
        })
    }

    /// A place for one run.
    fn anew(&self) -> Place {
        Place {
            cluster: self.cluster.again(),
            server: self.server.clone(),
            token: self.token.clone(),
            ca: self.ca.clone(),
            address: self.address,
            folder: folder(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A kubeconfig for this cluster with these fields in its cluster and its user.
    pub fn kubeconfig(&self, server: &str, cluster: &str, user: &str) -> PathBuf {
        let ca = STANDARD.encode(&self.ca);
        let text = format!(
            "current-context: t\n\
             clusters: [{{name: t, cluster: {{server: '{server}', certificate-authority-data: {ca}{cluster}}}}}]\n\
             contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\n\
             users: [{{name: t, user: {{{user}}}}}]\n"
        );
        let file = self.path("config");
        write_own(&file, &text);
        file
    }

    fn port(&self) -> u16 {
        self.address.port()
    }

    fn line(&self) -> Line {
        Line::start(self.address)
    }

    fn way(&self, cluster: &str, user: &str, identity: Identity) -> Way {
        let line = self.line();
        let file = self.kubeconfig(&format!("https://{}", line.address), cluster, user);
        Way::new(line, file, identity, Arc::clone(&self.folder))
    }

    /// A way through a proxy, `%` being its address, to a server that only it finds.
    fn proxied(&self, tls: Option<Arc<ServerConfig>>, url: &str) -> Way {
        let line = self.line();
        let target = format!("{NAME}:{}", self.port());
        let detours = [(&*target, &*line.address.to_string())];
        let proxy = Proxy::guarded(LOGIN, &detours, tls);
        let (token, identity) = self.account();
        let setting = format!(", proxy-url: '{}'", url.replace('%', &proxy.address));
        let user = format!("token: {token}");
        let file = self.kubeconfig(&format!("https://{target}"), &setting, &user);
        let mut way = Way::new(line, file, identity, Arc::clone(&self.folder));
        way.proxy = Some((proxy, target));
        way
    }

    /// A new token of the service account.
    fn account(&self) -> (String, Identity) {
        let identity = identity(ACCOUNT);
        let token = self.cluster.token_of_depd();
        know(&identity, &token);
        (token, identity)
    }
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a folder"))
}

fn identity(user: &str) -> Identity {
    Identity { user: user.to_owned(), by: None, credentials: Arc::default() }
}

/// From now on this token may be used.
fn know(identity: &Identity, token: &str) {
    let claims = token.split('.').nth(1).expect("a JWT");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let id = format!("JTI={}", claims["jti"].as_str().expect("an id"));
    identity.credentials.lock().expect("fine").insert(id);
}

/// The certificate of a kubeconfig as fields of a user, and as whom the server knows it.
fn certificate(kubeconfig: &str, user: &str) -> (String, Identity) {
    let own = read(&variable(kubeconfig)).identity.expect("a certificate");
    let (pem, key) = (content(&own.certificate), content(&own.key));
    let der = CertificateDer::from_pem_slice(&pem).expect("PEM");
    let fields = format!(
        "client-certificate-data: {}, client-key-data: {}",
        STANDARD.encode(pem),
        STANDARD.encode(key)
    );
    let credentials = BTreeSet::from([name_of(&der)]);
    let credentials = Arc::new(Mutex::new(credentials));
    (fields, Identity { user: user.to_owned(), by: None, credentials })
}

/// The name of a certificate in the audit log.
fn name_of(der: &[u8]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, der);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X509SHA256={hash}")
}

/// More tokens of the service account, after this one.
fn more_tokens(place: &Place, first: &str, identity: &Identity) -> Vec<String> {
    let mut tokens = vec![first.to_owned()];
    for _ in 0..4 {
        let token = place.cluster.token_of_depd();
        know(identity, &token);
        tokens.push(token);
    }
    tokens
}

/// Replaces the credentials again and again while the folder is there.
fn rotate<T: Send + 'static>(
    place: &Place,
    all: Vec<T>,
    mut replace: impl FnMut(&T) + Send + 'static,
) {
    let folder: Weak<TempDir> = Arc::downgrade(&place.folder);
    thread::spawn(move || {
        for one in all.iter().cycle() {
            // Held, so that it does not go while it is written to.
            let Some(_held) = folder.upgrade() else { return };
            replace(one);
            thread::sleep(Duration::from_millis(100));
        }
    });
}

/// A kind of access.
pub struct Kind {
    pub name: &'static str,
    make: fn(&Place) -> Way,
    pub credentials: Credentials,
}

/// How many certificates or tokens the server sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// It does not know their names.
    Nameless,
    /// One in all runs.
    One,
    /// One in each run.
    OneEach,
    /// They change under the running depd.
    Many,
}
use Credentials::{Many, Nameless, One, OneEach};

impl Kind {
    /// The way for one run.
    pub fn make(&self, place: &Place) -> Way {
        (self.make)(&place.anew())
    }
}

/// All of them, but for what this machine cannot do, which is said; with `DEPD_TEST_REQUIRE_PROGRAMS=1`
/// that is a failure.
pub fn kinds() -> Vec<Kind> {
    let mut kinds = vec![
        Kind { name: "client certificate data", make: certificate_data, credentials: One },
        Kind { name: "certificate files of Minikube", make: minikube, credentials: One },
        Kind { name: "rotating certificate files", make: certificate_files, credentials: Many },
        Kind { name: "token", make: token, credentials: OneEach },
        Kind { name: "rotating token file", make: token_file, credentials: Many },
        Kind {
            name: "plugin with tokens of two seconds",
            make: short_tokens,
            credentials: Nameless,
        },
        Kind { name: "http proxy", make: http_proxy, credentials: OneEach },
        Kind { name: "https proxy", make: https_proxy, credentials: OneEach },
        Kind { name: "socks5 proxy", make: socks_proxy, credentials: OneEach },
        Kind { name: "HTTPS_PROXY", make: proxy_of_the_environment, credentials: OneEach },
        Kind { name: "tls-server-name", make: another_name, credentials: OneEach },
        Kind { name: "impersonation", make: impersonation, credentials: One },
    ];
    match std::env::var_os("DEPD_TEST_AWS") {
        Some(_) => kinds.push(Kind { name: "aws eks get-token", make: aws, credentials: Nameless }),
        None => skip("aws eks get-token; DEPD_TEST_AWS names no aws"),
    }
    let mount =
        Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/run"]).output();
    match mount.is_ok_and(|output| output.status.success()) {
        true => {
            kinds.push(Kind { name: "in-cluster environment", make: in_a_pod, credentials: Many })
        }
        false => skip("in-cluster environment; no mount namespace (unshare -m)"),
    }
    judge_tokens();
    kinds
}

fn skip(what: &str) {
    let is_required =
        std::env::var_os("DEPD_TEST_REQUIRE_PROGRAMS").is_some_and(|value| value == "1");
    assert!(!is_required, "missing here: {what}");
    println!("skipped: {what}");
}

fn certificate_data(place: &Place) -> Way {
    let (fields, identity) = certificate("DEPD_TEST_CERT_KUBECONFIG", "minikube-user");
    place.way("", &fields, identity)
}

/// Minikube's own file but for the address, with all its paths.
fn minikube(place: &Place) -> Way {
    let line = place.line();
    let (_, identity) = certificate("DEPD_TEST_CERT_KUBECONFIG", "minikube-user");
    let text = fs::read_to_string(variable("DEPD_TEST_CERT_KUBECONFIG")).expect("readable");
    assert!(text.contains("client-certificate: /") && text.contains(&place.server), "{text}");
    let file = place.path("config");
    write_own(&file, &text.replace(&place.server, &format!("https://{}", line.address)));
    Way::new(line, file, identity, Arc::clone(&place.folder))
}

/// Certificate, key and authority are replaced one after the other, so that a pair is torn for a moment.
fn certificate_files(place: &Place) -> Way {
    let run = variable("DEPD_TEST_ADMIN_KUBECONFIG");
    let key = fs::read_to_string(run.with_file_name("ca.key")).expect("readable");
    let mut authority = CertificateParams::default();
    authority.distinguished_name = DistinguishedName::new();
    authority.distinguished_name.push(DnType::CommonName, "depd-test-ca");
    let authority = Issuer::new(authority, KeyPair::from_pem(&key).expect("PEM"));
    let identity = identity("minikube-user");
    let pairs: Vec<[String; 2]> = (0..5)
        .map(|_| {
            let key = KeyPair::generate().expect("a key");
            let mut own = CertificateParams::default();
            own.distinguished_name = DistinguishedName::new();
            own.distinguished_name.push(DnType::CommonName, "minikube-user");
            own.distinguished_name.push(DnType::OrganizationName, "depd-test");
            own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let own = own.signed_by(&key, &authority).expect("signed");
            identity.credentials.lock().expect("fine").insert(name_of(own.der()));
            [own.pem(), key.serialize_pem()]
        })
        .collect();
    let ca = place.ca.clone();
    let [ca_file, certificate, key] = ["a-ca.crt", "a.crt", "a.key"].map(|name| place.path(name));
    let new = ["new-ca.crt", "new.crt", "new.key"].map(|name| place.path(name));
    let replace = move |pair: &[String; 2]| {
        fs::write(&new[0], &ca).expect("written");
        fs::write(&new[1], &pair[0]).expect("written");
        write_own(&new[2], &pair[1]);
        for (new, file) in new.iter().zip([&ca_file, &certificate, &key]) {
            fs::rename(new, file).expect("replaced");
        }
    };
    replace(&pairs[0]);
    let line = place.line();
    let server = format!("https://{}", line.address);
    let user = "client-certificate: a.crt, client-key: a.key";
    let file = place.kubeconfig(&server, "", user);
    let text = fs::read_to_string(&file).expect("readable");
    let inline = format!("certificate-authority-data: {}", STANDARD.encode(&place.ca));
    write_own(&file, &text.replace(&inline, "certificate-authority: a-ca.crt"));
    rotate(place, pairs, replace);
    Way::new(line, file, identity, Arc::clone(&place.folder))
}

fn token(place: &Place) -> Way {
    let (token, identity) = place.account();
    place.way("", &format!("token: {token}"), identity)
}

fn token_file(place: &Place) -> Way {
    let (token, identity) = place.account();
    let file = place.path("token");
    write_own(&file, &token);
    let way = place.way("", &format!("tokenFile: {}", file.display()), identity.clone());
    let new = place.path("new");
    let tokens = more_tokens(place, &token, &identity);
    rotate(place, tokens, move |token| {
        write_own(&new, token);
        fs::rename(&new, &file).expect("replaced");
    });
    way
}

fn http_proxy(place: &Place) -> Way {
    place.proxied(None, &format!("http://{LOGIN}@%"))
}

/// The proxy has the certificate of the API server, which the authority of the kubeconfig vouches for.
fn https_proxy(place: &Place) -> Way {
    let run = variable("DEPD_TEST_ADMIN_KUBECONFIG");
    let chain = CertificateDer::from_pem_file(run.with_file_name("server.crt")).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(run.with_file_name("server.key")).expect("PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a pair");
    place.proxied(Some(Arc::new(config)), &format!("https://{LOGIN}@%"))
}

fn socks_proxy(place: &Place) -> Way {
    place.proxied(None, &format!("socks5://{LOGIN}@%"))
}

fn proxy_of_the_environment(place: &Place) -> Way {
    let mut way = place.proxied(None, "");
    let proxy = way.proxy.as_ref().map(|(proxy, _)| proxy.address.clone()).expect("one");
    let proxy = format!("http://{LOGIN}@{proxy}");
    way.env = vec![("HTTPS_PROXY".into(), proxy)];
    way
}

/// Not one of the names that the server's certificate has.
fn another_name(place: &Place) -> Way {
    let line = place.line();
    let (token, identity) = place.account();
    let server = format!("https://api.localhost:{}", line.address.port());
    let file =
        place.kubeconfig(&server, ", tls-server-name: kubernetes", &format!("token: {token}"));
    Way::new(line, file, identity, Arc::clone(&place.folder))
}

fn impersonation(place: &Place) -> Way {
    let (fields, admin) = certificate("DEPD_TEST_ADMIN_KUBECONFIG", "kubernetes-admin");
    let identity = Identity { user: ACCOUNT.into(), by: Some(admin.user), ..admin };
    let fields = format!("{fields}, as: '{ACCOUNT}', as-groups: ['system:authenticated']");
    place.way("", &fields, identity)
}

/// The files as the kubelet lays them out, and the variables. They change under the running depd.
fn in_a_pod(place: &Place) -> Way {
    let (token, identity) = place.account();
    let line = place.line();
    let account = place.path("account");
    let files = account.join("..0");
    fs::create_dir_all(&files).expect("a folder");
    fs::write(files.join("token"), &token).expect("written");
    fs::write(files.join("ca.crt"), &place.ca).expect("written");
    symlink("..0", account.join("..data")).expect("a link");
    for name in ["token", "ca.crt"] {
        symlink(format!("..data/{name}"), account.join(name)).expect("a link");
    }
    let script = format!(
        "mount -t tmpfs none /run && d=/run/secrets/kubernetes.io/serviceaccount && mkdir -p $d && \
         mount --bind {} $d && exec \"$@\"",
        account.display()
    );
    let (ca, mut number) = (place.ca.clone(), 0);
    let tokens = more_tokens(place, &token, &identity);
    rotate(place, tokens, move |token| {
        let (old, new) = (format!("..{number}"), format!("..{}", number + 1));
        number += 1;
        let folder = account.join(&new);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("token"), token).expect("written");
        fs::write(folder.join("ca.crt"), &ca).expect("written");
        symlink(&new, account.join("..data_tmp")).expect("a link");
        fs::rename(account.join("..data_tmp"), account.join("..data")).expect("replaced");
        fs::remove_dir_all(account.join(old)).expect("removed");
    });
    let port = line.address.port().to_string();
    let mut way = Way::new(line, PathBuf::new(), identity, Arc::clone(&place.folder));
    way.starter = ["unshare", "-m", "sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    way.env = vec![
        ("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into()),
        ("KUBERNETES_SERVICE_HOST".into(), "127.0.0.1".into()),
        ("KUBERNETES_SERVICE_PORT".into(), port),
    ];
    way
}

/// The real one: it signs without a network, and its keys are made up.
fn aws(place: &Place) -> Way {
    let user = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1beta1, command: {}, args: [--region, \
         eu-central-1, eks, get-token, --cluster-name, shop, --output, json], env: [{{name: \
         AWS_ACCESS_KEY_ID, value: AKIAEXAMPLE}}, {{name: AWS_SECRET_ACCESS_KEY, value: made-up}}, \
         {{name: PATH, value: /usr/bin:/bin}}]}}",
        variable("DEPD_TEST_AWS").display()
    );
    place.way("", &user, identity("aws-user"))
}

fn short_tokens(place: &Place) -> Way {
    let user = short_lived(&place.path("plugin"), "short", Some(TWO_SECONDS));
    place.way("", &user, identity("short-user"))
}

const TWO_SECONDS: u64 = 2000;

/// Fields of a user with a plugin, which is written into this file. It prints tokens that begin with this
/// word, go on with a dash and the time, and are said to live for so many milliseconds, or without end.
/// Each run adds a line to the file `runs` beside it.
pub fn short_lived(plugin: &Path, word: &str, life: Option<u64>) -> String {
    let runs = plugin.with_file_name("runs");
    let expires = match life {
        Some(life) => format!(
            "end=$((now + {life}))\n\
             end=$(date -u -d @$((end / 1000)) +%Y-%m-%dT%H:%M:%S).$(printf %03d $((end % 1000)))Z\n\
             more=',\"expirationTimestamp\":\"'$end'\"'\n"
        ),
        None => "more=\n".to_owned(),
    };
    let script = format!(
        "#!/bin/sh\necho run >> {}\nnow=$(date +%s%3N)\n{expires}\
         echo '{{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\
         \"status\":{{\"token\":\"{word}-'$now'\"'\"$more\"'}}}}'\n",
        runs.display()
    );
    write_own(plugin, &script);
    format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, \
         command: {}, env: [{{name: PATH, value: '/usr/bin:/bin'}}]}}",
        plugin.display()
    )
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("fits")
}

/// Whether a token that was made then, as [`short_lived`] writes it, is no older than this.
pub fn is_young(made: &str, most: u64) -> bool {
    made.parse::<u64>().is_ok_and(|made| now() <= made + most)
}

fn judge_tokens() {
    accept_tokens_of_eks();
    let judge = |made: &str| is_young(made, TWO_SECONDS).then(|| "short-user".to_owned());
    Webhook::shared().judge("short-", judge);
}

/// From now on the API server takes what `aws eks get-token` makes with the key AKIAEXAMPLE.
pub fn accept_tokens_of_eks() {
    Webhook::shared().judge("k8s-aws-v1.", |url| {
        let url = URL_SAFE_NO_PAD.decode(url).unwrap_or_default();
        let url = String::from_utf8_lossy(&url).into_owned();
        let is_good =
            url.starts_with("https://sts.") && url.contains("X-Amz-Credential=AKIAEXAMPLE");
        is_good.then(|| "aws-user".to_owned())
    });
}
