//! When the cluster showed how a rollout ended: read from recorded watches.

use std::collections::HashMap;

use serde_json::Value;

use crate::api::Api;
use crate::figures::Stamp;
use crate::watch::{Recording, Traffic};

/// What a recording has seen.
type Events = [(Stamp, Value)];

/// A moment of each service.
pub type Moments = HashMap<String, Stamp>;

/// How rollouts are meant to end.
#[derive(Clone, Copy)]
pub enum Outcome {
    Succeeded,
    Failed,
}

impl Outcome {
    pub fn verdict(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
        }
    }

    /// A part of the title of its message, in lowercase.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Succeeded => "deployed",
            Outcome::Failed => "failed",
        }
    }

    /// The longest from the cluster's showing it to the message.
    pub fn goal_ms(self) -> f64 {
        match self {
            Outcome::Succeeded => 100.0,
            Outcome::Failed => 1000.0,
        }
    }
}

/// The Deployments and pods of a namespace, being recorded.
pub struct Recorded {
    deployments: Recording,
    pods: Recording,
}

impl Recorded {
    pub fn start(api: &Api, namespace: &str) -> Recorded {
        let deployments = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        Recorded {
            deployments: Recording::start(api, &deployments),
            pods: Recording::start(api, &pods),
        }
    }

    /// When each service first showed this outcome of the change to `image` that began then, and
    /// when its Deployment's status was first of that change; and how much the watch of pods brought.
    pub fn stop(self, outcome: Outcome, image: &str, began: Stamp) -> (Moments, Moments, Traffic) {
        let ((deployments, _), (pods, traffic)) = (self.deployments.stop(), self.pods.stop());
        let shown = match outcome {
            Outcome::Succeeded => first(&deployments, began, name, |d| is_done(d, image)),
            Outcome::Failed => first(&pods, began, app, |pod| cannot_pull(pod, image)),
        };
        let observed = first(&deployments, began, name, |d| is_observed(d, image));
        (shown, observed, traffic)
    }
}

/// The API server's status is of the generation with this image.
fn is_observed(deployment: &Value, image: &str) -> bool {
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] == image
        && deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
}

/// What `kubectl rollout status` calls done.
fn is_done(deployment: &Value, image: &str) -> bool {
    let (wanted, status) = (&deployment["spec"]["replicas"], &deployment["status"]);
    is_observed(deployment, image)
        && status["updatedReplicas"] == *wanted
        && status["replicas"] == *wanted
        && status["availableReplicas"] == *wanted
}

fn cannot_pull(pod: &Value, image: &str) -> bool {
    let container = &pod["status"]["containerStatuses"][0];
    let reason = container["state"]["waiting"]["reason"].as_str();
    container["image"] == image && matches!(reason, Some("ErrImagePull" | "ImagePullBackOff"))
}

fn name(object: &Value) -> Option<&str> {
    object["metadata"]["name"].as_str()
}

fn app(pod: &Value) -> Option<&str> {
    pod["metadata"]["labels"]["app"].as_str()
}

fn first(
    events: &Events,
    began: Stamp,
    service: fn(&Value) -> Option<&str>,
    shows: impl Fn(&Value) -> bool,
) -> Moments {
    let mut seen = Moments::new();
    for (at, object) in events.iter().filter(|(at, object)| *at >= began && shows(object)) {
        if let Some(service) = service(object) {
            seen.entry(service.to_owned()).or_insert(*at);
        }
    }
    seen
}

/// The later moment of both, for those that have both.
pub fn later(one: Moments, other: &Moments) -> Moments {
    let both = one.into_iter().filter_map(|(name, at)| {
        let other = other.get(&name)?;
        Some((name, at.max(*other)))
    });
    both.collect()
}

/// Milliseconds from each sight to the message, for those that have both.
pub fn latencies(shown: &Moments, told: &Moments) -> Vec<f64> {
    let both = shown.iter().filter_map(|(name, at)| Some(told.get(name)?.ms_since(*at)));
    both.collect()
}

/// When that hundredth was shown whose messages came last after it, ms since `began`.
pub fn slowest(shown: &Moments, told: &Moments, began: Stamp) -> Vec<f64> {
    let both = shown.iter().filter_map(|(name, at)| Some((told.get(name)?.ms_since(*at), at)));
    let mut both: Vec<(f64, &Stamp)> = both.collect();
    both.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let hundredth = both.len().div_ceil(100);
    both.iter().take(hundredth).map(|(_, at)| at.ms_since(began)).collect()
}
