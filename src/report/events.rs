//! A record → a Kubernetes Event on the workload. `[C]`
//!
//! Shape and limits: `events.k8s.io/v1` Event in the API reference and the API server's validation of
//! it: `eventTime` in microseconds, `reportingController` a qualified name, `reportingInstance`,
//! `action` and `reason` of at most 128 characters, `note` of at most 1024 bytes, and `regarding` in
//! the Event's own namespace. `kubectl describe` finds an Event by name, kind and uid of `regarding`.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::record::Record;

/// Who reports.
const CONTROLLER: &str = "depd.dev/depd";
/// Bytes of a note.
const NOTE: usize = 1024;
/// Bytes of a reporting instance.
const INSTANCE: usize = 128;
/// Bytes of a workload's name that become part of an Event's name.
const NAME: usize = 200;

/// An Event, ready to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where.
    pub namespace: String,
    /// The object.
    pub body: Value,
}

/// The Event of a record; `None` when it is about no workload that is known.
#[must_use]
pub fn event(record: &Record, instance: &str) -> Option<Event> {
    let (service, namespace) = (record.service.as_ref()?, record.namespace.as_ref()?);
    let (uid, kind) = (record.uid.as_ref()?, record.kind.as_ref()?);
    let mut note = format!("{}.", record.text);
    if let Some(advice) = &record.advice {
        note.push(' ');
        note.push_str(advice);
    }
    let body = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": name(service, &record.id), "namespace": namespace },
        "eventTime": micro_time(&record.time),
        "reportingController": CONTROLLER,
        "reportingInstance": cut_bytes(instance, INSTANCE),
        "action": "Deploy",
        "reason": camel_case(&record.event),
        "regarding": {
            "apiVersion": "apps/v1",
            "kind": kind,
            "namespace": namespace,
            "name": service,
            "uid": uid,
        },
        "note": cut_bytes(&note, NOTE),
        "type": if record.is_good() { "Normal" } else { "Warning" },
    });
    Some(Event { namespace: namespace.clone(), body })
}

/// The same for the same record, so that one that is sent again is known.
fn name(service: &str, id: &str) -> String {
    let service = service.get(..NAME).unwrap_or(service).trim_end_matches(['.', '-']);
    let mut name = format!("{service}.");
    for byte in digest(&SHA256, id.as_bytes()).as_ref().iter().take(8) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// `2026-11-24T10:15:30.250Z` → `2026-11-24T10:15:30.250000Z`: the API server wants six digits.
fn micro_time(time: &str) -> String {
    let text = time.trim_end_matches('Z');
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{seconds}.{fraction:0<6.6}Z")
}

/// `timed-out` → `TimedOut`.
fn camel_case(event: &str) -> String {
    let mut out = String::new();
    for word in event.split('-') {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.extend(letters);
    }
    out
}

/// As much of the text as fits into so many bytes.
fn cut_bytes(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end =
        (0..=limit.saturating_sub('…'.len_utf8())).rev().find(|at| text.is_char_boundary(*at));
    format!("{}…", &text[..end.unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn an_event_tells_of_its_workload() {
        let record = samples::all().remove(2);
        insta::assert_json_snapshot!(event(&record, "depd-ci-1").expect("an event").body);
        let uid = None;
        assert_eq!(event(&Record { uid, ..record }, "depd-ci-1"), None);
    }

    #[test]
    fn an_event_keeps_to_the_limits_of_the_api_server() {
        let mut record = samples::all().remove(1);
        record.text = "ä".repeat(3000);
        record.service = Some(format!("{}-{}", "a".repeat(199), "b".repeat(53)));
        let body = event(&record, &"h".repeat(300)).expect("an event").body;
        let text = |name: &str| body[name].as_str().expect("a text").to_owned();
        assert!(text("note").len() <= 1024 && text("note").ends_with('…'));
        assert_eq!(text("reportingInstance").len(), 128);
        let name = body["metadata"]["name"].as_str().expect("a name").to_owned();
        assert!(name.len() <= 253 && name.contains("a."), "{name}");
    }

    #[test]
    fn a_record_has_one_name_and_another_record_another() {
        let records = samples::all();
        let name = |at: usize| event(&records[at], "x").expect("an event").body["metadata"].clone();
        assert_eq!(name(0), name(0));
        assert_ne!(name(0), name(1));
    }

    #[test]
    fn times_have_six_digits() {
        for (time, expect) in [
            ("2026-11-24T10:15:30.250Z", "2026-11-24T10:15:30.250000Z"),
            ("2026-11-24T10:15:30Z", "2026-11-24T10:15:30.000000Z"),
            ("2026-11-24T10:15:30.123456789Z", "2026-11-24T10:15:30.123456Z"),
        ] {
            assert_eq!(micro_time(time), expect);
        }
    }
}
