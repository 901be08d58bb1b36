//! Host names to addresses, without a lookup for each request. `[E]`
//!
//! ureq resolves before it looks into its pool, so every request on a kept connection would ask the
//! name server. Here an address is passed straight through; a name is looked up once within its time
//! to live, by one thread while the others wait; and while the name servers are away, the last known
//! addresses stay in use.
//!
//! The lookup is our own and works in a static binary, where the C library would load modules of the
//! host and may crash: first the hosts file, then the servers of `resolv.conf`, which is also how
//! kubectl, a static Go program, does it.

mod ask;
mod conf;
mod message;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use conf::{Conf, hosts};

/// A name is good for at least this long, and a failed lookup is not tried again before.
const SHORTEST: Duration = Duration::from_secs(1);

/// A name is looked up again after this, whatever its time to live says.
const LONGEST: Duration = Duration::from_secs(300);

/// How long addresses of the hosts file, and old ones whose server is away, are good for.
const USUAL: Duration = Duration::from_secs(10);

/// A lookup takes no longer than this.
const BUDGET: Duration = Duration::from_secs(10);

/// Names kept; there are only a few receivers.
const NAMES: usize = 32;

/// A resolver for ureq. Cheap to clone; the clones share what they know.
#[derive(Clone)]
pub struct CachingResolver(Arc<Inner>);

struct Inner {
    hosts_file: PathBuf,
    conf_file: PathBuf,
    /// Of every name server; another than 53 in tests only.
    port: u16,
    names: Mutex<HashMap<String, Arc<Mutex<Known>>>>,
}

/// What is known of one name. Locked while it is looked up.
#[derive(Default)]
struct Known {
    addresses: Vec<IpAddr>,
    problem: Option<String>,
    good_until: Option<Instant>,
}

/// A name has no address, or nobody could say; nothing was sent to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupError {
    name: String,
    problem: String,
}

impl CachingResolver {
    /// The one that all connections of this process share.
    #[must_use]
    pub fn shared() -> CachingResolver {
        static SHARED: OnceLock<CachingResolver> = OnceLock::new();
        let new = || CachingResolver::new("/etc/hosts".into(), "/etc/resolv.conf".into(), 53);
        SHARED.get_or_init(new).clone()
    }

    fn new(hosts_file: PathBuf, conf_file: PathBuf, port: u16) -> CachingResolver {
        CachingResolver(Arc::new(Inner { hosts_file, conf_file, port, names: Mutex::default() }))
    }

    /// The addresses of a host, which is a name or an address with or without brackets.
    ///
    /// # Errors
    /// The name has no address, or no server answered within `limit`.
    pub fn lookup(&self, host: &str, limit: Duration) -> Result<Vec<IpAddr>, LookupError> {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(vec![address]);
        }
        let name = host.to_ascii_lowercase();
        let entry = {
            let mut names = self.0.names.lock();
            if names.len() >= NAMES && !names.contains_key(&name) {
                names.clear();
            }
            Arc::clone(names.entry(name.clone()).or_default())
        };
        let mut known = entry.lock();
        if known.good_until.is_none_or(|until| until <= Instant::now()) {
            let found = self.0.find(&name, limit.min(BUDGET));
            known.take(found);
        }
        match &known.problem {
            Some(problem) if known.addresses.is_empty() => {
                Err(LookupError { name, problem: problem.clone() })
            }
            _ => Ok(known.addresses.clone()),
        }
    }
}

impl Known {
    fn take(&mut self, found: Result<(Vec<IpAddr>, Duration), String>) {
        let good = match found {
            Ok((addresses, time_to_live)) => {
                self.addresses = reachable_first(addresses);
                self.problem = None;
                time_to_live.clamp(SHORTEST, LONGEST)
            }
            Err(problem) => {
                self.problem = Some(problem);
                if self.addresses.is_empty() { SHORTEST } else { USUAL }
            }
        };
        self.good_until = Some(Instant::now() + good);
    }
}

impl Inner {
    fn find(&self, name: &str, budget: Duration) -> Result<(Vec<IpAddr>, Duration), String> {
        let bare = name.trim_end_matches('.');
        if bare == "localhost" || bare.ends_with(".localhost") {
            let own = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok((own, USUAL));
        }
        let text = std::fs::read(&self.hosts_file).unwrap_or_default();
        let listed = hosts(&String::from_utf8_lossy(&text), bare);
        if !listed.is_empty() {
            return Ok((listed, USUAL));
        }
        let text = std::fs::read(&self.conf_file).unwrap_or_default();
        ask::ask(name, &Conf::parse(&String::from_utf8_lossy(&text), self.port), budget)
    }
}

/// The order of RFC 6724 as far as it matters here: addresses without a route come last, and of the
/// others IPv6 comes first.
fn reachable_first(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let has_route = |address: &IpAddr| {
        let any: IpAddr = match address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // Sends nothing: connecting a datagram socket only looks the route up.
        UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect((*address, 9)).is_ok())
    };
    addresses.sort_by_cached_key(|address| (!has_route(address), address.is_ipv4()));
    addresses
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let authority = uri.authority().ok_or_else(|| ureq::Error::BadUri(uri.to_string()))?;
        let port = authority.port_u16().unwrap_or(match uri.scheme_str() {
            Some("http") => 80,
            Some(scheme) if scheme.starts_with("socks") => 1080,
            _ => 443,
        });
        let limit = if timeout.after.is_not_happening() { BUDGET } else { *timeout.after };
        let found = self.lookup(authority.host(), limit);
        let found = found.map_err(|e| ureq::Error::Other(Box::new(e)))?;
        let mut out = self.empty();
        found.iter().take(16).for_each(|address| out.push(SocketAddr::new(*address, port)));
        Ok(out)
    }
}

impl fmt::Debug for CachingResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachingResolver").finish_non_exhaustive()
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name {} cannot be resolved: {}", self.name, self.problem)
    }
}

impl std::error::Error for LookupError {}

#[cfg(test)]
mod tests;
