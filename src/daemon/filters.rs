//! What `RUST_LOG` asks for, looked at before the logging library reads it. `[C]`
//!
//! To the library every word that is no level is the name of a module, and naming one module silences
//! all others: a slip such as `inof` would leave a daemon without any log, errors included.

use log::LevelFilter;

/// Modules whose records there may be: our own, and of libraries.
const MODULES: &[&str] = &["depd", "ureq", "ureq_proto", "rustls", "notify"];

/// What the logging library is given, and what a person is told about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Filters {
    /// For the library.
    pub text: String,
    /// Why that is not what was asked for.
    pub complaint: Option<String>,
}

/// `given`, or `otherwise` in its place where it has a slip.
pub fn checked(given: &str, otherwise: &str) -> Filters {
    let (directives, part) = given.split_once('/').unwrap_or((given, ""));
    let directives = || directives.split(',').map(str::trim).filter(|word| !word.is_empty());
    let slip =
        directives().find(|word| !is_directive(word)).or(part.contains('/').then_some(given));
    if let Some(slip) = slip {
        let complaint = format!(
            "RUST_LOG is not heeded, because of {slip:?}: set it to a level (off, error, warn, info, \
             debug, trace), or to modules with theirs, such as info,depd::store=debug"
        );
        return Filters { text: otherwise.to_owned(), complaint: Some(complaint) };
    }
    // Who speaks only of libraries does not mean to silence depd.
    let text = match directives().any(is_about_depd) {
        true => given.to_owned(),
        false => format!("{otherwise},{given}"),
    };
    Filters { text, complaint: None }
}

fn is_level(word: &str) -> bool {
    word.parse::<LevelFilter>().is_ok()
}

fn is_directive(word: &str) -> bool {
    match word.split_once('=') {
        Some((module, level)) => !module.is_empty() && (level.is_empty() || is_level(level.trim())),
        None => is_level(word) || MODULES.contains(&crate_of(word)),
    }
}

fn is_about_depd(word: &str) -> bool {
    is_level(word) || crate_of(word) == "depd"
}

/// `depd::store=debug` → `depd`.
fn crate_of(word: &str) -> &str {
    word.split(['=', ':']).next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_silences_nothing_and_everything_else_is_left_to_the_library() {
        for (given, expect) in [
            ("info", "info"),
            ("OFF", "OFF"),
            ("warn,depd=debug", "warn,depd=debug"),
            ("depd::store=trace", "depd::store=trace"),
            ("depd", "depd"),
            (" warn , hyper=off ", " warn , hyper=off "),
            ("info/web", "info/web"),
            ("hyper=debug", "info,hyper=debug"),
            ("", "info,"),
        ] {
            let expect = Filters { text: expect.to_owned(), complaint: None };
            assert_eq!(checked(given, "info"), expect, "{given}");
        }
        for (given, slip) in [
            ("inof", "inof"),
            ("INFOO", "INFOO"),
            ("%%%", "%%%"),
            ("warn,dpd", "dpd"),
            ("depd=debgu", "depd=debgu"),
            ("=info", "=info"),
            ("depd=a=b", "depd=a=b"),
            ("info/a/b", "info/a/b"),
        ] {
            let Filters { text, complaint } = checked(given, "info");
            assert_eq!(text, "info", "{given}");
            let complaint = complaint.unwrap_or_default();
            assert!(complaint.contains(&format!("because of {slip:?}")), "{given}: {complaint}");
        }
    }
}
