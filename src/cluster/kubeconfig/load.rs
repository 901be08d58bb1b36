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
    let mut missing = Vec::new();
    let merged = merge(read_all(choice, &env, &mut missing)?)?;
    if merged.is_empty() && choice.kubeconfig.is_none() {
        return in_cluster(Path::new(SERVICE_ACCOUNT), &env)
            .unwrap_or(Err(KubeconfigError::Nothing { missing }));
    }
    pick(&merged, choice.context.as_deref())
}

/// [`load`] with the environment of this process.
///
/// # Errors
/// See [`load`].
pub fn load_from_environment(choice: &Choice) -> Result<Access, KubeconfigError> {
    load(choice, |name| std::env::var_os(name))
}

fn read_all(
    choice: &Choice,
    env: &impl Fn(&str) -> Option<OsString>,
    missing: &mut Vec<PathBuf>,
) -> Result<Vec<(PathBuf, Kubeconfig)>, KubeconfigError> {
    let filled = |name| env(name).filter(|v: &OsString| !v.is_empty());
    if let Some(file) = &choice.kubeconfig {
        let text = fs::read_to_string(file).map_err(|e| unreadable(file, &e))?;
        return Ok(vec![(file.clone(), parse(file, &text)?)]);
    }
    let files: Vec<PathBuf> = match filled("KUBECONFIG") {
        Some(list) => std::env::split_paths(&list).filter(|p| !p.as_os_str().is_empty()).collect(),
        None => filled("HOME").map(|h| Path::new(&h).join(".kube/config")).into_iter().collect(),
    };
    let mut found = Vec::new();
    for file in files {
        match fs::read_to_string(&file) {
            Ok(text) => {
                let config = parse(&file, &text)?;
                found.push((file, config));
            }
            // Only this: a file behind a folder without permission must not be passed over.
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(file),
            Err(e) => return Err(unreadable(&file, &e)),
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
