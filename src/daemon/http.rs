//! `/healthz` and `/readyz`, for probes. `[E]`
//!
//! One small thread, one connection at a time, each within a time limit and a size: whoever can reach
//! the address can ask whether depd is well, and can do nothing else. Healthy means that the daemon
//! runs; ready means that folder and cluster were seen completely and are watched. Facts: "Configure
//! Liveness, Readiness and Startup Probes" of the Kubernetes documentation, RFC 9112.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use log::info;

/// For one connection as a whole.
const LIMIT: Duration = Duration::from_secs(2);

/// A probe's request is a few hundred bytes.
const HEAD_BYTES: usize = 4 << 10;

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
        let address = listener.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let serve = move || {
            while let Ok((stream, _)) = listener.accept() {
                if flag.load(Ordering::Acquire) {
                    return;
                }
                // A probe that fails has told its sender what it wanted to know.
                let _ = answer(stream, &ready);
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

fn answer(mut stream: TcpStream, ready: &impl Fn() -> Result<(), &'static str>) -> io::Result<()> {
    let deadline = Instant::now() + LIMIT;
    stream.set_write_timeout(Some(LIMIT))?;
    let mut head = Vec::new();
    let reply = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() >= HEAD_BYTES {
            return stream.shutdown(Shutdown::Both);
        }
        stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 1024];
        let length = stream.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        head.extend_from_slice(&chunk[..length]);
        if let Some(reply) = reply_to(&head, ready) {
            break reply;
        }
    };
    stream.write_all(reply.as_bytes())
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
    fn who_says_nothing_or_too_much_holds_nobody_up_for_long() {
        let probes =
            Probes::start("127.0.0.1:0".parse().expect("valid"), || Ok(())).expect("a port");
        let silent = TcpStream::connect(probes.address).expect("it listens");
        let endless = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(2 * HEAD_BYTES));
        assert_eq!(ask(probes.address, endless.as_bytes()), "");
        let text = ask(probes.address, b"GET /healthz HTTP/1.1\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        drop(silent);
    }
}
