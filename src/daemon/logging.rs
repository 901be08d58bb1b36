//! The log: lines on standard error, above what a screen shows, or in a file, levels chosen by `RUST_LOG`. `[E]`

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env_logger::{Builder, Target};
use jiff::{Timestamp, tz::TimeZone};
use log::{Level, LevelFilter, Record, debug, error, info, warn};
use parking_lot::Mutex;
use serde_json::json;

use super::filters::{self, Filters};
use super::screen::Screen;
use crate::model::{self, Notice, What, is_printable, printable};
use crate::report::words::Words;

/// In UTC, to the millisecond.
const DAEMON_TIME: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// How a further line of a record begins.
const CONTINUED: &str = "    | ";

/// How a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStyle {
    /// `2026-11-23T10:00:00.123Z INFO `, for logs that are kept.
    Daemon,
    /// `10:00:00.123 `, for a person who watches.
    Demo,
}

/// What a record looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogForm {
    /// A line for people; the end of a container's log follows on lines of its own.
    #[default]
    Text,
    /// One JSON object on one line, whatever the record holds: `time`, `level`, `target`, `message`.
    Json,
}

/// Where the log goes, and how.
#[derive(Debug)]
pub struct Log {
    /// How a line begins.
    pub style: LogStyle,
    /// What is logged, as `RUST_LOG` has it.
    pub filters: Option<String>,
    /// The same where that is not set or has a slip; `None` is level info, and for a demo debug.
    pub otherwise: Option<&'static str>,
    /// What a record looks like.
    pub form: LogForm,
    /// Where it goes.
    pub to: Destination,
}

/// Where the log goes.
#[derive(Debug)]
pub enum Destination {
    /// Standard error.
    StandardError,
    /// A terminal that shows more than the log.
    Screen(Screen),
    /// A file that it is appended to.
    File(LogFile),
}

impl Destination {
    /// The screen, where it is one.
    #[must_use]
    pub fn screen(&self) -> Option<Screen> {
        match self {
            Destination::Screen(screen) => Some(screen.clone()),
            Destination::StandardError | Destination::File(_) => None,
        }
    }
}

impl Log {
    /// Text on standard error.
    #[must_use]
    pub fn of(style: LogStyle, filters: Option<String>) -> Log {
        Log { style, filters, otherwise: None, form: LogForm::Text, to: Destination::StandardError }
    }
}

