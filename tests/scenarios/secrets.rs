//! Security rows 3, 8 and 17: no secret is anywhere but on its way, whatever servers send back.
//!
//! Every secret has a text of its own that is looked for in all that depd writes: its log at every
//! level and in both forms, messages, the store with its journal, what commands print, the answers of
//! probes, the arguments of its processes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use depd::sandbox::{Fault, Response};
use serde_json::json;

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::proxy::{Proxy, through};
use crate::receiver::Receiver;
use crate::tls::{Authority, listen};
use crate::wait::wait_for;

/// The user name beside every password here.
const USER: &str = "ann";

/// What is secret in one test.
struct Secrets(Vec<String>);

impl Secrets {
    /// These texts, also as the encodings show them in which they travel.
    fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Secrets {
        let mut all = Vec::new();
        for text in texts {
            assert!(text.len() >= 12, "{text}: too short to be looked for");
            all.push(text.to_owned());
            for before in ["", "ann:", "AWS:"] {
                all.push(STANDARD_NO_PAD.encode(format!("{before}{text}")));
                all.push(URL_SAFE_NO_PAD.encode(format!("{before}{text}")));
            }
        }
        Secrets(all)
    }

    #[track_caller]
    fn are_not_in(&self, place: &str, text: &str) {
        for secret in &self.0 {
            let Some(at) = text.find(secret.as_str()) else { continue };
            let begin = text[..at].char_indices().rev().nth(400).map_or(0, |(at, _)| at);
            panic!("{secret} is in {place}: …{}", &text[begin..at + secret.len()]);
        }
    }

    /// Looks into everything that this depd has written and shows.
    #[track_caller]
    fn are_nowhere(&self, depd: &Depd, receivers: &[&Receiver]) {
        let pid = depd.pid();
        let kill = Command::new("kill").args(["-USR1", &pid.to_string()]).status();
        assert!(kill.expect("kill runs").success());
        depd.wait_for_log("state: ");
        for command in ["status", "history"] {
            for form in ["json", "table"] {
                let mut program = depd.program(&[command, "--state", "state", "--output", form]);
                self.are_not_in(&format!("{command} as {form}"), &printed(&mut program));
            }
        }
        let probes = depd.wait_for_log("probes are answered at http://");
        let (_, rest) = probes.split_once("http://").expect("found");
        let address = rest.split('/').next().expect("an address");
        for path in ["/healthz", "/readyz", "/metrics"] {
            self.are_not_in(path, &get(address, path));
        }
        for receiver in receivers.iter().copied().chain([&depd.slack]) {
            for message in receiver.messages() {
                self.are_not_in("a message", &message.body.to_string());
            }
        }
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
        self.are_not_in("the arguments", &String::from_utf8_lossy(&arguments));
        self.are_not_in("the store", &depd.everything_kept());
        let log = depd.log().join("\n");
        assert!(log.lines().count() > 5, "the log is looked at: {log}");
        assert!(!log.contains("panicked"), "{log}");
        self.are_not_in("the log", &log);
    }
}

fn printed(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// What a GET brings, headers and all.
pub fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

/// A server that sends back all that it is sent, in every way that an error can look.
struct Echo {
    address: String,
    answers: Arc<AtomicUsize>,
}

/// So many ways there are.
const WAYS: usize = 10;

impl Echo {
    fn start() -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let answers: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&answers);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                thread::spawn(move || echo(stream, &count));
            }
        });
        Echo { address, answers }
    }

    /// As an API server, since a token is sent by TLS only.
    fn start_encrypted(authority: &Authority) -> Echo {
        let answers: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&answers);
        let serve = move |stream| {
            let _ = echo(stream, &count);
        };
        let address = listen(authority.server("localhost"), serve);
        Echo { address: address.replace("127.0.0.1", "localhost"), answers }
    }

    #[track_caller]
    fn has_answered(&self, times: usize) {
        wait_for(&format!("{times} answers"), || {
            (self.answers.load(Ordering::SeqCst) >= times).then_some(())
        });
    }
}

