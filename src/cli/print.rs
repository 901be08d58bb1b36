//! What commands print: tables for people, JSON and YAML for programs. `[E]`
//!
//! A text that comes from a file, a store or a cluster was made harmless where it came in; here only
//! columns, colours and the end of a pipe are dealt with. Colours go to a terminal alone, and not
//! where `NO_COLOR` is set (no-color.org) or `TERM` is `dumb`.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::Failure;

/// What the output looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    #[default]
    Table,
    /// For programs: one JSON document
    Json,
    /// For programs: one YAML document
    Yaml,
}

/// Prints `value` for programs, or what `table` makes of it for people.
///
/// # Errors
/// Standard output cannot be written to.
pub fn document<T: Serialize>(
    form: Form,
    value: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let text = match form {
        Form::Table => table(value),
        Form::Json => serde_json::to_string_pretty(value).map_err(Failure::work)? + "\n",
        Form::Yaml => yaml_serde::to_string(value).map_err(Failure::work)?,
    };
    print(&text)
}

/// Prints; a reader that wants no more, such as `head`, is no failure.
///
/// # Errors
/// Standard output cannot be written to, for example because its disk is full.
pub fn print(text: &str) -> Result<(), Failure> {
    match out(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::work(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says it on standard error, if that can be written to: there is nowhere else to say so.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints, and says whether somebody still reads.
pub fn out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Waits that long, or until nobody reads standard output any more; true in the latter case.
#[must_use]
pub fn closed_within(wait: Duration) -> bool {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let limit = Timespec::try_from(wait).ok();
    // poll(2): an end of a pipe that nobody reads is in error, whatever was asked for.
    poll(&mut watched, limit.as_ref()).is_ok_and(|ready| ready > 0)
}

/// How good a word is, in colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Without colour.
    Plain,
    /// Green.
    Good,
    /// Yellow.
    Warning,
    /// Red.
    Bad,
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in colour.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Cell {
        Cell { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::toned(text, Tone::Plain)
    }
}

/// Standard output is for a person's eyes, who has nothing against colours.
#[must_use]
pub fn colours() -> bool {
    io::stdout().is_terminal() && takes_colours()
}

/// Nobody asked for plain lines.
#[must_use]
pub fn takes_colours() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Lines in aligned columns, two spaces apart, under their titles. The last column is not padded.
#[must_use]
pub fn table(titles: &[&str], rows: &[Vec<Cell>], colours: bool) -> String {
    let titles: Vec<Cell> = titles.iter().map(|title| Cell::from(*title)).collect();
    let lines = || std::iter::once(&titles).chain(rows);
    let width = |at: usize| {
        lines().filter_map(|row| row.get(at)).map(|c| c.text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    for row in lines() {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let pad = widths.get(at).map_or(0, |width| width - cell.text.chars().count());
            // Writing to a String cannot fail.
            let _ = match (colours, code(cell.tone)) {
                (true, Some(code)) => write!(line, "\x1b[{code}m{}\x1b[0m", cell.text),
                _ => write!(line, "{}", cell.text),
            };
            line.extend(std::iter::repeat_n(' ', pad + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn code(tone: Tone) -> Option<u8> {
    match tone {
        Tone::Plain => None,
        Tone::Good => Some(32),
        Tone::Warning => Some(33),
        Tone::Bad => Some(31),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let rows = [
            vec![Cell::from("web_default"), Cell::toned("failed", Tone::Bad), Cell::from("why")],
            vec![Cell::from("a_b"), Cell::toned("deployed", Tone::Good), Cell::from("")],
        ];
        let titles = ["KEY", "STATE", "DETAIL"];
        assert_eq!(
            table(&titles, &rows, false),
            "KEY          STATE     DETAIL\n\
             web_default  failed    why\n\
             a_b          deployed\n"
        );
        assert!(table(&titles, &rows, true).contains("\x1b[31mfailed\x1b[0m    why"));
    }
}
