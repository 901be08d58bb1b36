//! From the merged kubeconfig to one [`Access`]. `[C]`
//!
//! Follows `kubectl`'s precedence and its refusals (client-go, `tools/clientcmd/validation.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Cluster, KubeconfigError, Merged, User};
use crate::cluster::access::{Access, Authorization, ClientIdentity, Material, ServerUrl, Trust};
use crate::cluster::secret::Secret;

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

    refuse_unsupported(cluster, &at_cluster, user, &at_user)?;
    Ok(Access {
        context: wanted.into(),
        cluster: cluster_name.into(),
        server: server(cluster, &at_cluster)?,
        trust: trust(cluster, &at_cluster)?,
        tls_server_name: cluster.tls_server_name.as_deref().and_then(text).map(Into::into),
        identity: identity(user, &at_user)?,
        authorization: authorization(user, &at_user)?,
        origin,
    })
}

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

fn refuse_unsupported(
    cluster: &Cluster,
    at_cluster: &Place<'_>,
    user: &User,
    at_user: &Place<'_>,
) -> Result<(), KubeconfigError> {
    if let Some(exec) = &user.exec {
        let command = exec.command.as_deref().unwrap_or_default();
        let what = format!(
            "credential plugins (`{command}`) are not supported yet; use a token or a client certificate"
        );
        return Err(at_user.unsupported("exec", what));
    }
    if let Some(provider) = &user.auth_provider {
        let name = provider.name.as_deref().unwrap_or_default();
        let what = format!(
            "auth providers (`{name}`) are not supported, and kubectl has removed them; use a token or a client certificate"
        );
        return Err(at_user.unsupported("auth-provider", what));
    }
    if user.impersonate.as_deref().and_then(text).is_some() {
        return Err(at_user.unsupported(
            "as",
            "impersonation is not supported yet; use credentials of that user".into(),
        ));
    }
    if filled(cluster.proxy_url.as_ref()).is_some() {
        return Err(at_cluster.unsupported(
            "proxy-url",
            "a proxy for one cluster is not supported yet; set HTTPS_PROXY".into(),
        ));
    }
    Ok(())
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
        (Some(data), _) => {
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
        material(certificate, user.client_certificate.as_ref(), "client-certificate-data", at)?;
    let key = filled(user.client_key_data.as_ref());
    let key = material(key, user.client_key.as_ref(), "client-key-data", at)?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(ClientIdentity { certificate, key })),
        (Some(_), None) => {
            Err(at
                .fault("client-key", "it is missing beside client-certificate; name the key file"))
        }
        (None, _) => Ok(None),
    }
}

/// Inline data wins over a file.
fn material(
    data: Option<&Secret>,
    file: Option<&std::path::PathBuf>,
    field: &str,
    at: &Place<'_>,
) -> Result<Option<Material>, KubeconfigError> {
    match data {
        Some(data) => Ok(Some(Material::Inline(Secret::new(decode(data.expose(), field, at)?)))),
        None => Ok(file.cloned().map(Material::File)),
    }
}

fn authorization(user: &User, at: &Place<'_>) -> Result<Authorization, KubeconfigError> {
    let token = filled(user.token.as_ref()).cloned();
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
