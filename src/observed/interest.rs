//! Which rollouts in flight a pod may concern, and so which namespaces' pods must be watched.

use std::collections::{HashMap, HashSet};

use super::pods::first_pair;
use crate::model::{Pod, Selector, ServiceKey};

/// The services with a rollout in flight, by namespace.
#[derive(Debug, Default)]
pub struct Interest {
    namespaces: HashMap<Box<str>, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    selectors: HashMap<ServiceKey, Selector>,
    /// Services by the first plain label pair of their selector.
    by_label: HashMap<(Box<str>, Box<str>), HashSet<ServiceKey>>,
    /// Services whose selector has no such pair; every pod is held against them.
    unindexed: HashSet<ServiceKey>,
}

impl Interest {
    /// A rollout of `key` is in flight; true when its namespace was of no interest before.
    pub fn add(&mut self, key: &ServiceKey, selector: &Selector) -> bool {
        let is_new = !self.namespaces.contains_key(key.namespace());
        let namespace = self.namespaces.entry(key.namespace().into()).or_default();
        if namespace.selectors.get(key) != Some(selector) {
            namespace.remove(key);
            namespace.insert(key, selector);
        }
        is_new
    }

    /// No rollout of `key` is in flight; true when its namespace is of no interest any more.
    pub fn remove(&mut self, key: &ServiceKey) -> bool {
        let Some(namespace) = self.namespaces.get_mut(key.namespace()) else { return false };
        namespace.remove(key);
        namespace.selectors.is_empty() && self.namespaces.remove(key.namespace()).is_some()
    }

    /// The services that should look again because of this pod.
    #[must_use]
    pub fn concerned(&self, pod: &Pod) -> Vec<ServiceKey> {
        let Some(namespace) = self.namespaces.get(&pod.namespace) else { return Vec::new() };
        let indexed = pod.labels.iter().filter_map(|label| namespace.by_label.get(label)).flatten();
        let mut keys: Vec<_> = indexed
            .chain(&namespace.unindexed)
            .filter(|key| namespace.selectors[*key].matches(&pod.labels))
            .cloned()
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// Every service of `namespace`, or of all, that has a rollout in flight.
    #[must_use]
    pub fn keys(&self, namespace: Option<&str>) -> Vec<ServiceKey> {
        let of = |namespace: &Namespace| namespace.selectors.keys().cloned().collect::<Vec<_>>();
        match namespace {
            Some(name) => self.namespaces.get(name).map(of).unwrap_or_default(),
            None => self.namespaces.values().flat_map(of).collect(),
        }
    }

    /// The namespaces whose pods are of interest.
    #[must_use]
    pub fn namespaces(&self) -> HashSet<Box<str>> {
        self.namespaces.keys().cloned().collect()
    }
}

impl Namespace {
    fn insert(&mut self, key: &ServiceKey, selector: &Selector) {
        match first_pair(selector) {
            Some(pair) => self.by_label.entry(pair).or_default().insert(key.clone()),
            None => self.unindexed.insert(key.clone()),
        };
        self.selectors.insert(key.clone(), selector.clone());
    }

    fn remove(&mut self, key: &ServiceKey) {
        if let Some(selector) = self.selectors.remove(key)
            && let Some(pair) = first_pair(&selector)
            && let Some(keys) = self.by_label.get_mut(&pair)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.by_label.remove(&pair);
            }
        }
        self.unindexed.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture::{key, pod, selector};

    #[test]
    fn a_pod_concerns_the_rollouts_whose_selector_matches_it() {
        let mut interest = Interest::default();
        assert!(interest.add(&key("web"), &selector("web")));
        assert!(!interest.add(&key("api"), &selector("api")));
        assert!(!interest.add(&key("all"), &Selector::default()));
        let concerned = interest.concerned(&pod("web-1", &[("app", "web")]));
        assert_eq!(concerned, [key("all"), key("web")]);
        assert!(!interest.remove(&key("web")));
        assert!(!interest.remove(&key("all")));
        assert!(interest.concerned(&pod("web-1", &[("app", "web")])).is_empty());
        assert!(interest.remove(&key("api")), "the last one ends the interest in the namespace");
        assert!(interest.namespaces().is_empty());
    }
}
