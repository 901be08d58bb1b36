//! How to reach a cluster and as whom, with every choice already made. `[C]`
//!
//! A kubeconfig offers many ways to say the same thing; [`Access`] says each thing once. It still
//! names files instead of holding their content, because files are rotated while the daemon runs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use ureq::http::Uri;

use super::secret::Secret;
use crate::net::Proxy;

/// One cluster, one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Where it was read: the kubeconfig files in force, or `in-cluster`.
    pub origin: String,
    /// The context, empty for in-cluster access.
    pub context: Box<str>,
    /// The name of the cluster entry, empty for in-cluster access.
    pub cluster: Box<str>,
    /// The API server.
    pub server: ServerUrl,
    /// What makes the server's certificate trustworthy.
    pub trust: Trust,
    /// `tls-server-name`: the name that the certificate must carry, where it is not the host.
    pub tls_server_name: Option<Box<str>>,
    /// The client certificate, if the user has one.
    pub identity: Option<ClientIdentity>,
    /// What goes into the `Authorization` header.
    pub authorization: Authorization,
    /// Whom to act as, instead of oneself.
    pub impersonation: Option<Impersonation>,
    /// What connections go through.
    pub proxy: Option<Proxy>,
    /// `SSL_CERT_FILE`: the public authorities, instead of those of this machine.
    pub bundle: Option<PathBuf>,
    /// The kubeconfigs that may say all this, the ones that are missing too; empty for in-cluster
    /// access. They are read again when they change.
    pub files: Vec<PathBuf>,
}

impl Access {
    /// The files that nobody else should be able to read: kubeconfigs, keys and tokens. Those of a
    /// pod's service account belong to Kubernetes and are not among them.
    #[must_use]
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let mut files = self.files.clone();
        if files.is_empty() {
            return files;
        }
        if let Some(ClientIdentity { key: Material::File(key), .. }) = &self.identity {
            files.push(key.clone());
        }
        if let Authorization::TokenFile { path, .. } = &self.authorization {
            files.push(path.clone());
        }
        files
    }
}

/// What makes the server's certificate trustworthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The public roots of this machine: the kubeconfig names no authority.
    PublicRoots,
    /// Only these certificates, in PEM.
    Authority(Material),
    /// `insecure-skip-tls-verify`: anything at all.
    Unverified,
}

/// A client certificate with its key, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate, its chain after it.
    pub certificate: Material,
    /// The private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: Material,
}

/// Content that is in the kubeconfig itself, or in a file that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// A path, absolute or relative to the working directory.
    File(PathBuf),
    /// The content; private keys come this way too.
    Inline(Secret<Vec<u8>>),
}

/// What goes into the `Authorization` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// No header: a client certificate or nothing at all.
    None,
    /// A bearer token that never changes.
    Token(Secret),
    /// A file with a bearer token that is replaced now and then.
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Used while the file cannot be read.
        fallback: Option<Secret>,
    },
    /// HTTP basic authentication.
    Basic {
        /// The user name.
        username: Box<str>,
        /// The password.
        password: Secret,
    },
    /// A program that prints a token or a client certificate.
    Exec(Box<ExecPlugin>),
}

/// A credential plugin: a program that speaks the ExecCredential protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecPlugin {
    /// A path, or a name to look for in PATH.
    pub command: Box<str>,
    /// Its arguments.
    pub args: Vec<Secret>,
    /// Added to the environment.
    pub env: Vec<(Box<str>, Secret)>,
    /// The version of the protocol.
    pub version: ExecVersion,
    /// What to do when the command is missing; may be empty.
    pub install_hint: Box<str>,
    /// The cluster, for plugins that want to know it.
    pub cluster: Option<Box<ExecCluster>>,
}

/// The versions of `client.authentication.k8s.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecVersion {
    /// `v1`
    V1,
    /// `v1beta1`
    V1Beta1,
}

/// `spec.cluster` of an ExecCredential, as far as the kubeconfig says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecCluster {
    /// `server`, as it is written.
    pub server: Box<str>,
    /// `tls-server-name`.
    pub tls_server_name: Option<Box<str>>,
    /// What makes the server trustworthy.
    pub trust: Trust,
    /// `proxy-url`.
    pub proxy_url: Option<Secret>,
    /// `disable-compression`.
    pub disable_compression: bool,
    /// The extension `client.authentication.k8s.io/exec`.
    pub config: Option<serde_json::Value>,
}

