//! Steps → requests to the real API, and its errors → what to do about them.

use super::StepRunner;
use crate::clock;
use crate::cluster::{ApiError, Class, Client, Sent};
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
        class if may_be_done(class) => Setback::Unanswered(text),
        _ => Setback::Transient { text, retry_after: error.retry_after() },
    }
}

/// The request may have been carried out all the same. A server that names a time has answered, and has
/// not done it.
fn may_be_done(class: &Class) -> bool {
    match class {
        Class::Network { sent, .. } => *sent == Sent::Maybe,
        // Taken, by what the status says.
        Class::Decode { .. } => true,
        // A proxy on the way answers so as well, when it lost the API server in the middle.
        Class::Unavailable { retry_after, .. } => retry_after.is_none(),
        // Webhooks are asked before anything is stored.
        Class::ServerError { message, retry_after, .. } => {
            retry_after.is_none() && !message.contains("failed calling webhook")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Call, Resource, Verb};

    #[test]
    fn only_a_request_that_may_have_been_carried_out_leaves_a_doubt() {
        let is_in_doubt = |class: Class| {
            let (namespace, name) = (None, Some("prod".into()));
            let call = Call { verb: Verb::Create, resource: Resource::Namespaces, namespace, name };
            let error = ApiError { call: Box::new(call), class };
            match setback(&error) {
                Setback::Unanswered(_) => true,
                Setback::Transient { .. } => false,
                other => panic!("{other:?}"),
            }
        };
        let network = |sent| Class::Network { text: String::new(), sent };
        let failed = |status, message: &str, retry_after| {
            let message = message.to_owned();
            Class::ServerError { status, message, retry_after }
        };
        let soon = Some(std::time::Duration::from_secs(1));
        let webhook = "Internal error occurred: failed calling webhook \"quota.example\": EOF";
        for (class, expect) in [
            (network(Sent::Maybe), true),
            (network(Sent::No), false),
            (failed(504, "Timeout: request did not complete", None), true),
            (failed(500, "etcdserver: request timed out", None), true),
            (failed(500, webhook, None), false),
            (failed(500, "", soon), false),
            (Class::Unavailable { message: String::new(), retry_after: None }, true),
            (Class::Unavailable { message: String::new(), retry_after: soon }, false),
            (Class::TooManyRequests { retry_after: None }, false),
            (Class::Decode { text: String::new() }, true),
        ] {
            assert_eq!(is_in_doubt(class.clone()), expect, "{class:?}");
        }
    }
}
