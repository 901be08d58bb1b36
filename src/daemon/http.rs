//! `/healthz` and `/readyz`, for probes. `[E]`
//!
//! One small thread serves a bounded number of connections at once, each within a time limit and a
//! size: whoever can reach the address can ask whether depd is well, and can do nothing else. A
//! connection that says nothing holds nobody up, since the kubelet restarts what does not answer; when
//! there are too many, the oldest goes. Healthy means that the daemon runs; ready means that folder and
//! cluster were seen completely and are watched. Facts: "Configure Liveness, Readiness and Startup
//! Probes" of the Kubernetes documentation, RFC 9112, poll(2).

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use log::info;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// For one connection as a whole.
const LIMIT: Duration = Duration::from_secs(2);

/// A probe's request is a few hundred bytes.
const HEAD_BYTES: usize = 4 << 10;

/// Connections at a time: many times as many as there are probes.
const MOST: usize = 64;

/// New connections taken in before the others are looked at again, so that one that speaks is heard
/// before it can be the oldest.
const AT_ONCE: usize = 16;

/// After an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// A running server of probes.
#[derive(Debug)]
pub struct Probes {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Probes {
    /// Listens there. `ready` says why depd is not ready, if it is not.
    ///
    /// # Errors
    /// The address cannot be listened on, or there is no thread.
    pub fn start(
        address: SocketAddr,
        ready: impl Fn() -> Result<(), &'static str> + Send + 'static,
    ) -> io::Result<Probes> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let serve = move || {
            let mut open = VecDeque::new();
            while !flag.load(Ordering::Acquire) {
                turn(&listener, &mut open, &ready);
            }
        };
        thread::Builder::new().name("http".into()).spawn(serve)?;
        info!("probes are answered at http://{address}/healthz and /readyz");
        Ok(Probes { address, ended })
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Wakes the thread, which sees the flag.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(100));
    }
}

/// Somebody who asks.
struct Asker {
    stream: TcpStream,
    deadline: Instant,
    head: Vec<u8>,
}

/// Waits until somebody comes, speaks or has taken too long, and does what is to be done then.
fn turn(
    listener: &TcpListener,
    open: &mut VecDeque<Asker>,
    ready: &impl Fn() -> Result<(), &'static str>,
) {
    let mut watched = vec![PollFd::new(listener, PollFlags::IN)];
    watched.extend(open.iter().map(|asker| PollFd::new(&asker.stream, PollFlags::IN)));
    // All have the same limit, so the first one is over first.
    let wait = open.front().map(|asker| asker.deadline.saturating_duration_since(Instant::now()));
    let wait = wait.map(|wait| Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    });
    if poll(&mut watched, wait.as_ref()).is_err() {
        return;
    }
    let mut speaks = watched.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>();
    drop(watched);
    let comes = speaks.remove(0);
    let now = Instant::now();
    let mut speaks = speaks.into_iter();
    open.retain_mut(|asker| {
        let speaks = speaks.next().unwrap_or_default();
        // A probe that fails has told its sender what it wanted to know.
        now < asker.deadline && (!speaks || matches!(hear(asker, ready), Ok(true)))
    });
    if comes {
        take_in(listener, open);
    }
}

fn take_in(listener: &TcpListener, open: &mut VecDeque<Asker>) {
    for _ in 0..AT_ONCE {
        match listener.accept() {
            Ok((stream, _)) => {
                if stream.set_nonblocking(true).is_err() {
                    continue;
                }
                if open.len() >= MOST {
                    open.pop_front();
                }
                open.push_back(Asker {
                    stream,
                    deadline: Instant::now() + LIMIT,
                    head: Vec::new(),
                });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(_) => {
                // Whoever is there may hold the descriptors that are missing.
                open.pop_front();
                thread::sleep(PAUSE);
                return;
            }
        }
    }
}

/// Reads what has come, and answers when it is a whole request. True when there is more to hear.
fn hear(asker: &mut Asker, ready: &impl Fn() -> Result<(), &'static str>) -> io::Result<bool> {
    let mut chunk = [0; 1024];
    let length = match asker.stream.read(&mut chunk) {
        Ok(length) => length,
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            return Ok(true);
        }
        Err(e) => return Err(e),
    };
    if length == 0 {
        return Ok(false);
    }
    asker.head.extend_from_slice(&chunk[..length]);
    if let Some(reply) = reply_to(&asker.head, ready) {
        // It fits into the buffer of a new connection, or nobody is there to read it.
        return asker.stream.write_all(reply.as_bytes()).map(|()| false);
    }
    if asker.head.len() >= HEAD_BYTES {
        asker.stream.shutdown(Shutdown::Both)?;
        return Ok(false);
    }
    Ok(true)
}

