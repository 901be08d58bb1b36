use super::*;

/// A stream that gives its input byte by byte and remembers what is written.
struct Tape {
    input: Vec<u8>,
    at: usize,
    output: Vec<u8>,
}

impl Read for Tape {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(byte) = self.input.get(self.at) else { return Ok(0) };
        self.at += 1;
        buffer[0] = *byte;
        Ok(1)
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn wire(input: impl Into<Vec<u8>>) -> Wire<Tape> {
    Wire::new(Tape { input: input.into(), at: 0, output: Vec::new() })
}

fn refusal(input: impl Into<Vec<u8>>) -> u16 {
    match wire(input).read() {
        Err(Unread::Refused(status)) => status.code,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let mut wire = wire(
        "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
         GET /b?c=d HTTP/1.1\r\nAccept: x\r\nConnection: Close\r\n\r\n",
    );
    let first = wire.read().unwrap();
    assert_eq!((first.method.as_str(), &first.body[..], first.last), ("POST", &b"abc"[..], false));
    let second = wire.read().unwrap();
    assert_eq!((second.target.as_str(), second.header("accept")), ("/b?c=d", "x"));
    assert!(second.last);
    assert!(matches!(wire.read(), Err(Unread::Closed)));
}

#[test]
fn chunked_bodies_are_put_together() {
    let mut wire = wire(
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    );
    assert_eq!(wire.read().unwrap().body, b"abc0123456789");
    assert_eq!(wire.read().unwrap().method, "GET");
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let mut wire = wire("PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx");
    wire.read().unwrap();
    assert_eq!(wire.stream.output, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn bodies_heads_and_nonsense_are_bounded() {
    let length = MAX_BODY + 1;
    assert_eq!(refusal(format!("PUT / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n")), 413);
    let chunk = format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n");
    assert_eq!(refusal(chunk), 413);
    assert_eq!(refusal("PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n"), 400);
    assert_eq!(refusal("\u{1}\u{2}\r\n\r\n"), 400);
}

#[test]
fn answers_say_their_length_and_head_shows_none_of_it() {
    let mut wire = wire("");
    wire.answer(&Response::text(200, "ok"), true, true).unwrap();
    let text = String::from_utf8(wire.stream.output).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("Content-Length: 2\r\nConnection: close\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n"), "{text}");
}
