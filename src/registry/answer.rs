//! What AWS answers: credentials in their several wrappings, tokens, errors. `[C]`
//!
//! Facts: the API references of ECR (JSON 1.1) and STS (XML), and "Container credential provider", "IMDS
//! credential provider" and "Process credential provider" in the AWS SDKs and Tools Reference Guide. What
//! cannot be read is described without being quoted: it may hold a secret.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

use super::sigv4::Credentials;
use crate::cluster::Secret;
use crate::model::printable;

/// Characters kept of a message.
const MESSAGE_CHARS: usize = 300;

/// An error that AWS named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsError {
    /// For example `AccessDeniedException`.
    pub code: String,
    /// In AWS's words, cleaned and cut.
    pub message: String,
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.is_empty() {
            true => f.write_str(&self.code),
            false => write!(f, "{}: {}", self.code, self.message),
        }
    }
}

impl AwsError {
    /// The credentials are known and may not do this.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        self.code.starts_with("AccessDenied") || self.code == "UnauthorizedOperation"
    }

    /// The session has ended, so that fresh credentials may help.
    #[must_use]
    pub fn is_expiry(&self) -> bool {
        self.code.starts_with("ExpiredToken")
    }

    /// What to do about it, as the end of a sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        let clock = ["Signature expired", "Signature not yet current"];
        if self.code.starts_with("RequestExpired")
            || self.code.starts_with("RequestTimeTooSkewed")
            || clock.iter().any(|words| self.message.contains(words))
        {
            return "; correct this machine's clock";
        }
        match &*self.code {
            code if self.is_expiry() || code.contains("ExpiredToken") => {
                "; the session has ended: renew it, or give depd a role"
            }
            code if code.starts_with("UnrecognizedClient")
                || code.starts_with("InvalidClientTokenId") =>
            {
                "; AWS does not know this access key: check which one is set up"
            }
            code if code.starts_with("InvalidSignature")
                || code.starts_with("SignatureDoesNotMatch") =>
            {
                "; the secret access key does not belong to the access key"
            }
            _ if self.is_denial() => "; allow it in the policy of depd's user or role",
            _ => "",
        }
    }

    /// Reads an error, in JSON or XML; the status stands in where the body says nothing.
    #[must_use]
    pub fn read(status: u16, body: &[u8]) -> AwsError {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wire {
            __type: String,
            message: String,
            #[serde(rename = "Message")]
            capital: String,
        }
        let Ok(wire) = serde_json::from_slice::<Wire>(body) else {
            let text = String::from_utf8_lossy(body);
            let get = |tag| element(&text, tag).unwrap_or_default();
            return AwsError::new(status, &get("Code"), &get("Message"));
        };
        let code = wire.__type.rsplit('#').next().unwrap_or_default();
        let message = if wire.message.is_empty() { &wire.capital } else { &wire.message };
        AwsError::new(status, code, message)
    }

    fn new(status: u16, code: &str, message: &str) -> AwsError {
        let is_code = |c: char| c.is_ascii_alphanumeric() || c == '.';
        let code = match code.chars().all(is_code) && !code.is_empty() {
            true => code.chars().take(80).collect(),
            false => format!("status {status}"),
        };
        AwsError { code, message: plain(message) }
    }
}

/// One line of what can be seen, cut.
fn plain(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    printable(&words).chars().take(MESSAGE_CHARS).collect()
}

/// The text of the first element of that name.
fn element(xml: &str, tag: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
    let (text, _) = rest.split_once(&format!("</{tag}>"))?;
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(plain.replace("&apos;", "'").replace("&amp;", "&").trim().to_owned())
}

/// Credentials as container endpoints, the metadata service and programs give them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wire {
    version: Option<u32>,
    code: Option<String>,
    message: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    session_token: Option<String>,
    expiration: Option<String>,
}

/// Credentials from a container's endpoint or the metadata service.
///
/// # Errors
/// A fragment that says what is missing, without what was `sent` to be let in.
pub fn offered(body: &[u8], sent: &str) -> Result<Credentials, String> {
    let wire: Wire =
        serde_json::from_slice(body).map_err(|_| "it is not the JSON of credentials")?;
    if let Some(code) = wire.code.as_deref().filter(|code| *code != "Success") {
        let message = wire.message.unwrap_or_default();
        let said = format!("it says {code} {message}");
        let said = if sent.is_empty() { said } else { said.replace(sent, "[redacted]") };
        return Err(plain(&said));
    }
    let Wire { access_key_id, secret_access_key, token, expiration, .. } = wire;
    credentials(access_key_id, secret_access_key, token, expiration)
}

/// Credentials from the standard output of `credential_process`.
///
/// # Errors
/// A fragment that says what is missing.
pub fn printed(output: &[u8]) -> Result<Credentials, String> {
    let wire: Wire =
        serde_json::from_slice(output).map_err(|_| "it printed no JSON of credentials")?;
    if wire.version != Some(1) {
        return Err("it printed no \"Version\": 1, the only version there is".into());
    }
    let Wire { access_key_id, secret_access_key, session_token, expiration, .. } = wire;
    credentials(access_key_id, secret_access_key, session_token, expiration)
}

/// Credentials from STS.
///
/// # Errors
/// A fragment that says what is missing.
pub fn assumed(body: &[u8]) -> Result<Credentials, String> {
    let text = String::from_utf8_lossy(body);
    let own = text.split_once("<Credentials>").map_or("", |(_, rest)| rest);
    let get = |tag| element(own, tag);
    credentials(get("AccessKeyId"), get("SecretAccessKey"), get("SessionToken"), get("Expiration"))
}

