use std::collections::HashSet;

use proptest::prelude::*;

use super::Image;
use crate::model::fixture::{any_text, is_harmful};

const SHA: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn parts(text: &str) -> String {
    let image = Image::parse(text).unwrap_or_else(|p| panic!("{text}: {p}"));
    assert_eq!(image.as_str(), text);
    let (tag, digest) = (image.tag().unwrap_or("-"), image.digest().unwrap_or("-"));
    format!("{} {} {tag} {}", image.registry(), image.repository(), &digest[..digest.len().min(9)])
}

fn check_problem(text: &str, at: usize, expect: &str) {
    let problem = Image::parse(text).expect_err(text);
    assert_eq!((problem.text.as_str(), problem.at), (expect, at), "{text}");
}

#[test]
fn references_are_cut_as_the_runtimes_cut_them() {
    assert_eq!(parts("nginx:1.25"), "docker.io library/nginx 1.25 -");
    assert_eq!(parts("team/app:v1_x-y.z"), "docker.io team/app v1_x-y.z -");
    assert_eq!(parts("index.docker.io/nginx:1"), "docker.io library/nginx 1 -");
    assert_eq!(parts("localhost/x:1"), "localhost x 1 -");
    assert_eq!(parts("localhost:5000/a/b:1"), "localhost:5000 a/b 1 -");
    assert_eq!(parts("[::1]:5000/a:1"), "[::1]:5000 a 1 -");
    assert_eq!(parts("[2001:db8::1]/a:1"), "[2001:db8::1] a 1 -");
    assert_eq!(parts("REG/a:1"), "REG a 1 -");
    assert_eq!(parts(&format!("ghcr.io/a/b@{SHA}")), "ghcr.io a/b - sha256:01");
    assert_eq!(parts(&format!("ghcr.io/a/b:2@{SHA}")), "ghcr.io a/b 2 sha256:01");
    assert_eq!(
        parts("123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/web:42"),
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com shop/web 42 -"
    );
    let longest = "a".repeat(255);
    assert_eq!(parts(&format!("ghcr.io/{longest}:1")), format!("ghcr.io {longest} 1 -"));
    assert_eq!(parts("a__b/c--d/e.f_g:1"), "docker.io a__b/c--d/e.f_g 1 -");
    assert_eq!(
        parts(&format!("a:{}", "t".repeat(128))).len(),
        "docker.io library/a  -".len() + 128
    );
}

#[test]
fn equality_and_hash_go_by_meaning() {
    let image = |text: &str| Image::parse(text).unwrap();
    let same = [
        "nginx:1.25",
        "docker.io/nginx:1.25",
        "docker.io/library/nginx:1.25",
        "index.docker.io/library/nginx:1.25",
    ];
    let set: HashSet<Image> = same.iter().map(|t| image(t)).collect();
    assert_eq!(set.len(), 1);
    for other in [
        "nginx:1.26",
        "team/nginx:1.25",
        "ghcr.io/library/nginx:1.25",
        &format!("nginx:1.25@{SHA}"),
    ] {
        assert_ne!(image("nginx:1.25"), image(other));
    }
}

