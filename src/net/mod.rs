//! What every connection out of depd has in common: names become addresses, proxies are obeyed, and
//! public authorities are believed. `[E]`, formats `[C]`.
//!
//! The API server, Slack and AWS are reached through the same rooms, so that a setting such as
//! `HTTPS_PROXY`, `SSL_CERT_FILE` or a line in `/etc/hosts` means the same for each of them. Nothing
//! here knows what is sent.

pub mod proxy;
mod reach;
pub mod resolve;
pub mod roots;

use std::ffi::OsString;
use std::sync::Arc;

use ureq::config::{Config, ConfigBuilder};
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::unversioned::transport::DefaultConnector;

pub use proxy::{Proxy, ProxyUrl};
pub use reach::reach;
pub use resolve::CachingResolver;

/// An HTTP client for the server of `url`, a public one such as Slack's, in front of which the
/// environment may have put a proxy.
///
/// # Errors
/// The variable that names the proxy, and what is wrong with it.
pub fn public_agent(config: ConfigBuilder<AgentScope>, url: &str) -> Result<ureq::Agent, String> {
    let connector = DefaultConnector::default();
    Ok(ureq::Agent::with_parts(public(config, url)?, connector, CachingResolver::shared()))
}

/// Proxy and authorities for the server of `url`.
fn public(config: ConfigBuilder<AgentScope>, url: &str) -> Result<Config, String> {
    let proxy = proxy_for(url, |name| std::env::var_os(name))?;
    let bundle = roots::bundle();
    let root_certs = match bundle.is_empty() {
        true => RootCerts::WebPki,
        false => RootCerts::Specific(Arc::new(
            bundle.iter().map(|der| Certificate::from_der(der).to_owned()).collect(),
        )),
    };
    let tls = TlsConfig::builder().root_certs(root_certs).build();
    Ok(config.proxy(proxy.and_then(|proxy| proxy.url.to_ureq())).tls_config(tls).build())
}

/// The proxy that the environment puts in front of the server of `url`.
///
/// # Errors
/// The variable that names the proxy, and what is wrong with it.
pub fn proxy_for(
    url: &str,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Proxy>, String> {
    let Ok(uri) = url.parse::<Uri>() else { return Ok(None) };
    let https = uri.scheme_str() == Some("https");
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    proxy::from_environment(https, host, port, env)
}
