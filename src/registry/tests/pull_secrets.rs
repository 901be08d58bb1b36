//! Pull secrets with a pretend API server and a pretend ECR.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::{InUse, Registry, RegistrySettings, Trouble};
use super::{Fake, Seen, environment};
use crate::cluster::fixture;
use crate::model::{Alert, EcrRegistry, Image};
use crate::registry::Absence;

/// Far beyond what anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

const EU: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const US: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

fn registries(hosts: &[&str]) -> BTreeSet<EcrRegistry> {
    hosts.iter().map(|host| EcrRegistry::parse(host).expect("valid")).collect()
}

fn status(code: u16, reason: &str) -> (u16, String) {
    let text = json!({ "kind": "Status", "code": code, "reason": reason, "message": reason });
    (code, text.to_string())
}

/// The one Secret of a cluster, kept as an API server does for this purpose: what is applied is there.
fn api_server(secret: Arc<Mutex<Option<Value>>>) -> Fake {
    Fake::start(move |seen| {
        let mut secret = secret.lock();
        match (seen.line.starts_with("PATCH"), &*secret) {
            (true, _) => {
                let mut object: Value = serde_json::from_str(&seen.body).expect("JSON");
                object["metadata"]["uid"] = "uid-1".into();
                *secret = Some(object);
                (200, "{}".into())
            }
            (false, Some(object)) => (200, object.to_string()),
            (false, None) => status(404, "NotFound"),
        }
    })
}

