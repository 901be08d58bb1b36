//! `depd doctor`: every part looked at, and each sign of trouble provoked once.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use depd::sandbox::{Fault, RequestView, Response, Sandbox, SandboxOptions, Status};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{depd, folder, stderr};

/// A folder in which all is well, beside a pretend cluster.
struct Ward {
    cluster: Sandbox,
    folder: TempDir,
}

impl Ward {
    fn new() -> Ward {
        let cluster = Sandbox::start(SandboxOptions::default()).expect("it starts");
        let folder = folder();
        fs::write(folder.path().join("kubeconfig"), cluster.kubeconfig()).expect("written");
        let ward = Ward { cluster, folder };
        ward.mode("kubeconfig", 0o600);
        ward.mode("deps", 0o755);
        ward.write("deps/web_default.dep", "nginx:1.25\n");
        ward
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path().join(name), content).expect("written");
    }

    fn mode(&self, name: &str, mode: u32) {
        let path = self.path().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    }

    fn doctor(&self, more: &[&str]) -> Command {
        depd(self.path(), &[&["doctor", "--kubeconfig", "kubeconfig"], more].concat())
    }

    /// Exit code and output, without what differs each time.
    fn asked(&self, mut command: Command) -> (Option<i32>, String) {
        let output = command.output().expect("it runs");
        let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
        assert_eq!(stderr(&output), "", "{text}");
        let port = self.cluster.address().port().to_string();
        let folder = self.path().display().to_string();
        let text = text.replace(&folder, "HERE").replace(&format!(":{port}"), ":PORT");
        (output.status.code(), text.lines().map(redacted).collect())
    }

    /// The findings of one check, as the JSON has them.
    fn findings(&self, mut command: Command, check: &str) -> (Option<i32>, Vec<Value>) {
        let output = command.args(["--output", "json"]).output().expect("it runs");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let checks = report["checks"].as_array().expect("a list").iter();
        (output.status.code(), checks.filter(|one| one["check"] == check).cloned().collect())
    }
}

/// Dates, and the limits of this machine.
fn redacted(line: &str) -> String {
    let cut = |line: &str, from: &str, to: &str| -> Option<String> {
        let (before, rest) = line.split_once(from)?;
        let (_, after) = rest.split_once(to)?;
        Some(format!("{before}{from}…{to}{after}"))
    };
    let pairs = [(" ends at ", " days"), (" needed of ", " instance"), (" instance of ", "")];
    let mut text = line.to_owned();
    for (from, to) in pairs {
        if to.is_empty() {
            if let Some((before, rest)) = text.split_once(from) {
                let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                text = format!("{before}{from}…{after}");
            }
        } else if let Some(changed) = cut(&text, from, to) {
            text = changed;
        }
    }
    if let Some((before, rest)) = text.split_once("164 needed of ") {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        text = format!("{before}164 needed of …{after}");
    }
    text + "\n"
}

#[test]
fn where_all_is_well_every_line_says_so() {
    let ward = Ward::new();
    let (code, text) = ward.asked(ward.doctor(&[]));
    insta::assert_snapshot!("well", text);
    assert_eq!(code, Some(0));
    let (_, json) = ward.asked(ward.doctor(&["--output", "json"]));
    insta::assert_snapshot!("well-json", json);
    let (_, yaml) = ward.asked(ward.doctor(&["--output", "yaml"]));
    assert!(yaml.starts_with("checks:\n- check: settings\n  verdict: ok\n"), "{yaml}");
    assert!(!ward.path().join("state").exists(), "nothing is made");
    let writes = ward.cluster.requests().into_iter().filter(|request| request.method != "GET");
    for write in writes.filter(|write| write.user == "depd") {
        assert!(write.uri.ends_with("/selfsubjectaccessreviews"), "{write:?}");
    }
}

/// A sign of trouble: how it comes about, and what is said.
struct Row {
    check: &'static str,
    how: fn(&Ward) -> Command,
    verdict: &'static str,
    says: &'static str,
    remedy: &'static str,
}

fn env(ward: &Ward, name: &str, value: &str) -> Command {
    let mut command = ward.doctor(&[]);
    command.env(name, value);
    command
}

fn answering(ward: &Ward, path: &'static str, response: Response) -> Command {
    ward.cluster.set_faults(move |request: &RequestView<'_>| {
        request.target.contains(path).then(|| Fault::Respond(response.clone()))
    });
    ward.doctor(&[])
}

