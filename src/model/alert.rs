//! What depd has to say about itself and not about one service: why everything is held.

/// Nothing new is rolled out until a person decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alert {
    /// The store is empty and more services differ than can be a coincidence.
    FirstStart {
        /// How many would be changed.
        differing: usize,
        /// Some of their keys.
        examples: Vec<String>,
    },
    /// Not the cluster, folder or settings of the last run.
    IdentityChanged {
        /// One line for each difference: what it was, and what it is.
        differences: Vec<String>,
    },
    /// Too many rollouts failed in a row.
    Halted {
        /// How many.
        failures: u32,
    },
}
