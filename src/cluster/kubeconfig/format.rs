//! One kubeconfig file as it is written: the types mirror the format one to one. `[C]`
//!
//! Facts: `v1.Config` of client-go's `tools/clientcmd/api/v1`. Absent and `null` are the same, and
//! what depd does not use is skipped, as kubectl skips what it does not know.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use crate::cluster::secret::Secret;

/// One file, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Kubeconfig {
    #[serde(rename = "apiVersion")]
    pub(super) api_version: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) current_context: Option<String>,
    pub(super) clusters: Option<Vec<NamedCluster>>,
    pub(super) contexts: Option<Vec<NamedContext>>,
    pub(super) users: Option<Vec<NamedUser>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct NamedCluster {
    pub name: String,
    #[serde(default)]
    pub cluster: Option<Cluster>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct NamedContext {
    pub name: String,
    #[serde(default)]
    pub context: Option<Context>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct NamedUser {
    pub name: String,
    #[serde(default)]
    pub user: Option<User>,
}

/// `clusters[].cluster`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Cluster {
    pub server: Option<String>,
    pub tls_server_name: Option<String>,
    pub insecure_skip_tls_verify: Option<bool>,
    pub certificate_authority: Option<PathBuf>,
    pub certificate_authority_data: Option<String>,
    /// May hold a user name and a password.
    #[serde(deserialize_with = "secret")]
    pub proxy_url: Option<Secret>,
    pub disable_compression: Option<bool>,
    pub extensions: Option<Vec<NamedExtension>>,
}

/// `clusters[].cluster.extensions[]`: free text of other programs, one of which is for credential
/// plugins.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NamedExtension {
    pub name: String,
    #[serde(default)]
    pub extension: serde_json::Value,
}

/// `contexts[].context`. Its namespace is of no use here: a dep file names its own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Context {
    pub cluster: Option<String>,
    pub user: Option<String>,
}

/// `users[].user`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct User {
    pub client_certificate: Option<PathBuf>,
    #[serde(deserialize_with = "secret")]
    pub client_certificate_data: Option<Secret>,
    pub client_key: Option<PathBuf>,
    #[serde(deserialize_with = "secret")]
    pub client_key_data: Option<Secret>,
    #[serde(deserialize_with = "secret")]
    pub token: Option<Secret>,
    #[serde(rename = "tokenFile")]
    pub token_file: Option<PathBuf>,
    pub username: Option<String>,
    #[serde(deserialize_with = "secret")]
    pub password: Option<Secret>,
    #[serde(rename = "as")]
    pub impersonate: Option<String>,
    #[serde(rename = "as-uid")]
    pub impersonate_uid: Option<String>,
    #[serde(rename = "as-groups")]
    pub impersonate_groups: Option<Vec<String>>,
    #[serde(rename = "as-user-extra")]
    pub impersonate_extra: Option<BTreeMap<String, Option<Vec<String>>>>,
    pub exec: Option<Exec>,
    pub auth_provider: Option<AuthProvider>,
}

/// `users[].user.exec`: a credential plugin.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Exec {
    pub command: Option<String>,
    /// May hold secrets.
    #[serde(deserialize_with = "secrets")]
    pub args: Vec<Secret>,
    pub env: Option<Vec<ExecEnv>>,
    pub api_version: Option<String>,
    pub install_hint: Option<String>,
    pub provide_cluster_info: Option<bool>,
    pub interactive_mode: Option<String>,
}

/// `users[].user.exec.env[]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ExecEnv {
    pub name: Option<String>,
    #[serde(deserialize_with = "secret")]
    pub value: Option<Secret>,
}

/// `users[].user.auth-provider`, as far as an error message needs it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthProvider {
    pub name: Option<String>,
}

/// Takes a scalar as it is written: a password of digits is no number.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(|text| Secret::new(text.into())))
}

fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    let texts = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(texts.into_iter().map(|text| Secret::new(text.into())).collect())
}
