//! Whatever stands in a dep file or its name: no panic, no place outside the content, nothing that
//! steers a terminal or hides, and what is accepted means the same when it is written down and read
//! again.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use depd::desired::{Content, EcrRepo, FileName, ImageRules, parse_content, parse_name};
use depd::model::{Image, ImageSet, Problem, ServiceKey, printable, shown};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    name(&text);
    image(&text);
    harmless(&shown(OsStr::from_bytes(data)));
    assert_eq!(printable(&printable(&text)), printable(&text));
    let key = ServiceKey::new("shop", "prod").expect("a valid key");
    let repo = |text| Some(EcrRepo::parse(text).expect("valid"));
    let host = repo("123456789012.dkr.ecr.eu-central-1.amazonaws.com");
    for ecr_repo in [None, host, repo("reg.io:5000/team/shop")] {
        content(data, &key, &ImageRules { ecr_repo, ..ImageRules::default() });
    }
    match EcrRepo::parse(&text) {
        Ok(repo) => assert_eq!(EcrRepo::parse(repo.as_str()), Ok(repo)),
        Err(problem) => harmless(&problem),
    }
});

fn name(text: &str) {
    match parse_name(text) {
        FileName::Dep(key) => assert_eq!(key.file_name(), text),
        FileName::Refused(problem) => {
            assert_eq!(problem.place, None);
            harmless(&problem.text);
        }
        FileName::Leftover => {}
    }
}

fn image(text: &str) {
    match Image::parse(text) {
        Ok(image) => {
            assert_eq!(image.as_str(), text);
            assert!(image.tag().is_some() || image.digest().is_some());
            let full = format!("{}/{}", image.registry(), image.repository());
            let tag = image.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
            let digest = image.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
            assert_eq!(Image::parse(&format!("{full}{tag}{digest}")), Ok(image));
        }
        Err(problem) => {
            harmless(&problem.text);
            assert!(problem.at <= text.len() && text.is_char_boundary(problem.at));
        }
    }
}

fn content(data: &[u8], key: &ServiceKey, rules: &ImageRules) {
    match parse_content(data, key, rules) {
        Ok(Content::Images(images)) => {
            let again = match &images {
                ImageSet::Single(image) => image.to_string(),
                ImageSet::Named(lines) => {
                    let line = |(name, image): &(Box<str>, Image)| format!("{name}={image}\n");
                    lines.iter().map(line).collect()
                }
            };
            let own = ImageRules::default();
            assert_eq!(parse_content(again.as_bytes(), key, &own), Ok(Content::Images(images)));
        }
        Ok(Content::Empty) => {}
        Err(problem) => {
            harmless(&problem.text);
            within(&problem, data);
        }
    }
}

/// Line and column count from 1, and lead at most one character behind the line.
fn within(problem: &Problem, data: &[u8]) {
    let Some((line, column)) = problem.place else { return };
    let at = usize::try_from(line).expect("small").checked_sub(1).expect("lines count from 1");
    let line = data.split(|byte| *byte == b'\n').nth(at).expect("a line of the content");
    let length = String::from_utf8_lossy(line).chars().count();
    assert!((1..=length + 1).contains(&usize::try_from(column).expect("small")), "{problem:?}");
}

/// A list of its own, so that it can judge what depd takes for printable.
fn harmless(text: &str) {
    let harmful = |c: char| {
        c.is_control()
            || (c != ' ' && c.is_whitespace())
            || matches!(c,
                '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
    };
    assert!(!text.contains(harmful), "{text:?}");
}
