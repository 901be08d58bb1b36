//! A page that looks like the messages, drawn from the very payloads that are sent. `[C]`
//!
//! It understands as much of each format as our own renderers write, and shows nothing that is not
//! in the payload. Everything is escaped for HTML.

use serde_json::Value;

use super::kind::Kind;
use super::record::Record;

const STYLE: &str = "
body { font: 15px/1.46 Lato, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif; color: #1d1c1d;
       margin: 0; padding: 8px 24px 16px; background: #fff; max-width: 720px; }
section { break-inside: avoid; }
@media (min-width: 1400px) { body { max-width: 1440px; columns: 2; column-gap: 32px; } }
h1 { font-size: 20px; margin: 0; column-span: all; } h2 { font-size: 13px; color: #616061; margin: 0; padding: 10px 0 6px; font-weight: normal; }
.who { font-weight: 900; } .app { font-size: 10px; background: #e8e8e8; color: #616061; border-radius: 2px;
       padding: 1px 3px; margin-left: 4px; vertical-align: 2px; }
.message { display: flex; gap: 8px; }
.face { width: 36px; height: 36px; border-radius: 4px; background: #1d4ed8; color: #fff; flex: none;
        font: bold 18px/36px monospace; text-align: center; }
.rest { flex: 1; min-width: 0; }
.attachment { border-left: 4px solid; border-radius: 4px 0 0 4px; padding: 2px 0 2px 12px; margin: 4px 0; }
.title { font-weight: 700; } .text { white-space: pre-wrap; overflow-wrap: anywhere; }
pre { background: #f8f8f8; border: 1px solid #ddd; border-radius: 4px; padding: 8px; margin: 6px 0;
      font: 12px/1.5 Menlo, 'DejaVu Sans Mono', monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 6px 16px; margin: 6px 0; }
.long { grid-column: 1 / 3; } .name { font-weight: 700; display: block; }
.footer { color: #616061; font-size: 12px; margin-top: 4px; }
.teams { border: 1px solid #e0e0e0; border-radius: 6px; box-shadow: 0 1px 3px #0002; overflow: hidden;
         font-family: 'Segoe UI', 'Liberation Sans', sans-serif; font-size: 14px; padding-bottom: 10px; }
.teams > * { padding: 2px 14px; } .teams .heading { padding: 10px 14px; margin-bottom: 6px; font-size: 16px; }
.good { background: #e7f2da; } .warning { background: #fff8e0; } .attention { background: #fde7e9; }
.bold { font-weight: 600; } .mono { font-family: 'DejaVu Sans Mono', monospace; font-size: 12px; }
.Attention { color: #a4262c; } .Warning { color: #835c00; } .subtle { color: #616061; font-size: 12px; }
.discord { background: #313338; color: #dbdee1; padding: 10px; border-radius: 4px;
           font-family: 'gg sans', 'Liberation Sans', sans-serif; }
.discord .attachment { background: #2b2d31; padding: 10px 14px; } .discord pre { background: #1e1f22;
           border-color: #1e1f22; } .discord .footer { color: #b5bac1; }
";

/// The page: for each kind, every record on its own, and a digest of a storm.
#[must_use]
pub fn page(kinds: &[Kind], records: &[Record], storm: &[Record]) -> String {
    let mut body = String::new();
    for kind in kinds {
        body.push_str(&format!("<h1>{}</h1>\n", escape(title(*kind))));
        for record in records {
            body.push_str(&section(*kind, &record.title, std::slice::from_ref(record)));
        }
        body.push_str(&section(*kind, "Digest", storm));
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Messages of \
         depd</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Slack => "Slack",
        Kind::Teams => "Microsoft Teams",
        Kind::Discord => "Discord",
        Kind::Webhook | Kind::Command | Kind::Events => "JSON",
    }
}

fn section(kind: Kind, name: &str, records: &[Record]) -> String {
    let body: Value = serde_json::from_str(&kind.body(records)).unwrap_or_default();
    let message = match kind {
        Kind::Slack => slack(&body),
        Kind::Teams => teams(&body),
        Kind::Discord => discord(&body),
        Kind::Webhook | Kind::Command | Kind::Events => {
            let text = serde_json::to_string_pretty(&body).unwrap_or_default();
            format!("<pre>{}</pre>", escape(&text))
        }
    };
    format!("<section>\n<h2>{}</h2>\n{message}\n</section>\n", escape(name))
}

fn slack(body: &Value) -> String {
    let attachments = list(&body["attachments"]).map(|one| {
        let color = match text(&one["color"]) {
            "good" => "#2eb886",
            "warning" => "#daa038",
            "danger" => "#a30200",
            other => other,
        };
        let fields = list(&one["fields"]).map(|field| {
            let class = if field["short"] == true { "" } else { " class=\"long\"" };
            let (name, value) = (mrkdwn(text(&field["title"])), mrkdwn(text(&field["value"])));
            format!("<div{class}><span class=\"name\">{name}</span>{value}</div>")
        });
        format!(
            "<div class=\"attachment\" style=\"border-color: {}\">{}{}{}{}</div>",
            escape(color),
            tag("title", &mrkdwn(text(&one["title"]))),
            tag("text", &mrkdwn(text(&one["text"]))),
            tag("fields", &fields.collect::<String>()),
            tag("footer", &mrkdwn(text(&one["footer"]))),
        )
    });
    from_depd("", &attachments.collect::<String>())
}

fn discord(body: &Value) -> String {
    let embeds = list(&body["embeds"]).map(|one| {
        let fields = list(&one["fields"]).map(|field| {
            let class = if field["inline"] == true { "" } else { " class=\"long\"" };
            let (name, value) = (text(&field["name"]), text(&field["value"]));
            format!(
                "<div{class}><span class=\"name\">{}</span>{}</div>",
                markdown(name),
                markdown(value)
            )
        });
        format!(
            "<div class=\"attachment\" style=\"border-color: #{:06x}\">{}{}{}{}</div>",
            one["color"].as_u64().unwrap_or_default(),
            tag("title", &markdown(text(&one["title"]))),
            tag("text", &markdown(text(&one["description"]))),
            tag("fields", &fields.collect::<String>()),
            tag("footer", &escape(text(&one["footer"]["text"]))),
        )
    });
    from_depd(" discord", &embeds.collect::<String>())
}

fn teams(body: &Value) -> String {
    let items =
        list(&body["attachments"][0]["content"]["body"]).map(|item| match text(&item["type"]) {
            "Container" => {
                let inner: String = list(&item["items"]).map(runs).collect();
                let style = escape(text(&item["style"]));
                format!("<div class=\"heading {style}\">{inner}</div>")
            }
            _ => tag("line", &runs(item)),
        });
    tag("teams", &items.collect::<String>())
}

fn runs(block: &Value) -> String {
    let run = |run: &Value| {
        let mut classes = Vec::new();
        classes.extend((run["weight"] == "Bolder").then_some("bold"));
        classes.extend((run["fontType"] == "Monospace").then_some("mono"));
        classes.extend((run["isSubtle"] == true).then_some("subtle"));
        classes.extend(Some(text(&run["color"])).filter(|color| !color.is_empty()));
        format!(
            "<span class=\"{}\">{}</span>",
            escape(&classes.join(" ")),
            escape(text(&run["text"]))
        )
    };
    list(&block["inlines"]).map(run).collect()
}

fn from_depd(class: &str, inner: &str) -> String {
    format!(
        "<div class=\"message{class}\"><div class=\"face\">d</div><div class=\"rest\"><span \
         class=\"who\">depd</span><span class=\"app\">APP</span>{inner}</div></div>"
    )
}

fn tag(class: &str, inner: &str) -> String {
    if inner.is_empty() { String::new() } else { format!("<div class=\"{class}\">{inner}</div>") }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}

/// Slack's three escapes are those of HTML; blocks of code and bold words are drawn.
fn mrkdwn(text: &str) -> String {
    let parts = text.replace('"', "&quot;");
    drawn(&parts, "*", str::to_owned)
}

/// Discord's back-slashes are taken away; blocks of code and bold words are drawn.
fn markdown(text: &str) -> String {
    drawn(text, "**", |plain| {
        let mut out = String::with_capacity(plain.len());
        let mut letters = plain.chars();
        while let Some(c) = letters.next() {
            out.extend(if c == '\\' { letters.next() } else { Some(c) });
        }
        escape(&out)
    })
}

/// Every second part between three back-ticks is code, every second part of a line between two
/// `bold` marks is bold; `plain` does the rest.
fn drawn(text: &str, bold: &str, plain: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    for (at, part) in text.split("```").enumerate() {
        if at % 2 == 1 {
            let code = if bold == "**" { escape(part.trim_matches('\n')) } else { part.to_owned() };
            out.push_str(&format!("<pre>{code}</pre>"));
            continue;
        }
        let lines = part.lines().map(|line| {
            let words: Vec<&str> = line.splitn(3, bold).collect();
            match words[..] {
                [before, word, after] => {
                    format!("{}<b>{}</b>{}", plain(before), plain(word), plain(after))
                }
                _ => plain(line),
            }
        });
        out.push_str(&lines.collect::<Vec<_>>().join("\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::kind::KINDS;
    use crate::report::samples;

    #[test]
    fn the_page_shows_every_record_and_nothing_in_them_becomes_markup() {
        let mut records = samples::all();
        records[1].text = "<script>alert(1)</script> & \"more\"".into();
        records[1].log = Some("</pre><img src=x>".into());
        let page = page(&KINDS, &records, &samples::storm(3));
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        for record in &records {
            assert!(page.contains(&record.title), "{}", record.title);
        }
        assert!(page.contains("Digest: 3 deployed"), "{page}");
    }

    #[test]
    fn a_digest_in_the_page_names_the_failures_in_bold() {
        let page = page(&[Kind::Slack, Kind::Discord], &[], &samples::storm(3));
        assert_eq!(page.matches("<b>search (prod)</b>").count(), 2, "{page}");
    }
}
