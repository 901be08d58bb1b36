//! Credentials that the host offers: to a container, or to an instance. `[E]`
//!
//! Facts: "Container credential provider" and "IMDS credential provider" in the AWS SDKs and Tools Reference
//! Guide, "EKS Pod Identity" and "Use IMDSv2" in the user guides. Only version 2 of the metadata service is
//! spoken: version 1 gives credentials to whoever can make a program send a GET.

use std::fs;
use std::time::Duration;

use super::answer;
use super::endpoint;
use super::environment::AwsEnvironment;
use super::http::{Ask, Http, Reply, Send};
use super::sigv4::Credentials;

/// Both are on this host; what takes longer is not there.
const LIMIT: Duration = Duration::from_secs(2);

/// Seconds that a session with the metadata service lasts: as long as one question.
const SESSION: (&str, &str) = ("x-aws-ec2-metadata-token-ttl-seconds", "60");

/// Asks the container's endpoint (ECS, EKS Pod Identity).
///
/// # Errors
/// A fragment that says what went wrong and what to do.
pub(super) fn to_container(env: &AwsEnvironment, http: &Http) -> Result<Credentials, String> {
    let url = endpoint::container(env)?;
    let token = match env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Some(
            fs::read_to_string(file)
                .map_err(|e| format!("the token in {file} cannot be read: {e}"))?,
        ),
        None => env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
    };
    let token = token.as_deref().map(str::trim);
    if token.is_some_and(|token| !token.bytes().all(|b| b == b' ' || b.is_ascii_graphic())) {
        return Err("its authorization token holds characters that no header can".into());
    }
    let headers: Vec<(&str, &str)> =
        token.map(|token| ("authorization", token)).into_iter().collect();
    let reply =
        http.send(Ask { url: &url, headers: &headers, send: None, hidden: None, limit: LIMIT })?;
    match reply.status {
        200 => answer::offered(&reply.body, token.unwrap_or_default()),
        401 | 403 => Err(format!(
            "it refused with status {}; check that the ServiceAccount has a pod identity association",
            reply.status
        )),
        status => Err(format!("it answered with status {status}")),
    }
}

/// Asks the metadata service for the credentials of the instance's role.
///
/// # Errors
/// A fragment that says what went wrong and what to do.
pub(super) fn to_instance(env: &AwsEnvironment, http: &Http) -> Result<Credentials, String> {
    const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
    let base = endpoint::metadata(env)?;
    let url = format!("{base}/latest/api/token");
    let (send, hidden) = (Some(Send::Put), None);
    let ask = Ask { url: &url, headers: &[SESSION], send, hidden, limit: LIMIT };
    let session = http.send(ask).and_then(text).map_err(|why| {
        format!(
            "it gives no session ({why}); outside of EC2 set up other credentials, for example \
             AWS_PROFILE; in a pod on EC2 give it a role (IRSA or EKS Pod Identity), or allow a hop limit \
             of 2"
        )
    })?;
    let get = |path: &str| {
        let (url, headers) = (format!("{base}{path}"), [("x-aws-ec2-metadata-token", &*session)]);
        http.send(Ask { url: &url, headers: &headers, send: None, hidden: None, limit: LIMIT })
    };
    let list = get(ROLE)?;
    if list.status == 404 {
        return Err("the instance has no role; attach an instance profile to it".into());
    }
    let names = text(list)?;
    let name = names.lines().next().unwrap_or_default().trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err("it names no role".into());
    }
    let reply = get(&format!("{ROLE}{name}"))?;
    match reply.status {
        200 => answer::offered(&reply.body, &session),
        status => Err(format!("it answered for the role {name} with status {status}")),
    }
}

fn text(reply: Reply) -> Result<String, String> {
    match reply.status {
        200 => {
            let text = String::from_utf8(reply.body).map_err(|_| "its answer is not text")?;
            Ok(text.trim().to_owned())
        }
        status => Err(format!("status {status}")),
    }
}
