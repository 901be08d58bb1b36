//! Steps that concern Amazon ECR, before a PATCH.

use std::collections::BTreeSet;

use super::StepRunner;
use super::execute::setback;
use crate::cluster::Client;
use crate::model::{EcrRegistry, PullSecrets, ServiceKey, Workload};
use crate::reconcile::{Reply, Setback, Step};
use crate::registry::{Absence, Registry, Trouble};

/// The ServiceAccount of pods that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// The cluster, and the registry that its images come from.
#[derive(Debug)]
pub struct WithRegistry {
    /// The cluster.
    pub client: Client,
    /// Amazon ECR.
    pub registry: Registry,
}

impl StepRunner for WithRegistry {
    fn run(
        &self,
        key: &ServiceKey,
        step: &Step,
        workload: Option<&Workload>,
    ) -> Result<Reply, Setback> {
        match (step, workload) {
            (Step::CheckImages(images), _) => match self.registry.checks.check(images) {
                Ok(()) => Ok(Reply::ImagesChecked),
                Err(Absence::Busy) => Err(Setback::Busy),
                Err(Absence::Missing(sentence)) => Err(Setback::ImageMissing(sentence)),
            },
            (Step::EnsurePullSecret(registries), Some(workload)) => {
                self.pull_secret(key.namespace(), registries, workload)
            }
            _ => self.client.run(key, step, workload),
        }
    }
}

impl WithRegistry {
    fn pull_secret(
        &self,
        namespace: &str,
        registries: &BTreeSet<EcrRegistry>,
        workload: &Workload,
    ) -> Result<Reply, Setback> {
        let made = self.registry.pull_secrets.ensure(namespace, registries);
        made.map_err(|trouble| match trouble {
            Trouble::Busy => Setback::Busy,
            Trouble::Registry(sentence) => Setback::Registry(sentence),
            // What refuses the Secret does not refuse the workload.
            Trouble::Api(error) => match setback(&error) {
                Setback::Refused(_) => Setback::Registry(error.to_string()),
                other => other,
            },
        })?;
        attachment(&self.client, namespace, workload)
    }
}

/// What the workload's template needs to use depd's pull secret.
pub(super) fn attachment(
    client: &Client,
    namespace: &str,
    workload: &Workload,
) -> Result<Reply, Setback> {
    let before = &workload.pull_secrets;
    let of_account = match before.is_empty() {
        true => {
            let account = workload.service_account.as_deref().unwrap_or(DEFAULT_ACCOUNT);
            let names = client.pull_secrets_of_account(namespace, account);
            names.map_err(|error| setback(&error))?
        }
        false => Vec::new(),
    };
    Ok(Reply::PullSecretReady(PullSecrets::attaching(before, of_account)))
}
