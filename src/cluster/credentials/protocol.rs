//! The words exchanged with a credential plugin: ExecCredential. `[C]`
//!
//! Facts: "client-go credential plugins" of the Kubernetes documentation, the types of
//! `client.authentication.k8s.io` v1 and v1beta1, and the checks of client-go's `exec.go`. The reply
//! holds secrets: no error quotes from it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cluster::access::{ClientIdentity, ExecCluster, ExecVersion, Material, Trust};
use crate::cluster::secret::Secret;
use crate::cluster::text::fits_header;

/// The variable that carries the request.
pub(super) const EXEC_INFO: &str = "KUBERNETES_EXEC_INFO";

/// What a plugin gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub token: Option<Secret>,
    /// A client certificate.
    pub pair: Option<ClientIdentity>,
    /// Milliseconds since 1970; `None` until the server refuses it.
    pub expires_ms: Option<i64>,
}

impl ExecVersion {
    fn name(self) -> &'static str {
        match self {
            ExecVersion::V1 => "client.authentication.k8s.io/v1",
            ExecVersion::V1Beta1 => "client.authentication.k8s.io/v1beta1",
        }
    }
}

/// The content of [`EXEC_INFO`]. `authority` is the content of the certificate authority, in PEM.
pub(super) fn request(
    version: ExecVersion,
    cluster: Option<(&ExecCluster, Option<&[u8]>)>,
) -> String {
    let mut spec = Map::new();
    if let Some((cluster, authority)) = cluster {
        spec.insert("cluster".into(), cluster_of(cluster, authority));
    }
    spec.insert("interactive".into(), json!(false));
    json!({ "kind": "ExecCredential", "apiVersion": version.name(), "spec": spec }).to_string()
}

