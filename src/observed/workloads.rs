//! The cache of workloads: the newest known version of each, whoever brought it.
//!
//! Two writers meet here: the watch streams, and the replies to depd's own PATCH requests, which are
//! usually ahead of the streams. Versions decide: an older `resourceVersion` never replaces a newer
//! one (they are comparable numbers, see "Resource versions" in the API concepts). Only when a list
//! is older than what the stream of its scope showed before does that part of the cache go back in
//! time with it: etcd was restored from a backup.
//!
//! Each kind is listed and watched by itself and has a shelf of its own. A name that stands on two
//! shelves is ambiguous, and is never resolved by a guess.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::shown::{Shown, owned};
use crate::model::{Gap, Kind, Moment, ServiceKey, Workload};

/// What the cache says about the workloads of one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight<'a> {
    /// They were not listed yet, or their watch is not open yet; an absent workload may be there all the same.
    Unseen,
    /// They may not be listed or watched, or there is no such namespace: what the API server says.
    Refused(&'a str),
    /// They were listed and are watched: "not here" means "not in the cluster".
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
    /// How far the scopes were seen that were listed.
    shown: Shown,
    /// Scopes that no watch was opened for yet, or not since that was refused.
    unopened: HashMap<Option<Box<str>>, Unopened>,
}

/// Why a scope does not count as seen, even though it may have been listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// It was listed, and whether it may be watched is not known yet.
    Listed,
    /// It may not be listed or watched: what the API server says.
    Refused(Box<str>),
}

