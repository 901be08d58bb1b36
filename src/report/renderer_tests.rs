//! What the receivers are sent: as snapshots for people, and against the limits of each receiver.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::kind::{KINDS, Kind};
use super::record::{Circumstances, Record};
use super::samples;
use super::text::length;
use super::words::words;
use crate::model::{Notice, ServiceKey, What};

const CHAT: [Kind; 3] = [Kind::Slack, Kind::Teams, Kind::Discord];

fn body(kind: Kind, records: &[Record]) -> Value {
    serde_json::from_str(&kind.body(records)).expect("JSON")
}

#[test]
fn a_failure_and_a_digest_read_well_for_every_receiver() {
    let failure = samples::all().remove(1);
    for kind in [Kind::Slack, Kind::Teams, Kind::Discord, Kind::Webhook] {
        insta::assert_json_snapshot!(
            format!("failure-{}", kind.name()),
            body(kind, std::slice::from_ref(&failure))
        );
        if kind != Kind::Webhook {
            insta::assert_json_snapshot!(
                format!("digest-{}", kind.name()),
                body(kind, &samples::storm(40))
            );
        }
    }
}

#[test]
fn the_records_of_the_samples_read_well() {
    insta::assert_json_snapshot!(samples::all());
}

#[test]
fn a_record_survives_being_written_down() {
    for record in samples::all() {
        let text = serde_json::to_string(&record).expect("JSON");
        assert_eq!(serde_json::from_str::<Record>(&text).expect("a record"), record);
    }
}

#[test]
fn what_happens_twice_to_one_rollout_has_two_ids() {
    let key = ServiceKey::new("shop", "prod").expect("a key");
    let what = What::Succeeded { changes: Vec::new(), took: Duration::from_secs(1) };
    let notice = Notice { key, what };
    let id = |time: &str| {
        let (uid, attempt) = (Some("3f0f6d1c".into()), Some(7));
        let around = Circumstances { uid, attempt, time: time.into(), ..Circumstances::default() };
        Record::of(&notice, &words(&notice), &around).expect("a record").id
    };
    assert_eq!(id("2026-11-24T10:15:30.250Z"), "3f0f6d1c/7/deployed/2026-11-24T10:15:30.250Z");
    assert_ne!(id("2026-11-24T10:15:30.250Z"), id("2026-11-24T10:17:00.000Z"));
}

/// Security row 15: what comes from a cluster or a file stays text.
#[test]
fn nothing_in_a_text_is_taken_for_markup() {
    let mut record = samples::all().remove(1);
    record.text = "<!channel> & <@U1> @everyone [a](https://evil.example) **b** <at>c</at>".into();
    record.log = Some("```\n<!here>".into());
    let one = std::slice::from_ref(&record);
    let slack = body(Kind::Slack, one)["attachments"][0].clone();
    let text = slack["text"].as_str().expect("a text");
    assert!(text.starts_with("&lt;!channel&gt; &amp; &lt;@U1&gt;"), "{text}");
    assert!(!text.contains('<'), "{text}");
    assert_eq!(text.matches("```").count(), 2, "the block of code ends where we end it: {text}");
    assert!(!slack["fallback"].as_str().expect("a text").contains('<'));
    let discord = body(Kind::Discord, one);
    assert_eq!(discord["allowed_mentions"], serde_json::json!({ "parse": [] }));
    let text = discord["embeds"][0]["description"].as_str().expect("a text");
    assert!(text.contains("\\@everyone \\[a\\](https://evil.example) \\*\\*b\\*\\*"), "{text}");
    assert_eq!(text.matches("```").count(), 2, "{text}");
    let teams = body(Kind::Teams, one).to_string();
    assert!(!teams.contains("\"TextBlock\""), "TextBlock is the one that knows Markdown: {teams}");
}

/// Every text of a message, with the name of the field that it is in.
fn texts<'a>(value: &'a Value, name: &str, out: &mut Vec<(String, &'a str)>) {
    match value {
        Value::String(text) => out.push((name.to_owned(), text)),
        Value::Array(items) => items.iter().for_each(|item| texts(item, name, out)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| texts(value, name, out));
        }
        _ => {}
    }
}

