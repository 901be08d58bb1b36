//! A change that is meant → the request that comes next for it.

use super::{Intent, Step, View, ecr};
use crate::model::{Change, ImagePatch, ServiceKey, Target, Workload};

/// A fresh look where a guard failed, what images of ECR need first, and then the PATCH.
pub fn next(view: &View, intent: &Intent, workload: &Workload, targets: &[Target]) -> Step {
    if intent.look_first {
        return Step::LookAtWorkload;
    }
    if let Some(step) = ecr::preparation(view.policy.ecr, intent, workload, targets) {
        return step;
    }
    Step::Patch(ImagePatch {
        kind: workload.kind,
        key: view.key.clone(),
        uid: workload.uid.clone(),
        has_annotations: workload.has_annotations,
        targets: targets.to_vec(),
        pull_secrets: intent.pull_secrets.clone(),
        change_cause: change_cause(view.key, &intent.changes),
    })
}

/// The text of `kubernetes.io/change-cause`: names the file and the images, and no time, so that a
/// repeated PATCH changes nothing.
fn change_cause(key: &ServiceKey, changes: &[Change]) -> String {
    let images: Vec<String> =
        changes.iter().map(|change| format!("{}={}", change.container, change.to)).collect();
    format!("depd: {} set {}", key.file_name(), images.join(" "))
}
