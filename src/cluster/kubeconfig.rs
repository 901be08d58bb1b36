//! kubeconfig files: their format, how several become one, and the choice of a context. `[C]`
//!
//! The types mirror the format one to one (`v1.Config` of client-go's `tools/clientcmd/api`); what
//! depd does not use is skipped. The rules for merging and for conflicting credentials are those of
//! `kubectl`: a map entry is taken whole from the first file that has it, a scalar from the first
//! file where it is not empty, and inline data wins over the file named beside it.
//!
//! Nothing here opens a file: [`load`] does.

mod load;
mod pick;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::secret::Secret;

pub use load::{Choice, load, load_from_environment};
pub use pick::pick;

/// One file, as written. Absent and `null` are the same, as they are for kubectl.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Kubeconfig {
    current_context: Option<String>,
    clusters: Option<Vec<NamedCluster>>,
    contexts: Option<Vec<NamedContext>>,
    users: Option<Vec<NamedUser>>,
}

#[derive(Clone, Debug, Deserialize)]
struct NamedCluster {
    name: String,
    #[serde(default)]
    cluster: Option<Cluster>,
}

#[derive(Clone, Debug, Deserialize)]
struct NamedContext {
    name: String,
    #[serde(default)]
    context: Option<Context>,
}

#[derive(Clone, Debug, Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: Option<User>,
}

/// `clusters[].cluster`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: Option<String>,
    tls_server_name: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    /// May hold a user name and a password.
    #[serde(deserialize_with = "secret")]
    proxy_url: Option<Secret>,
}

/// `contexts[].context`. Its namespace is of no use here: a dep file names its own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: Option<String>,
    user: Option<String>,
}

/// `users[].user`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<PathBuf>,
    #[serde(deserialize_with = "secret")]
    client_certificate_data: Option<Secret>,
    client_key: Option<PathBuf>,
    #[serde(deserialize_with = "secret")]
    client_key_data: Option<Secret>,
    #[serde(deserialize_with = "secret")]
    token: Option<Secret>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    username: Option<String>,
    #[serde(deserialize_with = "secret")]
    password: Option<Secret>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
    exec: Option<Exec>,
    auth_provider: Option<AuthProvider>,
}

/// `users[].user.exec`, as far as an error message needs it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Exec {
    command: Option<String>,
}

/// `users[].user.auth-provider`, as far as an error message needs it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct AuthProvider {
    name: Option<String>,
}

/// Takes a scalar as it is written: a password of digits is no number.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(|text| Secret::new(text.into())))
}

/// Why there is no access to a cluster; each says where and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeconfigError {
    /// No file, and not inside a cluster either.
    Nothing {
        /// The files that were looked for in vain.
        missing: Vec<PathBuf>,
    },
    /// A file could not be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The words of the operating system.
        cause: String,
    },
    /// A file is not a kubeconfig.
    Malformed {
        /// The file.
        file: PathBuf,
        /// Where and why, without the content.
        cause: String,
    },
    /// A field is missing or wrong.
    Field {
        /// The file or files.
        origin: String,
        /// The path of the field, for example `users[dev].user.token`.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// No context is chosen, or the chosen one does not exist.
    Context {
        /// The file or files.
        origin: String,
        /// The name that was asked for; empty if none was.
        wanted: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A way to log in that depd does not know yet.
    Unsupported {
        /// The file or files.
        origin: String,
        /// The path of the field.
        field: String,
        /// What it is, and the way around it.
        what: String,
    },
}

impl fmt::Display for KubeconfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KubeconfigError::Nothing { missing } => {
                f.write_str(
                    "no kubeconfig: set KUBECONFIG or --kubeconfig, or run inside a cluster",
                )?;
                match missing.is_empty() {
                    true => Ok(()),
                    false => write!(f, " (there is no {})", names(missing)),
                }
            }
            KubeconfigError::Unreadable { file, cause } => {
                write!(f, "kubeconfig {} cannot be read: {cause}", file.display())
            }
            KubeconfigError::Malformed { file, cause } => {
                write!(f, "{} is not a kubeconfig: {cause}", file.display())
            }
            KubeconfigError::Field { origin, field, problem } => {
                write!(f, "kubeconfig {origin}: {field}: {problem}")
            }
            KubeconfigError::Context { origin, wanted, known } => {
                if known.is_empty() {
                    return write!(
                        f,
                        "kubeconfig {origin} has no contexts; name another file in KUBECONFIG or --kubeconfig"
                    );
                }
                match wanted.is_empty() {
                    true => write!(f, "kubeconfig {origin} has no current-context: ")?,
                    false => write!(f, "kubeconfig {origin} has no context `{wanted}`: ")?,
                }
                write!(f, "choose one with --context (it has {})", known.join(", "))
            }
            KubeconfigError::Unsupported { origin, field, what } => {
                write!(f, "kubeconfig {origin}: {field}: {what}")
            }
        }
    }
}

