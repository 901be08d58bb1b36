//! The pull secrets of a pod template, and what a PATCH adds to them.

use serde::{Deserialize, Serialize};

/// The name of the pull secret that depd makes in a namespace.
pub const PULL_SECRET: &str = "depd-ecr";

/// What is to become of a template's `imagePullSecrets`, guarded by what they were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullSecrets {
    /// The names that were seen, in order.
    pub before: Vec<Box<str>>,
    /// The names that are added; may be empty.
    pub add: Vec<Box<str>>,
}

impl PullSecrets {
    /// What a template with these names needs so that it uses depd's.
    ///
    /// Names in a template make Kubernetes leave out those of the ServiceAccount, so where the template
    /// has none, `of_account` are added too.
    #[must_use]
    pub fn attaching(before: &[Box<str>], of_account: Vec<Box<str>>) -> PullSecrets {
        let mut add = if before.is_empty() { of_account } else { Vec::new() };
        if !before.iter().chain(&add).any(|name| &**name == PULL_SECRET) {
            add.push(PULL_SECRET.into());
        }
        PullSecrets { before: before.to_vec(), add }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_gets_depds_secret_and_keeps_what_it_had() {
        let names = |text: &str| text.split_whitespace().map(Into::into).collect::<Vec<Box<str>>>();
        let check = |before: &str, account: &str, add: &str| {
            let found = PullSecrets::attaching(&names(before), names(account));
            assert_eq!((found.before, found.add), (names(before), names(add)));
        };
        check("", "", "depd-ecr");
        check("", "regcred", "regcred depd-ecr");
        check("", "depd-ecr", "depd-ecr");
        check("own", "regcred", "depd-ecr");
        check("own depd-ecr", "regcred", "");
    }
}
