//! An embedded Kubernetes API with a small rollout controller: `[E]`, for `depd demo`, `depd sandbox`
//! and tests.
//!
//! It starts in milliseconds and needs nothing but this binary: TLS on loopback, objects in memory,
//! one thread per connection and one for all controllers. What it answers, kube-apiserver 1.37
//! answers too; tests that pass here must pass on the real control plane. What it does not do: no
//! authorization (whoever is known may do everything), no admission plugins beyond namespaces and
//! the default service account (pods get no token volume and no tolerations), no `managedFields`
//! (server-side apply merges and never conflicts), no pruning of unknown fields, no Events from its
//! controllers, no quota, no schemas for `kubectl explain`, no `follow` of logs, protobuf only where
//! kubectl sends it. Nothing is kept on disk.
//!
//! What becomes of a pod is written in its image tag: `:missing`, `:crash`, `:hang` and so on, the
//! same convention as the fake kubelet of the real control plane in `tests/cluster`.
//!
//! Below the edges (`server`, `shared`, `controller`) everything is a function of a store, a request
//! and a time.

mod api;
mod controller;
mod defaults;
mod discovery;
mod events;
mod faults;
mod format;
mod http;
mod json;
mod kubelet;
mod list;
mod object;
mod openapi;
mod patch;
mod path;
mod protobuf;
mod resources;
mod samples;
mod selector;
mod server;
mod shared;
mod status;
mod store;
mod subresource;
mod table;
mod tls;
mod validate;
mod verbs;
mod wall;
mod watch;

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

pub use self::faults::{Fault, FaultHook, RequestView};
pub use self::http::Response;
pub use self::samples::samples;
pub use self::status::{About, Cause, Status};
pub use self::tls::Identity;

use self::controller::Paces;
use self::json::text;
use self::kubelet::Pace;
use self::object::{Part, Write};
use self::resources::{Id, NAMESPACES};
use self::server::Server;
use self::shared::Shared;
use self::store::{Key, Store};
use self::tls::Authority;
use self::wall::Wall;

/// The user of the client certificate in the kubeconfig.
const USER: &str = "depd";
/// What a cluster has from the start.
const FIRST_NAMESPACES: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];

/// How a sandbox is to be.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// From the creation of a pod until its containers run, or fail to.
    pub pod_start: Duration,
    /// From the deletion of a pod until it is gone.
    pub pod_stop: Duration,
    /// From a change until a controller looks at it.
    pub controller_lag: Duration,
    /// How often a watch that allows bookmarks gets one.
    pub bookmark_interval: Duration,
    /// How many changes per resource a watch can go back.
    pub history: usize,
    /// Whether controllers and kubelet run; without them objects stay as they are written.
    pub controllers: bool,
}

impl Default for SandboxOptions {
    fn default() -> SandboxOptions {
        SandboxOptions {
            port: 0,
            pod_start: Duration::from_millis(300),
            pod_stop: Duration::from_millis(100),
            controller_lag: Duration::from_millis(2),
            bookmark_interval: Duration::from_secs(60),
            history: 4_000,
            controllers: true,
        }
    }
}

/// Why a sandbox does not start, or does not take an object.
#[derive(Debug)]
pub enum SandboxError {
    /// The port cannot be listened on.
    Listen {
        /// As asked for.
        port: u16,
        /// What the system says.
        error: io::Error,
    },
    /// A thread cannot be started.
    Thread(io::Error),
    /// A certificate cannot be made.
    Certificate(String),
    /// TLS cannot be set up.
    Tls(String),
    /// [`Sandbox::apply`] was given something of an unknown kind.
    UnknownKind(String),
    /// The API refuses the object.
    Refused(Box<Status>),
}

impl SandboxError {
    fn certificate(error: impl fmt::Display) -> SandboxError {
        SandboxError::Certificate(error.to_string())
    }