/// The rules of Discord's documentation, "Embed Object".
fn check_discord(message: &Value) {
    let embeds = message["embeds"].as_array().expect("embeds");
    assert!((1..=10).contains(&embeds.len()));
    let mut total = 0;
    for embed in embeds {
        let mut count = |value: &Value, limit: usize| {
            let size = value.as_str().map_or(0, length);
            assert!(size <= limit, "{size} > {limit}");
            total += size;
        };
        count(&embed["title"], 256);
        count(&embed["description"], 4096);
        count(&embed["footer"]["text"], 2048);
        let fields = embed["fields"].as_array().cloned().unwrap_or_default();
        assert!(fields.len() <= 25);
        for field in &fields {
            count(&field["name"], 256);
            count(&field["value"], 1024);
            assert!(!field["value"].as_str().expect("a text").is_empty());
        }
    }
    assert!(total <= 6000, "{total}");
}

/// What Slack is known to refuse (`too_many_attachments`) or to cut.
fn check_slack(message: &Value) {
    let attachments = message["attachments"].as_array().expect("attachments");
    assert!((1..=20).contains(&attachments.len()), "{}", attachments.len());
    for attachment in attachments {
        assert!(length(attachment["text"].as_str().expect("a text")) < 8_000);
        assert!(!attachment["fallback"].as_str().expect("a text").is_empty());
    }
    assert!(length(&message.to_string()) < 40_000);
}

/// The size that the Teams connector takes, and the elements that version 1.4 has.
fn check_teams(message: &Value) {
    assert!(message.to_string().len() <= 28 * 1024, "{}", message.to_string().len());
    let mut all = Vec::new();
    texts(message, "", &mut all);
    let known = ["message", "AdaptiveCard", "Container", "RichTextBlock", "TextRun"];
    for (name, text) in all {
        assert!(name != "type" || known.contains(&text), "{text}");
        assert!(name != "text" || !text.is_empty(), "an empty run is not valid");
    }
}

fn check(kind: Kind, records: &[Record]) {
    let message = body(kind, records);
    match kind {
        Kind::Slack => check_slack(&message),
        Kind::Discord => check_discord(&message),
        Kind::Teams => check_teams(&message),
        Kind::Webhook | Kind::Command | Kind::Events => {}
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    let text = prop_oneof!["[ -~]{0,3000}", "[&<>*_\\[\\]]{0,3000}", "\\PC{0,1500}", "😀{0,1500}"];
    let words = prop::collection::vec(text, 6);
    let which = 0..samples::all().len();
    (which, words, any::<bool>()).prop_map(|(which, words, has_log)| {
        let mut record = samples::all().swap_remove(which);
        let mut words = words.into_iter().map(|text| text.chars().take(2000).collect::<String>());
        let mut next = || words.next().unwrap_or_default();
        record.text = next();
        record.advice = Some(next());
        record.reason = record.reason.map(|_| next().chars().take(160).collect());
        record.log = has_log.then(&mut next);
        record.changed_by = Some(next());
        record.host = next();
        record.service = Some("s".repeat(253));
        record
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_record_is_more_than_a_receiver_takes(record in any_record()) {
        CHAT.iter().for_each(|kind| check(*kind, std::slice::from_ref(&record)));
    }

    #[test]
    fn no_digest_is_more_than_a_receiver_takes(
        records in prop::collection::vec(any_record(), 2..6),
        count in 2_usize..150,
    ) {
        let many: Vec<Record> = records.into_iter().cycle().take(count).collect();
        for kind in CHAT {
            let size = kind.digest_size(&many);
            prop_assert!(size >= 1);
            check(kind, &many[..size]);
        }
    }
}

/// Nothing that failed is left out, whatever the receiver.
#[test]
fn a_thousand_failures_with_long_reasons_are_less_than_twenty_messages_for_each_receiver() {
    let failure = samples::all().remove(1);
    let reason = Some("a_host@b_c cannot_be_reached@d_e ".chars().cycle().take(160).collect());
    let failure = Record { reason, ..failure };
    let named = |n: usize| Record { service: Some(format!("svc-{n}")), ..failure.clone() };
    let records: Vec<Record> = (1..=1000).map(named).collect();
    for kind in CHAT {
        let (mut rest, mut bodies) = (&records[..], Vec::new());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(kind.digest_size(rest));
            check(kind, now);
            bodies.push(kind.body(now));
            rest = later;
        }
        assert!(bodies.len() <= 19, "{}: {}", kind.name(), bodies.len());
        let all = bodies.concat();
        for n in 1..=1000 {
            let named = all.contains(&format!("svc-{n} (prod)"));
            assert!(named, "{}: svc-{n}", kind.name());
        }
    }
}

#[test]
fn names_of_receivers_are_those_of_the_settings() {
    let names = KINDS.map(Kind::name);
    assert_eq!(names, ["slack", "teams", "discord", "webhook", "command", "events"]);
}
