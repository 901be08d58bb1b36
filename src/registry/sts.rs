//! Roles: the Security Token Service makes sessions of other credentials. `[E]`
//!
//! Facts: `AssumeRole` (signed) and `AssumeRoleWithWebIdentity` (not signed: the token is the proof) in the
//! STS API reference.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use ureq::http::Uri;

use super::answer::{self, AwsError};
use super::endpoint::Endpoint;
use super::http::{Ask, Http, Send};
use super::profile::{Role, WebIdentity};
use super::sigv4::{self, Credentials, Scope, ToSign};

/// For one request.
const LIMIT: Duration = Duration::from_secs(8);

/// A projected ServiceAccount token is about 1 KiB.
const TOKEN_BYTES: usize = 20_000;

/// Takes a role with the token of an identity provider.
///
/// # Errors
/// A fragment that says what went wrong and what to do.
pub(super) fn with_web_identity(
    http: &Http,
    endpoint: &Endpoint,
    identity: &WebIdentity,
) -> Result<Credentials, String> {
    let file = &identity.token_file;
    let token = fs::read_to_string(file).map_err(|e| format!("{file} cannot be read: {e}"))?;
    let token = token.trim();
    if token.is_empty() || token.len() > TOKEN_BYTES {
        return Err(format!("{file} holds no token"));
    }
    let body = form(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", &identity.role_arn),
        ("RoleSessionName", &identity.session_name),
        ("WebIdentityToken", token),
    ]);
    ask(http, endpoint, &body, Proof::Token(token))
}

/// Takes a role with other credentials.
///
/// # Errors
/// A fragment that says what went wrong and what to do.
pub(super) fn with_credentials(
    http: &Http,
    endpoint: &Endpoint,
    role: &Role,
    base: &Credentials,
) -> Result<Credentials, String> {
    let mut pairs = vec![
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", &*role.arn),
        ("RoleSessionName", &*role.session_name),
    ];
    pairs.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
    ask(http, endpoint, &form(&pairs), Proof::Signature(base))
}

/// What shows who asks.
enum Proof<'a> {
    /// It is part of the body.
    Token(&'a str),
    Signature(&'a Credentials),
}

fn ask(
    http: &Http,
    endpoint: &Endpoint,
    body: &str,
    proof: Proof<'_>,
) -> Result<Credentials, String> {
    let form = ("content-type", "application/x-www-form-urlencoded");
    let url = format!("{}/", endpoint.url);
    let reply = match proof {
        Proof::Token(token) => {
            let (send, hidden) = (Some(Send::Post(body.as_bytes())), Some(token));
            http.send(Ask { url: &url, headers: &[form], send, hidden, limit: LIMIT })
        }
        Proof::Signature(signer) => {
            let scope = Scope { region: &endpoint.region, service: "sts", at: Timestamp::now() };
            signed(http, &url, &[form], body.as_bytes(), signer, scope, LIMIT)
        }
    };
    let host = endpoint.url.split("://").last().unwrap_or_default();
    let reply = reply.map_err(|why| format!("STS ({host}): {why}"))?;
    match reply.status {
        200 => answer::assumed(&reply.body).map_err(|why| format!("the answer of STS: {why}")),
        status => {
            let error = AwsError::read(status, &reply.body);
            Err(format!("STS says {error}{}", error.advice()))
        }
    }
}

/// A signed POST.
pub(super) fn signed(
    http: &Http,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    signer: &Credentials,
    scope: Scope<'_>,
    limit: Duration,
) -> Result<super::http::Reply, String> {
    let Target { host, path, query } = Target::of(url)?;
    let date = sigv4::amz_date(scope.at);
    let mut sent: Vec<(&str, &str)> = headers.to_vec();
    sent.push(("x-amz-date", &date));
    if let Some(token) = &signer.session_token {
        sent.push(("x-amz-security-token", token.expose()));
    }
    let mut to_sign = sent.clone();
    to_sign.push(("host", &host));
    let request = ToSign { method: "POST", path: &path, query: &query, headers: &to_sign, body };
    let authorization = sigv4::authorization(&request, signer, scope);
    sent.push(("authorization", &authorization));
    http.send(Ask { url, headers: &sent, send: Some(Send::Post(body)), hidden: None, limit })
}

/// What of an address the HTTP client sends, and so what is signed.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// The header `host`: without a port that is the scheme's own (RFC 9110, 4.2.3).
    host: String,
    path: String,
    query: String,
}

impl Target {
    fn of(url: &str) -> Result<Target, String> {
        let uri: Uri = url.parse().map_err(|_| "its address is not one")?;
        let authority = uri.authority().ok_or("its address names no host")?;
        let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let host = match authority.port_u16().filter(|port| *port != usual) {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        };
        let query = uri.query().unwrap_or_default().to_owned();
        Ok(Target { host, path: uri.path().to_owned(), query })
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{name}={}", sigv4::encode(value.as_bytes()));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_what_is_sent() {
        for (url, host, path, query) in [
            ("https://ecr.example.com/", "ecr.example.com", "/", ""),
            ("https://ecr.example.com:443/", "ecr.example.com", "/", ""),
            ("https://ecr.example.com:8443/", "ecr.example.com:8443", "/", ""),
            ("http://127.0.0.1:80/", "127.0.0.1", "/", ""),
            ("http://[::1]:4566/", "[::1]:4566", "/", ""),
            ("https://proxy.example.com/aws/", "proxy.example.com", "/aws/", ""),
            ("https://proxy.example.com:443/aws?a=b", "proxy.example.com", "/aws", "a=b"),
        ] {
            let (host, path, query) = (host.into(), path.into(), query.into());
            assert_eq!(Target::of(url), Ok(Target { host, path, query }), "{url}");
        }
        assert!(Target::of("/only/a/path").is_err());
    }
}
