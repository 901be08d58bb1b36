//! From the merged kubeconfig to one [`Access`]. `[C]`
//!
//! Follows `kubectl`'s precedence and its refusals (client-go, `tools/clientcmd/validation.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::format::Exec;
use super::{Cluster, KubeconfigError, Merged, User};
use crate::cluster::access::{
    Access, Authorization, ClientIdentity, ExecCluster, ExecPlugin, ExecVersion, Impersonation,
    Material, ServerUrl, Trust,
};
use crate::cluster::secret::Secret;
use crate::cluster::text::fits_header;
use crate::net::{Proxy, ProxyUrl};

/// The cluster's extension that is meant for credential plugins.
const EXEC_EXTENSION: &str = "client.authentication.k8s.io/exec";

/// The access that a context stands for: `context` if given, else `current-context`.
///
/// # Errors
/// The context, its cluster or its user is missing or wrong, or needs what depd cannot do yet.
pub fn pick(merged: &Merged, context: Option<&str>) -> Result<Access, KubeconfigError> {
    let origin = merged.origin();
    let wanted = context.unwrap_or(&merged.current_context);
    let Some(chosen) = merged.contexts.get(wanted) else {
        let known = merged.contexts.keys().cloned().collect();
        return Err(KubeconfigError::Context { origin, wanted: wanted.to_owned(), known });
    };
    let fault = |field: String, problem: &str| KubeconfigError::Field {
        origin: origin.clone(),
        field,
        problem: problem.into(),
    };

    let cluster_name = chosen.cluster.as_deref().unwrap_or_default();
    let Some(cluster) = merged.clusters.get(cluster_name) else {
        let field = format!("contexts[{wanted}].context.cluster");
        return Err(fault(field, &format!("there is no cluster named `{cluster_name}`")));
    };
    let at_cluster = Place { origin: &origin, path: format!("clusters[{cluster_name}].cluster") };

    let user_name = chosen.user.as_deref().unwrap_or_default();
    let nobody = User::default();
    let user = match merged.users.get(user_name) {
        Some(user) => user,
        None if user_name.is_empty() => &nobody,
        None => {
            let field = format!("contexts[{wanted}].context.user");
            return Err(fault(field, &format!("there is no user named `{user_name}`")));
        }
    };
    let at_user = Place { origin: &origin, path: format!("users[{user_name}].user") };

    if let Some(provider) = &user.auth_provider {
        return Err(at_user.unsupported("auth-provider", removed(provider.name.as_deref())));
    }
    let server = server(cluster, &at_cluster)?;
    let trust = trust(cluster, &at_cluster)?;
    let proxy = proxy(cluster, &at_cluster)?;
    let (identity, authorization) = log_in(cluster, &trust, user, &at_user)?;
    // As kubectl does it: nothing secret goes over a connection that everybody can read.
    let (identity, authorization) = match server.is_https() {
        true => (identity, authorization),
        false => (None, Authorization::None),
    };
    Ok(Access {
        context: wanted.into(),
        cluster: cluster_name.into(),
        server,
        trust,
        tls_server_name: cluster.tls_server_name.as_deref().and_then(text).map(Into::into),
        identity,
        authorization,
        impersonation: impersonation(user, &at_user)?,
        proxy,
        bundle: None,
        files: Vec::new(),
        origin,
    })
}

fn removed(provider: Option<&str>) -> String {
    let name = provider.unwrap_or_default();
    let plugin = match name {
        "gcp" => "gke-gcloud-auth-plugin (`gcloud container clusters get-credentials` sets it up)",
        "azure" => "kubelogin (`kubelogin convert-kubeconfig` sets it up)",
        "oidc" => "kubelogin (`kubectl oidc-login setup` sets it up)",
        _ => "a plugin of that provider",
    };
    format!(
        "auth providers (`{name}`) were removed from Kubernetes; use an exec entry with {plugin}, or a token"
    )
}

/// Who the user is: a certificate, a header, or a plugin. kubectl asks no plugin where anything else
/// is given.
fn log_in(
    cluster: &Cluster,
    trust: &Trust,
    user: &User,
    at: &Place<'_>,
) -> Result<(Option<ClientIdentity>, Authorization), KubeconfigError> {
    let identity = identity(user, at)?;
    let authorization = authorization(user, at)?;
    let Some(exec) = &user.exec else { return Ok((identity, authorization)) };
    let plugin = plugin(exec, cluster, trust, at)?;
    match (&identity, &authorization) {
        (None, Authorization::None) if exec.interactive_mode.as_deref() == Some("Always") => {
            let problem = "it is Always, but depd has no terminal to ask at; use a plugin that works without one";
            Err(at.fault("exec.interactiveMode", problem))
        }
        (None, Authorization::None) => Ok((None, Authorization::Exec(Box::new(plugin)))),
        _ => Ok((identity, authorization)),
    }
}

