//! The depd binary in a folder of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use crate::receiver::Receiver;
use crate::wait::wait_for;

/// A running depd. Killed when dropped; its log is shown when the test panics.
pub struct Depd {
    child: Child,
    folder: TempDir,
    log: Arc<Mutex<Vec<String>>>,
    pub slack: Receiver,
}

impl Depd {
    /// Starts `depd run` with these further arguments, and waits until it watches folder and cluster.
    pub fn start(kubeconfig: &Path, arguments: &[&str]) -> Depd {
        let depd = Depd::start_unready(kubeconfig, arguments);
        depd.wait_for_log("services differ from them");
        depd
    }

    /// Starts `depd run` and returns at once.
    pub fn start_unready(kubeconfig: &Path, arguments: &[&str]) -> Depd {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("deps")).expect("a folder");
        let slack = Receiver::start();
        fs::write(folder.path().join(".env"), format!("WEBHOOK_FOR_SLACK={}\n", slack.url()))
            .expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_depd"))
            .args(["run", "--slack-rate", "100", "--state", "state"])
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("RUST_LOG", "depd=debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("depd starts");
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| kept.lock().expect("fine").push(line));
        });
        Depd { child, folder, log, slack }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("deps").join(name)
    }

    /// Writes a dep file the way `echo IMAGE > FILE` does.
    pub fn save(&self, service: &str, namespace: &str, image: &str) {
        fs::write(self.file(&format!("{service}_{namespace}.dep")), format!("{image}\n"))
            .expect("written");
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("fine").clone()
    }

    #[track_caller]
    pub fn wait_for_log(&self, part: &str) -> String {
        wait_for(&format!("{part:?} in the log"), || {
            self.log().into_iter().find(|line| line.contains(part))
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the end of depd", || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Depd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the log of depd\n{}\n---", self.log().join("\n"));
        }
    }
}