impl Workloads {
    /// How far the workloads of `namespace` are known.
    ///
    /// A kind that may not be listed is done without, but not Deployments: were the role taken away
    /// from a running depd, every service would look as if it were not there.
    ///
    /// Where a kind may not be listed in the whole cluster, every namespace is asked for it on its own:
    /// only what is answered then counts.
    #[must_use]
    pub fn sight(&self, namespace: &str) -> Sight<'_> {
        let [deployments, others @ ..] = &self.shelves;
        match deployments.sight(namespace) {
            Sight::Complete if others.iter().any(|it| it.sight(namespace) == Sight::Unseen) => {
                Sight::Unseen
            }
            other => other,
        }
    }

    /// How far this service is known: as its namespace is, but a workload of a kind that may not be
    /// watched there any more is as good as unknown, because it only gets old.
    /// Where another kind that is in full view has the name, too, only that one counts.
    #[must_use]
    pub fn sight_of(&self, key: &ServiceKey) -> Sight<'_> {
        let mut seen = self.bearers(key).map(|(kind, _)| self.shelf(kind).sight(key.namespace()));
        match seen.find(|sight| matches!(sight, Sight::Refused(_))) {
            Some(refused) => refused,
            None => self.sight(key.namespace()),
        }
    }

    /// The newest known version of the only workload of that name; `None` when there is none, and
    /// when several kinds have it.
    #[must_use]
    pub fn get(&self, key: &ServiceKey) -> Option<Arc<Workload>> {
        let mut found = self.bearers(key);
        let (_, first) = found.next()?;
        found.next().is_none().then(|| Arc::clone(first))
    }

    /// The kinds that have a workload of that name.
    #[must_use]
    pub fn kinds(&self, key: &ServiceKey) -> Vec<Kind> {
        self.bearers(key).map(|(kind, _)| kind).collect()
    }

    /// The workloads of that name. One that may not be watched any more is only remembered, and does not
    /// stand against one that is in full view: the name may have been given to another kind since.
    fn bearers(&self, key: &ServiceKey) -> impl Iterator<Item = (Kind, &Arc<Workload>)> {
        let known = |kind: Kind| self.shelf(kind).by_key.get(key).map(|own| (kind, own));
        let sight = |kind: Kind| self.shelf(kind).sight(key.namespace());
        let all = || Kind::ALL.into_iter().filter_map(known);
        let is_any_seen =
            all().count() > 1 && all().any(|(kind, _)| sight(kind) == Sight::Complete);
        let counts = move |kind| !is_any_seen || !matches!(sight(kind), Sight::Refused(_));
        Kind::ALL.into_iter().filter_map(known).filter(move |(kind, _)| counts(*kind))
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

    /// Takes word that this scope of a kind may not be listed or watched. What was listed before stays,
    /// though it gets old. True when this is news.
    pub fn refuse(&mut self, kind: Kind, scope: Option<&str>, why: &str) -> bool {
        let now = Unopened::Refused(why.into());
        let before = self.shelf_mut(kind).unopened.insert(owned(scope), now.clone());
        before != Some(now)
    }

    /// This scope of a kind may not be listed or watched.
    #[must_use]
    pub fn is_refused(&self, kind: Kind, scope: Option<&str>) -> bool {
        matches!(self.shelf(kind).unopened.get(&owned(scope)), Some(Unopened::Refused(_)))
    }

    /// A kind may not be watched in a namespace, is not needed to say what is there, and none of it is
    /// remembered there: nobody waits for it.
    #[must_use]
    pub fn is_done_without(&self, kind: Kind, namespace: &str) -> bool {
        let is_there = |key: &ServiceKey| key.namespace() == namespace;
        kind != Kind::Deployment
            && self.is_refused(kind, Some(namespace))
            && !self.shelf(kind).by_key.keys().any(is_there)
    }

    /// Takes word that a list of this scope of a kind comes, and no watch of it was open before: the
    /// list alone does not make it seen, because a role may allow that and no watch.
    pub fn await_watch(&mut self, kind: Kind, scope: Option<&str>) {
        let shelf = self.shelf_mut(kind);
        if !shelf.shown.is_listed(scope) {
            shelf.unopened.entry(owned(scope)).or_insert(Unopened::Listed);
        }
    }

    /// Takes word that this scope of a kind is watched; says what spoke against it before.
    pub fn open(&mut self, kind: Kind, scope: Option<&str>) -> Option<Unopened> {
        self.shelf_mut(kind).unopened.remove(&owned(scope))
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
    /// What another scope has seen go is not brought back.
    pub fn stream(&mut self, scope: Option<&str>, workload: Workload) -> bool {
        let shelf = self.shelf_mut(workload.kind);
        let (gone, version) = (shelf.is_gone(&workload), workload.resource_version);
        shelf.shown.note(scope, version);
        !gone && shelf.insert(workload)
    }

    /// Takes one version from the reply to a request; false when it is not newer than what is known.
    /// A reply that comes after the stream told of the workload's deletion brings nothing back.
    pub fn apply(&mut self, workload: Workload) -> bool {
        let shelf = self.shelf_mut(workload.kind);
        !shelf.is_gone(&workload) && shelf.insert(workload)
    }

    /// Takes the reply to a request that was planned on `seen`. One that is older than that can only come
    /// from a server which went back in time, whatever the streams have yet to notice of it.
    pub fn answer(&mut self, workload: Workload, seen: Option<&Workload>) -> bool {
        let version = workload.resource_version;
        let shelf = self.shelf_mut(workload.kind);
        let own = shelf.by_key.get(&workload.key).map(|own| own.resource_version);
        let is_back = |seen: &Workload| {
            let planned_on = seen.resource_version;
            version != 0 && version < planned_on && own.is_some_and(|own| own >= planned_on)
        };
        if !seen.is_some_and(is_back) {
            return self.apply(workload);
        }
        shelf.by_key.insert(workload.key.clone(), Arc::new(workload));
        true
    }

    /// Takes word from the stream of a scope that this workload was deleted, as it last was; false
    /// when a newer one of the same name is known already.
    pub fn delete(&mut self, scope: Option<&str>, gone: &Workload) -> bool {
        let version = gone.resource_version;
        let shelf = self.shelf_mut(gone.kind);
        shelf.shown.note(scope, version);
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

    /// The stream of this scope of a kind is over, and no other one goes on yet.
    pub fn lose(&mut self, kind: Kind, scope: Option<&str>, now: Moment) {
        self.shelf_mut(kind).shown.lose(scope, now);
    }

    /// This scope of a kind shows what happens; true when it did not before.
    pub fn find(&mut self, kind: Kind, scope: Option<&str>, now: Moment) -> bool {
        self.shelf_mut(kind).shown.find(scope, now)
    }

    /// The last time in which nothing was shown of this workload.
    #[must_use]
    pub fn gap(&self, workload: &Workload) -> Option<Gap> {
        self.shelf(workload.kind).shown.gap(workload.key.namespace())
    }

    /// Nobody watches this scope of a kind any more: what no other scope covers is forgotten, unless its
    /// own is refused. It is not gone because the right to see it is.
    pub fn close(&mut self, kind: Kind, scope: Option<&str>) {
        let shelf = self.shelf_mut(kind);
        shelf.shown.close(scope);
        shelf.unopened.remove(&owned(scope));
        if !shelf.shown.is_listed(None) {
            let (shown, unopened) = (&shelf.shown, &shelf.unopened);
            shelf.by_key.retain(|key, _| {
                let own = Some(key.namespace());
                shown.is_listed(own) || unopened.contains_key(&owned(own))
            });
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

impl Shelf {
    /// A refusal of the whole cluster is no answer: each namespace is asked on its own then.
    fn sight(&self, namespace: &str) -> Sight<'_> {
        let unopened = |scope| self.unopened.get(&owned(scope));
        let covers = |scope| self.shown.is_listed(scope) && unopened(scope).is_none();
        match unopened(Some(namespace)) {
            _ if covers(None) || covers(Some(namespace)) => Sight::Complete,
            Some(Unopened::Refused(why)) => Sight::Refused(why),
            Some(Unopened::Listed) | None => Sight::Unseen,
        }
    }

    /// It is not known, although everything up to its version was shown.
    fn is_gone(&self, workload: &Workload) -> bool {
        let Workload { key, resource_version, .. } = workload;
        !self.by_key.contains_key(key) && self.shown.has_passed(key.namespace(), *resource_version)
    }

    fn replace(
        &mut self,
        scope: Option<&str>,
        items: Vec<Workload>,
        listed: u64,
    ) -> Vec<ServiceKey> {
        let back_in_time = self.shown.begin(scope, listed);
        let is_ahead = |own: &Workload| !back_in_time && own.resource_version > listed;
        let mut names = HashSet::with_capacity(items.len());
        let mut changed = Vec::new();
        for item in items {
            names.insert(item.key.clone());
            let keep = match self.by_key.get(&item.key) {
                Some(own) => **own == item || is_ahead(own),
                // Another scope is ahead of this list, and has seen it go.
                None => self.shown.of(item.key.namespace()).is_some_and(|seen| seen > listed),
            };
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
        self.shown.listed(scope, listed);
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
mod tests;
