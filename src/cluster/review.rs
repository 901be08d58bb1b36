//! Questions about the API server and about oneself, for a person who looks for what is wrong. `[E]`

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, OBJECT_BYTES};
use super::error::ApiError;
use super::request::Request;
use super::response::Version;

/// How the API server presents itself.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// Its version.
    pub version: Version,
    /// What time it has, to the second; `None` where it does not say.
    pub date: Option<Timestamp>,
    /// When its certificate ends, in seconds since 1970; `None` where that cannot be read.
    pub certificate_ends: Option<u64>,
}

/// One thing that somebody may do or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The API group; empty is the core.
    pub group: &'a str,
    /// As RBAC names it, `pods/log` for example.
    pub resource: &'a str,
    /// The verb.
    pub verb: &'a str,
    /// The only object that is meant, where it is one.
    pub name: Option<&'a str>,
    /// `None` is everywhere.
    pub namespace: Option<&'a str>,
}

#[derive(Deserialize)]
struct Review {
    status: Verdict,
}

#[derive(Deserialize)]
struct Verdict {
    allowed: bool,
}

impl Client {
    /// Version, time and certificate of the API server: one GET, which needs no rights beyond those
    /// of any user.
    ///
    /// # Errors
    /// Any class.
    pub fn greet(&self) -> Result<Greeting, ApiError> {
        let answer = self.requests.send(&Request::version())?;
        let date = answer.date().and_then(|text| rfc2822::parse(text).ok());
        let version = answer.json(OBJECT_BYTES)?;
        let certificate_ends = self.server.live.peer_ends();
        Ok(Greeting { version, date: date.map(|date| date.timestamp()), certificate_ends })
    }

    /// Whether this user may do that, by a SelfSubjectAccessReview: one POST, which stores nothing and
    /// needs no rights beyond those of any user that is known.
    ///
    /// # Errors
    /// Any class.
    pub fn may(&self, question: &Question<'_>) -> Result<bool, ApiError> {
        let request = Request::review(&attributes(question));
        let review: Review = self.requests.send(&request)?.json(OBJECT_BYTES)?;
        Ok(review.status.allowed)
    }
}

fn attributes(question: &Question<'_>) -> Value {
    let (resource, subresource) =
        question.resource.split_once('/').unwrap_or((question.resource, ""));
    json!({
        "group": question.group, "resource": resource, "subresource": subresource,
        "verb": question.verb, "name": question.name.unwrap_or_default(),
        "namespace": question.namespace.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subresource_is_asked_for_by_its_own_field() {
        let (group, verb, name) = ("", "get", None);
        let question = Question { group, verb, name, resource: "pods/log", namespace: Some("qa") };
        let asked = attributes(&question);
        assert_eq!((&asked["resource"], &asked["subresource"]), (&"pods".into(), &"log".into()));
        assert_eq!(asked["namespace"], "qa");
    }
}
