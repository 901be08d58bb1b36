//! A private registry of Amazon ECR, known by the form of its host name.
//!
//! The forms are those of the ECR user guide ("Private registry", "Dual-stack endpoints", "FIPS") and of
//! the credential provider that kubelets use:
//!
//! ```text
//! 123456789012.dkr.ecr.eu-central-1.amazonaws.com       and .com.cn for China
//! 123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com
//! 123456789012.dkr-ecr.eu-central-1.on.aws              dual-stack; dkr-ecr-fips likewise
//! ```
//!
//! `public.ecr.aws` needs no credentials, and so is not one of them.

use std::fmt;

use super::Image;

/// One private registry; two are equal when their host names are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EcrRegistry {
    host: Box<str>,
    region: Box<str>,
    form: Form,
}

/// What the host name says besides account and region.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Form {
    fips: bool,
    dual_stack: bool,
    /// The part of the cloud, which has DNS suffixes of its own.
    partition: u8,
}

/// A partition of AWS by its suffixes: of services, of dual-stack registries, of dual-stack services.
struct Suffixes {
    plain: &'static str,
    dual_registry: &'static str,
    dual_service: &'static str,
}

/// `aws` with `aws-us-gov`, `aws-cn`, `aws-eusc`. The isolated partitions have no road to the outside.
const PARTITIONS: [Suffixes; 3] = [
    Suffixes { plain: "amazonaws.com", dual_registry: "on.aws", dual_service: "api.aws" },
    Suffixes {
        plain: "amazonaws.com.cn",
        dual_registry: "on.amazonwebservices.com.cn",
        dual_service: "api.amazonwebservices.com.cn",
    },
    Suffixes {
        plain: "amazonaws.eu",
        dual_registry: "on.amazonwebservices.eu",
        dual_service: "api.amazonwebservices.eu",
    },
];

/// Digits of an AWS account.
const ACCOUNT_DIGITS: usize = 12;

impl EcrRegistry {
    /// The registry of an image, if it is a private one of ECR.
    #[must_use]
    pub fn of(image: &Image) -> Option<EcrRegistry> {
        EcrRegistry::parse(image.registry())
    }

    /// Reads a host name; `None` when it is not that of a private registry of ECR.
    #[must_use]
    pub fn parse(host: &str) -> Option<EcrRegistry> {
        let (account, rest) = host.split_once('.')?;
        let digits = account.len() == ACCOUNT_DIGITS && account.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            return None;
        }
        let (dual_stack, rest) = match (rest.strip_prefix("dkr.ecr"), rest.strip_prefix("dkr-ecr"))
        {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return None,
        };
        let (fips, rest) = match rest.strip_prefix("-fips.") {
            Some(rest) => (true, rest),
            None => (false, rest.strip_prefix('.')?),
        };
        let (region, suffix) = rest.split_once('.')?;
        if !is_region(region) {
            return None;
        }
        let own = |s: &Suffixes| if dual_stack { s.dual_registry } else { s.plain };
        let partition = PARTITIONS.iter().position(|s| own(s) == suffix)?;
        let form = Form { fips, dual_stack, partition: u8::try_from(partition).ok()? };
        Some(EcrRegistry { host: host.into(), region: region.into(), form })
    }

    /// The host name, as images carry it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The account that owns the registry: twelve digits.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.host[..ACCOUNT_DIGITS]
    }

    /// The region, for example `eu-central-1`.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The host of ECR's own API for this registry: FIPS and dual-stack where the registry's is.
    #[must_use]
    pub fn api_host(&self) -> String {
        let suffixes = self.suffixes();
        let region = &self.region;
        match (self.form.dual_stack, self.form.fips) {
            (false, false) => format!("api.ecr.{region}.{}", suffixes.plain),
            (false, true) => format!("ecr-fips.{region}.{}", suffixes.plain),
            (true, false) => format!("ecr.{region}.{}", suffixes.dual_service),
            (true, true) => format!("ecr-fips.{region}.{}", suffixes.dual_service),
        }
    }

    /// The host of the Security Token Service in the same region and of the same kind.
    #[must_use]
    pub fn sts_host(&self) -> String {
        let suffixes = self.suffixes();
        let suffix = if self.form.dual_stack { suffixes.dual_service } else { suffixes.plain };
        // In GovCloud the plain name is the FIPS one.
        let own_name =
            self.form.fips && (self.form.dual_stack || !self.region.starts_with("us-gov-"));
        format!("sts{}.{}.{suffix}", if own_name { "-fips" } else { "" }, self.region)
    }

    fn suffixes(&self) -> &'static Suffixes {
        &PARTITIONS[usize::from(self.form.partition)]
    }
}

/// Letters, digits and dashes: it becomes part of a host name.
fn is_region(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.contains('-')
        && text.bytes().all(plain)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
}

impl fmt::Debug for EcrRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EcrRegistry({})", self.host)
    }
}

impl fmt::Display for EcrRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Region, ECR's API and STS, as AWS's own SDK resolves them for the same options.
    #[track_caller]
    fn check(host: &str, expect: &str) {
        let found = match EcrRegistry::parse(host) {
            Some(r) => format!("{} {} {}", r.region(), r.api_host(), r.sts_host()),
            None => "no".to_owned(),
        };
        assert_eq!(found, expect, "{host}");
    }

    #[test]
    fn a_host_name_says_region_and_endpoints() {
        check(
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "eu-west-1 api.ecr.eu-west-1.amazonaws.com sts.eu-west-1.amazonaws.com",
        );
        check(
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
            "us-east-1 ecr-fips.us-east-1.amazonaws.com sts-fips.us-east-1.amazonaws.com",
        );
        check(
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "us-gov-west-1 ecr-fips.us-gov-west-1.amazonaws.com sts.us-gov-west-1.amazonaws.com",
        );
        check(
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "cn-north-1 api.ecr.cn-north-1.amazonaws.com.cn sts.cn-north-1.amazonaws.com.cn",
        );
        check(
            "123456789012.dkr-ecr.eu-west-1.on.aws",
            "eu-west-1 ecr.eu-west-1.api.aws sts.eu-west-1.api.aws",
        );
        check(
            "123456789012.dkr-ecr-fips.us-gov-west-1.on.aws",
            "us-gov-west-1 ecr-fips.us-gov-west-1.api.aws sts-fips.us-gov-west-1.api.aws",
        );
        check(
            "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
            "cn-north-1 ecr.cn-north-1.api.amazonwebservices.com.cn \
             sts.cn-north-1.api.amazonwebservices.com.cn",
        );
    }

    #[test]
    fn what_only_looks_like_ecr_is_not() {
        for host in [
            "docker.io",
            "public.ecr.aws",
            "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
            "12345678901x.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.io",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com:443",
            "123456789012.dkr.ecr.evil.io/amazonaws.com",
            "123456789012.dkr.ecr..amazonaws.com",
            "123456789012.dkr.ecr.amazonaws.com",
            "123456789012.dkr.ecr-x.eu-west-1.amazonaws.com",
            "123456789012.dkr-ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.EU-WEST-1.amazonaws.com",
            "123456789012.s3.eu-west-1.amazonaws.com",
        ] {
            check(host, "no");
        }
    }

    #[test]
    fn an_image_of_ecr_names_its_registry() {
        let image = |text: &str| Image::parse(text).expect("valid");
        let own = image("123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/web:1");
        assert_eq!(EcrRegistry::of(&own).expect("one").account(), "123456789012");
        assert_eq!(EcrRegistry::of(&image("nginx:1.25")), None);
    }
}
