//! The content of a pull secret: the configuration file of a registry client. `[C]`
//!
//! Shape: `{"auths": {HOST: {"auth": base64("user:password")}}}`, as "Pull an Image from a Private Registry"
//! in the Kubernetes documentation has it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cluster::Secret;

/// The `auth` of each registry, by its host.
pub type Auths = BTreeMap<String, Secret>;

/// The JSON text.
#[must_use]
pub fn write(auths: &Auths) -> Secret<Vec<u8>> {
    let entry =
        |(host, auth): (&String, &Secret)| (host.clone(), json!({ "auth": &**auth.expose() }));
    let auths: serde_json::Map<String, Value> = auths.iter().map(entry).collect();
    Secret::new(json!({ "auths": auths }).to_string().into_bytes())
}

/// What a secret holds already; nothing where it cannot be read.
#[must_use]
pub fn read(content: &[u8]) -> Auths {
    let value: Value = serde_json::from_slice(content).unwrap_or_default();
    let Some(auths) = value["auths"].as_object() else { return Auths::new() };
    let entry = |(host, entry): (&String, &Value)| {
        Some((host.clone(), Secret::new(entry["auth"].as_str()?.into())))
    };
    auths.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_registries_are_one_file_that_is_read_back() {
        let auths: Auths = [("a.example", "QTo="), ("b.example", "Qjo=")]
            .map(|(host, auth)| (host.to_owned(), Secret::new(auth.into())))
            .into();
        let text = write(&auths);
        assert_eq!(
            String::from_utf8_lossy(text.expose()),
            r#"{"auths":{"a.example":{"auth":"QTo="},"b.example":{"auth":"Qjo="}}}"#
        );
        assert_eq!(read(text.expose()), auths);
        for damaged in ["", "[]", r#"{"auths":[]}"#, r#"{"auths":{"x":{"auth":1}}}"#] {
            assert!(read(damaged.as_bytes()).is_empty(), "{damaged}");
        }
    }
}
