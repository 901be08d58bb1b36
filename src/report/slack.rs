//! A notice → the JSON body of a Slack incoming webhook. `[C]`
//!
//! Shape: one attachment with `color` (`good`, `warning`, `danger`), as in Slack's reference
//! "Secondary message attachments". Text is escaped as in "Formatting text for app surfaces"
//! (`&`, `<`, `>` only), so that `<!channel>` in a message stays text.

use serde_json::{Value, json};

use super::words::{Words, duration, images};
use crate::model::{Level, Notice, What};

/// Slack cuts attachments beyond some thousand characters; so do we, and say so.
const TEXT_LIMIT: usize = 2800;

/// The message; `None` for what only the log is told.
#[must_use]
pub fn payload(notice: &Notice, words: &Words) -> Option<Value> {
    let color = match notice.what.level() {
        Level::Good => "good",
        Level::Warning => "warning",
        Level::Danger => "danger",
        Level::Quiet => return None,
    };
    let key = &notice.key;
    let title = format!("{}: {} ({})", words.title, key.service(), key.namespace());
    let mut fields =
        vec![field("Service", key.service(), true), field("Namespace", key.namespace(), true)];
    fields.extend(what_changed(&notice.what));
    Some(message(color, &title, words, &fields))
}

/// The message of an alert.
#[must_use]
pub fn alert_payload(words: &Words) -> Value {
    message("danger", words.title, words, &[])
}

fn message(color: &str, title: &str, words: &Words, fields: &[Value]) -> Value {
    json!({
        "attachments": [{
            "color": color,
            "fallback": escape(&cut(&format!("{title}: {}", words.sentence), TEXT_LIMIT / 2)),
            "title": escape(title),
            "text": text(words),
            "mrkdwn_in": ["text"],
            "fields": fields,
            "footer": "depd",
        }]
    })
}

fn what_changed(what: &What) -> Vec<Value> {
    match what {
        What::Succeeded { changes, took }
        | What::Failed { changes, took, .. }
        | What::TimedOut { changes, took, .. }
        | What::Recovered { changes, took }
        | What::RolledBack { changes, took }
        | What::RollbackFailed { changes, took, .. } => {
            vec![field("Image", &images(changes), false), field("Duration", &duration(*took), true)]
        }
        What::Troubled { changes, .. } | What::Rejected { changes } => {
            vec![field("Image", &images(changes), false)]
        }
        _ => Vec::new(),
    }
}

fn field(title: &str, value: &str, short: bool) -> Value {
    json!({ "title": title, "value": escape(&cut(value, 500)), "short": short })
}

fn text(words: &Words) -> String {
    let mut text = escape(&cut(&words.sentence, TEXT_LIMIT / 2));
    text.push('.');
    if let Some(advice) = &words.advice {
        text.push('\n');
        text.push_str(&escape(advice));
    }
    if let Some(log) = &words.log_tail {
        // The end of a log explains; three back-ticks in it must not end the block.
        let log = cut_front(log, TEXT_LIMIT / 2).replace("```", "'''");
        text.push_str(&format!("\n```{}```", escape(&log)));
    }
    text
}

/// Slack's three characters.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn cut_front(text: &str, limit: usize) -> String {
    let count = text.chars().count();
    match text.char_indices().nth(count.saturating_sub(limit)) {
        Some((at, _)) if at > 0 => format!("…{}", &text[at..]),
        _ => text.to_owned(),
    }
}
