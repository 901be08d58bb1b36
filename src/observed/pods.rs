//! The cache of pods, for the namespaces where a rollout is in flight.
//!
//! Watches of single namespaces and of the whole cluster overlap while one takes over from the other,
//! and one may lag behind the other. So versions decide, as with workloads: an older one never replaces
//! a newer one, and what is not there although a watch has shown everything up to its version is gone.
//!
//! Pods are found by selector. To keep that cheap with thousands of pods in one namespace, they are
//! indexed by label pair, and the first plain pair of the selector narrows the search.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::shown::Shown;
use crate::model::{Gap, Moment, Pod, Selector, SelectorRule};

/// A label name and value.
type Label = (Box<str>, Box<str>);

/// Pods by namespace and name, and by label.
#[derive(Debug, Default)]
pub struct Pods {
    namespaces: HashMap<Box<str>, Namespace>,
    shown: Shown,
}

/// What a watch told was news.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    /// What was known of the pod before.
    pub before: Option<Arc<Pod>>,
}

#[derive(Debug, Default)]
struct Namespace {
    by_name: BTreeMap<Box<str>, Arc<Pod>>,
    by_label: HashMap<Label, BTreeSet<Box<str>>>,
}

impl Pods {
    /// The pods of `namespace` that `selector` matches, by name; none while nothing shows what becomes
    /// of them.
    #[must_use]
    pub fn select(&self, namespace: &str, selector: &Selector) -> Vec<Arc<Pod>> {
        if self.shown.gap(namespace).is_some_and(Gap::is_dark) {
            return Vec::new();
        }
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

    /// Takes one version from the stream of a scope; `None` when it is not newer than what is known.
    pub fn apply(&mut self, scope: Option<&str>, pod: Pod) -> Option<News> {
        let version = pod.resource_version;
        // Versions that are not numbers (0) cannot be told apart; the later word counts.
        let is_old = match self.known(&pod) {
            Some(known) => version != 0 && known.resource_version >= version,
            None => self.shown.has_passed(&pod.namespace, version),
        };
        self.shown.note(scope, version);
        (!is_old).then(|| News { before: self.put(pod) })
    }

    /// Takes word from the stream of a scope that this pod is gone, as it last was; false when a newer
    /// one of the same name is known already, or none is.
    pub fn delete(&mut self, scope: Option<&str>, gone: &Pod) -> bool {
        let version = gone.resource_version;
        self.shown.note(scope, version);
        let is_old = |own: &Arc<Pod>| version == 0 || own.resource_version <= version;
        let Some(namespace) = self.namespaces.get_mut(&gone.namespace) else { return false };
        namespace.by_name.get(&gone.name).is_some_and(is_old)
            && namespace.remove(&gone.name).is_some()
    }

    /// Takes complete lists as of version `listed`: `items` are all pods of these namespaces, or of all
    /// when `None`.
    pub fn replace(&mut self, scope: Option<&str>, items: Vec<Pod>, listed: u64) {
        let back_in_time = self.shown.begin(scope, listed);
        let names: HashSet<(Box<str>, Box<str>)> =
            items.iter().map(|pod| (pod.namespace.clone(), pod.name.clone())).collect();
        for (name, namespace) in &mut self.namespaces {
            if scope.is_none_or(|scope| *scope == **name) {
                namespace.retain(|pod| {
                    let is_ahead = pod.resource_version > listed;
                    !back_in_time
                        && (is_ahead || names.contains(&(pod.namespace.clone(), pod.name.clone())))
                });
            }
        }
        for pod in items {
            let is_old = match self.known(&pod) {
                Some(known) => known.resource_version > pod.resource_version,
                // Another watch is ahead of this list, and has seen it go.
                None => self.shown.of(&pod.namespace).is_some_and(|shown| shown > listed),
            };
            if !is_old {
                self.put(pod);
            }
        }
        self.shown.listed(scope, listed);
    }

    /// The stream of a scope is over, and no other one goes on yet.
    pub fn lose(&mut self, scope: Option<&str>, now: Moment) {
        self.shown.lose(scope, now);
    }

    /// This scope shows what happens; true when it did not before.
    pub fn find(&mut self, scope: Option<&str>, now: Moment) -> bool {
        self.shown.find(scope, now)
    }

    /// Nobody watches this namespace by itself any more.
    pub fn close(&mut self, namespace: &str) {
        self.shown.close(Some(namespace));
        if !self.shown.is_listed(None) {
            self.namespaces.remove(namespace);
        }
    }

    /// Forgets every namespace but these: nobody watches the others any more.
    pub fn keep_only(&mut self, namespaces: &HashSet<Box<str>>) {
        self.namespaces.retain(|name, _| namespaces.contains(name));
        self.shown.keep_only(namespaces);
    }

    fn known(&self, pod: &Pod) -> Option<&Arc<Pod>> {
        self.namespaces.get(&pod.namespace)?.by_name.get(&pod.name)
    }

    fn put(&mut self, pod: Pod) -> Option<Arc<Pod>> {
        let namespace = self.namespaces.entry(pod.namespace.clone()).or_default();
        let before = namespace.remove(&pod.name);
        namespace.insert(Arc::new(pod));
        before
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

    fn retain(&mut self, stays: impl Fn(&Pod) -> bool) {
        let gone: Vec<Box<str>> =
            self.by_name.values().filter(|pod| !stays(pod)).map(|pod| pod.name.clone()).collect();
        gone.iter().for_each(|name| drop(self.remove(name)));
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
        pods.apply(None, pod("a", &[("app", "web"), ("tier", "front")]));
        pods.apply(None, pod("b", &[("app", "web")]));
        pods.apply(None, pod("c", &[("app", "api")]));
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
        pods.apply(None, pod("a", &[("app", "web")]));
        pods.apply(None, pod("a", &[("app", "api")]));
        assert!(pods.select("default", &selector("web")).is_empty());
        assert_eq!(names(&pods.select("default", &selector("api"))), ["a"]);
        assert!(pods.delete(None, &pod("a", &[])));
        assert!(pods.select("default", &selector("api")).is_empty());
    }

    #[test]
    fn a_list_replaces_its_scope_only() {
        let mut pods = Pods::default();
        pods.apply(None, pod("a", &[("app", "web")]));
        pods.replace(Some("other"), Vec::new(), 1);
        assert_eq!(pods.select("default", &selector("web")).len(), 1);
        pods.replace(Some("default"), vec![pod("b", &[("app", "web")])], 1);
        assert_eq!(names(&pods.select("default", &selector("web"))), ["b"]);
        pods.keep_only(&HashSet::new());
        assert!(pods.select("default", &selector("web")).is_empty());
    }

    fn version(name: &str, resource_version: u64) -> Pod {
        Pod { resource_version, ..pod(name, &[("app", "web")]) }
    }

    /// Names and versions of all pods.
    fn held(pods: &Pods) -> String {
        let all = pods.select("default", &selector("web"));
        let shown: Vec<_> =
            all.iter().map(|pod| format!("{}@{}", pod.name, pod.resource_version)).collect();
        shown.join(" ")
    }

    const OWN: Option<&str> = Some("default");

    #[test]
    fn a_watch_that_lags_behind_another_turns_nothing_back() {
        let mut pods = Pods::default();
        pods.replace(OWN, vec![version("a", 5), version("b", 6), version("c", 7)], 10);
        pods.replace(None, vec![version("a", 5), version("b", 6), version("c", 7)], 12);
        assert!(pods.apply(None, version("a", 20)).is_some());
        assert!(pods.delete(None, &version("b", 21)));
        assert!(pods.apply(None, version("d", 22)).is_some());
        // What the watch of the namespace has still to tell.
        assert_eq!(pods.apply(OWN, version("a", 15)), None);
        assert_eq!(pods.apply(OWN, version("b", 16)), None, "it is gone since");
        assert_eq!(pods.apply(None, version("a", 20)), None, "told twice");
        assert!(!pods.delete(OWN, &version("d", 17)), "an older one of that name");
        assert_eq!(held(&pods), "a@20 c@7 d@22");
        // Or it begins anew with a list from before that.
        pods.replace(OWN, vec![version("a", 15), version("b", 16), version("c", 7)], 18);
        assert_eq!(held(&pods), "a@20 c@7 d@22");
        assert!(pods.delete(OWN, &version("c", 23)));
        assert!(pods.apply(OWN, version("c", 24)).is_some(), "a new one of that name");
        assert_eq!(held(&pods), "a@20 c@24 d@22");
        assert_eq!(pods.apply(None, version("c", 7)), None);
        assert!(pods.apply(None, Pod { resource_version: 0, ..version("e", 0) }).is_some());
    }

    #[test]
    fn a_list_from_a_restored_etcd_takes_its_pods_back_in_time() {
        let mut pods = Pods::default();
        pods.replace(OWN, vec![version("a", 800), version("b", 801)], 900);
        assert!(pods.apply(OWN, version("a", 950)).is_some());
        pods.replace(OWN, vec![version("a", 500)], 600);
        assert_eq!(held(&pods), "a@500");
        assert!(pods.apply(OWN, version("b", 601)).is_some());
    }

    #[test]
    fn after_a_restored_etcd_every_scope_goes_back_in_time() {
        let of = |namespace: &str, resource_version| Pod {
            namespace: namespace.into(),
            ..version("x", resource_version)
        };
        let mut pods = Pods::default();
        for namespace in ["a", "b"] {
            pods.replace(Some(namespace), Vec::new(), 900);
            assert!(pods.apply(Some(namespace), of(namespace, 950)).is_some());
        }
        pods.replace(Some("a"), Vec::new(), 600);
        pods.replace(Some("b"), Vec::new(), 610);
        let left = |namespace| pods.select(namespace, &selector("web")).len();
        assert_eq!((left("a"), left("b")), (0, 0), "those of the history that never was");
    }

    #[test]
    fn pods_that_no_watch_shows_any_more_are_no_evidence() {
        let mut pods = Pods::default();
        pods.replace(OWN, vec![version("a", 5)], 10);
        pods.lose(OWN, Moment(1000));
        assert_eq!(held(&pods), "");
        pods.replace(None, vec![version("a", 5)], 12);
        assert_eq!(held(&pods), "a@5", "another watch shows them");
        pods.lose(None, Moment(2000));
        assert_eq!(held(&pods), "");
        assert!(pods.find(OWN, Moment(3000)), "it is news");
        assert!(!pods.find(OWN, Moment(3000)), "it is none");
        assert_eq!(held(&pods), "a@5");
    }

    #[test]
    fn where_no_stream_lasts_the_pods_of_each_list_are_evidence_all_the_same() {
        let mut pods = Pods::default();
        pods.replace(OWN, vec![version("a", 5)], 10);
        pods.lose(OWN, Moment(1_000));
        assert_eq!(held(&pods), "");
        assert!(pods.find(OWN, Moment(2_000)));
        pods.replace(OWN, vec![version("a", 15)], 20);
        pods.lose(OWN, Moment(3_000));
        assert_eq!(held(&pods), "a@15");
        assert!(pods.find(OWN, Moment(4_000)));
        pods.lose(OWN, Moment(60_000));
        assert_eq!(held(&pods), "", "that one had lasted");
    }

    #[test]
    fn a_watch_that_another_has_taken_over_from_vouches_for_nothing() {
        let mut pods = Pods::default();
        pods.replace(OWN, vec![version("a", 5)], 10);
        pods.replace(None, vec![version("a", 5)], 12);
        pods.close("default");
        assert_eq!(held(&pods), "a@5", "the other one shows them");
        pods.lose(None, Moment(1000));
        assert_eq!(held(&pods), "");
    }

    #[test]
    fn what_the_only_watch_showed_is_forgotten_with_it() {
        let mut pods = Pods::default();
        pods.replace(OWN, vec![version("a", 5)], 10);
        pods.close("default");
        assert_eq!(held(&pods), "", "the next one has yet to list");
    }

    #[test]
    fn what_nobody_watches_any_more_is_forgotten_with_its_versions() {
        let mut pods = Pods::default();
        pods.replace(None, vec![version("a", 5)], 50);
        pods.keep_only(&HashSet::from(["default".into()]));
        assert_eq!(held(&pods), "a@5");
        pods.keep_only(&HashSet::new());
        pods.replace(OWN, vec![version("a", 5)], 20);
        assert_eq!(held(&pods), "a@5");
    }
}
