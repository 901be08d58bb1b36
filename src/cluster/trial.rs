//! Changes that are only tried: what the API server would say to the real request. `[E]`
//!
//! With `dryRun=All` a request passes authorization, admission and validation as the real one does, and
//! nothing is stored ("Dry-run" in "Kubernetes API Concepts"). An admission webhook that has effects
//! of its own cannot take part; the API server then refuses the trial, which says nothing about the
//! real request.

use super::client::{Client, OBJECT_BYTES};
use super::error::{ApiError, Class};
use super::request::Request;
use crate::model::{ImagePatch, Workload};

/// How the API server ends its refusal to try, in `NewDryRunUnsupportedErr` of its source.
const UNSUPPORTED: &str = "does not support dry run";

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial<T> {
    /// It would go through, and this would be stored.
    Accepted(T),
    /// Only the real request can tell; the reason, in the API server's words.
    Untold(String),
}

impl Client {
    /// Tries [`Client::patch_images`]: the same PATCH, which changes nothing.
    ///
    /// # Errors
    /// What the real one would come to.
    pub fn try_patch_images(&self, patch: &ImagePatch) -> Result<Trial<Workload>, ApiError> {
        let request = only_tried(Request::patch_images(patch));
        untold(self.workload(patch.kind, &request))
    }

    /// Tries [`Client::create_namespace`]; false when it exists already.
    ///
    /// # Errors
    /// What the real one would come to.
    pub fn try_create_namespace(&self, namespace: &str) -> Result<Trial<bool>, ApiError> {
        let request = only_tried(Request::create_namespace(namespace));
        let sent = self.requests.send(&request).and_then(|answer| answer.read(OBJECT_BYTES));
        match sent {
            Err(ApiError { class: Class::AlreadyExists, .. }) => Ok(Trial::Accepted(false)),
            sent => untold(sent.map(|_| true)),
        }
    }
}

fn only_tried(request: Request) -> Request {
    request.with("dryRun", "All")
}

fn untold<T>(outcome: Result<T, ApiError>) -> Result<Trial<T>, ApiError> {
    match outcome {
        Ok(made) => Ok(Trial::Accepted(made)),
        Err(ApiError { class: Class::Unexpected { status: 400, text }, .. })
            if text.ends_with(UNSUPPORTED) =>
        {
            Ok(Trial::Untold(text))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Call, Resource, Verb};

    #[test]
    fn a_trial_is_the_request_itself_with_one_word_more() {
        let real = Request::create_namespace("qa");
        let tried = only_tried(real.clone());
        assert_eq!(tried.target, format!("{}&dryRun=All", real.target));
        assert_eq!(tried.body, real.body);
    }

    #[test]
    fn a_webhook_that_cannot_take_part_refuses_only_the_trial() {
        let (verb, resource) = (Verb::Patch, Resource::Deployments);
        let call = Call { verb, resource, namespace: None, name: None };
        let refused = |status: u16, text: &str| {
            let class = Class::Unexpected { status, text: text.into() };
            untold(Err::<(), _>(ApiError::new(&call, class)))
        };
        let webhook = "admission webhook \"sidecar.example\" does not support dry run";
        assert_eq!(refused(400, webhook), Ok(Trial::Untold(webhook.into())));
        assert!(refused(400, "the body is not JSON").is_err());
        assert!(refused(404, webhook).is_err());
    }
}