fn echo(stream: impl Read + Write, count: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let sent = format!("{head}{}", String::from_utf8_lossy(&body));
        let path = head.split(' ').nth(1).unwrap_or_default();
        let kubernetes = |code: u16| {
            json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "reason": sent, "message": sent, "code": code })
            .to_string()
        };
        let aws = json!({ "__type": "ServerException", "message": sent }).to_string();
        let way = count.load(Ordering::SeqCst) % WAYS;
        let (status, text) = match way {
            0 => ("500 Internal Server Error", format!("{} {sent}", decoded(&sent))),
            1 => ("400 Bad Request", aws),
            2 => ("302 Found", sent.clone()),
            3 => ("403 Forbidden", kubernetes(403)),
            4 => ("200 OK", sent.clone()),
            5 => ("404 Not Found", sent.clone()),
            6 => ("502 Bad Gateway", sent.repeat((10 << 20) / sent.len())),
            7 => ("503 Service Unavailable", kubernetes(503)),
            // Good JSON of the wrong type, and a password as it was before it was encoded.
            8 => ("200 OK", json!(format!("{sent}{}", decoded(&sent))).to_string()),
            _ => ("401 Unauthorized", sent.clone()),
        };
        let more =
            format!("location: {path}#{}\r\nretry-after: 0\r\n", URL_SAFE_NO_PAD.encode(path));
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{more}\r\n", text.len());
        // Who has read enough goes away.
        let sent = reader.get_mut().write_all(format!("{head}{text}").as_bytes());
        count.fetch_add(1, Ordering::SeqCst);
        sent.ok()?;
    }
}

/// The user and password of the request.
fn decoded(sent: &str) -> String {
    let encoded = sent.split_once("asic ").and_then(|(_, rest)| rest.split_whitespace().next());
    let pair = STANDARD.decode(encoded.unwrap_or_default()).unwrap_or_default();
    String::from_utf8_lossy(&pair).into_owned()
}

fn kubeconfig(server: &str, more: &str, user: &str) -> String {
    format!(
        "current-context: t\nclusters: [{{name: t, cluster: {{server: '{server}'{more}}}}}]\n\
         contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\nusers: [{{name: t, user: {{{user}}}}}]\n"
    )
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("ours");
}

/// A depd whose own secrets are canaries too, and its receivers echo; with what is secret there.
fn with_echoing_receivers(depd: &Depd, echo: &Echo) -> Vec<String> {
    let mut secrets = Vec::new();
    for (name, tail) in [
        ("WEBHOOK_FOR_SLACK", "canary-of-slack-0123456789"),
        ("WEBHOOK_FOR_TEAMS", "run?api-version=1&sig=canary-of-teams-0123456789"),
        ("WEBHOOK_FOR_DISCORD", "canary-of-discord-0123456789"),
        ("WEBHOOK_URL", "canary-of-webhook-0123456789"),
    ] {
        depd.set(name, &format!("\"http://{}/services/T/{tail}\"", echo.address));
        secrets.push(tail.rsplit('=').next().expect("one").to_owned());
    }
    depd.set("WEBHOOK_SECRET", "canary-of-signature-0123456789");
    secrets.push("canary-of-signature-0123456789".into());
    secrets
}