fn cluster_of(cluster: &ExecCluster, authority: Option<&[u8]>) -> Value {
    let mut out = Map::new();
    out.insert("server".into(), json!(cluster.server));
    if let Some(name) = &cluster.tls_server_name {
        out.insert("tls-server-name".into(), json!(name));
    }
    if cluster.trust == Trust::Unverified {
        out.insert("insecure-skip-tls-verify".into(), json!(true));
    }
    if let Some(pem) = authority {
        out.insert("certificate-authority-data".into(), json!(STANDARD.encode(pem)));
    }
    if let Some(url) = &cluster.proxy_url {
        out.insert("proxy-url".into(), json!(url.expose()));
    }
    if cluster.disable_compression {
        out.insert("disable-compression".into(), json!(true));
    }
    out.insert("config".into(), cluster.config.clone().unwrap_or(Value::Null));
    Value::Object(out)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Credential {
    api_version: String,
    kind: String,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Reads what the plugin printed.
///
/// # Errors
/// What is wrong with it, without its content.
pub(super) fn read(output: &[u8], version: ExecVersion) -> Result<Reply, String> {
    let credential: Credential = match serde_json::from_slice(output) {
        Ok(credential) => credential,
        Err(_) if output.trim_ascii().is_empty() => return Err("it printed nothing".into()),
        Err(e) => {
            let (line, column) = (e.line(), e.column());
            return Err(format!(
                "what it printed is not an ExecCredential in JSON (line {line}, column {column})"
            ));
        }
    };
    if credential.kind != "ExecCredential" {
        return Err("what it printed is not of kind ExecCredential".into());
    }
    if credential.api_version != version.name() {
        return Err(format!(
            "it answers in another apiVersion than {}, which the kubeconfig asks for; write the plugin's into exec.apiVersion",
            version.name()
        ));
    }
    let Some(status) = credential.status else {
        return Err("it returned no status, so no credentials".into());
    };
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let token = filled(status.token);
    if token.as_deref().is_some_and(|token| !fits_header(token.trim())) {
        return Err("the token that it returned holds a line break or another control character; correct the plugin".into());
    }
    let token = token.map(|token| Secret::new(token.into()));
    let pem = |text: Option<String>| {
        filled(text).map(|text| Material::Inline(Secret::new(text.into_bytes())))
    };
    let pair = match (pem(status.client_certificate_data), pem(status.client_key_data)) {
        (Some(certificate), Some(key)) => Some(ClientIdentity { certificate, key }),
        (None, None) => None,
        _ => return Err("it returned only one of client certificate and key".into()),
    };
    if token.is_none() && pair.is_none() {
        return Err("it returned neither a token nor a client certificate".into());
    }
    let expires_ms = match status.expiration_timestamp {
        None => None,
        Some(text) => match text.parse::<jiff::Timestamp>() {
            Ok(at) => Some(at.as_millisecond()),
            Err(_) => return Err("its expirationTimestamp is not a time (RFC 3339)".into()),
        },
    };
    Ok(Reply { token, pair, expires_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_what_kubectl_sends() {
        let text = request(ExecVersion::V1Beta1, None);
        let expect = json!({
            "kind": "ExecCredential",
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "spec": { "interactive": false },
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expect);
        let cluster = ExecCluster {
            server: "https://a.example".into(),
            tls_server_name: Some("b".into()),
            trust: Trust::PublicRoots,
            proxy_url: Some(Secret::new("http://p:1".into())),
            disable_compression: true,
            config: Some(json!({ "audience": "x" })),
        };
        let text = request(ExecVersion::V1, Some((&cluster, Some(b"pem"))));
        let expect = json!({
            "kind": "ExecCredential",
            "apiVersion": "client.authentication.k8s.io/v1",
            "spec": {
                "interactive": false,
                "cluster": {
                    "server": "https://a.example",
                    "tls-server-name": "b",
                    "certificate-authority-data": "cGVt",
                    "proxy-url": "http://p:1",
                    "disable-compression": true,
                    "config": { "audience": "x" },
                },
            },
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expect);
    }

    #[test]
    fn replies_are_read_and_refused_without_a_quotation() {
        let of = |status: &str| {
            format!(
                r#"{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{status}}}"#
            )
        };
        let good = |text: &str| read(text.as_bytes(), ExecVersion::V1).unwrap();
        let reply = good(&of(r#"{"token":"t","expirationTimestamp":"1970-01-01T00:00:01Z"}"#));
        assert_eq!(reply.token.unwrap().expose().as_ref(), "t");
        assert_eq!((reply.expires_ms, reply.pair), (Some(1000), None));
        let pair = good(&of(r#"{"clientCertificateData":"c","clientKeyData":"k"}"#)).pair.unwrap();
        let inline = |text: &str| Material::Inline(Secret::new(text.into()));
        assert_eq!((pair.certificate, pair.key), (inline("c"), inline("k")));

        let mut texts = String::new();
        let cases = [
            ("nothing", String::new()),
            ("garbage", "canary".into()),
            ("cut", of(r#"{"token":"canary"#)),
            ("other kind", r#"{"kind":"canary"}"#.into()),
            ("other version", of("{}").replace("k8s.io/v1", "k8s.io/v1beta1")),
            ("no status", of("null")),
            ("empty status", of("{}")),
            ("empty token", of(r#"{"token":""}"#)),
            ("no key", of(r#"{"clientCertificateData":"canary"}"#)),
            ("no certificate", of(r#"{"token":"t","clientKeyData":"canary"}"#)),
            ("no time", of(r#"{"token":"canary","expirationTimestamp":"canary"}"#)),
            ("token of two lines", of(r#"{"token":"canary\ncanary"}"#)),
            ("token of digits", of(r#"{"token":12345}"#)),
        ];
        for (name, text) in cases {
            let problem = read(text.as_bytes(), ExecVersion::V1).expect_err(name);
            assert!(!problem.contains("canary"), "{name}: {problem}");
            texts.push_str(&format!("{name}\n    {problem}\n"));
        }
        insta::assert_snapshot!(texts);
    }
}
