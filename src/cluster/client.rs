//! The API server, in the calls that depd makes. `[E]`
//!
//! One method, one purpose, in the terms of the model. A method sends exactly the requests that its
//! documentation names and never tries again: back-off, patience and fresh looks belong to the
//! callers. May be used from many threads at once.

use std::io::Read;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use super::access::Access;
use super::call::{Resource, Scope};
use super::error::{ApiError, Class};
use super::live::Live;
use super::mark::Mark;
use super::request::{LogOf, Request};
use super::response::{
    EventObject, List, Namespace, Object, PodObject, ReplicaSet, TOTAL_MAX, Version,
    WorkloadObject, current_template_hash, newest,
};
use super::session::{ClientOptions, Server, Session, failed};
use super::tls::{ConnectError, fingerprint};
use crate::model::{Event, ImagePatch, Kind, NamespaceState, Pod, ServiceKey, Workload};

/// One object; a Deployment beyond this is not one that etcd could hold.
pub(super) const OBJECT_BYTES: u64 = 4 << 20;

/// One page of a list: 500 objects of ten times the usual size.
const PAGE_BYTES: u64 = 64 << 20;

/// Pages of a list; full ones would hold more than a list may.
const PAGES_MAX: usize = 1_000;

/// A log is read up to here; the server sends the asked-for lines only.
const LOG_BYTES: u64 = 1 << 20;

/// The part of it that is kept: its end.
const LOG_KEPT_BYTES: usize = 16 << 10;

/// Times that a list starts anew because its continue token expired between two pages.
const LIST_RESTARTS: u32 = 3;

/// A client for one cluster and one user. Cheap to clone; the clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) server: Arc<Server>,
    pub(super) requests: Arc<Session>,
    watches: Arc<Mutex<Watches>>,
    /// See [`Client::authority`].
    authority: Arc<str>,
}

/// The sessions of watches, so that they end with the client.
#[derive(Debug, Default)]
struct Watches {
    ended: bool,
    sessions: Vec<Weak<Session>>,
}

/// Everything in a scope at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The objects, in the server's order.
    pub items: Vec<T>,
    /// The moment, as an opaque text to start a watch from.
    pub resource_version: Box<str>,
}

impl Client {
    /// Loads and checks certificates and keys. Connects to nothing yet.
    ///
    /// # Errors
    /// A file cannot be read, or certificates and key do not fit.
    pub fn new(access: &Access, options: ClientOptions) -> Result<Client, ConnectError> {
        let server = Arc::new(Server {
            url: access.server.clone(),
            proxy: access.proxy.as_ref().and_then(|proxy| proxy.url.to_ureq()),
            live: Live::new(access)?,
            options,
        });
        Ok(Client {
            requests: Arc::new(Session::new(server.clone())),
            server,
            watches: Arc::default(),
            authority: fingerprint(access)?.into(),
        })
    }

    /// Changes images: one guarded PATCH. Returns the workload as it is afterwards.
    ///
    /// # Errors
    /// [`Class::TestFailed`] when the workload is no longer what the patch was planned for.
    pub fn patch_images(&self, patch: &ImagePatch) -> Result<Workload, ApiError> {
        self.workload(patch.kind, &Request::patch_images(patch))
    }

    /// Puts an annotation on a workload or takes it away: one PATCH.
    ///
    /// # Errors
    /// Any class.
    pub fn mark(&self, kind: Kind, key: &ServiceKey, mark: &Mark) -> Result<(), ApiError> {
        self.requests.send(&Request::mark(kind, key, mark))?.read(OBJECT_BYTES).map(drop)
    }

    /// One workload, `None` when there is none of that kind and name: one GET.
    ///
    /// # Errors
    /// Any class but [`Class::NotFound`].
    pub fn get_workload(&self, kind: Kind, key: &ServiceKey) -> Result<Option<Workload>, ApiError> {
        none_if_missing(self.workload(kind, &Request::get_workload(kind, key)))
    }

    pub(super) fn workload(&self, kind: Kind, request: &Request) -> Result<Workload, ApiError> {
        let object: WorkloadObject = self.requests.send(request)?.json(OBJECT_BYTES)?;
        let text = "the names in it are not valid".to_owned();
        object.into_item(kind).ok_or_else(|| ApiError::new(&request.call, Class::Decode { text }))
    }

