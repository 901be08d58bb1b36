//! AWS's published test suite for Signature Version 4 (`aws-sig-v4-test-suite`): requests and what their
//! signatures must be.

use super::*;

const DATE: (&str, &str) = ("X-Amz-Date", "20150830T123600Z");
const HOST: (&str, &str) = ("Host", "example.amazonaws.com");

fn credentials(session_token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: Secret::new("AKIDEXAMPLE".into()),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
        session_token: session_token.map(|token| Secret::new(token.into())),
        expires: None,
    }
}

fn at() -> Timestamp {
    "2015-08-30T12:36:00Z".parse().expect("a time")
}

#[track_caller]
fn check(method: &str, target: &str, extra: &[(&str, &str)], body: &str, expect: &str) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<_> = [HOST, DATE].iter().chain(extra).copied().collect();
    let request = ToSign { method, path, query, headers: &headers, body: body.as_bytes() };
    let scope = Scope { region: "us-east-1", service: "service", at: at() };
    let header = authorization(&request, &credentials(None), scope);
    let signature = header.rsplit('=').next().expect("a signature");
    assert_eq!(signature, expect, "{method} {target} {extra:?}: {header}");
}

#[test]
fn the_whole_header_is_as_published() {
    let headers = [HOST, DATE];
    let request =
        ToSign { method: "GET", path: "/", query: "", headers: &headers, body: Default::default() };
    let scope = Scope { region: "us-east-1", service: "service", at: at() };
    assert_eq!(
        authorization(&request, &credentials(None), scope),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
    assert_eq!(amz_date(at()), DATE.1);
}

#[test]
fn paths_are_signed_as_published() {
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    for target in ["/", "/example/..", "/example1/example2/../..", "/./", "//"] {
        check("GET", target, &[], "", vanilla);
    }
    for (target, expect) in [
        ("/./example", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
        ("//example//", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        ("/example space/", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
        ("/example/$delete", "a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27"),
        ("/\u{1234}", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        (
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
    ] {
        check("GET", target, &[], "", expect);
    }
}

#[test]
fn queries_are_signed_as_published() {
    for (target, expect) in [
        ("/?Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        (
            "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
            "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
        ),
        (
            "/?Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "/?Param1=value2&Param1=Value1",
            "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
        ),
        (
            "/?Param1=value2&Param1=value1",
            "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
        ),
        ("/?\u{1234}=bar", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        (
            "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=\
             -._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        ),
    ] {
        check("GET", target, &[], "", expect);
    }
    let post = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11";
    check("POST", "/?Param1=value1", &[], "", post);
}

#[test]
fn headers_and_bodies_are_signed_as_published() {
    let many = |values: [&'static str; 3]| values.map(|value| ("My-Header1", value));
    check(
        "GET",
        "/",
        &many(["value2", "value2", "value1"]),
        "",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    );
    check(
        "GET",
        "/",
        &[
            ("My-Header1", "value4"),
            ("My-Header1", "value1"),
            ("My-Header1", "value3"),
            ("My-Header1", "value2"),
        ],
        "",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    );
    check(
        "GET",
        "/",
        &[("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
        "",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    );
    let vanilla = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
    check("POST", "/", &[], "", vanilla);
    let sorted = "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c";
    check("POST", "/", &[("My-Header1", "value1")], "", sorted);
    let cased = "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d";
    check("POST", "/", &[("My-Header1", "VALUE1")], "", cased);
    check(
        "POST",
        "/",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        "Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    );
    check(
        "POST",
        "/",
        &[("Content-Type", "application/x-www-form-urlencoded; charset=utf8")],
        "Param1=value1",
        "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
    );
}

#[test]
fn a_session_is_signed_as_published() {
    let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
    check(
        "POST",
        "/",
        &[("X-Amz-Security-Token", token)],
        "",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    );
}

#[test]
fn nothing_of_credentials_is_printed() {
    let text = format!("{:?}", credentials(Some("CANARY-TOKEN")));
    for secret in ["AKIDEXAMPLE", "wJalr", "CANARY"] {
        assert!(!text.contains(secret), "{text}");
    }
}
