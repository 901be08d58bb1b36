//! How depd gets into the cluster during one run of a scenario, where that is not the usual way.
//!
//! A scenario knows nothing of it: [`Cluster`](crate::cluster::Cluster) and [`Depd`](crate::depd::Depd) ask
//! here what the thread that runs them was given.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use crate::line::Line;
use crate::proxy::Proxy;
use crate::wait::wait_for;

/// Where an audit event has the name of the very certificate or token.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// One way in, made for one run of a scenario.
pub struct Way {
    /// Empty where there is none.
    pub kubeconfig: PathBuf,
    /// What starts depd, with its arguments.
    pub starter: Vec<String>,
    /// What its environment has besides.
    pub env: Vec<(String, String)>,
    /// Everything goes through it.
    pub line: Line,
    /// What stands before the line, and what it must have been asked for.
    pub proxy: Option<(Proxy, String)>,
    pub identity: Identity,
    /// Kept until the end.
    _folder: Arc<TempDir>,
    namespaces: RefCell<Vec<String>>,
}

/// As whom the API server must know depd.
#[derive(Clone)]
pub struct Identity {
    pub user: String,
    /// Who acts as this user.
    pub by: Option<String>,
    /// The names of the certificates and tokens that may be used; empty where the server knows none.
    pub credentials: Arc<Mutex<BTreeSet<String>>>,
}

/// What the audit log says about a run.
#[derive(Default)]
pub struct Evidence {
    pub requests: usize,
    pub connections: usize,
    pub credentials: BTreeSet<String>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Way>>> = const { RefCell::new(None) };
}

/// The one of this thread.
pub fn current() -> Option<Rc<Way>> {
    CURRENT.with_borrow(Clone::clone)
}

impl Way {
    pub fn new(line: Line, kubeconfig: PathBuf, identity: Identity, folder: Arc<TempDir>) -> Way {
        Way {
            kubeconfig,
            starter: Vec::new(),
            env: Vec::new(),
            line,
            proxy: None,
            identity,
            _folder: folder,
            namespaces: RefCell::default(),
        }
    }

    /// Runs a scenario on this thread, and proves that it was this way that depd took.
    pub fn run(self, scenario: fn()) -> Evidence {
        let way = Rc::new(self);
        CURRENT.set(Some(Rc::clone(&way)));
        scenario();
        CURRENT.set(None);
        way.prove()
    }

    pub fn note(&self, namespace: &str) {
        self.namespaces.borrow_mut().push(namespace.to_owned());
    }

    /// Every request about the namespaces of the run came as it should, and there were some.
    fn prove(&self) -> Evidence {
        let log = PathBuf::from(std::env::var_os("DEPD_TEST_AUDIT_LOG").expect("an audit log"));
        let mut evidence = Evidence::default();
        for namespace in self.namespaces.borrow().iter() {
            let events = wait_for("a request of depd in the audit log", || {
                let text = fs::read_to_string(&log).expect("the audit log");
                let events = events_about(&text, namespace).filter(|event| !is_admin(event));
                let events: Vec<Value> = events.collect();
                (!events.is_empty()).then_some(events)
            });
            for event in events {
                evidence.requests += 1;
                evidence.credentials.extend(self.credential(&event));
            }
        }
        evidence.connections = self.line.connections();
        assert!(evidence.connections > 0, "the line was passed by");
        if let Some((proxy, target)) = &self.proxy {
            assert!(proxy.tunnels() >= evidence.connections, "the proxy was passed by");
            assert!(proxy.targets().iter().all(|asked| asked == target), "{:?}", proxy.targets());
        }
        evidence
    }

    fn credential(&self, event: &Value) -> Option<String> {
        let Identity { user, by, credentials } = &self.identity;
        let own = event["user"]["username"].as_str().unwrap_or_default();
        assert_eq!(user_of(event), user, "{event}");
        assert_eq!(own, by.as_ref().unwrap_or(user), "{event}");
        let credential = event["user"]["extra"][CREDENTIAL][0].as_str();
        let known = credentials.lock().expect("fine");
        match credential {
            Some(credential) => assert!(known.contains(credential), "{known:?}: {event}"),
            None => assert!(known.is_empty(), "{known:?}: {event}"),
        }
        credential.map(str::to_owned)
    }
}

/// The events of an audit log that concern a namespace.
pub fn events_about<'a>(log: &'a str, namespace: &'a str) -> impl Iterator<Item = Value> + 'a {
    // Most lines are about something else, and parsing is slow.
    let lines = log.lines().filter(move |line| line.contains(namespace));
    let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(move |event| event["objectRef"]["namespace"] == namespace)
}

/// The user that a request counts for: the one acted as, if any.
pub fn user_of(event: &Value) -> &str {
    let acted_as = event["impersonatedUser"]["username"].as_str();
    acted_as.or_else(|| event["user"]["username"].as_str()).unwrap_or_default()
}

/// The test itself.
fn is_admin(event: &Value) -> bool {
    user_of(event) == "kubernetes-admin"
}
