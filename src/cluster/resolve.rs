//! Host names to addresses, without a lookup for each request. `[E]`
//!
//! ureq resolves before it looks into its pool, so every request on a kept connection would ask the
//! name server. An address is passed through; a name is looked up once in [`FRESH`]; while the name
//! server is away, the last known addresses are used.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::connector::NotSent;

/// How long a looked-up name is good for.
const FRESH: Duration = Duration::from_secs(30);

/// Names kept; there are only the API server and perhaps a proxy.
const NAMES: usize = 16;

/// A resolver for ureq.
#[derive(Debug, Default)]
pub(super) struct CachingResolver {
    system: DefaultResolver,
    known: Mutex<HashMap<String, (Instant, Vec<SocketAddr>)>>,
}

impl CachingResolver {
    fn collect(&self, addresses: &[SocketAddr]) -> ResolvedSocketAddrs {
        let mut out = self.empty();
        addresses.iter().take(16).for_each(|a| out.push(*a));
        out
    }
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let scheme = uri.scheme().unwrap_or(&Scheme::HTTPS);
        let default_port = if *scheme == Scheme::HTTP { 80 } else { 443 };
        let authority = uri.authority().ok_or_else(|| ureq::Error::BadUri(uri.to_string()))?;
        let port = authority.port_u16().unwrap_or(default_port);
        let name = format!("{}:{port}", authority.host());
        if let Ok(address) = name.parse::<SocketAddr>() {
            return Ok(self.collect(&[address]));
        }
        let now = Instant::now();
        if let Some((at, addresses)) = self.known.lock().get(&name)
            && now.duration_since(*at) < FRESH
        {
            return Ok(self.collect(addresses));
        }
        match self.system.resolve(uri, config, timeout) {
            Ok(found) => {
                let mut known = self.known.lock();
                if known.len() >= NAMES {
                    known.clear();
                }
                known.insert(name, (now, found.to_vec()));
                Ok(found)
            }
            Err(e) => match self.known.lock().get(&name) {
                Some((_, addresses)) => Ok(self.collect(addresses)),
                None => Err(NotSent::lookup(authority.host(), &e).into()),
            },
        }
    }
}
