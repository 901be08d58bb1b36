//! Answers of a kube-apiserver 1.37, word for word, and of what can stand in front of one.

use serde_json::{Value, json};

use super::super::call::{Resource, Verb};
use super::*;

fn call() -> Call {
    Call {
        verb: Verb::Patch,
        resource: Resource::Deployments,
        namespace: Some("shop".into()),
        name: Some("web".into()),
    }
}

/// A refusal with these details.
fn status(code: u16, reason: &str, message: &str, details: Value) -> String {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details, "code": code,
    })
    .to_string()
}

/// The details that name the Deployment.
fn web() -> Value {
    json!({"name": "web", "group": "apps", "kind": "deployments"})
}

fn class(code: u16, retry_after: Option<&str>, body: &str) -> Class {
    ApiError::from_answer(&call(), code, retry_after, body.as_bytes()).class
}

fn message(class: &Class) -> &str {
    match class {
        Class::Denied { message }
        | Class::Invalid { message }
        | Class::Conflict { message }
        | Class::Unavailable { message, .. }
        | Class::ServerError { message, .. } => message,
        Class::Unexpected { text, .. } => text,
        other => panic!("{other:?} carries no message"),
    }
}

const FAILED_TEST: &str = "the server rejected our request due to an error in our request";
const USER: &str = "system:serviceaccount:depd-system:depd";

#[test]
fn a_missing_permission_is_named() {
    let check = |message: &str, verb: &str, resource: &str| {
        let expect = Permission { verb: verb.into(), resource: resource.into(), user: USER.into() };
        let found = class(403, None, &status(403, "Forbidden", message, web()));
        assert_eq!(found, Class::Forbidden(expect), "{message}");
    };
    check(
        &format!(
            "deployments.apps \"web\" is forbidden: User \"{USER}\" cannot patch resource \
             \"deployments\" in API group \"apps\" in the namespace \"shop\""
        ),
        "patch",
        "apps/deployments",
    );
    check(
        &format!(
            "pods \"web-1\" is forbidden: User \"{USER}\" cannot get resource \"pods/log\" in API \
             group \"\" in the namespace \"shop\""
        ),
        "get",
        "pods/log",
    );
    check(
        &format!(
            "namespaces is forbidden: User \"{USER}\" cannot create resource \"namespaces\" in API \
             group \"\" at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io \"depd\" \
             not found"
        ),
        "create",
        "namespaces",
    );
    check(
        &format!("forbidden: User \"{USER}\" cannot get path \"/metrics\""),
        "get",
        "apps/deployments",
    );
}

#[test]
fn other_refusals_with_403_are_no_missing_permission() {
    let causes = json!({
        "name": "web", "group": "apps", "kind": "deployments",
        "causes": [{
            "reason": "NamespaceTerminating",
            "message": "namespace shop is being terminated",
            "field": "metadata.namespace",
        }],
    });
    let terminating = "deployments.apps \"web\" is forbidden: unable to create new content in \
                       namespace shop because it is being terminated";
    let found = class(403, None, &status(403, "Forbidden", terminating, causes));
    assert_eq!(found, Class::NamespaceTerminating);

    let quota = "deployments.apps \"web\" is forbidden: exceeded quota: few, requested: \
                 count/deployments.apps=1, used: count/deployments.apps=1, limited: \
                 count/deployments.apps=1";
    let found = class(403, None, &status(403, "Forbidden", quota, web()));
    assert_eq!(found, Class::Denied { message: quota.into() });
}

#[test]
fn admission_is_known_by_its_words_whatever_its_status() {
    let check = |code: u16, reason: &str, message: &str, details: Value| {
        let found = class(code, None, &status(code, reason, message, details));
        assert_eq!(found, Class::Denied { message: message.into() });
    };
    let webhook = "admission webhook \"images.example.org\" denied the request: not signed";
    for code in [400, 401, 403, 409, 410, 422, 429] {
        check(code, "", webhook, json!({}));
    }
    let policy = |why: &str| {
        format!(
            "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'signed' with \
             binding 'signed' denied request: {why}"
        )
    };
    let details = json!({
        "name": "web", "group": "apps", "kind": "deployments",
        "causes": [{"message": "ValidatingAdmissionPolicy 'signed' … denied request: not signed"}],
    });
    check(422, "Invalid", &policy("not signed"), details.clone());
    check(413, "RequestEntityTooLarge", &policy("too big"), details.clone());
    let quoting = policy("User \"x\" cannot patch resource \"deployments\" in API group \"apps\"");
    check(403, "Forbidden", &quoting, details);
}

