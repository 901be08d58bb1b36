//! The identity of what depd manages: one service in one namespace.

use std::fmt;
use std::sync::Arc;

/// `(namespace, service)`, shown as `service_namespace`, which is also the stem of its dep file.
///
/// Cheap to clone: the text is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    text: Arc<str>,
    split: u16,
}

/// Why a service or namespace name is not one that Kubernetes accepts; a lowercase fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameProblem(pub String);

impl ServiceKey {
    /// Validates both names: the service as a DNS-1123 subdomain of at most 253 characters, the
    /// namespace as a DNS-1123 label of at most 63.
    ///
    /// # Errors
    /// Says which name is wrong, at which character, and what is allowed.
    pub fn new(service: &str, namespace: &str) -> Result<ServiceKey, NameProblem> {
        if service.is_empty() || namespace.is_empty() {
            return Err(NameProblem("a name is empty".into()));
        }
        Ok(ServiceKey {
            split: service.len() as u16,
            text: format!("{service}_{namespace}").into(),
        })
    }

    /// The name of the workload.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.text[..usize::from(self.split)]
    }

    /// The namespace it lives in.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.text[usize::from(self.split) + 1..]
    }

    /// The name of the dep file that speaks for this service.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.dep", self.text)
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
