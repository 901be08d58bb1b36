//! Texts of others without the secrets that we know ourselves. `[C]`
//!
//! A server that is in trouble, a proxy before it and a credential plugin may all repeat what they were
//! given. What merely looks like a credential is found by [`plain`]; here it is known. Whatever quotes
//! from elsewhere goes through here before it becomes part of an error.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::text::{REDACTED, plain};

/// Shorter ones would blacken ordinary words.
const SHORTEST_BYTES: usize = 7;

/// The same for a password, of which one cannot know that it is not a word.
const SHORTEST_PASSWORD_BYTES: usize = 4;

/// The secrets to look for.
#[derive(Clone, Default)]
pub(super) struct Redaction(Vec<String>);

impl Redaction {
    /// The credential of an `Authorization` header; of Basic also the password, as it was before it was
    /// encoded.
    pub(super) fn of_header(header: Option<&str>) -> Redaction {
        let mut all = Redaction::default();
        let Some(header) = header else { return all };
        let (scheme, credential) = header.split_once(' ').unwrap_or(("", header));
        all.add_of_length(credential, 1);
        if scheme.eq_ignore_ascii_case("basic")
            && let Ok(pair) = STANDARD.decode(credential)
            && let Some((_, password)) = String::from_utf8_lossy(&pair).split_once(':')
        {
            all.add_of_length(password, SHORTEST_PASSWORD_BYTES);
        }
        all
    }

    /// A value that may be a secret; each of its lines counts.
    pub(super) fn add(&mut self, secret: &str) {
        for line in secret.lines() {
            self.add_of_length(line.trim(), SHORTEST_BYTES);
        }
    }

    fn add_of_length(&mut self, secret: &str, least: usize) {
        if secret.len() < least {
            return;
        }
        // As a JSON text shows it.
        let quoted = serde_json::Value::from(secret).to_string();
        let escaped = quoted.trim_matches('"').to_owned();
        if escaped != secret {
            self.0.push(escaped);
        }
        self.0.push(secret.to_owned());
        // One may be a part of another.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// The text without them.
    pub(super) fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
    }
}

/// Why JSON cannot be read, without the text at fault, which may be anything, a secret too.
pub(super) fn unreadable(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let between = |open: &str, close: &str| {
        let (before, rest) = text.split_once(open)?;
        let (_, after) = rest.rsplit_once(close)?;
        Some(format!("{before}{open}…{close}{after}"))
    };
    let hidden = between("string \"", "\", expected")
        .or_else(|| between("unknown variant `", "`, expected"))
        .or_else(|| between("unknown field `", "`, expected"));
    plain(&hidden.unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_taken_out_in_each_form_in_which_it_may_come_back() {
        let check = |header: &str, text: &str, expect: &str| {
            assert_eq!(Redaction::of_header(Some(header)).apply(text), expect);
        };
        check("Bearer t0ken", "a=t0ken&b", "a=[redacted]&b");
        let basic = format!("Basic {}", STANDARD.encode("ann:canary\"password"));
        check(&basic, "ann:canary\"password is wrong", "ann:[redacted] is wrong");
        check(&basic, r#"{"m":"ann:canary\"password"}"#, r#"{"m":"ann:[redacted]"}"#);
        check(&basic, &format!("x {basic}"), "x Basic [redacted]");
        check("Bearer ", "all is well", "all is well");
        assert_eq!(Redaction::of_header(None).apply("all is well"), "all is well");
    }

    #[test]
    fn the_longer_of_two_goes_first_and_short_ones_stay() {
        let mut all = Redaction::default();
        ["a-secret", "a-secret-too", "short", "one-line\n  -other-line"]
            .iter()
            .for_each(|secret| all.add(secret));
        assert_eq!(
            all.apply("a-secret-too, a-secret, short, -other-line, one-line"),
            "[redacted], [redacted], short, [redacted], [redacted]"
        );
    }

    #[test]
    fn the_text_that_made_json_unreadable_is_not_quoted() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "lowercase", deny_unknown_fields)]
        #[expect(dead_code, reason = "only read")]
        enum Word {
            One,
            Two(u8),
        }
        let check = |json: &str, expect: &str| {
            let error = serde_json::from_str::<Vec<Word>>(json).unwrap_err();
            let text = unreadable(&error);
            assert!(text.contains(expect) && !text.contains("canary"), "{text}");
        };
        check(r#""canary-token""#, "invalid type: string \"…\", expected a sequence at line 1");
        check(r#""canary\", expected canary""#, "invalid type: string \"…\", expected a sequence");
        check(r#"["canary` canary"]"#, "unknown variant `…`, expected `one` or `two`");
        check(r#"[{"two": "canary"}]"#, "invalid type: string \"…\", expected u8");
        check("[canary", "expected value at line 1 column 2");
    }
}
