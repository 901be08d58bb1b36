//! The content of a dep file: one image, or `container=image` lines.

use crate::model::{
    Image, ImageProblem, ImageSet, Problem, ServiceKey, check_label, describe, printable,
};

use super::ecr::ImageRules;

/// The most bytes that a dep file may have.
pub const CONTENT_MAX: usize = 4096;

/// What a complete, valid dep file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// It asks for these images.
    Images(ImageSet),
    /// It asks for nothing: no bytes, or only blank lines and comments.
    Empty,
}

/// Reads the content of the dep file of `key`.
///
/// # Errors
/// The first problem, with its line and column.
pub fn parse_content(
    bytes: &[u8],
    key: &ServiceKey,
    rules: &ImageRules,
) -> Result<Content, Problem> {
    let text = decode(bytes)?;
    let mut found = Found { single: None, named: Vec::new() };
    for (number, line) in (1u32..).zip(text.split('\n')) {
        let line = Line { number, text: line };
        found.take(&line, key, rules).map_err(|fault| fault.at(&line))?;
    }
    Ok(match found {
        Found { single: Some(image), .. } => Content::Images(ImageSet::Single(image)),
        Found { named, .. } if !named.is_empty() => {
            Content::Images(ImageSet::Named(named.into_iter().map(|(c, i, _)| (c, i)).collect()))
        }
        _ => Content::Empty,
    })
}

/// What the lines so far asked for; of the two at most one is filled.
struct Found {
    single: Option<Image>,
    named: Vec<(Box<str>, Image, u32)>,
}

struct Line<'a> {
    number: u32,
    text: &'a str,
}

/// A problem at a byte of a line.
struct Fault {
    at: usize,
    text: String,
}

impl Found {
    fn take(&mut self, line: &Line<'_>, key: &ServiceKey, rules: &ImageRules) -> Result<(), Fault> {
        let said = without_comment(line.text);
        if let Some((at, c)) = said.char_indices().find(|(_, c)| c.is_control() && *c != '\t') {
            return Err(Fault {
                at: line.offset(said) + at,
                text: format!("{} is not allowed here", describe(c)),
            });
        }
        match said.split_once('=') {
            _ if said.is_empty() => Ok(()),
            Some((container, image)) => {
                self.take_named(line, (container.trim(), image.trim()), key, rules)
            }
            None => self.take_single(line, said, key, rules),
        }
    }

    fn take_single(
        &mut self,
        line: &Line<'_>,
        text: &str,
        key: &ServiceKey,
        rules: &ImageRules,
    ) -> Result<(), Fault> {
        let at = line.offset(text);
        let image = rules.resolve(text, key).map_err(|p| explain(p, at, text))?;
        if self.single.is_some() || !self.named.is_empty() {
            let text = "only one image without a container name is allowed: for several containers write container=image lines";
            return Err(Fault { at, text: text.into() });
        }
        self.single = Some(image);
        Ok(())
    }

    fn take_named(
        &mut self,
        line: &Line<'_>,
        (container, text): (&str, &str),
        key: &ServiceKey,
        rules: &ImageRules,
    ) -> Result<(), Fault> {
        let at = line.offset(container);
        check_label(container, "container").map_err(|p| Fault { at, text: p.0 })?;
        let image = rules.resolve(text, key).map_err(|p| explain(p, line.offset(text), text))?;
        if self.single.is_some() {
            let text =
                "an image without a container name stands above: write container=image there too";
            return Err(Fault { at, text: text.into() });
        }
        if let Some((_, _, first)) = self.named.iter().find(|(c, _, _)| &**c == container) {
            return Err(Fault {
                at,
                text: format!("container {container} is already named in line {first}"),
            });
        }
        self.named.push((container.into(), image, line.number));
        Ok(())
    }
}

impl Line<'_> {
    /// Where a part of this line begins, in bytes.
    fn offset(&self, part: &str) -> usize {
        (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize).min(self.text.len())
    }
}

impl Fault {
    fn at(self, line: &Line<'_>) -> Problem {
        let column = line.text.get(..self.at).map_or(self.at, |before| before.chars().count());
        Problem {
            place: Some((line.number, u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1))),
            text: self.text,
        }
    }
}

/// An image problem at its place in the line; of `word: text` it says what is meant, as far as that
/// shows: a line of a manifest, an image with a space before its tag, or a container and its image.
fn explain(problem: ImageProblem, offset: usize, text: &str) -> Fault {
    let yaml = text
        .split_once(':')
        .filter(|(c, rest)| rest.starts_with([' ', '\t']) && check_label(c, "container").is_ok());
    match yaml {
        Some((word, rest)) => {
            let rest = printable(rest.trim());
            let (at, text) = if word == "image" {
                (0, format!("the image stands alone, without image: write {rest}"))
            } else if rest.contains([':', '/', '@']) {
                let write = format!("write {word}={rest}");
                (word.len(), format!("between container and image stands =: {write}"))
            } else {
                let write = format!("write {word}:{rest}");
                (word.len() + 1, format!("a space is not allowed in an image: {write}"))
            };
            Fault { at: offset + at, text }
        }
        _ => Fault { at: offset + problem.at, text: problem.text },
    }
}

/// The line without surrounding white space and without its comment, which starts at a `#` that
/// begins the line or follows white space.
fn without_comment(line: &str) -> &str {
    let begins =
        |&(at, _): &(usize, &str)| line[..at].chars().next_back().is_none_or(char::is_whitespace);
    let end = line.match_indices('#').find(begins).map_or(line.len(), |(at, _)| at);
    line[..end].trim()
}

/// Bytes to text: UTF-8, a byte order mark is skipped.
fn decode(bytes: &[u8]) -> Result<&str, Problem> {
    let whole = |text: String| Err(Problem { place: None, text });
    if bytes.len() > CONTENT_MAX {
        return whole(format!(
            "larger than {CONTENT_MAX} bytes: a dep file holds an image or a few container=image lines"
        ));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return whole(
            "the text is UTF-16: save it as UTF-8 (in PowerShell: Set-Content -Encoding ascii)"
                .into(),
        );
    }
    let bytes = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let good =
            bytes.get(..error.valid_up_to()).map(String::from_utf8_lossy).unwrap_or_default();
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let place = Some((count(line), count(column)));
        Problem { place, text: "this is not UTF-8: save the file as UTF-8 text".into() }
    })
}

#[cfg(test)]
mod tests;
