//! What a person at a terminal sees besides the log, and that nobody else does. The terminal is made by
//! script(1) of util-linux, which is on every Debian.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::depd;
use super::running::{save, site};

/// `depd run` at a terminal of this size, and all that the terminal was sent.
struct Terminal {
    script: Child,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// `None` where no terminal can be made, which is said.
    fn open(folder: &Path, environment: &[(&str, &str)]) -> Option<Terminal> {
        Terminal::open_with(folder, environment, "")
    }

    /// The same with further arguments.
    fn open_with(folder: &Path, environment: &[(&str, &str)], more: &str) -> Option<Terminal> {
        let probe = Command::new("script").args(["-qec", "true", "/dev/null"]).output();
        if !probe.is_ok_and(|output| output.status.success()) {
            println!("skipped: there is no script(1), which makes terminals (Debian: bsdutils)");
            return None;
        }
        let program = env!("CARGO_BIN_EXE_depd");
        let size = "stty cols 100 rows 30";
        let command = format!("{size}; exec {program} run --kubeconfig kubeconfig {more}");
        let base = depd(folder, &[]);
        let environment = environment.iter().copied();
        let mut script = Command::new("script")
            .args(["-qefc", &command, "/dev/null"])
            .current_dir(folder)
            .env_clear()
            .envs(base.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm")
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script runs");
        let sent: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (mut out, kept) = (script.stdout.take().expect("piped"), Arc::clone(&sent));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut bytes) {
                kept.lock().expect("fine").extend(&bytes[..length]);
            }
        });
        Some(Terminal { script, sent })
    }

    fn sent(&self) -> String {
        String::from_utf8_lossy(&self.sent.lock().expect("fine")).into_owned()
    }

    #[track_caller]
    fn shows(&self, what: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.sent().contains(what) {
            assert!(Instant::now() < until, "no {what:?} in:\n{}", self.sent());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends depd by this signal, and gives what the terminal was sent in all.
    fn end(mut self, folder: &Path, signal: &str) -> String {
        let pid = fs::read_to_string(folder.join("state/depd.lock")).expect("it runs");
        let kill = Command::new("kill").args([signal, pid.trim()]).status();
        assert!(kill.expect("kill runs").success());
        let _ = self.script.wait();
        let until = Instant::now() + Duration::from_secs(60);
        while Arc::strong_count(&self.sent) > 1 && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
        self.sent()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn a_terminal_shows_the_rollouts_in_flight_until_they_are_over_or_depd_is() {
    let (_cluster, folder) = site();
    save(folder.path(), "web_default.dep", "nginx:hang\n");
    let Some(terminal) = Terminal::open(folder.path(), &[]) else { return };
    terminal.shows("ROLLOUT");
    terminal.shows("web_default  1/3      3/3    3/3        ");
    terminal.shows("Rolling out");
    let sent = terminal.end(folder.path(), "-INT");
    let (_, after) = sent.rsplit_once("\x1b[J").expect("the lines are taken away");
    assert!(!after.contains("ROLLOUT"), "{after}");
    assert!(after.contains("SIGINT: finishing what is in hand"), "{after}");
}

#[test]
fn a_log_that_nobody_watches_is_lines_and_nothing_else() {
    let plain = [("NO_COLOR", "1"), ("TERM", "dumb")];
    for environment in plain {
        let (_cluster, folder) = site();
        save(folder.path(), "web_default.dep", "nginx:1.26\n");
        let Some(terminal) = Terminal::open(folder.path(), &[environment]) else { return };
        terminal.shows("web_default: Deployed");
        let sent = terminal.end(folder.path(), "-TERM");
        assert!(!sent.contains('\x1b') && !sent.contains("ROLLOUT"), "{environment:?}: {sent}");
    }
    let (_cluster, folder) = site();
    save(folder.path(), "web_default.dep", "nginx:1.26\n");
    let arguments = ["once", "--kubeconfig", "kubeconfig"];
    let mut command = depd(folder.path(), &arguments);
    let output = command.env("TERM", "xterm").output().expect("it runs");
    let sent = super::stderr(&output);
    assert!(sent.contains("web_default: Deployed"), "{sent}");
    assert!(!sent.contains('\x1b') && !sent.contains("ROLLOUT"), "{sent}");
}

#[test]
fn a_terminal_that_is_closed_ends_the_daemon_and_another_hangup_does_not() {
    let (_cluster, folder) = site();
    let more = "--log-file depd.log";
    let Some(mut terminal) = Terminal::open_with(folder.path(), &[], more) else { return };
    let log = || fs::read_to_string(folder.path().join("depd.log")).unwrap_or_default();
    let says = |what: &str| {
        let until = Instant::now() + Duration::from_secs(60);
        while !log().contains(what) {
            assert!(Instant::now() < until, "no {what:?} in:\n{}", log());
            thread::sleep(Duration::from_millis(10));
        }
    };
    says("the folder is watched");
    let pid = fs::read_to_string(folder.path().join("state/depd.lock")).expect("it runs");
    let kill = Command::new("kill").args(["-HUP", pid.trim()]).status();
    assert!(kill.expect("kill runs").success());
    says("SIGHUP: the settings are as before");
    terminal.script.kill().expect("it runs");
    terminal.script.wait().expect("it ends");
    says("SIGHUP, its terminal is gone: finishing what is in hand");
    says("stopped");
}