const ROWS: &[Row] = &[
    Row {
        check: "settings",
        how: |ward| {
            ward.write(".env", "WEBHOOK_FOR_SLACK=https://x/CANARY and more\n");
            ward.doctor(&[])
        },
        verdict: "fail",
        says: "a line is not NAME=value",
        remedy: "",
    },
    Row {
        check: "images",
        how: |ward| ward.doctor(&["--ecr-repo", "https://x y"]),
        verdict: "fail",
        says: "",
        remedy: "",
    },
    Row {
        check: "secrets",
        how: |ward| {
            ward.mode("kubeconfig", 0o644);
            ward.doctor(&[])
        },
        verdict: "warn",
        says: "can be read by everybody",
        remedy: "chmod 600 kubeconfig",
    },
    Row {
        check: "kubeconfig",
        how: |ward| ward.doctor(&["--context", "nope"]),
        verdict: "fail",
        says: "nope",
        remedy: "",
    },
    Row {
        check: "kubeconfig",
        how: |ward| {
            let text = ward.cluster.kubeconfig();
            let begin = text.find("    certificate-authority-data").expect("there");
            let end = begin + text[begin..].find('\n').expect("a line");
            let skip = "    insecure-skip-tls-verify: true";
            ward.write("kubeconfig", &format!("{}{skip}{}", &text[..begin], &text[end..]));
            ward.doctor(&[])
        },
        verdict: "warn",
        says: "anybody can pretend to be the API server",
        remedy: "certificate-authority",
    },
    Row {
        check: "name",
        how: |ward| {
            let text = ward.cluster.kubeconfig().replace("127.0.0.1", "no-such-host.invalid");
            ward.write("kubeconfig", &text);
            ward.doctor(&[])
        },
        verdict: "fail",
        says: "no-such-host.invalid cannot be resolved",
        remedy: "correct server in the kubeconfig",
    },
    Row {
        check: "connection",
        how: |ward| {
            let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
            let closed = closed.local_addr().expect("bound").to_string();
            let open = ward.cluster.address().to_string();
            ward.write("kubeconfig", &ward.cluster.kubeconfig().replace(&open, &closed));
            ward.doctor(&[])
        },
        verdict: "fail",
        says: "does not answer at 127.0.0.1:",
        remedy: "is it up",
    },
    Row {
        check: "credentials",
        how: |ward| {
            // The base64 of something else.
            let key = "client-key-data: ";
            let text = ward.cluster.kubeconfig().replace(key, "client-key-data: QUFB #");
            ward.write("kubeconfig", &text);
            ward.doctor(&[])
        },
        verdict: "fail",
        says: "client key",
        remedy: "",
    },
    Row {
        check: "API server",
        how: |ward| {
            let other = Sandbox::start(SandboxOptions::default()).expect("it starts");
            let [own, theirs] = [&ward.cluster, &other].map(|s| s.address().to_string());
            ward.write("kubeconfig", &ward.cluster.kubeconfig().replace(&own, &theirs));
            // It serves as long as this process lives.
            std::mem::forget(other);
            ward.doctor(&[])
        },
        verdict: "fail",
        says: "is not signed by the certificate authority of the kubeconfig",
        remedy: "see the certificate authority and the server in the kubeconfig",
    },
    Row {
        check: "API server",
        how: |ward| answering(ward, "/version", Response::status(&Status::unauthorized())),
        verdict: "fail",
        says: "does not accept the credentials; renew them",
        remedy: "",
    },
    Row {
        check: "clock",
        how: |ward| {
            let version = json!({ "major": "1", "minor": "37", "gitVersion": "v1.37.2" });
            let date = "Mon, 23 Nov 2020 10:00:00 GMT";
            answering(ward, "/version", Response::json(200, &version).header("Date", date))
        },
        verdict: "fail",
        says: "ahead of the API server's",
        remedy: "set the clocks by NTP",
    },
    Row {
        check: "rights",
        how: |ward| {
            let denied = json!({ "status": { "allowed": false } });
            answering(ward, "selfsubjectaccessreviews", Response::json(201, &denied))
        },
        verdict: "fail",
        says: "get, list, watch, patch on apps/deployments is not granted in default; nothing is deployed",
        remedy: "depd rbac | kubectl apply -f -",
    },
    Row {
        check: "folder",
        how: |ward| ward.doctor(&["--deps", "nope"]),
        verdict: "fail",
        says: "the folder nope does not exist",
        remedy: "",
    },
    Row {
        check: "folder",
        how: |ward| {
            ward.mode("deps", 0o777);
            ward.doctor(&[])
        },
        verdict: "warn",
        says: "everybody on this machine may write to the dep folder",
        remedy: "chmod o-w deps",
    },
    Row {
        check: "folder",
        how: |ward| {
            ward.mode("deps", 0o777);
            ward.doctor(&["--strict"])
        },
        verdict: "fail",
        says: "everybody on this machine may write to the dep folder",
        remedy: "chmod o-w deps",
    },
    Row {
        check: "dep files",
        how: |ward| {
            ward.write("deps/api_default.dep", "nginx\n");
            ward.doctor(&[])
        },
        verdict: "warn",
        says: "1 of 2 cannot be used, such as api_default.dep",
        remedy: "depd check deps",
    },
    Row {
        check: "dep files",
        how: |ward| {
            fs::remove_file(ward.path().join("deps/web_default.dep")).expect("there");
            ward.doctor(&[])
        },
        verdict: "warn",
        says: "there are none yet",
        remedy: "echo IMAGE > deps/SERVICE_NAMESPACE.dep",
    },
    Row {
        check: "watching",
        how: |ward| ward.doctor(&["--poll"]),
        verdict: "ok",
        says: "as --poll asks for",
        remedy: "",
    },
    Row {
        check: "open files",
        how: |ward| {
            let own = ward.doctor(&[]);
            let mut limited = Command::new("sh");
            limited.args(["-c", "ulimit -n 150; exec \"$0\" \"$@\""]);
            limited.arg(own.get_program()).args(own.get_args()).current_dir(ward.path());
            limited.env_clear().env("HOME", ward.path());
            limited.env("STATE_DIRECTORY", ward.path().join("state"));
            limited
        },
        verdict: "warn",
        says: "150 may be open at once, and depd may need 164",
        remedy: "ulimit -n",
    },
    Row {
        check: "state",
        how: |ward| {
            ward.write("state", "a file");
            ward.doctor(&[])
        },
        verdict: "fail",
        says: "state is not a folder",
        remedy: "--state",
    },
    Row {
        check: "store",
        how: |ward| {
            fs::create_dir(ward.path().join("state")).expect("made");
            ward.write("state/depd.db", "no database at all, but long enough to be looked at");
            ward.doctor(&[])
        },
        verdict: "fail",
        says: "cannot read the store",
        remedy: "set aside when depd starts",
    },
    Row {
        check: "messages",
        how: |ward| env(ward, "WEBHOOK_FOR_SLACK", "ftp://hooks.example.com/CANARY"),
        verdict: "fail",
        says: "the webhook's address in WEBHOOK_FOR_SLACK is not usable",
        remedy: "",
    },
    Row {
        check: "messages",
        how: |ward| {
            let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = closed.local_addr().expect("bound").port();
            env(ward, "WEBHOOK_FOR_SLACK", &format!("https://127.0.0.1:{port}/CANARY"))
        },
        verdict: "fail",
        says: "slack: 127.0.0.1:",
        remedy: "check the address",
    },
    Row {
        check: "messages",
        how: |ward| env(ward, "ON_VERDICT", "/nonexistent/program --now"),
        verdict: "fail",
        says: "command: /nonexistent/program is not there",
        remedy: "whole path",
    },
    Row {
        check: "ECR",
        how: |ward| {
            let image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop:1\n";
            ward.write("deps/shop_default.dep", image);
            let mut command = ward.doctor(&["--ecr-check"]);
            command.env("AWS_EC2_METADATA_DISABLED", "true");
            command
        },
        verdict: "fail",
        says: "credentials",
        remedy: "",
    },
];

