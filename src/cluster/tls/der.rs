//! The few fields of a certificate that webpki does not show. `[C]`
//!
//! Facts: RFC 5280, section 4.1, RFC 3279, section 2.3, for keys, and X.690 for DER. Everything is bounds-checked; what is not understood
//! is `None`, which trusts nobody.

/// Fields of one certificate, as slices of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    /// What is signed, with tag and length.
    pub signed: &'a [u8],
    /// The content of the algorithm identifier.
    pub algorithm: &'a [u8],
    /// The signature itself.
    pub signature: &'a [u8],
    /// 1, 2 or 3.
    version: u8,
    /// Seconds since 1970.
    pub not_before: u64,
    /// Seconds since 1970.
    pub not_after: u64,
    /// Who signed it, as it is written.
    pub issuer: &'a [u8],
    /// Whose it is, as it is written.
    pub subject: &'a [u8],
    /// The content of the subject's public key info.
    key: &'a [u8],
    /// The content of the extensions, empty where there are none.
    extensions: &'a [u8],
}

/// 2.5.29.15
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// 2.5.29.19
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// 2.5.29.37
pub(super) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// 2.5.29.30
pub(super) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
/// 1.3.6.1.5.5.7.3.1
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
/// 2.5.29.37.0
const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0];

/// 1.2.840.113549.1.1.1
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// 1.2.840.10045.2.1
const ELLIPTIC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// 1.2.840.10045.3.1.7
const P_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// 1.3.132.0.34
const P_384: &[u8] = &[0x2b, 0x81, 4, 0, 34];
/// 1.3.132.0.35
const P_521: &[u8] = &[0x2b, 0x81, 4, 0, 35];
/// 1.3.101.112
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

const SEQUENCE: u8 = 0x30;

/// Why nothing can be verified with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// RSA of fewer than 2048 bits.
    Short {
        /// So many.
        bits: usize,
    },
    /// ECDSA on P-521.
    P521,
    /// Anything else.
    Kind,
}

/// One element: tag, content, all of it, and what follows.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
    rest: &'a [u8],
}

fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&tag, &first) = (der.first()?, der.get(1)?);
    let (length, start) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81 => (usize::from(*der.get(2)?), 3),
        0x82 => (usize::from(u16::from_be_bytes(der.get(2..4)?.try_into().ok()?)), 4),
        _ => return None,
    };
    let end = start + length;
    let content = der.get(start..end)?;
    Some(Element { tag, content, whole: &der[..end], rest: &der[end..] })
}

fn tagged(der: &[u8], tag: u8) -> Option<Element<'_>> {
    element(der).filter(|element| element.tag == tag)
}

impl<'a> Fields<'a> {
    /// Reads a certificate of version 3, or of version 1, which has no extensions.
    pub(super) fn read(der: &'a [u8]) -> Option<Fields<'a>> {
        let certificate = tagged(der, SEQUENCE)?;
        let signed = tagged(certificate.content, SEQUENCE)?;
        let algorithm = tagged(signed.rest, SEQUENCE)?;
        let signature = tagged(algorithm.rest, 0x03)?;
        // No unused bits.
        let (0, bits) = signature.content.split_first()? else { return None };

        let version = tagged(signed.content, 0xa0);
        let serial = tagged(version.as_ref().map_or(signed.content, |version| version.rest), 0x02)?;
        let own_algorithm = tagged(serial.rest, SEQUENCE)?;
        if own_algorithm.content != algorithm.content {
            return None;
        }
        let issuer = tagged(own_algorithm.rest, SEQUENCE)?;
        let validity = tagged(issuer.rest, SEQUENCE)?;
        let begin = element(validity.content)?;
        let end = element(begin.rest)?;
        let subject = tagged(validity.rest, SEQUENCE)?;
        let key = tagged(subject.rest, SEQUENCE)?;
        let mut rest = key.rest;
        let mut extensions: &[u8] = &[];
        while let Some(part) = element(rest) {
            if part.tag == 0xa3 {
                extensions = tagged(part.content, SEQUENCE)?.content;
            }
            rest = part.rest;
        }
        let version = match version {
            None => 1,
            Some(version) => match tagged(version.content, 0x02)?.content {
                [number] => number.checked_add(1)?,
                _ => return None,
            },
        };
        Some(Fields {
            version,
            signed: signed.whole,
            algorithm: algorithm.content,
            signature: bits,
            not_before: time(&begin)?,
            not_after: time(&end)?,
            issuer: issuer.content,
            subject: subject.content,
            key: key.content,
            extensions,
        })
    }

    /// The content of an extension.
    pub(super) fn extension(&self, wanted: &[u8]) -> Option<&'a [u8]> {
        let mut rest = self.extensions;
        while let Some(one) = tagged(rest, SEQUENCE) {
            let name = tagged(one.content, 0x06)?;
            if name.content == wanted {
                let value = element(name.rest)?;
                let value = if value.tag == 0x01 { element(value.rest)? } else { value };
                return Some(value.content);
            }
            rest = one.rest;
        }
        None
    }

