//! What the last run was about: if that changed, a person must say that it was meant to.

use std::collections::BTreeMap;

/// The cluster, the folder, and the settings that decide what an image means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The uid of the namespace `kube-system`; where that may not be read, the server's address.
    pub cluster: String,
    /// The folder of dep files, as an absolute path.
    pub folder: String,
    /// `ECR_REPO`, empty where it is not set.
    pub ecr_repo: String,
}

impl Identity {
    /// As names and values, for the store.
    #[must_use]
    pub fn to_meta(&self) -> [(&'static str, &str); 3] {
        [("cluster", &self.cluster), ("folder", &self.folder), ("ecr_repo", &self.ecr_repo)]
    }

    /// Whether the store remembers any run.
    #[must_use]
    pub fn is_first(meta: &BTreeMap<String, String>) -> bool {
        !meta.contains_key("cluster")
    }

    /// A line for each thing that is not as the store remembers it.
    #[must_use]
    pub fn differences(&self, meta: &BTreeMap<String, String>) -> Vec<String> {
        let line = |(name, now): (&str, &str)| {
            let before = meta.get(name).filter(|before| *before != now)?;
            let what = match name {
                "cluster" => "the cluster",
                "folder" => "the folder",
                _ => "ECR_REPO",
            };
            Some(format!("{what} was {}, and is {}", shown(before), shown(now)))
        };
        self.to_meta().into_iter().filter_map(line).collect()
    }
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "not set" } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_named_and_a_first_run_has_none() {
        let identity =
            Identity { cluster: "1a".into(), folder: "/deps".into(), ecr_repo: String::new() };
        let mut meta = BTreeMap::new();
        assert!(Identity::is_first(&meta) && identity.differences(&meta).is_empty());
        for (name, value) in identity.to_meta() {
            meta.insert(name.to_owned(), value.to_owned());
        }
        assert!(!Identity::is_first(&meta) && identity.differences(&meta).is_empty());
        let other = Identity { ecr_repo: "r.example".into(), cluster: "2b".into(), ..identity };
        let expect = ["the cluster was 1a, and is 2b", "ECR_REPO was not set, and is r.example"];
        assert_eq!(other.differences(&meta), expect);
    }
}
