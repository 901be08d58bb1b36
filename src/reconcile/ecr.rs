//! What a PATCH with images of Amazon ECR needs first: a look whether they are there, a pull secret.
//!
//! Both are off unless the settings ask for them, and concern only rollouts that bring an image of ECR.

use std::collections::BTreeSet;

use super::{EcrPolicy, Intent, Step};
use crate::model::{EcrRegistry, PullSecrets, Target, Workload};

/// The step that must go through before the PATCH, if any.
pub fn preparation(
    policy: EcrPolicy,
    intent: &Intent,
    workload: &Workload,
    targets: &[Target],
) -> Option<Step> {
    let of_ecr = targets.iter().filter_map(|t| Some((t, EcrRegistry::of(&t.image)?)));
    let (images, registries): (Vec<_>, BTreeSet<_>) =
        of_ecr.map(|(target, registry)| (target.image.clone(), registry)).unzip();
    if images.is_empty() {
        return None;
    }
    if policy.check && !intent.checked {
        return Some(Step::CheckImages(images));
    }
    let ready = intent.pull_secrets.as_ref().is_some_and(|secrets| fits(secrets, workload));
    (policy.pull_secret && !ready).then_some(Step::EnsurePullSecret(registries))
}

/// What the template needs was found out for the template as it is.
pub fn fits(secrets: &PullSecrets, workload: &Workload) -> bool {
    *secrets.before == *workload.pull_secrets
}
