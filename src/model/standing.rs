//! How the last rollouts went, taken together: what `--halt-after` goes by, also after a restart.

use std::collections::BTreeMap;

const FAILURES: &str = "failures_in_a_row";
const HALTED: &str = "halted";

/// Failures in a row, and whether they halted everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Which word of this process it is: several may be on their way to the store at once, and the one
    /// with the greatest number counts.
    pub turn: u64,
    /// Failures since the last success, or since a person said to go on.
    pub failures: u32,
    /// Nothing more is started until a person says to go on.
    pub halted: bool,
}

impl Standing {
    /// As names and values, for the store.
    #[must_use]
    pub fn to_meta(&self) -> [(&'static str, String); 2] {
        let halted = if self.halted { "yes" } else { "no" };
        [(FAILURES, self.failures.to_string()), (HALTED, halted.to_owned())]
    }

    /// As the store remembers it; what it does not know did not happen.
    #[must_use]
    pub fn from_meta(meta: &BTreeMap<String, String>) -> Standing {
        let failures = meta.get(FAILURES).and_then(|text| text.parse().ok()).unwrap_or_default();
        let halted = meta.get(HALTED).is_some_and(|text| text == "yes");
        Standing { turn: 0, failures, halted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        assert_eq!(Standing::from_meta(&BTreeMap::new()), Standing::default());
        for (failures, halted) in [(0, false), (2, false), (7, true)] {
            let kept = Standing { turn: 9, failures, halted };
            let meta = kept.to_meta().map(|(name, value)| (name.to_owned(), value));
            assert_eq!(Standing::from_meta(&meta.into()), Standing { turn: 0, ..kept });
        }
    }
}