/// The whole answer; `None` while the request is not complete.
fn reply_to(head: &[u8], ready: &impl Fn() -> Result<(), &'static str>) -> Option<String> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let (status, text) = match request.parse(head) {
        Ok(httparse::Status::Partial) => return None,
        Err(_) => ("400 Bad Request", "this is no HTTP"),
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
            match (request.method, path) {
                (Some("GET" | "HEAD"), "/healthz" | "/livez") => ("200 OK", "ok"),
                (Some("GET" | "HEAD"), "/readyz") => match ready() {
                    Ok(()) => ("200 OK", "ok"),
                    Err(why) => ("503 Service Unavailable", why),
                },
                (Some("GET" | "HEAD"), _) => ("404 Not Found", "there is /healthz and /readyz"),
                _ => ("405 Method Not Allowed", "only GET"),
            }
        }
    };
    let body = if request.method == Some("HEAD") { "" } else { text };
    Some(format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(request).expect("sent");
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    }

    #[test]
    fn probes_are_answered_and_nothing_else_is() {
        let ready = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ready);
        let say = move || match flag.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err("the cluster was not seen yet"),
        };
        let probes = Probes::start("127.0.0.1:0".parse().expect("valid"), say).expect("a port");
        let check = |request: &str, expect: &str| {
            let text = ask(probes.address, request.as_bytes());
            let line = text.lines().next().unwrap_or_default();
            assert_eq!(line, expect, "{request:?}");
            text
        };
        check("GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK");
        let text = check("GET /readyz HTTP/1.1\r\n\r\n", "HTTP/1.1 503 Service Unavailable");
        assert!(text.ends_with("the cluster was not seen yet"), "{text}");
        ready.store(true, Ordering::SeqCst);
        check("GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK");
        check("HEAD /readyz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK");
        check("GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found");
        check("POST /readyz HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed");
        check("\u{0}\r\n\r\n", "HTTP/1.1 400 Bad Request");
    }

    #[test]
    fn who_says_nothing_or_too_much_holds_nobody_up() {
        let probes =
            Probes::start("127.0.0.1:0".parse().expect("valid"), || Ok(())).expect("a port");
        let begin = Instant::now();
        let mut silent = VecDeque::new();
        for round in 0..50 {
            // One after the other they would take 2 s each.
            silent.extend((0..20).map(|_| TcpStream::connect(probes.address).expect("it listens")));
            let text = ask(probes.address, b"GET /healthz HTTP/1.1\r\n\r\n");
            assert!(text.starts_with("HTTP/1.1 200"), "{round}: {text}");
            while silent.len() > 100 {
                silent.pop_front();
            }
        }
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(60), "50 probes among 1000 silent ones: {took:?}");
        let endless = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(2 * HEAD_BYTES));
        assert_eq!(ask(probes.address, endless.as_bytes()), "");
    }

    #[test]
    fn a_request_may_come_in_pieces_and_others_are_answered_meanwhile() {
        let probes =
            Probes::start("127.0.0.1:0".parse().expect("valid"), || Ok(())).expect("a port");
        let mut slow = TcpStream::connect(probes.address).expect("it listens");
        slow.write_all(b"GET /hea").expect("sent");
        let text = ask(probes.address, b"GET /readyz HTTP/1.1\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        slow.write_all(b"lthz HTTP/1.1\r\n\r\n").expect("sent");
        let mut text = String::new();
        slow.read_to_string(&mut text).expect("an answer");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
}
