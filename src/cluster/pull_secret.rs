//! The one kind of Secret that depd reads and writes, and the pull secrets of ServiceAccounts. `[E]`
//!
//! Only the Secret named [`PULL_SECRET`], and never one without depd's label. Facts: "Server-Side Apply" and
//! "Secrets" (type `kubernetes.io/dockerconfigjson`) in the Kubernetes documentation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, OBJECT_BYTES, none_if_missing};
use super::error::{ApiError, Class};
use super::request::Request;
use super::secret::Secret;
use crate::model::PULL_SECRET;

/// The key of the content in the Secret.
const KEY: &str = ".dockerconfigjson";

/// The label that says whose a Secret is, and what it says of depd's.
const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "depd");

/// How the base64 of `AWS:` begins; a server's words that hold it quote a token.
const TOKEN_BEGINS: &str = "QVdTO";

/// The pull secret of a namespace, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullSecret {
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// It has depd's label.
    pub is_ours: bool,
    /// The configuration of a registry client; empty where it holds none, and where it is not ours.
    pub content: Secret<Vec<u8>>,
}

#[derive(Deserialize)]
struct Object {
    metadata: super::response::Meta,
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    #[serde(rename = ".dockerconfigjson")]
    content: String,
}

#[derive(Deserialize)]
struct ServiceAccount {
    #[serde(rename = "imagePullSecrets", default)]
    pull_secrets: Option<Vec<Reference>>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default)]
    name: Box<str>,
}

impl Client {
    /// The Secret of that name in a namespace, whosever it is: one GET.
    ///
    /// # Errors
    /// Any class but [`Class::NotFound`].
    pub fn pull_secret(&self, namespace: &str) -> Result<Option<PullSecret>, ApiError> {
        let request = Request::get_secret(namespace, PULL_SECRET);
        let found = self.requests.send(&request).and_then(|a| a.json::<Object>(OBJECT_BYTES));
        let Some(object) = none_if_missing(found)? else { return Ok(None) };
        let label = object.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL.0));
        let is_ours = label.is_some_and(|owner| &**owner == LABEL.1);
        let data = object.data.filter(|_| is_ours).unwrap_or_default();
        let content = STANDARD.decode(data.content).unwrap_or_default();
        Ok(Some(PullSecret { uid: object.metadata.uid, is_ours, content: Secret::new(content) }))
    }

    /// Writes the pull secret, if it is still the one that was seen: one server-side apply without force.
    /// `renewed` is the time that an annotation shows.
    ///
    /// # Errors
    /// [`Class::Conflict`] when somebody else owns its content, or when it is not the one that was seen.
    pub fn apply_pull_secret(
        &self,
        namespace: &str,
        seen: Option<&PullSecret>,
        content: &Secret<Vec<u8>>,
        renewed: &str,
    ) -> Result<(), ApiError> {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": PULL_SECRET,
                "namespace": namespace,
                "labels": { LABEL.0: LABEL.1 },
                "annotations": { "depd.dev/renewed": renewed },
            },
            "type": "kubernetes.io/dockerconfigjson",
            "data": { KEY: STANDARD.encode(content.expose()) },
        });
        if let Some(seen) = seen {
            object["metadata"]["uid"] = (*seen.uid).into();
        }
        let request = Request::apply_secret(namespace, PULL_SECRET, &object);
        let outcome = self.requests.send(&request).and_then(|answer| answer.read(OBJECT_BYTES));
        outcome.map(drop).map_err(without_token)
    }

    /// The names of a ServiceAccount's own pull secrets, none where it does not exist: one GET.
    ///
    /// # Errors
    /// Any class but [`Class::NotFound`].
    pub fn pull_secrets_of_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<Box<str>>, ApiError> {
        let request = Request::get_service_account(namespace, name);
        let found = self.requests.send(&request);
        let found = found.and_then(|answer| answer.json::<ServiceAccount>(OBJECT_BYTES));
        let names = none_if_missing(found)?.and_then(|account| account.pull_secrets);
        Ok(names.unwrap_or_default().into_iter().map(|reference| reference.name).collect())
    }
}

/// Some webhooks quote what they refuse.
fn without_token(mut error: ApiError) -> ApiError {
    const INSTEAD: &str = "(its words are left out, for they hold a credential)";
    match &mut error.class {
        Class::Denied { message: text }
        | Class::Invalid { message: text }
        | Class::Conflict { message: text }
        | Class::Unavailable { message: text, .. }
        | Class::ServerError { message: text, .. }
        | Class::Unexpected { text, .. }
            if text.contains(TOKEN_BEGINS) =>
        {
            INSTEAD.clone_into(text);
        }
        _ => {}
    }
    error
}
