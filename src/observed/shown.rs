//! How far each scope was seen: the whole cluster, or single namespaces, which overlap while one watch
//! takes over from others.
//!
//! A scope has shown everything up to a version. So what it covers and is not there although it is no
//! newer than that version is gone, whatever a watch that lags behind has still to tell. Only when a list
//! is older than what its own scope showed before has etcd been restored from a backup: what the other
//! scopes showed beyond that list may then be of a history that never was, and is not held against
//! anybody until they are listed anew.
//!
//! Between two streams of a scope is a gap, in which it shows nothing.

use std::collections::{HashMap, HashSet};

use crate::model::{Gap, Moment};

/// What the list and the stream of each scope that was listed showed.
#[derive(Debug, Default)]
pub struct Shown(HashMap<Option<Box<str>>, Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The newest version.
    version: u64,
    /// It does not count: another scope went back in time since, or its next list is being taken in.
    outdated: bool,
    /// The last gap, if there was one.
    gap: Option<Gap>,
}

/// A scope as a key.
pub fn owned(scope: Option<&str>) -> Option<Box<str>> {
    scope.map(Into::into)
}

impl Shown {
    /// This scope itself was listed.
    pub fn is_listed(&self, scope: Option<&str>) -> bool {
        self.0.contains_key(&owned(scope))
    }

    /// Something in `namespace` that is as old as `version` and is not known was seen to go. Versions
    /// that are not numbers (0) cannot be told apart.
    pub fn has_passed(&self, namespace: &str, version: u64) -> bool {
        version != 0 && self.of(namespace).is_some_and(|seen| seen >= version)
    }

    /// The newest version that the scopes which cover `namespace` showed.
    pub fn of(&self, namespace: &str) -> Option<u64> {
        let scopes = [None, owned(Some(namespace))];
        let seen = scopes.iter().filter_map(|scope| self.0.get(scope));
        seen.filter(|seen| !seen.outdated).map(|seen| seen.version).max()
    }

    /// The stream of a scope showed this version. A stream follows a list, so a scope that has none is
    /// not made one here.
    pub fn note(&mut self, scope: Option<&str>, version: u64) {
        if let Some(seen) = self.0.get_mut(&owned(scope)) {
            seen.version = version.max(seen.version);
        }
    }

    /// A list of a scope begins to be taken in, as of version `listed`; true when it goes back in time.
    /// Until [`Shown::listed`] only the other scopes count.
    pub fn begin(&mut self, scope: Option<&str>, listed: u64) -> bool {
        let Some(seen) = self.0.get_mut(&owned(scope)) else { return false };
        let back_in_time = listed < seen.version;
        let was_outdated = std::mem::replace(&mut seen.outdated, true);
        if back_in_time && !was_outdated {
            self.0.values_mut().for_each(|other| other.outdated |= other.version > listed);
        }
        back_in_time
    }

    /// The list was taken in.
    pub fn listed(&mut self, scope: Option<&str>, version: u64) {
        let seen = self.0.entry(owned(scope)).or_default();
        (seen.version, seen.outdated) = (version, false);
    }

    /// Nobody watches this scope any more.
    pub fn close(&mut self, scope: Option<&str>) {
        self.0.remove(&owned(scope));
    }

    /// Nobody watches anything but these namespaces any more.
    pub fn keep_only(&mut self, namespaces: &HashSet<Box<str>>) {
        self.0.retain(|scope, _| scope.as_ref().is_some_and(|name| namespaces.contains(name)));
    }

    /// The stream of a scope is over, and no other one goes on yet. One that ends again before it has
    /// caught up was none.
    pub fn lose(&mut self, scope: Option<&str>, now: Moment) {
        let Some(seen) = self.0.get_mut(&owned(scope)) else { return };
        let gap = seen.gap.get_or_insert(Gap::begin(now));
        if gap.is_open() {
            return;
        }
        *gap = match now < gap.end(now) {
            true => Gap { until: None, relapsed: true, ..*gap },
            false => Gap::begin(now),
        };
    }

    /// The scope shows what happens; true when it did not before.
    pub fn find(&mut self, scope: Option<&str>, now: Moment) -> bool {
        let gap = self.0.get_mut(&owned(scope)).and_then(|seen| seen.gap.as_mut());
        gap.filter(|gap| gap.is_open()).map(|gap| gap.until = Some(now)).is_some()
    }

    /// The last time in which no scope showed what happened in `namespace`.
    pub fn gap(&self, namespace: &str) -> Option<Gap> {
        let scopes = [None, owned(Some(namespace))];
        let mut seen = scopes.iter().filter_map(|scope| self.0.get(scope));
        let first = seen.next()?.gap?;
        seen.try_fold(first, |gap, other| gap.common(other.gap?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_ends_before_it_has_caught_up_goes_on_with_the_gap() {
        let mut shown = Shown::default();
        shown.listed(None, 1);
        let gap = |since, until: Option<u64>, relapsed| {
            Some(Gap { since: Moment(since), until: until.map(Moment), relapsed })
        };
        shown.lose(None, Moment(1_000));
        assert_eq!(shown.gap("default"), gap(1_000, None, false));
        shown.lose(None, Moment(2_000));
        assert_eq!(shown.gap("default"), gap(1_000, None, false), "it was none");
        assert!(shown.find(None, Moment(3_000)));
        shown.lose(None, Moment(4_000));
        assert_eq!(shown.gap("default"), gap(1_000, None, true));
        assert!(shown.find(None, Moment(5_000)));
        assert_eq!(shown.gap("default"), gap(1_000, Some(5_000), true));
        shown.lose(None, Moment(50_000));
        assert_eq!(shown.gap("default"), gap(50_000, None, false), "another one");
    }
}
