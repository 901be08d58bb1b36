//! Which proxy a connection takes, as kubectl decides it. `[C]`
//!
//! `HTTPS_PROXY` for https and `HTTP_PROXY` for http, in capitals or small letters, unless `NO_PROXY`
//! names the host or the host is this machine. Facts: Go's `golang.org/x/net/http/httpproxy`, which
//! kubectl uses, and its rules for host names, addresses, ranges (CIDR) and ports. `ALL_PROXY` is not
//! among them.
//!
//! A proxy's address may hold a password: only [`ProxyUrl::expose`] gives it away.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;

/// The address of a proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    text: Box<str>,
    shown: Box<str>,
    host: Box<str>,
}

/// A proxy, and who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is.
    pub url: ProxyUrl,
    /// The setting that names it, for example `HTTPS_PROXY`.
    pub source: Box<str>,
}

impl ProxyUrl {
    /// Reads `http://`, `https://` or `socks5://`, with user and password if need be.
    ///
    /// # Errors
    /// A lowercase fragment that does not repeat the text.
    pub fn parse(text: &str) -> Result<ProxyUrl, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("it is not a URL; write for example http://proxy:3128".into());
        };
        let scheme = &*scheme.to_ascii_lowercase();
        if !matches!(scheme, "http" | "https" | "socks5" | "socks5h") {
            return Err("only http, https and socks5 proxies are supported, as for kubectl".into());
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
        let (host, port) = split_port(address);
        // As for kubectl, the proxy resolves names itself.
        let kept = if scheme == "socks5" { "socks5h" } else { scheme };
        let text = format!("{kept}://{authority}");
        let odd_port = port.is_some_and(|port| port.parse::<u16>().is_err());
        if host.is_empty() || odd_port || ureq::Proxy::new(&text).is_err() {
            return Err("it names no host, or a port that is no number".into());
        }
        let shown = format!("{scheme}://{address}").into();
        Ok(ProxyUrl { text: text.into(), shown, host: host.into() })
    }

    /// The address with user and password, for the connection only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The host, without port and brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: as named, else the usual one of the scheme.
    #[must_use]
    pub fn port(&self) -> u16 {
        let (scheme, address) = self.shown.split_once("://").unwrap_or_default();
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => 1080,
        };
        split_port(address).1.and_then(|port| port.parse().ok()).unwrap_or(usual)
    }

    /// For the HTTP client; without a rule for exceptions, which were decided here.
    #[must_use]
    pub fn to_ureq(&self) -> Option<ureq::Proxy> {
        ureq::Proxy::new(&self.text).ok()
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({})", self.shown)
    }
}

