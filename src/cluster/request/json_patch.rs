//! The body of the one PATCH that changes images (RFC 6902). `[C]`

use serde_json::{Value, json};

use crate::model::{ImagePatch, PullSecrets};

/// The guarded change of images: every `test` must hold, or nothing is changed.
///
/// A key cannot be added to a map that is absent, so then the whole map is added, after a test that
/// it still is absent.
pub(super) fn json_patch(patch: &ImagePatch) -> Value {
    let mut steps = vec![json!({"op": "test", "path": "/metadata/uid", "value": &*patch.uid})];
    for target in &patch.targets {
        let list = if target.init { "initContainers" } else { "containers" };
        let at = format!("/spec/template/spec/{list}/{}", target.index);
        steps
            .push(json!({"op": "test", "path": format!("{at}/name"), "value": &*target.container}));
        let (path, image) = (format!("{at}/image"), target.image.as_str());
        steps.push(json!({"op": "test", "path": path, "value": &*target.expected}));
        steps.push(json!({"op": "replace", "path": path, "value": image}));
    }
    if let Some(secrets) = patch.pull_secrets.as_ref().filter(|secrets| !secrets.add.is_empty()) {
        steps.extend(attach(secrets));
    }
    const ANNOTATIONS: &str = "/metadata/annotations";
    let cause = &patch.change_cause;
    if patch.has_annotations {
        let path = format!("{ANNOTATIONS}/kubernetes.io~1change-cause");
        steps.push(json!({"op": "add", "path": path, "value": cause}));
    } else {
        steps.push(json!({"op": "test", "path": ANNOTATIONS, "value": null}));
        let map = json!({"kubernetes.io/change-cause": cause});
        steps.push(json!({"op": "add", "path": ANNOTATIONS, "value": map}));
    }
    Value::Array(steps)
}

/// Adds names to the template's pull secrets. A name cannot be added to a list that is absent, so then the
/// whole list is added, after a test that it still is absent.
fn attach(secrets: &PullSecrets) -> Vec<Value> {
    const PATH: &str = "/spec/template/spec/imagePullSecrets";
    let list = |names: &[Box<str>]| {
        let reference = |name: &str| match name.is_empty() {
            true => json!({}),
            false => json!({"name": name}),
        };
        names.iter().map(|name| reference(name)).collect::<Value>()
    };
    let before = if secrets.before.is_empty() { Value::Null } else { list(&secrets.before) };
    let all = list(&[&secrets.before[..], &secrets.add[..]].concat());
    vec![
        json!({"op": "test", "path": PATH, "value": before}),
        json!({"op": "add", "path": PATH, "value": all}),
    ]
}