    fn tls(error: rustls::Error) -> SandboxError {
        SandboxError::Tls(error.to_string())
    }
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SandboxError::Listen { port, error } => write!(
                f,
                "cannot listen on 127.0.0.1:{port}: {error}; choose another port, or 0 for a free one"
            ),
            SandboxError::Thread(error) => {
                write!(f, "cannot start a thread of the sandbox: {error}; raise the process limit")
            }
            SandboxError::Certificate(error) => {
                write!(f, "cannot make a certificate for the sandbox: {error}")
            }
            SandboxError::Tls(error) => write!(f, "cannot set up TLS for the sandbox: {error}"),
            SandboxError::UnknownKind(kind) => {
                write!(f, "the sandbox does not serve {kind}; see its table of resources")
            }
            SandboxError::Refused(status) => {
                write!(f, "the sandbox refuses the object: {}", status.message)
            }
        }
    }
}

impl std::error::Error for SandboxError {}

/// One request that was answered, as an audit log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// `GET`, `PATCH`, …
    pub method: String,
    /// Path and query, as sent.
    pub uri: String,
    /// Empty when nobody was authenticated.
    pub user: String,
    /// The HTTP status code, also where a fault kept it from the client.
    pub status: u16,
}

/// A running sandbox. Dropping it stops it.
pub struct Sandbox {
    shared: Arc<Shared>,
    server: Server,
    controllers: Option<JoinHandle<()>>,
    identity: Identity,
}

