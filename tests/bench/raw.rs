//! What depd is measured against: a loop that only sends the same PATCHes.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use ureq::Agent;

use crate::api::Login;
use crate::figures::Stamp;
use crate::process;
use crate::services::Service;

/// How the audit log tells the raw loop from depd, which is the same user.
pub const USER_AGENT: &str = "bench-raw";

/// A request that is ready to be sent.
pub struct Patch {
    url: String,
    body: String,
}

impl Patch {
    /// The guarded JSON Patch that depd sends for this change, byte for byte.
    pub fn new(login: &Login, service: &Service, image: &str) -> Patch {
        let Service { namespace, name, uid } = service;
        let cause = format!("depd: {name}_{namespace}.dep set {name}={image}");
        let cause_path = "/metadata/annotations/kubernetes.io~1change-cause";
        let container = "/spec/template/spec/containers/0";
        let body = json!([
            { "op": "test", "path": "/metadata/uid", "value": uid },
            { "op": "test", "path": format!("{container}/name"), "value": name },
            { "op": "replace", "path": format!("{container}/image"), "value": image },
            { "op": "add", "path": cause_path, "value": cause },
        ]);
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        let url = format!("{}{path}?fieldManager=depd", login.server);
        Patch { url, body: body.to_string() }
    }
}

/// One keep-alive connection.
pub struct Connection {
    agent: Agent,
    login: Login,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects, with a request that the audit log leaves out.
    pub fn open(login: &Login) -> Connection {
        let agent = login.agent(USER_AGENT);
        let mut connection = Connection { agent, login: login.clone(), answer: Vec::new() };
        let request = connection.agent.get(format!("{}/version", connection.login.server));
        let answer = request.header("authorization", &connection.login.authorization).call();
        connection.take(answer.expect("an answer"));
        connection
    }

    /// Sends it and reads the answer.
    pub fn send(&mut self, patch: &Patch) {
        let request = self.agent.patch(&patch.url);
        let request = request.header("authorization", &self.login.authorization);
        let request = request.header("content-type", "application/json-patch+json");
        let answer = request.send(&patch.body[..]).expect("an answer");
        self.take(answer);
    }

    fn take(&mut self, answer: ureq::http::Response<ureq::Body>) {
        let status = answer.status();
        self.answer.clear();
        let mut body = answer.into_body().into_reader();
        std::io::Read::read_to_end(&mut body, &mut self.answer).expect("a body");
        let text = || String::from_utf8_lossy(&self.answer).into_owned();
        assert!(status.is_success(), "the raw loop: {status} {}", text());
    }
}

/// A finished loop.
pub struct Run {
    /// Before the first request.
    pub began: Stamp,
    /// What its threads used.
    pub cpu: Duration,
}

/// Sends all of them over so many connections, which are made before the clock starts.
pub fn burst(login: &Login, patches: &[Patch], connections: usize) -> Run {
    let ready = Barrier::new(connections + 1);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut connection = Connection::open(login);
        ready.wait();
        let before = process::cpu_of_this_thread();
        while let Some(patch) = patches.get(next.fetch_add(1, Ordering::Relaxed)) {
            connection.send(patch);
        }
        process::cpu_of_this_thread() - before
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        ready.wait();
        let began = Stamp::now();
        let cpu = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
        Run { began, cpu }
    })
}
