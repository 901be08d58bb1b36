//! What a decision is made from, and what it comes to.

use std::sync::Arc;
use std::time::Duration;

use super::{Patience, Service, Step};
use crate::desired::{DesiredState, ImageLimits};
use crate::model::{Gap, Kind, Moment, Notice, Pod, Problem, ServiceKey, Target, Workload};

/// All that a decision depends on, besides the service's own state.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The service.
    pub key: &'a ServiceKey,
    /// What the folder says; `None` when it has no dep file for the service.
    pub desired: Option<&'a DesiredState>,
    /// Start-up is over, and this is the cluster, folder and setting of the last run. Before that, and
    /// where it is not, what folder and cluster show may be about something else altogether: then
    /// nothing follows from it.
    pub started: bool,
    /// The cache holds a complete list, so that an absent workload is really absent.
    pub synced: bool,
    /// The workload, as far as the cache knows.
    pub workload: Option<&'a Workload>,
    /// The kinds that have a workload of that name, where there are several; then none of them is
    /// `workload`.
    pub namesakes: &'a [Kind],
    /// The last time in which nothing was shown of the workload.
    pub gap: Option<Gap>,
    /// The pods that the workload's selector finds; only needed while a rollout is in flight. None while
    /// nothing is shown of them: what was known of them says nothing any more.
    pub pods: &'a [Arc<Pod>],
    /// A rollout may start now, or whatever else asks the gate first; see [`super::Gate`].
    pub admitted: bool,
    /// What the settings say.
    pub policy: &'a Policy,
    /// The time.
    pub now: Moment,
}

/// What the settings say about decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The time limit for workloads that bring none of their own.
    pub timeout: Duration,
    /// How long each sign of trouble may show before it is a failure.
    pub patience: Patience,
    /// The last good images are put back when a rollout fails, unless the workload says otherwise.
    pub rollback: bool,
    /// What to do when somebody changed the images in the cluster.
    pub drift: Drift,
    /// A missing namespace is created.
    pub create_namespaces: bool,
    /// Namespaces of Kubernetes itself (`kube-*`) that may be deployed to all the same.
    pub allow_namespaces: Vec<String>,
    /// What is done for images of Amazon ECR before they are rolled out.
    pub ecr: EcrPolicy,
    /// Which images may be set, whoever asks for them.
    pub images: ImageLimits,
}

/// What is done for images of Amazon ECR before they are rolled out; by default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EcrPolicy {
    /// The namespace gets a pull secret, and the workload uses it.
    pub pull_secret: bool,
    /// The image must be there.
    pub check: bool,
}

impl Policy {
    /// The targets, if all of their images may be set.
    pub(super) fn admit(&self, targets: Vec<Target>) -> Result<Vec<Target>, Problem> {
        match targets.iter().find_map(|target| self.images.objection(&target.image)) {
            Some(text) => Err(Problem { place: None, text }),
            None => Ok(targets),
        }
    }

    /// Why nothing is done in `namespace`, if so.
    pub(super) fn objection(&self, namespace: &str) -> Option<Problem> {
        let own = namespace.starts_with("kube-");
        let allowed = self.allow_namespaces.iter().any(|name| name == namespace);
        (own && !allowed).then(|| Problem {
            place: None,
            text: format!(
                "the namespace {namespace} belongs to Kubernetes itself; to deploy there, start \
                 depd with --allow-namespace {namespace}"
            ),
        })
    }
}

/// What to do when the cluster changed while the file did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drift {
    /// Say so and leave it.
    #[default]
    Report,
    /// Put the file's images back, ever more slowly against somebody who undoes it.
    Correct,
    /// Leave it, and do not even say so.
    Ignore,
}

/// What follows from a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The service's next state, to be kept before the step is performed.
    pub service: Service,
    /// What to tell people.
    pub notices: Vec<Notice>,
    /// What to ask of the API server, if anything.
    pub step: Option<Step>,
    /// Look again at this time, even if nothing happens.
    pub wake: Option<Moment>,
}
