//! Which source of credentials is meant. `[C]`
//!
//! Environment first, then a web identity, the profile, a container's endpoint and the instance's metadata:
//! the order of AWS's SDKs ("Standardized credential providers" in the SDKs and Tools Reference Guide). The
//! first that is set up is the one; if it then fails, that is an error, and nothing else is tried, so that
//! nobody acts as somebody else by accident.

use std::collections::BTreeMap;

use super::environment::AwsEnvironment;
use super::ini::{self, Section};
use super::sigv4::Credentials;
use crate::cluster::Secret;

/// Profiles that lead to one another, at most.
const LONGEST_CHAIN: usize = 5;

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// They stand there.
    Static(Credentials),
    /// A token of the cluster or of another identity provider, exchanged at STS.
    WebIdentity(WebIdentity),
    /// A program prints them.
    Process(String),
    /// Another source, which may take a role.
    Role(Role, Box<Source>),
    /// An endpoint that the container's host offers (ECS, EKS Pod Identity).
    Container,
    /// The instance's metadata service.
    Metadata,
}

/// What a web identity needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    /// The role to take.
    pub role_arn: String,
    /// The file with the token; it is rotated, so it is read each time.
    pub token_file: String,
    /// The name that AWS's logs show.
    pub session_name: String,
}

/// A role to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The role.
    pub arn: String,
    /// The name that AWS's logs show.
    pub session_name: String,
    /// What some owners of roles ask for.
    pub external_id: Option<String>,
}

/// What the two shared files say, and where they lie.
#[derive(Clone, Default)]
pub struct Profiles {
    by_name: BTreeMap<String, Section>,
    /// For messages: the files that were read.
    pub files: String,
}

impl Profiles {
    /// From the texts of the files, and their names; what the credentials file says wins.
    #[must_use]
    pub fn parse(config: &str, credentials: &str, files: String) -> Profiles {
        let mut by_name: BTreeMap<String, Section> = BTreeMap::new();
        for (section, values) in ini::parse(config) {
            let name = section.strip_prefix("profile ").map(str::to_owned);
            if let Some(name) = name.or((section == "default").then_some(section)) {
                by_name.entry(name).or_default().extend(values);
            }
        }
        for (name, values) in ini::parse(credentials) {
            by_name.entry(name).or_default().extend(values);
        }
        Profiles { by_name, files }
    }

    /// A setting of a profile.
    #[must_use]
    pub fn setting(&self, profile: &str, name: &str) -> Option<&str> {
        self.by_name.get(profile)?.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }
}

/// The source that is meant.
///
/// # Errors
/// A sentence that says which setting contradicts itself, or that nothing is set up.
pub fn choose(env: &AwsEnvironment, profiles: &Profiles) -> Result<Source, String> {
    if let Some(credentials) = environment(env)? {
        return Ok(Source::Static(credentials));
    }
    if let Some(token_file) = env.get("AWS_WEB_IDENTITY_TOKEN_FILE") {
        let role_arn = env.get("AWS_ROLE_ARN").ok_or(
            "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not: set both, or annotate the \
             ServiceAccount with eks.amazonaws.com/role-arn",
        )?;
        let session_name = env.get("AWS_ROLE_SESSION_NAME").unwrap_or("depd");
        return Ok(Source::WebIdentity(WebIdentity {
            role_arn: role_arn.to_owned(),
            token_file: token_file.to_owned(),
            session_name: session_name.to_owned(),
        }));
    }
    let profile = env.profile().unwrap_or("default");
    if env.profile().is_some() && !profiles.by_name.contains_key(profile) {
        return Err(format!(
            "AWS_PROFILE names the profile {profile}, which is not in {}",
            profiles.files
        ));
    }
    if let Some(source) = of_profile(profile, env, profiles, &mut Vec::new())? {
        return Ok(source);
    }
    if has_container(env) {
        return Ok(Source::Container);
    }
    if env.is_true("AWS_EC2_METADATA_DISABLED") {
        return Err(format!(
            "no AWS credentials are set up: not in the environment (AWS_ACCESS_KEY_ID, \
             AWS_WEB_IDENTITY_TOKEN_FILE), not for the profile {profile} in {}, no container endpoint, \
             and AWS_EC2_METADATA_DISABLED is true",
            profiles.files
        ));
    }
    Ok(Source::Metadata)
}

/// A container endpoint is set up.
fn has_container(env: &AwsEnvironment) -> bool {
    env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_some()
        || env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some()
}

