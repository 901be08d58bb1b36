//! Signature Version 4: how AWS knows who sent a request. `[C]`
//!
//! Pure: the time and the credentials come from the caller. Facts: "Create a signed AWS API request" in
//! the IAM user guide; checked against AWS's published test suite, against botocore and against a server
//! that refuses wrong signatures.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ring::{digest, hmac};

use crate::cluster::Secret;

/// Who signs. `Debug` shows nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// `AKIA…`, or `ASIA…` for a session.
    pub access_key_id: Secret,
    /// The key that never travels.
    pub secret_access_key: Secret,
    /// What a session adds.
    pub session_token: Option<Secret>,
    /// When they end; `None` for those that do not.
    pub expires: Option<Timestamp>,
}

/// What a signature is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// For example `eu-central-1`.
    pub region: &'a str,
    /// `ecr` or `sts`.
    pub service: &'a str,
    /// When the request is made; servers allow for five minutes.
    pub at: Timestamp,
}

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToSign<'a> {
    /// The HTTP method in capitals.
    pub method: &'a str,
    /// The path as it is sent, with its leading slash.
    pub path: &'a str,
    /// The query as it is sent, without its question mark.
    pub query: &'a str,
    /// All headers to sign: at least `host` and `x-amz-date`, and `x-amz-security-token` for a session.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// The header `x-amz-date`: `20150830T123600Z`.
#[must_use]
pub fn amz_date(at: Timestamp) -> String {
    let time = at.to_zoned(TimeZone::UTC);
    let (date, clock) = (time.date(), time.time());
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        date.year(),
        date.month(),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}

/// The header `authorization` of a request.
#[must_use]
pub fn authorization(request: &ToSign<'_>, credentials: &Credentials, scope: Scope<'_>) -> String {
    let date = amz_date(scope.at);
    let day = &date[..8];
    let Scope { region, service, .. } = scope;
    let (headers, signed) = canonical_headers(request.headers);
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{}",
        request.method,
        canonical_path(request.path),
        canonical_query(request.query),
        sha256(request.body)
    );
    let range = format!("{day}/{region}/{service}/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{range}\n{}", sha256(canonical.as_bytes()));
    let key = format!("AWS4{}", credentials.secret_access_key.expose());
    let parts = [day, region, service, "aws4_request"];
    let key = parts.iter().fold(key.into_bytes(), |key, part| keyed(&key, part.as_bytes()));
    let signature = hex(&keyed(&key, to_sign.as_bytes()));
    let id = credentials.access_key_id.expose();
    format!(
        "AWS4-HMAC-SHA256 Credential={id}/{range}, SignedHeaders={signed}, Signature={signature}"
    )
}

fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Without `.`, `..` and doubled slashes, and each segment encoded once more than it is sent.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut out = String::from("/");
    out.push_str(&segments.iter().map(|s| encode(s.as_bytes())).collect::<Vec<_>>().join("/"));
    let open = matches!(path.rsplit('/').next(), Some("" | ".")) && !segments.is_empty();
    if open {
        out.push('/');
    }
    out
}

/// Sorted by name, then by value, both encoded exactly once.
fn canonical_query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (encode(&decode(name)), encode(&decode(value)))
    };
    let mut pairs: Vec<(String, String)> = pairs.map(pair).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The lines of the headers, each ended, and their names.
fn canonical_headers(headers: &[(&str, &str)]) -> (String, String) {
    let mut merged: Vec<(String, String)> = Vec::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        match merged.iter_mut().find(|(own, _)| *own == name) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(&value);
            }
            None => merged.push((name, value)),
        }
    }
    merged.sort();
    let lines = merged.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names = merged.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(";");
    (lines, names)
}

/// Everything but the unreserved characters of RFC 3986 is escaped.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(*byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, after @ ..] if *first == b'%' => {
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit(*high).zip(digit(*low)).map(|(high, low)| (16 * high + low, after))
            }
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, tail));
        out.push(byte);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests;
