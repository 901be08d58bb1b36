//! Records → the JSON body of a Slack incoming webhook. `[C]`
//!
//! Shape: attachments with `color` (`good`, `warning`, `danger`), as in Slack's reference "Secondary
//! message attachments", because only they have a colour bar. Text is escaped as in "Formatting text
//! for app surfaces" (`&`, `<`, `>` only), so that `<!channel>` in a message stays text. A message
//! may have 100 attachments (`too_many_attachments`); a digest has some six.

use serde_json::{Value, json};

use super::digest::{Digest, Limits, Named};
use super::record::Record;
use super::text::{cut, cut_front, fit, length};
use crate::model::Level;

/// Slack folds long attachments and cuts very long ones; so do we, and say so.
const TEXT_LIMIT: usize = 1400;
/// A digest's text is spread over attachments of this size.
const CHUNK_LIMIT: usize = 2800;
/// What a digest holds.
pub const DIGEST: Limits = Limits { text: 16_000, line: 180, lines: 80 };

/// The message about one record.
#[must_use]
pub fn single(record: &Record) -> Value {
    let headline = record.headline();
    let fields: Vec<Value> = record
        .facts()
        .into_iter()
        .map(|(title, value, short)| {
            json!({ "title": title, "value": escape(&cut(&value, 500)), "short": short })
        })
        .collect();
    json!({
        "attachments": [{
            "color": color(record.level),
            "fallback": fitted(&format!("{headline}: {}", record.text), TEXT_LIMIT),
            "title": escape(&headline),
            "text": text(record),
            "mrkdwn_in": ["text"],
            "fields": fields,
            "footer": escape(&record.origin()),
        }]
    })
}

/// The message about many records.
#[must_use]
pub fn digest(records: &[Record]) -> Value {
    let digest = Digest::of(records, DIGEST.line);
    let headline = escape(&digest.headline());
    let mut chunks: Vec<(Level, String)> = Vec::new();
    for named in &digest.named {
        let line = line(named);
        match chunks.last_mut() {
            Some((level, text))
                if *level == named.level && length(text) + length(&line) < CHUNK_LIMIT =>
            {
                text.push('\n');
                text.push_str(&line);
            }
            _ => chunks.push((named.level, line)),
        }
    }
    let first = json!({
        "color": color(digest.level()),
        "fallback": headline,
        "title": headline,
        "text": if chunks.is_empty() { "Nothing failed." } else { "What was not good news:" },
        "footer": escape(&digest.origin),
    });
    let rest = chunks.into_iter().map(|(level, text)| {
        json!({
            "color": color(level),
            "fallback": cut(&text, TEXT_LIMIT),
            "text": text,
            "mrkdwn_in": ["text"],
        })
    });
    json!({ "attachments": std::iter::once(first).chain(rest).collect::<Vec<_>>() })
}

/// What a line takes of a digest.
#[must_use]
pub fn cost(named: &Named) -> usize {
    length(&line(named)) + 1
}

fn line(named: &Named) -> String {
    format!("• *{}* {}", escape(&named.subject), escape(&named.text))
}

fn color(level: Level) -> &'static str {
    match level {
        Level::Good => "good",
        Level::Warning => "warning",
        Level::Danger => "danger",
        Level::Quiet => "#dddddd",
    }
}

fn text(record: &Record) -> String {
    let mut text = fitted(&record.text, TEXT_LIMIT);
    text.push('.');
    if let Some(advice) = &record.advice {
        text.push('\n');
        text.push_str(&fitted(advice, TEXT_LIMIT));
    }
    if let Some(log) = &record.log {
        // The end of a log explains; three back-ticks in it must not end the block.
        let log = cut_front(log, TEXT_LIMIT).replace("```", "'''");
        text.push_str(&format!("\n```{}```", escape(&log)));
    }
    text
}

fn escape_one(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        c => out.push(c),
    }
}

fn fitted(text: &str, limit: usize) -> String {
    fit(text, limit, escape_one)
}

/// Slack's three characters.
fn escape(text: &str) -> String {
    fitted(text, usize::MAX)
}