    /// What is wrong with the key, if anything is.
    pub(super) fn key_fault(&self) -> Option<KeyFault> {
        let algorithm = tagged(self.key, SEQUENCE)?;
        let name = tagged(algorithm.content, 0x06)?;
        if name.content == RSA {
            let bits = tagged(algorithm.rest, 0x03)?;
            let key = tagged(bits.content.get(1..)?, SEQUENCE)?;
            let modulus = tagged(key.content, 0x02)?.content;
            let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
            let bits = 8 * modulus.len() - modulus.first()?.leading_zeros() as usize;
            return (bits < 2048).then_some(KeyFault::Short { bits });
        }
        if name.content == ELLIPTIC {
            let curve = tagged(name.rest, 0x06).map(|curve| curve.content);
            return match curve {
                Some(P_256 | P_384) => None,
                Some(P_521) => Some(KeyFault::P521),
                _ => Some(KeyFault::Kind),
            };
        }
        (name.content != ED25519).then_some(KeyFault::Kind)
    }

    /// The content of the basic constraints, where they are there.
    fn basic_constraints(&self) -> Option<&'a [u8]> {
        Some(tagged(self.extension(BASIC_CONSTRAINTS)?, SEQUENCE)?.content)
    }

    /// It is an authority's. Before version 3 none could say so, and all are believed.
    pub(super) fn is_authority(&self) -> bool {
        match self.basic_constraints() {
            None => self.version < 3,
            Some(constraints) => tagged(constraints, 0x01).is_some_and(|ca| ca.content == [0xff]),
        }
    }

    /// Its key may sign certificates, or it does not say what it may do.
    pub(super) fn may_sign(&self) -> bool {
        /// The sixth bit.
        const CERTIFICATES: u8 = 0x04;
        let Some(value) = self.extension(KEY_USAGE) else { return true };
        let bits = tagged(value, 0x03).map(|bits| bits.content);
        let Some([_unused, first, rest @ ..]) = bits else { return false };
        first & CERTIFICATES != 0 || (*first == 0 && rest.iter().all(|byte| *byte == 0))
    }

    /// How many authorities may stand between it and a server, if it says so.
    pub(super) fn most_below(&self) -> Option<usize> {
        let constraints = self.basic_constraints()?;
        let rest = tagged(constraints, 0x01).map_or(constraints, |ca| ca.rest);
        let number = tagged(rest, 0x02)?.content;
        // Nobody has a chain that long.
        Some(if let [small] = number { usize::from(*small) } else { usize::MAX })
    }

    /// It may be a server's, or does not say what it is for.
    pub(super) fn is_for_servers(&self) -> bool {
        let Some(value) = self.extension(EXTENDED_KEY_USAGE) else { return true };
        let Some(list) = tagged(value, SEQUENCE) else { return false };
        let mut rest = list.content;
        while let Some(purpose) = tagged(rest, 0x06) {
            if purpose.content == SERVER_AUTH || purpose.content == ANY_PURPOSE {
                return true;
            }
            rest = purpose.rest;
        }
        false
    }
}

