//! Lines of a watch stream, each bounded in size.

use std::io::{self, BufRead, BufReader, Read};

use super::redact::Redaction;

/// The longest line accepted. etcd refuses objects beyond 1.5 MiB, and JSON may double that.
const LINE_BYTES: usize = 4 << 20;

/// Memory kept between lines; one big object must not stay for the life of a stream.
const KEPT_BYTES: usize = 64 << 10;

/// Reads a stream line by line.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    limit: usize,
    /// What an error that comes as a line must not repeat.
    pub redaction: Redaction,
}

/// Why there is no further line although the stream did not end well.
#[derive(Debug)]
pub(super) enum LineError {
    /// The connection failed, or was silent for too long.
    Io(io::Error),
    /// A line is longer than any object can be.
    TooLong,
    /// The stream ended inside a line.
    Cut,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R, redaction: Redaction) -> Lines<R> {
        Lines { redaction, ..Lines::with_limit(reader, LINE_BYTES) }
    }

    fn with_limit(reader: R, limit: usize) -> Lines<R> {
        let reader = BufReader::with_capacity(16 << 10, reader);
        Lines { reader, line: Vec::new(), limit, redaction: Redaction::default() }
    }

    /// The next line without its end, `None` at the end of the stream. Empty lines are passed over.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, LineError> {
        loop {
            self.line.clear();
            self.line.shrink_to(KEPT_BYTES);
            let complete = self.fill()?;
            let whole = self.line.trim_ascii().len();
            match (complete, whole) {
                (false, 0) => return Ok(None),
                (false, _) => return Err(LineError::Cut),
                (true, 0) => {}
                (true, _) => return Ok(Some(self.line.trim_ascii())),
            }
        }
    }

    /// Reads up to a line end; false when the stream ended first.
    fn fill(&mut self) -> Result<bool, LineError> {
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(LineError::Io(e)),
            };
            if chunk.is_empty() {
                return Ok(false);
            }
            let end = chunk.iter().position(|b| *b == b'\n');
            let taken = end.unwrap_or(chunk.len());
            if self.line.len() + taken > self.limit {
                return Err(LineError::TooLong);
            }
            self.line.extend_from_slice(&chunk[..taken]);
            self.reader.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: &[&str], end: &str) {
        let mut lines = Lines::with_limit(input.as_bytes(), 8);
        for line in expect {
            assert_eq!(lines.next().unwrap(), Some(line.as_bytes()), "{input:?}");
        }
        let last = match lines.next() {
            Ok(None) => "end",
            Err(LineError::TooLong) => "too long",
            Err(LineError::Cut) => "cut",
            other => panic!("{input:?}: {other:?}"),
        };
        assert_eq!(last, end, "{input:?}");
    }

    #[test]
    fn lines_are_split_and_bounded() {
        check("", &[], "end");
        check("{}\n{}\n", &["{}", "{}"], "end");
        check("{}\r\n\n\n{}\n\n", &["{}", "{}"], "end");
        check("12345678\n", &["12345678"], "end");
        check("{}\n123456789\n", &["{}"], "too long");
        check("{}\n{\"a\"", &["{}"], "cut");
    }

    #[test]
    fn a_line_may_arrive_in_many_reads() {
        let parts = b"{\"a".chain(&b"\":1"[..]).chain(&b"}\n{"[..]).chain(&b"}\n"[..]);
        let mut lines = Lines::new(parts, Redaction::default());
        assert_eq!(lines.next().unwrap(), Some(&b"{\"a\":1}"[..]));
        assert_eq!(lines.next().unwrap(), Some(&b"{}"[..]));
        assert!(lines.next().unwrap().is_none());
    }

    /// Endless, without a line end.
    struct Babble(usize);

    impl Read for Babble {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            out.fill(b'x');
            self.0 += out.len();
            Ok(out.len())
        }
    }

    #[test]
    fn a_line_without_end_is_given_up_at_the_limit() {
        let mut lines = Lines::new(Babble(0), Redaction::default());
        assert!(matches!(lines.next(), Err(LineError::TooLong)));
        assert!(lines.line.capacity() <= 2 * LINE_BYTES, "{}", lines.line.capacity());
        assert!(lines.reader.get_ref().0 <= LINE_BYTES + (32 << 10));
    }

    #[test]
    fn a_huge_object_passes_and_its_memory_is_given_back() {
        let huge = vec![b'x'; 2 << 20];
        let text = [&huge[..], b"\n{}\n"].concat();
        let mut lines = Lines::new(&text[..], Redaction::default());
        assert_eq!(lines.next().unwrap().map(<[u8]>::len), Some(huge.len()));
        assert_eq!(lines.next().unwrap(), Some(&b"{}"[..]));
        assert!(lines.line.capacity() <= KEPT_BYTES, "{}", lines.line.capacity());
    }

    #[test]
    fn a_failing_connection_is_told_from_a_cut_line() {
        struct Broken(&'static [u8]);
        impl Read for Broken {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                match self.0.is_empty() {
                    true => Err(io::ErrorKind::ConnectionReset.into()),
                    false => self.0.read(out),
                }
            }
        }
        let mut lines = Lines::new(Broken(b"{}\n{\"a"), Redaction::default());
        assert_eq!(lines.next().unwrap(), Some(&b"{}"[..]));
        let Err(LineError::Io(e)) = lines.next() else { panic!("no error of the connection") };
        assert_eq!(e.kind(), io::ErrorKind::ConnectionReset);
    }
}
