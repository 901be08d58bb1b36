//! Plugins that are shell scripts, and the bookkeeping with a clock of the test's own.

use std::fs;
use std::path::PathBuf;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::cluster::access::{ExecCluster, ExecVersion};
use crate::cluster::secret::Secret;

/// A plugin that runs this script, in which `$RUN` is the number of the run.
struct Script {
    folder: TempDir,
    plugin: Plugin,
}

fn script(body: &str) -> Script {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let text = format!("echo >> {0}; RUN=$(wc -l < {0}); {body}", runs.display());
    let plugin = Plugin::new(&ExecPlugin {
        command: "sh".into(),
        args: vec![Secret::new("-c".into()), Secret::new(text.into())],
        env: vec![("GIVEN".into(), Secret::new("from-kubeconfig".into()))],
        version: ExecVersion::V1,
        install_hint: "".into(),
        cluster: None,
    });
    Script { folder, plugin }
}

impl Script {
    fn runs(&self) -> usize {
        fs::read(self.folder.path().join("runs")).map_or(0, |lines| lines.len())
    }
}

/// A shell line that prints a token.
fn token(text: &str, more: &str) -> String {
    format!(
        r#"echo "{{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{{\"token\":\"{text}\"{more}}}}}""#
    )
}

fn header(held: &Held) -> &str {
    held.header.as_ref().unwrap().expose()
}

#[test]
fn a_hundred_threads_share_one_run() {
    let script = script(&token("t-$RUN-$GIVEN", ""));
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let held = script.plugin.get().unwrap();
                assert_eq!(header(&held), "Bearer t-1-from-kubeconfig");
            });
        }
    });
    assert_eq!(script.runs(), 1);
}

#[test]
fn the_program_is_looked_for_in_our_own_path_and_not_in_that_of_the_plugin() {
    let mut script = script(&token("t-$PATH", ""));
    // Everything there is to run would be another program of that name.
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("sh");
    fs::write(&file, "#!/bin/sh\nexit 9\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", other.path().display());
    script.plugin.plugin.env.push(("PATH".into(), Secret::new((&*path).into())));
    let held = script.plugin.get().unwrap();
    assert_eq!(header(&held), format!("Bearer t-{path}"));
}

#[test]
fn a_hundred_refusals_of_one_token_are_one_run() {
    let script = script(&token("t-$RUN", ""));
    let first = script.plugin.get().unwrap().serial;
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| assert!(script.plugin.refused(first)));
        }
    });
    assert_eq!(header(&script.plugin.get().unwrap()), "Bearer t-2");
    assert_eq!(script.runs(), 2);
    // The new one is refused as well, at once: the server is not asked again and again.
    let second = script.plugin.get().unwrap().serial;
    assert!((0..100).all(|_| !script.plugin.refused(second)));
    assert_eq!(script.runs(), 2);
}

#[test]
fn a_failure_is_said_once_and_not_repeated_by_everybody() {
    let script = script("echo 'no session; run aws sso login' >&2; exit 254");
    for _ in 0..50 {
        let error = script.plugin.get().unwrap_err().to_string();
        let expect =
            "credential plugin sh: it failed with exit status: 254: no session; run aws sso login";
        assert_eq!(error, expect);
    }
    assert_eq!(script.runs(), 1);
}

#[test]
fn a_plugin_that_complains_repeats_nothing_that_it_was_given() {
    let check = |body: &str, expect: &str| {
        let mut script = script(body);
        script.plugin.limit = Duration::from_secs(1);
        for arg in ["given", "--password=canary-of-an-option", "-v", "canary-of-an-argument"] {
            script.plugin.plugin.args.push(Secret::new(arg.into()));
        }
        let error = script.plugin.get().unwrap_err().to_string();
        assert!(error.ends_with(expect), "{error}");
    };
    check("echo \"bad: $GIVEN\" >&2; exit 1", "exit status: 1: bad: [redacted]");
    check(
        "echo \"$0: --password: not $1, not $3\" >&2; exit 1",
        "given: --password: not --password=[redacted], not [redacted]",
    );
    check("echo \"$GIVEN is slow\" >&2; sleep 1000", "within 1 s: [redacted] is slow");
    let printed = token("canary-token", "");
    check(
        &format!("{printed}; echo 'not canary-token' >&2; exit 1"),
        "exit status: 1: not [redacted]",
    );
}