fn environment(env: &AwsEnvironment) -> Result<Option<Credentials>, String> {
    match (env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(key)) => Ok(Some(fixed(id, key, env.get("AWS_SESSION_TOKEN")))),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: set both".into())
        }
        (None, Some(_)) => {
            Err("AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not: set both".into())
        }
    }
}

fn fixed(id: &str, key: &str, token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: Secret::new(id.into()),
        secret_access_key: Secret::new(key.into()),
        session_token: token.map(|token| Secret::new(token.into())),
        expires: None,
    }
}

/// What a profile says; `None` when it says nothing about credentials.
fn of_profile(
    name: &str,
    env: &AwsEnvironment,
    profiles: &Profiles,
    seen: &mut Vec<String>,
) -> Result<Option<Source>, String> {
    let get = |setting: &str| profiles.setting(name, setting);
    let here = format!("the profile {name} in {}", profiles.files);
    let again = seen.iter().any(|own| own == name);
    if let (Some(arn), false) = (get("role_arn"), again) {
        seen.push(name.to_owned());
        return role(name, arn, env, profiles, seen).map(Some);
    }
    match (get("aws_access_key_id"), get("aws_secret_access_key")) {
        (Some(id), Some(key)) => {
            return Ok(Some(Source::Static(fixed(id, key, get("aws_session_token")))));
        }
        (None, None) => {}
        _ => {
            return Err(format!(
                "{here} has only one of aws_access_key_id and aws_secret_access_key: set both"
            ));
        }
    }
    if let Some(command) = get("credential_process") {
        return Ok(Some(Source::Process(command.to_owned())));
    }
    if ["sso_session", "sso_start_url", "login_session"].iter().any(|n| get(n).is_some()) {
        return Err(format!(
            "{here} logs in through a browser (SSO), which a daemon cannot do: use a role or keys for \
             depd, or a profile with credential_process = aws configure export-credentials --profile \
             {name}"
        ));
    }
    Ok(None)
}

fn role(
    name: &str,
    arn: &str,
    env: &AwsEnvironment,
    profiles: &Profiles,
    seen: &mut Vec<String>,
) -> Result<Source, String> {
    let get = |setting: &str| profiles.setting(name, setting);
    let here = format!("the profile {name} in {}", profiles.files);
    if get("mfa_serial").is_some() {
        return Err(format!(
            "{here} asks for a one-time code (mfa_serial), which a daemon cannot type: use another role"
        ));
    }
    let session_name = get("role_session_name").unwrap_or("depd").to_owned();
    let role = Role {
        arn: arn.to_owned(),
        session_name: session_name.clone(),
        external_id: get("external_id").map(str::to_owned),
    };
    if let Some(token_file) = get("web_identity_token_file") {
        let (role_arn, token_file) = (role.arn, token_file.to_owned());
        return Ok(Source::WebIdentity(WebIdentity { role_arn, token_file, session_name }));
    }
    let base = match (get("source_profile"), get("credential_source")) {
        (Some(_), Some(_)) => {
            return Err(format!(
                "{here} has source_profile and credential_source: keep one of them"
            ));
        }
        (Some(source), None) => {
            if seen.len() > LONGEST_CHAIN {
                return Err(format!(
                    "{here}: more than {LONGEST_CHAIN} profiles lead to one another"
                ));
            }
            of_profile(source, env, profiles, seen)?.ok_or_else(|| {
                format!(
                    "{here} takes its source from the profile {source}, which has no credentials"
                )
            })?
        }
        (None, Some("Environment")) => Source::Static(environment(env)?.ok_or_else(|| {
            format!("{here} has credential_source = Environment, and AWS_ACCESS_KEY_ID is not set")
        })?),
        (None, Some("EcsContainer")) => Source::Container,
        (None, Some("Ec2InstanceMetadata")) => Source::Metadata,
        (None, Some(other)) => {
            return Err(format!(
                "{here} has credential_source = {other}: write Environment, EcsContainer or \
                 Ec2InstanceMetadata"
            ));
        }
        (None, None) => {
            return Err(format!(
                "{here} has role_arn alone: add source_profile, credential_source or \
                 web_identity_token_file"
            ));
        }
    };
    Ok(Source::Role(role, Box::new(base)))
}

impl Source {
    /// In a sentence: "the credentials of …".
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Source::Static(_) => "environment or shared files".into(),
            Source::WebIdentity(web) => {
                format!("the web identity in {} for {}", web.token_file, web.role_arn)
            }
            Source::Process(_) => "credential_process".into(),
            Source::Role(role, _) => format!("the role {}", role.arn),
            Source::Container => "the container's endpoint".into(),
            Source::Metadata => "the instance's metadata".into(),
        }
    }
}

#[cfg(test)]
mod tests;
