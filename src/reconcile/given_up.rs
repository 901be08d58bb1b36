//! A rollout that ended without a verdict, because its file asked for something else, or went away.
//!
//! Mostly the next rollout makes up for it. But what the file asked for may never come to the cluster: the
//! API server refuses it, a pause or the gate makes it wait. When the file then says again what it said
//! before, the verdict is still due.

use serde::{Deserialize, Serialize};

use super::plan::Draft;
use super::rollback::runs_what_was_put_back;
use super::{Intent, Phase, Service};
use crate::model::{Change, Workload};

/// A rollout without a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// The workload.
    pub uid: Box<str>,
    /// What it changed.
    pub changes: Vec<Change>,
}

impl Service {
    /// The rollout in flight, as it is remembered when the file asks for it no more.
    pub(super) fn under_way(&self) -> Option<GivenUp> {
        match &self.phase {
            Phase::Rolling(rollout) => {
                Some(GivenUp { uid: rollout.uid.clone(), changes: rollout.changes.clone() })
            }
            _ => None,
        }
    }
}

impl Draft<'_> {
    /// The cluster runs what the file asks for again. Where that is an own rollout which was given up for
    /// another content that never came to the cluster, its verdict is still due.
    pub(super) fn take_up(&mut self, intent: &Intent, workload: &Workload) {
        let given_up = self.plan.service.given_up.take();
        match given_up.filter(|it| it.uid == workload.uid) {
            Some(GivenUp { changes, .. }) if runs_what_was_put_back(&changes, workload) => {
                let generation = workload.generation;
                self.adopt(&Intent { changes, generation, ..intent.clone() }, workload);
            }
            _ => self.baseline(intent, workload),
        }
    }
}
