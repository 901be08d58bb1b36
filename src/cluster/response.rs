//! What comes back: API objects, reduced while they are parsed. `[C]`
//!
//! The structs name only the fields that the model keeps; the parser skips the others, above all
//! `managedFields`, without storing them. Defaults are those of the API reference, for servers and
//! stand-ins that leave fields out.

mod event;
mod list;
mod pod;
mod workload;

use serde::Deserialize;

use crate::model::{Kind, Pod, Workload};

pub(super) use event::{EventObject, newest};
pub use list::Part;
pub(super) use list::{List, TOTAL_MAX};
pub(super) use pod::PodObject;
pub(super) use workload::{ReplicaSet, WorkloadObject, current_template_hash};

/// `metadata` of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub name: Box<str>,
    pub namespace: Box<str>,
    pub uid: Box<str>,
    pub resource_version: Box<str>,
    pub generation: i64,
    pub deletion_timestamp: Option<Box<str>>,
    pub labels: Option<std::collections::BTreeMap<Box<str>, Box<str>>>,
    pub annotations: Option<Annotations>,
    pub owner_references: Option<Vec<OwnerReference>>,
}

/// The annotations that mean something to depd.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Annotations {
    #[serde(rename = "depd.dev/paused")]
    pub paused: Option<String>,
    #[serde(rename = "depd.dev/timeout")]
    pub timeout: Option<String>,
    #[serde(rename = "depd.dev/rollback")]
    pub rollback: Option<String>,
    #[serde(rename = "deployment.kubernetes.io/revision")]
    pub revision: Option<String>,
    /// How often the template of a DaemonSet was changed; the API server keeps count.
    #[serde(rename = "deprecated.daemonset.template.generation")]
    pub template_generation: Option<Box<str>>,
    /// On a bookmark: everything that was there when the stream began has been sent.
    #[serde(rename = "k8s.io/initial-events-end")]
    pub initial_events_end: Option<Box<str>>,
}

/// `metadata.ownerReferences[]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OwnerReference {
    pub uid: Box<str>,
    pub controller: bool,
}

/// One line of a watch stream.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
pub(super) enum Event<T> {
    /// An object that is new to the watcher.
    Added(T),
    /// An object that changed.
    Modified(T),
    /// An object that is gone, as it last was.
    Deleted(T),
    /// Nothing but a newer resource version.
    Bookmark(Marker),
    /// The stream ends with this.
    Error(Status),
}

/// An object of which only the resource version matters.
#[derive(Debug, Deserialize)]
pub(super) struct Marker {
    #[serde(default)]
    pub metadata: Meta,
}

/// What can be listed and watched, with the model type that it becomes.
pub trait Object: Part + Sized {
    /// The reduced form.
    type Item;
    /// What tells apart objects of the same shape; lists do not say it of each item.
    type Of: Copy;
    /// `metadata.resourceVersion`.
    fn resource_version(&self) -> &str;
    /// Reduces; `None` for an object whose names are not valid, which no API server stores.
    fn into_item(self, of: Self::Of) -> Option<Self::Item>;
}

impl Object for WorkloadObject {
    type Item = Workload;
    type Of = Kind;

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn into_item(self, kind: Kind) -> Option<Workload> {
        self.into_workload(kind)
    }
}

impl Object for PodObject {
    type Item = Pod;
    type Of = ();

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn into_item(self, (): ()) -> Option<Pod> {
        Some(self.into_pod())
    }
}

/// `metav1.Status`: how the API server says that something did not work.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    kind: String,
    pub reason: String,
    pub message: String,
    pub code: Option<u16>,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    name: String,
    kind: String,
    causes: Option<Vec<Cause>>,
    retry_after_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
}

impl Status {
    /// It is a Status and not any other JSON object.
    pub(super) fn is_status(&self) -> bool {
        self.kind == "Status"
    }

    pub(super) fn has_cause(&self, reason: &str) -> bool {
        let causes = self.details.as_ref().and_then(|d| d.causes.as_ref());
        causes.is_some_and(|causes| causes.iter().any(|c| c.reason == reason))
    }

    pub(super) fn details_are_empty(&self) -> bool {
        self.details.as_ref().is_none_or(|d| {
            d.name.is_empty() && d.kind.is_empty() && d.causes.as_ref().is_none_or(Vec::is_empty)
        })
    }

    pub(super) fn retry_after(&self) -> Option<std::time::Duration> {
        self.details.as_ref()?.retry_after_seconds.map(std::time::Duration::from_secs)
    }
}

/// `v1.Namespace`.
#[derive(Debug, Deserialize)]
pub(super) struct Namespace {
    #[serde(default)]
    pub metadata: NamespaceMeta,
    #[serde(default)]
    pub status: NamespaceStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NamespaceMeta {
    pub uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NamespaceStatus {
    pub phase: String,
}

/// The answer of `/version`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Version {
    /// For example `1`.
    pub major: Box<str>,
    /// For example `37`, or `30+` from some providers.
    pub minor: Box<str>,
    /// For example `v1.37.2`.
    pub git_version: Box<str>,
}

#[cfg(test)]
mod tests;
