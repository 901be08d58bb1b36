//! A credential plugin as a process: bounded in time and output, and gone afterwards. `[E]`
//!
//! It runs in a process group of its own, so that whatever it started ends with it. Its standard
//! input is closed; what it prints is read up to a limit; what it complains about ends up in the
//! error, cut and without control characters.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// An ExecCredential is a few kilobytes.
const OUTPUT_BYTES: u64 = 1 << 20;

/// Complaints beyond this are not kept.
const COMPLAINT_BYTES: u64 = 4 << 10;

/// After its end, what it printed last must arrive within this.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// Settings of ours whose names begin like this are secret and no business of a plugin.
const WITHHELD: &str = "WEBHOOK_";

/// The process group that runs now, so that it can be ended from elsewhere.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    group: Option<Pid>,
    ended: bool,
}

impl Running {
    /// Ends what runs, and whatever would be started later.
    pub(super) fn end(&self) {
        let mut state = self.0.lock();
        state.ended = true;
        if let Some(group) = state.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn start(&self, command: &mut Command) -> io::Result<(Child, Option<Pid>)> {
        let mut state = self.0.lock();
        if state.ended {
            return Err(io::Error::other("depd is stopping"));
        }
        let child = command.spawn()?;
        state.group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok((child, state.group))
    }

    fn over(&self) {
        self.0.lock().group = None;
    }
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It ended in time, with what it printed and complained about.
    Ended { status: ExitStatus, output: Vec<u8>, complaint: String },
    /// It could not be started.
    NotStarted(io::Error),
    /// It was ended because of the time limit.
    TimedOut { complaint: String },
    /// It printed without end, and was ended.
    TooMuch,
}

/// Runs it to its end, or to the limit.
pub(super) fn run(mut command: Command, limit: Duration, running: &Running) -> Outcome {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    withhold(&mut command, std::env::vars_os().map(|(name, _)| name).collect());
    let deadline = Instant::now() + limit;
    let (mut child, group) = match running.start(&mut command) {
        Ok(started) => started,
        Err(e) => return Outcome::NotStarted(e),
    };
    let output = child.stdout.take().map(|pipe| gather(pipe, OUTPUT_BYTES + 1));
    let complaint = child.stderr.take().map(|pipe| gather(pipe, COMPLAINT_BYTES));
    let kill = || {
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    };

    let mut printed = None;
    let mut ended = false;
    while !ended && Instant::now() < deadline {
        // The end of its output comes with its own end, or just before.
        let wait =
            Duration::from_millis(20).min(deadline.saturating_duration_since(Instant::now()));
        match (&output, &printed) {
            (Some(pipe), None) => printed = pipe.recv_timeout(wait).ok(),
            _ => thread::sleep(Duration::from_millis(2)),
        }
        if printed.as_ref().is_some_and(|p| p.len() as u64 > OUTPUT_BYTES) {
            break;
        }
        ended = group.is_none_or(has_ended);
    }
    if ended && printed.is_none() {
        printed = output.as_ref().and_then(|pipe| pipe.recv_timeout(AFTERWARDS).ok());
    }
    // Whatever it left behind goes as well, and with it whoever still holds its pipes: before it is
    // reaped, so that its number still is its own, here and for whoever ends it from elsewhere.
    kill();
    running.over();
    let status = child.wait().ok().filter(|_| ended);
    let complaint = complaint.and_then(|pipe| pipe.recv_timeout(AFTERWARDS).ok());
    let complaint = String::from_utf8_lossy(&complaint.unwrap_or_default()).into_owned();
    let printed = printed
        .or_else(|| output.as_ref().and_then(|pipe| pipe.recv_timeout(AFTERWARDS).ok()))
        .unwrap_or_default();
    if printed.len() as u64 > OUTPUT_BYTES {
        return Outcome::TooMuch;
    }
    match status {
        Some(status) => Outcome::Ended { status, output: printed, complaint },
        None => Outcome::TimedOut { complaint },
    }
}

/// Whether it has ended, without reaping it.
fn has_ended(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

/// Takes our secrets from its environment, inherited ones and those that it was given.
fn withhold(command: &mut Command, inherited: Vec<OsString>) {
    let given = command.get_envs().map(|(name, _)| name.to_owned());
    let all: Vec<OsString> = inherited.into_iter().chain(given).collect();
    for name in all.iter().filter(|name| name.to_string_lossy().starts_with(WITHHELD)) {
        command.env_remove(name);
    }
}

/// Reads a pipe to its end, or to the limit, on a thread of its own.
fn gather(pipe: impl Read + Send + 'static, most: u64) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    let read = move || {
        let mut pipe = pipe;
        let mut bytes = Vec::new();
        let _ = pipe.by_ref().take(most).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
        // The rest is thrown away, so that a talkative program is not blocked.
        let _ = io::copy(&mut pipe, &mut io::sink());
    };
    // Without a thread there is no output, which is an error of its own.
    let _ = thread::Builder::new().name("plugin".into()).spawn(read);
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Outcome {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, limit, &Running::default())
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_it_prints_and_complains_about_is_kept_apart() {
        let Outcome::Ended { status, output, complaint } =
            sh("echo out; echo err >&2; exit 3", LONG)
        else {
            panic!("it ends")
        };
        assert_eq!((status.code(), &*output, &*complaint), (Some(3), &b"out\n"[..], "err\n"));
    }

    #[test]
    fn its_standard_input_is_closed_and_our_secrets_are_not_in_its_environment() {
        let script = "read line && echo no; env | grep -c canary; echo \"[$KEPT]\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("KEPT", "kept");
        for name in ["FOR_SLACK", "FOR_TEAMS", "FOR_DISCORD", "URL", "SECRET"] {
            command.env(format!("WEBHOOK_{name}"), "canary");
        }
        let Outcome::Ended { output, .. } = run(command, LONG, &Running::default()) else {
            panic!("it ends")
        };
        assert_eq!(output, b"0\n[kept]\n");
        let mut command = Command::new("sh");
        withhold(&mut command, vec!["WEBHOOK_URL".into(), "PATH".into()]);
        let removed: Vec<_> = command.get_envs().collect();
        assert_eq!(removed, [("WEBHOOK_URL".as_ref(), None)], "inherited ones too");
    }

    #[test]
    fn a_hanging_one_is_ended_with_everything_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let script = format!("echo why >&2; sleep 1000 & echo $! > {}; wait", pid_file.display());
        let Outcome::TimedOut { complaint } = sh(&script, Duration::from_millis(500)) else {
            panic!("it hangs")
        };
        assert_eq!(complaint, "why\n");
        let pid: i32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
        assert_gone(pid);
    }

