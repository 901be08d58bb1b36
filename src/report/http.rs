//! Records → a webhook by HTTP. `[E]`
//!
//! No redirect is followed, since it would carry the message to an address that nobody chose. What
//! the receiver says is cut, made harmless and never repeats the address, which is a secret.

use std::io::Read as _;
use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};
use log::warn;

use super::kind::Kind;
use super::record::Record;
use super::signature::SigningKey;
use super::text::cut;
use super::transport::{Answer, Transport};
use super::webhook::WebhookUrl;
use crate::model::printable;
use crate::net::Surroundings;

/// A receiver's `Retry-After` is believed up to this.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(120);
/// One request to the receiver may take this long.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// So much of an answer is read.
const ANSWER_BYTES: u64 = 1024;
/// So much of it is shown.
const SHOWN: usize = 200;
/// A part of the address this long may be a key.
const PART: usize = 8;

/// A webhook.
pub struct Http {
    kind: Kind,
    url: WebhookUrl,
    key: Option<SigningKey>,
    agent: ureq::Agent,
}

impl Http {
    /// Messages of this kind to this address, signed where there is a key.
    #[must_use]
    pub fn new(
        kind: Kind,
        url: WebhookUrl,
        key: Option<SigningKey>,
        around: &Surroundings,
    ) -> Http {
        Http::within(kind, url, key, (around, REQUEST_LIMIT))
    }

    /// The same, with a limit on each request.
    pub(super) fn within(
        kind: Kind,
        url: WebhookUrl,
        key: Option<SigningKey>,
        (around, limit): (&Surroundings, Duration),
    ) -> Http {
        Http { kind, agent: agent(&url, around, limit), url, key }
    }
}

impl Transport for Http {
    fn send(&mut self, records: &[Record]) -> Answer {
        let body = self.kind.body(records);
        let mut request = self.agent.post(self.url.expose()).content_type("application/json");
        if self.kind == Kind::Webhook
            && let [record, ..] = records
        {
            request = request.header("x-depd-event", &record.event);
            if let Some(key) = &self.key {
                request = request.header("x-depd-signature", key.sign(body.as_bytes()));
            }
        }
        let mut reply = match request.send(body) {
            Ok(reply) => reply,
            Err(error) => return Answer::Later { why: network_text(&error), wait: None },
        };
        let status = reply.status().as_u16();
        let asked = reply.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let wait = asked.and_then(|text| retry_after(text, Timestamp::now()));
        let mut said = Vec::new();
        // What came before it broke off may explain.
        let _ = reply.body_mut().as_reader().take(ANSWER_BYTES).read_to_end(&mut said);
        judge(self.kind, status, self.harmless(&String::from_utf8_lossy(&said)), wait)
    }

    fn place(&self) -> String {
        self.url.host().to_owned()
    }
}

impl Http {
    /// What the receiver said, without what only it and we may know.
    fn harmless(&self, said: &str) -> String {
        let secret = self.url.expose();
        let path = secret.splitn(4, '/').nth(3).unwrap_or_default();
        let mut said = said.replace(secret, "[the address]");
        if path.len() > 4 {
            said = said.replace(path, "[its path]");
        }
        // Whoever answers may quote a part only, or escape what stands between two.
        let mut parts: Vec<&str> = path.split(['/', '?', '&', '=', '#', ';']).collect();
        parts.retain(|part| part.len() >= PART);
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        for part in parts {
            said = said.replace(part, "[secret]");
            // The answer is cut, perhaps within it.
            let begun = (PART..part.len()).rev().find_map(|end| said.strip_suffix(&part[..end]));
            if let Some(before) = begun {
                said = format!("{before}[secret]");
            }
        }
        cut(&printable(said.trim()), SHOWN)
    }
}

fn judge(kind: Kind, status: u16, said: String, wait: Option<Duration>) -> Answer {
    let why = format!("status {status} {said}").trim_end().to_owned();
    match status {
        // The older connectors of Teams say 200 also when Teams itself said 429.
        200 if kind == Kind::Teams && said.contains("HTTP error 429") => {
            Answer::Later { why, wait }
        }
        200..=299 => Answer::Taken,
        300..=399 => Answer::Never {
            why: format!("{why} (a redirect, which is not followed: set the address it leads to)"),
            again: false,
        },
        408 | 425 | 429 | 500..=599 => Answer::Later { why, wait },
        _ => Answer::Never { why, again: false },
    }
}

/// `Retry-After`: seconds, also broken ones as Discord has them, or a date (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => {
            let then = rfc2822::parse(text).ok()?.timestamp();
            let seconds = u64::try_from(then.as_second() - now.as_second()).unwrap_or(0);
            Some(Duration::from_secs(seconds))
        }
    };
    wait.map(|wait| wait.min(RETRY_AFTER_CAP))
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

