//! The depd binary as a child process, with a folder and a receiver of its own.
//!
//! It is the one that Cargo built beside the bench, or the one that `DEPD_BENCH_PROGRAM` names.

use std::fs;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::api::Cluster;
use crate::figures::{Stamp, wait_for};
use crate::process;
use crate::receiver::Receiver;
use crate::services::Service;

/// A process that used no CPU for this long has nothing left to do.
const QUIET: Duration = Duration::from_millis(300);
const LIMIT: Duration = Duration::from_secs(300);

/// A running depd; killed when dropped.
pub struct Depd {
    child: Child,
    folder: TempDir,
    pub receiver: Receiver,
    pub start: Start,
}

/// The moments of a start.
#[derive(Clone, Copy)]
pub struct Start {
    pub spawned: Stamp,
    /// The first list of Deployments has arrived, as depd's own log says.
    pub listed: Stamp,
    /// It has said how many services differ from their files, and then was quiet.
    pub compared: Stamp,
}

impl Depd {
    /// Starts it on files that ask for what the cluster runs, and waits until it has compared them.
    pub fn start(cluster: &Cluster, services: &[Service], image: &str) -> Depd {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["deps", "state"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let receiver = Receiver::start();
        let log = File::create(folder.path().join("log")).expect("a file");
        for service in services {
            write(&folder, service, image);
        }
        let spawned = Stamp::now();
        let child = Command::new(program())
            // Files come into an empty folder by the thousand, which a first start holds unless it is told to.
            .args(["run", "--apply-all", "--slack-rate", "1000"])
            .current_dir(folder.path())
            .env_clear()
            .env("KUBECONFIG", &cluster.plain_kubeconfig)
            .env("STATE_DIRECTORY", folder.path().join("state"))
            .env("WEBHOOK_FOR_SLACK", receiver.url())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("depd starts");
        let start = Start { spawned, listed: spawned, compared: spawned };
        let mut depd = Depd { child, folder, receiver, start };
        depd.start.listed = depd.wait_for_log("the cluster has");
        depd.wait_for_log("the folder is watched");
        let said = depd.wait_for_log("services differ from them");
        depd.start.compared = depd.wait_until_quiet().max(said);
        depd
    }

    /// Writes a dep file as `echo IMAGE > FILE` does. Returns when it was closed.
    pub fn write(&self, service: &Service, image: &str) -> Stamp {
        write(&self.folder, service, image)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When it logged the first line with `part`, by its own words.
    fn wait_for_log(&self, part: &str) -> Stamp {
        let what = format!("{part:?} in the log of depd");
        let line = wait_for(&what, Duration::from_millis(10), LIMIT, || {
            self.log().lines().find(|line| line.contains(part)).map(str::to_owned)
        });
        let time = line.split(' ').next().unwrap_or_default();
        Stamp::parse(time).unwrap_or_else(|| panic!("no time in {line:?}"))
    }

    /// Waits until it has nothing left to do. Returns since when.
    pub fn wait_until_quiet(&self) -> Stamp {
        let mut used = process::cpu(self.pid());
        let mut since = Stamp::now();
        wait_for("depd to be quiet", Duration::from_millis(10), LIMIT, || {
            let now = process::cpu(self.pid());
            if now != used {
                (used, since) = (now, Stamp::now());
            }
            (Stamp::now().ms_since(since) >= crate::figures::ms(QUIET)).then_some(())
        });
        since
    }

    fn log(&self) -> String {
        let text = fs::read(self.folder.path().join("log")).expect("a log");
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Depd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of depd's log:");
            lines.iter().skip(lines.len().saturating_sub(40)).for_each(|line| eprintln!("{line}"));
        }
    }
}

/// The program that is measured.
pub fn program() -> PathBuf {
    let named = std::env::var_os("DEPD_BENCH_PROGRAM").filter(|name| !name.is_empty());
    named.map_or_else(|| env!("CARGO_BIN_EXE_depd").into(), PathBuf::from)
}

fn write(folder: &TempDir, service: &Service, image: &str) -> Stamp {
    let name = format!("{}_{}.dep", service.name, service.namespace);
    let path: PathBuf = folder.path().join("deps").join(name);
    fs::write(path, format!("{image}\n")).expect("written");
    Stamp::now()
}