/// UTCTime or GeneralizedTime, in the one form that RFC 5280 allows.
fn time(element: &Element<'_>) -> Option<u64> {
    let text = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    let full = match (element.tag, text.len()) {
        (0x17, 12) => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        (0x18, 14) => text.to_owned(),
        _ => return None,
    };
    if !full.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| full.get(range);
    let stamp = format!(
        "{}-{}-{}T{}:{}:{}",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?,
        part(12..14)?
    );
    let stamp: jiff::civil::DateTime = stamp.parse().ok()?;
    // The last hours of the year 9999, which mean no end, are beyond what can be a point in time.
    let point = stamp.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp());
    let second = point.unwrap_or(jiff::Timestamp::MAX).as_second();
    Some(u64::try_from(second).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 2);
        params.not_after = date_time_ymd(2051, 1, 2);
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn validity_and_purpose_are_read() {
        let der = certificate(|_| ());
        let fields = Fields::read(&der).unwrap();
        assert_eq!((fields.not_before, fields.not_after), (1_577_923_200, 2_556_230_400));
        assert!(fields.is_for_servers());
        assert!(fields.extension(NAME_CONSTRAINTS).is_none());
        let check = |purpose: ExtendedKeyUsagePurpose, expect: bool| {
            let der = certificate(|p| p.extended_key_usages = vec![purpose]);
            assert_eq!(Fields::read(&der).unwrap().is_for_servers(), expect);
        };
        check(ExtendedKeyUsagePurpose::ServerAuth, true);
        check(ExtendedKeyUsagePurpose::Any, true);
        check(ExtendedKeyUsagePurpose::ClientAuth, false);
    }

    #[test]
    fn dates_before_1970_and_without_end_are_read() {
        let check = |(year, month, day), (tag, text): (u8, &[u8]), expect: u64| {
            let der = certificate(|p| p.not_after = date_time_ymd(year, month, day));
            assert_eq!(Fields::read(&der).unwrap().not_after, expect);
            let whole = [&[tag, u8::try_from(text.len()).unwrap()], text].concat();
            assert_eq!(time(&element(&whole).unwrap()), Some(expect));
        };
        check((1960, 1, 1), (0x17, b"600101000000Z"), 0);
        check((2049, 12, 31), (0x17, b"491231000000Z"), 2_524_521_600);
        let never = time(&element(b"\x18\x0f99991231235959Z").unwrap()).unwrap();
        assert!(never > 253_402_000_000, "{never}");
    }

    #[test]
    fn what_an_authority_may_is_read() {
        use rcgen::{BasicConstraints, IsCa, KeyUsagePurpose};
        let check = |ca: IsCa, usages: &[KeyUsagePurpose], expect: (bool, bool, Option<usize>)| {
            let der = certificate(|p| {
                p.is_ca = ca;
                p.key_usages = usages.to_vec();
            });
            let fields = Fields::read(&der).unwrap();
            let read = (fields.is_authority(), fields.may_sign(), fields.most_below());
            assert_eq!(read, expect, "{usages:?}");
        };
        let (unlimited, one) = (BasicConstraints::Unconstrained, BasicConstraints::Constrained(1));
        check(IsCa::NoCa, &[], (false, true, None));
        check(IsCa::ExplicitNoCa, &[], (false, true, None));
        check(IsCa::Ca(unlimited), &[], (true, true, None));
        check(IsCa::Ca(one), &[KeyUsagePurpose::KeyCertSign], (true, true, Some(1)));
        check(IsCa::Ca(unlimited), &[KeyUsagePurpose::CrlSign], (true, false, None));
    }

    proptest! {
        #[test]
        fn whatever_is_damaged_is_read_without_a_panic(
            cut in 0_usize..600, at in 0_usize..600, byte in any::<u8>(),
        ) {
            let mut der = certificate(|_| ());
            let length = der.len();
            der[at % length] = byte;
            der.truncate(length - cut.min(length));
            if let Some(fields) = Fields::read(&der) {
                let _ = (fields.is_for_servers(), fields.key_fault());
                let _ = (fields.is_authority(), fields.may_sign(), fields.most_below());
            }
        }
    }
}