#[test]
fn a_webhook_that_cannot_be_called_is_trouble_that_passes() {
    let message = "Internal error occurred: failed calling webhook \"images.example.org\": failed \
                   to call webhook: context deadline exceeded";
    let error = ApiError::from_answer(
        &call(),
        500,
        None,
        status(500, "InternalError", message, json!({})).as_bytes(),
    );
    assert!(matches!(error.class, Class::ServerError { status: 500, .. }), "{error:?}");
    assert!(error.is_transient());
}

#[test]
fn a_failed_test_is_told_from_an_invalid_object() {
    let check = |details: Value, failed: bool| {
        let found = class(422, None, &status(422, "Invalid", FAILED_TEST, details.clone()));
        assert_eq!(found == Class::TestFailed, failed, "{details}");
        assert_eq!(matches!(found, Class::Invalid { .. }), !failed, "{details}");
    };
    check(json!({}), true);
    check(Value::Null, true);
    check(json!({"causes": []}), true);
    check(json!({"causes": null, "name": ""}), true);
    check(web(), false);
    let cause = json!({
        "reason": "FieldValueRequired",
        "message": "Required value",
        "field": "spec.template.spec.containers[0].image",
    });
    check(json!({"name": "web", "group": "apps", "kind": "Deployment", "causes": [cause]}), false);
    // A patch that makes an object of the wrong type: only causes, no name.
    check(json!({"causes": [{"reason": "FieldValueInvalid", "field": "patch"}]}), false);
}

#[test]
fn statuses_without_further_words_are_classes() {
    let check = |code: u16, reason: &str, expect: Class| {
        assert_eq!(class(code, None, &status(code, reason, "words", web())), expect, "{reason}");
    };
    let message = || "words".to_owned();
    check(401, "Unauthorized", Class::Unauthorized);
    check(404, "NotFound", Class::NotFound);
    check(409, "AlreadyExists", Class::AlreadyExists);
    check(409, "Conflict", Class::Conflict { message: message() });
    check(410, "Expired", Class::Expired);
    check(410, "Gone", Class::Expired);
    check(400, "BadRequest", Class::Unexpected { status: 400, text: message() });
    check(
        504,
        "Timeout",
        Class::ServerError { status: 504, message: message(), retry_after: None },
    );
    check(503, "ServiceUnavailable", Class::Unavailable { message: message(), retry_after: None });
}

#[test]
fn a_version_of_the_future_is_told_from_other_timeouts() {
    let details = json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    });
    let message = "Timeout: Too large resource version: 999999999, current: 30271";
    let found = class(504, Some("1"), &status(504, "Timeout", message, details));
    assert_eq!(found, Class::ResourceVersionTooLarge);
}

#[test]
fn the_wait_that_a_server_asks_for_is_obeyed_within_reason() {
    let check = |header: Option<&str>, details: Value, expect: Option<u64>| {
        for code in [429, 503, 500] {
            let body = status(code, "", "wait", details.clone());
            let error = ApiError::from_answer(&call(), code, header, body.as_bytes());
            assert_eq!(error.retry_after(), expect.map(Duration::from_secs), "{code} {header:?}");
            assert!(error.is_transient());
        }
    };
    check(None, json!({}), None);
    check(Some("7"), json!({}), Some(7));
    check(Some(" 7 "), json!({}), Some(7));
    check(Some("0"), json!({}), Some(0));
    check(Some("7"), json!({"retryAfterSeconds": 3}), Some(7));
    check(None, json!({"retryAfterSeconds": 3}), Some(3));
    check(Some("86400"), json!({}), Some(120));
    check(None, json!({"retryAfterSeconds": 86400}), Some(120));
    // A date, and numbers that are none: the own back-off has to do.
    check(Some("Wed, 21 Oct 2026 07:28:00 GMT"), json!({}), None);
    check(Some("-5"), json!({}), None);
    check(Some("99999999999999999999999"), json!({}), None);
}

