//! The public certificate authorities of this machine. `[E]`
//!
//! `SSL_CERT_FILE` first, then the places where Linux distributions keep their bundle (the list of
//! Go's `crypto/x509`, so that what kubectl trusts is trusted here), else the set built in.

use std::path::{Path, PathBuf};

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

/// The roots to trust where nothing else is named; never empty. `chosen` is `SSL_CERT_FILE`.
#[must_use]
pub fn public_roots(chosen: Option<&Path>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(bundle(chosen));
    if store.is_empty() {
        store.roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
    }
    store
}

/// The certificates of the file that was chosen, else of this machine's bundle; empty where it has
/// none.
#[must_use]
pub fn bundle(chosen: Option<&Path>) -> Vec<CertificateDer<'static>> {
    let chosen = chosen.map(Path::to_owned);
    let files = chosen.into_iter().chain(BUNDLES.map(PathBuf::from));
    let mut read = files.filter_map(|file| std::fs::read(file).ok());
    let found = read.find_map(|pem| {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).flatten().collect();
        (!certificates.is_empty()).then_some(certificates)
    });
    found.unwrap_or_default()
}
