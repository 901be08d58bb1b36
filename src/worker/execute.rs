//! Steps → requests to the real API, and its errors → what to do about them.

use super::StepRunner;
use crate::clock;
use crate::cluster::{ApiError, Class, Client};
use crate::failpoint::Failpoint;
use crate::model::{Event, ServiceKey, Workload};
use crate::reconcile::{Reply, Setback, Step};

/// Lines of a crashed container's log that a message carries.
const LOG_LINES: u32 = 25;

/// What only [`super::WithRegistry`] can do is planned only where it is set up.
const NO_REGISTRY: &str = "depd was started without access to ECR; this is a defect in depd";

impl StepRunner for Client {
    fn run(
        &self,
        key: &ServiceKey,
        step: &Step,
        workload: Option<&Workload>,
    ) -> Result<Reply, Setback> {
        let namespace = key.namespace();
        let reply = match step {
            Step::LookAtNamespace => self.namespace_exists(namespace).map(Reply::Namespace),
            Step::CreateNamespace => {
                let created = self.create_namespace(namespace);
                Failpoint::AfterNamespace.pass();
                match created {
                    Ok(true) => Ok(Reply::NamespaceCreated),
                    // Somebody else has it, or it is still going away.
                    Ok(false) => self.namespace_exists(namespace).map(Reply::Namespace),
                    Err(error) => Err(error),
                }
            }
            Step::LookAtWorkload => match workload {
                Some(workload) => self
                    .get_workload(workload.kind, key)
                    .map(|found| Reply::Looked(found.map(Box::new))),
                None => Ok(Reply::Looked(None)),
            },
            Step::Patch(patch) => {
                let stored = self.patch_images(patch);
                Failpoint::AfterPatch.pass();
                stored.map(|stored| Reply::Patched(Box::new(stored)))
            }
            Step::FindReplicaSet => match workload {
                Some(workload) => self
                    .new_replica_set_hash(workload)
                    .map(|hash| Reply::ReplicaSet(hash.map(String::into_boxed_str))),
                None => Ok(Reply::ReplicaSet(None)),
            },
            Step::CheckImages(_) | Step::EnsurePullSecret(_) => {
                return Err(Setback::Registry(NO_REGISTRY.to_owned()));
            }
            Step::FetchLog { pod, container, previous } => {
                self.log_tail(namespace, pod, container, *previous, LOG_LINES).map(Reply::Log)
            }
            Step::ReadWarning { uid, reason } => {
                // It bears the time of the cluster's wall clock; how old it is means the same here.
                let by_our_clock =
                    |event: Event| Event { seen: event.seen.map(clock::of_wall), ..event };
                self.newest_warning(namespace, uid, *reason)
                    .map(|warning| Reply::Warning(warning.map(by_our_clock)))
            }
        };
        reply.map_err(|error| match step {
            Step::LookAtNamespace | Step::CreateNamespace => of_namespace(namespace, &error),
            _ => setback(&error),
        })
    }
}

/// A user whose rights end at some namespaces is refused for one that does not exist, too.
pub(super) fn of_namespace(namespace: &str, error: &ApiError) -> Setback {
    match &error.class {
        Class::Forbidden(_) => Setback::NotPermitted(format!(
            "the namespace {namespace} is missing or not permitted: {error}"
        )),
        _ => setback(error),
    }
}

/// What to do about an error of the API.
#[must_use]
pub fn setback(error: &ApiError) -> Setback {
    let text = error.to_string();
    match &error.class {
        Class::TestFailed | Class::NotFound | Class::Conflict { .. } => Setback::Outdated,
        Class::NamespaceTerminating => Setback::NamespaceTerminating,
        Class::Forbidden(_) => Setback::NotPermitted(text),
        Class::Unauthorized | Class::Credentials { .. } => Setback::Unauthenticated(text),
        Class::Denied { message } | Class::Invalid { message } => Setback::Refused(message.clone()),
        _ => Setback::Transient { text, retry_after: error.retry_after() },
    }
}
