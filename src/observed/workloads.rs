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
    shelves: [Shelf; Kind::ALL.len()],
}

/// The workloads of one kind.
#[derive(Debug, Default)]
struct Shelf {
    by_key: HashMap<ServiceKey, Arc<Workload>>,
    /// For each scope that was listed the newest version that its list or its stream showed.
    listed: HashMap<Option<Box<str>>, u64>,
    /// Scopes that may not be listed, with the reason.
    refused: HashMap<Option<Box<str>>, Box<str>>,
}

impl Workloads {
    /// How far the workloads of `namespace` are known.
    ///
    /// A kind that may not be listed is done without, but not Deployments: were the role taken away
    /// from a running depd, every service would look as if it were not there.
    #[must_use]
    pub fn sight(&self, namespace: &str) -> Sight<'_> {
        let [deployments, others @ ..] = &self.shelves;
        match deployments.sight(namespace) {
            Sight::Complete if others.iter().all(|it| it.sight(namespace) != Sight::Unseen) => {
                Sight::Complete
            }
            Sight::Complete => Sight::Unseen,
            other => other,
        }
    }

    /// This scope of a kind was listed, and not only a part of it or all of which it is a part.
    #[must_use]
    pub fn is_listed(&self, kind: Kind, scope: Option<&str>) -> bool {
        self.shelf(kind).listed.contains_key(&owned(scope))
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

    /// Takes word that this scope of a kind may not be listed. What was listed before stays, though
    /// it gets old. True when this is news.
    pub fn refuse(&mut self, kind: Kind, scope: Option<&str>, why: &str) -> bool {
        let refused = &mut self.shelf_mut(kind).refused;
        refused.insert(owned(scope), why.into()).as_deref() != Some(why)
    }

    /// Takes a complete list of a kind and scope, as of version `listed`. Returns the keys that
    /// changed, came or went.
    pub fn replace(
        &mut self,
        kind: Kind,
        scope: Option<&str>,
        items: Vec<Workload>,
        listed: u64,
    ) -> Vec<ServiceKey> {
        self.shelf_mut(kind).replace(scope, items, listed)
    }

    /// Takes one version from the stream of a scope; false when it is not newer than what is known.
    pub fn stream(&mut self, scope: Option<&str>, workload: Workload) -> bool {
        let shelf = self.shelf_mut(workload.kind);
        shelf.note(scope, workload.resource_version);
        shelf.insert(workload)
    }

    /// Takes one version from the reply to a request; false when it is not newer than what is known.
    /// A reply that comes after the stream told of the workload's deletion brings nothing back.
    pub fn apply(&mut self, workload: Workload) -> bool {
        let shelf = self.shelf_mut(workload.kind);
        let version = workload.resource_version;
        let streamed = shelf.streamed(workload.key.namespace());
        let gone = !shelf.by_key.contains_key(&workload.key)
            && streamed.is_some_and(|seen| version != 0 && version <= seen);
        !gone && shelf.insert(workload)
    }

    /// Takes word from the stream of a scope that this workload was deleted, as it last was; false
    /// when a newer one of the same name is known already.
    pub fn delete(&mut self, scope: Option<&str>, gone: &Workload) -> bool {
        let version = gone.resource_version;
        let shelf = self.shelf_mut(gone.kind);
        shelf.note(scope, version);
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

    /// Nobody watches this scope of a kind any more: what no other scope covers is forgotten.
    pub fn close(&mut self, kind: Kind, scope: Option<&str>) {
        let shelf = self.shelf_mut(kind);
        shelf.listed.remove(&owned(scope));
        shelf.refused.remove(&owned(scope));
        if !shelf.listed.contains_key(&None) {
            let listed = &shelf.listed;
            shelf.by_key.retain(|key, _| listed.contains_key(&owned(Some(key.namespace()))));
            shelf.by_key.shrink_to_fit();
        }
    }

    fn shelf(&self, kind: Kind) -> &Shelf {
        &self.shelves[kind as usize]
    }

    fn shelf_mut(&mut self, kind: Kind) -> &mut Shelf {
        &mut self.shelves[kind as usize]
    }
}

/// A scope as a key.
fn owned(scope: Option<&str>) -> Option<Box<str>> {
    scope.map(Into::into)
}

impl Shelf {
    fn sight(&self, namespace: &str) -> Sight<'_> {
        let refused = self.refused.get(&owned(Some(namespace))).or(self.refused.get(&None));
        match (self.streamed(namespace), refused) {
            (Some(_), _) => Sight::Complete,
            (None, Some(why)) => Sight::Refused(why),
            (None, None) => Sight::Unseen,
        }
    }

    /// The newest version that the lists and streams which cover `namespace` showed.
    fn streamed(&self, namespace: &str) -> Option<u64> {
        self.listed.get(&None).max(self.listed.get(&owned(Some(namespace)))).copied()
    }

    /// A stream follows a list, so a scope that has none is not made one here.
    fn note(&mut self, scope: Option<&str>, version: u64) {
        if let Some(streamed) = self.listed.get_mut(&owned(scope)) {
            *streamed = version.max(*streamed);
        }
    }

    fn replace(
        &mut self,
        scope: Option<&str>,
        items: Vec<Workload>,
        listed: u64,
    ) -> Vec<ServiceKey> {
        let seen = self.listed.insert(owned(scope), listed);
        self.refused.remove(&owned(scope));
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
        assert!(!cache.stream(None, version("web", 8)), "the stream lags behind it");
        assert!(!cache.stream(None, version("web", 10)), "its echo");
        assert!(!cache.delete(None, &version("web", 9)), "an old deletion of an older namesake");
        assert_eq!(held(&cache, "web"), Some(10));
        assert!(cache.delete(None, &version("web", 11)));
        assert_eq!(held(&cache, "web"), None);
    }

    #[test]
    fn a_late_reply_brings_no_deleted_workload_back() {
        let mut cache = Workloads::default();
        cache.replace(Kind::Deployment, None, vec![version("web", 10)], 12);
        assert!(cache.delete(None, &version("web", 15)));
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
        assert_eq!(cache.sight("default"), Sight::Unseen);
        cache.replace(Kind::Deployment, None, vec![version("web", 10), version("api", 11)], 12);
        assert!(cache.is_listed(Kind::Deployment, None));
        assert_eq!(cache.sight("default"), Sight::Unseen, "two kinds are missing");
        cache.apply(version("new", 21));
        cache.apply(version("web", 22));
        assert_eq!(
            cache.replace(Kind::Deployment, None, vec![version("web", 15)], 16),
            [fixture::key("api")]
        );
        assert_eq!(held(&cache, "web"), Some(22));
        assert_eq!(held(&cache, "new"), Some(21));
    }

    #[test]
    fn a_list_from_a_restored_etcd_takes_everything_back_in_time() {
        let mut cache = Workloads::default();
        cache.replace(Kind::Deployment, None, vec![version("web", 10), version("late", 800)], 900);
        cache.stream(None, version("web", 950));
        let mut changed = cache.replace(Kind::Deployment, None, vec![version("web", 500)], 600);
        changed.sort();
        assert_eq!(changed, [fixture::key("late"), fixture::key("web")]);
        assert_eq!(held(&cache, "web"), Some(500));
    }

    #[test]
    fn an_unchanged_list_changes_nothing() {
        let mut cache = Workloads::default();
        cache.replace(Kind::Deployment, None, vec![version("web", 10)], 12);
        assert!(cache.replace(Kind::Deployment, None, vec![version("web", 10)], 13).is_empty());
    }

    #[test]
    fn a_name_in_two_kinds_is_told_and_never_resolved() {
        let mut cache = Workloads::default();
        let of = |kind| Workload { kind, ..version("web", 10) };
        cache.replace(Kind::Deployment, None, vec![of(Kind::Deployment)], 12);
        assert_eq!(cache.get(&fixture::key("web")).map(|w| w.kind), Some(Kind::Deployment));
        cache.replace(Kind::DaemonSet, None, vec![of(Kind::DaemonSet)], 12);
        assert_eq!(cache.get(&fixture::key("web")), None);
        assert_eq!(cache.kinds(&fixture::key("web")), [Kind::Deployment, Kind::DaemonSet]);
        assert!(cache.delete(None, &Workload { resource_version: 13, ..of(Kind::Deployment) }));
        assert_eq!(cache.get(&fixture::key("web")).map(|w| w.kind), Some(Kind::DaemonSet));
        assert_eq!(cache.len(), 1, "a list of one kind leaves the others as they are");
    }

    #[test]
    fn a_kind_that_may_not_be_listed_is_done_without_until_it_may() {
        let mut cache = Workloads::default();
        cache.replace(Kind::Deployment, None, Vec::new(), 12);
        cache.replace(Kind::StatefulSet, None, Vec::new(), 12);
        assert_eq!(cache.sight("qa"), Sight::Unseen);
        assert!(cache.refuse(Kind::DaemonSet, None, "no"));
        assert!(!cache.refuse(Kind::DaemonSet, None, "no"), "said already");
        assert_eq!(cache.sight("qa"), Sight::Complete);
        cache.replace(Kind::DaemonSet, None, Vec::new(), 13);
        assert_eq!(cache.sight("qa"), Sight::Complete);
        assert!(cache.refuse(Kind::DaemonSet, None, "no"), "taken away again");
        let mut strict = Workloads::default();
        for kind in Kind::ALL {
            strict.refuse(kind, None, "no");
        }
        assert_eq!(strict.sight("qa"), Sight::Refused("no"), "without Deployments nothing is said");
    }

    /// Lists of a scope: these Deployments, and none of the other kinds.
    fn lists(cache: &mut Workloads, scope: Option<&str>, items: Vec<Workload>, at: u64) {
        cache.replace(Kind::Deployment, scope, items, at);
        cache.replace(Kind::StatefulSet, scope, Vec::new(), at);
        cache.replace(Kind::DaemonSet, scope, Vec::new(), at);
    }

    fn close(cache: &mut Workloads, scope: Option<&str>) {
        Kind::ALL.into_iter().for_each(|kind| cache.close(kind, scope));
    }

    fn of(namespace: &str, name: &str, resource_version: u64) -> Workload {
        let key = ServiceKey::new(name, namespace).unwrap();
        Workload { key, ..version(name, resource_version) }
    }

    #[test]
    fn a_namespace_is_known_once_it_was_listed_itself_or_with_all_others() {
        let mut cache = Workloads::default();
        lists(&mut cache, Some("qa"), vec![of("qa", "web", 5)], 9);
        assert_eq!(cache.sight("qa"), Sight::Complete);
        assert_eq!(cache.sight("prod"), Sight::Unseen);
        assert!(cache.refuse(Kind::Deployment, Some("prod"), "no"));
        assert!(!cache.refuse(Kind::Deployment, Some("prod"), "no"), "it is known");
        assert_eq!(cache.sight("prod"), Sight::Refused("no"));
        cache.stream(Some("prod"), of("prod", "web", 11));
        assert_eq!(cache.sight("prod"), Sight::Refused("no"), "one workload is not all of them");
        lists(&mut cache, None, Vec::new(), 12);
        assert_eq!(cache.sight("prod"), Sight::Complete);
        assert!(cache.refuse(Kind::Deployment, Some("qa"), "no more"));
        assert_eq!(cache.sight("qa"), Sight::Complete, "what was seen is not forgotten");
    }

    #[test]
    fn a_list_of_one_namespace_says_nothing_of_the_others() {
        let mut cache = Workloads::default();
        lists(&mut cache, Some("qa"), vec![of("qa", "web", 5), of("qa", "api", 6)], 9);
        lists(&mut cache, Some("prod"), vec![of("prod", "web", 7)], 10);
        let gone = cache.replace(Kind::Deployment, Some("qa"), vec![of("qa", "web", 5)], 12);
        assert_eq!(gone, [ServiceKey::new("api", "qa").unwrap()]);
        assert_eq!(cache.len(), 2);
        let same = vec![of("prod", "web", 7)];
        assert!(cache.replace(Kind::Deployment, Some("prod"), same, 11).is_empty());
    }

    #[test]
    fn a_scope_that_takes_over_leaves_no_gap() {
        let mut cache = Workloads::default();
        lists(&mut cache, Some("qa"), vec![of("qa", "web", 5)], 9);
        lists(&mut cache, None, vec![of("qa", "web", 5), of("prod", "web", 6)], 10);
        close(&mut cache, Some("qa"));
        assert_eq!((cache.len(), cache.sight("qa")), (2, Sight::Complete));
        lists(&mut cache, Some("qa"), vec![of("qa", "web", 5)], 12);
        close(&mut cache, None);
        assert_eq!((cache.len(), cache.sight("prod")), (1, Sight::Unseen));
        close(&mut cache, Some("qa"));
        assert!(cache.is_empty());
    }
}
