//! A watch: which events it shows, in which form, and when it ends. `[C]` but for its clock readings.
//!
//! Facts: "Efficient detection of changes" in the Kubernetes API concepts, and the watch cache of
//! kube-apiserver: a revision that is too old is an ERROR event with code 410 in a stream that began
//! with 200; an object that begins or ceases to match a selector is ADDED or DELETED.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::format::Format;
use super::http::Response;
use super::list::revision;
use super::path::{Query, Target};
use super::resources::Id;
use super::selector::{Fields, Labels};
use super::status::{About, Cause, Status};
use super::store::{Change, Expired, Object, Store};
use super::wall::Wall;

/// Without `timeoutSeconds` a watch ends after half an hour, as the real one does at the earliest.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1800);

/// One client's watch.
#[derive(Debug)]
pub(super) struct Watch {
    resource: Id,
    namespace: Option<String>,
    labels: Labels,
    fields: Fields,
    format: Format,
    /// Objects to show as ADDED before anything else.
    initial: Vec<Object>,
    /// Whether a bookmark ends the initial objects.
    mark_initial: bool,
    /// All changes up to this revision are shown or do not concern this watch.
    seen: u64,
    bookmarks: Option<Duration>,
    next_bookmark: Instant,
    deadline: Instant,
    /// The stream ended with an error.
    broken: bool,
    /// The columns of a table are sent once.
    headed: bool,
}

/// Something to send.
#[derive(Debug)]
pub(super) enum Event {
    Added(Object),
    Modified(Object),
    /// As it was last, with the revision of its end.
    Deleted(Value),
    Error(Status),
}

/// The head of the answer to a watch.
pub(super) fn head() -> Response {
    Response::bytes(200, "application/json", Vec::new())
}

impl Watch {
    /// Reads the query, and takes the initial objects.
    pub(super) fn new(
        store: &Store,
        target: &Target,
        query: &Query,
        format: Format,
        bookmark_interval: Duration,
    ) -> Result<Watch, Status> {
        let labels = Labels::parse(query.get("labelSelector")).map_err(Status::bad_request)?;
        let fields = Fields::parse(query.get("fieldSelector"), target.resource)
            .map_err(Status::bad_request)?;
        let initial_events = query.is_true("sendInitialEvents");
        check_initial(query)?;
        let from = match query.get("resourceVersion") {
            "" | "0" => None,
            text => Some(revision(text).map_err(Status::internal)?),
        };
        let asked = query.get("sendInitialEvents").is_empty();
        let show_all = initial_events || from.is_none() && asked;
        let now = Instant::now();
        let timeout = query.number("timeoutSeconds").map_or(DEFAULT_TIMEOUT, Duration::from_secs);
        let mut watch = Watch {
            resource: target.resource,
            namespace: target.namespace.clone(),
            labels,
            fields,
            format,
            initial: Vec::new(),
            mark_initial: initial_events && query.is_true("allowWatchBookmarks"),
            seen: if show_all { store.revision() } else { from.unwrap_or(store.revision()) },
            bookmarks: query.is_true("allowWatchBookmarks").then_some(bookmark_interval),
            next_bookmark: now + bookmark_interval,
            deadline: now + timeout,
            broken: false,
            headed: false,
        };
        if show_all {
            let all = store.list(target.resource, target.namespace.as_deref(), None);
            let matching = all.filter(|(_, object)| watch.matches(object));
            watch.initial = matching.map(|(_, object)| object.clone()).collect();
        }
        Ok(watch)
    }

    /// The revision up to which this watch knows everything.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether the stream is to end.
    pub(super) fn is_over(&self) -> bool {
        self.broken || Instant::now() >= self.deadline
    }

    /// When something is due without any change.
    pub(super) fn wakes_at(&self) -> Instant {
        match self.bookmarks {
            Some(_) => self.deadline.min(self.next_bookmark),
            None => self.deadline,
        }
    }

    /// The first bytes of the stream: the initial objects.
    pub(super) fn begin(&mut self) -> Vec<u8> {
        let initial: Vec<Event> =
            std::mem::take(&mut self.initial).into_iter().map(Event::Added).collect();
        let mut bytes = self.lines(&initial);
        if self.mark_initial {
            let annotations = json!({"k8s.io/initial-events-end": "true"});
            self.bookmark(&mut bytes, Some(annotations));
        }
        bytes
    }