/// The proxy that the environment asks for on the way to `host`, which is without brackets.
///
/// # Errors
/// The variable and what is wrong with it.
pub fn from_environment(
    https: bool,
    host: &str,
    port: u16,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Proxy>, String> {
    let filled = |names: [&'static str; 2]| {
        let text = |name: &'static str| Some((name, env(name)?.into_string().ok()?));
        names.into_iter().filter_map(text).find(|(_, value)| !value.is_empty())
    };
    let names = if https { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let Some((name, value)) = filled(names) else { return Ok(None) };
    let exceptions = filled(["NO_PROXY", "no_proxy"]).map(|(_, list)| list).unwrap_or_default();
    if is_local(host) || is_exception(&exceptions, host, port) {
        return Ok(None);
    }
    let full = if value.contains("://") { value } else { format!("http://{value}") };
    let url = ProxyUrl::parse(&full).map_err(|problem| format!("{name}: {problem}"))?;
    Ok(Some(Proxy { url, source: name.into() }))
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a list such as `.example.org,10.0.0.0/8,registry:5000` names the host.
fn is_exception(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim().to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some(range) = entry.split_once('/') {
            return address.is_some_and(|address| is_within(address, range));
        }
        let (name, wanted_port) = split_port(&entry);
        if name.is_empty() || wanted_port.is_some_and(|wanted| wanted != port.to_string()) {
            return false;
        }
        if let Ok(named) = name.parse::<IpAddr>() {
            return address == Some(named);
        }
        let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
        match name.strip_prefix('.') {
            Some(_) => host.ends_with(name),
            None => host == name || host.ends_with(&format!(".{name}")),
        }
    })
}

/// Host and port; brackets around an IPv6 address go.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some((inside, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        return (inside, rest.strip_prefix(':'));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

fn is_within(address: IpAddr, (base, bits): (&str, &str)) -> bool {
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let same = |a: u128, b: u128, width: u32| {
        bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0)
    };
    match (address, base) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        move |name| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.into())
    }

    #[test]
    fn the_variable_of_the_scheme_is_taken_in_capitals_first() {
        let check = |https: bool, pairs: &[(&str, &str)], expect: Option<(&str, &str)>| {
            let found = from_environment(https, "a.example", 443, env(pairs)).unwrap();
            let found = found.map(|p| (p.source.to_string(), p.url.to_string()));
            let expect = expect.map(|(n, u)| (n.to_owned(), u.to_owned()));
            assert_eq!(found, expect, "{pairs:?}");
        };
        check(true, &[], None);
        check(true, &[("HTTPS_PROXY", "http://p:1")], Some(("HTTPS_PROXY", "http://p:1")));
        check(true, &[("https_proxy", "p:1")], Some(("https_proxy", "http://p:1")));
        check(
            true,
            &[("https_proxy", "http://small:1"), ("HTTPS_PROXY", "http://big:1")],
            Some(("HTTPS_PROXY", "http://big:1")),
        );
        check(true, &[("HTTP_PROXY", "http://p:1"), ("ALL_PROXY", "http://p:2")], None);
        check(false, &[("HTTP_PROXY", "http://p:1")], Some(("HTTP_PROXY", "http://p:1")));
        check(true, &[("HTTPS_PROXY", "socks5://p")], Some(("HTTPS_PROXY", "socks5://p")));
        check(true, &[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "*")], None);
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1"] {
            let found = from_environment(true, host, 443, env(&[("HTTPS_PROXY", "http://p:1")]));
            assert_eq!(found, Ok(None), "{host}");
        }
    }

    #[test]
    fn exceptions_are_names_addresses_ranges_and_ports() {
        let check = |list: &str, host: &str, expect: bool| {
            assert_eq!(is_exception(list, host, 6443), expect, "{list} {host}");
        };
        check("example.org", "example.org", true);
        check("example.org", "api.example.org", true);
        check("example.org", "notexample.org", false);
        check(".example.org", "api.example.org", true);
        check(".example.org", "example.org", false);
        check("*.example.org", "api.example.org", true);
        check("*.example.org", "example.org", false);
        check(" a , EXAMPLE.org ", "Example.ORG", true);
        check("example.org:6443", "example.org", true);
        check("example.org:443", "example.org", false);
        check("10.0.0.0/8", "10.1.2.3", true);
        check("10.0.0.0/8", "11.1.2.3", false);
        check("0.0.0.0/0", "11.1.2.3", true);
        check("10.0.0.0/33", "10.0.0.0", false);
        check("10.1.2.3", "10.1.2.3", true);
        check("10.1.2.3:6443", "10.1.2.3", true);
        check("10.1.2.3:443", "10.1.2.3", false);
        check("fd00::/8", "fd00::1", true);
        check("[fd00::1]:6443", "fd00::1", true);
        check("fd00::1", "fd00::1", true);
        check("", "example.org", false);
        check(",,:443", "example.org", false);
    }

    #[test]
    fn a_password_is_in_no_output() {
        let url = ProxyUrl::parse("http://ann:canary@proxy.example:3128/").unwrap();
        assert_eq!(url.to_string(), "http://proxy.example:3128");
        assert!(!format!("{url:?}").contains("canary"));
        assert!(url.expose().contains("ann:canary@"));
        assert_eq!((url.host(), url.port()), ("proxy.example", 3128));
        for (text, port) in [("http://p", 80), ("https://p", 443), ("socks5://[fd00::1]", 1080)] {
            assert_eq!(ProxyUrl::parse(text).unwrap().port(), port, "{text}");
        }
        for wrong in ["proxy:canary", "ftp://canary@p", "http://", "http://p:canary"] {
            let problem = ProxyUrl::parse(wrong).unwrap_err();
            assert!(!problem.contains("canary"), "{problem}");
        }
    }
}
