//! `metav1.Status`: how the API server says no. `[C]`
//!
//! One constructor per refusal that the sandbox can give, in the API server's own words, because
//! clients (and depd's own error classes) read code, reason and details. Facts: apimachinery's
//! `api/errors` package, and answers of kube-apiserver 1.37.

use std::fmt;

use serde_json::{Map, Value, json};

/// A refusal, or the answer to a DELETE that leaves nothing to show.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// `reason`, for example `NotFound`; empty for none.
    pub reason: &'static str,
    /// `message`, for people.
    pub message: String,
    /// `details`; `Null` when the server sends none.
    pub details: Value,
}

/// What a refusal is about: the resource (plural), its group, and the object's name.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// API group, empty for the core group.
    pub group: &'a str,
    /// Plural resource name; for [`Status::invalid`] the kind.
    pub resource: &'a str,
    /// The object's name; may be empty.
    pub name: &'a str,
}

/// One invalid field, in the words of the API server's `field.Error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// For example `FieldValueRequired`.
    pub reason: &'static str,
    /// For example `Required value`.
    pub message: String,
    /// For example `spec.selector`.
    pub field: String,
}

impl Status {
    /// Any refusal without details.
    #[must_use]
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Status {
        Status { code, reason, message: message.into(), details: Value::Null }
    }

    /// 400: the request itself is wrong.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", message)
    }

    /// 401: neither a known certificate nor a known token.
    #[must_use]
    pub fn unauthorized() -> Status {
        Status::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 with the words of RBAC or admission after `is forbidden: `.
    #[must_use]
    pub fn forbidden(about: About<'_>, why: &str) -> Status {
        let message = if about.name.is_empty() {
            format!("{} is forbidden: {why}", about.qualified())
        } else {
            format!("{} \"{}\" is forbidden: {why}", about.qualified(), about.name)
        };
        Status { details: about.details(), ..Status::new(403, "Forbidden", message) }
    }

    /// 403: nothing new may be made in a namespace that is going away.
    #[must_use]
    pub fn terminating(about: About<'_>, namespace: &str) -> Status {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut status = Status::forbidden(about, &why);
        status.details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]);
        status
    }

    /// 404: no such object.
    #[must_use]
    pub fn not_found(about: About<'_>) -> Status {
        let message = format!("{} \"{}\" not found", about.qualified(), about.name);
        Status { details: about.details(), ..Status::new(404, "NotFound", message) }
    }

    /// 404: no such resource or subresource.
    #[must_use]
    pub fn unknown_resource() -> Status {
        let message = "the server could not find the requested resource";
        Status { details: json!({}), ..Status::new(404, "NotFound", message) }
    }

    /// 405: the resource does not know this verb.
    #[must_use]
    pub fn method_not_allowed() -> Status {
        let message = "the server does not allow this method on the requested resource";
        Status { details: json!({}), ..Status::new(405, "MethodNotAllowed", message) }
    }

    /// 406: no format that both sides know.
    #[must_use]
    pub fn not_acceptable() -> Status {
        let message = "406: Not Acceptable\n\nAvailable representations: application/json, \
                       application/yaml, application/vnd.kubernetes.protobuf";
        Status { details: json!({}), ..Status::new(406, "NotAcceptable", message) }
    }

    /// 409: the name is taken.
    #[must_use]
    pub fn already_exists(about: About<'_>) -> Status {
        let message = format!("{} \"{}\" already exists", about.qualified(), about.name);
        Status { details: about.details(), ..Status::new(409, "AlreadyExists", message) }
    }

    /// 409: somebody else was faster, or a precondition does not hold.
    #[must_use]
    pub fn conflict(about: About<'_>, why: &str) -> Status {
        let (resource, name) = (about.qualified(), about.name);
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Status { details: about.details(), ..Status::new(409, "Conflict", message) }
    }

    /// 409: the object was written since it was read.
    #[must_use]
    pub fn stale(about: About<'_>) -> Status {
        let why = "the object has been modified; please apply your changes to the latest version \
                   and try again";
        Status::conflict(about, why)
    }

    /// 410: the resourceVersion is older than what is remembered.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Status {
        Status::new(410, "Expired", message)
    }

    /// 413: the body is larger than the server reads.
    #[must_use]
    pub fn too_large(message: impl Into<String>) -> Status {
        Status::new(413, "RequestEntityTooLarge", message)
    }

    /// 415: a PATCH of an unknown kind, refused before the resource is asked.
    #[must_use]
    pub fn unknown_patch() -> Status {
        let message = "415: Unsupported Media Type";
        Status { details: json!({}), ..Status::new(415, "UnsupportedMediaType", message) }
    }

    /// 415: a body in a format that the verb does not take.
    #[must_use]
    pub fn unsupported_media_type(accepted: &[&str]) -> Status {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Status::new(415, "UnsupportedMediaType", message)
    }

    /// 422: a JSON Patch that does not apply. The server says no word about which operation.
    #[must_use]
    pub fn patch_failed() -> Status {
        let message = "the server rejected our request due to an error in our request";
        Status { details: json!({}), ..Status::new(422, "Invalid", message) }
    }

    /// 422: the object breaks the rules of its kind.
    #[must_use]
    pub fn invalid(kind: About<'_>, causes: &[Cause]) -> Status {
        let lines: Vec<String> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let words = match &lines[..] {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} \"{}\" is invalid: {words}", kind.qualified(), kind.name);
        let mut details = kind.details();
        details["causes"] = causes
            .iter()
            .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
            .collect();
        Status { details, ..Status::new(422, "Invalid", message) }
    }

    /// 422: an object that cannot be decoded after a patch was applied to it.
    #[must_use]
    pub fn patch_not_decoded(patched: &Value, error: &str) -> Status {
        let nothing = About { group: "", resource: "", name: "" };
        Status::invalid(nothing, &[Cause::invalid("patch", &patched.to_string().into(), error)])
    }

    /// 500 with the words of an error that the server did not foresee.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Status {
        Status::new(500, "", message)
    }

    /// 504: the client asks for a future that has not happened here (a restored etcd, for one).
    #[must_use]
    pub fn resource_version_too_large(asked: u64, current: u64) -> Status {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let causes = json!([
            {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        ]);
        let details = json!({"causes": causes, "retryAfterSeconds": 1});
        Status { details, ..Status::new(504, "Timeout", message) }
    }

    /// 200 of a DELETE whose object is gone at once.
    #[must_use]
    pub fn deleted(about: About<'_>, uid: &str) -> Status {
        let mut details = about.details();
        details["uid"] = uid.into();
        Status { details, ..Status::new(200, "", "") }
    }

    /// The JSON object as it goes over the wire.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("kind".into(), "Status".into());
        body.insert("apiVersion".into(), "v1".into());
        body.insert("metadata".into(), json!({}));
        let success = self.code < 400;
        body.insert("status".into(), if success { "Success" } else { "Failure" }.into());
        if !self.message.is_empty() {
            body.insert("message".into(), self.message.clone().into());
        }
        if !self.reason.is_empty() {
            body.insert("reason".into(), self.reason.into());
        }
        if !self.details.is_null() {
            body.insert("details".into(), self.details.clone());
        }
        if !success {
            body.insert("code".into(), self.code.into());
        }
        Value::Object(body)
    }
}

