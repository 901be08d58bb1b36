//! Where credentials come from, what is sent for them, and what is said when they do not come.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use serde_json::json;

use super::super::aws::{Aws, CallError};
use super::{Fake, Seen, environment};
use crate::model::EcrRegistry;

const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

fn registry() -> EcrRegistry {
    EcrRegistry::parse(HOST).expect("valid")
}

fn in_minutes(minutes: i64) -> String {
    (Timestamp::now() + minutes.minutes()).to_string()
}

fn offered(minutes: i64) -> String {
    json!({
        "Code": "Success",
        "AccessKeyId": "ASIAOFFERED",
        "SecretAccessKey": "CANARY-SECRET",
        "Token": "CANARY-SESSION",
        "Expiration": in_minutes(minutes),
    })
    .to_string()
}

fn assumed(id: &str) -> String {
    let expires = in_minutes(60);
    format!(
        "<R><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>CANARY-SECRET</SecretAccessKey>\
         <SessionToken>CANARY-SESSION</SessionToken><Expiration>{expires}</Expiration></Credentials></R>"
    )
}

/// ECR, which answers everything with an empty object.
fn ecr() -> Fake {
    Fake::start(|_| (200, "{}".into()))
}

/// One call of ECR; the access key that signed it, or why there was none.
fn call(aws: &Aws, ecr: &Fake) -> Result<String, String> {
    let answer = aws.ecr(&registry(), "GetAuthorizationToken", &json!({}), Duration::from_secs(20));
    match answer {
        Ok(_) => {
            let seen = ecr.last();
            let header = seen.header("authorization").to_owned();
            assert!(header.contains("/eu-west-1/ecr/aws4_request"), "{header}");
            assert_eq!(
                seen.header("x-amz-target"),
                "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
            );
            let id = header.split("Credential=").nth(1).and_then(|rest| rest.split('/').next());
            Ok(id.unwrap_or_default().to_owned())
        }
        Err(CallError::NotAsked(why)) => {
            assert!(!why.contains("CANARY"), "{why}");
            Err(why)
        }
        Err(CallError::Refused(error)) => panic!("{error}"),
    }
}

/// AWS with this environment, whose ECR is `ecr`.
fn aws(ecr: &Fake, set: &[(&str, &str)]) -> Aws {
    let url = ecr.url();
    let set: Vec<(&str, &str)> =
        [("AWS_ENDPOINT_URL_ECR", &*url)].into_iter().chain(set.iter().copied()).collect();
    Aws::new(environment(&set), Default::default())
}

fn is_metadata(seen: &Seen) -> (u16, String) {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    match &*seen.line {
        "PUT /latest/api/token" => (200, "SESSION".into()),
        _ if seen.header("x-aws-ec2-metadata-token") != "SESSION" => (401, String::new()),
        line if line == format!("GET {ROLES}") => (200, "node-role\n".into()),
        line if line == format!("GET {ROLES}node-role") => (200, offered(300)),
        _ => (404, String::new()),
    }
}

/// Security row 17.
#[test]
fn whoever_sends_back_what_it_is_sent_gets_no_secret_into_an_error() {
    let all = |seen: &Seen| format!("{:?} {}", seen.headers, seen.body);
    let echo = Fake::start(move |seen| {
        let error = json!({ "__type": "Broken", "message": all(seen) }).to_string();
        (400, error)
    });
    let refuses = Fake::start(move |seen| {
        (200, json!({ "Code": "Failed", "Message": all(seen) }).to_string())
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    // Longer than what is shown of a message, so that it would be cut.
    fs::write(&file, format!("CANARY-{}", "x".repeat(500))).expect("written");
    let (url, refusing) = (echo.url(), refuses.url());
    let session = [
        ("AWS_ACCESS_KEY_ID", "AKIATEST"),
        ("AWS_SECRET_ACCESS_KEY", "CANARY-KEY"),
        ("AWS_SESSION_TOKEN", "CANARY-SESSION"),
    ];
    let web = [
        ("AWS_ENDPOINT_URL_STS", &*url),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().expect("UTF-8")),
    ];
    let container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*refusing),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().expect("UTF-8")),
    ];
    for set in [&session[..], &web, &container] {
        let aws = aws(&echo, set);
        let said = match aws.ecr(&registry(), "Ask", &json!({}), Duration::from_secs(5)) {
            Err(CallError::Refused(error)) => error.to_string(),
            Err(CallError::NotAsked(why)) => why,
            Ok(_) => panic!("nobody says yes"),
        };
        let expect = ["Broken: ", "it says Failed "];
        assert!(expect.iter().any(|part| said.contains(part)), "{said}");
        assert!(said.contains("[redac") && !said.contains("CANARY"), "{said}");
    }
}

#[test]
fn an_instance_gives_credentials_in_a_session_and_they_are_kept() {
    let (ecr, instance) = (ecr(), Fake::start(is_metadata));
    let url = instance.url();
    let aws = aws(&ecr, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]);
    assert_eq!(call(&aws, &ecr).as_deref(), Ok("ASIAOFFERED"));
    assert_eq!(ecr.last().header("x-amz-security-token"), "CANARY-SESSION");
    assert_eq!(call(&aws, &ecr).as_deref(), Ok("ASIAOFFERED"));
    assert_eq!(instance.lines().len(), 3, "one session, the role, its credentials: once");
}

#[test]
fn credentials_that_end_soon_are_renewed_and_old_ones_serve_while_that_fails() {
    let ecr = ecr();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let container = Fake::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => (200, offered(4)),
        _ => (500, String::new()),
    });
    let url = container.url();
    let aws = aws(&ecr, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]);
    assert_eq!(call(&aws, &ecr).as_deref(), Ok("ASIAOFFERED"));
    assert_eq!(call(&aws, &ecr).as_deref(), Ok("ASIAOFFERED"));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "it was asked for new ones");
}

