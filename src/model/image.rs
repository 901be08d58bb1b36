//! An image reference by the OCI grammar, compared by meaning and shown as written.
//!
//! The grammar is that of the OCI distribution specification ("Pulling manifests") together with
//! the defaults every container runtime adds: no registry means `docker.io`, and a single name
//! there lies in `library`. Only the text is kept; its parts are cut out when somebody asks, which
//! the validation made safe.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::service_key::describe;

/// Longest repository that runtimes accept: the path, without the registry, `library/` counted.
const NAME_MAX: usize = 255;
/// Longest tag.
const TAG_MAX: usize = 128;
/// The registry that is meant when none is named.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where a single name lies in that registry.
const OFFICIAL: &str = "library/";

/// A parsed image reference that carries a tag or a digest.
///
/// Two images are equal when they name the same thing: `nginx:1.25` equals
/// `docker.io/library/nginx:1.25`. Cheap to clone: the text is shared.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Image {
    text: Arc<str>,
}

/// Why a text is not an image reference; a lowercase fragment that says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageProblem {
    /// Byte offset of the first character that does not fit.
    pub at: usize,
    /// What is wrong and what to write.
    pub text: String,
}

/// A reference cut at its punctuation; nothing is checked yet.
struct Cut<'a> {
    registry: Option<&'a str>,
    path: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Cut<'a> {
    fn registry(&self) -> &'a str {
        match self.registry {
            None | Some("index.docker.io") => DEFAULT_REGISTRY,
            Some(registry) => registry,
        }
    }

    /// Whether it is one of Docker's official images, which need no `library/` written.
    fn is_official(&self) -> bool {
        self.registry() == DEFAULT_REGISTRY && !self.path.contains('/')
    }
}

impl Image {
    /// Parses a full reference.
    ///
    /// # Errors
    /// Says where the text leaves the grammar and what was expected there.
    pub fn parse(text: &str) -> Result<Image, ImageProblem> {
        check_shape(text)?;
        let cut = cut(text);
        let offset = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
        if let Some(registry) = cut.registry {
            check_registry(registry)?;
        }
        check_path(text, cut.path, offset(cut.path))?;
        check_length(&cut, offset(cut.path))?;
        if let Some(tag) = cut.tag {
            check_tag(tag, offset(tag))?;
        }
        if let Some(digest) = cut.digest {
            check_digest(digest, offset(digest))?;
        }
        if cut.tag.is_none() && cut.digest.is_none() {
            return refuse(
                text.len(),
                format!("no tag: write {text}:latest, or better the version that is meant"),
            );
        }
        Ok(Image { text: text.into() })
    }

    /// As it was written, and as it is sent to the cluster.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The registry's host and port; `docker.io` where the text names none.
    #[must_use]
    pub fn registry(&self) -> &str {
        cut(&self.text).registry()
    }

    /// The repository in that registry: `library/nginx` for a plain `nginx`.
    #[must_use]
    pub fn repository(&self) -> Cow<'_, str> {
        let cut = cut(&self.text);
        if cut.is_official() {
            Cow::Owned(format!("{OFFICIAL}{}", cut.path))
        } else {
            Cow::Borrowed(cut.path)
        }
    }

    /// The tag, without its colon.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        cut(&self.text).tag
    }

    /// The digest, algorithm included: `sha256:…`.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        cut(&self.text).digest
    }

    /// Whether the text names its registry itself, so that no prefix may be put in front.
    pub(crate) fn names_registry(text: &str) -> bool {
        cut(text).registry.is_some()
    }

    fn meaning(&self) -> (&str, Cow<'_, str>, Option<&str>, Option<&str>) {
        (self.registry(), self.repository(), self.tag(), self.digest())
    }
}

/// Checks a registry and an optional repository without tag or digest, as a prefix for images.
pub(crate) fn check_prefix(text: &str) -> Result<(), ImageProblem> {
    check_shape(text)?;
    let (registry, path) = match text.split_once('/') {
        Some((registry, path)) => (registry, Some(path)),
        None => (text, None),
    };
    check_registry(registry)?;
    path.map_or(Ok(()), |path| check_path(text, path, registry.len() + 1))
}

/// Cuts as the runtimes do: the digest after `@`, the tag after the last colon that no slash
/// follows, and the first component as registry if it looks like a host.
fn cut(text: &str) -> Cut<'_> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains(['/', ']']) => (name, Some(tag)),
        _ => (rest, None),
    };
    match name.split_once('/') {
        Some((host, path)) if is_host(host) => Cut { registry: Some(host), path, tag, digest },
        _ => Cut { registry: None, path: name, tag, digest },
    }
}

/// A first component is a host if it has a dot, a port, a capital letter, or is `localhost`.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':'])
        || first == "localhost"
        || first.contains(|c: char| c.is_ascii_uppercase())
}

fn refuse<T>(at: usize, text: impl Into<String>) -> Result<T, ImageProblem> {
    Err(ImageProblem { at, text: text.into() })
}

/// What people write by habit and no grammar explains well: quotes, a URL, spaces, nothing.
fn check_shape(text: &str) -> Result<(), ImageProblem> {
    if text.is_empty() {
        return refuse(0, "an image is missing here");
    }
    let odd = |c: char| !c.is_ascii_graphic();
    if let Some((at, c)) = text.char_indices().find(|(_, c)| odd(*c)) {
        return refuse(at, format!("{} is not allowed in an image", describe(c)));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return refuse(0, format!("an image is not a URL: leave out {scheme}:// and write {rest}"));
    }
    if text.starts_with(['"', '\'', '`']) {
        return refuse(0, "an image is written without quotes");
    }
    Ok(())
}

