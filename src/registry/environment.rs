//! The settings of AWS's tools that depd honours, as environment variables. `[C]`
//!
//! Facts: "Configuration and credential file settings" and the pages on environment variables in the AWS
//! SDKs and Tools Reference Guide. Values may be secrets, so `Debug` shows names only.

use std::collections::BTreeMap;
use std::fmt;

/// The names that are looked up, and nothing else is.
pub const NAMES: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_ECR",
    "AWS_ENDPOINT_URL_STS",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "HOME",
];

/// What of [`NAMES`] is set.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AwsEnvironment(BTreeMap<&'static str, String>);

impl AwsEnvironment {
    /// Those of [`NAMES`] whose values are secrets.
    pub const SECRETS: &[&str] =
        &["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];

    /// Asks for every name; an empty value counts as not set.
    #[must_use]
    pub fn read(get: impl Fn(&str) -> Option<String>) -> AwsEnvironment {
        let set = |name: &&'static str| Some((*name, get(name).filter(|v| !v.is_empty())?));
        AwsEnvironment(NAMES.iter().filter_map(set).collect())
    }

    /// The value of one of [`NAMES`].
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A switch is on.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The region that was chosen, where the registry does not say it.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.get("AWS_REGION").or_else(|| self.get("AWS_DEFAULT_REGION"))
    }

    /// The profile that was chosen.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        self.get("AWS_PROFILE").or_else(|| self.get("AWS_DEFAULT_PROFILE"))
    }

    /// Where the shared configuration lies.
    #[must_use]
    pub fn config_file(&self) -> Option<String> {
        self.shared("AWS_CONFIG_FILE", "config")
    }

    /// Where the shared credentials lie.
    #[must_use]
    pub fn credentials_file(&self) -> Option<String> {
        self.shared("AWS_SHARED_CREDENTIALS_FILE", "credentials")
    }

    fn shared(&self, name: &str, file: &str) -> Option<String> {
        let home = self.get("HOME");
        match self.get(name) {
            Some(path) => match (path.strip_prefix("~/"), home) {
                (Some(rest), Some(home)) => Some(format!("{home}/{rest}")),
                _ => Some(path.to_owned()),
            },
            None => home.map(|home| format!("{home}/.aws/{file}")),
        }
    }
}

impl fmt::Debug for AwsEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(set: &[(&str, &str)]) -> AwsEnvironment {
        AwsEnvironment::read(|name| {
            set.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn shared_files_lie_in_the_home_unless_named() {
        let home = environment(&[("HOME", "/home/ann")]);
        assert_eq!(home.config_file().as_deref(), Some("/home/ann/.aws/config"));
        let named = environment(&[("HOME", "/home/ann"), ("AWS_CONFIG_FILE", "~/x")]);
        assert_eq!(named.config_file().as_deref(), Some("/home/ann/x"));
        assert_eq!(environment(&[]).credentials_file(), None);
    }

    #[test]
    fn no_value_is_printed() {
        let text = format!("{:?}", environment(&[("AWS_SECRET_ACCESS_KEY", "CANARY")]));
        assert!(text.contains("AWS_SECRET_ACCESS_KEY") && !text.contains("CANARY"), "{text}");
    }
}