fn credentials(
    id: Option<String>,
    key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
) -> Result<Credentials, String> {
    let need = |value: Option<String>, name: &str| {
        let value = value.filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_graphic()));
        value.ok_or_else(|| format!("it has no usable {name}"))
    };
    let expires = match expiration.filter(|text| !text.is_empty()) {
        Some(text) => Some(text.parse().map_err(|_| "its Expiration is not a time")?),
        None => None,
    };
    Ok(Credentials {
        access_key_id: Secret::new(need(id, "AccessKeyId")?.into()),
        secret_access_key: Secret::new(need(key, "SecretAccessKey")?.into()),
        session_token: match token.filter(|token| !token.is_empty()) {
            Some(token) => Some(Secret::new(need(Some(token), "Token")?.into())),
            None => None,
        },
        expires,
    })
}

/// What a registry lets in: `AWS:password` in base64, as the `auth` of a Docker configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The text.
    pub auth: Secret,
    /// When it ends.
    pub expires: Timestamp,
}

/// Reads the answer of `GetAuthorizationToken`.
///
/// # Errors
/// A fragment that says what is missing.
pub fn authorization(body: &[u8]) -> Result<Authorization, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        authorization_data: Vec<Data>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        authorization_token: String,
        expires_at: f64,
    }
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| "the answer has no authorizationData")?;
    let data = answer.authorization_data.into_iter().next();
    let data = data.ok_or("the answer's authorizationData is empty")?;
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
    let token = data.authorization_token;
    if token.is_empty() || !token.bytes().all(base64) {
        return Err("the answer's authorizationToken is not base64".into());
    }
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970; `as` saturates")]
    let seconds = data.expires_at as i64;
    let expires = Timestamp::from_second(seconds).map_err(|_| "its expiresAt is not a time")?;
    Ok(Authorization { auth: Secret::new(token.into()), expires })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(found: Result<Credentials, String>) -> String {
        match found {
            Ok(c) => format!(
                "{} {} {} {}",
                c.access_key_id.expose(),
                c.secret_access_key.expose(),
                c.session_token.map_or("-".into(), |t| t.expose().to_string()),
                c.expires.map_or("-".into(), |t| t.to_string())
            ),
            Err(text) => text,
        }
    }

    #[test]
    fn every_wrapping_of_credentials_is_read() {
        let metadata = br#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"s","Token":"t",
            "Expiration":"2026-11-24T18:00:00Z","Type":"AWS-HMAC"}"#;
        assert_eq!(show(offered(metadata, "")), "A s t 2026-11-24T18:00:00Z");
        let process =
            br#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s","SessionToken":"t"}"#;
        assert_eq!(show(printed(process)), "A s t -");
        let sts = b"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId>
            <SecretAccessKey>s/+</SecretAccessKey><SessionToken> t== </SessionToken>
            <Expiration>2026-11-24T18:00:00.5Z</Expiration></Credentials></AssumeRoleResult>";
        assert_eq!(show(assumed(sts)), "A s/+ t== 2026-11-24T18:00:00.5Z");
    }

    #[test]
    fn what_is_missing_is_said_and_nothing_is_quoted() {
        assert_eq!(show(offered(b"CANARY", "")), "it is not the JSON of credentials");
        let refused = br#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"no\u0007pe"}"#;
        assert_eq!(show(offered(refused, "")), "it says AssumeRoleUnauthorizedAccess no\\u{7}pe");
        assert_eq!(show(offered(b"{}", "")), "it has no usable AccessKeyId");
        assert_eq!(show(offered(br#"{"AccessKeyId":"A\n"}"#, "")), "it has no usable AccessKeyId");
        assert_eq!(show(printed(b"{}")), "it printed no \"Version\": 1, the only version there is");
        assert_eq!(show(assumed(b"<x/>")), "it has no usable AccessKeyId");
        let late = br#"{"AccessKeyId":"A","SecretAccessKey":"CANARY","Expiration":"soon"}"#;
        assert_eq!(show(offered(late, "")), "its Expiration is not a time");
    }

    #[test]
    fn an_authorization_is_read() {
        let body = br#"{"authorizationData":[{"authorizationToken":"QVdTOng=","expiresAt":1.7E9,
            "proxyEndpoint":"https://x"}]}"#;
        let found = authorization(body).expect("valid");
        assert_eq!(&**found.auth.expose(), "QVdTOng=");
        assert_eq!(found.expires.to_string(), "2023-11-14T22:13:20Z");
        for body in [
            "{}",
            r#"{"authorizationData":[]}"#,
            r#"{"authorizationData":[{"authorizationToken":"a\"b","expiresAt":1}]}"#,
            r#"{"authorizationData":[{"authorizationToken":"QQ==","expiresAt":1e300}]}"#,
        ] {
            assert!(authorization(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn errors_are_named_with_what_to_do() {
        let json =
            br#"{"__type":"com.amazonaws.ecr#AccessDeniedException","Message":"User x is\n not"}"#;
        let error = AwsError::read(400, json);
        assert_eq!(error.to_string(), "AccessDeniedException: User x is not");
        assert!(error.is_denial() && error.advice().contains("policy"));
        let xml =
            b"<ErrorResponse><Error><Code>ExpiredTokenException</Code><Message>a &lt; b</Message>";
        let error = AwsError::read(400, xml);
        assert_eq!(error.to_string(), "ExpiredTokenException: a < b");
        assert!(error.is_expiry());
        assert_eq!(AwsError::read(502, b"<html>").to_string(), "status 502");
        let skewed =
            br#"{"__type":"InvalidSignatureException","message":"Signature expired: 2026"}"#;
        assert_eq!(AwsError::read(400, skewed).advice(), "; correct this machine's clock");
    }

    proptest! {
        #[test]
        fn no_body_is_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (offered(&body, ""), printed(&body), assumed(&body), authorization(&body));
            let _ = AwsError::read(500, &body);
        }
    }
}
