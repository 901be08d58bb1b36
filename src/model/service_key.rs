//! The identity of what depd manages: one service in one namespace.
//!
//! The rules are those of the Kubernetes documentation, "Object Names and IDs": a workload is named
//! by a DNS-1123 subdomain, a namespace by a DNS-1123 label (RFC 1123, lowercase only). A key in
//! hand is safe to put into a URL, a file name or a log line as it is.

use std::fmt;
use std::sync::Arc;

use super::is_printable;

/// Longest workload name.
const SERVICE_MAX: usize = 253;
/// Longest name of a namespace or container.
const LABEL_MAX: usize = 63;

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
        check_name(service, "service", SERVICE_MAX)?;
        check_label(namespace, "namespace")?;
        let split = u16::try_from(service.len()).unwrap_or(u16::MAX);
        Ok(ServiceKey { split, text: format!("{service}_{namespace}").into() })
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

/// One DNS-1123 label: the name of a namespace or of a container, which `what` says.
pub(crate) fn check_label(name: &str, what: &str) -> Result<(), NameProblem> {
    if name.contains('.') {
        return Err(NameProblem(format!("a dot is not allowed in a {what} name")));
    }
    check_name(name, what, LABEL_MAX)
}

/// One DNS-1123 subdomain: labels of lowercase letters, digits and inner hyphens, joined by dots.
fn check_name(name: &str, what: &str, max: usize) -> Result<(), NameProblem> {
    let refuse = |text: String| Err(NameProblem(text));
    if name.is_empty() {
        return refuse(format!("the {what} name is empty"));
    }
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.');
    if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        return refuse(format!("{} is not allowed in a {what} name", describe(c)));
    }
    let length = name.len();
    if length > max {
        return refuse(format!(
            "the {what} name has {length} characters, at most {max} are allowed"
        ));
    }
    for label in name.split('.') {
        if label.is_empty() {
            return refuse(format!("a {what} name has no dot at an end and no two in a row"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return refuse(format!("a {what} name begins and ends with a letter or digit"));
        }
    }
    Ok(())
}

/// Names a character so that it can be shown anywhere, whatever it would do to a terminal.
pub(crate) fn describe(c: char) -> String {
    match c {
        ' ' => "a space".into(),
        '\t' => "a tab".into(),
        '\n' | '\r' => "a line break".into(),
        '_' => "an underscore".into(),
        '/' => "a slash".into(),
        'A'..='Z' => format!("the capital letter {c}"),
        c if is_printable(c) => format!("the character {c}"),
        c => format!("the character U+{:04X}", u32::from(c)),
    }
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NameProblem {}

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

#[cfg(test)]
mod tests {
    use super::ServiceKey;

    fn check(service: &str, namespace: &str, expect: &str) {
        let shown = match ServiceKey::new(service, namespace) {
            Ok(key) => {
                assert_eq!((key.service(), key.namespace()), (service, namespace));
                key.file_name()
            }
            Err(problem) => problem.to_string(),
        };
        assert_eq!(shown, expect, "{service:?} {namespace:?}");
    }

    #[test]
    fn names_that_kubernetes_accepts_become_a_key() {
        check("nginx-app", "default", "nginx-app_default.dep");
        check("a", "b", "a_b.dep");
        check("0x", "9", "0x_9.dep");
        check("api.v2", "prod", "api.v2_prod.dep");
        check(
            &"a".repeat(253),
            &"b".repeat(63),
            &format!("{}_{}.dep", "a".repeat(253), "b".repeat(63)),
        );
    }

    #[test]
    fn other_names_are_refused_with_the_reason() {
        check("nginx app", "default", "a space is not allowed in a service name");
        check("Nginx", "default", "the capital letter N is not allowed in a service name");
        check("nginx", "Default", "the capital letter D is not allowed in a namespace name");
        check("a_b", "default", "an underscore is not allowed in a service name");
        check("", "default", "the service name is empty");
        check("nginx", "", "the namespace name is empty");
        check("-nginx", "default", "a service name begins and ends with a letter or digit");
        check("nginx", "dev-", "a namespace name begins and ends with a letter or digit");
        check("a..b", "x", "a service name has no dot at an end and no two in a row");
        check(".a", "x", "a service name has no dot at an end and no two in a row");
        check("a", "x.y", "a dot is not allowed in a namespace name");
        check("a", &"x".repeat(64), "the namespace name has 64 characters, at most 63 are allowed");
        check(
            &"x".repeat(254),
            "a",
            "the service name has 254 characters, at most 253 are allowed",
        );
    }

    /// Security row 12: nothing that could leave its place in a URL, a path or a terminal line.
    #[test]
    fn security_12_dots_slashes_percent_bidi_and_control_characters_are_refused() {
        check("..", "x", "a service name has no dot at an end and no two in a row");
        check("../etc", "x", "a slash is not allowed in a service name");
        check("a%2fb", "x", "the character % is not allowed in a service name");
        check("a\u{202e}b", "x", "the character U+202E is not allowed in a service name");
        check("a\u{1b}[31m", "x", "the character U+001B is not allowed in a service name");
        check("a\0", "x", "the character U+0000 is not allowed in a service name");
        check("é", "x", "the character é is not allowed in a service name");
        check("a", "x\n", "a line break is not allowed in a namespace name");
        check("ａ", "x", "the character ａ is not allowed in a service name");
    }
}
