//! What becomes of a container, as the tag of its image says, and in which words. `[C]`
//!
//! Words are those of the kubelet and of containerd.

use serde_json::Value;

use super::super::json::text;

pub(super) const SYNCING: &str = "failed to sync secret cache: timed out waiting for the condition";
pub(super) const MKFAIL: &str =
    "failed to generate container \"x\" spec: failed to apply OCI options: no command specified";
pub(super) const RUNFAIL: &str = "failed to create containerd task: failed to create shim task: OCI runtime \
                       create failed: runc create failed: exec: \"serve\": executable file not \
                       found in $PATH";

/// The fates; see the table of the module above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Missing,
    Private,
    Limited,
    Invalid,
    Absent,
    Config,
    Syncing,
    MkFail,
    RunFail,
    Crash,
    Oom,
    Hang,
    Flaky,
    Well,
}

impl Fate {
    pub(super) fn of(container: &Value) -> Fate {
        let image = text(container, "/image");
        let image = image.split('@').next().unwrap_or_default();
        let tag = image.rsplit('/').next().and_then(|name| name.split_once(':'));
        match tag.map(|(_, tag)| tag.split('-').next().unwrap_or_default()) {
            Some("missing") => Fate::Missing,
            Some("private") => Fate::Private,
            Some("limited") => Fate::Limited,
            Some("invalid") => Fate::Invalid,
            Some("absent") => Fate::Absent,
            Some("config") => Fate::Config,
            Some("syncing") => Fate::Syncing,
            Some("mkfail") => Fate::MkFail,
            Some("runfail") => Fate::RunFail,
            Some("crash") => Fate::Crash,
            Some("oom") => Fate::Oom,
            Some("hang") => Fate::Hang,
            Some("flaky") => Fate::Flaky,
            _ => Fate::Well,
        }
    }

    pub(super) fn crashes(self) -> bool {
        matches!(self, Fate::Crash | Fate::Oom)
    }
}

/// What the container wrote before it ended, or since it started: plausible, and always the same.
pub(in crate::sandbox) fn log_lines(container: &Value) -> &'static [&'static str] {
    match Fate::of(container) {
        Fate::Crash => &["starting", "fatal: cannot open database: connection refused"],
        Fate::Oom => &["starting", "loading index into memory"],
        _ => &["starting", "listening on :8080"],
    }
}

/// What containerd says when it cannot pull.
pub(super) fn pull_error(spec: &Value, fate: Fate) -> String {
    let image = full_name(text(spec, "/image"));
    let failed = format!(
        "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\""
    );
    match fate {
        Fate::Missing => format!("rpc error: code = NotFound desc = {failed}: {image}: not found"),
        Fate::Limited => format!(
            "rpc error: code = Unknown desc = {failed}: unexpected status from HEAD request: 429 Too \
             Many Requests: toomanyrequests: You have reached your unauthenticated pull rate limit"
        ),
        Fate::Private => format!(
            "rpc error: code = Unknown desc = {failed}: pull access denied, repository does not \
             exist or may require authorization: server message: insufficient_scope: \
             authorization failed"
        ),
        _ => format!(
            "rpc error: code = Unknown desc = {failed}: failed to do request: dial tcp \
             192.0.2.1:443: i/o timeout"
        ),
    }
}

/// `nginx:1` is `docker.io/library/nginx:1` to containerd.
pub(super) fn full_name(image: &str) -> String {
    match image.split_once('/') {
        None => format!("docker.io/library/{image}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => image.into(),
        Some(_) => format!("docker.io/{image}"),
    }
}
