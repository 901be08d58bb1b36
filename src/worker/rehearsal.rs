//! Steps that are only rehearsed: what would be changed is tried, and everything else is as it is.
//!
//! Reads are real. A change is sent as a trial ([`Trial`]), and what came of it is noted; after that
//! the service is told to wait, because a rollout that was only tried cannot be followed. No pull
//! secret is written, and nothing about a rollout that is under way is asked.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::StepRunner;
use super::execute::{of_namespace, setback};
use super::registry::attachment;
use crate::cluster::{ApiError, Client, Trial};
use crate::model::{Change, Container, ImagePatch, ServiceKey, Workload};
use crate::reconcile::{Reply, Setback, Step};

/// Performs the steps of a rehearsal.
pub struct Rehearsing {
    client: Client,
    /// For the steps that only read.
    reads: Box<dyn StepRunner>,
    tried: Mutex<HashMap<ServiceKey, Tried>>,
}

/// What the steps of one service came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Steps so far.
    pub steps: u32,
    /// Somebody else was at it: to be asked again in a moment.
    pub is_busy: bool,
    /// The images would be changed.
    pub patch: Option<TriedPatch>,
    /// The namespace would be created.
    pub namespace: bool,
    /// What could not be found out, and why.
    pub trouble: Option<String>,
}

/// A PATCH that would go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedPatch {
    /// From what runs to what was asked for.
    pub changes: Vec<Change>,
    /// From what was asked for to what the API server would store instead (digest pinning).
    pub rewritten: Vec<Change>,
    /// Why only the real request can tell whether it is admitted.
    pub untold: Option<String>,
}

impl Rehearsing {
    /// `reads` performs the steps that change nothing.
    #[must_use]
    pub fn new(client: Client, reads: Box<dyn StepRunner>) -> Rehearsing {
        Rehearsing { client, reads, tried: Mutex::default() }
    }

    /// What was tried for `key` so far.
    #[must_use]
    pub fn tried(&self, key: &ServiceKey) -> Tried {
        self.tried.lock().get(key).cloned().unwrap_or_default()
    }

    fn note(&self, key: &ServiceKey, what: impl FnOnce(&mut Tried)) {
        what(self.tried.lock().entry(key.clone()).or_default());
    }

    fn try_patch(
        &self,
        key: &ServiceKey,
        patch: &ImagePatch,
        workload: Option<&Workload>,
    ) -> Result<Reply, Setback> {
        let outcome = self.client.try_patch_images(patch).map_err(|error| setback(&error))?;
        let (rewritten, untold) = match outcome {
            Trial::Accepted(stored) => (rewritten(patch, &stored), None),
            Trial::Untold(why) => (Vec::new(), Some(why)),
        };
        let patch = TriedPatch { changes: changes(patch, workload), rewritten, untold };
        self.note(key, |tried| tried.patch = Some(patch));
        Err(Setback::Busy)
    }

    fn try_namespace(&self, key: &ServiceKey) -> Result<Reply, ApiError> {
        match self.client.try_create_namespace(key.namespace())? {
            Trial::Accepted(false) => {
                self.client.namespace_exists(key.namespace()).map(Reply::Namespace)
            }
            Trial::Accepted(true) | Trial::Untold(_) => {
                self.note(key, |tried| tried.namespace = true);
                Ok(Reply::NamespaceCreated)
            }
        }
    }

    fn perform(
        &self,
        key: &ServiceKey,
        step: &Step,
        workload: Option<&Workload>,
    ) -> Result<Reply, Setback> {
        match (step, workload) {
            (Step::Patch(patch), _) => self.try_patch(key, patch, workload),
            (Step::CreateNamespace, _) => {
                self.try_namespace(key).map_err(|error| of_namespace(key.namespace(), &error))
            }
            (Step::EnsurePullSecret(_), Some(workload)) => {
                attachment(&self.client, key.namespace(), workload)
            }
            (Step::FindReplicaSet | Step::FetchLog { .. } | Step::ReadWarning { .. }, _) => {
                Err(Setback::Busy)
            }
            _ => self.reads.run(key, step, workload),
        }
    }
}

impl StepRunner for Rehearsing {
    fn run(
        &self,
        key: &ServiceKey,
        step: &Step,
        workload: Option<&Workload>,
    ) -> Result<Reply, Setback> {
        let outcome = self.perform(key, step, workload);
        self.note(key, |tried| {
            tried.steps += 1;
            tried.is_busy = matches!((step, &outcome), (Step::CheckImages(_), Err(Setback::Busy)));
            if let Err(
                Setback::Transient { text, .. }
                | Setback::Unanswered(text)
                | Setback::NotPermitted(text)
                | Setback::Unauthenticated(text)
                | Setback::Registry(text),
            ) = &outcome
            {
                tried.trouble = Some(text.clone());
            }
        });
        outcome
    }
}

/// From what the workload runs to what the PATCH asks for.
fn changes(patch: &ImagePatch, workload: Option<&Workload>) -> Vec<Change> {
    let change = |target: &crate::model::Target| Change {
        container: target.container.clone(),
        from: workload
            .and_then(|workload| container(workload, &target.container))
            .map(|own| own.image.clone())
            .unwrap_or_default(),
        to: target.image.as_str().into(),
    };
    patch.targets.iter().map(change).collect()
}

/// From what the PATCH asks for to what would be stored, where that is something else.
fn rewritten(patch: &ImagePatch, stored: &Workload) -> Vec<Change> {
    let change = |target: &crate::model::Target| {
        let own = container(stored, &target.container)?;
        (!own.runs(&target.image)).then(|| Change {
            container: target.container.clone(),
            from: target.image.as_str().into(),
            to: own.image.clone(),
        })
    };
    patch.targets.iter().filter_map(change).collect()
}

fn container<'a>(workload: &'a Workload, name: &str) -> Option<&'a Container> {
    let mut all = workload.containers.iter().chain(&workload.init_containers);
    all.find(|own| &*own.name == name)
}
