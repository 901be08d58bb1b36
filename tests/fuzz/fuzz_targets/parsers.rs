//! Whatever stands in a dep file or its name: no panic, no place outside the content, nothing that
//! steers a terminal, and what is accepted means the same when it is written down and read again.

#![no_main]

use depd::desired::{Content, EcrRepo, FileName, ImageRules, parse_content, parse_name};
use depd::model::{Image, ImageSet, Problem, ServiceKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    name(&text);
    image(&text);
    let key = ServiceKey::new("shop", "prod").expect("a valid key");
    let repo = EcrRepo::parse("123456789012.dkr.ecr.eu-central-1.amazonaws.com").expect("valid");
    for ecr_repo in [None, Some(repo)] {
        content(data, &key, &ImageRules { ecr_repo });
    }
    let _ = EcrRepo::parse(&text);
});

fn name(text: &str) {
    match parse_name(text) {
        FileName::Dep(key) => assert_eq!(key.file_name(), text),
        FileName::Refused(problem) => harmless(&problem),
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
        Err(problem) => assert!(problem.at <= text.len() && text.is_char_boundary(problem.at)),
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
            let own = ImageRules { ecr_repo: None };
            assert_eq!(parse_content(again.as_bytes(), key, &own), Ok(Content::Images(images)));
        }
        Ok(Content::Empty) => {}
        Err(problem) => {
            harmless(&problem);
            let lines = data.split(|byte| *byte == b'\n').count();
            let place = problem.place.map(|(line, _)| usize::try_from(line).expect("small"));
            assert!(place.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?}");
        }
    }
}

fn harmless(problem: &Problem) {
    assert!(!problem.text.chars().any(char::is_control), "{problem:?}");
}