#[test]
fn security_3_no_secret_is_shown_by_an_api_server_or_receiver_that_sends_back_what_it_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let ca = format!(", certificate-authority-data: {}", STANDARD.encode(authority.pem()));
    let token = "canary-of-the-api-0123456789";
    fs::write(folder.path().join("token"), token).expect("written");
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": { "token": token },
    });
    script(&folder.path().join("good"), &format!("echo '{credential}'"));
    script(&folder.path().join("garbage"), &format!("echo '{{\"token\": {token}'"));
    let complaint = format!("echo {token}; echo \"no: $A, $1, --token={token}\" >&2");
    script(&folder.path().join("fails"), &format!("{complaint}; exit 3"));
    let plugin = |name: &str| {
        format!(
            "exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, \
             command: ./{name}, args: [{token}], env: [{{name: A, value: {token}}}]}}"
        )
    };
    let cases = [
        ("a token", format!("token: {token}")),
        ("a token file", "tokenFile: token".to_owned()),
        ("a password", format!("username: {USER}, password: {token}")),
        ("a plugin", plugin("good")),
        ("a plugin that prints garbage", plugin("garbage")),
        ("a plugin that fails", plugin("fails")),
    ];
    for (at, (name, user)) in cases.iter().enumerate() {
        println!("with {name}");
        let (api, receivers) = (Echo::start_encrypted(&authority), Echo::start());
        let file = folder.path().join("config");
        let config = kubeconfig(&format!("https://{}", api.address), &ca, user);
        fs::write(&file, config).expect("written");
        let mut depd = Depd::prepare(&file);
        let mut secrets = with_echoing_receivers(&depd, &receivers);
        secrets.push(token.into());
        let secrets = Secrets::new(secrets.iter().map(String::as_str));
        let form = ["text", "json"][at % 2];
        depd.launch_unready_with_log("trace", &["--log-format", form, "--http", "127.0.0.1:0"]);
        depd.save("web", "shop", "this is no image");
        match name.contains("that") {
            true => drop(depd.wait_for_log("plugin")),
            false => {
                api.has_answered(WAYS);
                let shown = ["authorization: Bearer [redacted]", "authorization: Basic [redacted]"];
                wait_for("a token that was sent back", || {
                    depd.log()
                        .iter()
                        .any(|line| shown.iter().any(|it| line.contains(it)))
                        .then_some(())
                });
            }
        }
        receivers.has_answered(4);
        depd.wait_for_log("status 4");
        secrets.are_nowhere(&depd, &[]);
        // The commands that speak to the cluster, and to the receivers.
        let mut restart = depd.program(&["restart", "web_shop"]);
        secrets.are_not_in("restart", &printed(restart.env("KUBECONFIG", &file)));
        if at == 0 {
            let mut test = depd.program(&["report", "test"]);
            secrets.are_not_in("report test", &printed(test.env("RUST_LOG", "trace")));
        }
    }
}

/// AWS, with an endpoint that sends back everything, and one that hands out a token.
#[test]
fn security_3_no_secret_of_aws_is_shown_by_an_endpoint_that_sends_back_what_it_is_sent() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let aws = Echo::start();
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let secrets = [
        ("AWS_ACCESS_KEY_ID", "AKIACANARY0123456789"),
        ("AWS_SECRET_ACCESS_KEY", "canary-of-the-aws-key-0123456789"),
        ("AWS_SESSION_TOKEN", "canary-of-the-aws-session-0123456789"),
    ];
    secrets.iter().for_each(|(name, value)| depd.set(name, value));
    depd.set("AWS_ENDPOINT_URL", &format!("http://{}", aws.address));
    // The right to the secret is granted by other tests, which need it for longer.
    let mut arguments = vec!["--ecr-check", "--http", "127.0.0.1:0"];
    arguments.extend(Some("--ecr-pull-secret").filter(|_| !cluster.is_real()));
    depd.launch_with_log("trace", &arguments);
    let image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/web";
    // A new content is tried at once.
    for turn in 0..WAYS {
        depd.save("web", &namespace, &format!("{image}:1.{turn}"));
        aws.has_answered(turn + 1);
    }
    match cluster.is_real() {
        true => drop(depd.wait_for_log("is in ECR is not known")),
        false => drop(depd.slack.wait_for("No access to the registry: web")),
    }
    Secrets::new(secrets.iter().map(|(_, value)| *value)).are_nowhere(&depd, &[]);
}

