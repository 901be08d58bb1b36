//! Who may pretend to be the API server: what kubectl accepts, where that is safe. `[E]`
//!
//! webpki is stricter than Go in points that clusters of the wild depend on. It refuses a server
//! certificate that is itself marked as an authority (as `openssl req -x509` makes them), and one that
//! is listed in `certificate-authority` although somebody else signed it, or in a way of old. All are
//! safe to accept under the conditions here: it *is* one of the listed certificates, byte for byte, or
//! is signed directly by one of them; it carries the name; it is in date; it is for servers. Everything
//! else is for webpki to decide. A certificate without a subject alternative name is refused, as kubectl
//! refuses it.
//!
//! In one point webpki is milder than Go: it asks nothing of a root. [`super::authority`] does, and a
//! way that it refuses is none.
//!
//! A key that nothing can be verified with looks to webpki like a bad signature; it is named here.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

use super::authority::{Unfit, may_pass, may_sign};
use super::der::{Fields, KeyFault, NAME_CONSTRAINTS};

/// Verifies as webpki does, and on some refusals looks again.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: RootCertStore,
    listed: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// `listed` are the certificates that `roots` was made of.
    pub(super) fn new(
        roots: RootCertStore,
        listed: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Verifier {
        Verifier { roots, listed, algorithms: provider.signature_verification_algorithms }
    }

    /// What webpki says, on the ways that Go would go as well.
    fn strict(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        let unfit: Cell<Option<Unfit>> = Cell::new(None);
        let judge = |path: &webpki::VerifiedPath<'_>| {
            may_pass(path, &self.listed, now).map_err(|fault| {
                unfit.set(Some(fault));
                webpki::Error::UnknownIssuer
            })
        };
        let unknown = || Error::from(CertificateError::UnknownIssuer);
        let own = EndEntityCert::try_from(certificate).map_err(|_| unknown())?;
        let found = own.verify_for_usage(
            algorithms,
            &self.roots.roots,
            intermediates,
            now,
            KeyUsage::server_auth(),
            None,
            Some(&judge),
        );
        if found.is_ok() {
            return verify_server_name(&parsed, name);
        }
        // rustls, which lets nobody judge the way, says in its own words what webpki refuses.
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        Err(unfit.get().map_or_else(unknown, Error::from))
    }

    /// Whether it is, or is directly signed by, one of the listed certificates.
    fn is_vouched_for(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<bool, Error> {
        let Ok(parsed) = EndEntityCert::try_from(certificate) else { return Ok(false) };
        let Some(fields) = Fields::read(certificate) else { return Ok(false) };
        let is_listed = self.listed.iter().any(|one| one == certificate);
        if !is_listed {
            let signers = self.listed.iter().filter(|one| self.signed(one, &parsed, &fields));
            let verdicts: Vec<_> = signers.map(|one| may_sign(one, 0, now)).collect();
            match verdicts.first() {
                _ if verdicts.iter().any(Result::is_ok) => {}
                Some(Err(unfit)) => return Err((*unfit).into()),
                _ => return Ok(false),
            }
        }
        if !fields.is_for_servers() {
            return Err(CertificateError::InvalidPurpose.into());
        }
        if now.as_secs() < fields.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if now.as_secs() > fields.not_after {
            return Err(CertificateError::Expired.into());
        }
        match parsed.verify_is_valid_for_subject_name(name) {
            Ok(()) => Ok(true),
            Err(_) => {
                let presented = parsed.valid_dns_names().map(str::to_owned).collect();
                let expected = name.to_owned();
                Err(CertificateError::NotValidForNameContext { expected, presented }.into())
            }
        }
    }

    /// The same refusal, or the reason for it in the key of whoever signed.
    fn name_issuer(&self, error: Error, certificate: &CertificateDer<'_>) -> Error {
        const AUTHORITY: &str = "the certificate authority of the kubeconfig";
        let Some(fields) = Fields::read(certificate).filter(|_| is_of_signature(&error)) else {
            return error;
        };
        let signed = |one: &&CertificateDer<'_>| {
            Fields::read(one).is_some_and(|own| own.subject == fields.issuer)
        };
        let mut authorities = self.listed.iter().filter(signed);
        match authorities.find_map(|one| UnusableKey::of(AUTHORITY, one)) {
            Some(key) => key.into(),
            None => error,
        }
    }

    /// Whether `authority` signed it. Constraints on names are left to webpki, which knows them.
    fn signed(
        &self,
        authority: &CertificateDer<'_>,
        certificate: &EndEntityCert<'_>,
        fields: &Fields<'_>,
    ) -> bool {
        let Ok(parsed) = EndEntityCert::try_from(authority) else { return false };
        let is_constrained =
            Fields::read(authority).is_none_or(|own| own.extension(NAME_CONSTRAINTS).is_some());
        if is_constrained || parsed.subject() != certificate.issuer() {
            return false;
        }
        let algorithms = self.algorithms.all.iter();
        let fitting = algorithms.filter(|a| a.signature_alg_id().as_ref() == fields.algorithm);
        fitting.into_iter().any(|algorithm| {
            parsed.verify_signature(*algorithm, fields.signed, fields.signature).is_ok()
        })
    }
}

