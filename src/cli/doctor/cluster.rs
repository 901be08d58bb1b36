//! The cluster: the kubeconfig, the way there step by step, who answers, what time it has there, and
//! every right.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::settings as raw;
use super::findings::{Finding, Verdict};
use super::{Notes, Patient, rights};
use crate::cluster::{
    Access, ApiError, Authorization, Class, Client, ClientOptions, Greeting, Trust,
};
use crate::model::printable;
use crate::net::CachingResolver;

/// For a name, and for each address.
const CONNECT: Duration = Duration::from_secs(3);
/// For a request as a whole.
const REQUEST: Duration = Duration::from_secs(5);
/// A certificate that ends earlier than this is worth a word.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Clocks that differ by this much confuse what is told about a rollout (Events, logs).
const SKEW_WARN: u64 = 10;
/// The same for tokens, certificates and signatures of AWS, which are refused then.
const SKEW_FAIL: u64 = 300;

/// Looks at it, as far as it gets.
pub fn look(patient: &Patient, notes: &Notes) {
    let Patient { run, env, .. } = patient;
    let access = match raw::access(run.kubeconfig.as_deref(), run.context.as_deref(), env) {
        Ok(access) => access,
        Err(failure) => return notes.add(Finding::fail("kubeconfig", failure.text(), "")),
    };
    notes.add(Finding::ok("kubeconfig", introduce(&access)));
    if access.trust == Trust::Unverified {
        let remedy = "name the certificate-authority in the kubeconfig instead";
        let text = "insecure-skip-tls-verify is set: anybody can pretend to be the API server";
        notes.add(Finding::warn("kubeconfig", text, remedy));
    }
    if !is_there(&access, notes) {
        return;
    }
    let options = ClientOptions {
        connect_limit: CONNECT,
        request_limit: REQUEST,
        ..ClientOptions::default()
    };
    let client = match Client::new(&access, options) {
        Ok(client) => client,
        Err(error) => return notes.add(Finding::fail("credentials", error.to_string(), "")),
    };
    match client.greet() {
        Ok(greeting) => welcome(&greeting, notes),
        Err(error) => return notes.add(refused(&error)),
    }
    rights::look(patient, &client, notes);
}

fn introduce(access: &Access) -> String {
    let who = match (&access.authorization, &access.identity) {
        (Authorization::None, None) => "no credentials".to_owned(),
        (Authorization::None, Some(_)) => "a client certificate".to_owned(),
        (Authorization::Token(_), _) => "a token".to_owned(),
        (Authorization::TokenFile { path, .. }, _) => format!("the token in {}", path.display()),
        (Authorization::Basic { .. }, _) => "user and password".to_owned(),
        (Authorization::Exec(plugin), _) => format!("the program {}", plugin.command),
    };
    let acting = access.impersonation.as_ref().map(|who| format!(", acting as {}", who.user));
    let context = match access.context.is_empty() {
        true => String::new(),
        false => format!(", context {}", access.context),
    };
    let (origin, acting) = (&access.origin, acting.unwrap_or_default());
    printable(&format!("{origin}{context}: {} with {who}{acting}", access.server))
}

/// Name and connection, of the proxy where there is one.
fn is_there(access: &Access, notes: &Notes) -> bool {
    let (host, port) = match &access.proxy {
        Some(proxy) => {
            let text = format!("{}, from {}", proxy.url, proxy.source);
            notes.add(Finding::ok("proxy", text));
            (proxy.url.host(), proxy.url.port())
        }
        None => (access.server.host(), access.server.port()),
    };
    let addresses = match CachingResolver::shared().lookup(host, CONNECT) {
        Ok(addresses) => addresses,
        Err(error) => {
            let remedy = "correct server in the kubeconfig, or /etc/hosts and /etc/resolv.conf";
            notes.add(Finding::fail("name", error.to_string(), remedy));
            return false;
        }
    };
    let mut problems = Vec::new();
    for address in addresses.iter().take(3) {
        let address = SocketAddr::new(*address, port);
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_) => {
                notes.add(Finding::ok("connection", format!("{host} answers at {address}")));
                return true;
            }
            Err(error) => problems.push(format!("{address} ({error})")),
        }
    }
    let text = format!("{host} does not answer at {}", problems.join(", "));
    let remedy = "is it up, is the port right, does a firewall or proxy stand between?";
    notes.add(Finding::fail("connection", text, remedy));
    false
}