    /// Takes what happened since the last time out of the store.
    pub(super) fn gather(&mut self, store: &Store) -> Vec<Event> {
        let events = match store.since(self.resource, self.seen) {
            Ok(changes) => changes.filter_map(|change| self.event(change)).collect(),
            Err(Expired { oldest }) => {
                self.broken = true;
                let words = format!("too old resource version: {} ({oldest})", self.seen);
                vec![Event::Error(Status::expired(words))]
            }
        };
        // A client may name a revision ahead of ours; it hears of nothing until we get there.
        self.seen = self.seen.max(store.revision());
        events
    }

    /// Events as bytes, and a bookmark when one is due.
    pub(super) fn show(&mut self, events: &[Event]) -> Vec<u8> {
        let mut bytes = self.lines(events);
        if let Some(interval) = self.bookmarks
            && Instant::now() >= self.next_bookmark
            && !self.broken
        {
            self.bookmark(&mut bytes, None);
            self.next_bookmark = Instant::now() + interval;
        }
        bytes
    }

    fn matches(&self, object: &Value) -> bool {
        self.labels.matches(&object["metadata"]["labels"]) && self.fields.matches(object)
    }

    fn event(&self, change: &Change) -> Option<Event> {
        if self.namespace.as_ref().is_some_and(|own| *own != change.key.namespace) {
            return None;
        }
        let before = change.before.as_ref().filter(|object| self.matches(object));
        let after = change.after.as_ref().filter(|object| self.matches(object));
        match (before, after) {
            (None, Some(after)) => Some(Event::Added(after.clone())),
            (Some(_), Some(after)) => Some(Event::Modified(after.clone())),
            (Some(before), None) => {
                let mut last = Value::clone(before);
                last["metadata"]["resourceVersion"] = change.revision.to_string().into();
                Some(Event::Deleted(last))
            }
            (None, None) => None,
        }
    }

    fn lines(&mut self, events: &[Event]) -> Vec<u8> {
        let now = Wall::now();
        let mut bytes = Vec::new();
        for event in events {
            match event {
                Event::Added(object) => self.line(&mut bytes, "ADDED", object, now),
                Event::Modified(object) => self.line(&mut bytes, "MODIFIED", object, now),
                Event::Deleted(object) => self.line(&mut bytes, "DELETED", object, now),
                Event::Error(status) => push_line(&mut bytes, "ERROR", &status.body()),
            }
        }
        bytes
    }

    fn line(&mut self, bytes: &mut Vec<u8>, kind: &str, object: &Value, now: Wall) {
        if self.format == Format::Whole {
            return push_line(bytes, kind, object);
        }
        let mut shaped = self.format.one(self.resource, object, now);
        if self.headed && shaped["kind"] == "Table" {
            shaped["columnDefinitions"] = Value::Null;
        }
        self.headed = true;
        push_line(bytes, kind, &shaped);
    }

    fn bookmark(&mut self, bytes: &mut Vec<u8>, annotations: Option<Value>) {
        let row = self.resource.row();
        let mut object = json!({
            "kind": row.kind,
            "apiVersion": row.api_version(),
            "metadata": {"resourceVersion": self.seen.to_string()},
        });
        if let Some(annotations) = annotations {
            object["metadata"]["annotations"] = annotations;
        }
        let object = match self.format {
            Format::Whole => object,
            other => other.one(self.resource, &object, Wall::now()),
        };
        push_line(bytes, "BOOKMARK", &object);
    }
}

fn push_line(bytes: &mut Vec<u8>, kind: &str, object: &Value) {
    bytes.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
    bytes.extend_from_slice(object.to_string().as_bytes());
    bytes.extend_from_slice(b"}\n");
}

/// `sendInitialEvents` and `resourceVersionMatch` come together, or not at all.
fn check_initial(query: &Query) -> Result<(), Status> {
    let present = !query.get("sendInitialEvents").is_empty();
    let matching = query.get("resourceVersionMatch");
    let field = "resourceVersionMatch";
    let cause = if present && matching != "NotOlderThan" {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        Cause::forbidden(field, why)
    } else if !present && !matching.is_empty() {
        let why =
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        Cause::forbidden(field, why)
    } else {
        return Ok(());
    };
    let about = About { group: "meta.k8s.io", resource: "ListOptions", name: "" };
    Err(Status::invalid(about, &[cause]))
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
