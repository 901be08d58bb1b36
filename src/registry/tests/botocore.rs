//! Signatures beside those of AWS's own library, which `scripts/moto` installs.

use std::io::Write as _;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::json;

use super::super::sigv4::{Credentials, Scope, ToSign, amz_date, authorization, encode};
use crate::cluster::Secret;

/// Requests that are compared.
const REQUESTS: usize = 500;

#[derive(Clone, Debug)]
struct Wanted {
    method: &'static str,
    host: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
    token: Option<String>,
    key: String,
    at: i64,
    service: &'static str,
}

fn requests() -> impl Strategy<Value = Wanted> {
    let segment = prop_oneof![
        4 => "[A-Za-z0-9~$&+,:;=@ %é-]{0,8}",
        1 => Just(".".to_owned()),
        1 => Just("..".to_owned()),
    ];
    // Not a dot at the end: the library leaves no slash there, RFC 3986 does, and nobody sends one.
    let path = (proptest::collection::vec(segment, 0..4), "[A-Za-z0-9~@ %é-]{0,8}");
    let query = proptest::collection::vec((".{1,6}", ".{0,6}"), 0..4);
    let header = ("x-[a-z]{2,8}", "[ -~]{0,12}");
    let headers = proptest::collection::btree_map(header.0, header.1, 0..4);
    let rest = (
        prop_oneof![Just("GET"), Just("POST"), Just("PUT")],
        "[a-z]{1,9}\\.example(:[1-9][0-9]{3})?",
        ".{0,60}",
        proptest::option::of("[A-Za-z0-9+/=]{1,60}"),
        "[A-Za-z0-9+/]{40}",
        0..4_000_000_000_i64,
        prop_oneof![Just("ecr"), Just("sts")],
    );
    (path, query, headers, rest).prop_map(|(path, query, headers, rest)| {
        let (method, host, body, token, key, at, service) = rest;
        let pair = |(name, value): (String, String)| {
            format!("{}={}", encode(name.as_bytes()), encode(value.as_bytes()))
        };
        Wanted {
            method,
            host,
            path: format!("/{}/{}", path.0.join("/"), path.1),
            query: query.into_iter().map(pair).collect::<Vec<_>>().join("&"),
            headers: headers.into_iter().collect(),
            body,
            token,
            key,
            at,
            service,
        }
    })
}

fn ours(wanted: &Wanted) -> String {
    let at = Timestamp::from_second(wanted.at).expect("a time");
    let date = amz_date(at);
    let mut headers: Vec<(&str, &str)> =
        wanted.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    headers.push(("host", &wanted.host));
    headers.push(("x-amz-date", &date));
    headers.extend(wanted.token.as_deref().map(|token| ("x-amz-security-token", token)));
    let request = ToSign {
        method: wanted.method,
        path: &wanted.path,
        query: &wanted.query,
        headers: &headers,
        body: wanted.body.as_bytes(),
    };
    let credentials = Credentials {
        access_key_id: Secret::new("AKIAEXAMPLE".into()),
        secret_access_key: Secret::new(wanted.key.as_str().into()),
        session_token: None,
        expires: None,
    };
    let scope = Scope { region: "eu-west-1", service: wanted.service, at };
    authorization(&request, &credentials, scope)
}

#[test]
fn signatures_are_those_of_aws_own_library() {
    let Some(python) = std::env::var_os("DEPD_TEST_PYTHON") else {
        println!("skipped: DEPD_TEST_PYTHON is set by scripts/moto only");
        return;
    };
    let mut runner = TestRunner::deterministic();
    let strategy = requests();
    let wanted: Vec<Wanted> = (0..REQUESTS)
        .map(|_| strategy.new_tree(&mut runner).expect("a request").current())
        .collect();
    let list = wanted.iter().map(|w| {
        json!({
            "method": w.method, "host": w.host, "path": w.path, "query": w.query, "headers": w.headers,
            "body": w.body, "token": w.token, "id": "AKIAEXAMPLE", "key": w.key, "at": w.at,
            "service": w.service, "region": "eu-west-1",
        })
    });
    let mut child = Command::new(python)
        .arg("tests/registry/sign.py")
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let text = list.collect::<serde_json::Value>().to_string();
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "see above");
    let theirs = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(theirs.lines().count(), REQUESTS);
    for (wanted, theirs) in wanted.iter().zip(theirs.lines()) {
        assert_eq!(ours(wanted), theirs, "{wanted:?}");
    }
}
