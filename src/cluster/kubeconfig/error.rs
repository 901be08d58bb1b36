//! What can be wrong with kubeconfigs, in words that say where and what to do. `[C]`

use std::fmt;
use std::path::PathBuf;

/// Why there is no access to a cluster; each says where and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeconfigError {
    /// No file, and not inside a cluster either.
    Nothing {
        /// The files that were looked for in vain.
        missing: Vec<PathBuf>,
        /// The files that are there, with nothing in them.
        empty: Vec<PathBuf>,
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
    /// A way to log in that depd does not know.
    Unsupported {
        /// The file or files.
        origin: String,
        /// The path of the field.
        field: String,
        /// What it is, and the way around it.
        what: String,
    },
    /// `HTTPS_PROXY` or its like is wrong.
    Proxy(
        /// The variable and what is wrong with it.
        String,
    ),
}

impl fmt::Display for KubeconfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KubeconfigError::Nothing { missing, empty } => {
                match empty.is_empty() {
                    true => f.write_str(
                        "no kubeconfig: set KUBECONFIG or --kubeconfig, or run inside a cluster",
                    ),
                    false => write!(
                        f,
                        "kubeconfig {} is empty: name another file in KUBECONFIG or --kubeconfig, or run inside a cluster",
                        names(empty)
                    ),
                }?;
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
            KubeconfigError::Proxy(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for KubeconfigError {}

/// The files, for messages.
pub(super) fn names(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
    names.join(", ")
}
