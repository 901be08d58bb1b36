//! HTTP with one API server: sends a [`Request`], reads the answer. `[E]`
//!
//! A session owns a connection pool, and [`Session::shutdown`] ends exactly the requests of that
//! session at once, the ones blocked in a read too. So the ordinary requests share one session, and
//! each watch has its own. Nothing is sent twice here: whether to try again is for the caller. How many
//! requests are in flight at once, in all sessions together, follows what the server can take
//! ([`Window`]); the others wait for a place. Streams need none, because they stay.

use std::fmt;
use std::io::{BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use ureq::http::Response;
use ureq::http::header::{DATE, RETRY_AFTER};
use ureq::{Agent, Body, Proxy, Timeout};

use super::access::ServerUrl;
use super::call::Call;
use super::connector::{ApiConnector, NotSent, bare};
use super::error::{ApiError, Class, Sent};
use super::live::{Live, Ticket};
use super::redact::{Redaction, unreadable};
use super::request::Request;
use super::secret::Secret;
use super::text::plain;
use super::window::{Place, Sign, Window};
use crate::net::CachingResolver;
use crate::net::resolve::LookupError;

/// Input and output buffer of a connection; ureq's own default is eight times as much.
const BUFFER_BYTES: usize = 16 * 1024;

/// Shorter than the 90 s after which kube-apiserver closes an idle connection.
const IDLE_AGE: Duration = Duration::from_secs(60);

/// Pools of connections kept while certificates are renewed.
const POOLS: usize = 3;

/// The body of an error, beyond which nothing of interest follows.
const ERROR_BYTES: u64 = 64 * 1024;

/// Time limits and sizes; the defaults are right for a daemon.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Connections kept open between requests: as many as there are workers.
    pub idle_connections: usize,
    /// For name, TCP and TLS together.
    pub connect_limit: Duration,
    /// For an ordinary request as a whole.
    pub request_limit: Duration,
    /// For a request whose answer is welcome but holds up a verdict, such as a log's.
    pub brief_limit: Duration,
    /// The longest silence on a watch; bookmarks come about every minute.
    pub watch_idle_limit: Duration,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            idle_connections: 128,
            connect_limit: Duration::from_secs(10),
            request_limit: Duration::from_secs(30),
            brief_limit: Duration::from_secs(2),
            watch_idle_limit: Duration::from_secs(90),
        }
    }
}

/// What all sessions with one server have in common.
#[derive(Debug)]
pub(super) struct Server {
    pub url: ServerUrl,
    pub proxy: Option<Proxy>,
    pub live: Live,
    pub options: ClientOptions,
}

/// One connection pool to the server.
pub(super) struct Session {
    server: Arc<Server>,
    agents: Mutex<Vec<(u64, Agent)>>,
    used: Mutex<Instant>,
    ended: AtomicBool,
    pausing: Mutex<()>,
    wake: Condvar,
    window: Arc<Gate>,
}

/// The bound on requests in flight, and who waits for a place.
struct Gate {
    window: Mutex<Window>,
    room: Condvar,
}

/// A place in the window, given back when the answer was read or dropped.
struct Held {
    gate: Arc<Gate>,
    place: Place,
}

impl Held {
    fn note(&self, sign: Sign) {
        self.gate.window.lock().note(&self.place, sign);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.window.lock().leave();
        // One place may have become two.
        self.gate.room.notify_one();
        self.gate.room.notify_one();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("server", &self.server).finish_non_exhaustive()
    }
}

/// How long an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// As long as for any request.
    Request,
    /// Not long.
    Brief,
    /// As long as something comes.
    Stream,
}

/// A success, not yet read.
pub(super) struct Answer {
    call: Call,
    response: Response<Body>,
    held: Option<Held>,
    /// What it was asked for with.
    credential: Option<Secret>,
}

impl Session {
    pub(super) fn new(server: Arc<Server>) -> Session {
        let window = Window::new(server.options.idle_connections);
        Session {
            server,
            agents: Mutex::default(),
            used: Mutex::new(Instant::now()),
            ended: AtomicBool::new(false),
            pausing: Mutex::new(()),
            wake: Condvar::new(),
            window: Arc::new(Gate { window: Mutex::new(window), room: Condvar::new() }),
        }
    }

    /// A session of its own with the same server. Its requests count with those of the other one: after
    /// a restart of the server every watch asks at once.
    pub(super) fn beside(other: &Session) -> Session {
        Session { window: Arc::clone(&other.window), ..Session::new(Arc::clone(&other.server)) }
    }

