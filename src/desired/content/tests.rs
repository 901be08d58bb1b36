use proptest::prelude::*;

use super::{CONTENT_MAX, Content, parse_content};
use crate::desired::{EcrRepo, ImageRules};
use crate::model::fixture::{any_bytes, is_harmful};
use crate::model::{Problem, ServiceKey};

fn read(bytes: &[u8], repo: Option<&str>) -> String {
    let key = ServiceKey::new("web", "prod").unwrap();
    let rules =
        ImageRules { ecr_repo: repo.map(|r| EcrRepo::parse(r).unwrap()), ..ImageRules::default() };
    match parse_content(bytes, &key, &rules) {
        Ok(Content::Images(images)) => images.to_string(),
        Ok(Content::Empty) => "empty".into(),
        Err(problem) => problem.to_string(),
    }
}

fn check(bytes: impl AsRef<[u8]>, expect: &str) {
    assert_eq!(read(bytes.as_ref(), None), expect, "{}", bytes.as_ref().escape_ascii());
}

#[test]
fn one_image_is_all_it_takes() {
    check("nginx:1.25\n", "nginx:1.25");
    check("nginx:1.25", "nginx:1.25");
    check("  nginx:1.25 \t\n\n", "nginx:1.25");
    check("# why\n\nnginx:1.25 # because\n", "nginx:1.25");
}

#[test]
fn several_containers_are_lines() {
    check("web=nginx:1.25\nproxy=envoy:1.30\n", "web=nginx:1.25, proxy=envoy:1.30");
    check("web = nginx:1.25 # new\n# old\nproxy =envoy:1\n", "web=nginx:1.25, proxy=envoy:1");
    assert_eq!(
        read(b"web=7\nproxy=docker.io/envoyproxy/envoy:1\n", Some("reg.io")),
        "web=reg.io/web:7, proxy=docker.io/envoyproxy/envoy:1"
    );
}

#[test]
fn the_files_of_the_go_engine_work_unchanged() {
    assert_eq!(read(b"1.24.3\n", Some("reg.io/shop")), "reg.io/shop:1.24.3");
    assert_eq!(read(b"nginx:1.24.3", Some("reg.io/shop")), "reg.io/shop/nginx:1.24.3");
}

/// FAULTS row 2: nothing in a file means nothing is asked for.
#[test]
fn fault_2_a_file_without_images_is_empty() {
    for text in ["", "\n\n", "  \t\r\n", "# only a comment\n", "\u{feff}", "\u{feff}\r\n"] {
        check(text, "empty");
    }
}

/// FAULTS row 3: whatever bytes a file holds, what they mean is defined.
#[test]
fn fault_3_bytes_that_are_no_plain_text_are_accepted_or_refused_with_their_place() {
    check("\u{feff}nginx:1.25\r\n", "nginx:1.25");
    check("web=a:1\r\nproxy=b:1\r\n", "web=a:1, proxy=b:1");
    check("nginx:1\0", "line 1, column 8: the character U+0000 is not allowed here");
    check("\0\0\0\0", "line 1, column 1: the character U+0000 is not allowed here");
    check("# \u{1b}[31m\nnginx:1", "nginx:1");
    check(b"# ok\nngi\xffnx:1", "line 2, column 4: this is not UTF-8: save the file as UTF-8 text");
    check(
        b"\xff\xfen\0g\0",
        "the text is UTF-16: save it as UTF-8 (in PowerShell: Set-Content -Encoding ascii)",
    );
    check("a:1\rb:1", "line 1, column 4: a line break is not allowed here");
    check("\n".repeat(4096), "empty");
    let lines: Vec<String> = (100..450).map(|n| format!("c{n}=a:1")).collect();
    let (written, expect) = (lines.join("\n"), lines.join(", "));
    assert!(written.len() < CONTENT_MAX && read(written.as_bytes(), None) == expect);
    check(
        "x".repeat(CONTENT_MAX + 1),
        "larger than 4096 bytes: a dep file holds an image or a few container=image lines",
    );
}

