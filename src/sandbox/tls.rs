//! The sandbox's own certificate authority, its server certificate, and client certificates.
//!
//! Made anew at every start and kept in memory only. Like kube-apiserver, the server asks for a
//! client certificate and does not insist: a missing or foreign one is a 401, not a failed handshake.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};

use super::SandboxError;

/// Makes certificates, and knows whom it made them for.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    verifier: Arc<dyn ClientCertVerifier>,
    /// Client certificate (DER) → its user.
    users: Mutex<HashMap<Vec<u8>, String>>,
}

/// A certificate and its private key, as PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// PKCS #8.
    pub key_pem: String,
}

impl Authority {
    /// A fresh authority.
    pub(super) fn new() -> Result<Authority, SandboxError> {
        let key = KeyPair::generate().map_err(SandboxError::certificate)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "depd sandbox");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(SandboxError::certificate)?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).map_err(SandboxError::tls)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(SandboxError::certificate)?;
        Ok(Authority {
            issuer: Issuer::new(params, key),
            ca_pem: certificate.pem(),
            verifier,
            users: Mutex::default(),
        })
    }

    /// The certificate that clients must trust.
    pub(super) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What the server needs to speak TLS on loopback.
    pub(super) fn server_config(&self) -> Result<ServerConfig, SandboxError> {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned(), "kubernetes".to_owned()];
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let (certificate, key) = self.issue(names, "kube-apiserver", usage)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let ask = Arc::new(AskForCertificate(self.verifier.clone()));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(SandboxError::tls)?
            .with_client_cert_verifier(ask)
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(SandboxError::tls)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// A client certificate; its common name is the user.
    pub(super) fn client(&self, user: &str) -> Result<Identity, SandboxError> {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        let (certificate, key) = self.issue(Vec::new(), user, usage)?;
        self.users.lock().insert(certificate.der().to_vec(), user.to_owned());
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// The user that a client's certificates prove, if they do.
    pub(super) fn user(&self, certificates: &[CertificateDer<'_>]) -> Option<String> {
        let (own, others) = certificates.split_first()?;
        self.verifier.verify_client_cert(own, others, UnixTime::now()).ok()?;
        self.users.lock().get(own.as_ref()).cloned()
    }

    fn issue(
        &self,
        names: Vec<String>,
        common_name: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<(rcgen::Certificate, KeyPair), SandboxError> {
        let key = KeyPair::generate().map_err(SandboxError::certificate)?;
        let mut params = CertificateParams::new(names).map_err(SandboxError::certificate)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let certificate =
            params.signed_by(&key, &self.issuer).map_err(SandboxError::certificate)?;
        Ok((certificate, key))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Takes any certificate in the handshake, and checks there only that the client holds its key;
/// [`Authority::user`] decides whom it proves.
#[derive(Debug)]
struct AskForCertificate(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AskForCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
