//! The cache of workloads: the newest known version of each, whoever brought it.
//!
//! Two writers meet here: the watch stream, and the replies to depd's own PATCH requests, which are
//! usually ahead of the stream. Versions decide: an older `resourceVersion` never replaces a newer
//! one (they are comparable numbers, see "Resource versions" in the API concepts). Only when a list
//! is older than what the stream showed before does the whole cache go back in time with it: etcd
//! was restored from a backup.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::{ServiceKey, Workload};

/// What the cache says about the workloads of one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight<'a> {
    /// Nobody has listed them yet; an absent workload may be there all the same.
    Unseen,
    /// They may not be listed, or there is no such namespace: what the API server says.
    Refused(&'a str),
    /// They were listed: "not here" means "not in the cluster".
    Complete,
}

/// The newest known version of every workload.
///
/// It is filled by watches of different scopes: one namespace (`Some`), or the whole cluster
/// (`None`). They may overlap while one takes over from others.
#[derive(Debug, Default)]
pub struct Workloads {
    by_key: HashMap<ServiceKey, Arc<Workload>>,
    /// The newest version that a list or the stream of the whole cluster showed, if it was listed.
    everywhere: Option<u64>,
    /// The same for each namespace that was listed on its own.
    listed: HashMap<Box<str>, u64>,
    /// Namespaces that may not be listed, with the reason.
    refused: HashMap<Box<str>, Box<str>>,
}

