//! A terminal with two parts: the log, whose lines scroll by as ever, and below it a few lines that are
//! drawn anew again and again. `[E]`
//!
//! Everything goes out under one lock and in one write each, so that the parts do not tear each other.
//! The cursor rests on the line below both: whatever else the process or the shell prints comes there,
//! and nothing has to be put right at the end but these few lines to be taken away. No state of the
//! terminal is changed, so a depd that is killed leaves it as usable as before.
//!
//! The sequences are those of ECMA-48 that every terminal knows: cursor up (CUU), erase to the end of
//! the screen (ED).

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::termios::tcgetwinsize;

/// What a terminal is taken for that does not say its size.
const USUAL: Size = Size { columns: 80, rows: 24 };
/// A thread that panics while it writes has the lock and cannot wait for it.
const PATIENCE: Duration = Duration::from_millis(200);

/// Characters in a line, and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

/// The terminal. Clones are the same one.
#[derive(Clone)]
pub struct Screen(Arc<Mutex<Inner>>);

struct Inner {
    out: Box<dyn Write + Send>,
    size: Box<dyn Fn() -> Size + Send>,
    /// The lines below the log, as they stand there.
    lines: Vec<String>,
}

impl Screen {
    /// Standard error, which is a terminal.
    #[must_use]
    pub fn standard_error() -> Screen {
        Screen::new(Box::new(io::stderr()), Box::new(size_of_standard_error))
    }

    fn new(out: Box<dyn Write + Send>, size: Box<dyn Fn() -> Size + Send>) -> Screen {
        Screen(Arc::new(Mutex::new(Inner { out, size, lines: Vec::new() })))
    }

    /// How large it is now.
    #[must_use]
    pub fn size(&self) -> Size {
        (self.0.lock().size)()
    }

    /// Draws these lines below the log, in place of those that are there; none takes them away. They
    /// must be shorter than the screen is wide, and fewer than it has lines.
    pub fn show(&self, lines: Vec<String>) {
        let mut inner = self.0.lock();
        if lines != inner.lines {
            // That a terminal is gone shows where the log is written.
            let _ = inner.draw(b"", lines);
        }
    }

    /// From now on a panic is told where the lines were, and they are drawn anew below it.
    pub fn make_way_for_panics(&self) {
        let screen = self.clone();
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let inner = screen.0.try_lock_for(PATIENCE).map(|mut inner| {
                let _ = inner.draw(b"", Vec::new());
                inner
            });
            tell(panic);
            drop(inner);
        }));
    }
}

/// The log: whole lines.
impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock();
        let lines = inner.lines.clone();
        inner.draw(bytes, lines)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().out.flush()
    }
}

impl Inner {
    /// Takes the lines away, goes on with the log, and draws these lines below it.
    fn draw(&mut self, log: &[u8], lines: Vec<String>) -> io::Result<()> {
        let mut bytes = Vec::new();
        let rows = self.rows();
        if rows > 0 {
            bytes.extend(format!("\r\x1b[{rows}A\x1b[J").bytes());
        }
        bytes.extend(log);
        lines.iter().for_each(|line| bytes.extend(line.bytes().chain([b'\n'])));
        self.lines = lines;
        self.out.write_all(&bytes)?;
        self.out.flush()
    }

    /// What the lines take up now: one that is longer than a screen that became narrower was wrapped.
    fn rows(&self) -> usize {
        let columns = (self.size)().columns.max(1);
        self.lines.iter().map(|line| line.chars().count().div_ceil(columns).max(1)).sum()
    }
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}

fn size_of_standard_error() -> Size {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Size { columns: size.ws_col.into(), rows: size.ws_row.into() }
        }
        _ => USUAL,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A terminal as far as depd uses one: lines, the cursor at their end, cursor up, erase below. It
    /// wraps what is too long, also when it becomes narrower.
    #[derive(Clone, Default)]
    struct Terminal(Arc<Mutex<Vec<u8>>>);

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Terminal {
        fn shows(&self, columns: usize) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().clone()).expect("UTF-8");
            let mut lines: Vec<String> = Vec::new();
            let mut parts = text.split("\r\x1b[");
            let add = |lines: &mut Vec<String>, text: &str| {
                for line in text.lines() {
                    let chars: Vec<char> = line.chars().collect();
                    let chunks = chars.chunks(columns).map(|chunk| chunk.iter().collect());
                    lines.extend(chunks);
                }
            };
            add(&mut lines, parts.next().expect("a first part"));
            for part in parts {
                let (up, rest) = part.split_once("A\x1b[J").expect("only what depd sends");
                let up: usize = up.parse().expect("a number");
                lines.truncate(lines.len().checked_sub(up).expect("not above the first line"));
                add(&mut lines, rest);
            }
            lines
        }
    }

    fn screen(columns: &Arc<AtomicUsize>) -> (Screen, Terminal) {
        let (terminal, columns) = (Terminal::default(), Arc::clone(columns));
        let size = move || Size { columns: columns.load(Ordering::SeqCst), rows: 10 };
        (Screen::new(Box::new(terminal.clone()), Box::new(size)), terminal)
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_log_scrolls_by_above_the_lines_which_are_gone_at_the_end() {
        let (mut screen, terminal) = screen(&Arc::new(AtomicUsize::new(20)));
        screen.write_all(b"one\n").expect("written");
        screen.show(lines("a\nb"));
        screen.write_all(b"two\nthree, which is longer than that\n").expect("written");
        assert_eq!(terminal.shows(20), lines("one\ntwo\nthree, which is long\ner than that\na\nb"));
        screen.show(lines("c"));
        screen.write_all(b"four\n").expect("written");
        let log = "one\ntwo\nthree, which is long\ner than that\nfour";
        assert_eq!(terminal.shows(20), lines(&format!("{log}\nc")));
        screen.show(Vec::new());
        assert_eq!(terminal.shows(20), lines(log));
    }

    #[test]
    fn the_same_lines_are_not_drawn_again() {
        let (screen, terminal) = screen(&Arc::new(AtomicUsize::new(20)));
        screen.show(lines("a"));
        let before = terminal.0.lock().len();
        screen.show(lines("a"));
        assert_eq!(terminal.0.lock().len(), before);
    }

    #[test]
    fn lines_that_a_narrower_screen_has_wrapped_are_taken_away_as_a_whole() {
        let columns = Arc::new(AtomicUsize::new(20));
        let (mut screen, terminal) = screen(&columns);
        screen.write_all(b"log\n").expect("written");
        screen.show(lines("0123456789abcde\nshort"));
        columns.store(8, Ordering::SeqCst);
        screen.show(lines("01234"));
        assert_eq!(terminal.shows(8), lines("log\n01234"));
    }
}
