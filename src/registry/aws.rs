//! AWS as depd's user or role: credentials that are kept fresh, and signed calls of ECR. `[E]`
//!
//! The source is chosen anew whenever credentials are needed, so that changed files count without a restart.
//! Credentials are asked for by one caller at a time, renewed before they end, and a failure is remembered
//! for a few seconds: a hundred services must not wait one after the other for an address that is silent.

use std::fs;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::Value;

use super::answer::{self, AwsError};
use super::endpoint;
use super::environment::AwsEnvironment;
use super::http::Http;
use super::profile::{self, Profiles, Source};
use super::sigv4::{Credentials, Scope};
use super::{offered, process, sts};
use crate::model::EcrRegistry;
use crate::net::Surroundings;

/// Credentials are renewed this long before they end.
const EARLY: SignedDuration = SignedDuration::from_mins(5);

/// A failure is believed for so long.
const FAILURE_KEPT: Duration = Duration::from_secs(15);

/// AWS, and who we are there.
#[derive(Debug)]
pub(super) struct Aws {
    env: AwsEnvironment,
    http: Http,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    credentials: Option<Credentials>,
    failure: Option<(Instant, String)>,
}

/// Why a call brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// AWS refused it.
    Refused(AwsError),
    /// It did not get that far; a sentence.
    NotAsked(String),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CallError::Refused(error) => write!(f, "ECR says {error}{}", error.advice()),
            CallError::NotAsked(text) => f.write_str(text),
        }
    }
}

impl Aws {
    pub(super) fn new(env: AwsEnvironment, surroundings: Surroundings) -> Aws {
        Aws { env, http: Http::new(surroundings), known: Mutex::default() }
    }

    pub(super) fn environment(&self) -> &AwsEnvironment {
        &self.env
    }

    /// Where credentials would come from now, in a few words.
    pub(super) fn source_name(&self) -> Result<String, String> {
        Ok(profile::choose(&self.env, &self.profiles()?)?.name())
    }

    /// Calls an action of ECR for a registry. A session that has ended is renewed once.
    pub(super) fn ecr(
        &self,
        registry: &EcrRegistry,
        action: &str,
        body: &Value,
        limit: Duration,
    ) -> Result<Vec<u8>, CallError> {
        match self.call(registry, action, body, limit) {
            Err(CallError::Refused(error)) if error.is_expiry() => {
                self.known.lock().credentials = None;
                self.call(registry, action, body, limit)
            }
            outcome => outcome,
        }
    }

    fn call(
        &self,
        registry: &EcrRegistry,
        action: &str,
        body: &Value,
        limit: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let endpoint = endpoint::ecr(&self.env, registry).map_err(CallError::NotAsked)?;
        let credentials = self.credentials(registry).map_err(CallError::NotAsked)?;
        let target = format!("AmazonEC2ContainerRegistry_V20150921.{action}");
        let headers =
            [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let scope = Scope { region: &endpoint.region, service: "ecr", at: Timestamp::now() };
        let (url, body) = (format!("{}/", endpoint.url), body.to_string());
        let body = body.as_bytes();
        let reply = sts::signed(&self.http, &url, &headers, body, &credentials, scope, limit);
        let host = endpoint.url.split("://").last().unwrap_or_default();
        let reply = reply.map_err(|why| CallError::NotAsked(format!("ECR ({host}): {why}")))?;
        match reply.status {
            200 => Ok(reply.body),
            status => Err(CallError::Refused(AwsError::read(status, &reply.body))),
        }
    }

    /// Credentials that are good for some minutes.
    fn credentials(&self, registry: &EcrRegistry) -> Result<Credentials, String> {
        let mut known = self.known.lock();
        let now = Timestamp::now();
        let good_until = |c: &Credentials, early: SignedDuration| {
            c.expires.is_none_or(|expires| expires.duration_since(now) > early)
        };
        if let Some(credentials) = known.credentials.as_ref().filter(|c| good_until(c, EARLY)) {
            // Those without an end stand in files and the environment, and are read again each time.
            if credentials.expires.is_some() {
                return Ok(credentials.clone());
            }
        }
        if let Some((_, why)) = known.failure.as_ref().filter(|(at, _)| at.elapsed() < FAILURE_KEPT)
        {
            return Err(why.clone());
        }
        match self.fresh(registry) {
            Ok(credentials) => {
                *known = Known { credentials: Some(credentials.clone()), failure: None };
                Ok(credentials)
            }
            Err(why) => {
                let old = known.credentials.clone().filter(|c| {
                    c.expires.is_some() && good_until(c, SignedDuration::from_secs(10))
                });
                known.failure = Some((Instant::now(), why.clone()));
                old.ok_or(why)
            }
        }
    }

    fn fresh(&self, registry: &EcrRegistry) -> Result<Credentials, String> {
        let profiles = self.profiles()?;
        let source = profile::choose(&self.env, &profiles)?;
        self.take(&source, &profiles, registry)
    }

    fn take(
        &self,
        source: &Source,
        profiles: &Profiles,
        registry: &EcrRegistry,
    ) -> Result<Credentials, String> {
        let region = profiles.setting(self.env.profile().unwrap_or("default"), "region");
        let sts = || endpoint::sts(&self.env, region, registry);
        let found = match source {
            Source::Static(credentials) => Ok(credentials.clone()),
            Source::WebIdentity(web) => {
                sts().and_then(|sts| sts::with_web_identity(&self.http, &sts, web))
            }
            Source::Process(command) => {
                process::run(command, process::LIMIT).and_then(|output| answer::printed(&output))
            }
            Source::Container => offered::to_container(&self.env, &self.http),
            Source::Metadata => offered::to_instance(&self.env, &self.http),
            Source::Role(role, base) => {
                let base = self.take(base, profiles, registry)?;
                sts().and_then(|sts| sts::with_credentials(&self.http, &sts, role, &base))
            }
        };
        found.map_err(|why| format!("no AWS credentials from {}: {why}", source.name()))
    }

    fn profiles(&self) -> Result<Profiles, String> {
        let files = [self.env.config_file(), self.env.credentials_file()];
        let read = |file: &Option<String>| match file.as_deref().map(fs::read) {
            None => Ok(String::new()),
            Some(Ok(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Some(Err(error)) => {
                Err(format!("{} cannot be read: {error}", file.as_deref().unwrap_or_default()))
            }
        };
        let (config, credentials) = (read(&files[0])?, read(&files[1])?);
        let named: Vec<String> = files.into_iter().flatten().collect();
        let files = match named.is_empty() {
            true => "the shared files (HOME is not set)".to_owned(),
            false => named.join(" and "),
        };
        Ok(Profiles::parse(&config, &credentials, files))
    }
}