impl Workloads {
    /// How far the workloads of `namespace` are known.
    #[must_use]
    pub fn sight(&self, namespace: &str) -> Sight<'_> {
        match self.refused.get(namespace) {
            _ if self.streamed(namespace).is_some() => Sight::Complete,
            Some(why) => Sight::Refused(why),
            None => Sight::Unseen,
        }
    }

    /// Whether this scope was listed, and not only a part of it or all of which it is a part.
    #[must_use]
    pub fn is_listed(&self, scope: Option<&str>) -> bool {
        match scope {
            Some(namespace) => self.listed.contains_key(namespace),
            None => self.everywhere.is_some(),
        }
    }

    /// The newest version that the lists and streams which cover `namespace` showed.
    fn streamed(&self, namespace: &str) -> Option<u64> {
        self.everywhere.max(self.listed.get(namespace).copied())
    }

    /// The newest known version.
    #[must_use]
    pub fn get(&self, key: &ServiceKey) -> Option<Arc<Workload>> {
        self.by_key.get(key).map(Arc::clone)
    }

    /// How many workloads are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// None are known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Takes a complete list of a scope, as of version `listed`. Returns the keys that changed, came
    /// or went.
    pub fn replace(
        &mut self,
        scope: Option<&str>,
        items: Vec<Workload>,
        listed: u64,
    ) -> Vec<ServiceKey> {
        let seen = match scope {
            Some(namespace) => self.listed.insert(namespace.into(), listed),
            None => self.everywhere.replace(listed),
        };
        match scope {
            Some(namespace) => drop(self.refused.remove(namespace)),
            None => self.refused.clear(),
        }
        let back_in_time = seen.is_some_and(|seen| listed < seen);
        let is_ahead = |own: &Workload| !back_in_time && own.resource_version > listed;
        let mut names = HashSet::with_capacity(items.len());
        let mut changed = Vec::new();
        for item in items {
            names.insert(item.key.clone());
            let keep = self.by_key.get(&item.key).is_some_and(|own| **own == item || is_ahead(own));
            if !keep {
                changed.push(item.key.clone());
                self.by_key.insert(item.key.clone(), Arc::new(item));
            }
        }
        self.by_key.retain(|key, own| {
            let elsewhere = scope.is_some_and(|namespace| namespace != key.namespace());
            let stays = elsewhere || names.contains(key) || is_ahead(own);
            if !stays {
                changed.push(key.clone());
            }
            stays
        });
        changed
    }

    /// Takes one version from the stream of a scope; false when it is not newer than what is known.
    pub fn stream(&mut self, scope: Option<&str>, workload: Workload) -> bool {
        self.note(scope, workload.resource_version);
        self.insert(workload)
    }

    /// Takes one version from the reply to a request; false when it is not newer than what is known.
    /// A reply that comes after the stream told of the workload's deletion brings nothing back.
    pub fn apply(&mut self, workload: Workload) -> bool {
        let version = workload.resource_version;
        let streamed = self.streamed(workload.key.namespace());
        let gone = !self.by_key.contains_key(&workload.key)
            && streamed.is_some_and(|seen| version != 0 && version <= seen);
        !gone && self.insert(workload)
    }

    /// Versions that are not numbers (0) cannot be told apart; the later word counts.
    fn insert(&mut self, workload: Workload) -> bool {
        let known = self.by_key.get(&workload.key);
        let version = workload.resource_version;
        let newer = known.is_none_or(|own| version == 0 || own.resource_version < version);
        if newer {
            self.by_key.insert(workload.key.clone(), Arc::new(workload));
        }
        newer
    }

    /// Takes word from the stream of a scope that the workload was deleted at `resource_version`;
    /// false when a newer one of the same name is known already.
    pub fn delete(&mut self, scope: Option<&str>, key: &ServiceKey, resource_version: u64) -> bool {
        self.note(scope, resource_version);
        let old = self.by_key.get(key).is_some_and(|own| own.resource_version <= resource_version);
        old && self.by_key.remove(key).is_some()
    }

    /// A stream follows a list, so a scope that has none is not made one here.
    fn note(&mut self, scope: Option<&str>, version: u64) {
        let streamed = match scope {
            Some(namespace) => self.listed.get_mut(namespace),
            None => self.everywhere.as_mut(),
        };
        if let Some(streamed) = streamed {
            *streamed = version.max(*streamed);
        }
    }

    /// Takes the API server's word (404) that the workload that was known at version `seen` is gone.
    /// One that the stream has brought since stays.
    pub fn forget(&mut self, key: &ServiceKey, seen: u64) {
        if self.by_key.get(key).is_some_and(|own| own.resource_version <= seen) {
            self.by_key.remove(key);
        }
    }

    /// Takes word that `namespace` may not be listed. What was listed before stays, though it gets
    /// old. True when this is news.
    pub fn refuse(&mut self, namespace: &str, why: &str) -> bool {
        self.refused.insert(namespace.into(), why.into()).as_deref() != Some(why)
    }

    /// Nobody watches this scope any more: what no other scope covers is forgotten.
    pub fn close(&mut self, scope: Option<&str>) {
        match scope {
            Some(namespace) => {
                self.listed.remove(namespace);
                self.refused.remove(namespace);
            }
            None => self.everywhere = None,
        }
        if self.everywhere.is_none() {
            let listed = &self.listed;
            self.by_key.retain(|key, _| listed.contains_key(key.namespace()));
            self.by_key.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture;

    fn version(name: &str, resource_version: u64) -> Workload {
        Workload { resource_version, ..fixture::workload(name) }
    }

    fn held(cache: &Workloads, name: &str) -> Option<u64> {
        cache.get(&fixture::key(name)).map(|w| w.resource_version)
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let mut cache = Workloads::default();
        assert!(cache.apply(version("web", 10)), "the reply to our PATCH");
        assert!(!cache.stream(None, version("web", 8)), "the stream lags behind it");
        assert!(!cache.stream(None, version("web", 10)), "its echo");
        assert!(
            !cache.delete(None, &fixture::key("web"), 9),
            "an old deletion of an older namesake"
        );
        assert_eq!(held(&cache, "web"), Some(10));
        assert!(cache.delete(None, &fixture::key("web"), 11));
        assert_eq!(held(&cache, "web"), None);
    }

    #[test]
    fn a_late_reply_brings_no_deleted_workload_back() {
        let mut cache = Workloads::default();
        cache.replace(None, vec![version("web", 10)], 12);
        assert!(cache.delete(None, &fixture::key("web"), 15));
        assert!(!cache.apply(version("web", 13)), "the reply to a PATCH before the deletion");
        assert_eq!(held(&cache, "web"), None);
        assert!(cache.apply(version("web", 17)), "created anew since");
        cache.forget(&fixture::key("web"), 13);
        assert_eq!(held(&cache, "web"), Some(17), "a 404 for the old one says nothing of the new");
        cache.forget(&fixture::key("web"), 17);
        assert_eq!(held(&cache, "web"), None);
    }

    #[test]
    fn a_list_removes_what_it_does_not_name_but_not_what_is_newer_than_itself() {
        let mut cache = Workloads::default();
        assert_eq!(cache.sight("default"), Sight::Unseen);
        cache.replace(None, vec![version("web", 10), version("api", 11)], 12);
        assert_eq!(cache.sight("default"), Sight::Complete);
        cache.apply(version("new", 21));
        cache.apply(version("web", 22));
        assert_eq!(cache.replace(None, vec![version("web", 15)], 16), [fixture::key("api")]);
        assert_eq!(held(&cache, "web"), Some(22));
        assert_eq!(held(&cache, "new"), Some(21));
    }

    #[test]
    fn a_list_from_a_restored_etcd_takes_everything_back_in_time() {
        let mut cache = Workloads::default();
        cache.replace(None, vec![version("web", 10), version("late", 800)], 900);
        cache.stream(None, version("web", 950));
        let mut changed = cache.replace(None, vec![version("web", 500)], 600);
        changed.sort();
        assert_eq!(changed, [fixture::key("late"), fixture::key("web")]);
        assert_eq!(held(&cache, "web"), Some(500));
    }

    #[test]
    fn an_unchanged_list_changes_nothing() {
        let mut cache = Workloads::default();
        cache.replace(None, vec![version("web", 10)], 12);
        assert!(cache.replace(None, vec![version("web", 10)], 13).is_empty());
    }

    fn of(namespace: &str, name: &str, resource_version: u64) -> Workload {
        let key = ServiceKey::new(name, namespace).unwrap();
        Workload { key, ..version(name, resource_version) }
    }

    #[test]
    fn a_namespace_is_known_once_it_was_listed_itself_or_with_all_others() {
        let mut cache = Workloads::default();
        cache.replace(Some("qa"), vec![of("qa", "web", 5)], 9);
        assert_eq!(cache.sight("qa"), Sight::Complete);
        assert_eq!(cache.sight("prod"), Sight::Unseen);
        assert!(cache.refuse("prod", "no"));
        assert!(!cache.refuse("prod", "no"), "it is known");
        assert_eq!(cache.sight("prod"), Sight::Refused("no"));
        cache.stream(Some("prod"), of("prod", "web", 11));
        assert_eq!(cache.sight("prod"), Sight::Refused("no"), "one workload is not all of them");
        cache.replace(None, Vec::new(), 12);
        assert_eq!(cache.sight("prod"), Sight::Complete);
        assert!(cache.refuse("qa", "no more"));
        assert_eq!(cache.sight("qa"), Sight::Complete, "what was seen is not forgotten");
    }

    #[test]
    fn a_list_of_one_namespace_says_nothing_of_the_others() {
        let mut cache = Workloads::default();
        cache.replace(Some("qa"), vec![of("qa", "web", 5), of("qa", "api", 6)], 9);
        cache.replace(Some("prod"), vec![of("prod", "web", 7)], 10);
        let gone = cache.replace(Some("qa"), vec![of("qa", "web", 5)], 12);
        assert_eq!(gone, [ServiceKey::new("api", "qa").unwrap()]);
        assert_eq!(cache.len(), 2);
        assert!(cache.replace(Some("prod"), vec![of("prod", "web", 7)], 11).is_empty());
    }

    #[test]
    fn a_scope_that_takes_over_leaves_no_gap() {
        let mut cache = Workloads::default();
        cache.replace(Some("qa"), vec![of("qa", "web", 5)], 9);
        cache.replace(None, vec![of("qa", "web", 5), of("prod", "web", 6)], 10);
        cache.close(Some("qa"));
        assert_eq!((cache.len(), cache.sight("qa")), (2, Sight::Complete));
        cache.replace(Some("qa"), vec![of("qa", "web", 5)], 12);
        cache.close(None);
        assert_eq!((cache.len(), cache.sight("prod")), (1, Sight::Unseen));
        cache.close(Some("qa"));
        assert!(cache.is_empty());
    }
}
