//! Where AWS is asked, and which addresses may be asked at all. `[C]`
//!
//! Secrets travel to these addresses: https only, but for this machine and for the link-local addresses on
//! which AWS itself offers credentials in plain http. Facts: "Service-specific endpoints", "Container
//! credential provider" and "IMDS credential provider" in the AWS SDKs and Tools Reference Guide.

use std::net::IpAddr;

use ureq::http::Uri;

use super::environment::AwsEnvironment;
use crate::model::EcrRegistry;

/// The address of a service: `https://host` without a path, and the region that signatures are for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Scheme, host and port.
    pub url: String,
    /// The region.
    pub region: String,
}

/// ECR's API for a registry.
///
/// # Errors
/// An endpoint that was set is not one that may be asked.
pub fn ecr(env: &AwsEnvironment, registry: &EcrRegistry) -> Result<Endpoint, String> {
    let set = overridden(env, "AWS_ENDPOINT_URL_ECR")?;
    let url = set.unwrap_or_else(|| format!("https://{}", registry.api_host()));
    Ok(Endpoint { url, region: registry.region().to_owned() })
}

/// STS for the region that was chosen, else for that of the registry.
///
/// # Errors
/// An endpoint that was set is not one that may be asked, or the region is not one.
pub fn sts(
    env: &AwsEnvironment,
    profile_region: Option<&str>,
    registry: &EcrRegistry,
) -> Result<Endpoint, String> {
    let set = overridden(env, "AWS_ENDPOINT_URL_STS")?;
    let region = env.region().or(profile_region).filter(|region| *region != registry.region());
    let (region, host) = match region {
        None => (registry.region(), registry.sts_host()),
        Some(region) => {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if !region.bytes().all(plain) {
                return Err(format!(
                    "the region {} is not one; set AWS_REGION to one such as eu-central-1",
                    region.escape_debug()
                ));
            }
            let suffix = match region.split('-').next() {
                Some("cn") => "amazonaws.com.cn",
                Some("eusc") => "amazonaws.eu",
                _ => "amazonaws.com",
            };
            (region, format!("sts.{region}.{suffix}"))
        }
    };
    let url = set.unwrap_or_else(|| format!("https://{host}"));
    Ok(Endpoint { url, region: region.to_owned() })
}

fn overridden(env: &AwsEnvironment, own: &str) -> Result<Option<String>, String> {
    if env.is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
        return Ok(None);
    }
    let names = [own, "AWS_ENDPOINT_URL"];
    let Some((name, url)) = names.iter().find_map(|name| Some((name, env.get(name)?))) else {
        return Ok(None);
    };
    let url = url.trim_end_matches('/');
    match kind(url) {
        Some(Kind::Https | Kind::Loopback) => Ok(Some(url.to_owned())),
        _ => Err(format!("{name} must begin with https:// (http:// is for this machine only)")),
    }
}

/// What may be sent to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Encrypted: anything.
    Https,
    /// Plain http on this machine: anything.
    Loopback,
    /// Plain http to the addresses on which container hosts offer credentials.
    ContainerHost,
    /// Plain http to the instance's metadata service.
    MetadataHost,
}

/// What kind of address a URL is; `None` for one that must not be asked.
#[must_use]
pub fn kind(url: &str) -> Option<Kind> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    match uri.scheme_str()? {
        "https" => return Some(Kind::Https),
        "http" => {}
        _ => return None,
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host == "localhost" {
        return Some(Kind::Loopback);
    }
    match host.parse::<IpAddr>().ok()? {
        ip if ip.is_loopback() => Some(Kind::Loopback),
        ip if ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"].contains(&&*ip.to_string()) => {
            Some(Kind::ContainerHost)
        }
        ip if ["169.254.169.254", "fd00:ec2::254"].contains(&&*ip.to_string()) => {
            Some(Kind::MetadataHost)
        }
        _ => None,
    }
}

/// Where a container's credentials are.
///
/// # Errors
/// The address is not one that may be asked.
pub fn container(env: &AwsEnvironment) -> Result<String, String> {
    if let Some(path) = env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        let slash = if path.starts_with('/') { "" } else { "/" };
        return Ok(format!("http://169.254.170.2{slash}{path}"));
    }
    let url = env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").unwrap_or_default();
    match kind(url) {
        Some(Kind::Https | Kind::Loopback | Kind::ContainerHost) => Ok(url.to_owned()),
        _ => Err("AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to this machine, \
                  169.254.170.2, 169.254.170.23 or [fd00:ec2::23]"
            .to_owned()),
    }
}