/// ECR, whose tokens are numbered, and refused to those who ask for `us-east-1`.
fn ecr() -> Fake {
    let next = Mutex::new(0);
    Fake::start(move |seen| {
        if seen.header("authorization").contains("/us-east-1/") {
            return (400, r#"{"__type":"AccessDeniedException","message":"not you"}"#.into());
        }
        *next.lock() += 1;
        let token = STANDARD.encode(format!("AWS:CANARY-{}", next.lock()));
        let data = json!({ "authorizationToken": token, "expiresAt": 4e9 });
        (200, json!({ "authorizationData": [data] }).to_string())
    })
}

fn registry(ecr: &Fake, server: &Fake, renew_after: Option<Duration>) -> Registry {
    let url = ecr.url();
    let keys = [("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "CANARY-KEY")];
    let set = [keys[0], keys[1], ("AWS_ENDPOINT_URL_ECR", &*url)];
    let environment = environment(&set);
    let settings = RegistrySettings {
        pull_secret: true,
        check: true,
        renew_after,
        environment,
        ..Default::default()
    };
    Registry::new(&settings, fixture::client(&server.url()))
}

/// The registries that the Secret names, with the number of their token.
fn content(secret: &Mutex<Option<Value>>) -> Vec<(String, String)> {
    let object = secret.lock().clone().expect("a Secret");
    let text = object["data"][".dockerconfigjson"].as_str().expect("content").to_owned();
    let config: Value =
        serde_json::from_slice(&STANDARD.decode(text).expect("base64")).expect("JSON");
    let auths = config["auths"].as_object().expect("auths").clone();
    let token = |auth: &Value| {
        let auth = STANDARD.decode(auth["auth"].as_str().expect("a text")).expect("base64");
        String::from_utf8_lossy(&auth).replace("AWS:CANARY-", "")
    };
    auths.iter().map(|(host, auth)| (host.clone(), token(auth))).collect()
}

#[test]
fn a_namespace_gets_its_secret_once_and_asks_for_nothing_afterwards() {
    let secret = Arc::default();
    let (ecr, server) = (ecr(), api_server(Arc::clone(&secret)));
    let registry = registry(&ecr, &server, None);
    for _ in 0..3 {
        registry.pull_secrets.ensure("qa", &registries(&[EU])).expect("made");
    }
    let path = "/api/v1/namespaces/qa/secrets/depd-ecr";
    assert_eq!(server.lines(), [format!("GET {path}"), format!("PATCH {path}?fieldManager=depd")]);
    assert_eq!(server.last().header("content-type"), "application/apply-patch+yaml");
    let object = secret.lock().clone().expect("a Secret");
    assert_eq!(object["type"], "kubernetes.io/dockerconfigjson");
    assert_eq!(object["metadata"]["labels"], json!({ "app.kubernetes.io/managed-by": "depd" }));
    assert_eq!(content(&secret), [(EU.to_owned(), "1".to_owned())]);
    assert_eq!(ecr.lines().len(), 1, "one token");
}

#[test]
fn another_namespace_uses_the_same_token() {
    let (ecr, server) = (ecr(), api_server(Arc::default()));
    let registry = registry(&ecr, &server, None);
    registry.pull_secrets.ensure("qa", &registries(&[EU])).expect("made");
    registry.pull_secrets.ensure("prod", &registries(&[EU])).expect("made");
    assert_eq!(ecr.lines().len(), 1);
}

#[test]
fn a_secret_of_somebody_else_is_never_written() {
    let foreign = json!({
        "metadata": { "name": "depd-ecr", "uid": "u", "labels": { "app": "x" } },
        "data": { ".dockerconfigjson": "e30=" },
    });
    let secret = Arc::new(Mutex::new(Some(foreign.clone())));
    let (ecr, server) = (ecr(), api_server(Arc::clone(&secret)));
    let registry = registry(&ecr, &server, None);
    let Err(Trouble::Registry(text)) = registry.pull_secrets.ensure("qa", &registries(&[EU]))
    else {
        panic!("it must be refused")
    };
    assert!(text.contains("namespace qa has a Secret depd-ecr that is not depd's"), "{text}");
    assert_eq!(*secret.lock(), Some(foreign));
    assert!(ecr.lines().is_empty(), "and no token is asked for");
}

#[test]
fn registries_that_the_secret_names_stay_in_it_even_without_a_new_token() {
    let secret = Arc::new(Mutex::new(None));
    let (ecr, server) = (ecr(), api_server(Arc::clone(&secret)));
    let auth = STANDARD.encode("AWS:CANARY-old");
    let config = json!({ "auths": { US: { "auth": auth }, "evil.example": { "auth": auth } } });
    *secret.lock() = Some(json!({
        "metadata": { "uid": "u", "labels": { "app.kubernetes.io/managed-by": "depd" } },
        "data": { ".dockerconfigjson": STANDARD.encode(config.to_string()) },
    }));
    let registry = registry(&ecr, &server, None);
    registry.pull_secrets.ensure("qa", &registries(&[EU])).expect("made");
    let expect = [(EU, "1"), (US, "old")].map(|(host, token)| (host.to_owned(), token.to_owned()));
    assert_eq!(content(&secret), expect);
    let applied: Value = serde_json::from_str(&server.last().body).expect("JSON");
    assert_eq!(applied["metadata"]["uid"], "u", "only if it is still the one that was seen");
}

#[test]
fn without_a_token_nothing_is_written_and_the_reason_is_said() {
    let (ecr, server) = (ecr(), api_server(Arc::default()));
    let registry = registry(&ecr, &server, None);
    let Err(Trouble::Registry(text)) = registry.pull_secrets.ensure("qa", &registries(&[US]))
    else {
        panic!("it must be refused")
    };
    assert_eq!(
        text,
        format!(
            "cannot get a token for {US}: ECR says AccessDeniedException: not you; allow it in the policy \
             of depd's user or role"
        )
    );
    assert_eq!(server.lines(), ["GET /api/v1/namespaces/qa/secrets/depd-ecr"]);
    for _ in 0..20 {
        registry.pull_secrets.ensure("prod", &registries(&[US])).expect_err("refused");
    }
    assert_eq!(ecr.lines().len(), 1, "the failure is remembered for a while");
}

#[test]
fn secrets_in_use_are_renewed_at_start_and_when_they_are_due() {
    let secret = Arc::default();
    let (ecr, server) = (ecr(), api_server(Arc::clone(&secret)));
    let in_use = InUse::from([("qa".into(), registries(&[EU]))]);
    let later = registry(&ecr, &server, None);
    assert_eq!(later.pull_secrets.renew(&in_use), None);
    assert_eq!(later.pull_secrets.renew(&in_use), None);
    assert_eq!(content(&secret), [(EU.to_owned(), "1".to_owned())], "once at start, not due again");
    let due = registry(&ecr, &server, Some(Duration::from_millis(1)));
    for number in 2..4 {
        let until = Instant::now() + Duration::from_secs(20);
        while content(&secret)[0].1.parse::<u32>().expect("a number") < number {
            assert_eq!(due.pull_secrets.renew(&in_use), None);
            assert!(Instant::now() < until, "it is not renewed");
        }
    }
}

#[test]
fn a_token_that_cannot_be_renewed_serves_on_and_that_is_said() {
    let first = Mutex::new(true);
    let ecr = Fake::start(move |_| match std::mem::take(&mut *first.lock()) {
        true => {
            let data =
                json!({ "authorizationToken": STANDARD.encode("AWS:CANARY-1"), "expiresAt": 4e9 });
            (200, json!({ "authorizationData": [data] }).to_string())
        }
        false => (500, "no".into()),
    });
    let server = api_server(Arc::default());
    let secrets = registry(&ecr, &server, Some(Duration::from_millis(1))).pull_secrets;
    let in_use = InUse::from([("qa".into(), registries(&[EU]))]);
    assert_eq!(secrets.renew(&in_use), None);
    let written = server.lines();
    let until = Instant::now() + LIMIT;
    let why = loop {
        assert!(Instant::now() < until, "it is never due");
        if let Some((1, why)) = secrets.renew(&in_use) {
            break why;
        }
    };
    assert!(why.contains("ECR says status 500"), "{why}");
    assert_eq!(server.lines(), written, "the same token is not written again");
    secrets.ensure("prod", &registries(&[EU])).expect("the old token still serves");
}

#[test]
fn people_are_told_once_when_secrets_in_use_are_not_renewed() {
    let (ecr, server) = (ecr(), api_server(Arc::default()));
    let secrets = registry(&ecr, &server, Some(Duration::from_millis(1))).pull_secrets;
    let in_use = || Some(InUse::from([("qa".into(), registries(&[US]))]));
    let (told, heard) = crossbeam_channel::unbounded();
    let (running, stop) = crossbeam_channel::bounded(0);
    let tell = move |alert: &Alert| drop(told.send(alert.clone()));
    Arc::clone(&secrets).keep(in_use, tell, stop).expect("a thread");
    let Ok(Alert::StalePullSecrets { namespaces, why }) = heard.recv_timeout(LIMIT) else {
        panic!("nobody was told")
    };
    assert_eq!(namespaces, 1);
    assert!(why.contains("AccessDeniedException"), "{why}");
    drop(running);
    assert!(heard.recv_timeout(LIMIT).is_err(), "the thread ended, and said nothing more");
}

#[test]
fn a_refusal_that_quotes_the_secret_is_not_repeated() {
    let ecr = ecr();
    let server = Fake::start(|seen: &Seen| {
        if seen.line.starts_with("GET") {
            return status(404, "NotFound");
        }
        let object: Value = serde_json::from_str(&seen.body).expect("JSON");
        let content = object["data"][".dockerconfigjson"].as_str().expect("content");
        let plain = String::from_utf8(STANDARD.decode(content).expect("base64")).expect("UTF-8");
        let message = format!("admission webhook \"w\" denied the request: {content} {plain}");
        let body = json!({ "kind": "Status", "code": 403, "reason": "x", "message": message });
        (403, body.to_string())
    });
    let registry = registry(&ecr, &server, None);
    let trouble = registry.pull_secrets.ensure("qa", &registries(&[EU])).expect_err("denied");
    let token = STANDARD.encode("AWS:CANARY-1");
    let text = format!("{trouble} {trouble:?}");
    assert!(text.contains("refused by admission") && !text.contains(&token), "{text}");
    assert!(!text.contains("eyJhdXRocyI6"), "{text}");
}

#[test]
fn an_image_that_is_missing_is_named_with_its_neighbours_and_doubt_lets_it_pass() {
    let server = api_server(Arc::default());
    let ecr = Fake::start(|seen: &Seen| {
        let action = seen.header("x-amz-target").rsplit('.').next().unwrap_or_default().to_owned();
        match (&*action, seen.body.contains("\"shop\"")) {
            ("ListImages", _) => {
                let tags = ["1.2.3", "1.3.0", "0.9"].map(|tag| json!({ "imageTag": tag }));
                (200, json!({ "imageIds": tags }).to_string())
            }
            (_, true) => (200, r#"{"failures":[{"failureCode":"ImageNotFound"}]}"#.into()),
            _ if seen.body.contains("denied") => {
                (400, r#"{"__type":"AccessDeniedException"}"#.into())
            }
            _ => (400, r#"{"__type":"RepositoryNotFoundException"}"#.into()),
        }
    });
    let checks = registry(&ecr, &server, None).checks;
    let check = |image: &str| {
        let image = Image::parse(&format!("{EU}/{image}")).expect("valid");
        match checks.check(&[image]) {
            Ok(()) => "passes".to_owned(),
            Err(Absence::Missing(text)) => text.replace(EU, "ECR"),
            Err(Absence::Busy) => panic!("nobody else asks"),
        }
    };
    assert_eq!(
        check("shop:1.2.4"),
        "the repository shop in ECR has no image 1.2.4; the nearest tags are 1.2.3, 1.3.0, 0.9"
    );
    assert_eq!(check("none:1"), "ECR has no repository none");
    assert_eq!(check("denied:1"), "passes");
    assert!(checks.check(&[Image::parse("nginx:1").expect("valid")]).is_ok());
}