#[test]
fn security_3_no_secret_is_shown_where_all_goes_well_and_where_a_patch_does_not() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    for name in ["web", "other"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let authority = Authority::new();
    let names = ["hooks.slack.test", "teams.test", "discord.test", "ci.test"];
    let started: Vec<(Receiver, String)> =
        names.iter().map(|name| Receiver::start_encrypted(name, &authority)).collect();
    let targets: Vec<String> = names.iter().map(|name| format!("{name}:443")).collect();
    let detours: Vec<(&str, &str)> =
        targets.iter().map(String::as_str).zip(started.iter().map(|(_, it)| &**it)).collect();
    let password = "canary-of-the-proxy-0123456789";
    let proxy = Proxy::guarded(&format!("{USER}:{password}"), &detours, None);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let roots = depd.folder().join("roots.pem");
    fs::write(&roots, authority.pem()).expect("written");
    depd.set("SSL_CERT_FILE", &roots.display().to_string());
    depd.set("HTTPS_PROXY", &format!("http://{USER}:{password}@{}", proxy.address));
    let mut secrets = vec![password.to_owned(), "canary-of-signature-0123456789".to_owned()];
    let addresses = ["FOR_SLACK", "FOR_TEAMS", "FOR_DISCORD", "URL"];
    for (name, host) in addresses.iter().zip(names) {
        let secret = format!("canary-of-{name}-0123456789").replace('_', "-");
        depd.set(&format!("WEBHOOK_{name}"), &format!("https://{host}/services/{secret}"));
        secrets.push(secret);
    }
    depd.set("WEBHOOK_SECRET", "canary-of-signature-0123456789");
    // Those of the cluster itself: its token, and its key in every form.
    let config = fs::read_to_string(&cluster.kubeconfig).expect("readable");
    for line in config.lines().filter(|it| it.contains("token: ") || it.contains("key-data: ")) {
        let value = line.rsplit(' ').next().expect("a value").trim_matches('"');
        let key = STANDARD.decode(value).ok().and_then(|pem| String::from_utf8(pem).ok());
        let lines = key.iter().flat_map(|pem| pem.lines()).filter(|it| !it.contains("---"));
        secrets.extend(lines.filter(|it| it.len() > 20).map(str::to_owned));
        secrets.push(value.to_owned());
    }
    assert!(secrets.len() > 6, "the secrets of the cluster are known");
    let secrets = Secrets::new(secrets.iter().map(String::as_str));
    depd.launch_with_log("trace", &["--http", "127.0.0.1:0", "--report", "slack=all"]);
    let said = depd.wait_for_log("slack: messages go to hooks.slack.test through ");
    assert!(said.contains(&format!("http://{} (HTTPS_PROXY)", proxy.address)), "{said}");
    depd.save("web", &namespace, "nginx:1.25");
    let receivers: Vec<&Receiver> = started.iter().map(|(receiver, _)| receiver).collect();
    receivers[0].wait_for("Deployed: web");
    for receiver in &receivers {
        wait_for("a message", || receiver.messages().first().map(|_| ()));
    }
    let mut asked = proxy.targets();
    asked.sort();
    asked.dedup();
    let mut expect = targets.clone();
    expect.sort();
    assert_eq!(asked, expect, "the cluster is on this machine and needs no proxy");
    if !cluster.is_real() {
        // The API server, or what stands before it, sends the credentials back.
        let token = config.lines().find_map(|line| line.trim().strip_prefix("token: "));
        let token = token.unwrap_or_default().trim_matches('"').to_owned();
        let text = format!("bad gateway: authorization: Bearer {token}");
        cluster.set_faults(move |request| {
            let mine = request.user == "depd" && request.method == "PATCH";
            mine.then(|| Fault::Respond(Response::text(400, &text)))
        });
        depd.save("other", &namespace, "nginx:1.25");
        depd.wait_for_log("bad gateway: authorization: Bearer [redacted]");
    }
    secrets.are_nowhere(&depd, &receivers);
}