/// The refusals that are looked at again.
fn is_excusable(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        // It may be for any purpose, which webpki does not take for ours.
        Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => true,
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            webpki_error(other) == Some(&webpki::Error::CaUsedAsEndEntity) || other.0.is::<Unfit>()
        }
        error => is_of_signature(error),
    }
}

/// The signature is bad, or of a kind that cannot be verified.
fn is_of_signature(error: &Error) -> bool {
    use CertificateError as Cert;
    matches!(
        error,
        Error::InvalidCertificate(
            Cert::BadSignature
                | Cert::UnsupportedSignatureAlgorithmContext { .. }
                | Cert::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
        )
    )
}

/// Nothing can be verified with this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnusableKey {
    whose: &'static str,
    fault: KeyFault,
}

impl UnusableKey {
    fn of(whose: &'static str, certificate: &CertificateDer<'_>) -> Option<UnusableKey> {
        let fault = Fields::read(certificate)?.key_fault()?;
        Some(UnusableKey { whose, fault })
    }
}

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = self.whose;
        match self.fault {
            KeyFault::Short { bits } => {
                write!(f, "{whose} has an RSA key of {bits} bits, which is too weak")
            }
            KeyFault::P521 => {
                write!(f, "{whose} has an ECDSA key on P-521, which is not supported")
            }
            KeyFault::Kind => write!(f, "{whose} has a key of a kind that is not supported"),
        }?;
        f.write_str(
            "; issue it again with RSA of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519",
        )
    }
}

impl std::error::Error for UnusableKey {}

impl From<UnusableKey> for Error {
    fn from(key: UnusableKey) -> Error {
        CertificateError::Other(OtherError(Arc::new(key))).into()
    }
}

/// The same refusal, or the reason for it in the key that was to verify a message.
fn name_key<T>(outcome: Result<T, Error>, certificate: &CertificateDer<'_>) -> Result<T, Error> {
    outcome.map_err(|error| match UnusableKey::of(SERVER, certificate) {
        Some(key) => key.into(),
        None => error,
    })
}

const SERVER: &str = "the server's certificate";

/// Our own reason for a refusal.
pub(in crate::cluster) fn own_reason(other: &OtherError) -> Option<String> {
    let key = other.0.downcast_ref::<UnusableKey>().map(ToString::to_string);
    key.or_else(|| other.0.downcast_ref::<Unfit>().map(ToString::to_string))
}

/// What webpki said where rustls has no word of its own for it.
pub(in crate::cluster) fn webpki_error(other: &OtherError) -> Option<&webpki::Error> {
    other.0.downcast_ref()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.strict(end_entity, intermediates, server_name, now) {
            Err(error) if is_excusable(&error) => {
                match self.is_vouched_for(end_entity, server_name, now)? {
                    true => Ok(ServerCertVerified::assertion()),
                    false => Err(self.name_issuer(error, end_entity)),
                }
            }
            strict => strict.map(|()| ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let outcome = verify_tls12_signature(message, certificate, signature, &self.algorithms);
        name_key(outcome, certificate)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let outcome = verify_tls13_signature(message, certificate, signature, &self.algorithms);
        name_key(outcome, certificate)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
