//! `ECR_REPO`: the registry or repository that short images in dep files are taken from.

use super::allow::ImageLimits;
use crate::model::{Image, ImageProblem, ServiceKey, check_prefix, printable};

/// How the images of dep files are completed; fixed for the life of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRules {
    /// Put before images that name no registry. `None`: every image is written in full.
    pub ecr_repo: Option<EcrRepo>,
    /// What may be deployed.
    pub limits: ImageLimits,
}

/// A registry host, or a repository in one. Not only Amazon's: any registry does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcrRepo {
    text: Box<str>,
}

impl EcrRepo {
    /// Parses the value of `ECR_REPO`; surrounding white space and slashes at the end are dropped.
    ///
    /// # Errors
    /// A sentence that says what to set.
    pub fn parse(value: &str) -> Result<EcrRepo, String> {
        let text = value.trim().trim_end_matches('/');
        let example = "for example 123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop";
        if text.is_empty() {
            return Err(format!(
                "ECR_REPO is empty: set it to a registry or repository, {example}, or leave it out"
            ));
        }
        let plain = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        if let Some(plain) = plain {
            return Err(format!(
                "ECR_REPO is not a URL: set it without the scheme, as {}",
                printable(plain)
            ));
        }
        check_prefix(text).map_err(|problem| {
            let text = problem.text;
            format!(
                "ECR_REPO is not a registry or repository ({text}): set it without a tag, {example}"
            )
        })?;
        if !Image::names_registry(&format!("{}/x", text)) {
            return Err(format!(
                "ECR_REPO begins with no registry host: set it in full, {example}"
            ));
        }
        Ok(EcrRepo { text: text.into() })
    }

    /// As it is put in front of images.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The registry's host and port.
    #[must_use]
    pub fn registry(&self) -> &str {
        self.text.split_once('/').map_or(&self.text, |(registry, _)| registry)
    }

    /// The repository, where it names one and not only a host.
    #[must_use]
    pub fn repository(&self) -> Option<&str> {
        self.text.split_once('/').map(|(_, repository)| repository)
    }
}

impl ImageRules {
    /// The image that `text` in the dep file of `key` stands for.
    ///
    /// # Errors
    /// Where the text, or what it becomes, is not an image; the place counts in `text`.
    pub fn resolve(&self, text: &str, key: &ServiceKey) -> Result<Image, ImageProblem> {
        let image = self.complete(text, key)?;
        match self.limits.objection(&image) {
            Some(text) => Err(ImageProblem { at: 0, text }),
            None => Ok(image),
        }
    }

    fn complete(&self, text: &str, key: &ServiceKey) -> Result<Image, ImageProblem> {
        if Image::names_registry(text) {
            return Image::parse(text);
        }
        let Some(repo) = &self.ecr_repo else {
            return resolve_without_prefix(text, key);
        };
        let prefix = match bare(text) {
            Bare::No => format!("{}/", repo.text),
            Bare::Tag if repo.repository().is_some() => format!("{}:", repo.text),
            Bare::Tag => format!("{}/{}:", repo.text, key.service()),
            Bare::Digest if repo.repository().is_some() => format!("{}@", repo.text),
            Bare::Digest => format!("{}/{}@", repo.text, key.service()),
        };
        let shift = |problem: ImageProblem| ImageProblem {
            at: problem.at.saturating_sub(prefix.len()).min(text.len()),
            text: problem.text,
        };
        Image::parse(&format!("{prefix}{text}")).map_err(shift)
    }
}

fn resolve_without_prefix(text: &str, key: &ServiceKey) -> Result<Image, ImageProblem> {
    let bare = match bare(text) {
        Bare::Digest => Some(('@', "digest")),
        Bare::Tag if looks_like_version(text) => Some((':', "tag")),
        _ => None,
    };
    match bare {
        Some((sign, what)) => {
            let name = key.service();
            let text = format!(
                "{text} is only a {what}: write the image in full, such as {name}{sign}{text}, or set ECR_REPO"
            );
            Err(ImageProblem { at: 0, text })
        }
        None => Image::parse(text),
    }
}

/// Whether a text is only the end of a reference.
enum Bare {
    No,
    Tag,
    Digest,
}

fn bare(text: &str) -> Bare {
    let hex = |s: &str| s.len() >= 32 && s.bytes().all(|b| b.is_ascii_hexdigit());
    let tag = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text.split_once(':') {
        Some(("sha256" | "sha384" | "sha512", rest)) if hex(rest) => Bare::Digest,
        None if !text.is_empty() && text.chars().all(tag) => Bare::Tag,
        _ => Bare::No,
    }
}

