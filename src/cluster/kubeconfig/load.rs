//! Where kubeconfigs are found, and the reading of them. `[E]`
//!
//! `--kubeconfig`, else every file of the list in `KUBECONFIG`, else `~/.kube/config`, else the
//! service account of the pod that depd runs in. Facts: the kubectl page "Organizing Cluster Access
//! Using kubeconfig Files" and the page "Accessing the Kubernetes API from a Pod".

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{Kubeconfig, KubeconfigError, merge, parse, pick};
use crate::cluster::access::{Access, Authorization, Material, ServerUrl, Trust};
use crate::net::proxy_for;

/// Where a pod finds its credentials.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What the user chose on the command line.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// `--kubeconfig`: this file and no other.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`: instead of `current-context`.
    pub context: Option<String>,
}

/// Finds, reads and merges the kubeconfigs and picks the context.
///
/// `env` looks up an environment variable; tests pass their own.
///
/// # Errors
/// There is none, one cannot be read or understood, or the context cannot be used.
pub fn load(
    choice: &Choice,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Access, KubeconfigError> {
    let files = candidates(choice, &env);
    let mut missing = Vec::new();
    let found = read_all(&files, choice.kubeconfig.is_some(), &mut missing)?;
    let empty = found.iter().map(|(file, _)| file.clone()).collect();
    let merged = merge(found)?;
    let mut access = if merged.is_empty() && choice.kubeconfig.is_none() {
        in_cluster(Path::new(SERVICE_ACCOUNT), &env)
            .unwrap_or(Err(KubeconfigError::Nothing { missing, empty }))?
    } else {
        Access { files, ..pick(&merged, choice.context.as_deref())? }
    };
    if access.proxy.is_none() {
        let found = proxy_for(access.server.as_str(), &env);
        access.proxy = found.map_err(KubeconfigError::Proxy)?;
    }
    access.bundle = env("SSL_CERT_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
    Ok(access)
}

/// Reads the files of an access again, for the same context. Where and through what the server is
/// reached stays as it is; the rest is as the files say now.
///
/// # Errors
/// They cannot be read or understood, or name another server: the access that is in force stays.
pub fn reload(access: &Access) -> Result<Access, KubeconfigError> {
    let mut missing = Vec::new();
    let found = read_all(&access.files, false, &mut missing)?;
    if found.is_empty() {
        return Err(KubeconfigError::Nothing { missing, empty: Vec::new() });
    }
    let new = pick(&merge(found)?, Some(&access.context))?;
    let place = |a: &Access| {
        let unverified = a.trust == Trust::Unverified;
        (a.server.clone(), a.cluster.clone(), a.tls_server_name.clone(), unverified)
    };
    if place(&new) != place(access) {
        return Err(KubeconfigError::Field {
            origin: new.origin,
            field: format!("contexts[{}]", access.context),
            problem: "it names another server, cluster or tls-server-name than at the start, or turns verification off; start depd again to go there".into(),
        });
    }
    let Access { proxy, bundle, files, .. } = access.clone();
    Ok(Access { proxy, bundle, files, ..new })
}

/// [`load`] with the environment of this process.
///
/// # Errors
/// See [`load`].
pub fn load_from_environment(choice: &Choice) -> Result<Access, KubeconfigError> {
    load(choice, |name| std::env::var_os(name))
}

/// The files in their order of precedence, whether they are there or not.
pub(super) fn candidates(choice: &Choice, env: &impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let filled = |name| env(name).filter(|v: &OsString| !v.is_empty());
    if let Some(file) = &choice.kubeconfig {
        return vec![file.clone()];
    }
    match filled("KUBECONFIG") {
        Some(list) => std::env::split_paths(&list).filter(|p| !p.as_os_str().is_empty()).collect(),
        None => filled("HOME").map(|h| Path::new(&h).join(".kube/config")).into_iter().collect(),
    }
}

pub(super) fn read_all(
    files: &[PathBuf],
    must_exist: bool,
    missing: &mut Vec<PathBuf>,
) -> Result<Vec<(PathBuf, Kubeconfig)>, KubeconfigError> {
    let mut found: Vec<(PathBuf, Kubeconfig)> = Vec::new();
    for file in files {
        if found.iter().any(|(known, _)| known == file) {
            continue;
        }
        match fs::read_to_string(file) {
            Ok(text) => found.push((file.clone(), parse(file, &text)?)),
            // Only this: a file behind a folder without permission must not be passed over.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !must_exist => {
                missing.push(file.clone());
            }
            Err(e) => return Err(unreadable(file, &e)),
        }
    }
    Ok(found)
}

fn unreadable(file: &Path, cause: &io::Error) -> KubeconfigError {
    KubeconfigError::Unreadable { file: file.to_owned(), cause: cause.to_string() }
}

/// Access as the service account of this pod; `None` when this is not a pod.
fn in_cluster(
    folder: &Path,
    env: &impl Fn(&str) -> Option<OsString>,
) -> Option<Result<Access, KubeconfigError>> {
    let host = env("KUBERNETES_SERVICE_HOST")?.into_string().ok()?;
    let port = env("KUBERNETES_SERVICE_PORT")?.into_string().ok()?;
    let token = folder.join("token");
    if !token.exists() {
        return None;
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let server = ServerUrl::parse(&format!("https://{host}:{port}"));
    Some(match server {
        Ok(server) => Ok(Access {
            origin: "in-cluster".into(),
            context: "".into(),
            cluster: "".into(),
            server,
            trust: Trust::Authority(Material::File(folder.join("ca.crt"))),
            tls_server_name: None,
            identity: None,
            authorization: Authorization::TokenFile { path: token, fallback: None },
            impersonation: None,
            proxy: None,
            bundle: None,
            files: Vec::new(),
        }),
        Err(problem) => Err(KubeconfigError::Field {
            origin: "in-cluster".into(),
            field: "KUBERNETES_SERVICE_HOST".into(),
            problem,
        }),
    })
}

#[cfg(test)]
mod tests;
