//! Is an image in ECR, and which tags are like it? `[C]`
//!
//! Facts: `BatchGetImage` and `ListImages` in the ECR API reference. `BatchGetImage` is what a pull needs as
//! well, so that the rights are there, and it fetches what a pull-through cache does not hold yet.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::AwsError;
use crate::model::{EcrRegistry, Image};

/// Tags that a message names.
const NAMED: usize = 3;

/// Media types of manifests; without them an index would be answered with one of its parts.
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// What is known about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    There,
    /// Its repository is there, it is not.
    NoImage,
    /// Not even its repository is there.
    NoRepository,
    /// That could not be found out, for this reason.
    Unknown(String),
}

/// The body of `BatchGetImage`. With tag and digest, the digest counts, as it does for a pull.
#[must_use]
pub fn question(registry: &EcrRegistry, image: &Image) -> Value {
    let id = match (image.digest(), image.tag()) {
        (Some(digest), _) => json!({ "imageDigest": digest }),
        (None, tag) => json!({ "imageTag": tag }),
    };
    json!({
        "registryId": registry.account(),
        "repositoryName": image.repository(),
        "imageIds": [id],
        "acceptedMediaTypes": MANIFESTS,
    })
}

/// The body of `ListImages`.
#[must_use]
pub fn all_tags(registry: &EcrRegistry, image: &Image, page: Option<&str>) -> Value {
    let mut body = json!({
        "registryId": registry.account(),
        "repositoryName": image.repository(),
        "filter": { "tagStatus": "TAGGED" },
        "maxResults": 1000,
    });
    if let Some(page) = page {
        body["nextToken"] = page.into();
    }
    body
}

/// Reads the answer of `BatchGetImage`.
#[must_use]
pub fn presence(body: &[u8]) -> Presence {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        images: Vec<serde::de::IgnoredAny>,
        #[serde(default)]
        failures: Vec<Failure>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        #[serde(default)]
        failure_code: String,
    }
    let answer: Answer = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(_) => return Presence::Unknown("the answer cannot be read".into()),
    };
    match (answer.images.is_empty(), answer.failures.first()) {
        (false, _) => Presence::There,
        (true, Some(failure)) if failure.failure_code == "ImageNotFound" => Presence::NoImage,
        (true, Some(failure)) => {
            let code: String =
                failure.failure_code.chars().filter(char::is_ascii_alphanumeric).take(80).collect();
            Presence::Unknown(format!("ECR says {code}"))
        }
        (true, None) => Presence::Unknown("the answer is empty".into()),
    }
}

/// Reads a refusal of `BatchGetImage`.
#[must_use]
pub fn refusal(error: &AwsError) -> Presence {
    match &*error.code {
        "RepositoryNotFoundException" => Presence::NoRepository,
        _ => Presence::Unknown(error.to_string()),
    }
}

/// The tags on one page of `ListImages`, and how to ask for the next.
#[must_use]
pub fn tags(body: &[u8]) -> (Vec<String>, Option<String>) {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Answer {
        image_ids: Vec<Id>,
        next_token: Option<String>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Id {
        image_tag: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body).unwrap_or_default();
    let tags = answer.image_ids.into_iter().filter_map(|id| id.image_tag).collect();
    (tags, answer.next_token.filter(|token| !token.is_empty()))
}

/// The existing tags that are most like `wanted`, best first.
#[must_use]
pub fn nearest(wanted: &str, tags: &[String]) -> Vec<String> {
    let plain = |tag: &&String| tag.bytes().all(|b| b.is_ascii_graphic()) && tag.len() <= 128;
    let mut ranked: Vec<(usize, &String)> =
        tags.iter().filter(plain).map(|tag| (distance(wanted, tag), tag)).collect();
    ranked.sort();
    ranked.dedup();
    ranked.into_iter().take(NAMED).map(|(_, tag)| tag.clone()).collect()
}

/// Levenshtein's distance: insertions, deletions and replacements of bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The sentence for an image that is not there.
#[must_use]
pub fn missing(
    registry: &EcrRegistry,
    image: &Image,
    has_repository: bool,
    tags: &[String],
) -> String {
    let (repository, what) =
        (image.repository(), image.digest().or(image.tag()).unwrap_or_default());
    if !has_repository {
        return format!("{registry} has no repository {repository}");
    }
    let like = match tags {
        [] => String::new(),
        tags => format!("; the nearest tags are {}", tags.join(", ")),
    };
    format!("the repository {repository} in {registry} has no image {what}{like}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_tells_there_from_missing_from_unknown() {
        let check = |body: &str, expect: Presence| assert_eq!(presence(body.as_bytes()), expect);
        check(r#"{"images":[{"imageId":{}}],"failures":[]}"#, Presence::There);
        check(r#"{"images":[],"failures":[{"failureCode":"ImageNotFound"}]}"#, Presence::NoImage);
        check(
            r#"{"failures":[{"failureCode":"UpstreamUnavailable"}]}"#,
            Presence::Unknown("ECR says UpstreamUnavailable".into()),
        );
        check("{}", Presence::Unknown("the answer is empty".into()));
        check("<html>", Presence::Unknown("the answer cannot be read".into()));
        let code = |code: &str| refusal(&AwsError { code: code.into(), message: String::new() });
        assert_eq!(code("RepositoryNotFoundException"), Presence::NoRepository);
        assert!(matches!(code("AccessDeniedException"), Presence::Unknown(_)));
    }

    #[test]
    fn the_nearest_tags_come_first() {
        let tags = ["1.2.3", "1.2.4", "1.2.30", "latest", "2.0.0", "1.2.4"].map(String::from);
        assert_eq!(nearest("1.2.5", &tags), ["1.2.3", "1.2.4", "1.2.30"]);
        assert_eq!(nearest("lates", &tags)[0], "latest");
        assert_eq!(nearest("x", &["a\u{1b}[31m".to_owned()]), Vec::<String>::new());
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn a_digest_is_asked_for_before_a_tag() {
        let host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
        let registry = EcrRegistry::parse(host).expect("valid");
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = |end: &str| Image::parse(&format!("{host}/shop/web{end}")).expect("valid");
        assert_eq!(question(&registry, &image(":1"))["imageIds"], json!([{ "imageTag": "1" }]));
        let both = question(&registry, &image(&format!(":1@{digest}")));
        assert_eq!(both["imageIds"], json!([{ "imageDigest": digest }]));
        assert_eq!(both["repositoryName"], "shop/web");
        assert_eq!(both["registryId"], "123456789012");
        assert_eq!(
            missing(&registry, &image(":1.2"), true, &["1.1".into(), "1.3".into()]),
            format!(
                "the repository shop/web in {host} has no image 1.2; the nearest tags are 1.1, 1.3"
            )
        );
    }
}
