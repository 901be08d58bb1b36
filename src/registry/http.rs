//! HTTP with AWS and with what stands in for it on this host. `[E]`
//!
//! Every request has a limit, no redirect is followed (it would carry a secret away), and an address that
//! [`endpoint::kind`] does not know is not asked. Proxies are those of the environment, but never for this
//! machine and the link-local addresses. Errors never name more than the host.

use std::collections::HashMap;
use std::io::Read as _;
use std::time::Duration;

use log::info;
use parking_lot::Mutex;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::http::Uri;
use ureq::typestate::AgentScope;
use ureq::unversioned::transport::DefaultConnector;

use super::endpoint::{self, Kind};
use crate::net::{CachingResolver, Surroundings};

/// A manifest is at most 4 MiB, and comes as a text within JSON.
const ANSWER_BYTES: u64 = 10 << 20;

/// Of an error's body so much is of interest.
const ERROR_BYTES: usize = 64 << 10;

/// Headers whose values are secrets.
const SECRET_HEADERS: [&str; 3] =
    ["authorization", "x-amz-security-token", "x-aws-ec2-metadata-token"];

/// For name, TCP and TLS together.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A client for all that is asked here.
#[derive(Debug)]
pub(super) struct Http {
    /// By host; there are as many as registries in use, and STS.
    far: Mutex<HashMap<String, Agent>>,
    near: Agent,
    surroundings: Surroundings,
}

/// One request.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    /// The whole address.
    pub url: &'a str,
    /// Headers; may hold secrets.
    pub headers: &'a [(&'a str, &'a str)],
    /// `None` is a GET.
    pub send: Option<Send<'a>>,
    /// What else of it is secret; an error's body is given without it.
    pub hidden: Option<&'a str>,
    /// For the request as a whole.
    pub limit: Duration,
}

/// What is sent along.
#[derive(Clone, Copy)]
pub(super) enum Send<'a> {
    /// A POST with this body.
    Post(&'a [u8]),
    /// A PUT without one.
    Put,
}

/// An answer of any status.
pub(super) struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Http {
    pub(super) fn new(surroundings: Surroundings) -> Http {
        let near = config().proxy(None).build();
        let near = Agent::with_parts(near, DefaultConnector::default(), CachingResolver::shared());
        Http { far: Mutex::default(), near, surroundings }
    }

    /// The client for one of AWS's hosts; which proxy stands before it is a matter of the host.
    fn far(&self, url: &str) -> Result<Agent, String> {
        let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        let host = host.unwrap_or_default();
        if let Some(agent) = self.far.lock().get(&host) {
            return Ok(agent.clone());
        }
        let agent = self.surroundings.agent(config(), url)?;
        if let Ok(Some(proxy)) = self.surroundings.proxy_for(url) {
            info!("{host} is reached through {} ({})", proxy.url, proxy.source);
        }
        Ok(self.far.lock().entry(host).or_insert(agent).clone())
    }

    /// Sends it once.
    pub(super) fn send(&self, ask: Ask<'_>) -> Result<Reply, String> {
        let agent = match endpoint::kind(ask.url) {
            Some(Kind::Https) => self.far(ask.url)?,
            Some(Kind::Loopback | Kind::ContainerHost | Kind::MetadataHost) => self.near.clone(),
            None => return Err("its address is neither https nor of this machine".into()),
        };
        macro_rules! prepared {
            ($request:expr) => {{
                let mut request = $request;
                for (name, value) in ask.headers {
                    request = request.header(*name, *value);
                }
                request.config().timeout_global(Some(ask.limit)).build()
            }};
        }
        let outcome = match ask.send {
            None => prepared!(agent.get(ask.url)).call(),
            Some(Send::Post(body)) => prepared!(agent.post(ask.url)).send(body),
            Some(Send::Put) => prepared!(agent.put(ask.url)).send_empty(),
        };
        let response = outcome.map_err(|e| trouble(&e))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let mut reader = response.into_body().into_reader().take(ANSWER_BYTES + 1);
        reader.read_to_end(&mut body).map_err(|e| trouble(&e.into()))?;
        match body.len() as u64 > ANSWER_BYTES {
            true => Err(format!("the answer is longer than {ANSWER_BYTES} bytes")),
            false if status == 200 => Ok(Reply { status, body }),
            false => Ok(Reply { status, body: without_secrets(&body, ask) }),
        }
    }
}

/// The body of an error, cut, without what only we and the server may know: whoever stands between may
/// send the request back.
fn without_secrets(body: &[u8], ask: Ask<'_>) -> Vec<u8> {
    let body = &body[..body.len().min(ERROR_BYTES)];
    let mut text = String::from_utf8_lossy(body).into_owned();
    let sent = ask.headers.iter().filter(|(name, _)| SECRET_HEADERS.contains(name));
    for secret in sent.map(|(_, value)| *value).chain(ask.hidden).filter(|it| !it.is_empty()) {
        text = text.replace(secret, "[redacted]");
    }
    text.into_bytes()
}

fn config() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT_LIMIT))
        .user_agent(concat!("depd/", env!("CARGO_PKG_VERSION")))
}

/// ureq's errors may name the address and headers; only their kind is told.
fn trouble(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "its host name cannot be resolved".to_owned(),
        ureq::Error::Io(error) => {
            match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
                Some(tls) => format!("no TLS with it ({tls})"),
                None => format!("it cannot be reached ({})", error.kind()),
            }
        }
        ureq::Error::ConnectionFailed => "it cannot be reached".to_owned(),
        ureq::Error::Rustls(tls) => format!("no TLS with it ({tls})"),
        _ => "the request failed".to_owned(),
    }
}
