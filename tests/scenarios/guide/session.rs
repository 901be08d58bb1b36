//! A person at a terminal who types what a page says, in a home folder made for it.
//!
//! Each block is a bash of its own, which begins where the one before it has stopped: in its folder,
//! with its exported variables and its functions.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::wait::wait_for;

/// The home folder, with what was done in it so far.
pub struct Session {
    root: TempDir,
    /// What stands for what in the commands of a page: places of the host, people, addresses.
    pub instead: Vec<(String, String)>,
    /// More environment.
    pub env: Vec<(String, String)>,
    terminals: Vec<Terminal>,
    /// What the last commands have printed.
    pub printed: String,
}

/// Commands that go on.
struct Terminal {
    child: Child,
    output: PathBuf,
}

impl Session {
    pub fn new() -> Session {
        let root = tempfile::tempdir().expect("a folder");
        let session = Session {
            root,
            instead: Vec::new(),
            env: Vec::new(),
            terminals: Vec::new(),
            printed: String::new(),
        };
        for folder in ["home", "bin", "session"] {
            fs::create_dir(session.path(folder)).expect("a folder");
        }
        let home = session.path("home");
        fs::write(session.path("session/folder"), home.display().to_string()).expect("written");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_depd"), session.path("bin/depd"))
            .expect("a link");
        session
    }

    /// A place in the folder that stands for the host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A program in PATH, before those of the host.
    pub fn program(&self, name: &str, script: &str) {
        let file = self.path("bin").join(name);
        fs::write(&file, format!("#!/bin/bash\n{script}\n")).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("ours");
    }

    /// A program of the host in PATH, under this name.
    pub fn link(&self, name: &str, program: &Path) {
        std::os::unix::fs::symlink(program, self.path("bin").join(name)).expect("a link");
    }

    /// What a page says, with the places of this host.
    pub fn here(&self, commands: &str) -> String {
        self.instead.iter().fold(commands.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    fn bash(&self, commands: &str) -> Command {
        let home = self.path("home");
        let at = |name: &str| self.path("session").join(name).display().to_string();
        let begin = format!(
            "[ ! -e {env} ] || . {env}\ncd \"$(cat {folder})\"\nset -eu -o pipefail\n",
            env = at("env"),
            folder = at("folder"),
        );
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("{begin}{commands}")])
            .env_clear()
            .env("HOME", &home)
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.path("bin").display()))
            // Where depd keeps its state for a user who is not root, whoever runs this test.
            .env("STATE_DIRECTORY", home.join(".local/state/depd"))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs commands to their end, and gives their exit code.
    pub fn run(&mut self, commands: &str) -> Option<i32> {
        let at = |name: &str| self.path("session").join(name).display().to_string();
        let keep = format!(
            "trap 'status=$?; pwd >{folder}; {{ export -p; declare -f; umask -p; }} >{env}; \
             exit $status' EXIT\nexec 2>&1\n",
            env = at("env"),
            folder = at("folder"),
        );
        let output = self.bash(&format!("{keep}{commands}")).output().expect("bash runs");
        self.printed = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.code()
    }

    /// Runs commands until they have said this, and lets them go on.
    pub fn open_terminal(&mut self, commands: &str, until: &str) {
        let output = self.path("session").join(format!("terminal-{}", self.terminals.len()));
        let file = fs::File::create(&output).expect("created");
        let errors = file.try_clone().expect("a descriptor");
        // With a trap bash waits for its last command, so that both have ended when bash has.
        let mut bash = self.bash(&format!("trap : TERM\n{commands}"));
        // A group of its own, which ends as a whole.
        let child = bash.process_group(0).stdout(file).stderr(errors).spawn().expect("bash runs");
        self.terminals.push(Terminal { child, output });
        let terminal = self.terminals.last_mut().expect("just pushed");
        wait_for(&format!("{until:?} after {commands:?}"), || {
            if terminal.text().contains(until) {
                return Some(());
            }
            let ended = terminal.child.try_wait().expect("a child");
            assert!(ended.is_none(), "{commands:?} ended: {}", terminal.text());
            None
        });
    }

    /// Ends everything that goes on.
    pub fn close_terminals(&mut self) {
        self.terminals.clear();
    }

    /// What terminals have shown.
    pub fn shown(&self) -> String {
        self.terminals.iter().map(Terminal::text).collect()
    }
}

impl Terminal {
    fn text(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        for signal in ["-TERM", "-KILL"] {
            let _ = Command::new("kill").args([signal, "--", &group]).status();
            let until = Instant::now() + Duration::from_secs(20);
            while Instant::now() < until {
                if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                    return;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
