//! Records → the JSON body of a Microsoft Teams Workflows webhook. `[C]`
//!
//! Shape: a message with one Adaptive Card, as in "Create incoming webhooks with Workflows for
//! Microsoft Teams"; the card keeps to version 1.4 of the Adaptive Cards schema, and a message to
//! the 28 KB that the connector takes ("Message size limits"). Text stands in `TextRun`s, which, other
//! than `TextBlock`s, know no Markdown, so that nothing in a message becomes a link.

use serde_json::{Value, json};

use super::digest::{Digest, Limits, Named};
use super::record::Record;
use super::text::{cut, cut_front};
use crate::model::Level;

const TITLE: usize = 300;
const SENTENCE: usize = 1500;
const LOG: usize = 3000;
const FACT: usize = 500;

/// What a digest holds. The limit of Teams is one of bytes: see [`cost`].
pub const DIGEST: Limits = Limits { text: 22_000, line: 180, lines: 80 };

/// The message about one record.
#[must_use]
pub fn single(record: &Record) -> Value {
    let mut body = vec![
        heading(record.level, &record.headline()),
        runs(vec![run(&format!("{}.", cut(&record.text, SENTENCE)))]),
    ];
    if let Some(advice) = &record.advice {
        body.push(runs(vec![run(&cut(advice, SENTENCE))]));
    }
    if let Some(log) = &record.log {
        for line in cut_front(log, LOG).lines() {
            let mut text = run(if line.is_empty() { " " } else { line });
            text["fontType"] = "Monospace".into();
            text["size"] = "Small".into();
            let mut line = runs(vec![text]);
            line["spacing"] = "None".into();
            body.push(line);
        }
    }
    for (at, (name, value, _)) in record.facts().into_iter().enumerate() {
        let mut title = run(&format!("{name}: "));
        title["weight"] = "Bolder".into();
        let mut fact = runs(vec![title, run(&cut(&value, FACT))]);
        fact["spacing"] = if at == 0 { "Medium" } else { "None" }.into();
        body.push(fact);
    }
    body.push(footer(&record.origin()));
    message(&body)
}

/// The message about many records.
#[must_use]
pub fn digest(records: &[Record]) -> Value {
    let digest = Digest::of(records, DIGEST.line);
    let mut body = vec![heading(digest.level(), &digest.headline())];
    body.extend(digest.named.iter().map(line));
    if digest.named.is_empty() {
        body.push(runs(vec![run("Nothing failed.")]));
    }
    body.push(footer(&digest.origin));
    message(&body)
}

/// What a line takes of a digest, in bytes.
#[must_use]
pub fn cost(named: &Named) -> usize {
    line(named).to_string().len() + 1
}

fn line(named: &Named) -> Value {
    let mut subject = run(&format!("{} ", named.subject));
    subject["weight"] = "Bolder".into();
    subject["color"] = match named.level {
        Level::Danger => "Attention",
        _ => "Warning",
    }
    .into();
    let mut line = runs(vec![subject, run(&named.text)]);
    line["spacing"] = "Small".into();
    line
}

fn heading(level: Level, text: &str) -> Value {
    let style = match level {
        Level::Good => "good",
        Level::Warning => "warning",
        Level::Danger => "attention",
        Level::Quiet => "default",
    };
    let mut title = run(&cut(text, TITLE));
    title["weight"] = "Bolder".into();
    title["size"] = "Medium".into();
    json!({ "type": "Container", "style": style, "bleed": true, "items": [runs(vec![title])] })
}

fn footer(text: &str) -> Value {
    let mut origin = run(&cut(text, TITLE));
    origin["size"] = "Small".into();
    origin["isSubtle"] = true.into();
    runs(vec![origin])
}

fn run(text: &str) -> Value {
    json!({ "type": "TextRun", "text": text })
}

fn runs(inlines: Vec<Value>) -> Value {
    json!({ "type": "RichTextBlock", "inlines": inlines })
}

fn message(body: &[Value]) -> Value {
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": { "width": "Full" },
                "body": body,
            }
        }]
    })
}
