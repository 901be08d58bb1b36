//! The name of a file in the dep folder: a service key, a leftover, or something to say a line about.

use crate::model::{Problem, ServiceKey};

/// What a file is, judged by its name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileName {
    /// `{service}_{namespace}.dep`, both names valid.
    Dep(ServiceKey),
    /// A hidden file, or what an editor, a copy tool or the older Go engine leaves behind. Nothing
    /// is said about it.
    Leftover,
    /// Meant as a dep file, but not named as one must be: ignored with one line.
    Refused(Problem),
    /// Something else, such as a README: ignored with one line, and nobody's mistake.
    Stray(Problem),
}

/// Endings of backup, swap and partial files: vim, emacs, nano, kate, rsync, browsers, WinSCP,
/// Office, JetBrains, git, patch, dpkg, and the state files of the Go engine (`.last`).
const LEFTOVER_ENDINGS: &[&str] = &[
    "~",
    "#",
    ".swp",
    ".swo",
    ".swx",
    ".swpx",
    ".tmp",
    ".temp",
    ".bak",
    ".bck",
    ".old",
    ".orig",
    ".rej",
    ".save",
    ".lock",
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    ".crswap",
    ".kate-swp",
    ".last",
    ".new",
    ".dpkg-dist",
    ".dpkg-new",
    ".dpkg-old",
    "___jb_tmp___",
    "___jb_old___",
];

/// Judges the name of a file. Directories are not asked about here.
#[must_use]
pub fn parse_name(name: &str) -> FileName {
    if is_leftover(name) {
        return FileName::Leftover;
    }
    let Some(stem) = name.strip_suffix(".dep") else {
        return not_a_dep_file(name);
    };
    let parts: Vec<&str> = stem.split('_').collect();
    let (service, namespace) = match parts[..] {
        [service, namespace] => (service, namespace),
        [_] => return refused(no_underscore(stem)),
        _ => return refused(many_underscores(&parts)),
    };
    match ServiceKey::new(service, namespace) {
        Ok(key) => FileName::Dep(key),
        Err(problem) => refused(with_suggestion(problem.0, service, namespace)),
    }
}

fn is_leftover(name: &str) -> bool {
    let numbered = name.bytes().all(|b| b.is_ascii_digit());
    let ends = LEFTOVER_ENDINGS.iter().any(|ending| name.ends_with(ending));
    name.starts_with(['.', '#', '~']) || numbered || ends || is_scratch(name)
}

/// Scratch files with random or numbered names: `sedAbC123` of GNU sed, `x.dep.tmp-42`.
fn is_scratch(name: &str) -> bool {
    let sed = name
        .strip_prefix("sed")
        .is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|b| b.is_ascii_alphanumeric()));
    sed || name
        .rsplit_once(".dep")
        .is_some_and(|(_, rest)| rest.starts_with(".tmp") || rest.starts_with(".sb-"))
}

fn refused(text: String) -> FileName {
    FileName::Refused(Problem { place: None, text })
}

fn not_a_dep_file(name: &str) -> FileName {
    let text = "not a dep file, its name does not end in .dep";
    let lower = name.to_ascii_lowercase();
    match lower.strip_suffix(".dep").or_else(|| lower.strip_suffix(".dep.txt")) {
        Some(stem) if matches!(parse_name(&format!("{stem}.dep")), FileName::Dep(_)) => {
            refused(format!("{text}: rename it to {stem}.dep"))
        }
        _ => FileName::Stray(Problem { place: None, text: text.into() }),
    }
}

fn no_underscore(stem: &str) -> String {
    let text = "the name lacks the underscore between service and namespace";
    match ServiceKey::new(stem, "default") {
        Ok(key) => format!("{text}: rename it, for example to {}", key.file_name()),
        Err(_) => format!("{text}: a dep file is named SERVICE_NAMESPACE.dep"),
    }
}

fn many_underscores(parts: &[&str]) -> String {
    let text = "the name has more than one underscore, and names in Kubernetes have none";
    let (namespace, service) =
        parts.split_last().map_or(("", String::new()), |(n, s)| (*n, s.join("-")));
    match ServiceKey::new(&service, namespace) {
        Ok(key) => format!("{text}: write {} if that is meant", key.file_name()),
        Err(_) => format!("{text}: a dep file is named SERVICE_NAMESPACE.dep"),
    }
}

