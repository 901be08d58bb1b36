//! Cutting text to what a receiver takes. `[C]`
//!
//! A length is counted in UTF-16 units, which is what the receivers' own limits count at most.

/// The length of a text as receivers count it.
#[must_use]
pub fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The beginning of `text`; what is missing shows as `…`.
#[must_use]
pub fn cut(text: &str, limit: usize) -> String {
    fit(text, limit, |c, out| out.push(c))
}

/// The end of `text`, which is where a log explains; what is missing shows as `…`.
#[must_use]
pub fn cut_front(text: &str, limit: usize) -> String {
    if length(text) <= limit {
        return text.to_owned();
    }
    let mut room = limit.saturating_sub(1);
    let fits = |c: &char| match room.checked_sub(c.len_utf16()) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    let tail: Vec<char> = text.chars().rev().take_while(fits).collect();
    std::iter::once('…').chain(tail.into_iter().rev()).collect()
}

/// `text` with each character written by `escape`, as much of it as fits whole into `limit`; what is
/// missing shows as `…`.
#[must_use]
pub fn fit(text: &str, limit: usize, mut escape: impl FnMut(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut used, mut last_fit) = (0, 0);
    for c in text.chars() {
        let before = out.len();
        escape(c, &mut out);
        used += length(&out[before..]);
        if used > limit {
            out.truncate(last_fit);
            out.push('…');
            return out;
        }
        if used < limit {
            last_fit = out.len();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_shown_as_cut() {
        for (text, begin, end) in [
            ("", "", ""),
            ("abcd", "abcd", "abcd"),
            ("abcde", "abc…", "…cde"),
            ("äöüßé", "äöü…", "…üßé"),
            ("😀😀😀", "😀…", "…😀"),
        ] {
            assert_eq!((cut(text, 4).as_str(), cut_front(text, 4).as_str()), (begin, end));
        }
        assert_eq!(cut("ab", 0), "…");
    }

    #[test]
    fn an_escape_is_never_cut_in_two() {
        let escape = |c: char, out: &mut String| match c {
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        };
        assert_eq!(fit("a&b", 7, escape), "a&amp;b");
        assert_eq!(fit("a&bc", 7, escape), "a&amp;…");
        assert_eq!(fit("a&b", 6, escape), "a…");
    }
}