#[test]
fn answers_that_are_no_status_come_from_something_else() {
    let html = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>\r\n";
    let shown = "<html> <head><title>502 Bad Gateway</title></head> </html>";
    let check = |code: u16, body: &str, expect: Class| assert_eq!(class(code, None, body), expect);
    let unexpected = |status: u16, text: &str| Class::Unexpected { status, text: text.into() };
    let failed = Class::ServerError { status: 502, message: shown.into(), retry_after: None };
    check(502, html, failed);
    // Flow control of the API server itself: plain text.
    let busy = "Too many requests, please try again later.\n";
    let patient = Class::TooManyRequests { retry_after: Some(Duration::from_secs(1)) };
    assert_eq!(class(429, Some("1"), busy), patient);
    check(401, html, Class::Unauthorized);
    // Only the API server can say that an object is missing, taken or refused.
    check(404, "404 page not found\n", unexpected(404, "404 page not found"));
    check(403, "<p>blocked", unexpected(403, "<p>blocked"));
    check(409, "", unexpected(409, ""));
    check(422, "{}", unexpected(422, "{}"));
    check(
        422,
        r#"{"kind":"Problem","code":422}"#,
        unexpected(422, r#"{"kind":"Problem","code":422}"#),
    );
    check(302, "", unexpected(302, ""));
    check(200, "", unexpected(200, ""));
    let cut = class(500, None, r#"{"kind":"Status","message":"ha"#);
    assert_eq!(message(&cut), r#"{"kind":"Status","message":"ha"#);
    let binary = ApiError::from_answer(&call(), 500, None, b"\xff\xfe\0\x1b[2J");
    assert_eq!(message(&binary.class), "\u{fffd}\u{fffd}[2J");
}

#[test]
fn what_a_server_says_is_cut_and_has_neither_control_characters_nor_credentials() {
    let nasty =
        "one\ntwo\u{1b}[31m\u{202e}three Bearer canary-token1 eyJhbGciOiJSUzI1NiJ9.canary.x";
    let long = "x".repeat(100_000);
    for text in [nasty, &long] {
        let bodies = [
            (400, status(400, "BadRequest", text, json!({}))),
            (403, status(403, "Forbidden", text, json!({}))),
            (409, status(409, "Conflict", text, json!({}))),
            (422, status(422, "Invalid", text, web())),
            (500, status(500, "", text, json!({}))),
            (503, status(503, "", text, json!({}))),
            (
                403,
                format!(
                    "deployments is forbidden: User \"{text}\" cannot patch resource \"{text}\""
                ),
            ),
            (
                403,
                status(
                    403,
                    "",
                    &format!("User \"{text}\" cannot {text} resource \"a\""),
                    json!({}),
                ),
            ),
            (502, text.to_owned()),
        ];
        for (code, body) in bodies {
            let error = ApiError::from_answer(&call(), code, None, body.as_bytes());
            let shown = error.to_string();
            assert!(shown.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{shown}");
            assert!(!shown.contains("canary"), "{shown}");
            assert!(shown.len() < 4_000, "{code}: {} bytes", shown.len());
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}

#[test]
fn an_error_inside_a_stream_is_read_by_its_code() {
    let read = |text: &str| {
        let status: Status = serde_json::from_str(text).unwrap();
        ApiError::from_status(&call(), &status).class
    };
    let expired = "too old resource version: 1 (29304)";
    assert_eq!(read(&status(410, "Expired", expired, Value::Null)), Class::Expired);
    assert!(matches!(read(r#"{"kind":"Status"}"#), Class::ServerError { status: 500, .. }));
}

#[test]
fn only_passing_trouble_is_transient() {
    let check = |class: Class, expect: bool| {
        assert_eq!(ApiError::new(&call(), class.clone()).is_transient(), expect, "{class:?}");
    };
    let text = String::new;
    check(Class::Network { text: text(), sent: Sent::Maybe }, true);
    check(Class::TooManyRequests { retry_after: None }, true);
    check(Class::Conflict { message: text() }, true);
    check(Class::ResourceVersionTooLarge, true);
    check(Class::Unauthorized, false);
    check(Class::Denied { message: text() }, false);
    check(Class::Invalid { message: text() }, false);
    check(Class::TestFailed, false);
    check(Class::NotFound, false);
    check(Class::Decode { text: text() }, false);
}

/// One place to read every sentence that a request can end with.
#[test]
fn every_class_is_a_sentence_that_says_what_to_do() {
    let text = || "the server's words".to_owned();
    let permission = |user: &str| Permission {
        verb: "patch".into(),
        resource: "apps/deployments".into(),
        user: user.into(),
    };
    let classes = [
        Class::Network { text: "no connection to 10.0.0.1:6443: refused".into(), sent: Sent::No },
        Class::Credentials { text: "token file /run/token: it is empty".into() },
        Class::TooManyRequests { retry_after: None },
        Class::Unavailable { message: text(), retry_after: None },
        Class::Unavailable { message: String::new(), retry_after: None },
        Class::ServerError { status: 502, message: text(), retry_after: None },
        Class::Unauthorized,
        Class::Forbidden(permission(USER)),
        Class::Forbidden(permission("")),
        Class::NamespaceTerminating,
        Class::Denied { message: text() },
        Class::NotFound,
        Class::AlreadyExists,
        Class::Conflict { message: text() },
        Class::TestFailed,
        Class::Invalid { message: text() },
        Class::Expired,
        Class::ResourceVersionTooLarge,
        Class::Unexpected { status: 302, text: String::new() },
        Class::Unexpected { status: 404, text: text() },
        Class::Decode { text: "expected value at line 1 column 1".into() },
    ];
    let sentences = classes.map(|class| ApiError::new(&call(), class).to_string());
    insta::assert_snapshot!(sentences.join("\n"));
}
