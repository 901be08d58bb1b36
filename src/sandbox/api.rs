//! From a request to its answer: who asks, what is meant, which verb.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::discovery;
use super::events;
use super::faults::RequestView;
use super::format::Format;
use super::http::{Request, Response};
use super::openapi;
use super::path::{self, Query, Target};
use super::shared::Shared;
use super::status::Status;
use super::subresource;
use super::verbs;
use super::watch::Watch;

/// What a connection is to send.
pub(super) enum Reply {
    Whole(Response),
    Watch(Box<Watch>),
}

/// A request, understood.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) request: &'a Request,
    pub(super) target: Target,
    pub(super) query: Query,
    pub(super) format: Format,
}

/// Who sends the request: by certificate, else by token, else nobody.
pub(super) fn authenticate(
    request: &Request,
    certified: Option<&str>,
    token: &str,
) -> Option<String> {
    let bearer = request.header("authorization").strip_prefix("Bearer ").map(str::trim);
    let own = match (certified, bearer) {
        (Some(user), _) => user,
        (None, Some(sent)) if sent == token => "depd-token",
        _ => return None,
    };
    // Everybody may do everything here, so everybody may speak for others too.
    let other = request.header("impersonate-user");
    Some(if other.is_empty() { own } else { other }.to_owned())
}

/// The request as a fault hook sees it.
pub(super) fn view<'a>(request: &'a Request, user: &'a str) -> RequestView<'a> {
    let (_, query) = path::split(&request.target);
    let watch = request.method == "GET" && query.is_true("watch");
    RequestView { method: &request.method, target: &request.target, user, watch }
}

/// Answers a request.
pub(super) fn handle(shared: &Shared, request: &Request) -> Reply {
    match answer(shared, request) {
        Ok(reply) => reply,
        Err(status) => Reply::Whole(Response::status(&status)),
    }
}

fn answer(shared: &Shared, request: &Request) -> Result<Reply, Status> {
    let (segments, query) = path::split(&request.target);
    let names: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let Some(response) = unversioned(request, &names)? {
        return Ok(Reply::Whole(response));
    }
    if let ["apis", "events.k8s.io", "v1", "namespaces", namespace, "events"] = *names
        && request.method == "POST"
    {
        return events::create(shared, request, namespace).map(Reply::Whole);
    }
    let Some(target) = Target::of(&segments) else {
        return not_found(&names);
    };
    let format = Format::of(request.header("accept"), query.get("includeObject"))?;
    let call = Call { shared, request, target, query, format };
    let writes = !matches!(request.method.as_str(), "GET" | "HEAD");
    if writes && !call.target.resource.row().verbs.contains(&"create") {
        return Err(Status::method_not_allowed());
    }
    let response = match (request.method.as_str(), &call.target.name, &call.target.subresource) {
        ("GET" | "HEAD", None, _) if call.query.is_true("watch") => {
            return verbs::watch(&call).map(|watch| Reply::Watch(Box::new(watch)));
        }
        ("GET" | "HEAD", None, _) => verbs::list(&call)?,
        ("POST", None, _) => verbs::create(&call)?,
        ("DELETE", None, _) => verbs::delete_all(&call)?,
        (method, Some(name), None) => match method {
            "GET" | "HEAD" => verbs::get(&call, name)?,
            "PUT" => verbs::replace(&call, name)?,
            "PATCH" => verbs::patch(&call, name)?,
            "DELETE" => verbs::delete(&call, name)?,
            _ => return Err(Status::method_not_allowed()),
        },
        (method, Some(name), Some(part)) => subresource::answer(&call, method, name, part)?,
        _ => return Err(Status::method_not_allowed()),
    };
    Ok(Reply::Whole(response))
}

/// Below the groups that are served a Status, elsewhere the words of Go's router.
fn not_found(names: &[&str]) -> Result<Reply, Status> {
    match *names {
        ["api", _, ..] => Err(Status::unknown_resource()),
        ["apis", group, _, ..] if discovery::has(group) => Err(Status::unknown_resource()),
        _ => Ok(Reply::Whole(Response::text(404, "404 page not found\n"))),
    }
}

/// Paths that are not about stored objects.
fn unversioned(request: &Request, names: &[&str]) -> Result<Option<Response>, Status> {
    let reads = matches!(request.method.as_str(), "GET" | "HEAD");
    let response = match *names {
        ["healthz" | "readyz" | "livez", ..] if reads => Response::text(200, "ok"),
        ["version"] if reads => Response::json(200, &version()),
        ["openapi", "v3", ref rest @ ..] if reads => openapi::v3(rest)?,
        ["openapi", "v2"] => return Err(Status::not_acceptable()),
        ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"]
            if request.method == "POST" =>
        {
            subresource::review(request)?
        }
        _ if reads => {
            let Some(response) = discovery::answer(names, request.header("accept")) else {
                return Ok(None);
            };
            response
        }
        _ => return Ok(None),
    };
    Ok(Some(response))
}

fn version() -> Value {
    let fields = BTreeMap::from([
        ("major", "1"),
        ("minor", "37"),
        ("gitVersion", "v1.37.2+depd-sandbox"),
        ("gitCommit", ""),
        ("gitTreeState", "clean"),
        ("buildDate", "1970-01-01T00:00:00Z"),
        ("goVersion", ""),
        ("compiler", "rustc"),
        ("platform", "depd/sandbox"),
    ]);
    json!(fields)
}
