//! How many replicas each ReplicaSet of a Deployment may have: rolling, recreating, scaling.
//!
//! Facts: `rolling.go`, `recreate.go` and `scale` in `pkg/controller/deployment` of Kubernetes 1.37.

use std::collections::HashMap;

use serde_json::Value;

use super::super::json::{annotation, int, text};
use super::super::resources::PODS;
use super::super::store::{Key, Object};
use super::conditions::is_complete;
use super::deployment::{DESIRED, MAX, Rollout, max_surge, max_unavailable};

fn size(set: &Value) -> i64 {
    int(set, "/spec/replicas")
}

fn available(set: &Value) -> i64 {
    int(set, "/status/availableReplicas")
}

impl Rollout<'_> {
    /// One step of a rolling update: up if there is room, else down if enough are available.
    pub(super) fn roll(&mut self) {
        self.ensure_new();
        let Some(new) = self.new.clone() else { return };
        let grown = self.fit_new(&new);
        if !grown
            && !self.shrink_old(&new)
            && is_complete(&self.deployment, &self.deployment["status"])
        {
            self.forget_history();
        }
        self.write_progress();
    }

    /// Old pods go first, all of them; then the new ones come.
    pub(super) fn recreate(&mut self) {
        self.adopt_new();
        let mut shrunk = false;
        for key in self.old.clone() {
            shrunk |= self.resize(&key, 0, false);
        }
        if shrunk || self.old_pods_run() {
            return self.write_progress();
        }
        self.ensure_new();
        let Some(new) = self.new.clone() else { return };
        self.resize(&new, self.wanted(), false);
        if is_complete(&self.deployment, &self.deployment["status"]) {
            self.forget_history();
        }
        self.write_progress();
    }

    fn old_pods_run(&self) -> bool {
        self.old.iter().any(|key| {
            let set = self.set(key);
            let pods = self.store.owned_by(text(&set, "/metadata/uid"));
            int(&set, "/status/replicas") > 0
                || pods.iter().filter(|pod| pod.resource == PODS).any(|pod| {
                    let phase =
                        self.store.get(pod).map(|pod| text(pod, "/status/phase").to_owned());
                    phase.is_some_and(|phase| phase != "Failed" && phase != "Succeeded")
                })
        })
    }

    /// How large the new ReplicaSet may be now, when it has `own` replicas.
    pub(super) fn room_for_new(&self, own: i64) -> i64 {
        let wanted = self.wanted();
        if self.deployment["spec"]["strategy"]["type"] == "Recreate" {
            return wanted;
        }
        let total: i64 = self.all().iter().map(|set| size(set)).sum();
        let room = wanted + max_surge(&self.deployment) - total;
        if room <= 0 { own } else { own + room.min(wanted - own) }
    }

    fn fit_new(&mut self, new: &Key) -> bool {
        let own = size(&self.set(new));
        let wanted = self.wanted();
        if own == wanted {
            return false;
        }
        let fit = if own > wanted { wanted } else { self.room_for_new(own) };
        self.resize(new, fit, false)
    }

    fn active_old(&self) -> Vec<Key> {
        self.old.iter().filter(|key| size(&self.set(key)) > 0).cloned().collect()
    }

    /// Takes old replicas away: first those that do not work anyhow, then as many as are spare.
    fn shrink_old(&mut self, new: &Key) -> bool {
        let old = self.active_old();
        if old.is_empty() {
            return false;
        }
        let total: i64 = self.all().iter().map(|set| size(set)).sum();
        let needed = self.wanted() - max_unavailable(&self.deployment);
        let set = self.set(new);
        let spare = total - needed - (size(&set) - available(&set));
        if spare <= 0 {
            return false;
        }
        let cleaned = self.drop_unhealthy(&old, spare);
        cleaned + self.drop_spare(&old, needed) > 0
    }

    fn drop_unhealthy(&mut self, old: &[Key], limit: i64) -> i64 {
        let mut dropped = 0;
        for key in old {
            let set = self.set(key);
            let count = (limit - dropped).min(size(&set) - available(&set));
            if count > 0 {
                self.resize(key, size(&set) - count, false);
                dropped += count;
            }
        }
        dropped
    }

    fn drop_spare(&mut self, old: &[Key], needed: i64) -> i64 {
        let there: i64 = self.all().iter().map(|set| available(set)).sum();
        let mut dropped = 0;
        for key in old {
            let own = size(&self.set(key));
            let count = own.min(there - needed - dropped);
            if count > 0 {
                self.resize(key, own - count, false);
                dropped += count;
            }
        }
        dropped
    }

    /// After `spec.replicas` changed: one active ReplicaSet takes it all; several, in the middle of
    /// a rolling update, share it in proportion to their size.
    pub(super) fn spread(&mut self) {
        let wanted = self.wanted();
        let mut active: Vec<Key> = self.new.iter().chain(&self.old).cloned().collect();
        active.retain(|key| size(&self.set(key)) > 0);
        if let [only] = &active[..] {
            let only = only.clone();
            self.resize(&only, wanted, false);
            return;
        }
        if active.is_empty() {
            // The newest takes it when none is active.
            if let Some(latest) = self.new.clone().or_else(|| self.old.last().cloned()) {
                self.resize(&latest, wanted, false);
            }
            return;
        }
        if self.new.as_ref().is_some_and(|new| self.is_saturated(&self.set(new))) {
            for key in self.active_old() {
                self.resize(&key, 0, false);
            }
            return;
        }
        if self.deployment["spec"]["strategy"]["type"] != "Recreate" {
            self.share(active);
        }
    }

    fn is_saturated(&self, set: &Object) -> bool {
        let wanted = self.wanted();
        let marked = annotation(set, DESIRED).and_then(|text| text.parse::<i64>().ok());
        size(set) == wanted && available(set) == wanted && marked == Some(wanted)
    }

    fn share(&mut self, mut active: Vec<Key>) {
        let wanted = self.wanted();
        let limit = if wanted > 0 { wanted + max_surge(&self.deployment) } else { 0 };
        let total: i64 = active.iter().map(|key| size(&self.set(key))).sum();
        let to_add = limit - total;
        // Larger ones first; among equals newer ones grow first and older ones shrink first.
        let order = |key: &Key| {
            let set = self.set(key);
            (text(&set, "/metadata/creationTimestamp").to_owned(), key.name.clone())
        };
        active.sort_by_key(order);
        if to_add > 0 {
            active.reverse();
        }
        active.sort_by_key(|key| std::cmp::Reverse(size(&self.set(key))));
        let mut sizes: HashMap<Key, i64> = HashMap::new();
        let mut added = 0;
        for key in &active {
            let set = self.set(key);
            let left = to_add - added;
            let fair = self.fair_share(&set, limit);
            let part = match to_add {
                0 => 0,
                1.. => fair.min(left),
                _ => fair.max(left),
            };
            sizes.insert(key.clone(), size(&set) + part);
            added += part;
        }
        if let Some(first) = active.first().and_then(|key| sizes.get_mut(key)) {
            *first = (*first + to_add - added).max(0);
        }
        for key in &active {
            let own = sizes.get(key).copied().unwrap_or(0);
            self.resize(key, own, true);
        }
    }

    /// How many replicas a ReplicaSet gains (or loses) in proportion to its size.
    fn fair_share(&self, set: &Object, limit: i64) -> i64 {
        let own = size(set);
        if self.wanted() == 0 {
            return -own;
        }
        let marked =
            annotation(set, MAX).and_then(|text| text.parse().ok()).filter(|max| *max != 0);
        let before: i64 = marked.unwrap_or_else(|| int(&self.deployment, "/status/replicas"));
        if before == 0 {
            return 0;
        }
        // Rounded to the nearest, halves up; both factors are small and not negative.
        (2 * own * limit + before) / (2 * before) - own
    }
}
