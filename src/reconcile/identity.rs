//! What the last run was about: if that changed, a person must say that it was meant to.
//!
//! A cluster is known by the uid of its namespace `kube-system`, which lives as long as it does and is
//! the same behind whatever address. Where that may not be read, the address of the API server and the
//! authority that its certificate is trusted by stand for it. Both are remembered, because rights come
//! and go: then it is the same cluster as long as what can be compared is the same.

use std::collections::BTreeMap;

type Meta = BTreeMap<String, String>;

const CLUSTER: &str = "cluster";
const SERVER: &str = "server";
const AUTHORITY: &str = "authority";
const FOLDER: &str = "folder";
const ECR_REPO: &str = "ecr_repo";

/// The cluster, the folder, and the settings that decide what an image means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The uid of the namespace `kube-system`; `None` where that may not be read.
    pub uid: Option<String>,
    /// The address of the API server.
    pub server: String,
    /// What tells the authority from others by which the server is trusted.
    pub authority: String,
    /// The folder of dep files, as an absolute path.
    pub folder: String,
    /// `ECR_REPO`, empty where it is not set.
    pub ecr_repo: String,
}

impl Identity {
    /// As names and values for the store, which knew `before`.
    #[must_use]
    pub fn to_meta(&self, before: &Meta) -> [(&'static str, String); 5] {
        // A uid that cannot be read now is not forgotten for that.
        let known = before.get(CLUSTER).filter(|_| self.other_cluster(before).is_empty());
        let cluster = self.uid.as_ref().or(known).unwrap_or(&self.server).clone();
        [
            (CLUSTER, cluster),
            (SERVER, self.server.clone()),
            (AUTHORITY, self.authority.clone()),
            (FOLDER, self.folder.clone()),
            (ECR_REPO, self.ecr_repo.clone()),
        ]
    }

    /// Whether the store remembers any run.
    #[must_use]
    pub fn is_first(meta: &Meta) -> bool {
        !meta.contains_key(CLUSTER)
    }

    /// A line for each thing that is not as the store remembers it.
    #[must_use]
    pub fn differences(&self, meta: &Meta) -> Vec<String> {
        let mut lines = self.other_cluster(meta);
        lines.extend(other("the folder", meta.get(FOLDER), &self.folder));
        lines.extend(other("ECR_REPO", meta.get(ECR_REPO), &self.ecr_repo));
        lines
    }

    fn other_cluster(&self, meta: &Meta) -> Vec<String> {
        let Some(cluster) = meta.get(CLUSTER) else { return Vec::new() };
        // Where no uid could be read, the address stands in its place.
        let is_uid = !cluster.contains("://");
        match &self.uid {
            Some(uid) if is_uid => other("the cluster", Some(cluster), uid).into_iter().collect(),
            _ => {
                let server = meta.get(SERVER).unwrap_or(cluster);
                let server = other("the API server", Some(server), &self.server);
                let authority = meta.get(AUTHORITY);
                let what = "the certificate authority of the API server";
                let authority = other(what, authority, &self.authority);
                server.or(authority).into_iter().collect()
            }
        }
    }
}

/// The line for a thing that was otherwise; what nobody remembers was not.
fn other(what: &str, before: Option<&String>, now: &str) -> Option<String> {
    let before = before.filter(|before| *before != now)?;
    Some(format!("{what} was {}, and is {}", shown(before), shown(now)))
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "not set" } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(uid: Option<&str>, server: &str, authority: &str) -> Identity {
        Identity {
            uid: uid.map(str::to_owned),
            server: server.to_owned(),
            authority: authority.to_owned(),
            folder: "/deps".into(),
            ecr_repo: String::new(),
        }
    }

    /// What is remembered after runs as these.
    fn after(runs: &[Identity]) -> Meta {
        let mut meta = Meta::new();
        for run in runs {
            let kept = run.to_meta(&meta).map(|(name, value)| (name.to_owned(), value));
            meta.extend(kept);
        }
        meta
    }

    const A: &str = "https://a:6443/";
    const B: &str = "https://b:6443/";

    #[test]
    fn each_difference_is_named_and_a_first_run_has_none() {
        let first = identity(Some("1a"), A, "ca-1");
        assert!(Identity::is_first(&Meta::new()) && first.differences(&Meta::new()).is_empty());
        let meta = after(std::slice::from_ref(&first));
        assert!(!Identity::is_first(&meta) && first.differences(&meta).is_empty());
        let other = Identity { ecr_repo: "r.example".into(), uid: Some("2b".into()), ..first };
        let expect = ["the cluster was 1a, and is 2b", "ECR_REPO was not set, and is r.example"];
        assert_eq!(other.differences(&meta), expect);
    }

    #[test]
    fn a_cluster_is_the_same_as_long_as_what_can_be_compared_is() {
        let with_uid = || identity(Some("1a"), A, "ca-1");
        let without = || identity(None, A, "ca-1");
        let authority = "the certificate authority of the API server was ca-1, and is ca-2";
        let address = "the API server was https://a:6443/, and is https://b:6443/";
        let uid = "the cluster was 1a, and is 2b";
        let cases: &[(&[Identity], Identity, &[&str])] = &[
            // The right to read the uid comes, goes and comes again.
            (&[without()], with_uid(), &[]),
            (&[with_uid()], without(), &[]),
            (&[with_uid(), without()], with_uid(), &[]),
            (&[with_uid(), without()], identity(Some("2b"), A, "ca-1"), &[uid]),
            (&[without(), with_uid()], identity(Some("2b"), A, "ca-1"), &[uid]),
            // By its uid it is known behind another address and with another authority.
            (&[with_uid()], identity(Some("1a"), B, "ca-2"), &[]),
            (&[with_uid(), identity(Some("1a"), B, "ca-2")], identity(None, B, "ca-2"), &[]),
            (&[with_uid()], identity(Some("2b"), A, "ca-1"), &[uid]),
            // Without a uid on either side nothing else tells it.
            (&[with_uid()], identity(None, B, "ca-1"), &[address]),
            (&[with_uid()], identity(None, A, "ca-2"), &[authority]),
            (&[without()], identity(Some("2b"), B, "ca-1"), &[address]),
            (&[without()], identity(None, A, "ca-2"), &[authority]),
        ];
        for (runs, now, expect) in cases {
            assert_eq!(now.differences(&after(runs)), *expect, "{runs:?}, then {now:?}");
        }
    }

    #[test]
    fn what_an_older_depd_remembered_is_understood() {
        let remembered = |cluster: &str| Meta::from([(CLUSTER.to_owned(), cluster.to_owned())]);
        assert!(identity(Some("1a"), A, "ca-1").differences(&remembered("1a")).is_empty());
        assert!(identity(None, A, "ca-1").differences(&remembered(A)).is_empty());
        assert!(identity(Some("1a"), A, "ca-1").differences(&remembered(A)).is_empty());
        assert_eq!(identity(None, B, "ca-1").differences(&remembered(A)).len(), 1);
        assert_eq!(identity(None, A, "ca-1").differences(&remembered("1a")).len(), 1);
    }
}