impl std::error::Error for KubeconfigError {}

/// Reads the content of one file. An empty file is an empty configuration, as for kubectl.
///
/// # Errors
/// The file is not YAML, or not of the format.
pub fn parse(file: &Path, text: &str) -> Result<Kubeconfig, KubeconfigError> {
    if text.trim().is_empty() {
        return Ok(Kubeconfig::default());
    }
    let parsed: Result<Option<Kubeconfig>, _> = yaml_serde::from_str(text);
    parsed.map(Option::unwrap_or_default).map_err(|e| KubeconfigError::Malformed {
        file: file.to_owned(),
        cause: without_quotations(&e.to_string()),
    })
}

/// Takes out what a parser quotes from the file: it may be a credential. Text in double quotes is
/// escaped as Rust's `Debug` does, so a quotation mark in it does not end it.
fn without_quotations(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut quote = None;
    let mut chars = message.chars();
    while let Some(c) = chars.next() {
        match quote {
            None => {
                // The names of fields are ours, and stay.
                let ours = out.ends_with("field ");
                out.push(c);
                if matches!(c, '"' | '`') && !ours {
                    out.push('…');
                }
                quote = matches!(c, '"' | '`').then_some((c, ours));
            }
            Some((end, _)) if end == c => {
                out.push(c);
                quote = None;
            }
            Some((_, true)) => out.push(c),
            Some(('"', false)) if c == '\\' => drop(chars.next()),
            Some((_, false)) => {}
        }
    }
    out
}

/// All files in force, as one. Paths are made relative to the file that names them.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    files: Vec<PathBuf>,
    current_context: String,
    clusters: BTreeMap<String, Cluster>,
    contexts: BTreeMap<String, Context>,
    users: BTreeMap<String, User>,
}

impl Merged {
    /// Nothing in it at all, so that access from inside a cluster may be meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.current_context.is_empty()
            && self.clusters.is_empty()
            && self.contexts.is_empty()
            && self.users.is_empty()
    }

    /// The files, for messages.
    fn origin(&self) -> String {
        names(&self.files)
    }
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
    names.join(", ")
}

/// Merges files in their order of precedence: the first one that says something wins.
///
/// # Errors
/// One file has two entries with the same name.
pub fn merge(files: Vec<(PathBuf, Kubeconfig)>) -> Result<Merged, KubeconfigError> {
    let mut merged = Merged::default();
    for (file, config) in files {
        let base = file.parent().unwrap_or(Path::new("")).to_owned();
        if merged.current_context.is_empty() {
            merged.current_context = config.current_context.unwrap_or_default();
        }
        let clusters = config.clusters.unwrap_or_default().into_iter();
        let clusters = clusters.map(|c| (c.name, c.cluster.unwrap_or_default().relative_to(&base)));
        add(&mut merged.clusters, clusters, &file, "clusters")?;
        let contexts = config.contexts.unwrap_or_default().into_iter();
        let contexts = contexts.map(|c| (c.name, c.context.unwrap_or_default()));
        add(&mut merged.contexts, contexts, &file, "contexts")?;
        let users = config.users.unwrap_or_default().into_iter();
        let users = users.map(|u| (u.name, u.user.unwrap_or_default().relative_to(&base)));
        add(&mut merged.users, users, &file, "users")?;
        merged.files.push(file);
    }
    Ok(merged)
}

fn add<T>(
    all: &mut BTreeMap<String, T>,
    own: impl Iterator<Item = (String, T)>,
    file: &Path,
    list: &str,
) -> Result<(), KubeconfigError> {
    let mut seen = BTreeMap::new();
    for (name, entry) in own {
        if seen.contains_key(&name) {
            return Err(KubeconfigError::Field {
                origin: file.display().to_string(),
                field: format!("{list}[{name}]"),
                problem: "this name is there twice; remove one of the entries".into(),
            });
        }
        seen.insert(name, entry);
    }
    for (name, entry) in seen {
        all.entry(name).or_insert(entry);
    }
    Ok(())
}

/// `base` joined in front, where the path says something and is not absolute.
fn relative(path: Option<PathBuf>, base: &Path) -> Option<PathBuf> {
    path.filter(|p| !p.as_os_str().is_empty()).map(|p| base.join(p))
}

impl Cluster {
    fn relative_to(self, base: &Path) -> Cluster {
        Cluster { certificate_authority: relative(self.certificate_authority, base), ..self }
    }
}

impl User {
    fn relative_to(self, base: &Path) -> User {
        User {
            client_certificate: relative(self.client_certificate, base),
            client_key: relative(self.client_key, base),
            token_file: relative(self.token_file, base),
            ..self
        }
    }
}

#[cfg(test)]
mod tests;
