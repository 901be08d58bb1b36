//! Something in the dep folder that cannot be followed, in words for the person who wrote it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong with a dep file, where, and what to do. Displays as one line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// Line and column, both counted from 1, when the problem has a place in the content.
    pub place: Option<(u32, u32)>,
    /// A lowercase fragment: what is wrong and what to write instead.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}
