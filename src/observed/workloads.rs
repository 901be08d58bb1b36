//! The cache of workloads: the newest known version of each, whoever brought it.
//!
//! Two writers meet here: the watch streams, and the replies to depd's own PATCH requests, which are
//! usually ahead of the streams. Versions decide: an older `resourceVersion` never replaces a newer
//! one (they are comparable numbers, see "Resource versions" in the API concepts). Only when a list
//! is older than what the stream showed before does the whole cache go back in time with it: etcd
//! was restored from a backup.
//!
//! Each kind is listed and watched by itself and has a shelf of its own. A name that stands on two
//! shelves is ambiguous, and is never resolved by a guess.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::{Kind, ServiceKey, Workload};

/// The newest known version of every workload.
#[derive(Debug, Default)]
pub struct Workloads {
    shelves: [Shelf; Kind::ALL.len()],
}

/// The workloads of one kind.
#[derive(Debug, Default)]
struct Shelf {
    by_key: HashMap<ServiceKey, Arc<Workload>>,
    /// The newest version that a list or the stream showed; `None` before the first list.
    streamed: Option<u64>,
    /// The role does not allow to list this kind.
    denied: bool,
}

impl Workloads {
    /// First lists have arrived: from now on "not here" means "not in the cluster".
    ///
    /// A kind that may not be listed is done without, but not Deployments: were the role taken away
    /// from a running depd, every service would look as if it were not there.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        let [deployments, others @ ..] = &self.shelves;
        deployments.streamed.is_some()
            && others.iter().all(|shelf| shelf.streamed.is_some() || shelf.denied)
    }

    /// A first list of this kind has arrived.
    #[must_use]
    pub fn is_listed(&self, kind: Kind) -> bool {
        self.shelf(kind).streamed.is_some()
    }

    /// The newest known version of the only workload of that name; `None` when there is none, and
    /// when several kinds have it.
    #[must_use]
    pub fn get(&self, key: &ServiceKey) -> Option<Arc<Workload>> {
        let mut found = self.shelves.iter().filter_map(|shelf| shelf.by_key.get(key));
        let first = found.next()?;
        found.next().is_none().then(|| Arc::clone(first))
    }

    /// The kinds that have a workload of that name.
    #[must_use]
    pub fn kinds(&self, key: &ServiceKey) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| self.shelf(*kind).by_key.contains_key(key)).collect()
    }

    /// Every known workload, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.shelves.iter().flat_map(|shelf| shelf.by_key.values())
    }

    /// How many workloads are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.by_key.len()).sum()
    }

    /// None are known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The role does not allow to list this kind: it is done without until it does. False when that
    /// was known already, or when a list came before.
    pub fn deny(&mut self, kind: Kind) -> bool {
        let shelf = self.shelf_mut(kind);
        let is_news = !shelf.denied;
        shelf.denied = true;
        is_news
    }

    /// Takes a complete list of one kind, as of version `listed`. Returns the keys that changed,
    /// came or went.
    pub fn replace(&mut self, kind: Kind, items: Vec<Workload>, listed: u64) -> Vec<ServiceKey> {
        self.shelf_mut(kind).replace(items, listed)
    }

    /// Takes one version from the watch stream; false when it is not newer than what is known.
    pub fn stream(&mut self, workload: Workload) -> bool {
        let shelf = self.shelf_mut(workload.kind);
        shelf.streamed = shelf.streamed.max(Some(workload.resource_version));
        shelf.insert(workload)
    }

    /// Takes one version from the reply to a request; false when it is not newer than what is known.
    /// A reply that comes after the stream told of the workload's deletion brings nothing back.
    pub fn apply(&mut self, workload: Workload) -> bool {
        let shelf = self.shelf_mut(workload.kind);
        let version = workload.resource_version;
        let gone = !shelf.by_key.contains_key(&workload.key)
            && shelf.streamed.is_some_and(|seen| version != 0 && version <= seen);
        !gone && shelf.insert(workload)
    }

    /// Takes word from the watch stream that this workload was deleted, as it last was; false when a
    /// newer one of the same name is known already.
    pub fn delete(&mut self, gone: &Workload) -> bool {
        let version = gone.resource_version;
        let shelf = self.shelf_mut(gone.kind);
        shelf.streamed = shelf.streamed.max(Some(version));
        let old = shelf.by_key.get(&gone.key).is_some_and(|own| own.resource_version <= version);
        old && shelf.by_key.remove(&gone.key).is_some()
    }

    /// Takes the API server's word (404) that this workload, as it was last known, is gone. One that
    /// the stream has brought since stays.
    pub fn forget(&mut self, seen: &Workload) {
        let shelf = self.shelf_mut(seen.kind);
        let own = shelf.by_key.get(&seen.key);
        if own.is_some_and(|own| own.resource_version <= seen.resource_version) {
            shelf.by_key.remove(&seen.key);
        }
    }

    fn shelf(&self, kind: Kind) -> &Shelf {
        &self.shelves[kind as usize]
    }

    fn shelf_mut(&mut self, kind: Kind) -> &mut Shelf {
        &mut self.shelves[kind as usize]
    }
}

