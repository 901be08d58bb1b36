//! What is sent: paths, queries and bodies. `[C]`
//!
//! Every name that becomes part of a path is encoded as one segment, so that no name can leave its
//! place. Facts: "Kubernetes API Concepts", RFC 3986 (encoding), RFC 6902 (JSON Patch), RFC 6901
//! (its pointers).

mod json_patch;

use std::fmt;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::call::{Call, Resource, Scope, Verb};
use super::mark::Mark;
use crate::model::{ImagePatch, Kind, Selector, ServiceKey};
use json_patch::json_patch;

/// Who wrote a field, in `metadata.managedFields`.
const FIELD_MANAGER: &str = "depd";

/// Objects per page of a list.
pub(super) const PAGE: u32 = 500;

/// A request, ready to be sent below the address of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The request in words.
    pub call: Call,
    /// Path and query.
    pub target: String,
    /// What is sent along.
    pub body: Option<Body>,
}

/// A request body. `Debug` does not show it: it may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Body {
    /// Its media type.
    pub content_type: &'static str,
    /// Its JSON text.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of {}", self.bytes.len(), self.content_type)
    }
}

impl Request {
    fn new(verb: Verb, resource: Resource, namespace: Option<&str>, name: Option<&str>) -> Request {
        let mut target = resource.prefix().to_owned();
        if let Some(namespace) = namespace {
            target.push_str("/namespaces/");
            encode(&mut target, namespace);
        }
        let (collection, sub) = match resource {
            Resource::PodLog => ("pods", "/log"),
            resource => (resource.plural(), ""),
        };
        let _ = write!(target, "/{collection}");
        if let Some(name) = name {
            target.push('/');
            encode(&mut target, name);
        }
        target.push_str(sub);
        let call = Call {
            verb,
            resource,
            namespace: namespace.map(Into::into),
            name: name.map(Into::into),
        };
        Request { call, target, body: None }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Request {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(name);
        self.target.push('=');
        encode(&mut self.target, value);
        self
    }

    fn sending(self, content_type: &'static str, value: &Value) -> Request {
        Request { body: Some(Body { content_type, bytes: value.to_string().into_bytes() }), ..self }
    }

    pub(super) fn get_workload(kind: Kind, key: &ServiceKey) -> Request {
        let (namespace, name) = (Some(key.namespace()), Some(key.service()));
        Request::new(Verb::Get, kind.into(), namespace, name)
    }

    pub(super) fn get_namespace(name: &str) -> Request {
        Request::new(Verb::Get, Resource::Namespaces, None, Some(name))
    }

    /// The message names the namespace although its path does not.
    pub(super) fn create_namespace(name: &str) -> Request {
        let request = Request::new(Verb::Create, Resource::Namespaces, None, None);
        let call = Call { name: Some(name.into()), ..request.call.clone() };
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        Request { call, ..request }
            .with("fieldManager", FIELD_MANAGER)
            .sending("application/json", &body)
    }

    pub(super) fn get_secret(namespace: &str, name: &str) -> Request {
        Request::new(Verb::Get, Resource::Secrets, Some(namespace), Some(name))
    }

    pub(super) fn get_service_account(namespace: &str, name: &str) -> Request {
        Request::new(Verb::Get, Resource::ServiceAccounts, Some(namespace), Some(name))
    }

    /// Server-side apply without force: what somebody else owns is a conflict.
    pub(super) fn apply_secret(namespace: &str, name: &str, object: &Value) -> Request {
        Request::new(Verb::Patch, Resource::Secrets, Some(namespace), Some(name))
            .with("fieldManager", FIELD_MANAGER)
            .sending("application/apply-patch+yaml", object)
    }

    pub(super) fn create_event(namespace: &str, event: &Value) -> Request {
        Request::new(Verb::Create, Resource::OwnEvents, Some(namespace), None)
            .with("fieldManager", FIELD_MANAGER)
            .sending("application/json", event)
    }

    pub(super) fn review(attributes: &Value) -> Request {
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": attributes },
        });
        Request::new(Verb::Create, Resource::AccessReviews, None, None)
            .sending("application/json", &body)
    }

    pub(super) fn version() -> Request {
        Request::new(Verb::Get, Resource::Version, None, None)
    }

    pub(super) fn patch_images(patch: &ImagePatch) -> Request {
        let (namespace, name) = (Some(patch.key.namespace()), Some(patch.key.service()));
        Request::new(Verb::Patch, patch.kind.into(), namespace, name)
            .with("fieldManager", FIELD_MANAGER)
            .sending("application/json-patch+json", &json_patch(patch))
    }

    /// An annotation, as a merge patch.
    pub(super) fn mark(kind: Kind, key: &ServiceKey, mark: &Mark) -> Request {
        let (namespace, name) = (Some(key.namespace()), Some(key.service()));
        Request::new(Verb::Patch, kind.into(), namespace, name)
            .with("fieldManager", FIELD_MANAGER)
            .sending("application/merge-patch+json", &mark.patch())
    }

    pub(super) fn replica_sets(namespace: &str, selector: &Selector) -> Request {
        Request::new(Verb::List, Resource::ReplicaSets, Some(namespace), None)
            .with("labelSelector", &selector.to_query())
    }

    /// The warnings about one object; of one reason, where it is given.
    pub(super) fn warnings(namespace: &str, uid: &str, reason: Option<&str>) -> Request {
        let mut selector = format!("involvedObject.uid={uid},type=Warning");
        if let Some(reason) = reason {
            selector.push_str(",reason=");
            selector.push_str(reason);
        }
        Request::new(Verb::List, Resource::Events, Some(namespace), None)
            .with("fieldSelector", &selector)
    }

    pub(super) fn log(pod: LogOf<'_>) -> Request {
        let request =
            Request::new(Verb::Get, Resource::PodLog, Some(pod.namespace), Some(pod.name))
                .with("container", pod.container)
                .with("tailLines", &pod.lines.to_string())
                .with("limitBytes", &pod.limit_bytes.to_string());
        match pod.previous {
            true => request.with("previous", "true"),
            false => request,
        }
    }

    /// One page of everything in a scope, read from the server's newest state.
    pub(super) fn list(resource: Resource, scope: &Scope, token: Option<&str>) -> Request {
        let request = Request::new(Verb::List, resource, scope.namespace(), None)
            .with("limit", &PAGE.to_string());
        match token {
            Some(token) => request.with("continue", token),
            None => request,
        }
    }

    /// As little of a list as there is, for the sake of the server's newest version on it. Needs no
    /// other right than the list does.
    pub(super) fn newest_version(resource: Resource, scope: &Scope) -> Request {
        Request::new(Verb::List, resource, scope.namespace(), None).with("limit", "1")
    }

    /// Everything in a scope, and then every change, for at most `seconds` (WatchList). In words it
    /// is a list, which it is for people; to RBAC it is a watch.
    pub(super) fn list_and_watch(resource: Resource, scope: &Scope, seconds: u64) -> Request {
        Request::new(Verb::List, resource, scope.namespace(), None)
            .with("watch", "true")
            .with("sendInitialEvents", "true")
            .with("resourceVersionMatch", "NotOlderThan")
            .with("allowWatchBookmarks", "true")
            .with("timeoutSeconds", &seconds.to_string())
    }

    /// Every change after `resource_version`, for at most `seconds`.
    pub(super) fn watch(
        resource: Resource,
        scope: &Scope,
        resource_version: &str,
        seconds: u64,
    ) -> Request {
        Request::new(Verb::Watch, resource, scope.namespace(), None)
            .with("watch", "true")
            .with("allowWatchBookmarks", "true")
            .with("resourceVersion", resource_version)
            .with("timeoutSeconds", &seconds.to_string())
    }
}

/// Which log, and how much of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogOf<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub container: &'a str,
    /// Of the run before the current one.
    pub previous: bool,
    pub lines: u32,
    pub limit_bytes: u64,
}

/// Appends one path segment or query value: everything but the unreserved characters is escaped.
fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(byte.into()),
            b'.' if text != "." && text != ".." => out.push('.'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
