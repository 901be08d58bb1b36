//! What depd has to say about itself and not about one service: why everything is held, above all.

/// What a person must decide or mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alert {
    /// The store is empty and more services differ than can be a coincidence, or their namespaces would
    /// be created.
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
    /// The folder is empty, or lacks more files than can be a coincidence: it may not be mounted or
    /// filled yet.
    FilesGone {
        /// Of how many services that something is remembered of.
        gone: usize,
        /// Some of their keys.
        examples: Vec<String>,
    },
    /// Too many rollouts failed in a row.
    Halted {
        /// How many.
        failures: u32,
    },
    /// Pull secrets in use could not be renewed several times in a row; nothing is held.
    StalePullSecrets {
        /// In how many namespaces.
        namespaces: usize,
        /// One of the reasons.
        why: String,
    },
}
