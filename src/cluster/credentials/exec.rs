//! Credentials from a plugin, kept until they expire. `[E]`
//!
//! Many threads ask here for every request, so the rules are about restraint. One run at a time, and
//! everybody who waits shares its result. A credential is renewed a little before it expires, by one
//! thread while the others go on with the old one. After a failure, or while the server refuses
//! whatever the plugin returns, the next run waits longer and longer.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use log::{debug, info};
use parking_lot::Mutex;

use super::process::{Outcome, Running, run};
use super::protocol::{self, EXEC_INFO, Reply};
use super::{CredentialsError, Held, bearer};
use crate::cluster::access::{ExecPlugin, Material, Trust};
use crate::cluster::redact::Redaction;
use crate::cluster::text::plain;

/// A plugin may take this long; `aws eks get-token` takes a second or three.
const LIMIT: Duration = Duration::from_secs(30);

/// Renewed this long before it expires, or a fifth of its life where that is shorter.
const MARGIN: Duration = Duration::from_secs(60);

/// The wait after a first failure, and after a refusal of something that was just renewed.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// And the longest.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A plugin with what it returned last.
#[derive(Debug)]
pub(in crate::cluster) struct Plugin {
    plugin: ExecPlugin,
    limit: Duration,
    /// Held by whoever runs it.
    turn: Mutex<()>,
    state: Mutex<State>,
    running: Running,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// From when on it is to be renewed.
    renew_at: Option<Instant>,
    /// From when on it is worth nothing.
    expires_at: Option<Instant>,
    serial: u64,
    failures: u32,
    failed: Option<(Instant, CredentialsError)>,
    /// The last renewal because of a refusal, and how many came in a row.
    refusal: Option<(Instant, u32)>,
}

/// What the state says about asking now.
enum Now {
    Good(Held),
    /// Still good, and due for renewal.
    Due(Held),
    Bad,
    Failed(CredentialsError),
}

impl State {
    fn now(&self, now: Instant) -> Now {
        let past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let usable = self.held.as_ref().filter(|_| !past(self.expires_at));
        let waits = self.failed.as_ref().filter(|(at, _)| now < *at + wait(self.failures));
        match (usable, waits) {
            (Some(held), None) if past(self.renew_at) => Now::Due(held.clone()),
            (Some(held), _) => Now::Good(held.clone()),
            (None, Some((_, error))) => Now::Failed(error.clone()),
            (None, None) => Now::Bad,
        }
    }

    fn take(&mut self, outcome: Result<Reply, CredentialsError>, now: Instant) {
        match outcome {
            Ok(reply) => {
                let life = reply.expires_ms.map(remaining);
                self.expires_at = life.map(|life| now + life);
                self.renew_at = life.map(|life| now + life - MARGIN.min(life / 5));
                self.serial += 1;
                // The same certificate again is no reason for new connections.
                let last = self.held.as_ref().and_then(|held| held.pair.clone());
                let pair = match (reply.pair, last) {
                    (Some(new), Some(last)) if new == *last => Some(last),
                    (new, _) => new.map(Arc::new),
                };
                let header = reply.token.map(|token| bearer(token.expose()));
                self.held = Some(Held { header, pair, serial: self.serial });
                (self.failures, self.failed) = (0, None);
            }
            Err(error) => {
                self.failures += 1;
                self.failed = Some((now, error));
            }
        }
    }

    /// Whether a refusal may lead to a run now; counts it if so.
    fn may_renew(&mut self, now: Instant) -> bool {
        let in_row = match self.refusal {
            Some((at, in_row)) if now < at + wait(in_row) => return false,
            // Long ago: what the plugin returned then was good for a while.
            Some((at, in_row)) if now < at + 4 * wait(in_row) => in_row + 1,
            _ => 1,
        };
        self.refusal = Some((now, in_row));
        true
    }
}

fn wait(times: u32) -> Duration {
    let doubled = SHORTEST_WAIT.saturating_mul(1 << times.saturating_sub(1).min(6));
    doubled.min(LONGEST_WAIT)
}

/// From the wall clock, which the plugin uses, to our own; a time that has passed is no time at all.
fn remaining(expires_ms: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = Duration::from_millis(u64::try_from(expires_ms).unwrap_or(0));
    at.saturating_sub(now)
}

impl Plugin {
    pub(super) fn new(plugin: &ExecPlugin) -> Plugin {
        Plugin {
            plugin: plugin.clone(),
            limit: LIMIT,
            turn: Mutex::default(),
            state: Mutex::default(),
            running: Running::default(),
        }
    }

    pub(super) fn end(&self) {
        self.running.end();
    }

    pub(super) fn get(&self) -> Result<Held, CredentialsError> {
        let look = || self.state.lock().now(Instant::now());
        match look() {
            Now::Good(held) => return Ok(held),
            Now::Failed(error) => return Err(error),
            Now::Due(held) => {
                let Some(_turn) = self.turn.try_lock() else { return Ok(held) };
                if let Now::Due(_) = look() {
                    self.renew();
                }
            }
            Now::Bad => {
                let _turn = self.turn.lock();
                if let Now::Bad = look() {
                    self.renew();
                }
            }
        }
        match look() {
            Now::Good(held) | Now::Due(held) => Ok(held),
            Now::Failed(error) => Err(error),
            Now::Bad => {
                Err(self.error("what it returns has expired already; check this machine's clock"))
            }
        }
    }