/// Adds the nearest valid name, where lowercase letters and hyphens are all it takes.
fn with_suggestion(problem: String, service: &str, namespace: &str) -> String {
    let mend =
        |name: &str| name.trim_matches([' ', '-', '.']).replace(' ', "-").to_ascii_lowercase();
    match ServiceKey::new(&mend(service), &mend(namespace)) {
        Ok(key) => format!("{problem}: write {} if that is meant", key.file_name()),
        Err(_) => problem,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FileName, parse_name};
    use crate::model::fixture::{any_text, is_harmful};

    fn check(name: &str, expect: &str) {
        let shown = match parse_name(name) {
            FileName::Dep(key) => format!("{} in {}", key.service(), key.namespace()),
            FileName::Leftover => "leftover".into(),
            FileName::Refused(problem) => problem.to_string(),
            FileName::Stray(problem) => format!("stray: {problem}"),
        };
        assert_eq!(shown, expect, "{name:?}");
    }

    #[test]
    fn a_dep_file_names_service_and_namespace() {
        check("nginx-app_default.dep", "nginx-app in default");
        check("api.v2_prod-eu.dep", "api.v2 in prod-eu");
    }

    #[test]
    fn leftovers_of_programs_are_silent() {
        for name in [
            ".nginx_default.dep.swp",
            "nginx_default.dep~",
            "4913",
            "5036",
            "nginx_default.dep.tmp",
            "#nginx_default.dep#",
            ".#nginx_default.dep",
            "nginx_default.dep.~1~",
            "sedAbC123",
            ".nginx_default.dep.Xy12zA",
            "nginx_default.dep.last",
            ".last",
            "nginx_default.last",
            ".gitignore",
            "..data",
            "..2026_01_01",
            ".goutputstream-X1",
            "nginx_default.dep.orig",
            "nginx_default.dep.filepart",
            "nginx_default.dep___jb_tmp___",
            "nginx_default.dep.tmp.1234",
            "",
        ] {
            check(name, "leftover");
        }
    }

    /// FAULTS row 5, first half: what is wrong with a name is said, with the name that would do.
    #[test]
    fn a_wrong_name_is_refused_with_the_nearest_right_one() {
        check(
            "nginx app_default.dep",
            "a space is not allowed in a service name: write nginx-app_default.dep if that is meant",
        );
        check(
            "Nginx_Default.dep",
            "the capital letter N is not allowed in a service name: write nginx_default.dep if that is meant",
        );
        check(
            "nginx.dep",
            "the name lacks the underscore between service and namespace: rename it, for example to nginx_default.dep",
        );
        check(
            "ngi nx.dep",
            "the name lacks the underscore between service and namespace: a dep file is named SERVICE_NAMESPACE.dep",
        );
        check(
            "my_app_default.dep",
            "the name has more than one underscore, and names in Kubernetes have none: write my-app_default.dep if that is meant",
        );
        check("_default.dep", "the service name is empty");
        check("nginx_.dep", "the namespace name is empty");
        check("nginx_a.b.dep", "a dot is not allowed in a namespace name");
        check("README.md", "stray: not a dep file, its name does not end in .dep");
        check(
            "nginx_default.DEP",
            "not a dep file, its name does not end in .dep: rename it to nginx_default.dep",
        );
        check(
            "nginx_default.dep.txt",
            "not a dep file, its name does not end in .dep: rename it to nginx_default.dep",
        );
    }

    proptest! {
        #[test]
        fn any_name_is_judged_and_a_problem_is_always_fit_to_print(
            text in any_text(), ending in prop::sample::select(vec!["", ".dep", "_prod.dep", ".DEP", ".dep.txt"])
        ) {
            let name = format!("{text}{ending}");
            match parse_name(&name) {
                FileName::Dep(key) => prop_assert_eq!(key.file_name(), name),
                FileName::Leftover => {}
                FileName::Refused(problem) | FileName::Stray(problem) => {
                    prop_assert_eq!(problem.place, None);
                    prop_assert!(!problem.text.contains(is_harmful), "{problem:?}");
                }
            }
        }

        #[test]
        fn every_valid_key_has_a_file_that_names_it(
            service in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z0-9]{1,5})?", namespace in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?"
        ) {
            let name = format!("{service}_{namespace}.dep");
            let expect = crate::model::ServiceKey::new(&service, &namespace).unwrap();
            prop_assert_eq!(parse_name(&name), FileName::Dep(expect));
        }
    }
}