impl Shelf {
    fn replace(&mut self, items: Vec<Workload>, listed: u64) -> Vec<ServiceKey> {
        let back_in_time = self.streamed.is_some_and(|seen| listed < seen);
        let is_ahead = |own: &Workload| !back_in_time && own.resource_version > listed;
        self.streamed = Some(listed);
        self.denied = false;
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
        assert!(!cache.delete(&version("web", 9)), "an old deletion of an older namesake");
        assert_eq!(held(&cache, "web"), Some(10));
        assert!(cache.delete(&version("web", 11)));
        assert_eq!(held(&cache, "web"), None);
    }

    #[test]
    fn a_late_reply_brings_no_deleted_workload_back() {
        let mut cache = Workloads::default();
        cache.replace(Kind::Deployment, vec![version("web", 10)], 12);
        assert!(cache.delete(&version("web", 15)));
        assert!(!cache.apply(version("web", 13)), "the reply to a PATCH before the deletion");
        assert_eq!(held(&cache, "web"), None);
        assert!(cache.apply(version("web", 17)), "created anew since");
        cache.forget(&version("web", 13));
        assert_eq!(held(&cache, "web"), Some(17), "a 404 for the old one says nothing of the new");
        cache.forget(&version("web", 17));
        assert_eq!(held(&cache, "web"), None);
    }

    #[test]
    fn a_list_removes_what_it_does_not_name_but_not_what_is_newer_than_itself() {
        let mut cache = Workloads::default();
        assert!(!cache.is_synced());
        cache.replace(Kind::Deployment, vec![version("web", 10), version("api", 11)], 12);
        assert!(cache.is_listed(Kind::Deployment) && !cache.is_synced(), "two kinds are missing");
        cache.apply(version("new", 21));
        cache.apply(version("web", 22));
        assert_eq!(
            cache.replace(Kind::Deployment, vec![version("web", 15)], 16),
            [fixture::key("api")]
        );
        assert_eq!(held(&cache, "web"), Some(22));
        assert_eq!(held(&cache, "new"), Some(21));
    }

    #[test]
    fn a_list_from_a_restored_etcd_takes_everything_back_in_time() {
        let mut cache = Workloads::default();
        cache.replace(Kind::Deployment, vec![version("web", 10), version("late", 800)], 900);
        cache.stream(version("web", 950));
        let mut changed = cache.replace(Kind::Deployment, vec![version("web", 500)], 600);
        changed.sort();
        assert_eq!(changed, [fixture::key("late"), fixture::key("web")]);
        assert_eq!(held(&cache, "web"), Some(500));
    }

    #[test]
    fn an_unchanged_list_changes_nothing() {
        let mut cache = Workloads::default();
        cache.replace(Kind::Deployment, vec![version("web", 10)], 12);
        assert!(cache.replace(Kind::Deployment, vec![version("web", 10)], 13).is_empty());
    }

    #[test]
    fn a_name_in_two_kinds_is_told_and_never_resolved() {
        let mut cache = Workloads::default();
        let of = |kind| Workload { kind, ..version("web", 10) };
        cache.replace(Kind::Deployment, vec![of(Kind::Deployment)], 12);
        assert_eq!(cache.get(&fixture::key("web")).map(|w| w.kind), Some(Kind::Deployment));
        cache.replace(Kind::DaemonSet, vec![of(Kind::DaemonSet)], 12);
        assert_eq!(cache.get(&fixture::key("web")), None);
        assert_eq!(cache.kinds(&fixture::key("web")), [Kind::Deployment, Kind::DaemonSet]);
        assert!(cache.delete(&Workload { resource_version: 13, ..of(Kind::Deployment) }));
        assert_eq!(cache.get(&fixture::key("web")).map(|w| w.kind), Some(Kind::DaemonSet));
        assert_eq!(cache.len(), 1, "a list of one kind leaves the others as they are");
    }

    #[test]
    fn a_kind_that_may_not_be_listed_is_done_without_until_it_may() {
        let mut cache = Workloads::default();
        cache.replace(Kind::Deployment, Vec::new(), 12);
        cache.replace(Kind::StatefulSet, Vec::new(), 12);
        assert!(!cache.is_synced());
        assert!(cache.deny(Kind::DaemonSet));
        assert!(!cache.deny(Kind::DaemonSet), "said already");
        assert!(cache.is_synced());
        cache.replace(Kind::DaemonSet, Vec::new(), 13);
        assert!(cache.is_synced());
        assert!(cache.deny(Kind::DaemonSet), "taken away again");
        let mut strict = Workloads::default();
        for kind in Kind::ALL {
            strict.deny(kind);
        }
        assert!(!strict.is_synced(), "without Deployments nothing can be said");
    }
}
