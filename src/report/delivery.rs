//! Messages on their way to Slack, from a thread of its own. `[E]`
//!
//! A message is kept until the receiver acknowledged it (2xx). What may pass (network, 429, 5xx) is
//! tried again, in order, with `Retry-After` obeyed; what will not (other 4xx) is set aside loudly.
//! Nothing here may block the caller: the queue is bounded, and when it is full the oldest news is
//! in the log anyway.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use log::{error, warn};
use parking_lot::Mutex;

use super::pace::Pace;
use super::webhook::WebhookUrl;
use crate::clock;
use crate::queue::backoff;

/// Messages that may wait.
const CAPACITY: usize = 20_000;
/// A receiver's `Retry-After` is believed up to this.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(120);
/// One request to the receiver may take this long.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// The sending half; share it in an `Arc`.
#[derive(Debug)]
pub struct Delivery {
    /// `None` once it was finished.
    messages: Mutex<Option<Sender<Parcel>>>,
    stopping: Sender<()>,
    thread: JoinHandle<()>,
}

impl Delivery {
    /// Starts the thread. `per_second` bounds the messages after a short burst; `settled` is told,
    /// on that thread, what became of each message by its number.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(
        url: WebhookUrl,
        per_second: u32,
        settled: impl Fn(u64, Fate) + Send + 'static,
    ) -> std::io::Result<Delivery> {
        let (messages, waiting) = bounded(CAPACITY);
        let (stopping, stop) = bounded(1);
        let mut postman = Postman {
            agent: agent(&url),
            url,
            pace: Pace::new(per_second),
            waiting,
            stop,
            settled: Box::new(settled),
        };
        let thread = thread::Builder::new().name("report".into()).spawn(move || postman.run())?;
        Ok(Delivery { messages: Mutex::new(Some(messages)), stopping, thread })
    }

    /// Hands over a message. Never blocks.
    pub fn send(&self, message: Parcel) {
        let sent = self.messages.lock().as_ref().map(|waiting| waiting.try_send(message));
        if let Some(Err(TrySendError::Full(_))) = sent {
            error!("slack: {CAPACITY} messages wait already; this one is sent at the next start");
        }
    }

    /// Takes no more, and ends when what waits was sent or `limit` has passed, whichever is first;
    /// true when everything was sent.
    #[must_use]
    pub fn finish(&self, limit: Duration) -> bool {
        let until = clock::now() + limit;
        *self.messages.lock() = None;
        while !self.thread.is_finished() && clock::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        let finished = self.thread.is_finished();
        let _ = self.stopping.try_send(());
        finished
    }
}

struct Postman {
    url: WebhookUrl,
    agent: ureq::Agent,
    pace: Pace,
    waiting: Receiver<Parcel>,
    stop: Receiver<()>,
    settled: Box<dyn Fn(u64, Fate) + Send>,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Its number in the store, where it is in one.
    pub id: Option<u64>,
    /// The body.
    pub payload: String,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver acknowledged it.
    Delivered,
    /// The receiver will never take it, for this reason.
    SetAside(String),
}

/// What a receiver made of a message.
enum Answer {
    Taken,
    Later { why: String, wait: Option<Duration> },
    Never { why: String },
}

impl Postman {
    fn run(&mut self) {
        while let Ok(message) = self.waiting.recv() {
            if !self.deliver(&message) {
                return;
            }
        }
    }

    /// Tries until the message is taken or set aside; false when told to stop.
    fn deliver(&mut self, message: &Parcel) -> bool {
        let mut failures = 0;
        loop {
            if !self.rest(self.pace.wait(clock::now())) {
                return false;
            }
            self.pace.spend(clock::now());
            match self.post(message) {
                Answer::Taken => {
                    self.settle(message, Fate::Delivered);
                    return true;
                }
                Answer::Never { why } => {
                    error!("slack: {} refused a message for good: {why}", self.url.host());
                    self.settle(message, Fate::SetAside(why));
                    return true;
                }
                Answer::Later { why, wait } => {
                    failures += 1;
                    let wait = wait.unwrap_or_else(|| backoff::delay(failures, clock::now().0));
                    let (host, ms) = (self.url.host(), wait.as_millis());
                    warn!("slack: {host}: {why}; the message is kept and tried again in {ms} ms");
                    if !self.rest(wait) {
                        return false;
                    }
                }
            }
        }
    }

    fn settle(&self, message: &Parcel, fate: Fate) {
        if let Some(id) = message.id {
            (self.settled)(id, fate);
        }
    }

    fn post(&self, message: &Parcel) -> Answer {
        let sent = self
            .agent
            .post(self.url.expose())
            .content_type("application/json")
            .send(&message.payload);
        let mut reply = match sent {
            Ok(reply) => reply,
            Err(error) => return Answer::Later { why: network_text(&error), wait: None },
        };
        let status = reply.status().as_u16();
        let said = reply.body_mut().with_config().limit(1024).read_to_string().unwrap_or_default();
        let why = format!("status {status} {}", crate::model::printable(said.trim()));
        match status {
            200..=299 => Answer::Taken,
            429 | 500..=599 => {
                let seconds = reply.headers().get("retry-after").and_then(|v| v.to_str().ok());
                let wait = seconds.and_then(|v| v.trim().parse().ok()).map(Duration::from_secs);
                Answer::Later { why, wait: wait.map(|wait| wait.min(RETRY_AFTER_CAP)) }
            }
            _ => Answer::Never { why },
        }
    }

    /// Waits; false when told to stop meanwhile.
    fn rest(&self, wait: Duration) -> bool {
        wait.is_zero() || self.stop.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
    }
}

/// ureq's errors may name the address; only their kind is told.
fn network_text(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "its host name cannot be resolved".to_owned(),
        ureq::Error::Io(error) => format!("cannot be reached ({})", error.kind()),
        ureq::Error::ConnectionFailed => "cannot be reached".to_owned(),
        _ => "the request failed".to_owned(),
    }
}

fn agent(url: &WebhookUrl) -> ureq::Agent {
    // No proxy can reach our own loopback interface for us.
    let proxy = if url.is_loopback() { None } else { ureq::Proxy::try_from_env() };
    ureq::Agent::config_builder()
        .proxy(proxy)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(REQUEST_LIMIT))
        .user_agent(concat!("depd/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

#[cfg(test)]
mod tests;