fn plugin(
    exec: &Exec,
    cluster: &Cluster,
    trust: &Trust,
    at: &Place<'_>,
) -> Result<ExecPlugin, KubeconfigError> {
    let fault = |field: &str, problem: &str| at.fault(&format!("exec.{field}"), problem);
    let Some(command) = exec.command.as_deref().and_then(text) else {
        return Err(fault("command", "it is empty; name the program that prints credentials"));
    };
    let version = match exec.api_version.as_deref().unwrap_or_default() {
        "client.authentication.k8s.io/v1" => ExecVersion::V1,
        "client.authentication.k8s.io/v1beta1" => ExecVersion::V1Beta1,
        "client.authentication.k8s.io/v1alpha1" => {
            return Err(fault(
                "apiVersion",
                "v1alpha1 was removed from Kubernetes; update the plugin and write v1 (for EKS: aws eks update-kubeconfig)",
            ));
        }
        _ => {
            let problem = "it must be client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1";
            return Err(fault("apiVersion", problem));
        }
    };
    match (exec.interactive_mode.as_deref().unwrap_or_default(), version) {
        ("Never" | "IfAvailable" | "Always", _) | ("", ExecVersion::V1Beta1) => {}
        _ => {
            let problem = "it must be Never or IfAvailable; v1 demands one of them";
            return Err(fault("interactiveMode", problem));
        }
    }
    let mut env = Vec::new();
    for pair in exec.env.iter().flatten() {
        let Some(name) = pair.name.as_deref().and_then(text) else {
            return Err(fault("env", "an entry has no name"));
        };
        if name.contains(['=', '\0']) {
            return Err(fault("env", "a name holds a character that it cannot"));
        }
        let value = pair.value.clone().unwrap_or_else(|| Secret::new("".into()));
        env.push((name.into(), value));
    }
    let wants_cluster = exec.provide_cluster_info.unwrap_or(false);
    Ok(ExecPlugin {
        command: command.into(),
        args: exec.args.clone(),
        env,
        version,
        install_hint: exec.install_hint.as_deref().unwrap_or_default().into(),
        cluster: wants_cluster.then(|| Box::new(exec_cluster(cluster, trust))),
    })
}

fn exec_cluster(cluster: &Cluster, trust: &Trust) -> ExecCluster {
    let extensions = cluster.extensions.iter().flatten();
    let mut configs = extensions.filter(|e| e.name == EXEC_EXTENSION).map(|e| e.extension.clone());
    ExecCluster {
        server: cluster.server.as_deref().unwrap_or_default().into(),
        tls_server_name: cluster.tls_server_name.as_deref().and_then(text).map(Into::into),
        trust: trust.clone(),
        proxy_url: filled(cluster.proxy_url.as_ref()).cloned(),
        disable_compression: cluster.disable_compression.unwrap_or(false),
        config: configs.next(),
    }
}

fn proxy(cluster: &Cluster, at: &Place<'_>) -> Result<Option<Proxy>, KubeconfigError> {
    let Some(url) = filled(cluster.proxy_url.as_ref()) else { return Ok(None) };
    if url.expose().to_ascii_lowercase().starts_with("socks5h:") {
        let problem = "kubectl does not know socks5h; write socks5, where the proxy looks up the names as well";
        return Err(at.fault("proxy-url", problem));
    }
    let url = ProxyUrl::parse(url.expose()).map_err(|problem| at.fault("proxy-url", problem))?;
    Ok(Some(Proxy { url, source: "proxy-url".into() }))
}

fn impersonation(user: &User, at: &Place<'_>) -> Result<Option<Impersonation>, KubeconfigError> {
    let uid = user.impersonate_uid.as_deref().and_then(text);
    let groups: Vec<Box<str>> =
        user.impersonate_groups.iter().flatten().map(|g| g.as_str().into()).collect();
    let extra = user.impersonate_extra.iter().flatten();
    let extra: std::collections::BTreeMap<Box<str>, Vec<Box<str>>> = extra
        .map(|(key, values)| {
            let values = values.iter().flatten().map(|v| v.as_str().into()).collect();
            (key.to_ascii_lowercase().into(), values)
        })
        .collect();
    let values = extra.values().flatten().chain(&groups).map(|value| &**value);
    let values = values.chain(user.impersonate.as_deref()).chain(uid);
    if values.into_iter().any(|value| !fits_header(value)) {
        return Err(at.fault("as", BROKEN));
    }
    match user.impersonate.as_deref().and_then(text) {
        Some(user) => {
            Ok(Some(Impersonation { user: user.into(), uid: uid.map(Into::into), groups, extra }))
        }
        None if uid.is_some() || !groups.is_empty() || !extra.is_empty() => {
            Err(at.fault("as", "as-uid, as-groups and as-user-extra need the name of a user in as"))
        }
        None => Ok(None),
    }
}

const BROKEN: &str =
    "it holds a line break or another control character; write it on one line, as it was issued";

/// Where a field stands, for error messages.
struct Place<'a> {
    origin: &'a str,
    path: String,
}

