//! What can go wrong with a request, by class: the class decides what happens next. `[C]`
//!
//! Facts: `metav1.Status` and "HTTP Status codes" of the Kubernetes API conventions, and answers of
//! a real kube-apiserver where the conventions are silent (a failed JSON Patch `test`, the wording
//! of a refusal by RBAC).

use std::fmt;
use std::time::Duration;

use super::call::Call;
use super::response::Status;
use super::text::plain;

/// The longest wait that a server can ask for; an absurd `Retry-After` must not park a service.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);

/// A request that brought no result: which one, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What was tried.
    pub call: Box<Call>,
    /// Why it failed.
    pub class: Class,
}

/// Whether a request may have reached the server before the connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Certainly not: there was no connection yet.
    No,
    /// It may have been carried out, although no answer came.
    Maybe,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// No answer: no connection, a broken one, or a time limit.
    Network {
        /// What happened.
        text: String,
        /// Whether the request may have been carried out.
        sent: Sent,
    },
    /// The credentials could not be made ready; nothing was sent.
    Credentials {
        /// What happened, without the credential.
        text: String,
    },
    /// 429: the server asks for patience.
    TooManyRequests {
        /// `Retry-After`, capped.
        retry_after: Option<Duration>,
    },
    /// 503: not ready, or shutting down.
    Unavailable {
        /// The server's words.
        message: String,
        /// `Retry-After`, capped.
        retry_after: Option<Duration>,
    },
    /// Any other 5xx.
    ServerError {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
        /// `Retry-After`, capped.
        retry_after: Option<Duration>,
    },
    /// 401: the credentials are not accepted.
    Unauthorized,
    /// 403 by RBAC: the role lacks a permission.
    Forbidden(Permission),
    /// 403 because the namespace is being deleted.
    NamespaceTerminating,
    /// Refused by admission: a webhook, a policy, a quota.
    Denied {
        /// The reason given.
        message: String,
    },
    /// 404.
    NotFound,
    /// 409 on creating what is there.
    AlreadyExists,
    /// 409: somebody else wrote at the same time.
    Conflict {
        /// The server's words.
        message: String,
    },
    /// 422 with empty details: a `test` of the JSON Patch failed, so the workload is not what was
    /// seen.
    TestFailed,
    /// 422 with details: the object that results is not valid.
    Invalid {
        /// The server's words.
        message: String,
    },
    /// 410: the resource version or the continue token is too old.
    Expired,
    /// 504 with that cause: the resource version lies in the server's future, as it does after a
    /// restore of etcd.
    ResourceVersionTooLarge,
    /// An answer that does not belong to the API.
    Unexpected {
        /// The HTTP status.
        status: u16,
        /// The body, cut.
        text: String,
    },
    /// A success that cannot be read.
    Decode {
        /// What the parser says.
        text: String,
    },
}

/// A permission that RBAC did not grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The verb as RBAC names it, for example `patch`.
    pub verb: Box<str>,
    /// The resource with its group, for example `apps/deployments` or `pods/log`.
    pub resource: Box<str>,
    /// The user as the server sees it; empty where the answer does not say.
    pub user: Box<str>,
}

impl ApiError {
    /// The same request may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.class,
            Class::Network { .. }
                | Class::TooManyRequests { .. }
                | Class::Unavailable { .. }
                | Class::ServerError { .. }
                | Class::Conflict { .. }
                | Class::ResourceVersionTooLarge
        )
    }

    /// How long the server asks to wait, at most [`LONGEST_RETRY_AFTER`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.class {
            Class::TooManyRequests { retry_after }
            | Class::Unavailable { retry_after, .. }
            | Class::ServerError { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Reads an answer that is not a success.
    ///
    /// `retry_after` is the header of that name; `body` is a `metav1.Status` or anything else.
    pub(super) fn from_answer(
        call: &Call,
        status: u16,
        retry_after: Option<&str>,
        body: &[u8],
    ) -> ApiError {
        let answer: Option<Status> = serde_json::from_slice(body).ok().filter(Status::is_status);
        let class = match answer {
            Some(answer) => Class::of(call, status, retry_after, &answer),
            None => Class::without_status(status, retry_after, body),
        };
        ApiError::new(call, class)
    }

    /// Reads a `metav1.Status` that came inside a watch stream.
    pub(super) fn from_status(call: &Call, answer: &Status) -> ApiError {
        ApiError::new(call, Class::of(call, answer.code.unwrap_or(500), None, answer))
    }

    pub(super) fn new(call: &Call, class: Class) -> ApiError {
        ApiError { call: Box::new(call.clone()), class }
    }
}

