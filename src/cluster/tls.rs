//! Trust and identity: from [`Access`] to what rustls needs. `[E]`
//!
//! Everything that can be wrong with certificates and keys is found here, before the first
//! connection, and said in terms of the kubeconfig. What stands in the files is read once per
//! [`Tls::load`]; whoever rotates them loads again.

mod authority;
mod der;
mod verify;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, InconsistentKeys, RootCertStore, SignatureScheme,
};

use super::access::{Access, ClientIdentity, Material, Trust};
use crate::net::roots::public_roots;
use verify::Verifier;

pub(super) use verify::{own_reason, webpki_error};

/// What is wrong with PEM that has no end or is not base64.
const TORN: &str = "the PEM text is cut or damaged; copy it again";

/// What is wrong with PEM that holds something else than it says.
const DAMAGED: &str = "the PEM text is whole, but holds no valid certificate; issue it again";

/// Everything for TLS with one API server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tls {
    /// Checked configuration, with the session cache that all connections share.
    pub config: Arc<ClientConfig>,
    /// The name that the certificate must carry.
    pub server_name: ServerName<'static>,
    /// When the certificate ends that the server showed last; 0 while that is not known.
    ends: Arc<AtomicU64>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// Why no connection can be made with this access; each says which part and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// A file that the kubeconfig names cannot be read.
    Unreadable {
        /// What it should hold, for example `client key`.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// The words of the operating system.
        cause: String,
    },
    /// Certificates or a key that cannot be used.
    Unusable {
        /// What it should hold, for example `client key`.
        what: &'static str,
        /// Where it stands: a file, or the kubeconfig itself.
        place: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The certificate belongs to another key.
    PairMismatch {
        /// Where the certificate stands.
        certificate: String,
        /// Where the key stands.
        key: String,
    },
    /// The host of the server, or `tls-server-name`, is not a name that a certificate can carry.
    ServerName {
        /// The name.
        name: String,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Unreadable { what, file, cause } => {
                write!(f, "{what} {} cannot be read: {cause}", file.display())
            }
            ConnectError::Unusable { what, place, problem } => {
                write!(f, "{what} in {place}: {problem}")
            }
            ConnectError::PairMismatch { certificate, key } => write!(
                f,
                "the client certificate in {certificate} does not belong to the client key in {key}; take both from the same issue"
            ),
            ConnectError::ServerName { name } => {
                write!(f, "`{name}` is not a server name; correct server or tls-server-name")
            }
        }
    }
}

impl std::error::Error for ConnectError {}

impl Tls {
    fn new(config: ClientConfig, server_name: ServerName<'static>) -> Tls {
        Tls { config: Arc::new(config), server_name, ends: Arc::default() }
    }

    /// Takes note of the chain that the server showed.
    pub(super) fn note_peer(&self, chain: Option<&[CertificateDer<'_>]>) {
        let own = chain.and_then(|chain| der::Fields::read(chain.first()?));
        if let Some(fields) = own {
            self.ends.store(fields.not_after, Ordering::Relaxed);
        }
    }

    /// When the certificate ends that the server showed last, in seconds since 1970.
    pub(super) fn peer_ends(&self) -> Option<u64> {
        Some(self.ends.load(Ordering::Relaxed)).filter(|ends| *ends > 0)
    }

    /// Reads and checks certificates and keys; `None` for a server that is plain http.
    ///
    /// `plugin` is the client certificate that a credential plugin returned, if any.
    pub(super) fn load(
        access: &Access,
        plugin: Option<&ClientIdentity>,
    ) -> Result<Option<Tls>, ConnectError> {
        if !access.server.is_https() {
            return Ok(None);
        }
        let name = access.tls_server_name.as_deref().unwrap_or_else(|| access.server.host());
        let provider = Arc::new(ring::default_provider());
        let verifier = verifier(access, &provider, false)?;
        let mut config = match plugin.or(access.identity.as_ref()) {
            None => builder(&provider, verifier)?.with_no_client_auth(),
            Some(identity) => {
                let pair = client_pair(identity, &provider)?;
                let pair = Arc::new(rustls::sign::SingleCertAndKey::from(pair));
                builder(&provider, verifier)?.with_client_cert_resolver(pair)
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Tls::new(config, server_name(name)?)))
    }

    /// For an https proxy in front of the server: it may be known to the authority of the kubeconfig,
    /// as kubectl demands it, or to everybody. It never sees the client certificate.
    pub(super) fn load_for_proxy(access: &Access) -> Result<Option<Tls>, ConnectError> {
        let Some(proxy) = &access.proxy else { return Ok(None) };
        if !proxy.url.expose().starts_with("https://") {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = verifier(access, &provider, true)?;
        let mut config = builder(&provider, verifier)?.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Tls::new(config, server_name(proxy.url.host())?)))
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, ConnectError> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| ConnectError::ServerName { name: name.to_owned() })
}

fn builder(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, ConnectError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable("TLS", "this build".into(), e.to_string()))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
}

