//! Whether a namespace can take a workload.

/// The state of a namespace, from `status.phase` of `core/v1` Namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceState {
    /// It is there.
    Active,
    /// It is being deleted; nothing can be created in it.
    Terminating,
    /// It does not exist.
    Missing,
}
