//! ECR and STS as the server `moto` plays them: it refuses a wrong signature and a missing right.

use std::fs;
use std::time::Duration;

use serde_json::json;

use super::super::answer;
use super::super::aws::{Aws, CallError};
use super::super::images::{self, Presence};
use super::environment;
use crate::model::{EcrRegistry, Image};

/// What `scripts/moto env` exports.
struct Moto {
    url: String,
    registry: EcrRegistry,
}

impl Moto {
    fn find() -> Option<Moto> {
        let Ok(url) = std::env::var("DEPD_TEST_MOTO") else {
            println!("skipped: DEPD_TEST_MOTO is set by scripts/moto only");
            return None;
        };
        let host = format!("{}.dkr.ecr.eu-west-1.amazonaws.com", variable("ACCOUNT"));
        Some(Moto { url, registry: EcrRegistry::parse(&host).expect("valid") })
    }

    fn with(&self, set: &[(&str, &str)]) -> Aws {
        let url = ("AWS_ENDPOINT_URL", &*self.url);
        let off = ("AWS_EC2_METADATA_DISABLED", "true");
        let set: Vec<(&str, &str)> = [url, off].iter().chain(set).copied().collect();
        Aws::new(environment(&set), Default::default())
    }

    fn with_keys(&self, user: &str) -> Aws {
        let (id, key) = keys(user);
        self.with(&[("AWS_ACCESS_KEY_ID", &id), ("AWS_SECRET_ACCESS_KEY", &key)])
    }

    fn token(&self, aws: &Aws) -> Result<String, String> {
        let limit = Duration::from_secs(20);
        let answer = aws.ecr(&self.registry, "GetAuthorizationToken", &json!({}), limit);
        let answer = answer.map_err(|error| error.to_string())?;
        Ok(answer::authorization(&answer)?.auth.expose().to_string())
    }
}

fn variable(name: &str) -> String {
    std::env::var(format!("DEPD_TEST_MOTO_{name}")).expect("scripts/moto env sets it")
}

fn keys(user: &str) -> (String, String) {
    let both = variable(user);
    let (id, key) = both.split_once(' ').expect("two words");
    (id.to_owned(), key.to_owned())
}

#[test]
fn a_signed_request_is_answered_and_a_wrong_signature_is_refused() {
    let Some(moto) = Moto::find() else { return };
    assert!(moto.token(&moto.with_keys("PULLER")).is_ok());
    let (id, key) = keys("PULLER");
    let wrong = format!("{key}x");
    let aws = moto.with(&[("AWS_ACCESS_KEY_ID", &id), ("AWS_SECRET_ACCESS_KEY", &wrong)]);
    let problem = moto.token(&aws).expect_err("another key signs otherwise");
    assert!(problem.contains("SignatureDoesNotMatch"), "{problem}");
    assert!(problem.contains("does not belong to the access key"), "{problem}");
    let aws = moto.with(&[("AWS_ACCESS_KEY_ID", "AKIANOBODY"), ("AWS_SECRET_ACCESS_KEY", &key)]);
    let problem = moto.token(&aws).expect_err("nobody has this key");
    assert!(problem.contains("AWS does not know this access key"), "{problem}");
}

#[test]
fn a_missing_right_is_named() {
    let Some(moto) = Moto::find() else { return };
    let problem = moto.token(&moto.with_keys("NOBODY")).expect_err("it may nothing");
    assert!(problem.contains("ecr:GetAuthorizationToken"), "{problem}");
    assert!(problem.contains("allow it in the policy"), "{problem}");
}

#[test]
fn a_role_is_taken_and_its_session_signs() {
    let Some(moto) = Moto::find() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (config, credentials) = (folder.path().join("config"), folder.path().join("credentials"));
    let role = variable("ROLE");
    fs::write(&config, format!("[profile x]\nrole_arn = {role}\nsource_profile = taker\n"))
        .expect("written");
    let (id, key) = keys("TAKER");
    let text = format!("[taker]\naws_access_key_id = {id}\naws_secret_access_key = {key}\n");
    fs::write(&credentials, text).expect("written");
    let file = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (config, credentials) = (file(&config), file(&credentials));
    let files =
        [("AWS_CONFIG_FILE", &*config), ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str())];
    let with = |profile| moto.with(&[files[0], files[1], ("AWS_PROFILE", profile)]);
    moto.token(&with("x")).expect("the role may");
    let problem = moto.token(&with("taker")).expect_err("the user itself may not");
    assert!(problem.contains("ecr:GetAuthorizationToken"), "{problem}");
}

#[test]
fn images_are_found_or_missed_and_tags_are_listed() {
    let Some(moto) = Moto::find() else { return };
    let aws = moto.with_keys("PULLER");
    let limit = Duration::from_secs(20);
    let image =
        |end: &str| Image::parse(&format!("{}/{end}", moto.registry)).expect("a valid image");
    let presence = |end: &str| {
        let body = images::question(&moto.registry, &image(end));
        match aws.ecr(&moto.registry, "BatchGetImage", &body, limit) {
            Ok(answer) => images::presence(&answer),
            Err(CallError::Refused(error)) => images::refusal(&error),
            Err(CallError::NotAsked(why)) => panic!("{why}"),
        }
    };
    assert_eq!(presence("shop/web:1.2.3"), Presence::There);
    assert_eq!(presence("shop/web:1.2.5"), Presence::NoImage);
    assert_eq!(presence("shop/none:1"), Presence::NoRepository);
    let body = images::all_tags(&moto.registry, &image("shop/web:1.2.5"), None);
    let answer = aws.ecr(&moto.registry, "ListImages", &body, limit).expect("allowed");
    let (tags, _) = images::tags(&answer);
    assert_eq!(images::nearest("1.2.5", &tags), ["1.2.3", "1.2.4", "2.0.0"]);
}
