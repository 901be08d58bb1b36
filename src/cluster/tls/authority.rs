//! What a certificate of an authority may vouch for, as Go judges it for kubectl. `[C]`
//!
//! webpki believes every certificate that it is given as a root, whatever stands in it. Here is what it
//! leaves out: whether it is an authority's at all, its dates, its purposes, and how many others may
//! stand below it. What is not understood vouches for nobody. Facts: RFC 5280, sections 4.2.1.3, 4.2.1.9
//! and 4.2.1.12, and Go's `crypto/x509`, `CheckSignatureFrom` and `isValid`.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error, OtherError};
use webpki::{VerifiedPath, anchor_from_trusted_cert};

use super::der::Fields;

const LISTED: &str = "the certificate authority of the kubeconfig";
const BETWEEN: &str = "an authority that the server shows";

/// Why a certificate vouches for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    whose: &'static str,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    NoAuthority,
    NoSigner,
    NotForServers,
    TooManyBelow,
    NotYet,
    Over,
    Odd,
}

/// Whether this one, which the kubeconfig lists, may stand above so many other authorities.
pub(super) fn may_sign(
    listed: &CertificateDer<'_>,
    below: usize,
    now: UnixTime,
) -> Result<(), Unfit> {
    let fault = match Fields::read(listed) {
        None => Fault::Odd,
        Some(own) if !own.is_authority() => Fault::NoAuthority,
        Some(own) if !own.may_sign() => Fault::NoSigner,
        Some(own) if !own.is_for_servers() => Fault::NotForServers,
        Some(own) if own.most_below().is_some_and(|most| below > most) => Fault::TooManyBelow,
        Some(own) if now.as_secs() < own.not_before => Fault::NotYet,
        Some(own) if now.as_secs() > own.not_after => Fault::Over,
        Some(_) => return Ok(()),
    };
    Err(Unfit { whose: LISTED, fault })
}

/// Whether a way that webpki found is one for Go as well. A root that is not listed is a public one,
/// which others have judged.
pub(super) fn may_pass(
    path: &VerifiedPath<'_>,
    listed: &[CertificateDer<'static>],
    now: UnixTime,
) -> Result<(), Unfit> {
    let mut below = 0;
    for between in path.intermediate_certificates() {
        let unfit = |fault| Err(Unfit { whose: BETWEEN, fault });
        match Fields::read(&between.der()) {
            None => return unfit(Fault::Odd),
            Some(own) if !own.may_sign() => return unfit(Fault::NoSigner),
            Some(_) => below += 1,
        }
    }
    let is_root = |one: &&CertificateDer<'_>| {
        anchor_from_trusted_cert(one).is_ok_and(|anchor| anchor == *path.anchor())
    };
    // An authority that was renewed is listed twice with the same key: one good one is enough.
    let mut outcome = Ok(());
    for one in listed.iter().filter(is_root) {
        outcome = may_sign(one, below, now);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.whose)?;
        f.write_str(match self.fault {
            Fault::NoAuthority => {
                " is no authority's certificate (basicConstraints without CA:TRUE), so that it vouches for itself only; name the certificate of who signed the server's"
            }
            Fault::NoSigner => {
                " may not sign certificates (keyUsage without keyCertSign); issue it again with it"
            }
            Fault::NotForServers => {
                " is not meant for servers (extendedKeyUsage without serverAuth); issue it again with it, or without extendedKeyUsage"
            }
            Fault::TooManyBelow => {
                " allows fewer authorities below it than the server shows (pathlen); issue it again with a higher pathlen, or name the one that signed the server's certificate"
            }
            Fault::NotYet => " is not valid yet; check this machine's clock",
            Fault::Over => {
                " has expired; renew it and put it into the kubeconfig, or check this machine's clock"
            }
            Fault::Odd => " is a certificate that cannot be understood; issue it again",
        })
    }
}

impl std::error::Error for Unfit {}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Error {
        CertificateError::Other(OtherError(Arc::new(unfit))).into()
    }
}