/// Where the instance's metadata service is.
///
/// # Errors
/// The address that was set is not one that may be asked.
pub fn metadata(env: &AwsEnvironment) -> Result<String, String> {
    if let Some(url) = env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
        return match kind(url) {
            Some(Kind::Https | Kind::Loopback | Kind::MetadataHost) => {
                Ok(url.trim_end_matches('/').to_owned())
            }
            _ => Err("AWS_EC2_METADATA_SERVICE_ENDPOINT must be https, or http to this machine, \
                      169.254.169.254 or [fd00:ec2::254]"
                .to_owned()),
        };
    }
    let mode = env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").unwrap_or_default();
    let host =
        if mode.eq_ignore_ascii_case("ipv6") { "[fd00:ec2::254]" } else { "169.254.169.254" };
    Ok(format!("http://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(set: &[(&str, &str)]) -> AwsEnvironment {
        AwsEnvironment::read(|name| {
            set.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn registry(region: &str) -> EcrRegistry {
        let cn = if region.starts_with("cn-") { ".cn" } else { "" };
        let host = format!("123456789012.dkr.ecr.{region}.amazonaws.com{cn}");
        EcrRegistry::parse(&host).expect("valid")
    }

    #[test]
    fn only_these_addresses_may_be_asked() {
        for (url, expect) in [
            ("https://ecr.example", Some(Kind::Https)),
            ("http://127.0.0.1:5000", Some(Kind::Loopback)),
            ("http://[::1]:5000/x", Some(Kind::Loopback)),
            ("http://localhost/x", Some(Kind::Loopback)),
            ("http://169.254.170.2/v2", Some(Kind::ContainerHost)),
            ("http://169.254.170.23/v1/credentials", Some(Kind::ContainerHost)),
            ("http://[fd00:ec2::23]/v1/credentials", Some(Kind::ContainerHost)),
            ("http://169.254.169.254", Some(Kind::MetadataHost)),
            ("http://ecr.example", None),
            ("http://127.0.0.1.evil.example", None),
            ("http://10.0.0.1/", None),
            ("https://user@ecr.example", None),
            ("ftp://127.0.0.1", None),
            ("169.254.170.2", None),
            ("", None),
        ] {
            assert_eq!(kind(url), expect, "{url}");
        }
    }

    #[test]
    fn endpoints_that_were_set_win_unless_they_are_to_be_ignored() {
        let check = |set: &[(&str, &str)], expect: Result<&str, &str>| {
            let found = ecr(&environment(set), &registry("eu-west-1"));
            match (found, expect) {
                (Ok(endpoint), Ok(url)) => assert_eq!(endpoint.url, url),
                (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
                (found, _) => panic!("{set:?}: {found:?}"),
            }
        };
        check(&[], Ok("https://api.ecr.eu-west-1.amazonaws.com"));
        check(&[("AWS_ENDPOINT_URL", "https://all/")], Ok("https://all"));
        let both = [("AWS_ENDPOINT_URL", "https://all"), ("AWS_ENDPOINT_URL_ECR", "https://own")];
        check(&both, Ok("https://own"));
        let ignored =
            [("AWS_ENDPOINT_URL", "https://x"), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")];
        check(&ignored, Ok("https://api.ecr.eu-west-1.amazonaws.com"));
        check(&[("AWS_ENDPOINT_URL_ECR", "http://ecr.example")], Err("AWS_ENDPOINT_URL_ECR must"));
    }

    #[test]
    fn sts_is_asked_in_the_region_that_was_chosen() {
        let check = |set: &[(&str, &str)], profile: Option<&str>, own: &str, expect: &str| {
            let found = sts(&environment(set), profile, &registry(own)).expect("an endpoint");
            assert_eq!(format!("{} {}", found.url, found.region), expect);
        };
        check(&[], None, "eu-west-1", "https://sts.eu-west-1.amazonaws.com eu-west-1");
        check(&[], Some("eu-west-2"), "eu-west-1", "https://sts.eu-west-2.amazonaws.com eu-west-2");
        let set = [("AWS_REGION", "us-east-2")];
        check(
            &set,
            Some("eu-west-2"),
            "eu-west-1",
            "https://sts.us-east-2.amazonaws.com us-east-2",
        );
        check(&[], None, "cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn cn-north-1");
        let evil = environment(&[("AWS_REGION", "x.evil.example/")]);
        assert!(sts(&evil, None, &registry("eu-west-1")).is_err());
    }

    #[test]
    fn containers_and_instances_have_addresses_of_their_own() {
        let relative = environment(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x")]);
        assert_eq!(container(&relative).as_deref(), Ok("http://169.254.170.2/v2/x"));
        let far = environment(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/x")]);
        assert!(container(&far).is_err());
        assert_eq!(metadata(&environment(&[])).as_deref(), Ok("http://169.254.169.254"));
        let six = environment(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6")]);
        assert_eq!(metadata(&six).as_deref(), Ok("http://[fd00:ec2::254]"));
    }
}