fn refused(error: &ApiError) -> Finding {
    let remedy = match &error.class {
        Class::Unauthorized | Class::Credentials { .. } => "",
        Class::Network { .. } => "see the certificate authority and the server in the kubeconfig",
        _ => "is this an API server?",
    };
    Finding::fail("API server", printable(&error.to_string()), remedy)
}

fn welcome(greeting: &Greeting, notes: &Notes) {
    let version = printable(&greeting.version.git_version);
    notes.add(Finding::ok("API server", format!("Kubernetes {version}")));
    let now = Timestamp::now();
    if let Some(finding) = greeting.certificate_ends.and_then(|ends| certificate(ends, now)) {
        notes.add(finding);
    }
    notes.add(clock(greeting.date, now));
}

fn certificate(ends: u64, now: Timestamp) -> Option<Finding> {
    let ends = Timestamp::from_second(i64::try_from(ends).ok()?).ok()?;
    let left = ends.duration_since(now);
    let text = format!("the API server's ends at {ends}, in {} days", left.as_hours() / 24);
    let remedy = "renew it in time; then depd cannot speak to the cluster any more";
    Some(match left < SOON {
        true => Finding::warn("certificate", text, remedy),
        false => Finding::ok("certificate", text),
    })
}

/// The header has whole seconds, and was written some time ago.
fn clock(date: Option<Timestamp>, now: Timestamp) -> Finding {
    let Some(date) = date else {
        return Finding::ok("clock", "the API server does not say what time it has");
    };
    let skew = date.duration_since(now).as_secs();
    let direction = if skew > 0 { "behind" } else { "ahead of" };
    let verdict = match skew.unsigned_abs() {
        0..SKEW_WARN => {
            return Finding::ok("clock", "as the API server's, within seconds");
        }
        SKEW_WARN..SKEW_FAIL => Verdict::Warn,
        SKEW_FAIL.. => Verdict::Fail,
    };
    let text = format!("it is {} s {direction} the API server's", skew.unsigned_abs());
    Finding::new("clock", verdict, text, "set the clocks by NTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_worth_a_word_and_then_a_failure() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let at = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).ok();
        let check = |date: Option<Timestamp>, expect: Finding| assert_eq!(clock(date, now), expect);
        check(None, Finding::ok("clock", "the API server does not say what time it has"));
        check(at(-9), Finding::ok("clock", "as the API server's, within seconds"));
        let remedy = "set the clocks by NTP";
        check(at(10), Finding::warn("clock", "it is 10 s behind the API server's", remedy));
        check(at(-299), Finding::warn("clock", "it is 299 s ahead of the API server's", remedy));
        check(at(300), Finding::fail("clock", "it is 300 s behind the API server's", remedy));
    }

    #[test]
    fn a_certificate_is_told_of_before_it_ends() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let day = 24 * 3600;
        let ends = |days: u64| certificate(1_000_000 + days * day, now).expect("a time");
        let text = |days: u64| {
            let at = Timestamp::from_second(1_000_000 + i64::try_from(days * day).expect("small"));
            format!("the API server's ends at {}, in {days} days", at.expect("a time"))
        };
        assert_eq!(ends(14), Finding::ok("certificate", text(14)));
        let remedy = "renew it in time; then depd cannot speak to the cluster any more";
        assert_eq!(ends(13), Finding::warn("certificate", text(13), remedy));
    }
}
