//! The cache of workloads: the newest known version of each, whoever brought it.
//!
//! Two writers meet here: the watch stream, and the replies to depd's own PATCH requests, which are
//! usually ahead of the stream. Versions decide: an older `resourceVersion` never replaces a newer
//! one. Only a fresh list may, because an API server whose etcd was restored from a backup goes
//! back in time; what was written since that list was asked for stays.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::{Moment, ServiceKey, Workload};

/// The newest known version of every workload.
#[derive(Debug, Default)]
pub struct Workloads {
    by_key: HashMap<ServiceKey, Entry>,
    synced: bool,
}

#[derive(Debug)]
struct Entry {
    workload: Arc<Workload>,
    written: Moment,
}

impl Workloads {
    /// A first list has arrived: from now on "not here" means "not in the cluster".
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// The newest known version.
    #[must_use]
    pub fn get(&self, key: &ServiceKey) -> Option<Arc<Workload>> {
        self.by_key.get(key).map(|entry| Arc::clone(&entry.workload))
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

    /// Takes a complete list that was asked for at `asked`. Returns the keys that changed, came or
    /// went; on the first list, all of them.
    pub fn replace(&mut self, items: Vec<Workload>, asked: Moment, now: Moment) -> Vec<ServiceKey> {
        self.synced = true;
        let mut listed = HashSet::with_capacity(items.len());
        let mut changed = Vec::new();
        for item in items {
            let key = item.key.clone();
            listed.insert(key.clone());
            let keep = self.by_key.get(&key).is_some_and(|own| {
                *own.workload == item
                    || own.written > asked && own.workload.resource_version > item.resource_version
            });
            if !keep {
                self.by_key.insert(key.clone(), Entry { workload: Arc::new(item), written: now });
                changed.push(key);
            }
        }
        self.by_key.retain(|key, entry| {
            let stays = listed.contains(key) || entry.written > asked;
            if !stays {
                changed.push(key.clone());
            }
            stays
        });
        changed
    }

    /// Takes one version; false when it is not newer than what is known.
    pub fn apply(&mut self, workload: Workload, now: Moment) -> bool {
        let known = self.by_key.get(&workload.key);
        if known.is_some_and(|own| own.workload.resource_version >= workload.resource_version) {
            return false;
        }
        let key = workload.key.clone();
        self.by_key.insert(key, Entry { workload: Arc::new(workload), written: now });
        true
    }

    /// Takes word that the workload was deleted at `resource_version`; false when a newer one of
    /// the same name is known already.
    pub fn delete(&mut self, key: &ServiceKey, resource_version: u64) -> bool {
        match self.by_key.get(key) {
            Some(own) if own.workload.resource_version <= resource_version => {
                self.by_key.remove(key);
                true
            }
            _ => false,
        }
    }

    /// Takes the API server's word that there is no such workload now (404).
    pub fn forget(&mut self, key: &ServiceKey) {
        self.by_key.remove(key);
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
        assert!(cache.apply(version("web", 10), Moment(1)));
        assert!(!cache.apply(version("web", 8), Moment(2)), "the stream lags behind our PATCH");
        assert!(!cache.apply(version("web", 10), Moment(3)), "the echo of our PATCH");
        assert!(!cache.delete(&fixture::key("web"), 9), "an old deletion of an older namesake");
        assert_eq!(held(&cache, "web"), Some(10));
        assert!(cache.delete(&fixture::key("web"), 11));
        assert_eq!(held(&cache, "web"), None);
    }

    #[test]
    fn a_list_removes_what_it_does_not_name_but_not_what_was_written_since_it_was_asked_for() {
        let mut cache = Workloads::default();
        assert!(!cache.is_synced());
        cache.replace(vec![version("web", 10), version("api", 11)], Moment(0), Moment(1));
        assert!(cache.is_synced());
        cache.apply(version("new", 21), Moment(6));
        cache.apply(version("web", 22), Moment(6));
        let mut changed = cache.replace(vec![version("web", 15)], Moment(5), Moment(7));
        changed.sort();
        assert_eq!(changed, [fixture::key("api")]);
        assert_eq!(held(&cache, "web"), Some(22));
        assert_eq!(held(&cache, "new"), Some(21));
    }

    #[test]
    fn a_list_from_a_restored_etcd_goes_back_in_time() {
        let mut cache = Workloads::default();
        cache.apply(version("web", 900), Moment(1));
        assert_eq!(cache.replace(vec![version("web", 500)], Moment(5), Moment(6)).len(), 1);
        assert_eq!(held(&cache, "web"), Some(500));
    }

    #[test]
    fn an_unchanged_list_changes_nothing() {
        let mut cache = Workloads::default();
        cache.replace(vec![version("web", 10)], Moment(0), Moment(1));
        assert!(cache.replace(vec![version("web", 10)], Moment(2), Moment(3)).is_empty());
    }
}
