//! kubeconfig files: their format, how several become one, and the choice of a context. `[C]`
//!
//! The types mirror the format one to one (`v1.Config` of client-go's `tools/clientcmd/api`); what
//! depd does not use is skipped. The rules for merging and for conflicting credentials are those of
//! `kubectl`: a map entry is taken whole from the first file that has it, a scalar from the first
//! file where it is not empty, and what is given twice in two forms is refused.
//!
//! Nothing here opens a file: [`load`] does.

mod error;
mod format;
mod load;
mod merge_keys;
mod pick;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use format::{Cluster, Context, Exec, User};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;

pub use error::KubeconfigError;
pub use format::Kubeconfig;
pub use load::{Choice, load, load_from_environment, reload};
pub use pick::pick;

use error::names;

/// Reads the content of one file: its first document, as kubectl does. An empty file is an empty
/// configuration.
///
/// # Errors
/// The file is not YAML, or not of the format.
pub fn parse(file: &Path, text: &str) -> Result<Kubeconfig, KubeconfigError> {
    // As editors on Windows begin a file.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let malformed = |cause| KubeconfigError::Malformed { file: file.to_owned(), cause };
    let config = read(text).map_err(|e| malformed(without_quotations(&e.to_string())))?;
    let other = |field: &Option<String>, expected: &str| {
        field.as_deref().is_some_and(|said| !said.is_empty() && said != expected)
    };
    match other(&config.api_version, "v1") || other(&config.kind, "Config") {
        true => Err(malformed("it is not of kind Config, apiVersion v1; name another file".into())),
        false => Ok(config),
    }
}

fn read(text: &str) -> Result<Kubeconfig, yaml_serde::Error> {
    fn first<T: DeserializeOwned>(text: &str) -> Result<Option<T>, yaml_serde::Error> {
        match yaml_serde::Deserializer::from_str(text).next() {
            Some(document) => Option::deserialize(document),
            None => Ok(None),
        }
    }
    // Only where it is needed: the detour loses how a number was written.
    if text.contains(merge_keys::KEY)
        && let Some(mut value) = first(text)?
        && merge_keys::resolve(&mut value)
    {
        return yaml_serde::from_value(value);
    }
    Ok(first(text)?.unwrap_or_default())
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
            exec: self.exec.map(|exec| exec.relative_to(base)),
            ..self
        }
    }
}

impl Exec {
    /// A command with a slash is a path, and relative to the file; any other is looked for in PATH.
    fn relative_to(self, base: &Path) -> Exec {
        let command = self.command.map(|command| match command.contains('/') {
            true => base.join(&command).to_string_lossy().into_owned(),
            false => command,
        });
        Exec { command, ..self }
    }
}

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod tests;