/// A log file that can be opened anew, after somebody moved it away. Clones are the same file.
#[derive(Clone, Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl LogFile {
    /// Opens the file for appending, or makes it, for its owner and readable for its group.
    ///
    /// # Errors
    /// It cannot be opened or made.
    pub fn open(path: &Path) -> io::Result<LogFile> {
        Ok(LogFile { path: path.to_owned(), file: Arc::new(Mutex::new(append(path)?)) })
    }

    /// Goes on in a new file of the same name.
    ///
    /// # Errors
    /// It cannot be opened; the log goes on where it was.
    pub fn reopen(&self) -> io::Result<()> {
        let file = append(&self.path)?;
        *self.file.lock() = file;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.lock().flush()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// Sets up the log.
pub fn init_logging(log: Log) {
    let otherwise = log.otherwise.unwrap_or(match log.style {
        LogStyle::Daemon => "info",
        LogStyle::Demo => "warn,depd=debug",
    });
    let Filters { text: filters, complaint } = match &log.filters {
        Some(given) => filters::checked(given, otherwise),
        None => Filters { text: otherwise.to_owned(), complaint: None },
    };
    let mut builder = Builder::new();
    builder.parse_filters(&filters);
    // Whatever was asked for: at their lower levels the HTTP and TLS libraries write addresses and
    // headers, and with them secrets, into the log; notify tells of what depd expects and mends.
    for library in ["ureq", "ureq_proto", "rustls", "notify"] {
        builder.filter_module(library, LevelFilter::Warn);
    }
    builder.target(match log.to {
        Destination::StandardError => Target::Stderr,
        Destination::Screen(screen) => Target::Pipe(Box::new(screen)),
        Destination::File(file) => Target::Pipe(Box::new(file)),
    });
    let style = log.style;
    match log.form {
        LogForm::Text => builder.format(move |out, record| text(out, style, record)),
        LogForm::Json => builder.format(|out, record| writeln!(out, "{}", json_line(record))),
    };
    // A second call in one process, as in tests, keeps the first.
    let _ = builder.try_init();
    if let Some(complaint) = complaint {
        warn!("{complaint}");
    }
}

fn text(out: &mut impl Write, style: LogStyle, record: &Record) -> io::Result<()> {
    let format = match style {
        LogStyle::Daemon => DAEMON_TIME,
        LogStyle::Demo => "%H:%M:%S%.3f",
    };
    let time = Timestamp::now().to_zoned(TimeZone::UTC).strftime(format);
    let level = match (style, record.level()) {
        (LogStyle::Demo, Level::Info | Level::Debug) => String::new(),
        (_, level) => format!("{level:<5} "),
    };
    let said = record.args().to_string();
    let mut lines = said.split('\n');
    writeln!(out, "{time} {level}{}", printable(lines.next().unwrap_or_default()))?;
    // Whatever comes after the first line can never look like a record of its own.
    for line in lines {
        writeln!(out, "{CONTINUED}{}", printable(line.strip_prefix(CONTINUED).unwrap_or(line)))?;
    }
    Ok(())
}

/// On one line, and what cannot be seen or steers a terminal is escaped as JSON has it.
fn json_line(record: &Record) -> String {
    let mut line = String::new();
    for c in json(record).to_string().chars() {
        match is_printable(c) {
            true => line.push(c),
            false => {
                let units = c.encode_utf16(&mut [0; 2]).to_vec();
                line.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    line
}

fn json(record: &Record) -> serde_json::Value {
    let time = Timestamp::now().to_zoned(TimeZone::UTC).strftime(DAEMON_TIME).to_string();
    json!({
        "time": time,
        "level": record.level().as_str().to_lowercase(),
        "target": record.target(),
        "message": record.args().to_string(),
    })
}

/// Writes an alert into the log.
pub fn log_alert(words: &Words) {
    let advice = words.advice.as_deref().unwrap_or_default();
    error!("{}: {}. {advice}", words.title, words.sentence);
}

/// Writes a notice into the log, as loud as it is.
pub fn log_notice(notice: &Notice, words: &Words) {
    let mut line = format!("{}: {}: {}", notice.key, words.title, words.sentence);
    if let Some(advice) = &words.advice {
        line.push_str(". ");
        line.push_str(advice);
    }
    if let Some(log) = &words.log_tail {
        line.push('\n');
        line.push_str(log);
    }
    match (notice.what.level(), &notice.what) {
        (model::Level::Danger, _) => error!("{line}"),
        (model::Level::Warning, _) | (_, What::Unreachable(_)) => warn!("{line}"),
        (_, What::Progressed { .. } | What::AlreadyRuns) => debug!("{line}"),
        (model::Level::Good | model::Level::Quiet, _) => info!("{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_14_a_json_record_is_one_line_whatever_it_holds() {
        let hostile = "a\nb\u{1b}[31m\u{2028}\"c\\\u{9b}2J\u{202e}\u{e0041}é";
        let args = format_args!("{hostile}");
        let line = json_line(&Record::builder().args(args).level(Level::Warn).build());
        assert_eq!(line.lines().count(), 1);
        assert!(line.chars().all(is_printable), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["message"], hostile);
        assert_eq!(read["level"], "warn");
    }

    #[test]
    fn security_14_a_text_record_steers_no_terminal_and_forges_no_other_record() {
        let args = format_args!(
            "web: \u{1b}[2J\u{202e}x\r\n2026-11-27T10:00:00.000Z INFO  all is well\n    | tail"
        );
        let record = Record::builder().args(args).level(Level::Warn).build();
        let mut out = Vec::new();
        super::text(&mut out, LogStyle::Demo, &record).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        let (_, said) = text.split_once(' ').expect("a time");
        let expect = "WARN  web: \\u{1b}[2J\\u{202e}x\\u{d}\n    | 2026-11-27T10:00:00.000Z INFO  all is well\n    | tail\n";
        assert_eq!(said, expect);
    }

    #[test]
    fn a_log_file_that_was_moved_away_is_begun_anew_on_demand() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("depd.log");
        let mut log = LogFile::open(&path).expect("opened");
        writeln!(log, "one").expect("written");
        std::fs::rename(&path, folder.path().join("depd.log.1")).expect("moved");
        writeln!(log, "two").expect("written");
        log.clone().reopen().expect("opened");
        writeln!(log, "three").expect("written");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert_eq!(read("depd.log.1"), "one\ntwo\n");
        assert_eq!(read("depd.log"), "three\n");
    }
}