#[test]
fn every_sign_of_trouble_is_told_with_what_to_do_and_hides_nothing_else() {
    for (at, row) in ROWS.iter().enumerate() {
        let ward = Ward::new();
        let command = (row.how)(&ward);
        let (code, found) = ward.findings(command, row.check);
        let fits = |one: &&Value| {
            let says = |field: &str, part: &str| {
                one[field].as_str().is_some_and(|text| text.contains(part))
            };
            one["verdict"] == row.verdict && says("finding", row.says) && says("remedy", row.remedy)
        };
        assert!(found.iter().any(|one| fits(&one)), "row {at}, {}: {found:#?}", row.check);
        let text = format!("{found:?}");
        assert!(!text.contains("CANARY"), "{text}");
        assert_eq!(code, Some(i32::from(row.verdict == "fail")), "row {at}, {}", row.check);
    }
}

#[test]
fn a_running_depd_is_named_and_a_receiver_is_connected_to_without_a_message() {
    let ward = Ward::new();
    let arguments = ["run", "--kubeconfig", "kubeconfig", "--log-file", "log"];
    let mut daemon = depd(ward.path(), &arguments).spawn().expect("it runs");
    let log = || fs::read_to_string(ward.path().join("log")).unwrap_or_default();
    let until = Instant::now() + Duration::from_secs(60);
    while !log().contains("services differ") {
        assert!(Instant::now() < until, "{}", log());
        thread::yield_now();
    }
    let (_, running) = ward.findings(ward.doctor(&[]), "running");
    assert_eq!(running[0]["finding"], format!("depd, pid {}", daemon.id()));
    let (_, store) = ward.findings(ward.doctor(&[]), "store");
    assert_eq!(store[0]["verdict"], "ok", "{store:?}");
    daemon.kill().expect("it runs");
    daemon.wait().expect("it ends");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/CANARY", listener.local_addr().expect("bound"));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).expect("readable");
        said
    });
    let (_, messages) = ward.findings(env(&ward, "WEBHOOK_FOR_SLACK", &address), "messages");
    assert_eq!(messages[0]["verdict"], "ok", "{messages:?}");
    assert!(messages[0]["finding"].as_str().expect("text").contains("depd report test"));
    assert_eq!(server.join().expect("it ends"), b"", "nothing was sent");
}