    #[test]
    fn one_that_leaves_somebody_behind_is_over_when_it_ends_itself() {
        let Outcome::Ended { output, .. } = sh("sleep 1000 & echo $!", LONG) else {
            panic!("it ends")
        };
        assert_gone(String::from_utf8(output).unwrap().trim().parse().unwrap());
    }

    #[test]
    fn an_endless_printer_is_ended() {
        assert!(matches!(sh("yes", LONG), Outcome::TooMuch));
    }

    #[test]
    fn it_can_be_ended_from_elsewhere_and_is_not_started_afterwards() {
        let running = Running::default();
        thread::scope(|scope| {
            let run = || {
                let mut command = Command::new("sleep");
                command.arg("1000");
                run(command, LONG, &running)
            };
            let handle = scope.spawn(run);
            while running.0.lock().group.is_none() {
                thread::yield_now();
            }
            running.end();
            let outcome = handle.join().unwrap();
            assert!(matches!(outcome, Outcome::Ended { status, .. } if !status.success()));
            assert!(matches!(run(), Outcome::NotStarted(_)));
        });
    }

    /// Gone, or a zombie that nobody has waited for.
    #[track_caller]
    fn assert_gone(pid: i32) {
        let start = Instant::now();
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
            if state.is_empty() || state.starts_with(['Z', 'X']) {
                return;
            }
            assert!(start.elapsed() < LONG, "{pid} still runs: {stat}");
            thread::yield_now();
        }
    }
}
