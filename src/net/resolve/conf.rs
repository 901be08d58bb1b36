//! The hosts file and `resolv.conf`. `[C]`
//!
//! Facts: the manual pages hosts(5) and resolv.conf(5). What cannot be understood is passed over, as
//! every resolver does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Servers beyond these are never asked (`MAXNS`).
const SERVERS: usize = 3;

/// How names are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conf {
    pub servers: Vec<SocketAddr>,
    pub search: Vec<String>,
    /// Dots in a name from which on it is tried as it is before the search list.
    pub ndots: usize,
    /// The wait for one server.
    pub timeout: Duration,
    /// Rounds through all servers.
    pub attempts: usize,
    /// TCP from the start.
    pub use_tcp: bool,
}

impl Conf {
    pub(super) fn parse(text: &str, port: u16) -> Conf {
        let mut conf = Conf {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            use_tcp: false,
        };
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < SERVERS => {
                    let address = words.next().and_then(server);
                    conf.servers.extend(address.map(|address| SocketAddr::new(address, port)));
                }
                Some("domain") => conf.search = words.take(1).map(str::to_owned).collect(),
                Some("search") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        conf
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        match (name, value.parse::<usize>().ok()) {
            ("ndots", Some(n)) => self.ndots = n.min(15),
            ("timeout", Some(n)) => self.timeout = Duration::from_secs(n.clamp(1, 30) as u64),
            ("attempts", Some(n)) => self.attempts = n.clamp(1, 5),
            ("use-vc", _) => self.use_tcp = true,
            _ => {}
        }
    }

    /// The full names to try, in order.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let searched = self.search.iter().map(|d| d.trim_matches('.')).filter(|d| !d.is_empty());
        let mut names: Vec<String> = searched.map(|domain| format!("{name}.{domain}")).collect();
        let as_it_is = name.matches('.').count() >= self.ndots;
        names.insert(if as_it_is { 0 } else { names.len() }, name.to_owned());
        names
    }
}

/// An address of a server; a zone such as `%eth0` is not supported.
fn server(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// The addresses that a hosts file gives a name.
pub(super) fn hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let addresses = text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|alias| alias.eq_ignore_ascii_case(name)).then_some(address)
    });
    let mut found = Vec::new();
    addresses.for_each(|address| {
        if !found.contains(&address) {
            found.push(address);
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_names_addresses_with_aliases_and_comments() {
        let text = "127.0.0.1 localhost\n10.0.0.1\tapi.example API # the cluster\n\
                    fd00::1 api.example\n# 10.0.0.2 api.example\nnonsense api.example\n\
                    10.0.0.1 api.example\n";
        let check = |name: &str, expect: &[&str]| {
            let expect: Vec<IpAddr> = expect.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(hosts(text, name), expect, "{name}");
        };
        check("api.example", &["10.0.0.1", "fd00::1"]);
        check("Api", &["10.0.0.1"]);
        check("cluster", &[]);
        check("10.0.0.1", &[]);
    }

    #[test]
    fn servers_search_list_and_options_are_read() {
        let conf = Conf::parse(
            "# generated\ndomain old.example\nsearch ns.svc.cluster.local svc.cluster.local\n\
             nameserver 10.96.0.10\nnameserver fd00::10\nnameserver fe80::1%eth0\n\
             nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:5 timeout:1 attempts:9 use-vc x\n",
            53,
        );
        let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.96.0.10:53", "[fd00::10]:53", "10.0.0.1:53"]);
        assert_eq!((conf.ndots, conf.timeout.as_secs(), conf.attempts), (5, 1, 5));
        assert!(conf.use_tcp);
        assert_eq!(
            conf.candidates("api.example"),
            ["api.example.ns.svc.cluster.local", "api.example.svc.cluster.local", "api.example"]
        );
        assert_eq!(conf.candidates("a.b.c.d.e.f")[0], "a.b.c.d.e.f");
        assert_eq!(conf.candidates("api.example."), ["api.example"]);
    }

    #[test]
    fn without_a_server_this_machine_is_asked() {
        let conf = Conf::parse("", 53);
        assert_eq!(conf.servers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!(conf.candidates("api"), ["api"]);
    }
}
