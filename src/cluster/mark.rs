//! Annotations that a person has depd put on a workload. `[C]`
//!
//! A merge patch (RFC 7386) adds one key, and `null` takes it away, whether the map is there or not.

use serde_json::{Value, json};

/// A mark on a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `depd.dev/paused: "true"`, so that depd leaves the workload alone; or no such annotation.
    Paused(bool),
    /// What `kubectl rollout restart` writes into the pod template: the time, in RFC 3339. Pods of
    /// the same images are made anew.
    RestartedAt(String),
}

impl Mark {
    /// The merge patch.
    pub(super) fn patch(&self) -> Value {
        match self {
            Mark::Paused(paused) => {
                let value = paused.then_some("true");
                json!({"metadata": {"annotations": {"depd.dev/paused": value}}})
            }
            Mark::RestartedAt(time) => {
                let annotations = json!({"kubectl.kubernetes.io/restartedAt": time});
                json!({"spec": {"template": {"metadata": {"annotations": annotations}}}})
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_one_annotation() {
        let text = |mark: Mark| mark.patch().to_string();
        assert_eq!(
            text(Mark::Paused(true)),
            r#"{"metadata":{"annotations":{"depd.dev/paused":"true"}}}"#
        );
        assert_eq!(
            text(Mark::Paused(false)),
            r#"{"metadata":{"annotations":{"depd.dev/paused":null}}}"#
        );
        assert!(text(Mark::RestartedAt("now".into())).contains(
            r#""template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}"#
        ));
    }
}