/// As the API server's proxy and as the receivers', by name and with a password that is wrong.
#[test]
fn security_8_a_proxy_may_speak_tls_and_its_password_is_shown_by_nobody() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let authority = Authority::new();
    let (slack, address) = Receiver::start_encrypted("hooks.slack.test", &authority);
    let password = "canary-of-the-proxy-0123456789";
    let detours = [("hooks.slack.test:443", &*address)];
    let config = fs::read_to_string(&cluster.kubeconfig).expect("readable");
    for (scheme, tls) in [("http", None), ("https", Some(authority.server("localhost")))] {
        println!("by {scheme}");
        let proxy = Proxy::guarded(&format!("{USER}:{password}"), &detours, tls);
        let port = proxy.address.rsplit(':').next().expect("a port");
        let url = |password: &str| format!("{scheme}://{USER}:{password}@localhost:{port}");
        let secrets = Secrets::new([password, "canary-that-is-wrong-0123456789"]);
        let before = slack.messages().len();
        let start = |password: &str| {
            let file = cluster.kubeconfig.with_file_name(format!("by-{scheme}-{port}"));
            fs::write(&file, through(&url(password), &config)).expect("written");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
            let mut depd = Depd::prepare(&file);
            let roots = depd.folder().join("roots.pem");
            fs::write(&roots, authority.pem()).expect("written");
            depd.set("SSL_CERT_FILE", &roots.display().to_string());
            depd.set("HTTPS_PROXY", &url(password));
            depd.set("WEBHOOK_FOR_SLACK", "https://hooks.slack.test/services/T");
            depd.launch_unready_with_log("trace", &["--http", "127.0.0.1:0"]);
            depd
        };
        let depd = start("canary-that-is-wrong-0123456789");
        depd.save("web", &namespace, "this is no image");
        depd.wait_for_log("cannot list");
        depd.wait_for_log("the message is kept");
        secrets.are_nowhere(&depd, &[]);
        drop(depd);
        assert_eq!(proxy.tunnels(), 0);
        let depd = start(password);
        depd.save("web", &namespace, &format!("nginx:{scheme}"));
        wait_for("a message", || (slack.messages().len() > before).then_some(()));
        assert_eq!(cluster.image(&namespace, "web"), format!("nginx:{scheme}"));
        let asked = |part: &str| proxy.targets().iter().any(|target| target.contains(part));
        assert!(asked("hooks.slack.test:443") && asked("127.0.0.1:"), "{:?}", proxy.targets());
        secrets.are_nowhere(&depd, &[&slack]);
    }
}

/// What is wrong with a setting is said without it.
#[test]
fn security_3_a_start_that_is_refused_repeats_no_secret() {
    let secret = "canary-of-a-setting-0123456789";
    let key = STANDARD
        .encode(format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"));
    let good = kubeconfig("https://127.0.0.1:1", "", &format!("token: {secret}"));
    let with = |more: &str, user: &str| kubeconfig("https://127.0.0.1:1", more, user);
    let env = |line: String| (line, good.clone());
    let config = |text: String| (String::new(), text);
    for (name, (line, text)) in [
        ("an address with a password", env(format!("WEBHOOK_FOR_SLACK=https://ann:{secret}@x/"))),
        ("an address without TLS", env(format!("WEBHOOK_URL=http://example.com/{secret}"))),
        (
            "a secret that is short",
            env("WEBHOOK_URL=https://x.test/\nWEBHOOK_SECRET=canary-short".into()),
        ),
        ("a line that is none", env(format!("WEBHOOK_FOR_SLACK=https://x/ {secret}"))),
        (
            "a proxy of no kind",
            (format!("HTTPS_PROXY=ftp://ann:{secret}@p:1"), good.replace("127.0.0.1", "10.0.0.1")),
        ),
        (
            "a proxy before receivers only",
            env(format!(
                "NO_PROXY=127.0.0.1\nHTTPS_PROXY=ftp://ann:{secret}@p:1\nWEBHOOK_FOR_SLACK=https://x.test/"
            )),
        ),
        ("a proxy without a port", config(with(&format!(", proxy-url: 'http://p:{secret}'"), ""))),
        (
            "a key that is none",
            config(with("", &format!("client-certificate-data: {key}, client-key-data: {key}"))),
        ),
        (
            "two ways to log in",
            config(with("", &format!("token: {secret}, username: ann, password: {secret}"))),
        ),
        (
            "a server with a password",
            config(kubeconfig(&format!("https://ann:{secret}@a"), "", "")),
        ),
        ("YAML that is none", config(format!("users: [{{token: {secret}"))),
    ] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        let mut depd = Depd::prepare(file.path());
        fs::write(depd.folder().join(".env"), format!("{line}\n")).expect("written");
        depd.launch_unready_with_log("trace", &[]);
        println!("{name}");
        assert!(!depd.wait().success(), "{name}");
        let said = wait_for("what it says", || {
            let text = depd.log().join("\n");
            (!text.is_empty()).then_some(text)
        });
        println!("{said}");
        Secrets::new([secret, "canary-short"]).are_not_in(name, &said);
    }
}
