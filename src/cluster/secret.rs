//! Values that must never be printed. `[C]`

use std::fmt;

/// A credential: a token, a password, a private key.
///
/// Its `Debug` output names no content, so that a struct holding one can be logged. The content
/// leaves through [`Secret::expose`] only, which makes every use easy to find.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T = Box<str>>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The value itself, for the one place that sends or loads it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
