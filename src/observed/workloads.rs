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

/// The newest known version of every workload.
#[derive(Debug, Default)]
pub struct Workloads {
    by_key: HashMap<ServiceKey, Arc<Workload>>,
    /// The newest version that a list or the stream showed; `None` before the first list.
    streamed: Option<u64>,
}

impl Workloads {
    /// A first list has arrived: from now on "not here" means "not in the cluster".
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.streamed.is_some()
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

    /// Takes a complete list, as of version `listed`. Returns the keys that changed, came or went.
    pub fn replace(&mut self, items: Vec<Workload>, listed: u64) -> Vec<ServiceKey> {
        let back_in_time = self.streamed.is_some_and(|seen| listed < seen);
        let is_ahead = |own: &Workload| !back_in_time && own.resource_version > listed;
        self.streamed = Some(listed);
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
            let stays = names.contains(key) || is_ahead(own);
            if !stays {
                changed.push(key.clone());
            }
            stays
        });
        changed
    }

    /// Takes one version from the watch stream; false when it is not newer than what is known.
    pub fn stream(&mut self, workload: Workload) -> bool {
        self.streamed = self.streamed.max(Some(workload.resource_version));
        self.insert(workload)
    }

    /// Takes one version from the reply to a request; false when it is not newer than what is known.
    /// A reply that comes after the stream told of the workload's deletion brings nothing back.
    pub fn apply(&mut self, workload: Workload) -> bool {
        let version = workload.resource_version;
        let gone = !self.by_key.contains_key(&workload.key)
            && self.streamed.is_some_and(|seen| version != 0 && version <= seen);
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

    /// Takes word from the watch stream that the workload was deleted at `resource_version`; false
    /// when a newer one of the same name is known already.
    pub fn delete(&mut self, key: &ServiceKey, resource_version: u64) -> bool {
        self.streamed = self.streamed.max(Some(resource_version));
        let old = self.by_key.get(key).is_some_and(|own| own.resource_version <= resource_version);
        old && self.by_key.remove(key).is_some()
    }

    /// Takes the API server's word (404) that the workload that was known at version `seen` is gone.
    /// One that the stream has brought since stays.
    pub fn forget(&mut self, key: &ServiceKey, seen: u64) {
        if self.by_key.get(key).is_some_and(|own| own.resource_version <= seen) {
            self.by_key.remove(key);
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
        assert!(!cache.stream(version("web", 8)), "the stream lags behind it");
        assert!(!cache.stream(version("web", 10)), "its echo");
        assert!(!cache.delete(&fixture::key("web"), 9), "an old deletion of an older namesake");
        assert_eq!(held(&cache, "web"), Some(10));
        assert!(cache.delete(&fixture::key("web"), 11));
        assert_eq!(held(&cache, "web"), None);
    }

    #[test]
    fn a_late_reply_brings_no_deleted_workload_back() {
        let mut cache = Workloads::default();
        cache.replace(vec![version("web", 10)], 12);
        assert!(cache.delete(&fixture::key("web"), 15));
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
        assert!(!cache.is_synced());
        cache.replace(vec![version("web", 10), version("api", 11)], 12);
        assert!(cache.is_synced());
        cache.apply(version("new", 21));
        cache.apply(version("web", 22));
        assert_eq!(cache.replace(vec![version("web", 15)], 16), [fixture::key("api")]);
        assert_eq!(held(&cache, "web"), Some(22));
        assert_eq!(held(&cache, "new"), Some(21));
    }

    #[test]
    fn a_list_from_a_restored_etcd_takes_everything_back_in_time() {
        let mut cache = Workloads::default();
        cache.replace(vec![version("web", 10), version("late", 800)], 900);
        cache.stream(version("web", 950));
        let mut changed = cache.replace(vec![version("web", 500)], 600);
        changed.sort();
        assert_eq!(changed, [fixture::key("late"), fixture::key("web")]);
        assert_eq!(held(&cache, "web"), Some(500));
    }

    #[test]
    fn an_unchanged_list_changes_nothing() {
        let mut cache = Workloads::default();
        cache.replace(vec![version("web", 10)], 12);
        assert!(cache.replace(vec![version("web", 10)], 13).is_empty());
    }
}
