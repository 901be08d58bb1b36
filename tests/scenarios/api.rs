//! Plain requests to an API server: for what depd itself never does, and for a proxy before it.

use std::fs;
use std::path::Path;

use depd::cluster::kubeconfig::{self, Choice};
use depd::cluster::{Authorization, ClientIdentity, Material, Trust};
use serde_json::Value;
use ureq::http::Response;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::http::Request;

/// Plain requests, for what depd itself never does.
pub struct Api {
    agent: Agent,
    server: String,
    token: Option<String>,
}

impl Api {
    pub fn from_kubeconfig(file: &Path) -> Api {
        let choice = Choice { kubeconfig: Some(file.to_owned()), context: None };
        let access = kubeconfig::load(&choice, |_| None).expect("a kubeconfig");
        let Trust::Authority(ca) = &access.trust else { panic!("no authority") };
        let token = match &access.authorization {
            Authorization::Token(token) => Some(token.expose().to_string()),
            _ => None,
        };
        let identity = access.identity.as_ref().map(client_cert);
        let agent = agent(&bytes(ca), identity);
        Api { agent, server: access.server.as_str().to_owned(), token }
    }

    pub fn become_bearer(&mut self, token: &str, ca: &str) {
        self.agent = agent(ca.as_bytes(), None);
        self.token = Some(token.to_owned());
    }

    pub fn authorization(&self) -> String {
        self.token.as_ref().map(|token| format!("Bearer {token}")).unwrap_or_default()
    }

    pub fn port(&self) -> u16 {
        let port = self.server.rsplit(':').next().and_then(|port| port.parse().ok());
        port.expect("a server with a port")
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        let request = self.agent.get(self.url(path)).header("authorization", self.authorization());
        let mut reply = request.call().expect("an answer");
        let text = reply.body_mut().with_config().limit(1 << 30).read_to_string().expect("a body");
        let body: Value = serde_json::from_str(&text).expect("JSON");
        match reply.status().as_u16() {
            200 => Some(body),
            404 => None,
            status => panic!("GET {path}: {status} {body}"),
        }
    }

    pub fn post(&self, path: &str, object: &Value) -> Value {
        let request = self.agent.post(self.url(path)).header("authorization", self.authorization());
        let request = request.content_type("application/json");
        let body = check("POST", path, request.send(object.to_string()));
        serde_json::from_str(&body).expect("JSON")
    }

    /// Passes a request of somebody else on; whatever the server says is an answer.
    pub fn forward(&self, request: &Request) -> Result<Response<Body>, ureq::Error> {
        let mut copy = ureq::http::Request::builder()
            .method(&*request.method)
            .uri(self.url(&request.target))
            .header("authorization", self.authorization());
        for name in ["accept", "content-type", "user-agent"] {
            if let Some(value) = request.header(name) {
                copy = copy.header(name, value);
            }
        }
        match request.body.is_empty() {
            true => self.agent.run(copy.body(()).expect("a request")),
            false => self.agent.run(copy.body(&request.body[..]).expect("a request")),
        }
    }

    pub fn dry_run(&self, path: &str, object: &Value) -> Value {
        let url = self.url(&format!("{path}?dryRun=All"));
        let request = self.agent.post(url).header("authorization", self.authorization());
        let request = request.content_type("application/json");
        let mut reply = request.send(object.to_string()).expect("an answer");
        let text = reply.body_mut().read_to_string().expect("a body");
        serde_json::from_str(&text).expect("JSON")
    }

    pub fn json_patch(&self, path: &str, operations: &Value) {
        let request =
            self.agent.patch(self.url(path)).header("authorization", self.authorization());
        let request = request.content_type("application/json-patch+json");
        check("PATCH", path, request.send(operations.to_string()));
    }

    pub fn patch(&self, path: &str, patch: &Value) {
        let request =
            self.agent.patch(self.url(path)).header("authorization", self.authorization());
        let request = request.content_type("application/merge-patch+json");
        check("PATCH", path, request.send(patch.to_string()));
    }

    pub fn delete(&self, path: &str) {
        let request =
            self.agent.delete(self.url(path)).header("authorization", self.authorization());
        check("DELETE", path, request.call());
    }
}

#[track_caller]
fn check(verb: &str, path: &str, reply: Result<Response<Body>, ureq::Error>) -> String {
    let mut reply = reply.expect("an answer");
    let body = reply.body_mut().read_to_string().expect("a body");
    assert!(reply.status().is_success(), "{verb} {path}: {} {body}", reply.status());
    body
}

fn bytes(material: &Material) -> Vec<u8> {
    match material {
        Material::File(path) => fs::read(path).expect("a readable file"),
        Material::Inline(content) => content.expose().clone(),
    }
}

fn client_cert(identity: &ClientIdentity) -> ClientCert {
    let certificate = Certificate::from_pem(&bytes(&identity.certificate)).expect("PEM");
    let key = PrivateKey::from_pem(&bytes(&identity.key)).expect("PEM");
    ClientCert::new_with_certs(&[certificate.to_owned()], key)
}

fn agent(ca: &[u8], identity: Option<ClientCert>) -> Agent {
    let ca = Certificate::from_pem(ca).expect("PEM").to_owned();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[ca]))
        .client_cert(identity)
        .build();
    Agent::config_builder().tls_config(tls).http_status_as_error(false).build().into()
}
