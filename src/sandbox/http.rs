//! HTTP/1.1 as far as an API server needs it: requests in, answers and chunks out.
//!
//! Generic over the stream, so that it is tested without a socket. Bodies come with a length or in
//! chunks, and are bounded; `Expect: 100-continue` is answered; a connection is kept unless one side
//! wants it closed. Facts: RFC 9110 and 9112; the 3 MiB limit is kube-apiserver's.

use std::io::{self, Read, Write};

use serde_json::Value;

use super::status::Status;
use super::wall::Wall;

/// The largest body that is read.
const MAX_BODY: usize = 3 * 1024 * 1024;
/// The largest head: request line and headers.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
/// How much of a refused request is read and thrown away.
const MAX_DRAINED: usize = 16 * MAX_BODY;

/// A request, read to its end.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query, as sent.
    pub(super) target: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// The client will not send another request on this connection.
    pub(super) last: bool,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub(super) code: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Why no request could be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The client went away, was silent for too long, or the stream broke.
    Closed,
    /// It sent something that is not answered otherwise.
    Refused(Status),
}

/// A stream, and what was read from it too early.
pub(super) struct Wire<S> {
    pub(super) stream: S,
    ahead: Vec<u8>,
}

impl Request {
    /// The value of a header, by its name in lower case; empty when it is absent.
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The media type of the body, without parameters.
    pub(super) fn content_type(&self) -> &str {
        self.header("content-type").split(';').next().unwrap_or_default().trim()
    }
}

impl Response {
    /// A JSON document.
    #[must_use]
    pub fn json(code: u16, body: &Value) -> Response {
        Response::bytes(code, "application/json", body.to_string().into_bytes())
    }

    /// A refusal, or the success that a DELETE reports.
    #[must_use]
    pub fn status(status: &Status) -> Response {
        let response = Response::json(status.code, &status.body());
        match status.details["retryAfterSeconds"].as_u64() {
            Some(seconds) => response.header("Retry-After", &seconds.to_string()),
            None => response,
        }
    }

    /// Plain text.
    #[must_use]
    pub fn text(code: u16, body: &str) -> Response {
        Response::bytes(code, "text/plain; charset=utf-8", body.into())
    }

    /// Anything else.
    #[must_use]
    pub fn bytes(code: u16, content_type: &str, body: Vec<u8>) -> Response {
        Response { code, headers: vec![("Content-Type".into(), content_type.into())], body }
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Response {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// All of it as it goes over a connection that stays open, for who answers in place of a sandbox.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let mut bytes = self.head(&format!("Content-Length: {}", self.body.len()), false);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The status code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    fn head(&self, framing: &str, close: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.code, phrase(self.code));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("date")) {
            head.push_str(&format!("Date: {}\r\n", Wall::now().http_date()));
        }
        head.push_str("Cache-Control: no-cache, private\r\n");
        head.push_str(framing);
        head.push_str(if close { "\r\nConnection: close\r\n\r\n" } else { "\r\n\r\n" });
        head.into_bytes()
    }
}

impl<S: Read + Write> Wire<S> {
    pub(super) fn new(stream: S) -> Wire<S> {
        Wire { stream, ahead: Vec::new() }
    }

    /// The next request of the connection.
    pub(super) fn read(&mut self) -> Result<Request, Unread> {
        let mut request = self.read_head()?;
        let length = match request.header("content-length") {
            "" => 0,
            text => text.parse().map_err(|_| refuse("the content length is not a number"))?,
        };
        let chunked = request.header("transfer-encoding").eq_ignore_ascii_case("chunked");
        if length > MAX_BODY {
            return Err(too_large());
        }
        if request.header("expect").eq_ignore_ascii_case("100-continue") {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Unread::Closed)?;
        }
        request.body = if chunked { self.read_chunks()? } else { self.take(length)? };
        Ok(request)
    }

    fn read_head(&mut self) -> Result<Request, Unread> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut parsed = httparse::Request::new(&mut headers);
            match parsed.parse(&self.ahead) {
                Ok(httparse::Status::Complete(length)) => {
                    let request = own(&parsed);
                    self.ahead.drain(..length);
                    return Ok(request);
                }
                Ok(httparse::Status::Partial) if self.ahead.len() > MAX_HEAD => {
                    return Err(refuse("the request head is too large"));
                }
                Ok(httparse::Status::Partial) => self.fill()?,
                Err(error) => return Err(refuse(&format!("this is not HTTP: {error}"))),
            }
        }
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, Unread> {
        let mut body = Vec::new();
        loop {
            let line = self.take_line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| refuse("the size of a chunk is not a number"))?;
            if body.len().saturating_add(size) > MAX_BODY {
                return Err(too_large());
            }
            if size == 0 {
                // Trailers, if any, end with an empty line.
                while !self.take_line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size)?);
            self.take_line()?;
        }
    }

    fn take_line(&mut self) -> Result<String, Unread> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.take(end + 2)?;
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.ahead.len() > MAX_HEAD {
                return Err(refuse("a line of a chunked body is too long"));
            }
            self.fill()?;
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, Unread> {
        while self.ahead.len() < length {
            self.fill()?;
        }
        Ok(self.ahead.drain(..length).collect())
    }

    fn fill(&mut self) -> Result<(), Unread> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => Err(Unread::Closed),
            Ok(count) => {
                self.ahead.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }

    /// Reads what a refused client still sends, within a bound: one that is cut off while it writes
    /// would not see the answer.
    pub(super) fn drain(&mut self) {
        let mut left = MAX_DRAINED;
        self.ahead.clear();
        while left > 0 && self.fill().is_ok() {
            left = left.saturating_sub(self.ahead.len());
            self.ahead.clear();
        }
    }

    /// Keeps bytes that came while nobody was reading requests.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        // A client that talks through a watch is cut off rather than buffered without end.
        self.ahead.extend_from_slice(&bytes[..bytes.len().min(MAX_HEAD)]);
    }

    /// Sends a whole answer; for HEAD without its body.
    pub(super) fn answer(
        &mut self,
        response: &Response,
        head: bool,
        close: bool,
    ) -> io::Result<()> {
        let framing = format!("Content-Length: {}", response.body.len());
        let mut bytes = response.head(&framing, close);
        if !head {
            bytes.extend_from_slice(&response.body);
        }
        self.send(&bytes)
    }

    /// Begins an answer whose body comes in chunks.
    pub(super) fn begin_chunks(&mut self, response: &Response) -> io::Result<()> {
        self.send(&response.head("Transfer-Encoding: chunked", false))
    }

    /// Sends one chunk; an empty one would end the body, so it is not sent.
    pub(super) fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        self.send(&framed)
    }

    /// Ends the chunks.
    pub(super) fn end_chunks(&mut self) -> io::Result<()> {
        self.send(b"0\r\n\r\n")
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }
}

fn own(parsed: &httparse::Request<'_, '_>) -> Request {
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).into_owned()))
        .collect();
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        headers,
        body: Vec::new(),
        last: parsed.version == Some(0),
    };
    request.last |= request.header("connection").eq_ignore_ascii_case("close");
    request
}

fn refuse(why: &str) -> Unread {
    Unread::Refused(Status::bad_request(why))
}

fn too_large() -> Unread {
    let limit = format!("Request entity too large: limit is {MAX_BODY}");
    Unread::Refused(Status::too_large(limit))
}

fn phrase(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        409 => "Conflict",
        410 => "Gone",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
