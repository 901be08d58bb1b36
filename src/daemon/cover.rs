//! Which watches together see a set of namespaces: one for each, or one for the whole cluster. `[C]`
//!
//! A few namespaces are watched one by one: that asks for no more rights than a Role in each of
//! them, and keeps the rest of the cluster out of memory. Many are watched by one cluster-wide
//! watch, unless that is refused, because a watch costs a connection here and one in the server.

use std::collections::HashSet;
use std::time::Duration;

use crate::cluster::Scope;
use crate::model::Moment;

/// More namespaces than this are watched by one cluster-wide watch.
const MOST_NAMESPACES: usize = 8;

/// A cluster-wide watch is kept until there are no more namespaces than this, so that one that comes
/// and goes does not make all of it be listed again and again.
const FEW_NAMESPACES: usize = 4;

/// How long after a refusal the whole cluster is asked for again: somebody may have granted it.
const ASK_AGAIN: Duration = Duration::from_secs(600);

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
}
