//! Text that came from a server, made fit for a log line. `[C]`

use std::borrow::Cow;

use crate::model::printable;

/// Bytes kept of a message that a server sent.
const KEPT_BYTES: usize = 1024;

/// What stands in the place of a credential.
pub(super) const REDACTED: &str = "[redacted]";

/// Shorter than any JSON Web Token.
const SHORT_TOKEN_BYTES: usize = 20;

/// How a JSON Web Token begins, and one of `aws eks get-token`.
const TOKENS: [&str; 2] = ["eyJ", "k8s-aws-v1."];

/// The text in one line, without control characters and credentials, and at most 1 KiB long.
///
/// Servers, and whatever stands between them and us, send what they like: line breaks and terminal
/// escapes must not reach a log, a page of HTML must not fill it, and a proxy may quote the request
/// with its credentials. Marks that turn the direction of writing around are taken out as well; what
/// else cannot be seen is shown as [`printable`] has it.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(KEPT_BYTES + 4));
    let mut announced = false;
    for word in text.split_whitespace() {
        let shown = redact(word, announced);
        announced = announces(word);
        let gap = if out.is_empty() { None } else { Some(' ') };
        let shown = printable(&shown.chars().filter(|c| is_plain(*c)).collect::<String>());
        for c in gap.into_iter().chain(shown.chars()) {
            if out.len() + c.len_utf8() > KEPT_BYTES {
                out.push('…');
                return out;
            }
            out.push(c);
        }
    }
    out
}

/// Whether it can be the value of a header of HTTP, as Go judges it.
pub(super) fn fits_header(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t')
}

fn is_plain(c: char) -> bool {
    let turning = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !c.is_control() && !turning
}

/// The next word is a credential: the scheme of an `Authorization` header.
fn announces(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word.ends_with("bearer") || word.ends_with("basic")
}

/// The word without a credential in it. After the name of a scheme everything but an ordinary word
/// counts as one; [`TOKENS`] and the user of a URL are found anywhere.
fn redact(word: &str, announced: bool) -> Cow<'_, str> {
    let quiet = word.trim_matches(|c: char| c.is_ascii_punctuation() && !"=+/-_".contains(c));
    if announced && !quiet.is_empty() && !quiet.chars().all(|c| c.is_ascii_lowercase()) {
        return word.replace(quiet, REDACTED).into();
    }
    if let Some(start) = TOKENS.iter().find_map(|prefix| word.find(prefix)) {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
        let rest = &word[start..];
        let end = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
        if end >= SHORT_TOKEN_BYTES {
            return format!("{}{REDACTED}{}", &word[..start], &rest[end..]).into();
        }
    }
    if let Some((scheme, rest)) = word.split_once("://") {
        let authority = rest.split('/').next().unwrap_or_default();
        if let Some(at) = authority.rfind('@') {
            return format!("{scheme}://{REDACTED}{}", &rest[at..]).into();
        }
    }
    word.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: &str) {
        assert_eq!(plain(input), expect);
    }

    #[test]
    fn one_line_without_control_characters_is_left() {
        check("all is well", "all is well");
        check("  two\nlines\r\n", "two lines");
        check("red \u{1b}[31mtext\u{7}", "red [31mtext");
        check("turned \u{202e}around", "turned around");
        check("one\u{2028}two\u{85}three", "one two three");
        check("a\u{200b}b\u{3164}c", "a\\u{200b}b\\u{3164}c");
        check("é stays é", "é stays é");
        check("", "");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let cut = plain(&"é".repeat(2000));
        assert!(cut.len() <= KEPT_BYTES + '…'.len_utf8());
        assert!(cut.ends_with("é…"));
    }

    #[test]
    fn credentials_that_a_server_quotes_are_taken_out() {
        check("Authorization: Bearer canary-1 is bad", "Authorization: Bearer [redacted] is bad");
        check(r#"{"authorization":"Basic YW5uOnB3"}"#, r#"{"authorization":"Basic [redacted]"}"#);
        check("token eyJhbGciOiJSUzI1NiJ9.e30.c2ln, sorry", "token [redacted], sorry");
        check("got k8s-aws-v1.aHR0cHM6Ly9zdHM.", "got [redacted]");
        check("via http://ann:pw@proxy:3128/x", "via http://[redacted]@proxy:3128/x");
        check("basic authentication is off", "basic authentication is off");
        check("mail ann@example.org", "mail ann@example.org");
        check("see https://example.org/@x", "see https://example.org/@x");
    }
}