impl Place<'_> {
    fn fault(&self, field: &str, problem: impl Into<String>) -> KubeconfigError {
        KubeconfigError::Field {
            origin: self.origin.to_owned(),
            field: format!("{}.{field}", self.path),
            problem: problem.into(),
        }
    }

    fn unsupported(&self, field: &str, what: String) -> KubeconfigError {
        KubeconfigError::Unsupported {
            origin: self.origin.to_owned(),
            field: format!("{}.{field}", self.path),
            what,
        }
    }
}

/// An empty text says as little as an absent one.
fn text(value: &str) -> Option<&str> {
    Some(value).filter(|v| !v.is_empty())
}

fn filled(secret: Option<&Secret>) -> Option<&Secret> {
    secret.filter(|s| !s.expose().is_empty())
}

fn server(cluster: &Cluster, at: &Place<'_>) -> Result<ServerUrl, KubeconfigError> {
    let Some(server) = cluster.server.as_deref().and_then(text) else {
        return Err(at.fault("server", "it is empty; set the URL of the API server"));
    };
    ServerUrl::parse(server).map_err(|problem| at.fault("server", problem))
}

fn trust(cluster: &Cluster, at: &Place<'_>) -> Result<Trust, KubeconfigError> {
    let data = cluster.certificate_authority_data.as_deref().and_then(text);
    let authority = match (data, &cluster.certificate_authority) {
        (Some(_), Some(_)) => return Err(twice("certificate-authority", at)),
        (Some(data), None) => {
            let field = "certificate-authority-data";
            Some(Material::Inline(Secret::new(decode(data, field, at)?)))
        }
        (None, Some(path)) => Some(Material::File(path.clone())),
        (None, None) => None,
    };
    match (cluster.insecure_skip_tls_verify.unwrap_or(false), authority) {
        (true, None) => Ok(Trust::Unverified),
        (true, Some(_)) => Err(at.fault(
            "insecure-skip-tls-verify",
            "it is true although a certificate authority is given; remove one of the two",
        )),
        (false, Some(material)) => Ok(Trust::Authority(material)),
        (false, None) => Ok(Trust::PublicRoots),
    }
}

fn identity(user: &User, at: &Place<'_>) -> Result<Option<ClientIdentity>, KubeconfigError> {
    let certificate = filled(user.client_certificate_data.as_ref());
    let certificate =
        material(certificate, user.client_certificate.as_ref(), "client-certificate", at)?;
    let key = filled(user.client_key_data.as_ref());
    let key = material(key, user.client_key.as_ref(), "client-key", at)?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(ClientIdentity { certificate, key })),
        (Some(_), None) => {
            Err(at
                .fault("client-key", "it is missing beside client-certificate; name the key file"))
        }
        (None, _) => Ok(None),
    }
}

/// Inline data or a file; kubectl refuses both.
fn material(
    data: Option<&Secret>,
    file: Option<&std::path::PathBuf>,
    field: &str,
    at: &Place<'_>,
) -> Result<Option<Material>, KubeconfigError> {
    match (data, file) {
        (Some(_), Some(_)) => Err(twice(field, at)),
        (Some(data), None) => {
            let content = decode(data.expose(), &format!("{field}-data"), at)?;
            Ok(Some(Material::Inline(Secret::new(content))))
        }
        (None, file) => Ok(file.cloned().map(Material::File)),
    }
}

fn twice(field: &str, at: &Place<'_>) -> KubeconfigError {
    at.fault(field, format!("{field} and {field}-data are both given; remove one of the two"))
}

fn authorization(user: &User, at: &Place<'_>) -> Result<Authorization, KubeconfigError> {
    let token = filled(user.token.as_ref()).cloned();
    if token.as_ref().is_some_and(|token| !fits_header(token.expose().trim())) {
        return Err(at.fault("token", BROKEN));
    }
    let token = match (&user.token_file, token) {
        (Some(path), fallback) => Some(Authorization::TokenFile { path: path.clone(), fallback }),
        (None, Some(token)) => Some(Authorization::Token(token)),
        (None, None) => None,
    };
    let username = user.username.as_deref().and_then(text);
    let password = filled(user.password.as_ref());
    match (token, username.is_some() || password.is_some()) {
        (Some(_), true) => Err(at.fault(
            "token",
            "a token and a user name are given; only one way to log in is allowed",
        )),
        (Some(token), false) => Ok(token),
        (None, true) => Ok(Authorization::Basic {
            username: username.unwrap_or_default().into(),
            password: password.cloned().unwrap_or_else(|| Secret::new("".into())),
        }),
        (None, false) => Ok(Authorization::None),
    }
}

/// Base64 as kubeconfigs carry it: line breaks inside are accepted.
fn decode(data: &str, field: &str, at: &Place<'_>) -> Result<Vec<u8>, KubeconfigError> {
    let compact: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(compact).map_err(|_| at.fault(field, "it is not base64"))
}
