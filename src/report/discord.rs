//! Records → the JSON body of a Discord webhook. `[C]`
//!
//! Shape and limits: Discord's developer documentation, "Execute Webhook" and "Embed Object": at
//! most 10 embeds; title 256, description 4096, 25 fields with a name of 256 and a value of 1024,
//! footer 2048, and 6000 characters in all embeds of a message together. `allowed_mentions` with an
//! empty `parse` lets no text in a message call anybody. Markdown is escaped with back-slashes.

use serde_json::{Value, json};

use super::digest::{Digest, Limits, Named};
use super::record::Record;
use super::text::{cut_front, fit, length};
use crate::model::Level;

const TITLE: usize = 256;
const SENTENCE: usize = 1200;
const LOG: usize = 1500;
const FIELD: usize = 300;
const FOOTER: usize = 300;
const DESCRIPTION: usize = 4096;

/// What a digest holds: the embeds have less than 6000 characters together with the title, and short
/// lines, so that many failures fit.
pub const DIGEST: Limits = Limits { text: 5700, line: 96, lines: 100 };
/// The least that is left of a reason, behind however long a name.
const REASON: usize = 32;

/// The message about one record.
#[must_use]
pub fn single(record: &Record) -> Value {
    let mut description = fitted(&record.text, SENTENCE);
    description.push('.');
    if let Some(advice) = &record.advice {
        description.push('\n');
        description.push_str(&fitted(advice, SENTENCE));
    }
    if let Some(log) = &record.log {
        description.push_str(&format!("\n```\n{}\n```", plain_log(log)));
    }
    let fields: Vec<Value> = record
        .facts()
        .into_iter()
        .map(|(name, value, short)| {
            json!({ "name": name, "value": fitted(&value, FIELD), "inline": short })
        })
        .collect();
    message(vec![json!({
        "title": fitted(&record.headline(), TITLE),
        "description": description,
        "color": color(record.level),
        "fields": fields,
        "footer": { "text": fit(&record.origin(), FOOTER, |c, out| out.push(c)) },
        "timestamp": record.time,
    })])
}

/// The message about many records.
#[must_use]
pub fn digest(records: &[Record]) -> Value {
    let digest = Digest::of(records, DIGEST.line);
    let mut chunks = vec![String::new()];
    for named in &digest.named {
        let line = line(named);
        match chunks.last_mut() {
            Some(text) if length(text) + length(&line) < DESCRIPTION => {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&line);
            }
            _ => chunks.push(line),
        }
    }
    if digest.named.is_empty() {
        chunks = vec!["Nothing failed.".to_owned()];
    }
    let embeds = chunks.into_iter().enumerate().map(|(at, text)| {
        let mut embed = json!({ "description": text, "color": color(digest.level()) });
        if at == 0 {
            embed["title"] = fitted(&digest.headline(), TITLE).into();
        }
        embed
    });
    message(embeds.collect())
}

/// What a line takes of a digest.
#[must_use]
pub fn cost(named: &Named) -> usize {
    length(&line(named)) + 1
}

fn line(named: &Named) -> String {
    let subject = escape(&named.subject);
    // Back-slashes count like everything else.
    let room = DIGEST.line.saturating_sub(length(&subject) + 5).max(REASON);
    format!("**{subject}** {}", fitted(&named.text, room))
}

fn message(embeds: Vec<Value>) -> Value {
    json!({ "embeds": embeds, "allowed_mentions": { "parse": [] } })
}

/// RGB, of Slack's three colours.
fn color(level: Level) -> u32 {
    match level {
        Level::Good => 0x2e_b8_86,
        Level::Warning => 0xda_a0_38,
        Level::Danger => 0xa3_02_00,
        Level::Quiet => 0xdd_dd_dd,
    }
}

/// Nothing ends a block of code but three back-ticks.
fn plain_log(log: &str) -> String {
    cut_front(log, LOG).replace("```", "'''")
}

fn escape_one(c: char, out: &mut String) {
    if matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']' | '#' | '@') {
        out.push('\\');
    }
    out.push(c);
}

fn fitted(text: &str, limit: usize) -> String {
    fit(text, limit, escape_one)
}

fn escape(text: &str) -> String {
    fitted(text, usize::MAX)
}
