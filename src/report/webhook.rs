//! The address of a webhook, checked. `[C]`
//!
//! It is a secret: whoever knows it can post. Nothing here or elsewhere prints more than its host.

use std::fmt;

/// A webhook address that messages may be sent to.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(String);

/// Why an address is refused; a lowercase fragment that does not repeat the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookProblem(&'static str);

impl WebhookUrl {
    /// Accepts `https://…`, and `http://` for a receiver on the loopback interface.
    ///
    /// # Errors
    /// Says what an address must look like.
    pub fn parse(text: &str) -> Result<WebhookUrl, WebhookProblem> {
        let text = text.trim();
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(WebhookProblem("it must begin with https://")),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() {
            return Err(WebhookProblem("it names no host"));
        }
        if authority.contains('@') {
            return Err(WebhookProblem("a user name or password in it is not allowed"));
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
            return Err(WebhookProblem(
                "it contains a character that does not belong in an address",
            ));
        }
        if !secure && !is_loopback(authority) {
            return Err(WebhookProblem("plain http:// is accepted for a loopback receiver only"));
        }
        Ok(WebhookUrl(text.to_owned()))
    }

    /// The whole address, for the request only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The receiver is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }

    /// Host and port, for logs.
    #[must_use]
    pub fn host(&self) -> &str {
        let start = self.0.find("://").map_or(0, |at| at + 3);
        self.0[start..].split(['/', '?', '#']).next().unwrap_or_default()
    }
}

fn is_loopback(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix("[::1]") {
        return rest.is_empty() || rest.starts_with(':');
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host == "localhost"
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({}, the rest is secret)", self.host())
    }
}

impl fmt::Display for WebhookProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_loopback_without_user_info_is_accepted() {
        for (text, host) in [
            ("https://hooks.example.com/services/T/B/x", "hooks.example.com"),
            (" https://hooks.example.com:8443/x \n", "hooks.example.com:8443"),
            ("http://127.0.0.1:9/x", "127.0.0.1:9"),
            ("http://localhost/x", "localhost"),
            ("http://[::1]:9/x", "[::1]:9"),
        ] {
            assert_eq!(WebhookUrl::parse(text).expect(text).host(), host);
        }
        for text in [
            "",
            "hooks.example.com",
            "ftp://x/",
            "https://",
            "https:///x",
            "https://u:p@host/x",
            "http://hooks.example.com/x",
            "http://127.0.0.1.evil.example/x",
            "https://a b/",
            "http://localhost@evil.example/",
            "https://ex\u{e4}mple/",
        ] {
            assert!(WebhookUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_secret_part_is_never_printed() {
        let url = WebhookUrl::parse("https://hooks.example.com/services/SECRET").expect("valid");
        assert!(!format!("{url:?}").contains("SECRET"));
    }
}