    pub(super) fn refused(&self, serial: u64) -> bool {
        let _turn = self.turn.lock();
        let newer = |state: &State| state.held.as_ref().is_some_and(|held| held.serial != serial);
        {
            let mut state = self.state.lock();
            if newer(&state) {
                return true;
            }
            let now = Instant::now();
            if matches!(state.now(now), Now::Failed(_)) || !state.may_renew(now) {
                return false;
            }
        }
        self.renew();
        newer(&self.state.lock())
    }

    /// Runs the plugin; only with the turn.
    fn renew(&self) {
        let outcome = self.run();
        match &outcome {
            Ok(reply) => {
                let life = reply.expires_ms.map(|at| remaining(at).as_secs());
                let life = life.map_or("no end".into(), |seconds| format!("{seconds} s to live"));
                debug!("new credentials from {}: {life}", plain(&self.plugin.command));
            }
            Err(error) => info!("{error}"),
        }
        self.state.lock().take(outcome, Instant::now());
    }

    fn run(&self) -> Result<Reply, CredentialsError> {
        let ExecPlugin { command, args, env, version, cluster, .. } = &self.plugin;
        let authority = match cluster.as_deref().map(|cluster| &cluster.trust) {
            Some(Trust::Authority(Material::File(path))) => Some(
                std::fs::read(path)
                    .map_err(|e| self.error(&format!("{} cannot be read: {e}", path.display())))?,
            ),
            Some(Trust::Authority(Material::Inline(pem))) => Some(pem.expose().clone()),
            _ => None,
        };
        let info = cluster.as_deref().map(|cluster| (cluster, authority.as_deref()));
        let mut process = found(command, std::env::var_os("PATH").as_deref());
        process.args(args.iter().map(|arg| &**arg.expose()));
        process.envs(env.iter().map(|(name, value)| (&**name, &**value.expose())));
        process.env(EXEC_INFO, protocol::request(*version, info));
        match run(process, self.limit, &self.running) {
            Outcome::Ended { status, output, .. } if status.success() => {
                protocol::read(&output, *version).map_err(|problem| self.error(&problem))
            }
            Outcome::Ended { status, output, complaint } => {
                let complaint = self.redaction(&output).apply(&complaint);
                Err(self.error(&said(&format!("it failed with {status}"), &complaint)))
            }
            Outcome::TimedOut { complaint } => {
                let limit = self.limit.as_secs();
                let complaint = self.redaction(&[]).apply(&complaint);
                Err(self.error(&said(&format!("it did not end within {limit} s"), &complaint)))
            }
            Outcome::TooMuch => Err(self.error("it printed more than a credential can be")),
            Outcome::NotStarted(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let hint = &self.plugin.install_hint;
                let missing =
                    "there is no such program; install it, or put its full path into exec.command";
                Err(self.error(&said(missing, hint)))
            }
            Outcome::NotStarted(e) => Err(self.error(&format!("it cannot be started: {e}"))),
        }
    }

    /// What its complaint must not repeat: what the kubeconfig gives it, names of options apart, and
    /// the tokens that it printed, now or before.
    fn redaction(&self, output: &[u8]) -> Redaction {
        let ExecPlugin { args, env, version, .. } = &self.plugin;
        let held = self.state.lock().held.as_ref().and_then(|held| held.header.clone());
        let mut known = Redaction::of_header(held.as_ref().map(|header| &**header.expose()));
        for arg in args.iter().map(|arg| &**arg.expose()) {
            match arg.split_once('=') {
                Some((name, value)) if name.starts_with('-') => known.add(value),
                None if arg.starts_with("--") => {}
                _ => known.add(arg),
            }
        }
        env.iter().for_each(|(_, value)| known.add(value.expose()));
        let printed = protocol::read(output, *version).ok().and_then(|reply| reply.token);
        printed.iter().for_each(|token| known.add(token.expose()));
        known
    }

    fn error(&self, problem: &str) -> CredentialsError {
        CredentialsError(format!("credential plugin {}: {problem}", plain(&self.plugin.command)))
    }
}

/// The program of our own PATH, as kubectl takes it: one that the plugin is given is for its own use.
fn found(command: &str, path: Option<&OsStr>) -> Command {
    let is_program = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let mut folders = std::env::split_paths(path.unwrap_or_default());
    let file = match command.contains('/') {
        true => None,
        false => folders.find_map(|folder| {
            Some(folder.join(command)).filter(|file| file.is_absolute() && is_program(file))
        }),
    };
    match file {
        Some(file) => {
            let mut process = Command::new(file);
            process.arg0(command);
            process
        }
        // It is a path, or will not be found.
        None => Command::new(command),
    }
}

/// Our words, and the plugin's after them.
fn said(ours: &str, theirs: &str) -> String {
    match plain(theirs) {
        theirs if theirs.is_empty() => ours.to_owned(),
        theirs => format!("{ours}: {theirs}"),
    }
}

#[cfg(test)]
mod tests;
