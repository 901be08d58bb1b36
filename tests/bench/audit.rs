//! The API server's audit log: who asked for what, when it arrived, when it was answered.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use crate::figures::Stamp;

/// Reads what is new in the log.
pub struct AuditLog {
    file: File,
    rest: Vec<u8>,
}

/// One answered request, or one opened watch.
#[derive(Clone, Debug)]
pub struct Entry {
    pub user_agent: String,
    pub verb: String,
    /// For example `deployments` or `pods/log`.
    pub resource: String,
    pub name: String,
    pub code: u16,
    /// The request had arrived.
    pub received: Stamp,
    /// The answer had been sent.
    pub answered: Stamp,
}

impl Entry {
    pub fn is_of_depd(&self) -> bool {
        self.user_agent.starts_with("depd/")
    }

    pub fn is_patch(&self) -> bool {
        self.verb == "patch" && self.resource == "deployments" && self.code == 200
    }

    /// Whether it could change anything.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    verb: String,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
    request_received_timestamp: String,
    stage_timestamp: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

impl AuditLog {
    /// From here on: what was logged before is passed over.
    pub fn open(path: &Path) -> AuditLog {
        let mut file = File::open(path).expect("the audit log");
        file.seek(SeekFrom::End(0)).expect("a file");
        AuditLog { file, rest: Vec::new() }
    }

    /// Everything that was logged since the last look.
    pub fn read(&mut self) -> Vec<Entry> {
        self.file.read_to_end(&mut self.rest).expect("a readable log");
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        lines.split(|byte| *byte == b'\n').filter_map(entry).collect()
    }
}

fn entry(line: &[u8]) -> Option<Entry> {
    let line: Line = serde_json::from_slice(line).ok()?;
    // A watch counts when it is opened, everything else when it is answered.
    let counts = (line.stage == "ResponseStarted") == (line.verb == "watch");
    let object = line.object_ref.unwrap_or_default();
    let resource = match object.subresource.as_str() {
        "" => object.resource,
        sub => format!("{}/{sub}", object.resource),
    };
    counts.then_some(Entry {
        user_agent: line.user_agent,
        verb: line.verb,
        resource,
        name: object.name,
        code: line.response_status.unwrap_or_default().code,
        received: Stamp::parse(&line.request_received_timestamp)?,
        answered: Stamp::parse(&line.stage_timestamp)?,
    })
}

/// For people: `1000 patch deployments, 1 list pods`.
pub fn summary<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for entry in entries {
        let failed = if entry.code < 400 { String::new() } else { format!(" ({})", entry.code) };
        *counts.entry(format!("{} {}{failed}", entry.verb, entry.resource)).or_default() += 1;
    }
    let parts: Vec<String> = counts.iter().map(|(what, n)| format!("{n} {what}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}
