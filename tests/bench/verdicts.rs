//! When the cluster showed how a rollout ended: read from recorded watches.

use std::collections::HashMap;

use serde_json::Value;

use crate::figures::Stamp;
use crate::services::MISSING_IMAGE;

/// What a recording has seen.
pub type Events = [(Stamp, Value)];

/// A moment of each service.
pub type Moments = HashMap<String, Stamp>;

/// When each Deployment was first seen to be done with `image`, after `began`.
pub fn done(events: &Events, image: &str, began: Stamp) -> Moments {
    let is_done = |object: &Value| {
        let (spec, status) = (&object["spec"], &object["status"]);
        let wanted = &spec["replicas"];
        spec["template"]["spec"]["containers"][0]["image"] == image
            && status["observedGeneration"] == object["metadata"]["generation"]
            && status["updatedReplicas"] == *wanted
            && status["replicas"] == *wanted
            && status["availableReplicas"] == *wanted
    };
    first(events, began, is_done, |object| object["metadata"]["name"].as_str())
}

/// When a pod of each service was first seen that cannot get its image, after `began`.
pub fn image_missing(pods: &Events, began: Stamp) -> Moments {
    let fails = |pod: &Value| {
        let container = &pod["status"]["containerStatuses"][0];
        let reason = container["state"]["waiting"]["reason"].as_str();
        container["image"] == MISSING_IMAGE
            && matches!(reason, Some("ErrImagePull" | "ImagePullBackOff"))
    };
    first(pods, began, fails, |pod| pod["metadata"]["labels"]["app"].as_str())
}

fn first(
    events: &Events,
    began: Stamp,
    shows: impl Fn(&Value) -> bool,
    name: impl Fn(&Value) -> Option<&str>,
) -> Moments {
    let mut seen = HashMap::new();
    for (at, object) in events.iter().filter(|(at, object)| *at >= began && shows(object)) {
        if let Some(name) = name(object) {
            seen.entry(name.to_owned()).or_insert(*at);
        }
    }
    seen
}

/// Milliseconds from each sight to the message, for those that have both.
pub fn latencies(shown: &Moments, told: &Moments) -> Vec<f64> {
    let both = shown.iter().filter_map(|(name, at)| Some(told.get(name)?.ms_since(*at)));
    both.collect()
}
