//! Is a public server there? A connection as for a message, with proxy and TLS, and no message. `[E]`

use std::fmt;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Uri;
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, Transport};

use super::{CachingResolver, Surroundings};

/// Connects to the server of `url` as a message would, TLS included, and hangs up before a byte of a
/// request is sent.
///
/// # Errors
/// What kept it from being reached; may name the host, never the rest of the address.
pub fn reach(url: &str, around: &Surroundings, limit: Duration) -> Result<(), String> {
    let config = Agent::config_builder().max_redirects(0).timeout_global(Some(limit));
    let config = around.config(config, url)?;
    let target = url.parse().map_err(|_| "its address is none".to_owned())?;
    let connector = HangUp { inner: DefaultConnector::default(), target };
    let agent = Agent::with_parts(config, connector, CachingResolver::shared());
    match agent.head(url).call() {
        Err(ureq::Error::Other(inner)) if inner.is::<Reached>() => Ok(()),
        Err(ureq::Error::Timeout(_)) => Err("no answer in time".to_owned()),
        Err(ureq::Error::Other(inner)) => Err(inner.to_string()),
        Err(ureq::Error::Io(error)) => Err(error.to_string()),
        Err(ureq::Error::Tls(what)) => Err(format!("no TLS: {what}")),
        Err(ureq::Error::ConnectProxyFailed(what)) => Err(format!("the proxy says {what}")),
        // Others may repeat the address.
        Err(_) => Err("it cannot be connected to".to_owned()),
        // Not reached: a connection is never handed out.
        Ok(_) => Ok(()),
    }
}

/// Makes the connection, and does not give it away.
#[derive(Debug)]
struct HangUp {
    inner: DefaultConnector,
    target: Uri,
}

impl Connector<()> for HangUp {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Box<dyn Transport>>, ureq::Error> {
        let made = self.inner.connect(details, chained)?;
        // It is asked for the connection to a proxy too, which is needed to go on.
        let is_target = details.uri.authority() == self.target.authority();
        match made {
            Some(_) if is_target => Err(ureq::Error::Other(Box::new(Reached))),
            made => Ok(made),
        }
    }
}

/// The server was there.
#[derive(Clone, Copy, Debug)]
struct Reached;

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was reached")
    }
}

impl std::error::Error for Reached {}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_server_is_reached_without_a_byte_of_a_request() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut said = Vec::new();
            stream.read_to_end(&mut said).expect("readable");
            said
        });
        assert_eq!(
            reach(
                &format!("http://127.0.0.1:{port}/SECRET"),
                &Surroundings::default(),
                Duration::from_secs(10)
            ),
            Ok(())
        );
        assert_eq!(server.join().expect("it ends"), b"");
        let gone = reach(
            &format!("http://127.0.0.1:{port}/SECRET"),
            &Surroundings::default(),
            Duration::from_secs(10),
        );
        assert!(gone.as_ref().is_err_and(|why| !why.contains("SECRET")), "{gone:?}");
    }

    #[test]
    fn what_does_not_speak_tls_is_not_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let server = thread::spawn(move || drop(listener.accept()));
        let outcome = reach(
            &format!("https://127.0.0.1:{port}/SECRET"),
            &Surroundings::default(),
            Duration::from_secs(10),
        );
        assert!(outcome.as_ref().is_err_and(|why| !why.contains("SECRET")), "{outcome:?}");
        server.join().expect("it ends");
    }
}