    /// The pool of connections for a ticket. Renewed certificates need new connections; what is still
    /// in flight on older ones may finish, up to [`POOLS`].
    fn agent(&self, ticket: &Ticket) -> Agent {
        *self.used.lock() = Instant::now();
        let mut agents = self.agents.lock();
        if let Some((_, agent)) = agents.iter().find(|(known, _)| *known == ticket.generation) {
            return agent.clone();
        }
        let agent = self.new_agent(ticket);
        if self.is_ended() {
            agent.clone().shutdown();
        }
        agents.push((ticket.generation, agent.clone()));
        if agents.len() > POOLS {
            agents.remove(0).1.shutdown();
        }
        agent
    }

    /// Closes the connections of a burst that is over: each costs a descriptor and its buffers, and the
    /// pool itself looks at their age only when it is asked for one.
    pub(super) fn close_idle(&self, idle: Duration) {
        let is_quiet = self.used.lock().elapsed() >= idle && self.window.window.lock().is_idle();
        if is_quiet {
            self.agents.lock().clear();
        }
    }

    fn new_agent(&self, ticket: &Ticket) -> Agent {
        let Server { options, proxy, .. } = &*self.server;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(proxy.clone())
            .user_agent(concat!("depd/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .max_idle_connections(options.idle_connections)
            .max_idle_connections_per_host(options.idle_connections)
            .max_idle_age(IDLE_AGE)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .timeout_connect(Some(options.connect_limit))
            .timeout_global(Some(options.request_limit))
            .build();
        let connector = ApiConnector::new(ticket.tls.clone(), ticket.proxy_tls.clone());
        Agent::with_parts(config, connector, CachingResolver::shared())
    }

    /// Sends an ordinary request; the time limit covers the reading of the answer as well.
    pub(super) fn send(&self, request: &Request) -> Result<Answer, ApiError> {
        self.run(request, Patience::Request)
    }

    /// Sends a request whose answer is welcome but not worth waiting for.
    pub(super) fn send_briefly(&self, request: &Request) -> Result<Answer, ApiError> {
        self.run(request, Patience::Brief)
    }

    /// Opens a stream: no limit as a whole, but one for silence.
    pub(super) fn open(&self, request: &Request) -> Result<Answer, ApiError> {
        self.run(request, Patience::Stream)
    }

    /// Waits for a place in the window; streams need none.
    fn enter(&self, call: &Call, patience: Patience) -> Result<Option<Held>, ApiError> {
        if patience == Patience::Stream {
            return Ok(None);
        }
        let options = &self.server.options;
        let limit = match patience {
            Patience::Brief => options.brief_limit,
            Patience::Request | Patience::Stream => options.request_limit,
        };
        let until = Instant::now() + limit;
        let mut window = self.window.window.lock();
        loop {
            if let Some(place) = window.enter() {
                return Ok(Some(Held { gate: Arc::clone(&self.window), place }));
            }
            if self.is_ended() || self.window.room.wait_until(&mut window, until).timed_out() {
                // A place that was meant for this request is for the next one.
                self.window.room.notify_one();
                let text = "the API server is overloaded, and other requests came first";
                let class = Class::Network { text: text.into(), sent: Sent::No };
                return Err(ApiError::new(call, class));
            }
        }
    }

    /// Credentials that were refused are renewed, and the request is sent once more: a refused one was
    /// not carried out.
    fn run(&self, request: &Request, patience: Patience) -> Result<Answer, ApiError> {
        let ticket = self.ticket(request)?;
        match self.run_with(request, patience, &ticket) {
            Err(e) if e.class == Class::Unauthorized && self.server.live.refused(&ticket) => {
                let renewed = self.ticket(request)?;
                self.run_with(request, patience, &renewed)
            }
            outcome => outcome,
        }
    }

    fn ticket(&self, request: &Request) -> Result<Ticket, ApiError> {
        let ticket = self.server.live.ticket();
        ticket.map_err(|e| ApiError::new(&request.call, Class::Credentials { text: e.to_string() }))
    }

    fn run_with(
        &self,
        request: &Request,
        patience: Patience,
        ticket: &Ticket,
    ) -> Result<Answer, ApiError> {
        let call = &request.call;
        let held = self.enter(call, patience)?;
        let agent = self.agent(ticket);
        let header = &ticket.authorization;
        let uri = format!("{}{}", self.server.url, request.target);

        let options = &self.server.options;
        let outcome = match &request.body {
            None => {
                let mut get = agent.get(uri);
                if let Some(header) = header {
                    get = get.header("authorization", &**header.expose());
                }
                for (name, value) in ticket.headers.iter() {
                    get = get.header(name, value);
                }
                let get = get.config();
                let get = match patience {
                    Patience::Request => get,
                    Patience::Brief => get.timeout_global(Some(options.brief_limit)),
                    Patience::Stream => get
                        .timeout_global(None)
                        .timeout_recv_response(Some(options.request_limit))
                        .timeout_per_read(Some(options.watch_idle_limit)),
                };
                get.build().call()
            }
            Some(body) => {
                let mut send = match call.verb {
                    super::call::Verb::Patch => agent.patch(uri),
                    _ => agent.post(uri),
                };
                if let Some(header) = header {
                    send = send.header("authorization", &**header.expose());
                }
                for (name, value) in ticket.headers.iter() {
                    send = send.header(name, value);
                }
                send.header("content-type", body.content_type).send(&body.bytes[..])
            }
        };
        let response = outcome.map_err(|e| failed(call, &e))?;
        let status = response.status().as_u16();
        if let Some(held) = &held {
            held.note(match status {
                429 => Sign::Overloaded,
                500.. => Sign::None,
                _ => Sign::Fine,
            });
        }
        if (200..300).contains(&status) {
            let credential = ticket.authorization.clone();
            return Ok(Answer { call: call.clone(), response, held, credential });
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        let mut text = Vec::new();
        // Without its body an error still has its status.
        let _ = response.into_body().into_reader().take(ERROR_BYTES).read_to_end(&mut text);
        let known = Redaction::of_header(header.as_ref().map(|header| &**header.expose()));
        let text = known.apply(&String::from_utf8_lossy(&text));
        Err(ApiError::from_answer(call, status, retry_after.as_deref(), text.as_bytes()))
    }

    /// Ends all requests of this session, now and for good; also wakes [`Session::pause`].
    pub(super) fn shutdown(&self) {
        self.ended.store(true, Ordering::Release);
        drop(self.pausing.lock());
        self.wake.notify_all();
        drop(self.window.window.lock());
        self.window.room.notify_all();
        for (_, agent) in self.agents.lock().iter() {
            agent.clone().shutdown();
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits, at most until [`Session::shutdown`].
    pub(super) fn pause(&self, wait: Duration) {
        let mut guard = self.pausing.lock();
        let ended = |_: &mut ()| !self.is_ended();
        self.wake.wait_while_for(&mut guard, ended, wait);
    }
}

impl Answer {
    /// What an error inside of the body must not repeat.
    pub(super) fn redaction(&self) -> Redaction {
        Redaction::of_header(self.credential.as_ref().map(|header| &**header.expose()))
    }

    /// The header `Date`, where there is one.
    pub(super) fn date(&self) -> Option<&str> {
        self.response.headers().get(DATE)?.to_str().ok()
    }

    /// The body, which must not be longer than `limit` bytes.
    pub(super) fn read(self, limit: u64) -> Result<Vec<u8>, ApiError> {
        let Answer { call, response, held: _held, .. } = self;
        let mut bytes = Vec::new();
        let mut reader = response.into_body().into_reader().take(limit.saturating_add(1));
        reader.read_to_end(&mut bytes).map_err(|e| failed(&call, &e.into()))?;
        match bytes.len() as u64 > limit {
            true => Err(ApiError::new(
                &call,
                Class::Decode { text: format!("it is longer than {limit} bytes") },
            )),
            false => Ok(bytes),
        }
    }

    /// The body as JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(self, limit: u64) -> Result<T, ApiError> {
        let call = self.call.clone();
        let bytes = self.read(limit)?;
        let decoded = serde_json::from_slice(&bytes);
        decoded.map_err(|e| ApiError::new(&call, Class::Decode { text: unreadable(&e) }))
    }

    /// The body as JSON, parsed while it arrives, so that a long list is never in memory as text.
    pub(super) fn json_stream<T: serde::de::DeserializeOwned>(
        self,
        limit: u64,
    ) -> Result<T, ApiError> {
        let Answer { call, response, held: _held, .. } = self;
        let reader = response.into_body().into_reader();
        let reader = BufReader::with_capacity(BUFFER_BYTES, reader.take(limit));
        serde_json::from_reader(reader).map_err(|e| match e.io_error_kind() {
            Some(_) => failed(&call, &std::io::Error::from(e).into()),
            None => ApiError::new(&call, Class::Decode { text: unreadable(&e) }),
        })
    }

    /// The body as a stream, which needs no place in the window.
    pub(super) fn reader(self) -> (Call, impl Read + Send) {
        (self.call, self.response.into_body().into_reader())
    }
}

/// An error of the connection.
pub(super) fn failed(call: &Call, error: &ureq::Error) -> ApiError {
    let not_sent = match error {
        ureq::Error::Other(inner) => inner.is::<NotSent>() || inner.is::<LookupError>(),
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
        ureq::Error::Io(e) => e.kind() == std::io::ErrorKind::NotConnected,
        ureq::Error::Http(_) | ureq::Error::BadUri(_) | ureq::Error::HostNotFound => true,
        _ => false,
    };
    let sent = if not_sent { Sent::No } else { Sent::Maybe };
    ApiError::new(call, Class::Network { text: plain(&bare(error)), sent })
}

#[cfg(test)]
mod tests;