#[test]
fn a_hanging_or_talkative_or_silent_plugin_is_an_error() {
    let check = |body: &str, expect: &str| {
        let mut script = script(body);
        script.plugin.limit = Duration::from_secs(1);
        let error = script.plugin.get().unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
        assert!(!error.contains("canary"), "{error}");
    };
    check("sleep 1000", "it did not end within 1 s");
    check("yes canary", "it printed more than a credential can be");
    check(":", "it printed nothing");
    check("echo canary", "not an ExecCredential");
    check(&token("t", r#",\"expirationTimestamp\":\"2001-01-01T00:00:00Z\""#), "expired already");
}

#[test]
fn a_missing_program_is_an_error_with_the_hint_of_the_kubeconfig() {
    let mut plugin = script("").plugin.plugin.clone();
    plugin.command = "/nowhere/kubelogin".into();
    plugin.install_hint = "\u{1b}[1mget it\u{1b}[0m at\nhttps://example.org".into();
    let error = Plugin::new(&plugin).get().unwrap_err().to_string();
    let expect = "credential plugin /nowhere/kubelogin: there is no such program; install it, or \
                  put its full path into exec.command: [1mget it[0m at https://example.org";
    assert_eq!(error, expect);
}

#[test]
fn the_cluster_is_told_to_a_plugin_that_wants_to_know() {
    let folder = tempfile::tempdir().unwrap();
    let ca: PathBuf = folder.path().join("ca.crt");
    fs::write(&ca, "pem").unwrap();
    let script = script(&format!(
        r#"case "$KUBERNETES_EXEC_INFO" in *'"certificate-authority-data":"cGVt"'*) {} ;; esac"#,
        token("knows", "")
    ));
    let mut plugin = script.plugin.plugin.clone();
    plugin.cluster = Some(Box::new(ExecCluster {
        server: "https://a.example".into(),
        tls_server_name: None,
        trust: Trust::Authority(Material::File(ca)),
        proxy_url: None,
        disable_compression: false,
        config: None,
    }));
    assert_eq!(header(&Plugin::new(&plugin).get().unwrap()), "Bearer knows");
}

fn reply(seconds: i64) -> Reply {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let expires_ms = Some(i64::try_from(now).unwrap() + seconds * 1000);
    Reply { token: Some(Secret::new("t".into())), pair: None, expires_ms }
}

#[test]
fn it_is_renewed_before_it_expires_and_kept_until_then() {
    let at = |state: &State, now: Instant| match state.now(now) {
        Now::Good(_) => "good",
        Now::Due(_) => "due",
        Now::Bad => "bad",
        Now::Failed(_) => "failed",
    };
    let start = Instant::now();
    let after = |seconds: u64| start + Duration::from_secs(seconds);
    let mut state = State::default();
    assert_eq!(at(&state, start), "bad");
    // The 14 minutes of EKS: a minute before.
    state.take(Ok(reply(840)), start);
    assert_eq!(at(&state, after(770)), "good");
    assert_eq!(at(&state, after(785)), "due");
    assert_eq!(at(&state, after(845)), "bad");
    // Ten seconds: two before.
    state.take(Ok(reply(10)), start);
    assert_eq!(at(&state, after(7)), "good");
    assert_eq!(at(&state, after(9)), "due");
    // A renewal that fails leaves the old one in use, and is tried again a second later.
    state.take(Err(CredentialsError("x".into())), after(8));
    assert_eq!(at(&state, after(8)), "good");
    assert_eq!(at(&state, after(9)), "due");
    state.take(Err(CredentialsError("x".into())), after(9));
    assert_eq!(at(&state, after(10)), "failed");
    assert_eq!(at(&state, after(12)), "bad");
}

#[test]
fn refusals_in_a_row_lead_to_fewer_and_fewer_runs() {
    let start = Instant::now();
    let mut state = State::default();
    let allowed =
        (0..600).filter(|second| state.may_renew(start + Duration::from_secs(*second))).count();
    assert!((5..=16).contains(&allowed), "{allowed} runs in ten minutes of refusals");
    // A refusal an hour later is a first one again.
    assert!(state.may_renew(start + Duration::from_secs(4200)));
    assert_eq!(state.refusal.unwrap().1, 1);
}