impl About<'_> {
    /// `deployments.apps`, or `pods` in the core group.
    fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }

    fn details(&self) -> Value {
        let pairs = [("name", self.name), ("group", self.group), ("kind", self.resource)];
        let present = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        present.map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
    }
}

impl Cause {
    /// The field must be there.
    pub(super) fn required(field: impl Into<String>, why: &str) -> Cause {
        let message =
            if why.is_empty() { "Required value".into() } else { format!("Required value: {why}") };
        Cause { reason: "FieldValueRequired", message, field: field.into() }
    }

    /// The value breaks a rule. A text is quoted, anything else is shown as compact JSON.
    pub(super) fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Cause {
        let message = format!("Invalid value: {value}: {why}");
        Cause { reason: "FieldValueInvalid", message, field: field.into() }
    }

    /// The value is not one of a closed set.
    pub(super) fn unsupported(
        field: impl Into<String>,
        value: &impl fmt::Display,
        known: &[&str],
    ) -> Cause {
        let known: Vec<String> = known.iter().map(|k| format!("\"{k}\"")).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", known.join(", "));
        Cause { reason: "FieldValueNotSupported", message, field: field.into() }
    }

    /// The value is there a second time.
    pub(super) fn duplicate(field: impl Into<String>, value: &Value) -> Cause {
        let message = format!("Duplicate value: {value}");
        Cause { reason: "FieldValueDuplicate", message, field: field.into() }
    }

    /// The field may not be set here.
    pub(super) fn forbidden(field: impl Into<String>, why: &str) -> Cause {
        Cause {
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {why}"),
            field: field.into(),
        }
    }
}
