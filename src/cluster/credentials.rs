//! The `Authorization` header of each request. `[E]`
//!
//! The one seam for credentials that change while the daemon runs: every request asks here, and
//! whatever rotates is renewed behind this call. A token is never logged and never part of an error.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fmt, fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use super::access::Authorization;
use super::secret::Secret;

/// What the user of a kubeconfig logs in with, apart from a client certificate.
#[derive(Debug)]
pub(super) enum Credentials {
    /// Nothing to send.
    None,
    /// A header that never changes.
    Fixed(Secret),
    /// A bearer token in a file.
    File(TokenFile),
}

/// Why a request could not be given its credentials; says the file and what is wrong with it.
#[derive(Debug)]
pub(super) struct CredentialsError {
    file: PathBuf,
    cause: String,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token file {}: {}", self.file.display(), self.cause)
    }
}

impl std::error::Error for CredentialsError {}

impl Credentials {
    pub(super) fn new(authorization: &Authorization) -> Credentials {
        match authorization {
            Authorization::None => Credentials::None,
            Authorization::Token(token) => Credentials::Fixed(bearer(token.expose())),
            Authorization::TokenFile { path, fallback } => Credentials::File(TokenFile {
                path: path.clone(),
                fallback: fallback.as_ref().map(|t| bearer(t.expose())),
                held: Mutex::new(None),
            }),
            Authorization::Basic { username, password } => {
                let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
                Credentials::Fixed(Secret::new(format!("Basic {pair}").into()))
            }
        }
    }

    /// The value of the header as of now; `None` where none is sent.
    pub(super) fn header(&self) -> Result<Option<Secret>, CredentialsError> {
        match self {
            Credentials::None => Ok(None),
            Credentials::Fixed(header) => Ok(Some(header.clone())),
            Credentials::File(file) => file.header().map(Some),
        }
    }
}

fn bearer(token: &str) -> Secret {
    Secret::new(format!("Bearer {}", token.trim()).into())
}

/// A token file, read again when it was replaced.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    fallback: Option<Secret>,
    held: Mutex<Option<(Stamp, Secret)>>,
}

/// What changes when a file is rewritten or replaced. Follows links: a projected token is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl TokenFile {
    /// The last good token stays in use while the file is away or empty, which it is for a moment
    /// where it is rewritten in place.
    fn header(&self) -> Result<Secret, CredentialsError> {
        let mut held = self.held.lock();
        let stamp = stamp(&self.path);
        if let (Ok(stamp), Some((known, header))) = (&stamp, &*held)
            && stamp == known
        {
            return Ok(header.clone());
        }
        match stamp.and_then(|stamp| Ok((stamp, read(&self.path)?))) {
            Ok((stamp, header)) => {
                *held = Some((stamp, header.clone()));
                Ok(header)
            }
            Err(e) => match (&*held, &self.fallback) {
                (Some((_, header)), _) | (None, Some(header)) => Ok(header.clone()),
                (None, None) => {
                    Err(CredentialsError { file: self.path.clone(), cause: e.to_string() })
                }
            },
        }
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let meta = fs::metadata(path)?;
    Ok(Stamp { modified: meta.modified().ok(), length: meta.len() })
}

fn read(path: &Path) -> io::Result<Secret> {
    let text = fs::read_to_string(path)?;
    match text.trim().is_empty() {
        true => Err(io::Error::other("it is empty")),
        false => Ok(bearer(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(credentials: &Credentials) -> String {
        credentials.header().unwrap().unwrap().expose().to_string()
    }

    fn token_file(path: &Path, fallback: Option<&str>) -> Credentials {
        Credentials::new(&Authorization::TokenFile {
            path: path.to_owned(),
            fallback: fallback.map(|t| Secret::new(t.into())),
        })
    }

    #[test]
    fn tokens_and_passwords_become_headers() {
        let token = Credentials::new(&Authorization::Token(Secret::new("abc\n".into())));
        assert_eq!(header(&token), "Bearer abc");
        let basic = Credentials::new(&Authorization::Basic {
            username: "user".into(),
            password: Secret::new("pass".into()),
        });
        assert_eq!(header(&basic), "Basic dXNlcjpwYXNz");
        assert!(Credentials::new(&Authorization::None).header().unwrap().is_none());
    }

    #[test]
    fn a_replaced_token_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "first\n").unwrap();
        let credentials = token_file(&path, None);
        assert_eq!(header(&credentials), "Bearer first");
        fs::write(&path, "the second\n").unwrap();
        assert_eq!(header(&credentials), "Bearer the second");
    }

    #[test]
    fn the_last_good_token_stays_while_the_file_is_empty_or_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "good").unwrap();
        let credentials = token_file(&path, None);
        assert_eq!(header(&credentials), "Bearer good");
        fs::write(&path, "").unwrap();
        assert_eq!(header(&credentials), "Bearer good");
        fs::remove_file(&path).unwrap();
        assert_eq!(header(&credentials), "Bearer good");
    }

    #[test]
    fn without_any_token_the_error_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let error = token_file(&path, None).header().unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert_eq!(header(&token_file(&path, Some("spare"))), "Bearer spare");
    }

    #[test]
    fn nothing_secret_is_in_debug_output() {
        let credentials = Credentials::new(&Authorization::Token(Secret::new("canary".into())));
        assert!(!format!("{credentials:?}").contains("canary"));
    }
}
