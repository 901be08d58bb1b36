//! The cache of pods, for the namespaces where a rollout is in flight.
//!
//! Pods are found by selector. To keep that cheap with thousands of pods in one namespace, they are
//! indexed by label pair, and the first plain pair of the selector narrows the search.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::model::{Pod, Selector, SelectorRule};

/// A label name and value.
type Label = (Box<str>, Box<str>);

/// Pods by namespace and name, and by label.
#[derive(Debug, Default)]
pub struct Pods {
    namespaces: HashMap<Box<str>, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    by_name: BTreeMap<Box<str>, Arc<Pod>>,
    by_label: HashMap<Label, BTreeSet<Box<str>>>,
}

impl Pods {
    /// The pods of `namespace` that `selector` matches, by name.
    #[must_use]
    pub fn select(&self, namespace: &str, selector: &Selector) -> Vec<Arc<Pod>> {
        let Some(all) = self.namespaces.get(namespace) else { return Vec::new() };
        let matching = |pod: &&Arc<Pod>| selector.matches(&pod.labels);
        match first_pair(selector) {
            Some(pair) => {
                let names = all.by_label.get(&pair).into_iter().flatten();
                names.filter_map(|name| all.by_name.get(name)).filter(matching).cloned().collect()
            }
            None => all.by_name.values().filter(matching).cloned().collect(),
        }
    }

    /// Takes the newest version of a pod. Returns what was known before.
    pub fn apply(&mut self, pod: Pod) -> Option<Arc<Pod>> {
        let namespace = self.namespaces.entry(pod.namespace.clone()).or_default();
        let before = namespace.remove(&pod.name);
        namespace.insert(Arc::new(pod));
        before
    }

    /// Takes word that a pod is gone. Returns what was known of it.
    pub fn delete(&mut self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.namespaces.get_mut(namespace)?.remove(name)
    }

    /// Takes complete lists: `items` are all pods of these namespaces, or of all when `None`.
    pub fn replace(&mut self, scope: Option<&str>, items: Vec<Pod>) {
        match scope {
            Some(namespace) => drop(self.namespaces.remove(namespace)),
            None => self.namespaces.clear(),
        }
        for pod in items {
            self.apply(pod);
        }
    }

    /// Forgets every namespace but these: nobody watches the others any more.
    pub fn keep_only(&mut self, namespaces: &HashSet<Box<str>>) {
        self.namespaces.retain(|name, _| namespaces.contains(name));
    }
}

impl Namespace {
    fn insert(&mut self, pod: Arc<Pod>) {
        for label in &pod.labels {
            self.by_label.entry(label.clone()).or_default().insert(pod.name.clone());
        }
        self.by_name.insert(pod.name.clone(), pod);
    }

    fn remove(&mut self, name: &str) -> Option<Arc<Pod>> {
        let pod = self.by_name.remove(name)?;
        for label in &pod.labels {
            if let Some(names) = self.by_label.get_mut(label) {
                names.remove(name);
                if names.is_empty() {
                    self.by_label.remove(label);
                }
            }
        }
        Some(pod)
    }
}

/// The first rule that names one value of one label.
pub(super) fn first_pair(selector: &Selector) -> Option<Label> {
    selector.0.iter().find_map(|rule| match rule {
        SelectorRule::In(label, values) if values.len() == 1 => {
            Some((label.clone(), values[0].clone()))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture::{pod, selector};

    fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
        pods.iter().map(|pod| &*pod.name).collect()
    }

    #[test]
    fn pods_are_found_by_every_kind_of_selector_rule() {
        let mut pods = Pods::default();
        pods.apply(pod("a", &[("app", "web"), ("tier", "front")]));
        pods.apply(pod("b", &[("app", "web")]));
        pods.apply(pod("c", &[("app", "api")]));
        let found = |rules| names(&pods.select("default", &Selector(rules))).join(" ");
        let text = |s: &str| Box::<str>::from(s);
        let list = |v: &[&str]| v.iter().map(|s| text(s)).collect::<Box<[_]>>();
        let web = || SelectorRule::In(text("app"), list(&["web"]));
        assert_eq!(found(Box::new([web()])), "a b");
        assert_eq!(found(Box::new([web(), SelectorRule::DoesNotExist(text("tier"))])), "b");
        assert_eq!(found(Box::new([SelectorRule::Exists(text("tier"))])), "a");
        assert_eq!(found(Box::new([SelectorRule::NotIn(text("app"), list(&["web"]))])), "c");
        assert_eq!(
            found(Box::new([SelectorRule::In(text("app"), list(&["web", "api"]))])),
            "a b c"
        );
        assert!(pods.select("elsewhere", &selector("web")).is_empty());
    }

    #[test]
    fn a_relabelled_or_deleted_pod_leaves_the_index() {
        let mut pods = Pods::default();
        pods.apply(pod("a", &[("app", "web")]));
        pods.apply(pod("a", &[("app", "api")]));
        assert!(pods.select("default", &selector("web")).is_empty());
        assert_eq!(names(&pods.select("default", &selector("api"))), ["a"]);
        pods.delete("default", "a");
        assert!(pods.select("default", &selector("api")).is_empty());
    }

    #[test]
    fn a_list_replaces_its_scope_only() {
        let mut pods = Pods::default();
        pods.apply(pod("a", &[("app", "web")]));
        pods.replace(Some("other"), Vec::new());
        assert_eq!(pods.select("default", &selector("web")).len(), 1);
        pods.replace(Some("default"), vec![pod("b", &[("app", "web")])]);
        assert_eq!(names(&pods.select("default", &selector("web"))), ["b"]);
        pods.keep_only(&HashSet::new());
        assert!(pods.select("default", &selector("web")).is_empty());
    }
}