/// `1.25`, `v2`, `2026-01-31`: nobody means an image by it.
fn looks_like_version(text: &str) -> bool {
    let digits = text.strip_prefix(['v', 'V']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{EcrRepo, ImageRules, ServiceKey};
    use crate::model::fixture::{any_text, is_harmful};

    const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    fn resolve(repo: Option<&str>, text: &str) -> String {
        let rules = ImageRules {
            ecr_repo: repo.map(|r| EcrRepo::parse(r).unwrap()),
            ..ImageRules::default()
        };
        let key = ServiceKey::new("web", "prod").unwrap();
        match rules.resolve(text, &key) {
            Ok(image) => image.to_string(),
            Err(problem) => format!("{}: {}", problem.at, problem.text),
        }
    }

    #[test]
    fn without_ecr_repo_an_image_is_taken_as_written() {
        assert_eq!(resolve(None, "nginx:1.25"), "nginx:1.25");
        assert_eq!(
            resolve(None, "1.25"),
            "0: 1.25 is only a tag: write the image in full, such as web:1.25, or set ECR_REPO"
        );
        assert_eq!(resolve(None, "v2").split(':').nth(1), Some(" v2 is only a tag"));
        assert_eq!(
            resolve(None, "nginx"),
            "5: no tag: write nginx:latest, or better the version that is meant"
        );
        let digest = format!("sha256:{}", "a".repeat(64));
        assert!(
            resolve(None, &digest)
                .contains("is only a digest: write the image in full, such as web@sha256:")
        );
    }

    #[test]
    fn a_registry_host_completes_names_and_bare_tags() {
        assert_eq!(resolve(Some(HOST), "web:42"), format!("{HOST}/web:42"));
        assert_eq!(resolve(Some(HOST), "team/web:42"), format!("{HOST}/team/web:42"));
        assert_eq!(resolve(Some(HOST), "42"), format!("{HOST}/web:42"));
        assert_eq!(resolve(Some(HOST), "latest"), format!("{HOST}/web:latest"));
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(resolve(Some(HOST), &digest), format!("{HOST}/web@{digest}"));
    }

    #[test]
    fn a_repository_completes_names_and_bare_tags() {
        let repo = format!("{HOST}/shop");
        assert_eq!(resolve(Some(&repo), "web:42"), format!("{HOST}/shop/web:42"));
        assert_eq!(resolve(Some(&repo), "42"), format!("{HOST}/shop:42"));
    }

    #[test]
    fn an_image_that_names_its_registry_escapes_the_prefix() {
        for image in
            ["docker.io/library/nginx:1.25", "localhost/x:1", "localhost:5000/x:1", "ghcr.io/a/b:1"]
        {
            assert_eq!(resolve(Some(HOST), image), image);
        }
    }

    #[test]
    fn a_problem_counts_in_the_text_as_written() {
        assert_eq!(resolve(Some(HOST), "web:4+2"), "5: the character + is not allowed in a tag");
        assert_eq!(
            resolve(Some(HOST), "-"),
            "0: a tag begins with a letter, a digit or an underscore"
        );
    }

    #[test]
    fn ecr_repo_is_checked_with_a_sentence_that_says_what_to_set() {
        let check = |value: &str, expect: &str| {
            let problem = EcrRepo::parse(value).expect_err(value);
            assert!(problem.starts_with(expect), "{value}: {problem}");
        };
        check(" ", "ECR_REPO is empty: set it to a registry or repository");
        check("https://reg.io/a/", "ECR_REPO is not a URL: set it without the scheme, as reg.io/a");
        check(
            "reg.io/a:1",
            "ECR_REPO is not a registry or repository (the character : is not allowed",
        );
        check("shop/web", "ECR_REPO begins with no registry host");
        check("reg.io/Shop", "ECR_REPO is not a registry or repository (the capital letter S");
        check("reg .io", "ECR_REPO is not a registry or repository (a space");
        let repo = EcrRepo::parse(" reg.io:5000/a/b/ ").unwrap();
        assert_eq!(
            (repo.as_str(), repo.registry(), repo.repository()),
            ("reg.io:5000/a/b", "reg.io:5000", Some("a/b"))
        );
    }

    proptest! {
        #[test]
        fn any_value_of_ecr_repo_is_kept_or_refused_in_printable_words(
            text in any_text(), start in prop::sample::select(vec!["", "reg.io/", "https://"])
        ) {
            match EcrRepo::parse(&format!("{start}{text}")) {
                Ok(repo) => prop_assert_eq!(EcrRepo::parse(repo.as_str()), Ok(repo)),
                Err(problem) => prop_assert!(!problem.contains(is_harmful), "{problem:?}"),
            }
        }
    }
}
