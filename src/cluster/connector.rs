//! Connections for ureq: TCP, a CONNECT proxy if there is one, and TLS as [`Tls`] says. `[E]`
//!
//! ureq's own TLS step would build its configuration by itself, and panics on a certificate that
//! does not fit its key; this one takes a configuration that was checked when the client was made,
//! and verifies the name that the kubeconfig asks for instead of the host of the URL.
//!
//! Whatever fails here failed before a byte of the request left: it is marked as [`NotSent`].

use std::fmt;
use std::io::{Read as _, Write as _};

use rustls::{ClientConnection, StreamOwned};
use ureq::http::uri::Authority;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    SocksConnector, TcpConnector, Transport, TransportAdapter,
};

use super::tls::{Tls, own_reason, webpki_error};
use crate::net::resolve::LookupError;

/// Makes every connection of one client.
#[derive(Clone, Debug)]
pub(super) struct ApiConnector {
    tls: Option<Tls>,
    /// For a proxy that is https itself.
    proxy: Option<Tls>,
}

impl ApiConnector {
    pub(super) fn new(tls: Option<Tls>, proxy: Option<Tls>) -> ApiConnector {
        ApiConnector { tls, proxy }
    }

    /// The connector is asked for the connection to the proxy too, and then without a proxy.
    fn tls_for(&self, details: &ConnectionDetails) -> Option<&Tls> {
        match &self.proxy {
            Some(proxy) if details.config.proxy().is_none() => Some(proxy),
            _ => self.tls.as_ref(),
        }
    }
}

impl Connector<()> for ApiConnector {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _chained: Option<()>,
    ) -> Result<Option<Box<dyn Transport>>, ureq::Error> {
        let plain = open(details).map_err(|e| mark(details, e))?;
        let Some(plain) = plain else { return Ok(None) };
        match self.tls_for(details) {
            Some(tls) if details.needs_tls() && !plain.is_tls() => {
                let encrypted = TlsTransport::handshake(tls, plain, details);
                Ok(Some(Box::new(encrypted.map_err(|e| mark(details, e))?)))
            }
            _ => Ok(Some(plain)),
        }
    }
}

fn open(details: &ConnectionDetails) -> Result<Option<Box<dyn Transport>>, ureq::Error> {
    let socks = SocksConnector::default().connect(details, None::<()>)?;
    if let Some(Either::B(stream)) = socks {
        return Ok(Some(Box::new(stream)));
    }
    let proxied = ConnectProxyConnector::default().connect(details, None::<()>)?;
    let stream = TcpConnector::default().connect(details, proxied)?;
    Ok(stream.map(|s| Box::new(s) as Box<dyn Transport>))
}

/// Whatever it was becomes a [`NotSent`] with the server's name, unless it is one already.
fn mark(details: &ConnectionDetails, error: ureq::Error) -> ureq::Error {
    let authority = details.uri.authority().map_or_else(String::new, without_user);
    match error {
        ureq::Error::Other(inner) if inner.is::<NotSent>() || inner.is::<LookupError>() => {
            ureq::Error::Other(inner)
        }
        error => NotSent::connect(&authority, &error).into(),
    }
}

/// Host and port; a proxy's may have a name and a password before them.
fn without_user(authority: &Authority) -> String {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, address)| address).to_owned()
}

/// The request cannot have reached the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotSent(pub String);

impl NotSent {
    fn connect(authority: &str, error: &ureq::Error) -> NotSent {
        if let ureq::Error::Io(e) = error
            && let Some(tls) = e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>())
        {
            return NotSent(format!("no TLS with {authority}: {}", explain(tls)));
        }
        NotSent(format!("no connection to {authority}: {}", bare(error)))
    }
}

/// The words of an error without the prefix that ureq puts in front.
pub(super) fn bare(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(e) => e.to_string(),
        ureq::Error::Timeout(t) => format!("no answer in time ({t})"),
        ureq::Error::Other(e) => e.to_string(),
        error => error.to_string(),
    }
}

