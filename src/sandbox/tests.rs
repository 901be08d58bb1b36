//! The sandbox through a real TLS client, as the daemon and kubectl use it.

use std::io::{BufRead, BufReader, Read};

use serde_json::json;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::*;

mod kubectl;
mod protocol;
mod rollout;

const LIMIT: Duration = Duration::from_secs(20);
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";

/// A sandbox that is quicker than the default, and a client of it.
struct Fixture {
    sandbox: Sandbox,
    client: Client,
}

fn fixture() -> Fixture {
    with(SandboxOptions::default())
}

fn with(options: SandboxOptions) -> Fixture {
    let quick = SandboxOptions {
        pod_start: Duration::from_millis(20),
        pod_stop: Duration::from_millis(10),
        ..options
    };
    let sandbox = Sandbox::start(quick).unwrap();
    let client = Client::new(&sandbox, Some(sandbox.identity()));
    Fixture { sandbox, client }
}

struct Client {
    agent: Agent,
    url: String,
    token: Option<String>,
}

#[derive(Debug)]
struct Answer {
    code: u16,
    body: Value,
    text: String,
}

impl Client {
    fn new(sandbox: &Sandbox, identity: Option<&Identity>) -> Client {
        let ca = Certificate::from_pem(sandbox.ca_pem().as_bytes()).unwrap();
        let own = identity.map(|identity| {
            let certificate = Certificate::from_pem(identity.certificate_pem.as_bytes()).unwrap();
            let key = PrivateKey::from_pem(identity.key_pem.as_bytes()).unwrap();
            ClientCert::new_with_certs(&[certificate], key)
        });
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[ca]))
            .client_cert(own)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .http_status_as_error(false)
            .timeout_per_read(Some(LIMIT))
            .build();
        Client { agent: config.into(), url: sandbox.url(), token: None }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_empty() && matches!(method, "GET" | "HEAD" | "DELETE") {
            return self.agent.run(request.body(()).unwrap());
        }
        let request = self.agent.configure_request(request.body(body.to_owned()).unwrap());
        self.agent.run(request.allow_non_standard_methods(true).build())
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut response = self.request(method, path, headers, body).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { code: response.status().as_u16(), body, text }
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], &body.to_string())
    }

    fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer {
        let kind = format!("application/{kind}");
        self.send("PATCH", path, &[("content-type", &kind)], &body.to_string())
    }

    fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "")
    }

    /// The lines of a watch, as they come.
    fn watch(&self, path: &str) -> impl Iterator<Item = Value> + use<> {
        let response = self.request("GET", path, &[], "").unwrap();
        let reader = BufReader::new(response.into_body().into_reader());
        reader.lines().map_while(Result::ok).map(|line| serde_json::from_str(&line).unwrap())
    }
}

impl Fixture {
    /// Waits until the Deployment `web` satisfies a condition.
    fn web(&self, what: &str, condition: impl FnMut(&Value) -> bool) -> Value {
        let met = self.sandbox.wait_for(WEB, LIMIT, condition);
        let web = self.sandbox.get(WEB).unwrap_or_default();
        assert!(met, "web never became {what}: {web:#}");
        web
    }

    /// Creates `web` and waits until it runs.
    fn deploy(&self, image: &str, replicas: i64) -> Value {
        assert_eq!(self.client.post(DEPLOYMENTS, &deployment(image, replicas)).code, 201);
        self.web("available", is_done)
    }

    /// Sets the image of `web` as depd does.
    fn set_image(&self, image: &str) -> Answer {
        let uid = self.sandbox.get(WEB).unwrap()["metadata"]["uid"].clone();
        let image_path = "/spec/template/spec/containers/0";
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "test", "path": format!("{image_path}/name"), "value": "web"},
            {"op": "replace", "path": format!("{image_path}/image"), "value": image},
        ]);
        self.client.patch(&format!("{WEB}?fieldManager=depd"), "json-patch+json", &patch)
    }

    /// The pods of `web`, by a list through the API.
    fn pods(&self) -> Vec<Value> {
        let list = self.client.get("/api/v1/namespaces/default/pods?labelSelector=app%3Dweb");
        list.body["items"].as_array().unwrap().clone()
    }
}

fn deployment(image: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    })
}

/// What `kubectl rollout status` calls done.
fn is_done(deployment: &Value) -> bool {
    let status = |name: &str| deployment["status"][name].as_i64().unwrap_or(0);
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(0);
    Some(status("observedGeneration")) == deployment["metadata"]["generation"].as_i64()
        && status("updatedReplicas") == wanted
        && status("replicas") == wanted
        && status("availableReplicas") == wanted
}

/// A condition of a Deployment: `status reason`.
fn condition(deployment: &Value, kind: &str) -> String {
    let all = deployment["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|c| c["type"] == kind);
    found.map_or(String::new(), |c| format!("{} {}", text(c, "/status"), text(c, "/reason")))
}
