//! What the settings say about every way out: proxies, and who is believed. `[E]`
//!
//! `HTTPS_PROXY` and its like are looked up once at the start, where all settings are, and handed to
//! whoever connects: so they mean the same for the API server, for receivers and for AWS, wherever
//! they were set. Values may hold a password, so `Debug` shows names only.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ureq::config::{Config, ConfigBuilder};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::unversioned::transport::DefaultConnector;

use super::{CachingResolver, Proxy, proxy_for, roots};

/// The names that are looked up.
const NAMES: [&str; 7] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
];

/// What was set of the variables that say how servers are reached.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Surroundings(BTreeMap<&'static str, OsString>);

impl Surroundings {
    /// Asks for every name.
    #[must_use]
    pub fn read(get: impl Fn(&str) -> Option<OsString>) -> Surroundings {
        Surroundings(NAMES.iter().filter_map(|name| Some((*name, get(name)?))).collect())
    }

    /// The proxy in front of the server of `url`.
    ///
    /// # Errors
    /// The variable that names the proxy, and what is wrong with it.
    pub fn proxy_for(&self, url: &str) -> Result<Option<Proxy>, String> {
        proxy_for(url, |name| self.0.get(name).cloned())
    }

    /// An HTTP client for the server of `url`, a public one such as Slack's.
    ///
    /// # Errors
    /// The variable that names the proxy, and what is wrong with it.
    pub fn agent(
        &self,
        config: ConfigBuilder<AgentScope>,
        url: &str,
    ) -> Result<ureq::Agent, String> {
        let config = self.config(config, url)?;
        let connector = DefaultConnector::default();
        Ok(ureq::Agent::with_parts(config, connector, CachingResolver::shared()))
    }

    /// Proxy and authorities for the server of `url`.
    pub(super) fn config(
        &self,
        config: ConfigBuilder<AgentScope>,
        url: &str,
    ) -> Result<Config, String> {
        let proxy = self.proxy_for(url)?;
        let bundle = roots::bundle(self.0.get("SSL_CERT_FILE").map(PathBuf::from).as_deref());
        let root_certs = match bundle.is_empty() {
            true => RootCerts::WebPki,
            false => RootCerts::Specific(Arc::new(
                bundle.iter().map(|der| Certificate::from_der(der).to_owned()).collect(),
            )),
        };
        let tls = TlsConfig::builder().root_certs(root_certs).build();
        Ok(config.proxy(proxy.and_then(|proxy| proxy.url.to_ureq())).tls_config(tls).build())
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_found_for_who_is_not_excepted_and_its_password_is_not_printed() {
        let set = [("HTTPS_PROXY", "http://ann:canary@proxy:3128"), ("NO_PROXY", "near.example")];
        let around = Surroundings::read(|name| {
            set.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into())
        });
        let proxy = around.proxy_for("https://far.example/x").unwrap().expect("one");
        assert_eq!(proxy.url.to_string(), "http://proxy:3128");
        assert_eq!(around.proxy_for("https://near.example/x"), Ok(None));
        let text = format!("{around:?} {proxy:?}");
        assert!(text.contains("HTTPS_PROXY") && !text.contains("canary"), "{text}");
    }
}
