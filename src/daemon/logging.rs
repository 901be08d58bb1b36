//! The log: plain lines on standard error, levels chosen by `RUST_LOG`. `[E]`

use std::io::Write;

use env_logger::{Builder, Target};
use jiff::{Timestamp, tz::TimeZone};
use log::{Level, LevelFilter, debug, error, info, warn};

use crate::model::{self, Notice, What};
use crate::report::words::Words;

/// How a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStyle {
    /// `2026-11-23T10:00:00.123Z INFO `, for logs that are kept.
    Daemon,
    /// `10:00:00.123 `, for a person who watches.
    Demo,
}

/// Sets up the log with these filters, as `RUST_LOG` has them; without any, at level info, and for a
/// demo at debug.
pub fn init_logging(style: LogStyle, filters: Option<&str>) {
    let default = match style {
        LogStyle::Daemon => "info",
        LogStyle::Demo => "warn,depd=debug",
    };
    let format = match style {
        LogStyle::Daemon => "%Y-%m-%dT%H:%M:%S%.3fZ",
        LogStyle::Demo => "%H:%M:%S%.3f",
    };
    let mut builder = Builder::new();
    builder.parse_filters(filters.unwrap_or(default));
    // Whatever was asked for: at their lower levels the HTTP and TLS libraries write addresses and
    // headers, and with them secrets, into the log; notify tells of what depd expects and mends.
    for library in ["ureq", "ureq_proto", "rustls", "notify"] {
        builder.filter_module(library, LevelFilter::Warn);
    }
    builder.target(Target::Stderr).format(move |out, record| {
        let time = Timestamp::now().to_zoned(TimeZone::UTC).strftime(format);
        let level = match (style, record.level()) {
            (LogStyle::Demo, Level::Info | Level::Debug) => String::new(),
            (_, level) => format!("{level:<5} "),
        };
        writeln!(out, "{time} {level}{}", record.args())
    });
    // A second call in one process, as in tests, keeps the first.
    let _ = builder.try_init();
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
        line.push_str("\n    | ");
        line.push_str(&log.replace('\n', "\n    | "));
    }
    match (notice.what.level(), &notice.what) {
        (model::Level::Danger, _) => error!("{line}"),
        (model::Level::Warning, _) | (_, What::Unreachable(_)) => warn!("{line}"),
        (_, What::Progressed { .. } | What::AlreadyRuns) => debug!("{line}"),
        (model::Level::Good | model::Level::Quiet, _) => info!("{line}"),
    }
}
