//! Text that came from a server, made fit for a log line. `[C]`

/// Bytes kept of a message that a server sent.
const KEPT_BYTES: usize = 1024;

/// The text in one line, without control characters, and at most 1 KiB long.
///
/// Servers, and whatever stands between them and us, send what they like: line breaks and terminal
/// escapes must not reach a log, and a page of HTML must not fill it. Marks that turn the direction
/// of writing around are taken out as well.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(KEPT_BYTES + 4));
    for c in text.trim().chars() {
        if out.len() + c.len_utf8() > KEPT_BYTES {
            out.push('…');
            break;
        }
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
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
        check("é stays é", "é stays é");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let cut = plain(&"é".repeat(2000));
        assert!(cut.len() <= KEPT_BYTES + '…'.len_utf8());
        assert!(cut.ends_with("é…"));
    }
}
