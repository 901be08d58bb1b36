//! A watch of the bench's own: notes when each line came and reads it later.

use std::io::{BufRead, BufReader};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::api::Api;
use crate::figures::Stamp;

/// Lines as they came, each with its time.
type Lines = Vec<(Stamp, Vec<u8>)>;

/// How much a watch brought.
#[derive(Clone, Copy, Default)]
pub struct Traffic {
    pub events: usize,
    pub bytes: usize,
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Traffic) {
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

/// A running recording.
pub struct Recording {
    api: Api,
    lines: Arc<Mutex<Lines>>,
    thread: JoinHandle<()>,
}

impl Recording {
    /// Records what happens from now on below `path`, for example
    /// `/apis/apps/v1/namespaces/x/deployments`.
    pub fn start(api: &Api, path: &str) -> Recording {
        let api = api.apart();
        let list: Value = api.get(&format!("{path}?limit=1"));
        let version = list["metadata"]["resourceVersion"].as_str().expect("a version");
        let query = format!("watch=true&resourceVersion={version}&timeoutSeconds=3600");
        let mut reader = BufReader::new(api.open(&format!("{path}?{query}")).into_reader());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let thread = thread::spawn(move || {
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let at = Stamp::now();
                kept.lock().expect("not poisoned").push((at, std::mem::take(&mut line)));
            }
        });
        Recording { api, lines, thread }
    }

    /// Ends it. Returns when each object was seen in which state, and how much came.
    pub fn stop(self) -> (Vec<(Stamp, Value)>, Traffic) {
        self.api.shutdown();
        self.thread.join().expect("no panic");
        let lines = std::mem::take(&mut *self.lines.lock().expect("not poisoned"));
        let bytes = lines.iter().map(|(_, line)| line.len()).sum();
        let traffic = Traffic { events: lines.len(), bytes };
        let object = |line: &[u8]| {
            let mut event: Value = serde_json::from_slice(line).ok()?;
            Some(event["object"].take())
        };
        let seen = lines.into_iter().filter_map(|(at, line)| Some((at, object(&line)?)));
        (seen.collect(), traffic)
    }
}