#[test]
fn a_container_is_asked_with_the_token_of_its_file_as_it_is_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, "first\n").expect("written");
    let (ecr, container) = (ecr(), Fake::start(|_| (200, offered(1))));
    let url = format!("{}/v1/credentials", container.url());
    let aws = aws(
        &ecr,
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().expect("UTF-8")),
        ],
    );
    assert_eq!(call(&aws, &ecr).as_deref(), Ok("ASIAOFFERED"));
    assert_eq!(container.last().header("authorization"), "first");
    fs::write(&file, "second").expect("written");
    assert_eq!(call(&aws, &ecr).as_deref(), Ok("ASIAOFFERED"));
    assert_eq!(container.last().header("authorization"), "second");
}

#[test]
fn a_web_identity_is_exchanged_unsigned() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, "CANARY.TOKEN+x").expect("written");
    let (ecr, sts) = (ecr(), Fake::start(|_| (200, assumed("ASIAWEB"))));
    let url = sts.url();
    let set = [
        ("AWS_ENDPOINT_URL_STS", &*url),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().expect("UTF-8")),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/depd"),
    ];
    assert_eq!(call(&aws(&ecr, &set), &ecr).as_deref(), Ok("ASIAWEB"));
    let seen = sts.last();
    assert_eq!(seen.header("authorization"), "");
    assert_eq!(
        seen.body,
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15\
         &RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fdepd&RoleSessionName=depd\
         &WebIdentityToken=CANARY.TOKEN%2Bx"
    );
}

#[test]
fn a_role_is_taken_with_the_credentials_of_its_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config");
    fs::write(
        &config,
        "[profile dev]\nrole_arn = arn:r\nsource_profile = base\nexternal_id = ours\nregion = eu-west-2\n\
         [profile base]\ncredential_process = printf '{\"Version\":1,\"AccessKeyId\":\"AKIABASE\",\
         \"SecretAccessKey\":\"CANARY-BASE\"}'\n",
    )
    .expect("written");
    let (ecr, sts) = (ecr(), Fake::start(|_| (200, assumed("ASIAROLE"))));
    let url = sts.url();
    let set = [
        ("AWS_ENDPOINT_URL_STS", &*url),
        ("AWS_CONFIG_FILE", config.to_str().expect("UTF-8")),
        ("AWS_PROFILE", "dev"),
    ];
    assert_eq!(call(&aws(&ecr, &set), &ecr).as_deref(), Ok("ASIAROLE"));
    let seen = sts.last();
    assert!(seen.body.contains("Action=AssumeRole&") && seen.body.ends_with("&ExternalId=ours"));
    let header = seen.header("authorization");
    assert!(
        header.contains("Credential=AKIABASE/") && header.contains("/eu-west-2/sts/"),
        "{header}"
    );
}

#[test]
fn what_does_not_work_is_said_with_its_source_and_what_to_do() {
    let ecr = ecr();
    let refuses = Fake::start(|_| (403, "CANARY".into()));
    let redirects = Fake::start(|_| (302, String::new()));
    let roleless = Fake::start(|seen| match seen.line.starts_with("PUT") {
        true => (200, "S".into()),
        false => (404, String::new()),
    });
    let sts = Fake::start(|_| {
        let error = "<Code>ExpiredTokenException</Code><Message>it is over</Message>";
        (400, format!("<E><Error>{error}</Error></E>"))
    });
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    fs::write(&token, "CANARY").expect("written");
    let config = folder.path().join("config");
    fs::write(&config, "[default]\ncredential_process = /nonexistent/give\n").expect("written");
    let (token, config) = (token.to_str().expect("UTF-8"), config.to_str().expect("UTF-8"));
    let check = |set: &[(&str, &str)], parts: &[&str]| {
        let problem = call(&aws(&ecr, set), &ecr).expect_err("nothing to sign with");
        parts.iter().for_each(|part| assert!(problem.contains(part), "{problem}"));
    };
    let full = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    check(&[(full, &refuses.url())], &["the container's endpoint", "pod identity association"]);
    check(&[(full, &redirects.url())], &["the container's endpoint", "status 302"]);
    check(&[(full, "http://10.0.0.1/x")], &["AWS_CONTAINER_CREDENTIALS_FULL_URI must be https"]);
    let instance = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    check(&[(instance, &roleless.url())], &["the instance has no role; attach"]);
    check(
        &[(instance, "http://127.0.0.1:9")],
        &["the instance's metadata", "AWS_PROFILE", "hop limit"],
    );
    check(
        &[("AWS_CONFIG_FILE", config)],
        &["credential_process", "/nonexistent/give cannot be started"],
    );
    let (url, missing) = (sts.url(), format!("{token}.gone"));
    let web = |file| {
        [
            ("AWS_ENDPOINT_URL_STS", &*url),
            ("AWS_ROLE_ARN", "arn:r"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", file),
        ]
    };
    check(
        &web(token),
        &["web identity", "STS says ExpiredTokenException: it is over; the session"],
    );
    check(&web(&missing), &["token.gone cannot be read"]);
    check(&[("AWS_EC2_METADATA_DISABLED", "true")], &["no AWS credentials are set up"]);
}

#[test]
fn a_silent_source_costs_its_limit_once_and_not_every_caller() {
    let (ecr, silent) = (ecr(), Fake::start(|_| (0, String::new())));
    let url = silent.url();
    let aws = aws(&ecr, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]);
    for _ in 0..20 {
        let problem = call(&aws, &ecr).expect_err("silence");
        assert!(problem.contains("no answer in time"), "{problem}");
    }
    assert_eq!(silent.lines().len(), 1);
}
