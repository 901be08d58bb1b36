//! A server that is not there, for tests of what watches it.

use std::thread;
use std::time::Duration;

use crate::clock;
use crate::cluster::{Access, Authorization, Client, ClientOptions, Reflector, ServerUrl, Trust};

/// Far beyond what it takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// A client of it: its watches run, and fail for ever.
pub fn client() -> Client {
    let access = Access {
        origin: "test".into(),
        context: "".into(),
        cluster: "".into(),
        server: ServerUrl::parse("http://127.0.0.1:1").expect("a URL"),
        trust: Trust::PublicRoots,
        tls_server_name: None,
        identity: None,
        authorization: Authorization::None,
        impersonation: None,
        proxy: None,
        bundle: None,
        files: Vec::new(),
    };
    Client::new(&access, ClientOptions::default()).expect("a client")
}

/// Ends the thread of a watch.
pub fn end(reflector: &Reflector) {
    reflector.stop();
    let limit = clock::now() + LIMIT;
    while reflector.is_running() {
        assert!(clock::now() < limit, "it does not end");
        thread::yield_now();
    }
}
