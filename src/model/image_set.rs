//! What one dep file asks for: one image, or one per named container.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Image;

/// The images of a complete, valid dep file.
///
/// Equal by meaning: the order of the lines and the spelling of the images do not count.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ImageSet {
    /// One image without a container name: for the only container of the workload, or for the one
    /// named like the service.
    Single(Image),
    /// `container=image` lines, in file order, each container (or init container) at most once.
    Named(Vec<(Box<str>, Image)>),
}

impl PartialEq for ImageSet {
    fn eq(&self, other: &ImageSet) -> bool {
        match (self, other) {
            (ImageSet::Single(a), ImageSet::Single(b)) => a == b,
            (ImageSet::Named(a), ImageSet::Named(b)) => {
                a.len() == b.len() && a.iter().all(|pair| b.contains(pair))
            }
            _ => false,
        }
    }
}

impl Eq for ImageSet {}

impl ImageSet {
    /// The content of a dep file that asks for exactly this, line by line.
    #[must_use]
    pub fn to_content(&self) -> String {
        match self {
            ImageSet::Single(image) => format!("{image}\n"),
            ImageSet::Named(pairs) => {
                pairs.iter().map(|(container, image)| format!("{container}={image}\n")).collect()
            }
        }
    }
}

/// `nginx:1.25`, or `web=nginx:1.25, proxy=envoy:1.30`.
impl fmt::Display for ImageSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageSet::Single(image) => image.fmt(f),
            ImageSet::Named(pairs) => {
                for (i, (container, image)) in pairs.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{container}={image}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Image, ImageSet};

    fn named(pairs: &[(&str, &str)]) -> ImageSet {
        let pair = |(c, i): &(&str, &str)| (Box::from(*c), Image::parse(i).unwrap());
        ImageSet::Named(pairs.iter().map(pair).collect())
    }

    #[test]
    fn sets_are_equal_whatever_the_order_and_spelling() {
        let one = named(&[("web", "nginx:1.25"), ("proxy", "envoy:1")]);
        let other = named(&[("proxy", "envoy:1"), ("web", "docker.io/library/nginx:1.25")]);
        assert_eq!(one, other);
        assert_ne!(one, named(&[("web", "nginx:1.25")]));
        assert_ne!(one, named(&[("web", "nginx:1.25"), ("proxy", "envoy:2")]));
        assert_ne!(named(&[("web", "a:1")]), ImageSet::Single(Image::parse("a:1").unwrap()));
    }

    #[test]
    fn a_set_reads_as_one_line() {
        assert_eq!(
            named(&[("web", "nginx:1"), ("proxy", "envoy:1")]).to_string(),
            "web=nginx:1, proxy=envoy:1"
        );
        assert_eq!(ImageSet::Single(Image::parse("nginx:1").unwrap()).to_string(), "nginx:1");
    }

    #[test]
    fn a_set_becomes_the_content_of_a_dep_file() {
        let set = named(&[("web", "nginx:1"), ("proxy", "envoy:1")]);
        assert_eq!(set.to_content(), "web=nginx:1\nproxy=envoy:1\n");
        assert_eq!(ImageSet::Single(Image::parse("nginx:1").unwrap()).to_content(), "nginx:1\n");
    }
}