#[test]
fn problems_point_at_line_and_column_and_say_what_to_write() {
    check(
        "nginx",
        "line 1, column 6: no tag: write nginx:latest, or better the version that is meant",
    );
    check(
        "\n\n  1.25",
        "line 3, column 3: 1.25 is only a tag: write the image in full, such as web:1.25, or set ECR_REPO",
    );
    check(
        "a:1\nb:1",
        "line 2, column 1: only one image without a container name is allowed: for several containers write container=image lines",
    );
    check(
        "web=a:1\nb:1",
        "line 2, column 1: only one image without a container name is allowed: for several containers write container=image lines",
    );
    check(
        "a:1\nweb=b:1",
        "line 2, column 1: an image without a container name stands above: write container=image there too",
    );
    check("web=a:1\nweb=b:1", "line 2, column 1: container web is already named in line 1");
    check(
        "web: nginx:1.25",
        "line 1, column 4: between container and image stands =: write web=nginx:1.25",
    );
    check("We=a:1", "line 1, column 1: the capital letter W is not allowed in a container name");
    check("=a:1", "line 1, column 1: the container name is empty");
    check("web=", "line 1, column 5: an image is missing here");
    check("web=nginx 1", "line 1, column 10: a space is not allowed in an image");
    check("# é\nweb=nginx:é", "line 2, column 11: the character é is not allowed in an image");
    check("image: x:1", "line 1, column 6: between container and image stands =: write image=x:1");
}

/// Line and column count from 1, and lead at most one character behind the line.
fn is_within(problem: &Problem, bytes: &[u8]) -> bool {
    let Some((line, column)) = problem.place else { return true };
    let line = bytes.split(|b| *b == b'\n').nth(line as usize - 1).expect("a line of the content");
    let length = String::from_utf8_lossy(line).chars().count();
    (1..=length + 1).contains(&(column as usize))
}

/// Security row 12: what is repeated of a content cannot turn the writing direction.
#[test]
fn security_12_a_hint_that_repeats_the_content_is_printable() {
    check(
        "web: nginx:\u{202e}1\u{61c}",
        "line 1, column 4: between container and image stands =: write web=nginx:\\u{202e}1\\u{61c}",
    );
    check(
        "web=ngin\u{200b}x:1",
        "line 1, column 9: the character U+200B is not allowed in an image",
    );
    check(
        "web\u{3164}=a:1",
        "line 1, column 1: the character U+3164 is not allowed in a container name",
    );
}

proptest! {
    #[test]
    fn of_any_bytes_an_image_is_read_that_reads_the_same_again_or_a_problem_in_its_place(
        bytes in any_bytes(), repo in prop::option::of(prop::sample::select(vec!["reg.io", "reg.io:5000/a/b"]))
    ) {
        let key = ServiceKey::new("web", "prod").unwrap();
        let rules = ImageRules { ecr_repo: repo.map(|r| EcrRepo::parse(r).unwrap()), ..ImageRules::default() };
        match parse_content(&bytes, &key, &rules) {
            Ok(Content::Images(images)) => {
                let written = images.to_string().replace(", ", "\n");
                let again = parse_content(written.as_bytes(), &key, &ImageRules::default());
                prop_assert_eq!(again, Ok(Content::Images(images)));
            }
            Ok(Content::Empty) => {
                let text = std::str::from_utf8(&bytes).unwrap().trim_start_matches('\u{feff}');
                prop_assert!(text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#')));
            }
            Err(problem) => {
                prop_assert!(!problem.text.contains(is_harmful), "{problem:?}");
                prop_assert!(is_within(&problem, &bytes), "{problem:?}");
            }
        }
    }

    #[test]
    fn line_ends_and_comments_change_nothing(tag in "[a-z0-9]{1,9}", ends in proptest::collection::vec("[ \\t]{0,3}(#[a-z#=: ]{0,9})?\\r?\\n", 1..5)) {
        let plain = format!("web:{tag}");
        let dressed: String = ends.concat() + &plain + " " + &ends.concat();
        prop_assert_eq!(read(dressed.as_bytes(), None), plain);
    }
}