/// `and_public` trusts the public roots as well.
fn verifier(
    access: &Access,
    provider: &Arc<CryptoProvider>,
    and_public: bool,
) -> Result<Arc<dyn ServerCertVerifier>, ConnectError> {
    let public_roots = || public_roots(access.bundle.as_deref());
    let (mut roots, listed) = match &access.trust {
        Trust::Unverified => return Ok(Arc::new(AnyCertificate(provider.clone()))),
        Trust::PublicRoots => (public_roots(), Vec::new()),
        Trust::Authority(material) => authority(material)?,
    };
    if and_public {
        roots.extend(public_roots().roots);
    }
    Ok(Arc::new(Verifier::new(roots, listed, provider)))
}

fn unusable(what: &'static str, place: String, problem: impl Into<String>) -> ConnectError {
    ConnectError::Unusable { what, place, problem: problem.into() }
}

fn place(material: &Material) -> String {
    match material {
        Material::File(path) => path.display().to_string(),
        Material::Inline(_) => "the kubeconfig".into(),
    }
}

fn content(what: &'static str, material: &Material) -> Result<Vec<u8>, ConnectError> {
    match material {
        Material::Inline(data) => Ok(data.expose().clone()),
        Material::File(path) => std::fs::read(path).map_err(|e| ConnectError::Unreadable {
            what,
            file: path.clone(),
            cause: e.to_string(),
        }),
    }
}

/// What tells the authority of this access from others: a digest of its certificates, in whatever order
/// and form they are written.
pub(super) fn fingerprint(access: &Access) -> Result<String, ConnectError> {
    Ok(match &access.trust {
        _ if !access.server.is_https() => "plain http".to_owned(),
        Trust::Unverified => "unverified".to_owned(),
        Trust::PublicRoots => "public".to_owned(),
        Trust::Authority(material) => {
            let pem = content("certificate authority", material)?;
            let mut certificates: Vec<CertificateDer<'_>> =
                CertificateDer::pem_slice_iter(&pem).flatten().collect();
            certificates.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
            let mut digest = ::ring::digest::Context::new(&::ring::digest::SHA256);
            certificates.iter().for_each(|certificate| digest.update(certificate));
            let digest = digest.finish();
            let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sha256:{hex}")
        }
    })
}

/// Certificates of an authority. One that cannot be understood is passed over with a warning, as
/// long as another one can be used: kubectl is content with that as well, but silent about it.
fn authority(
    material: &Material,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), ConnectError> {
    const WHAT: &str = "certificate authority";
    let pem = content(WHAT, material)?;
    let mut store = RootCertStore::empty();
    let mut listed = Vec::new();
    let mut faults = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = match certificate {
            Ok(der) => {
                listed.push(der.clone());
                store.add(der).map_err(|_| DAMAGED)
            }
            Err(_) => Err(TORN),
        };
        if let Err(e) = added {
            faults.push(e);
        }
    }
    if listed.iter().any(|der| has_expired(der)) {
        log::warn!(
            "{WHAT} in {}: a certificate has expired, and servers of it are refused; renew it",
            place(material)
        );
    }
    match (store.len(), faults.first()) {
        (0, None) => Err(unusable(WHAT, place(material), "it holds no PEM certificate")),
        (0, Some(fault)) => {
            Err(unusable(WHAT, place(material), format!("no certificate can be used: {fault}")))
        }
        (_, None) => Ok((store, listed)),
        (usable, Some(fault)) => {
            log::warn!(
                "{WHAT} in {}: {usable} certificates in use, {} passed over: {fault}",
                place(material),
                faults.len()
            );
            Ok((store, listed))
        }
    }
}

fn has_expired(der: &CertificateDer<'_>) -> bool {
    der::Fields::read(der).is_some_and(|fields| fields.not_after < UnixTime::now().as_secs())
}

/// The client certificate with its key, proven to belong together.
fn client_pair(
    identity: &ClientIdentity,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, ConnectError> {
    const CERTIFICATE: &str = "client certificate";
    const KEY: &str = "client key";
    let pem = content(CERTIFICATE, &identity.certificate)?;
    let at = || place(&identity.certificate);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| unusable(CERTIFICATE, at(), TORN))?;
    if chain.is_empty() {
        return Err(unusable(CERTIFICATE, at(), "it holds no PEM certificate"));
    }

    let pem = content(KEY, &identity.key)?;
    let at = || place(&identity.key);
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let encrypted = String::from_utf8_lossy(&pem).contains("ENCRYPTED");
        let problem = match encrypted {
            true => "it is encrypted; depd cannot ask for a passphrase, store it without one",
            false => "it holds no PEM private key",
        };
        unusable(KEY, at(), problem)
    })?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        unusable(
            KEY,
            at(),
            "it is damaged, or of a kind that is not supported; use RSA of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519",
        )
    })?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => Err(ConnectError::PairMismatch {
            certificate: place(&identity.certificate),
            key: place(&identity.key),
        }),
        Err(_) => Err(unusable(CERTIFICATE, place(&identity.certificate), DAMAGED)),
    }
}

/// `insecure-skip-tls-verify`: encrypts, and trusts whoever answers.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod odd_tests;
#[cfg(test)]
mod tests;