impl Sandbox {
    /// Starts the API on loopback, with the namespaces that every cluster has.
    ///
    /// # Errors
    /// Says when the port is taken, or no thread or certificate can be made.
    pub fn start(options: SandboxOptions) -> Result<Sandbox, SandboxError> {
        let authority = Authority::new()?;
        let identity = authority.client(USER)?;
        let tls = authority.server_config()?;
        let store = Store::new(options.history, random());
        let shared = Arc::new(Shared::new(
            store,
            authority,
            format!("{:016x}{:016x}", random(), random()),
            options.bookmark_interval,
            options.controllers,
        ));
        let write = Write { now: Wall::now(), dry_run: false };
        for name in FIRST_NAMESPACES {
            let namespace = serde_json::json!({"metadata": {"name": name}});
            shared
                .write(|store| object::create(store, NAMESPACES, "", namespace, write))
                .map_err(|status| SandboxError::Refused(Box::new(status)))?;
        }
        let server = Server::start(options.port, &shared, tls)?;
        let mut sandbox = Sandbox { shared, server, controllers: None, identity };
        if options.controllers {
            let paces = Paces {
                kubelet: Pace { start: options.pod_start, stop: options.pod_stop },
                lag: options.controller_lag,
            };
            let shared = sandbox.shared.clone();
            let body = move || controller::run(&shared, paces);
            sandbox.controllers = Some(server::spawn("sandbox-controllers", body)?);
        }
        Ok(sandbox)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The base URL of the API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// A kubeconfig with everything inline: the context `depd-sandbox` uses the client certificate
    /// of the user `depd`, the context `depd-sandbox-token` the bearer token.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let encode = |pem: &str| BASE64.encode(pem);
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             current-context: depd-sandbox\n\
             clusters:\n\
             - name: depd-sandbox\n\
             \x20 cluster:\n\
             \x20   server: {server}\n\
             \x20   certificate-authority-data: {ca}\n\
             contexts:\n\
             - name: depd-sandbox\n\
             \x20 context: {{cluster: depd-sandbox, user: depd}}\n\
             - name: depd-sandbox-token\n\
             \x20 context: {{cluster: depd-sandbox, user: depd-token}}\n\
             users:\n\
             - name: depd\n\
             \x20 user:\n\
             \x20   client-certificate-data: {certificate}\n\
             \x20   client-key-data: {key}\n\
             - name: depd-token\n\
             \x20 user:\n\
             \x20   token: {token}\n",
            server = self.url(),
            ca = encode(self.ca_pem()),
            certificate = encode(&self.identity.certificate_pem),
            key = encode(&self.identity.key_pem),
            token = self.token(),
        )
    }

    /// The bearer token of the user `depd-token`.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.shared.token
    }

    /// The certificate to trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.shared.authority.ca_pem()
    }

    /// The client certificate of the user `depd`.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// A fresh client certificate, for another user or for the same one anew.
    ///
    /// # Errors
    /// Says when it cannot be made.
    pub fn issue(&self, user: &str) -> Result<Identity, SandboxError> {
        self.shared.authority.client(user)
    }

    /// Creates an object, or replaces the one of its name, without a request. A `status` in it is
    /// written too. A namespaced object without a namespace goes into `default`.
    ///
    /// # Errors
    /// Says when the kind is unknown, or the API refuses the object.
    pub fn apply(&self, object: Value) -> Result<Value, SandboxError> {
        let (version, kind) = (text(&object, "/apiVersion"), text(&object, "/kind"));
        let resource = Id::of_kind(version, kind)
            .ok_or_else(|| SandboxError::UnknownKind(format!("{version} {kind}")))?;
        let namespace = match (resource.row().namespaced, text(&object, "/metadata/namespace")) {
            (false, _) => "",
            (true, "") => "default",
            (true, own) => own,
        };
        let key = Key::new(resource, namespace, text(&object, "/metadata/name"));
        let status = object.get("status").cloned();
        let write = Write { now: Wall::now(), dry_run: false };
        let made = self.shared.write(|store| {
            let mut made = match store.get(&key) {
                None => object::create(store, resource, &key.namespace, object, write)?,
                Some(_) => object::update(store, &key, object, Part::Main, write)?,
            };
            if let Some(status) = status {
                let mut with_status = Value::clone(&made);
                with_status["status"] = status;
                made = object::update(store, &key, with_status, Part::Status, write)?;
            }
            Ok(made)
        });
        let made = made.map_err(|status: Status| SandboxError::Refused(Box::new(status)))?;
        Ok(Value::clone(&made))
    }

    /// An object by its path (`/apis/apps/v1/namespaces/default/deployments/web`), without a request.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Value> {
        let target = path::Target::of(&path::split(path).0)?;
        let key = Key::new(target.resource, target.stored_in(), target.name.as_deref()?);
        self.shared.read(|store| store.get(&key).map(|object| Value::clone(object)))
    }

    /// Waits until the object at a path satisfies a condition (`Null` stands for no object), at most
    /// `limit`; says whether it did.
    pub fn wait_for(
        &self,
        path: &str,
        limit: Duration,
        mut condition: impl FnMut(&Value) -> bool,
    ) -> bool {
        let until = Instant::now() + limit;
        let mut seen = 0;
        loop {
            if condition(&self.get(path).unwrap_or_default()) {
                return true;
            }
            if Instant::now() >= until || self.shared.is_stopping() {
                return false;
            }
            seen = self.shared.wait_beyond(seen, until, Store::revision);
        }
    }

    /// All requests so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.records()
    }

    /// From now on every request is shown to `hook`, which may let it go wrong.
    pub fn set_faults(
        &self,
        hook: impl Fn(&RequestView<'_>) -> Option<Fault> + Send + Sync + 'static,
    ) {
        self.shared.set_faults(Some(Arc::new(hook)));
    }

    /// From now on nothing goes wrong.
    pub fn clear_faults(&self) {
        self.shared.set_faults(None);
    }

    /// Ends the listener, all connections and all threads.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shared.stop();
        self.server.stop();
        if let Some(controllers) = self.controllers.take() {
            // A panic in there was printed when it happened.
            drop(controllers.join());
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("address", &self.address()).finish_non_exhaustive()
    }
}

/// 64 bits from the operating system, by way of the standard library's hash keys. Good for names and
/// for a token that guards nothing but a sandbox on loopback.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
