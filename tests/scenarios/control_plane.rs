//! The real control plane as something that stops, starts anew, forgets, and goes back in time.
//!
//! Whoever does that to it does it to every test. So every test with a real cluster takes part in a
//! lock ([`share`]), and one that plays with its server has the lock, and the server, for itself.

use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Value, json};

static SERVER: RwLock<()> = RwLock::new(());

/// One of many that use the server.
pub struct Share(#[expect(dead_code, reason = "held, not used")] RwLockReadGuard<'static, ()>);

/// Waits until nobody has the server for itself.
pub fn share() -> Share {
    Share(SERVER.read().unwrap_or_else(PoisonError::into_inner))
}

/// The only one. When dropped, the server runs, whatever became of the test.
pub struct ControlPlane {
    /// etcd's address, for its JSON gateway.
    etcd: String,
    stopped: bool,
    _alone: RwLockWriteGuard<'static, ()>,
}

impl ControlPlane {
    /// Waits until nobody else uses it. Says so where there is none.
    pub fn alone() -> Option<ControlPlane> {
        let Ok(etcd) = std::env::var("DEPD_TEST_ETCD") else {
            println!("skipped: the sandbox has no etcd; scripts/test-cluster runs this");
            return None;
        };
        let _alone = SERVER.write().unwrap_or_else(PoisonError::into_inner);
        Some(ControlPlane { etcd, stopped: false, _alone })
    }

    /// Kills kube-apiserver.
    pub fn stop_server(&mut self) {
        self.stopped = true;
        script("stop-server").expect("done");
    }

    /// Starts it where it does not run, and waits until it is ready.
    pub fn start_server(&mut self) {
        script("start-server").expect("done");
        self.stopped = false;
    }

    /// Keeps what etcd holds now.
    pub fn snapshot(&self) {
        script("snapshot").expect("done");
    }

    /// Goes back to what etcd held then; everything that runs on it starts anew, as the
    /// documentation of Kubernetes advises after a restore.
    pub fn restore(&mut self) {
        self.stopped = true;
        script("restore").expect("done");
        self.stopped = false;
    }

    /// Lets etcd forget everything but the present; the present revision.
    pub fn compact(&self) -> u64 {
        // Any key, for the revision in the answer's head.
        let answer = self.ask("range", &json!({ "key": "AA==" }));
        let revision = answer["header"]["revision"].as_str().expect("a revision").to_owned();
        self.ask("compaction", &json!({ "revision": revision, "physical": true }));
        revision.parse().expect("a number")
    }

    fn ask(&self, what: &str, body: &Value) -> Value {
        let url = format!("{}/v3/kv/{what}", self.etcd);
        let mut reply = ureq::post(url).send(body.to_string()).expect("etcd answers");
        let text = reply.body_mut().read_to_string().expect("a body");
        serde_json::from_str(&text).expect("JSON")
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if self.stopped
            && let Err(text) = script("start-server")
        {
            eprintln!("{text}");
        }
    }
}

/// `scripts/cluster` with this word; otherwise its complaint.
fn script(word: &str) -> Result<(), String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cluster");
    let output = Command::new(path).arg(word).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("scripts/cluster {word}: {text}"))
}
