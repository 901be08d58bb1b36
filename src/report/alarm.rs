//! An alert → the sentences a person reads. `[C]`

use super::words::Words;
use crate::model::{Alert, printable};

/// Finds the words.
#[must_use]
pub fn alarm(alert: &Alert) -> Words {
    let (sentence, advice) = match alert {
        Alert::FirstStart { differing, examples } => (
            format!(
                "depd remembers nothing of this folder, or not all, and {differing} services differ \
                 from what their files ask for, have no namespace, or cannot be seen yet ({})",
                some(examples, *differing)
            ),
            "Nothing is changed. If all of them are to be rolled out, start depd with --apply-all."
                .to_owned(),
        ),
        Alert::IdentityChanged { differences } => (
            format!("this is not what depd last ran with: {}", printable(&differences.join("; "))),
            "Nothing is changed. If that is meant to be, start depd with --accept-change."
                .to_owned(),
        ),
        Alert::FilesGone { gone, examples } => (
            format!(
                "the folder has no file any more of {gone} {} that depd looks after ({})",
                if *gone == 1 { "service" } else { "services" },
                some(examples, *gone)
            ),
            "Nothing is changed, and depd goes on by itself when the files are there again: see that \
             the folder is mounted and filled. If they were removed on purpose, start depd with \
             --accept-change."
                .to_owned(),
        ),
        Alert::StalePullSecrets { namespaces, why } => {
            return Words {
                title: "Pull secrets are not renewed",
                sentence: format!("in {namespaces} namespaces: {}", printable(why)),
                advice: Some(
                    "New pods can pull from ECR until 12 hours after the last renewal. depd goes on \
                     trying; see what it says, and mend it."
                        .to_owned(),
                ),
                log_tail: None,
            };
        }
        Alert::Halted { failures } => (
            format!("{failures} rollouts failed in a row"),
            "No further rollout is started. When the cause is found, go on with: depd resume --all"
                .to_owned(),
        ),
    };
    Words { title: "Everything is held", sentence, advice: Some(advice), log_tail: None }
}

/// These of so many keys.
fn some(examples: &[String], all: usize) -> String {
    let more = if examples.len() < all { ", …" } else { "" };
    format!("{}{more}", printable(&examples.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_says_what_to_do() {
        let alerts = [
            Alert::FirstStart {
                differing: 40,
                examples: vec!["web_prod".into(), "api_prod".into()],
            },
            Alert::IdentityChanged {
                differences: vec!["the cluster was prod (1a), and is qa (2b)".into()],
            },
            Alert::FilesGone { gone: 40, examples: vec!["web_prod".into(), "api_prod".into()] },
            Alert::FilesGone { gone: 1, examples: vec!["web_prod".into()] },
            Alert::Halted { failures: 5 },
            Alert::StalePullSecrets { namespaces: 2, why: "cannot get a token for ECR".into() },
        ];
        let text: Vec<String> = alerts
            .iter()
            .map(alarm)
            .map(|w| format!("{}: {}. {}", w.title, w.sentence, w.advice.unwrap_or_default()))
            .collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
