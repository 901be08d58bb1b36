//! Text of unknown origin, made fit to be shown to a person: in the log, by `depd check`, in a message.
//!
//! File names, contents of files and answers of servers can hold anything: control characters steer
//! a terminal, marks that turn the writing direction make one name look like another, and what is
//! invisible hides a difference. Whoever repeats such text passes it through here, and nowhere else
//! is decided what is fit to be seen. Nothing is dropped, so that two texts that differ are never
//! shown as one.
//!
//! What counts as printable is what [`char::escape_debug`] does not escape (Unicode's categories of
//! control, format, unassigned, private and separator characters), less the letters and signs that
//! are blank by definition (`Default_Ignorable_Code_Point` of Unicode's `DerivedCoreProperties.txt`,
//! and the blank Braille pattern).

use std::ffi::OsStr;

/// The text with everything that cannot be seen, or steers what shows it, as `\u{…}`. In one line:
/// line breaks and tabs are escaped too.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut base = false;
    for c in text.chars() {
        let shown = is_printable(c) || (base && combines(c));
        if shown {
            out.push(c)
        } else {
            out.extend(c.escape_unicode())
        }
        base = shown && c != ' ';
    }
    out
}

/// A path or the name of a file, printable; bytes that are not UTF-8 become `\u{fffd}`.
#[must_use]
pub fn shown(path: impl AsRef<OsStr>) -> String {
    let text = path.as_ref().to_string_lossy();
    printable(&text).replace('\u{fffd}', "\\u{fffd}")
}

/// Whether the character is visible by itself and leaves what surrounds it alone. A space is; an
/// accent that only a letter before it makes visible is not.
#[must_use]
pub fn is_printable(c: char) -> bool {
    let quoted = matches!(c, '"' | '\'' | '\\');
    c.is_ascii_graphic() || c == ' ' || quoted || (c.escape_debug().count() == 1 && !is_blank(c))
}

/// An accent or vowel sign, visible on the letter before it.
fn combines(c: char) -> bool {
    // Of a string, only the first character is escaped for being an accent.
    !is_blank(c) && String::from_iter(['a', c]).escape_debug().count() == 2
}

/// Of no width or without ink, although it counts as a letter, an accent or a symbol.
fn is_blank(c: char) -> bool {
    matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{is_printable, printable, shown};
    use crate::model::fixture::{any_text, is_harmful};

    fn check(text: &str, expect: &str) {
        assert_eq!(printable(text), expect);
    }

    #[test]
    fn what_can_be_seen_is_left_as_it_is() {
        for text in [
            "",
            "nginx:1.25 \"x\" 'y' \\z",
            "größe → ok …",
            "データ 수",
            "e\u{301}te\u{301}",
            "शिव",
            "שלום",
            "😀",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn what_cannot_be_seen_or_steers_is_escaped() {
        check("a\u{1b}[2Jb\nc\td\0", "a\\u{1b}[2Jb\\u{a}c\\u{9}d\\u{0}");
        check("gpj.\u{202e}exe\u{2066}\u{61c}", "gpj.\\u{202e}exe\\u{2066}\\u{61c}");
        check("a\u{200b}b\u{feff}c\u{ad}", "a\\u{200b}b\\u{feff}c\\u{ad}");
        check("a\u{a0}b\u{3000}c\u{2028}", "a\\u{a0}b\\u{3000}c\\u{2028}");
        check("a\u{3164}\u{115f}\u{2800}", "a\\u{3164}\\u{115f}\\u{2800}");
        check("a\u{fe0f}\u{34f}\u{e0041}", "a\\u{fe0f}\\u{34f}\\u{e0041}");
        check("\u{301}a \u{301}", "\\u{301}a \\u{301}");
        check("\u{e000}\u{fffe}\u{9b}31m", "\\u{e000}\\u{fffe}\\u{9b}31m");
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_shown_as_one() {
        use std::os::unix::ffi::OsStrExt as _;
        let name = std::ffi::OsStr::from_bytes(b"a\xff\x1bb");
        assert_eq!(shown(name), "a\\u{fffd}\\u{1b}b");
    }

    /// Each character that Unicode lists as turning or steering, or as not to be seen.
    #[test]
    fn no_harmful_character_is_printable() {
        let passed: Vec<char> =
            ('\0'..=char::MAX).filter(|c| is_harmful(*c) && is_printable(*c)).collect();
        assert_eq!(passed, []);
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left_of_any_text(text in any_text()) {
            let once = printable(&text);
            prop_assert!(!once.contains(is_harmful), "{once:?}");
            prop_assert_eq!(printable(&once), once);
        }
    }
}