/// Whom to act as. The API server must allow it (verb `impersonate`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonation {
    /// The user.
    pub user: Box<str>,
    /// Its uid.
    pub uid: Option<Box<str>>,
    /// Its groups.
    pub groups: Vec<Box<str>>,
    /// What else is known of it.
    pub extra: BTreeMap<Box<str>, Vec<Box<str>>>,
}

impl Impersonation {
    /// The request headers, names and values.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![("impersonate-user".to_owned(), self.user.to_string())];
        headers.extend(self.uid.iter().map(|uid| ("impersonate-uid".into(), uid.to_string())));
        let groups = self.groups.iter();
        headers.extend(groups.map(|group| ("impersonate-group".into(), group.to_string())));
        for (key, values) in &self.extra {
            let name = format!("impersonate-extra-{}", escaped(key));
            headers.extend(values.iter().map(|value| (name.clone(), value.to_string())));
        }
        headers
    }
}

/// What a header name cannot hold is percent-encoded, as the API server expects it.
fn escaped(key: &str) -> String {
    let mut out = String::new();
    for byte in key.bytes() {
        match byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The address of an API server: scheme, host, port and the path in front of `/api`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    text: Box<str>,
    host: Box<str>,
    https: bool,
}

impl ServerUrl {
    /// Reads `https://host:port/prefix`; a text without a scheme is taken as https.
    ///
    /// # Errors
    /// A lowercase fragment that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<ServerUrl, String> {
        let full = match text.contains("://") {
            true => text.to_owned(),
            false => format!("https://{text}"),
        };
        let after_scheme = full.split_once("://").map_or("", |(_, rest)| rest);
        if after_scheme.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return Err("the URL holds a user name; put credentials into the user entry".into());
        }
        let uri: Uri = full.parse().map_err(|_| format!("`{text}` is not a URL"))?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("`{text}` is neither http nor https")),
        };
        let Some(authority) = uri.authority().filter(|a| !a.host().is_empty()) else {
            return Err(format!("`{text}` names no host"));
        };
        if uri.query().is_some() {
            return Err("the URL has a query, which a server address cannot have".into());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').into();
        let scheme = if https { "https" } else { "http" };
        let path = uri.path().trim_end_matches('/');
        Ok(ServerUrl { text: format!("{scheme}://{authority}{path}").into(), host, https })
    }

    /// Scheme, authority and path, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host without port and brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: as named, else the usual one of the scheme.
    #[must_use]
    pub fn port(&self) -> u16 {
        let named = self.text.parse::<Uri>().ok().and_then(|uri| uri.port_u16());
        named.unwrap_or(if self.https { 443 } else { 80 })
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_urls_are_brought_into_one_form() {
        let check =
            |input: &str, expect: Result<&str, &str>| match (ServerUrl::parse(input), expect) {
                (Ok(url), Ok(text)) => assert_eq!(url.as_str(), text, "{input}"),
                (Err(e), Err(part)) => assert!(e.contains(part), "{input}: {e}"),
                (got, expect) => panic!("{input}: {got:?} instead of {expect:?}"),
            };
        check("https://10.0.0.1:6443", Ok("https://10.0.0.1:6443"));
        check("https://example.org/", Ok("https://example.org"));
        check(
            "https://rancher.example/k8s/clusters/c-1/",
            Ok("https://rancher.example/k8s/clusters/c-1"),
        );
        check("http://localhost:8001", Ok("http://localhost:8001"));
        check("10.0.0.1:6443", Ok("https://10.0.0.1:6443"));
        check("https://[::1]:6443", Ok("https://[::1]:6443"));
        check("ftp://example.org", Err("neither http nor https"));
        check("https://user:pw@example.org", Err("credentials"));
        check("https://us er:pw@example.org", Err("credentials"));
        check("https://user:p@w@example.org/x", Err("credentials"));
        check("https://", Err("not a URL"));
        check("https://a b", Err("not a URL"));
        check("https://example.org?x=1", Err("query"));
    }

    #[test]
    fn impersonation_becomes_headers() {
        let who = Impersonation {
            user: "jane".into(),
            uid: Some("u-1".into()),
            groups: vec!["dev".into(), "ops".into()],
            extra: BTreeMap::from([("example.org/Team é".into(), vec!["a".into(), "b".into()])]),
        };
        let lines: Vec<String> = who.headers().iter().map(|(n, v)| format!("{n}: {v}")).collect();
        let expect = [
            "impersonate-user: jane",
            "impersonate-uid: u-1",
            "impersonate-group: dev",
            "impersonate-group: ops",
            "impersonate-extra-example.org%2FTeam%20%C3%A9: a",
            "impersonate-extra-example.org%2FTeam%20%C3%A9: b",
        ];
        assert_eq!(lines, expect);
    }
}
