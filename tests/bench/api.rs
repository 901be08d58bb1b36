//! The control plane as the environment names it, and plain requests to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use depd::cluster::kubeconfig::{self, Choice};
use depd::cluster::{Access, Authorization, Material, Trust};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// As depd has them, so that neither side pays for larger ones.
const BUFFER_BYTES: usize = 16 * 1024;
/// The longest answer: a list of a thousand Deployments is 3 MB.
const ANSWER_BYTES: u64 = 1 << 30;

/// What `scripts/cluster env` prints.
pub struct Cluster {
    /// Sets up and looks; not subject to flow control, and another user than depd.
    pub admin: Api,
    /// The plain ServiceAccount that depd is given.
    pub plain: Login,
    pub plain_kubeconfig: PathBuf,
    pub audit_log: PathBuf,
    pub kubectl: PathBuf,
}

impl Cluster {
    pub fn from_environment() -> Cluster {
        let path = |name: &str| {
            let value = std::env::var_os(name);
            PathBuf::from(value.unwrap_or_else(|| panic!("{name} is not set; run scripts/bench")))
        };
        let plain_kubeconfig = path("DEPD_TEST_KUBECONFIG");
        Cluster {
            admin: Login::load(&path("DEPD_TEST_ADMIN_KUBECONFIG")).api("bench"),
            plain: Login::load(&plain_kubeconfig),
            plain_kubeconfig,
            audit_log: path("DEPD_TEST_AUDIT_LOG"),
            kubectl: path("DEPD_TEST_KUBECTL"),
        }
    }
}

/// A server and a user.
#[derive(Clone)]
pub struct Login {
    pub server: String,
    /// The `Authorization` header, empty for a user with a certificate.
    pub authorization: String,
    authority: Certificate<'static>,
    identity: Option<ClientCert>,
}

impl Login {
    fn load(file: &Path) -> Login {
        let choice = Choice { kubeconfig: Some(file.to_owned()), context: None };
        let access: Access = kubeconfig::load(&choice, |_| None).expect("a kubeconfig");
        let Trust::Authority(authority) = &access.trust else { panic!("no authority in {file:?}") };
        let authorization = match &access.authorization {
            Authorization::Token(token) => format!("Bearer {}", token.expose()),
            _ => String::new(),
        };
        let identity = access.identity.as_ref().map(|identity| {
            let certificate = certificate(&identity.certificate);
            let key = PrivateKey::from_pem(&bytes(&identity.key)).expect("a PEM key");
            ClientCert::new_with_certs(&[certificate], key)
        });
        let authority = certificate(authority);
        Login { server: access.server.as_str().to_owned(), authorization, authority, identity }
    }

    /// A pool of keep-alive connections. `user_agent` is how the audit log tells who asked.
    pub fn agent(&self, user_agent: &str) -> Agent {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(std::slice::from_ref(&self.authority)))
            .client_cert(self.identity.clone())
            .build();
        Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(user_agent)
            .max_idle_connections(64)
            .max_idle_connections_per_host(64)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .build()
            .into()
    }

    pub fn api(&self, user_agent: &str) -> Api {
        Api { login: Arc::new(self.clone()), agent: self.agent(user_agent) }
    }
}

/// Requests that must succeed.
#[derive(Clone)]
pub struct Api {
    login: Arc<Login>,
    agent: Agent,
}

impl Api {
    /// A connection pool of its own with the same user.
    pub fn apart(&self) -> Api {
        Api { login: Arc::clone(&self.login), agent: self.login.agent("bench") }
    }

    /// An open answer, to be read as it comes.
    pub fn open(&self, path: &str) -> Body {
        let request = self.agent.get(format!("{}{path}", self.login.server));
        let answer = request.header("authorization", &self.login.authorization).call();
        let answer = answer.unwrap_or_else(|error| panic!("GET {path}: {error}"));
        assert!(answer.status().is_success(), "GET {path}: {}", answer.status());
        answer.into_body()
    }

    /// `None` when there is no such object.
    pub fn find(&self, path: &str) -> Option<Value> {
        let request = self.agent.get(format!("{}{path}", self.login.server));
        let answer = request.header("authorization", &self.login.authorization).call();
        let mut answer = answer.unwrap_or_else(|error| panic!("GET {path}: {error}"));
        let body = answer.body_mut().read_to_string().expect("a body");
        answer.status().is_success().then(|| serde_json::from_str(&body).expect("JSON"))
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let mut body = self.open(path);
        let text = body.with_config().limit(ANSWER_BYTES).read_to_vec().expect("a body");
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// PATCHes of Deployments that the API server has answered with 200, by its own metrics.
    pub fn patches_by_metrics(&self) -> u64 {
        let mut body = self.open("/metrics");
        let text = body.with_config().limit(ANSWER_BYTES).read_to_string().expect("a body");
        let parts = ["code=\"200\"", "resource=\"deployments\"", "verb=\"PATCH\""];
        let counts = text.lines().filter_map(|line| {
            let (labels, value) =
                line.strip_prefix("apiserver_request_total{")?.split_once("} ")?;
            let is_patch = parts.iter().all(|part| labels.contains(part))
                && labels.contains("subresource=\"\"");
            is_patch.then(|| value.parse::<f64>().expect("a number"))
        });
        counts.sum::<f64>() as u64
    }

    pub fn post(&self, path: &str, object: &Value) {
        let request = self.agent.post(format!("{}{path}", self.login.server));
        let request = request.header("authorization", &self.login.authorization);
        let answer = request.content_type("application/json").send(object.to_string());
        let mut answer = answer.unwrap_or_else(|error| panic!("POST {path}: {error}"));
        let body = answer.body_mut().read_to_string().expect("a body");
        assert!(answer.status().is_success(), "POST {path}: {} {body}", answer.status());
    }

    /// Deletes, and is content when there is nothing to delete.
    pub fn delete(&self, path: &str) {
        let request = self.agent.delete(format!("{}{path}", self.login.server));
        let answer = request.header("authorization", &self.login.authorization).call();
        let mut answer = answer.unwrap_or_else(|error| panic!("DELETE {path}: {error}"));
        let _ = answer.body_mut().read_to_string();
    }

    /// Ends every open answer of this pool.
    pub fn shutdown(&self) {
        self.agent.clone().shutdown();
    }
}

fn bytes(material: &Material) -> Vec<u8> {
    match material {
        Material::File(path) => fs::read(path).expect("a readable file"),
        Material::Inline(content) => content.expose().clone(),
    }
}

fn certificate(material: &Material) -> Certificate<'static> {
    Certificate::from_pem(&bytes(material)).expect("a PEM certificate").to_owned()
}