/// A certificate problem in terms of the kubeconfig.
fn explain(error: &rustls::Error) -> String {
    use rustls::CertificateError as Cert;
    let hint = match error {
        // The signature is bad where a cluster was made anew: another authority of the same name.
        rustls::Error::InvalidCertificate(Cert::UnknownIssuer | Cert::BadSignature) => {
            "the server's certificate is not signed by the certificate authority of the kubeconfig"
        }
        rustls::Error::InvalidCertificate(Cert::NotValidForNameContext { presented, .. })
            if presented.is_empty() =>
        {
            "the server's certificate names no host (it has no subject alternative name), which kubectl refuses as well; issue it again with one"
        }
        rustls::Error::InvalidCertificate(Cert::NotValidForName)
        | rustls::Error::InvalidCertificate(Cert::NotValidForNameContext { .. }) => {
            "the server's certificate is for another name; set tls-server-name if that is meant"
        }
        rustls::Error::InvalidCertificate(Cert::Expired)
        | rustls::Error::InvalidCertificate(Cert::ExpiredContext { .. }) => {
            "the server's certificate has expired; renew it, or check this machine's clock"
        }
        rustls::Error::InvalidCertificate(Cert::NotValidYet)
        | rustls::Error::InvalidCertificate(Cert::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet; check this machine's clock"
        }
        rustls::Error::InvalidCertificate(Cert::InvalidPurpose)
        | rustls::Error::InvalidCertificate(Cert::InvalidPurposeContext { .. }) => {
            "the server's certificate is not meant for servers (extended key usage without serverAuth); issue it again"
        }
        rustls::Error::InvalidCertificate(
            Cert::UnsupportedSignatureAlgorithmContext { .. }
            | Cert::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => {
            "the server's certificate is signed in a way that is not accepted (SHA-1, ECDSA with SHA-512 or on P-521); issue it again, signed with SHA-256"
        }
        rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure) => {
            "the server found no way to prove who it is that is supported (ECDSA P-521 is not); give it a certificate with a key of RSA of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519"
        }
        rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion) => {
            "the server speaks TLS of before 1.2 only, which is not safe; update it"
        }
        rustls::Error::InvalidCertificate(Cert::Other(other)) => match webpki_error(other) {
            None => return own_reason(other).unwrap_or_else(|| error.to_string()),
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "the server's certificate is an authority's, and not signed by the certificate authority of the kubeconfig itself; issue a server certificate (basicConstraints CA:FALSE)"
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                "the server's certificate is of version 1, which cannot name a host, and kubectl refuses it as well; issue one of version 3 with a subject alternative name"
            }
            Some(webpki::Error::NameConstraintViolation) => {
                "the server's certificate is for a name that its authority may not issue for (nameConstraints); let an authority issue it that may, or set tls-server-name to an allowed name of the server"
            }
            _ => return error.to_string(),
        },
        rustls::Error::InvalidMessage(_) => {
            "the server does not speak TLS; check port and scheme of server"
        }
        _ => return error.to_string(),
    };
    format!("{hint} ({error})")
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotSent {}

impl From<NotSent> for ureq::Error {
    fn from(e: NotSent) -> ureq::Error {
        ureq::Error::Other(Box::new(e))
    }
}

/// HTTP over rustls over whatever carries it.
struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl TlsTransport {
    fn handshake(
        tls: &Tls,
        plain: Box<dyn Transport>,
        details: &ConnectionDetails,
    ) -> Result<TlsTransport, ureq::Error> {
        let mut conn = ClientConnection::new(tls.config.clone(), tls.server_name.clone())?;
        let mut sock = TransportAdapter::new(plain, details.current_time.clone());
        sock.set_timeout(details.timeout);
        conn.complete_io(&mut sock)?;
        tls.note_peer(conn.peer_certificates());
        let (input, output) =
            (details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(TlsTransport {
            buffers: LazyBuffers::new(input, output),
            stream: StreamOwned { conn, sock },
        })
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}
