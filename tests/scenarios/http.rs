//! As much HTTP as a server needs that only tests talk to.

use std::io::{self, BufRead};

/// A request, read to its end.
pub struct Request {
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// The first line and the headers, as they came.
    pub head: Vec<String>,
    pub body: Vec<u8>,
}

impl Request {
    /// The next one of a connection; `None` where it has ended.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let first = head.first().cloned().unwrap_or_default();
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut request = Request { method, target, head, body: Vec::new() };
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        request.body.resize(length.unwrap_or(0), 0);
        reader.read_exact(&mut request.body)?;
        Ok(Some(request))
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}
