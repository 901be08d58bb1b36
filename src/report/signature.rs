//! The signature of a webhook's body: HMAC-SHA256, as `sha256=HEX`. `[C]`
//!
//! The form is the one that GitHub made common ("Validating webhook deliveries"), so that receivers
//! and libraries know it. The key is a secret and is never printed.

use std::fmt;
use std::fmt::Write as _;

use ring::hmac;

/// A key that bodies are signed with.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// The shortest secret that is taken, in bytes.
    pub const SHORTEST: usize = 16;

    /// A key of this secret; white space around it does not belong to it. `None` when it is shorter
    /// than [`SigningKey::SHORTEST`].
    #[must_use]
    pub fn new(secret: &str) -> Option<SigningKey> {
        let secret = secret.trim();
        (secret.len() >= SigningKey::SHORTEST)
            .then(|| SigningKey(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
    }

    /// The signature of `body`.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> String {
        let mut text = "sha256=".to_owned();
        for byte in hmac::sign(&self.0, body).as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_githubs_documentation() {
        let key = SigningKey::new("It's a Secret to Everybody\n").expect("long enough");
        assert_eq!(
            key.sign(b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_printed() {
        assert!(SigningKey::new("   fifteen bytes  ").is_none());
        let key = SigningKey::new("0123456789abcdef").expect("long enough");
        assert_eq!(format!("{key:?}"), "SigningKey([redacted])");
    }
}
