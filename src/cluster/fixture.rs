//! Small values for tests of whoever speaks to a cluster.

use super::{Access, Authorization, Client, ClientOptions, ServerUrl, Trust};

/// As nobody, with nothing out of the ordinary.
pub fn access(server: &str, trust: Trust) -> Access {
    Access {
        origin: "test".into(),
        context: "test".into(),
        cluster: "test".into(),
        server: ServerUrl::parse(server).expect("a URL"),
        trust,
        tls_server_name: None,
        identity: None,
        authorization: Authorization::None,
        impersonation: None,
        proxy: None,
        bundle: None,
        files: Vec::new(),
    }
}

/// A client of a server without TLS, which need not be there.
pub fn client(server: &str) -> Client {
    Client::new(&access(server, Trust::PublicRoots), ClientOptions::default()).expect("a client")
}