#[test]
fn what_is_no_reference_is_refused_with_place_and_advice() {
    check_problem("nginx", 5, "no tag: write nginx:latest, or better the version that is meant");
    check_problem("", 0, "an image is missing here");
    check_problem("nginx:", 6, "the tag after the colon is missing");
    check_problem(":1.25", 0, "the image name is missing");
    check_problem(
        "https://ghcr.io/a:1",
        0,
        "an image is not a URL: leave out https:// and write ghcr.io/a:1",
    );
    check_problem("\"nginx:1\"", 0, "an image is written without quotes");
    check_problem("nginx 1.25", 5, "a space is not allowed in an image");
    check_problem(
        "Nginx:1.25",
        0,
        "the capital letter N is not allowed in an image name: write nginx:1.25",
    );
    check_problem(
        "team/App:1",
        5,
        "the capital letter A is not allowed in an image name: write team/app:1",
    );
    check_problem(
        "reg.io:5000/team/App:V1",
        17,
        "the capital letter A is not allowed in an image name: write reg.io:5000/team/app:V1",
    );
    check_problem("a//b:1", 2, "a part of the image name is empty");
    check_problem("a/b/:1", 4, "a part of the image name is empty");
    check_problem(
        "a:1:2",
        1,
        "the character : is not allowed in an image name: a colon stands only once, before the tag",
    );
    check_problem("a___b:1", 1, "___ cannot stand between letters of an image name");
    check_problem("a.-b:1", 1, ".- cannot stand between letters of an image name");
    check_problem("-a:1", 0, "-a must begin and end with a letter or digit");
    check_problem("a:.1", 2, "a tag begins with a letter, a digit or an underscore");
    check_problem("a:1+2", 3, "the character + is not allowed in a tag");
    check_problem(
        &format!("a:{}", "t".repeat(129)),
        130,
        "the tag has 129 characters, and at most 128 are allowed",
    );
    check_problem(
        &format!("{}:1", "a".repeat(256)),
        247,
        "the image name has 264 characters, counted with library/ before it, and at most 255 are allowed",
    );
    check_problem(
        &format!("ghcr.io/{}:1", "a".repeat(256)),
        263,
        "the image name has 256 characters and at most 255 are allowed",
    );
    check_problem("a@latest", 2, "after @ stands a digest: sha256: and 64 hexadecimal digits");
    check_problem("a@sha256:ab", 9, "a sha256 digest has 64 hexadecimal digits, here are 2");
    check_problem(
        &format!("a@{}", SHA.replace('f', "F")),
        24,
        "the capital letter F is not a lowercase hexadecimal digit",
    );
    check_problem("host:99999/a:1", 5, "a registry's port is a number from 0 to 65535");
    check_problem(
        "-a.io/x:1",
        0,
        "the parts of a registry's name begin and end with a letter or digit",
    );
    check_problem("host:+80/a:1", 5, "a registry's port is a number from 0 to 65535");
    for address in ["[::zz]:5000", "[::ffff:1.2.3.4]"] {
        check_problem(
            &format!("{address}/a:1"),
            1,
            "between brackets stands an IPv6 address, in colons and hexadecimal digits",
        );
    }
    check_problem("nginx:1.25\u{202e}", 10, "the character U+202E is not allowed in an image");
    check_problem("nginx:1\0", 7, "the character U+0000 is not allowed in an image");
}

/// Security row 13: an allowlist looks at these parts, so no text may pretend to be elsewhere.
#[test]
fn security_13_a_registry_that_only_looks_trusted_is_told_apart() {
    assert_eq!(parts("good.io.evil/x:1"), "good.io.evil x 1 -");
    assert_eq!(parts("evil.io/good.io/x:1"), "evil.io good.io/x 1 -");
    check_problem(
        "good.io@evil/x:1",
        8,
        "after @ stands a digest: sha256: and 64 hexadecimal digits",
    );
    check_problem("good.io\\@evil/x:1", 7, "the character \\ is not allowed in an image name");
    check_problem(
        "user@good.io/x:1",
        5,
        "after @ stands a digest: sha256: and 64 hexadecimal digits",
    );
}

proptest! {
    #[test]
    fn any_text_is_parsed_to_what_it_shows_or_refused_within_its_bounds(text in any_text()) {
        match Image::parse(&text) {
            Ok(image) => {
                prop_assert_eq!(image.to_string(), text);
                let tag = image.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
                let digest = image.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
                let full = format!("{}/{}{tag}{digest}", image.registry(), image.repository());
                prop_assert_eq!(Image::parse(&full), Ok(image));
            }
            Err(problem) => {
                prop_assert!(problem.at <= text.len() && text.is_char_boundary(problem.at));
                prop_assert!(!problem.text.is_empty() && !problem.text.contains(is_harmful), "{problem:?}");
            }
        }
    }

    #[test]
    fn a_valid_reference_comes_back_in_its_parts(
        registry in proptest::option::of("[a-z0-9]{1,9}(\\.[a-z0-9]{1,9}){1,3}(:[1-9][0-9]{0,3})?"),
        path in "[a-z0-9]{1,9}((_|__|-{1,3})[a-z0-9]{1,9}){0,2}(/[a-z0-9]{1,9}(\\.[a-z0-9]{1,3})?){0,3}",
        tag in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}",
    ) {
        let prefix = registry.as_ref().map_or(String::new(), |r| format!("{r}/"));
        let image = Image::parse(&format!("{prefix}{path}:{tag}")).unwrap();
        let host = registry.as_deref().unwrap_or("docker.io");
        prop_assert_eq!(image.registry(), host);
        prop_assert_eq!(image.tag(), Some(tag.as_str()));
        let full = Image::parse(&format!("{}/{}:{tag}", image.registry(), image.repository())).unwrap();
        prop_assert_eq!(full, image);
    }
}

#[test]
fn a_digest_without_digits_is_refused_within_the_text() {
    let problem = Image::parse("nginx:1.2@sha256").unwrap_err();
    assert_eq!(problem.at, "nginx:1.2@sha256".len());
}