    /// Whether a namespace can take a workload: one GET.
    ///
    /// # Errors
    /// A user whose rights end at some namespaces gets [`Class::Forbidden`] for a missing one too.
    pub fn namespace_exists(&self, namespace: &str) -> Result<NamespaceState, ApiError> {
        let request = Request::get_namespace(namespace);
        let found = self.requests.send(&request).and_then(|a| a.json::<Namespace>(OBJECT_BYTES));
        Ok(match none_if_missing(found)? {
            None => NamespaceState::Missing,
            Some(found) if found.status.phase == "Terminating" => NamespaceState::Terminating,
            Some(_) => NamespaceState::Active,
        })
    }

    /// What tells this cluster from every other: the uid of its namespace `kube-system`, which lives
    /// as long as the cluster does. `None` when it has none: one GET.
    ///
    /// # Errors
    /// Any class but [`Class::NotFound`].
    pub fn cluster_uid(&self) -> Result<Option<String>, ApiError> {
        let request = Request::get_namespace("kube-system");
        let found = self.requests.send(&request).and_then(|a| a.json::<Namespace>(OBJECT_BYTES));
        Ok(none_if_missing(found)?.map(|namespace| namespace.metadata.uid))
    }

    /// What tells the certificate authority that the server was trusted by at the start from others.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// [`Client::shutdown`] was called.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.requests.is_ended()
    }

    /// Creates a namespace; false when it exists already: one POST.
    ///
    /// # Errors
    /// Any class but [`Class::AlreadyExists`].
    pub fn create_namespace(&self, namespace: &str) -> Result<bool, ApiError> {
        match self.requests.send(&Request::create_namespace(namespace)) {
            Ok(answer) => answer.read(OBJECT_BYTES).map(|_| true),
            Err(ApiError { class: Class::AlreadyExists, .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Creates an Event (`events.k8s.io/v1`); false when one of its name exists already: one POST.
    ///
    /// # Errors
    /// Any class but [`Class::AlreadyExists`].
    pub fn create_event(
        &self,
        namespace: &str,
        event: &serde_json::Value,
    ) -> Result<bool, ApiError> {
        match self.requests.send(&Request::create_event(namespace, event)) {
            Ok(answer) => answer.read(OBJECT_BYTES).map(|_| true),
            Err(ApiError { class: Class::AlreadyExists, .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The `pod-template-hash` of the workload's newest ReplicaSet: one LIST by its selector.
    ///
    /// `None` when it has no ReplicaSet yet. Newest is the highest revision, which is the current
    /// template once the controller has observed the generation; before that it must have the
    /// workload's images, else it is `None` as well.
    ///
    /// # Errors
    /// Any class.
    pub fn new_replica_set_hash(&self, workload: &Workload) -> Result<Option<String>, ApiError> {
        let request = Request::replica_sets(workload.key.namespace(), &workload.selector);
        let sets: List<ReplicaSet> = self.requests.send(&request)?.json_stream(PAGE_BYTES)?;
        Ok(current_template_hash(&sets.into_parts().1, workload))
    }

    /// The newest warning about the object with this uid, of one reason where it is given: one LIST.
    ///
    /// # Errors
    /// Any class.
    pub fn newest_warning(
        &self,
        namespace: &str,
        uid: &str,
        reason: Option<&str>,
    ) -> Result<Option<Event>, ApiError> {
        let request = Request::warnings(namespace, uid, reason);
        let found: List<EventObject> = self.requests.send(&request)?.json_stream(PAGE_BYTES)?;
        Ok(newest(found.into_parts().1))
    }

    /// The last lines of a container's log, at most 16 KiB of them: one GET.
    ///
    /// `previous` asks for the run before the current one, which a restarted container has.
    ///
    /// # Errors
    /// [`Class::NotFound`] when the pod is gone; a container without a log of that kind is a 400,
    /// [`Class::Unexpected`].
    pub fn log_tail(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
        lines: u32,
    ) -> Result<String, ApiError> {
        let request = Request::log(LogOf {
            namespace,
            name: pod,
            container,
            previous,
            lines,
            limit_bytes: LOG_BYTES,
        });
        let (call, reader) = self.requests.send_briefly(&request)?.reader();
        let tail = end_of(reader.take(LOG_BYTES), LOG_KEPT_BYTES);
        let tail = tail.map_err(|e| failed(&call, &e.into()))?;
        Ok(String::from_utf8_lossy(&tail).into_owned())
    }

    /// All workloads of a kind and scope, in pages.
    ///
    /// # Errors
    /// Any class; none of the pages is returned then.
    pub fn list_workloads(&self, kind: Kind, scope: &Scope) -> Result<Listed<Workload>, ApiError> {
        list::<WorkloadObject>(&self.requests, kind.into(), kind, scope)
    }

    /// All pods of a scope, in pages.
    ///
    /// # Errors
    /// Any class; none of the pages is returned then.
    pub fn list_pods(&self, scope: &Scope) -> Result<Listed<Pod>, ApiError> {
        list::<PodObject>(&self.requests, Resource::Pods, (), scope)
    }

    /// The version of the API server: one GET, which needs no rights beyond those of any user.
    ///
    /// # Errors
    /// Any class.
    pub fn version(&self) -> Result<Version, ApiError> {
        self.requests.send(&Request::version())?.json(OBJECT_BYTES)
    }

    /// Ends every request and every watch of this client and its clones, now and for good.
    pub fn shutdown(&self) {
        self.server.live.end();
        self.requests.shutdown();
        let mut watches = self.watches.lock();
        watches.ended = true;
        for session in watches.sessions.drain(..) {
            if let Some(session) = session.upgrade() {
                session.shutdown();
            }
        }
    }

    /// Closes the connections for single requests if none was made for `idle`.
    pub fn close_idle(&self, idle: Duration) {
        self.requests.close_idle(idle);
    }

    /// A session of its own for a watch, which ends with this client.
    pub(super) fn watch_session(&self) -> Arc<Session> {
        let session = Arc::new(Session::beside(&self.requests));
        let mut watches = self.watches.lock();
        if watches.ended {
            session.shutdown();
        }
        watches.sessions.retain(|s| s.strong_count() > 0);
        watches.sessions.push(Arc::downgrade(&session));
        session
    }
}

pub(super) fn none_if_missing<T>(result: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(ApiError { class: Class::NotFound, .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Everything in a scope. When the state that the pages are read from is compacted away in between,
/// the list starts anew, so that all items are of one moment.
pub(super) fn list<O: Object + DeserializeOwned>(
    session: &Session,
    resource: Resource,
    of: O::Of,
    scope: &Scope,
) -> Result<Listed<O::Item>, ApiError> {
    let mut restarts = 0;
    loop {
        match pages::<O>(session, resource, of, scope) {
            Err(e) if e.class == Class::Expired && restarts < LIST_RESTARTS => restarts += 1,
            result => return result,
        }
    }
}

fn pages<O: Object + DeserializeOwned>(
    session: &Session,
    resource: Resource,
    of: O::Of,
    scope: &Scope,
) -> Result<Listed<O::Item>, ApiError> {
    let mut items = Vec::new();
    let mut token = String::new();
    for _ in 0..PAGES_MAX {
        let request = Request::list(resource, scope, Some(&*token).filter(|t| !t.is_empty()));
        let odd = |text: String| Err(ApiError::new(&request.call, Class::Decode { text }));
        let page: List<O> = session.send(&request)?.json_stream(PAGE_BYTES)?;
        let (about, objects) = page.into_parts();
        if about.resource_version.is_empty() {
            // Not a list, whoever sent it; taken for an empty one, everything would be gone.
            return odd("it is not a list of the API server".to_owned());
        }
        items.extend(objects.into_iter().filter_map(|object| object.into_item(of)));
        if items.len() > TOTAL_MAX {
            return odd(format!("the list has more than {TOTAL_MAX} items"));
        }
        let next = about.r#continue;
        if !next.is_empty() && next == token {
            return odd("the list does not get further from one page to the next".to_owned());
        }
        token = next;
        if token.is_empty() {
            items.shrink_to_fit();
            return Ok(Listed { items, resource_version: about.resource_version.into() });
        }
    }
    let call = Request::list(resource, scope, None).call;
    let text = format!("the list has no end after {PAGES_MAX} pages");
    Err(ApiError::new(&call, Class::Decode { text }))
}

/// Reads to the end and keeps the last `kept` bytes.
fn end_of(mut reader: impl Read, kept: usize) -> std::io::Result<Vec<u8>> {
    let mut tail = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match reader.read(&mut chunk)? {
            0 => break,
            n => tail.extend_from_slice(&chunk[..n]),
        }
        if tail.len() > 2 * kept {
            tail.drain(..tail.len() - kept);
        }
    }
    tail.drain(..tail.len().saturating_sub(kept));
    Ok(tail)
}

#[cfg(test)]
mod tests;
