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
mod surroundings;

use std::ffi::OsString;

use ureq::http::Uri;

pub use proxy::{Proxy, ProxyUrl};
pub use reach::reach;
pub use resolve::CachingResolver;
pub use surroundings::Surroundings;

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
