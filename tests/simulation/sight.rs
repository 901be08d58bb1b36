//! What the watches show: that a rollout did not get on is no news of a workload that nobody sees.

use depd::model::ServiceKey;

use crate::checks::Checks;
use crate::cluster::{Cluster, Scope};

impl Checks {
    /// A watch shows what happens.
    pub fn shows(&mut self, scope: &Scope) {
        self.shown.insert(scope.clone());
    }

    /// It does not any more, and its thread knows.
    pub fn shows_no_more(&mut self, scope: &Scope) {
        self.shown.remove(scope);
    }

    /// A verdict that follows from time alone was given.
    pub fn check_sight(&mut self, key: &ServiceKey, cluster: &Cluster) {
        let Some(object) = cluster.objects.get(key) else { return };
        let scopes = [None, Some(key.namespace().to_owned())];
        let is_shown = scopes.into_iter().any(|namespace| {
            self.shown.contains(&Scope::Workloads(object.workload.kind, namespace))
        });
        if !is_shown {
            self.fail(format!("unseen: {key} timed out while no watch showed it"));
        }
    }
}
