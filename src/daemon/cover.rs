//! Which watches together see a set of namespaces: one for each, or one for the whole cluster. `[C]`
//!
//! A few namespaces are watched one by one: that asks for no more rights than a Role in each of
//! them, and keeps the rest of the cluster out of memory. Many are watched by one cluster-wide
//! watch, unless that is refused, because a watch costs a connection here and one in the server.
//! Workloads are covered kind by kind: a role may allow one kind everywhere, and another here and there.

use std::collections::HashSet;
use std::time::Duration;

use crate::cluster::Scope;
use crate::model::{Kind, Moment};

/// More namespaces than this are watched by one cluster-wide watch.
const MOST_NAMESPACES: usize = 8;

/// A cluster-wide watch is kept until there are no more namespaces than this, so that one that comes
/// and goes does not make all of it be listed again and again.
const FEW_NAMESPACES: usize = 4;

/// How long after a refusal the whole cluster is asked for again, and a namespace whose watch rests:
/// somebody may have granted it.
pub const ASK_AGAIN: Duration = Duration::from_secs(600);

/// So many watches are begun before the first of them is open: each is a connection, and its list
/// a burden for the API server. Where the whole cluster may not be watched there are three for each
/// namespace.
pub const MOST_UNSETTLED: usize = 32;

/// What one watch of workloads is for.
pub type Place = (Kind, Scope);

/// The choice, with its memory.
#[derive(Debug, Default)]
pub struct Cover {
    wide: bool,
    refused: Option<Moment>,
}

impl Cover {
    /// The cluster-wide watch was refused.
    pub fn refuse(&mut self, now: Moment) {
        self.refused = Some(now);
    }

    /// The scopes to watch now.
    pub fn scopes<'a>(
        &mut self,
        namespaces: impl ExactSizeIterator<Item = &'a str>,
        now: Moment,
    ) -> HashSet<Scope> {
        let most = if self.wide { FEW_NAMESPACES } else { MOST_NAMESPACES };
        self.wide = namespaces.len() > most;
        if self.refused.is_some_and(|at| now.since(at) >= ASK_AGAIN) {
            self.refused = None;
        }
        match self.wide && self.refused.is_none() {
            true => HashSet::from([Scope::Cluster]),
            false => namespaces.map(|name| Scope::Namespace(name.into())).collect(),
        }
    }
}

/// The choices for all kinds of workloads.
#[derive(Debug, Default)]
pub struct Covers([Cover; Kind::ALL.len()]);

impl Covers {
    /// The cluster-wide watch of this kind was refused.
    pub fn refuse(&mut self, kind: Kind, now: Moment) {
        self.0[kind as usize].refuse(now);
    }

    /// The cluster-wide watch of this kind was refused lately.
    pub fn is_refused(&self, kind: Kind) -> bool {
        self.0[kind as usize].refused.is_some()
    }

    /// What to watch now.
    pub fn places<'a>(
        &mut self,
        namespaces: impl Iterator<Item = &'a str>,
        now: Moment,
    ) -> HashSet<Place> {
        let namespaces: Vec<&str> = namespaces.collect();
        let mut places = HashSet::new();
        for kind in Kind::ALL {
            let scopes = self.0[kind as usize].scopes(namespaces.iter().copied(), now);
            places.extend(scopes.into_iter().map(|scope| (kind, scope)));
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many scopes cover so many namespaces, and whether it is the whole cluster.
    fn check(cover: &mut Cover, namespaces: usize, now_s: u64, expect: (usize, bool)) {
        let names: Vec<String> = (0..namespaces).map(|n| format!("ns-{n}")).collect();
        let now = Moment::default() + Duration::from_secs(now_s);
        let scopes = cover.scopes(names.iter().map(String::as_str), now);
        let got = (scopes.len(), scopes.contains(&Scope::Cluster));
        assert_eq!(got, expect, "{namespaces} namespaces at {now_s} s");
    }

    #[test]
    fn few_namespaces_are_watched_one_by_one_and_many_together() {
        let mut cover = Cover::default();
        check(&mut cover, 0, 0, (0, false));
        check(&mut cover, 8, 0, (8, false));
        check(&mut cover, 9, 0, (1, true));
        check(&mut cover, 8, 0, (1, true));
        check(&mut cover, 5, 0, (1, true));
        check(&mut cover, 4, 0, (4, false));
        check(&mut cover, 8, 0, (8, false));
    }

    #[test]
    fn where_the_whole_cluster_is_refused_each_is_watched_and_it_is_asked_again_later() {
        let mut cover = Cover::default();
        check(&mut cover, 20, 0, (1, true));
        cover.refuse(Moment::default());
        check(&mut cover, 20, 0, (20, false));
        check(&mut cover, 21, 599, (21, false));
        check(&mut cover, 21, 600, (1, true));
        cover.refuse(Moment::default() + Duration::from_secs(600));
        check(&mut cover, 21, 601, (21, false));
    }

    #[test]
    fn a_kind_that_is_refused_is_asked_for_in_each_namespace_and_the_others_are_not() {
        let names: Vec<String> = (0..9).map(|n| format!("ns-{n}")).collect();
        let mut covers = Covers::default();
        let count = |covers: &mut Covers| {
            let places = covers.places(names.iter().map(String::as_str), Moment::default());
            Kind::ALL.map(|kind| places.iter().filter(|(of, _)| *of == kind).count())
        };
        assert_eq!(count(&mut covers), [1, 1, 1]);
        covers.refuse(Kind::StatefulSet, Moment::default());
        assert_eq!(count(&mut covers), [1, 9, 1]);
        covers.refuse(Kind::Deployment, Moment::default());
        assert_eq!(count(&mut covers), [9, 9, 1]);
    }
}
