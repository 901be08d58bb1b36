//! The credentials of each request. `[E]`
//!
//! The one seam for credentials that change while the daemon runs: every request asks here, and
//! whatever rotates is renewed behind this call. A token is never logged and never part of an error.

mod exec;
mod file;
mod process;
mod protocol;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::access::{Authorization, ClientIdentity};
use super::secret::Secret;

use exec::Plugin;
use file::TokenFile;

pub(super) use file::Stamp;

/// What the user of a kubeconfig logs in with, apart from a client certificate of its own.
#[derive(Debug)]
pub(super) enum Credentials {
    /// A header that never changes, or none.
    Fixed(Option<Secret>),
    /// A bearer token in a file.
    File(TokenFile),
    /// A credential plugin.
    Exec(Plugin),
}

/// The credentials as of now.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The value of the `Authorization` header.
    pub header: Option<Secret>,
    /// The client certificate that a plugin returned.
    pub pair: Option<Arc<ClientIdentity>>,
    /// Rises with each renewal.
    pub serial: u64,
}

impl Held {
    fn fixed(header: Option<Secret>) -> Held {
        Held { header, pair: None, serial: 0 }
    }
}

/// Why a request could not be given its credentials; says where they come from, what is wrong and
/// what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CredentialsError(pub String);

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CredentialsError {}

impl Credentials {
    pub(super) fn new(authorization: &Authorization) -> Credentials {
        match authorization {
            Authorization::None => Credentials::Fixed(None),
            Authorization::Token(token) => Credentials::Fixed(Some(bearer(token.expose()))),
            Authorization::TokenFile { path, fallback } => {
                Credentials::File(TokenFile::new(path, fallback.as_ref()))
            }
            Authorization::Basic { username, password } => {
                let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
                Credentials::Fixed(Some(Secret::new(format!("Basic {pair}").into())))
            }
            Authorization::Exec(plugin) => Credentials::Exec(Plugin::new(plugin)),
        }
    }

    /// What to send now. May run a plugin, once for all who wait.
    pub(super) fn get(&self) -> Result<Held, CredentialsError> {
        match self {
            Credentials::Fixed(header) => Ok(Held::fixed(header.clone())),
            Credentials::File(file) => file.get(),
            Credentials::Exec(plugin) => plugin.get(),
        }
    }

    /// The server refused these. True when there are others now, with which to try again.
    pub(super) fn refused(&self, serial: u64) -> bool {
        match self {
            Credentials::Fixed(_) => false,
            Credentials::File(file) => file.get().is_ok_and(|held| held.serial != serial),
            Credentials::Exec(plugin) => plugin.refused(serial),
        }
    }

    /// Ends what runs for them.
    pub(super) fn end(&self) {
        if let Credentials::Exec(plugin) = self {
            plugin.end();
        }
    }
}

fn bearer(token: &str) -> Secret {
    Secret::new(format!("Bearer {}", token.trim()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(credentials: &Credentials) -> String {
        credentials.get().unwrap().header.unwrap().expose().to_string()
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
        assert!(Credentials::new(&Authorization::None).get().unwrap().header.is_none());
    }

    #[test]
    fn nothing_secret_is_in_debug_output() {
        let credentials = Credentials::new(&Authorization::Token(Secret::new("canary".into())));
        assert!(!format!("{credentials:?}").contains("canary"));
    }
}
