//! `.env`: settings in a file, weaker than the environment. `[E]`
//!
//! The process environment is never changed; the file is a second place to look names up in.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::model::shown;
use crate::net::Surroundings;

/// The environment with a `.env` file behind it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The file in use.
    pub file: Option<PathBuf>,
    values: HashMap<String, String>,
}

impl Environment {
    /// Reads `file`, or `.env` in the working directory if there is one.
    ///
    /// # Errors
    /// `file` was named and cannot be read, or a line is not `NAME=value`.
    pub fn load(file: Option<&Path>) -> Result<Environment, Failure> {
        let path = file.unwrap_or(Path::new(".env"));
        if file.is_none() && !path.exists() {
            return Ok(Environment::default());
        }
        let bad = |error: dotenvy::Error| match error {
            // The parser's own message repeats the line, which may hold a secret.
            dotenvy::Error::LineParse(_, at) => Failure::usage(format!(
                "{}: a line is not NAME=value (at character {at} of it); quote values that hold \
                 spaces",
                shown(path)
            )),
            error => Failure::usage(format!(
                "cannot read {} ({error}): name another file with --env-file",
                shown(path)
            )),
        };
        let values = dotenvy::from_path_iter(path).map_err(bad)?;
        let values = values.collect::<Result<HashMap<_, _>, _>>().map_err(bad)?;
        Ok(Environment { file: Some(path.to_owned()), values })
    }

    /// The value of `name`: from the environment, else from the file. Empty counts as not set, and an
    /// empty one in the environment takes away what the file says.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<OsString> {
        // HTTPS_PROXY and https_proxy are one setting.
        let is_set = |twin: String| std::env::var_os(twin).is_some();
        let filed = || match twin(name).is_some_and(is_set) {
            true => None,
            false => self.values.get(name).map(OsString::from),
        };
        std::env::var_os(name).or_else(filed).filter(|value| !value.is_empty())
    }

    /// Proxies, and who is believed.
    #[must_use]
    pub fn surroundings(&self) -> Surroundings {
        Surroundings::read(|name| self.get(name))
    }

    /// Whether the file says something about `name`.
    #[must_use]
    pub fn is_from_file(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Whether the file names a proxy with its password.
    #[must_use]
    pub fn has_proxy_password(&self) -> bool {
        self.values.iter().any(|(name, value)| twin(name).is_some() && value.contains('@'))
    }

    /// [`Environment::get`] for values that must be text.
    ///
    /// # Errors
    /// The value is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let text = |value: OsString| {
            value.into_string().map_err(|_| Failure::usage(format!("{name} is not valid UTF-8")))
        };
        self.get(name).map(text).transpose()
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("file", &self.file)
            .field("names", &self.values.keys())
            .finish()
    }
}

/// The other name of a proxy's variable, which is written in capitals or in small letters.
fn twin(name: &str) -> Option<String> {
    match (name.ends_with("_PROXY"), name.ends_with("_proxy")) {
        (true, _) => Some(name.to_ascii_lowercase()),
        (_, true) => Some(name.to_ascii_uppercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn load(content: &str) -> Result<Environment, Failure> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("env");
        fs::write(&file, content).expect("written");
        Environment::load(Some(&file))
    }

    #[test]
    fn values_are_read_with_quotes_and_comments_and_an_empty_one_is_none() {
        let env = load("# who\nDEPD_TEST_A='x y'\nDEPD_TEST_B=\nexport DEPD_TEST_C=z # why\n");
        let env = env.ok().expect("valid");
        assert_eq!(env.text("DEPD_TEST_A").ok().flatten().as_deref(), Some("x y"));
        assert_eq!(env.get("DEPD_TEST_B"), None);
        assert_eq!(env.text("DEPD_TEST_C").ok().flatten().as_deref(), Some("z"));
        assert_eq!(env.get("DEPD_TEST_D"), None);
    }

    #[test]
    fn a_bad_line_is_refused_without_repeating_it() {
        let Err(Failure::Usage(text)) = load("WEBHOOK_FOR_SLACK=https://x/SECRET and more\n")
        else {
            panic!("it must be refused")
        };
        assert!(text.contains("NAME=value") && !text.contains("SECRET"), "{text}");
    }

    #[test]
    fn a_named_file_that_is_missing_is_an_error() {
        assert!(Environment::load(Some(Path::new("/nonexistent/env"))).is_err());
    }
}