impl Class {
    fn of(call: &Call, status: u16, retry_after: Option<&str>, answer: &Status) -> Class {
        let message = plain(&answer.message);
        let retry_after = seconds(retry_after).or_else(|| answer.retry_after().map(capped));
        if (400..500).contains(&status) && is_denial(&answer.message) {
            return Class::Denied { message };
        }
        match status {
            401 => Class::Unauthorized,
            403 if answer.has_cause("NamespaceTerminating") => Class::NamespaceTerminating,
            403 => match Permission::read(call, &answer.message) {
                Some(permission) => Class::Forbidden(permission),
                None => Class::Denied { message },
            },
            404 => Class::NotFound,
            409 if answer.reason == "AlreadyExists" => Class::AlreadyExists,
            409 => Class::Conflict { message },
            410 => Class::Expired,
            422 if answer.details_are_empty() => Class::TestFailed,
            422 => Class::Invalid { message },
            429 => Class::TooManyRequests { retry_after },
            503 => Class::Unavailable { message, retry_after },
            504 if answer.has_cause("ResourceVersionTooLarge") => Class::ResourceVersionTooLarge,
            500.. => Class::ServerError { status, message, retry_after },
            _ => Class::Unexpected { status, text: message },
        }
    }

    /// An answer from something that is not an API server, or from one in trouble.
    fn without_status(status: u16, retry_after: Option<&str>, body: &[u8]) -> Class {
        let message = plain(&String::from_utf8_lossy(body));
        let retry_after = seconds(retry_after);
        match status {
            401 => Class::Unauthorized,
            410 => Class::Expired,
            429 => Class::TooManyRequests { retry_after },
            503 => Class::Unavailable { message, retry_after },
            500.. => Class::ServerError { status, message, retry_after },
            _ => Class::Unexpected { status, text: message },
        }
    }
}

/// Webhooks and policies choose their status themselves, so only the words tell: a policy answers
/// with 422, 403 or 413, and a webhook with whatever its author liked.
fn is_denial(message: &str) -> bool {
    let webhook = message.starts_with("admission webhook ");
    let policy = || message.contains(" is forbidden: ValidatingAdmissionPolicy '");
    webhook && message.contains(" denied the request")
        || policy() && message.contains(" denied request: ")
}

fn seconds(header: Option<&str>) -> Option<Duration> {
    header?.trim().parse().ok().map(Duration::from_secs).map(capped)
}

fn capped(wait: Duration) -> Duration {
    wait.min(LONGEST_RETRY_AFTER)
}

impl Permission {
    /// Finds the permission in the words of the authorizer: `User "u" cannot patch resource
    /// "deployments" in API group "apps" in the namespace "qa"`, also for `cannot get path`.
    fn read(call: &Call, message: &str) -> Option<Permission> {
        let (_, rest) = message.split_once("User \"")?;
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(' ')?;
        let resource = match rest.strip_prefix("resource \"") {
            Some(rest) => {
                let (resource, rest) = rest.split_once('"')?;
                match rest.split_once("API group \"").and_then(|(_, r)| r.split_once('"')) {
                    Some((group, _)) if !group.is_empty() => format!("{group}/{resource}"),
                    _ => resource.to_owned(),
                }
            }
            None if rest.starts_with("path ") => call.resource.with_group(),
            None => return None,
        };
        Some(Permission {
            verb: plain(verb).into(),
            resource: plain(&resource).into(),
            user: plain(user).into(),
        })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.call, self.class)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Class::Network { text, .. } | Class::Credentials { text } => f.write_str(text),
            Class::TooManyRequests { .. } => {
                f.write_str("the API server is overloaded and asks to come back later")
            }
            Class::Unavailable { message, .. } => said(f, "the API server is not ready", message),
            Class::ServerError { status, message, .. } => {
                said(f, &format!("the API server failed with status {status}"), message)
            }
            Class::Unauthorized => f.write_str(
                "the API server does not accept the credentials; renew them in the kubeconfig",
            ),
            Class::Forbidden(p) => {
                write!(f, "the role lacks verb {} on {}", p.verb, p.resource)?;
                match p.user.is_empty() {
                    true => Ok(()),
                    false => write!(f, " for {}", p.user),
                }
            }
            Class::NamespaceTerminating => f.write_str("the namespace is being deleted"),
            Class::Denied { message } => write!(f, "refused by admission: {message}"),
            Class::NotFound => f.write_str("it does not exist"),
            Class::AlreadyExists => f.write_str("it exists already"),
            Class::Conflict { message } => said(f, "somebody else changed it just now", message),
            Class::TestFailed => f.write_str("it is no longer what was last seen"),
            Class::Invalid { message } => write!(f, "the API server finds it invalid: {message}"),
            Class::Expired => f.write_str("the resource version is too old"),
            Class::ResourceVersionTooLarge => {
                f.write_str("the resource version is newer than the API server's data")
            }
            Class::Unexpected { status, text } => {
                said(f, &format!("unexpected answer with status {status}; check server"), text)
            }
            Class::Decode { text } => write!(f, "the answer cannot be read: {text}"),
        }
    }
}

/// Our words, and the server's after them where it has any.
fn said(f: &mut fmt::Formatter<'_>, ours: &str, theirs: &str) -> fmt::Result {
    match theirs.is_empty() {
        true => f.write_str(ours),
        false => write!(f, "{ours}: {theirs}"),
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests;