fn check_length(cut: &Cut<'_>, offset: usize) -> Result<(), ImageProblem> {
    let added = if cut.is_official() { OFFICIAL.len() } else { 0 };
    let length = added + cut.path.len();
    if length <= NAME_MAX {
        return Ok(());
    }
    let counted = if added > 0 { ", counted with library/ before it," } else { "" };
    refuse(
        offset + NAME_MAX - added,
        format!(
            "the image name has {length} characters{counted} and at most {NAME_MAX} are allowed"
        ),
    )
}

fn check_registry(registry: &str) -> Result<(), ImageProblem> {
    let (host, port) = match registry.rfind(':') {
        Some(colon) if !registry[colon..].contains(']') => {
            (&registry[..colon], Some(&registry[colon + 1..]))
        }
        _ => (registry, None),
    };
    if let Some(port) = port
        && (port.starts_with('+') || port.parse::<u16>().is_err())
    {
        return refuse(host.len() + 1, "a registry's port is a number from 0 to 65535");
    }
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        // The grammar has no room for the form that ends in dots and decimals.
        return match address.parse::<std::net::Ipv6Addr>() {
            Ok(_) if !address.contains('.') => Ok(()),
            _ => refuse(
                1,
                "between brackets stands an IPv6 address, in colons and hexadecimal digits",
            ),
        };
    }
    if let Some((at, c)) =
        host.char_indices().find(|(_, c)| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-'))
    {
        return refuse(at, format!("{} is not allowed in a registry's name", describe(c)));
    }
    let bad = |label: &str| label.is_empty() || label.starts_with('-') || label.ends_with('-');
    if host.split('.').any(bad) {
        return refuse(0, "the parts of a registry's name begin and end with a letter or digit");
    }
    Ok(())
}

/// Components of lowercase letters and digits, with `.`, `_`, `__` or hyphens between them. The path
/// lies at `offset` in `text`.
fn check_path(text: &str, path: &str, offset: usize) -> Result<(), ImageProblem> {
    let mut at = offset;
    for component in path.split('/') {
        if let Some((i, c)) = component
            .char_indices()
            .find(|(_, c)| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-'))
        {
            let fix = match c {
                'A'..='Z' => {
                    let (before, after) = (&text[..offset], &text[offset + path.len()..]);
                    format!(": write {before}{}{after}", path.to_ascii_lowercase())
                }
                ':' => ": a colon stands only once, before the tag".into(),
                _ => String::new(),
            };
            return refuse(at + i, format!("{} is not allowed in an image name{fix}", describe(c)));
        }
        if component.is_empty() {
            let what = if path.is_empty() {
                "the image name is missing"
            } else {
                "a part of the image name is empty"
            };
            return refuse(at, what);
        }
        check_separators(component, at)?;
        at += component.len() + 1;
    }
    Ok(())
}

fn check_separators(component: &str, at: usize) -> Result<(), ImageProblem> {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !component.starts_with(alphanumeric) || !component.ends_with(alphanumeric) {
        return refuse(at, format!("{component} must begin and end with a letter or digit"));
    }
    let between = component.split(alphanumeric).filter(|s| !s.is_empty());
    for separator in between {
        let fits = matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-');
        if !fits {
            let i = component.find(separator).unwrap_or(0);
            return refuse(
                at + i,
                format!("{separator} cannot stand between letters of an image name"),
            );
        }
    }
    Ok(())
}

fn check_tag(tag: &str, at: usize) -> Result<(), ImageProblem> {
    if tag.is_empty() {
        return refuse(at, "the tag after the colon is missing");
    }
    if let Some((i, c)) = tag
        .char_indices()
        .find(|(_, c)| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-'))
    {
        return refuse(at + i, format!("{} is not allowed in a tag", describe(c)));
    }
    if tag.starts_with(['.', '-']) {
        return refuse(at, "a tag begins with a letter, a digit or an underscore");
    }
    if tag.len() > TAG_MAX {
        return refuse(
            at + TAG_MAX,
            format!("the tag has {} characters, and at most {TAG_MAX} are allowed", tag.len()),
        );
    }
    Ok(())
}

/// The registered algorithms, each with its exact number of lowercase hexadecimal digits.
fn check_digest(digest: &str, at: usize) -> Result<(), ImageProblem> {
    let (algorithm, hex) = digest.split_once(':').unwrap_or((digest, ""));
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return refuse(at, "after @ stands a digest: sha256: and 64 hexadecimal digits"),
    };
    // Where the digits begin, or where they are missing.
    let start = at + digest.len() - hex.len();
    if let Some((i, c)) = hex.char_indices().find(|(_, c)| !matches!(c, '0'..='9' | 'a'..='f')) {
        return refuse(start + i, format!("{} is not a lowercase hexadecimal digit", describe(c)));
    }
    if hex.len() != length {
        return refuse(
            start,
            format!("a {algorithm} digest has {length} hexadecimal digits, here are {}", hex.len()),
        );
    }
    Ok(())
}

impl PartialEq for Image {
    fn eq(&self, other: &Image) -> bool {
        self.text == other.text || self.meaning() == other.meaning()
    }
}

impl Eq for Image {}

impl TryFrom<String> for Image {
    type Error = ImageProblem;

    fn try_from(text: String) -> Result<Image, ImageProblem> {
        Image::parse(&text)
    }
}

impl From<Image> for String {
    fn from(image: Image) -> String {
        image.text.as_ref().to_owned()
    }
}

impl Hash for Image {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.meaning().hash(state);
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for ImageProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ImageProblem {}

#[cfg(test)]
mod tests;
