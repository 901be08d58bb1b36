//! The public certificate authorities of this machine. `[E]`
//!
//! `SSL_CERT_FILE` first, then the places where Linux distributions keep their bundle (the list of
//! Go's `crypto/x509`, so that what kubectl trusts is trusted here), else the set built in.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The roots to trust where a kubeconfig names no authority; never empty.
pub(super) fn public_roots() -> RootCertStore {
    match public_certificates() {
        Some(certificates) => {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(certificates);
            store
        }
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    }
}

/// The certificates of the first bundle that holds a usable one; `None` where there is no such bundle.
#[must_use]
pub fn public_certificates() -> Option<Vec<CertificateDer<'static>>> {
    let chosen = std::env::var_os("SSL_CERT_FILE").filter(|v| !v.is_empty()).map(PathBuf::from);
    chosen.into_iter().chain(BUNDLES.map(PathBuf::from)).find_map(|file| {
        let pem = std::fs::read(&file).ok()?;
        let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).flatten().collect();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.iter().cloned());
        (!store.is_empty()).then_some(found)
    })
}
