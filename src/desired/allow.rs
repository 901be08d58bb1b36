//! Which images may be deployed at all: `--allow-image` and `--digest-only`.
//!
//! Judged is what the image means after parsing and completion, never its text: `good.io.evil/x` and
//! `good.io@evil` look like an image of `good.io` and are none. Once something is allowed, everything
//! else is not. A dep file is judged when it is read; the planner judges each image once more before
//! it is set, because a rollback takes one from the past.

use crate::model::{Image, printable};

/// What may be deployed; by default everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageLimits {
    /// Where images may come from; empty for everywhere.
    pub allowed: Vec<AllowedImages>,
    /// Every image must name its digest.
    pub digest_only: bool,
}

/// A registry, a repository, or all repositories beneath a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedImages {
    text: Box<str>,
    registry: Box<str>,
    repositories: Repositories,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Repositories {
    All,
    One(Box<str>),
    /// Ends with a slash.
    Beneath(Box<str>),
}

impl AllowedImages {
    /// Parses `registry.example.com` (all of it), `registry.example.com/shop/web` (one repository) or
    /// `registry.example.com/shop/*` (what lies beneath). `nginx` is `docker.io/library/nginx`.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn parse(value: &str) -> Result<AllowedImages, String> {
        let text = value.trim();
        let fault = |why: &str| {
            format!(
                "{} is not a registry or repository ({why}): write for example \
                 registry.example.com, registry.example.com/shop/web or registry.example.com/shop/*",
                printable(text)
            )
        };
        let (base, beneath) = match text.strip_suffix("/*") {
            Some(base) => (base, true),
            None => (text, false),
        };
        let is_registry =
            |text: &str| !text.contains('/') && Image::names_registry(&format!("{text}/x"));
        let probe = match (is_registry(base), beneath) {
            (true, _) => format!("{base}/x/x:x"),
            (false, true) => format!("{base}/x:x"),
            (false, false) => format!("{base}:x"),
        };
        let image = Image::parse(&probe).map_err(|problem| fault(&problem.text))?;
        if image.tag() != Some("x") || image.digest().is_some() || base.is_empty() {
            return Err(fault("a tag or digest says nothing about where it comes from"));
        }
        let repository = image.repository();
        let repositories = match (is_registry(base), beneath) {
            (true, _) => Repositories::All,
            (false, true) => {
                Repositories::Beneath(repository.strip_suffix('x').unwrap_or("/").into())
            }
            (false, false) => Repositories::One(repository.as_ref().into()),
        };
        let registry = image.registry().to_ascii_lowercase().into();
        Ok(AllowedImages { text: text.into(), registry, repositories })
    }

    fn allows(&self, image: &Image) -> bool {
        image.registry().eq_ignore_ascii_case(&self.registry)
            && match &self.repositories {
                Repositories::All => true,
                Repositories::One(repository) => image.repository() == **repository,
                Repositories::Beneath(path) => image.repository().starts_with(&**path),
            }
    }
}

impl ImageLimits {
    /// What speaks against an image, with what to do; `None` if nothing does.
    #[must_use]
    pub fn objection(&self, image: &Image) -> Option<String> {
        let ImageLimits { allowed, digest_only } = self;
        if !allowed.is_empty() && !allowed.iter().any(|one| one.allows(image)) {
            let list: Vec<&str> = allowed.iter().map(|one| &*one.text).collect();
            return Some(format!(
                "images of {}/{} are not allowed: write one of {}, or start depd with another --allow-image",
                image.registry(),
                image.repository(),
                list.join(", ")
            ));
        }
        (*digest_only && image.digest().is_none()).then(|| {
            "a tag can be moved, and depd was started with --digest-only: write the digest, as in \
             name:tag@sha256:…"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &str, image: &str, expect: bool) {
        let allowed = vec![AllowedImages::parse(allowed).unwrap()];
        let image = Image::parse(image).unwrap();
        let limits = ImageLimits { allowed, digest_only: false };
        assert_eq!(limits.objection(&image).is_none(), expect, "{limits:?} {image}");
    }

    #[test]
    fn a_registry_allows_all_of_its_own_and_nothing_that_looks_like_it() {
        check("good.io", "good.io/x:1", true);
        check("good.io", "good.io/a/b/c:1", true);
        check("good.io", "Good.IO/x:1", true);
        check("good.io", "good.io.evil/x:1", false);
        check("good.io", "evil.good.io/x:1", false);
        check("good.io", "evil.io/good.io/x:1", false);
        check("good.io", "good.io:5000/x:1", false);
        check("good.io:5000", "good.io:5000/x:1", true);
        check("good.io", "x:1", false);
        check("docker.io", "nginx:1", true);
        check("docker.io", "index.docker.io/bitnami/redis:1", true);
        check("docker.io/*", "bitnami/redis:1", true);
        check("localhost", "localhost/x:1", true);
        assert!(Image::parse("good.io@evil/x:1").is_err());
    }

    #[test]
    fn a_repository_allows_itself_and_a_star_what_lies_beneath() {
        check("nginx", "docker.io/library/nginx:1", true);
        check("docker.io/library/nginx", "nginx:1", true);
        check("nginx", "evil/nginx:1", false);
        check("nginx", "nginx2:1", false);
        check("good.io/shop/web", "good.io/shop/web:1", true);
        check("good.io/shop/web", "good.io/shop/web2:1", false);
        check("good.io/shop/web", "good.io/shop/web/x:1", false);
        check("good.io/shop/*", "good.io/shop/web:1", true);
        check("good.io/shop/*", "good.io/shop/a/b:1", true);
        check("good.io/shop/*", "good.io/shop:1", false);
        check("good.io/shop/*", "good.io/shopping/web:1", false);
        check("bitnami/*", "bitnami/redis:1", true);
        check("library/*", "nginx:1", true);
    }

    #[test]
    fn what_is_no_place_of_images_is_refused() {
        for text in [
            "",
            "*",
            "good.io/*/x",
            "good.io/",
            "nginx:1.25",
            "https://good.io",
            "good.io/x@sha256:0",
        ] {
            let problem = AllowedImages::parse(text).expect_err(text);
            assert!(problem.contains("write for example"), "{problem}");
        }
    }

    #[test]
    fn only_digests_where_only_digests_are_wanted() {
        let digest = format!("nginx:1@sha256:{}", "0".repeat(64));
        let limits = ImageLimits { digest_only: true, ..ImageLimits::default() };
        assert_eq!(limits.objection(&Image::parse(&digest).unwrap()), None);
        let said = limits.objection(&Image::parse("nginx:1").unwrap()).unwrap();
        assert!(said.contains("--digest-only"), "{said}");
    }
}