fn agent(url: &WebhookUrl, around: &Surroundings, limit: Duration) -> ureq::Agent {
    let config = || {
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(limit))
            .user_agent(concat!("depd/", env!("CARGO_PKG_VERSION")))
    };
    around.agent(config(), url.expose()).unwrap_or_else(|problem| {
        warn!("{problem}; messages go without a proxy");
        config().proxy(None).build().into()
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::report::samples;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for (kind, status, said, expect) in [
            (Kind::Slack, 200, "ok", "taken"),
            (Kind::Discord, 204, "", "taken"),
            (Kind::Teams, 202, "", "taken"),
            (Kind::Teams, 200, "delivery failed: returned HTTP error 429", "later"),
            (Kind::Webhook, 200, "HTTP error 429", "taken"),
            (Kind::Slack, 429, "", "later"),
            (Kind::Slack, 408, "", "later"),
            (Kind::Slack, 500, "rollup_error", "later"),
            (Kind::Slack, 503, "", "later"),
            (Kind::Slack, 400, "invalid_payload", "never"),
            (Kind::Slack, 403, "action_prohibited", "never"),
            (Kind::Slack, 404, "no_service", "never"),
            (Kind::Slack, 410, "channel_is_archived", "never"),
            (Kind::Webhook, 302, "", "never"),
        ] {
            let answer = match judge(kind, status, said.to_owned(), None) {
                Answer::Taken => "taken",
                Answer::Later { .. } => "later",
                Answer::Never { why, .. } => {
                    assert!(why.contains(&status.to_string()) && why.contains(said), "{why}");
                    "never"
                }
            };
            assert_eq!(answer, expect, "{kind:?} {status} {said}");
        }
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms_and_capped() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().expect("a time");
        for (text, expect_ms) in [
            ("3", Some(3_000)),
            (" 0.25 ", Some(250)),
            ("Tue, 24 Nov 2026 10:00:30 GMT", Some(30_000)),
            ("Tue, 24 Nov 2026 09:00:00 GMT", Some(0)),
            ("86400", Some(120_000)),
            ("1e300", None),
            ("-1", None),
            ("soon", None),
            ("NaN", None),
        ] {
            assert_eq!(retry_after(text, now), expect_ms.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn an_answer_is_cut_and_never_repeats_the_address() {
        let url =
            WebhookUrl::parse("https://hooks.example.com/services/T/B/SECRET").expect("valid");
        let http = Http::new(Kind::Slack, url, None, &Surroundings::default());
        let said = http.harmless(
            "no such hook: https://hooks.example.com/services/T/B/SECRET /services/T/B/SECRET\u{1b}",
        );
        assert_eq!(said, "no such hook: [the address] /[its path]\\u{1b}");
        assert!(http.harmless(&"x".repeat(2000)).len() < 300);
    }

    #[test]
    fn no_part_of_an_address_that_may_be_a_key_is_repeated() {
        let url = WebhookUrl::parse(
            "https://example.com/workflows/0123456789abcdef/run?v=1&sig=CANARY-CANARY&x=y",
        );
        let http = Http::new(Kind::Teams, url.expect("valid"), None, &Surroundings::default());
        for (said, expect) in [
            ("bad sig CANARY-CANARY", "bad sig [secret]"),
            ("/workflows/0123456789abcdef/run", "/[secret]/[secret]/run"),
            ("run?v=1&amp;sig=CANARY-CANARY&amp;x=y", "run?v=1&amp;sig=[secret]&amp;x=y"),
            ("cut within CANARY-CAN", "cut within [secret]"),
            ("run is disabled", "run is disabled"),
        ] {
            assert_eq!(http.harmless(said), expect);
        }
    }

    /// Security row 16.
    #[test]
    fn a_redirect_is_told_and_nobody_is_asked_at_the_address_it_leads_to() {
        let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port");
        elsewhere.set_nonblocking(true).expect("set");
        let there = elsewhere.local_addr().expect("bound");
        for status in [301, 302, 303, 307, 308] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let url = format!("http://{}/", listener.local_addr().expect("bound"));
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                    line.clear();
                }
                let head = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: http://{there}/");
                write!(stream, "{head}\r\ncontent-length: 0\r\n\r\n").expect("written");
                stream
            });
            let url = WebhookUrl::parse(&url).expect("valid");
            let mut http = Http::new(Kind::Slack, url, None, &Surroundings::default());
            let Answer::Never { why, .. } = http.send(&samples::all()[..1]) else {
                panic!("{status} is final")
            };
            drop(server.join());
            assert!(why.contains("a redirect, which is not followed"), "{why}");
            let asked = elsewhere.accept().expect_err("nobody");
            assert_eq!(asked.kind(), std::io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_long_answer_is_cut_and_not_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                line.clear();
            }
            let said = format!("no such channel {}", "x".repeat(5000));
            let head = "HTTP/1.1 404 Not Found\r\ncontent-length:";
            write!(stream, "{head} {}\r\n\r\n{said}", said.len()).expect("written");
            // Not closed before the answer was read.
            stream
        });
        let url = WebhookUrl::parse(&format!("http://127.0.0.1:{port}/")).expect("valid");
        let mut http = Http::new(Kind::Slack, url, None, &Surroundings::default());
        let answer = http.send(&samples::all()[..1]);
        drop(server.join());
        let Answer::Never { why, .. } = answer else { panic!("it is final: {answer:?}") };
        assert!(why.starts_with("status 404 no such channel xxx") && why.len() < 300, "{why}");
    }
}
