//! Where the state is kept: the choice alone, without a look at the disk. `[C]`
//!
//! `STATE_DIRECTORY` is what systemd sets for `StateDirectory=` (systemd.exec(5): several are
//! separated by colons); `XDG_STATE_HOME` is of the XDG Base Directory Specification, where a
//! relative path is to be ignored and the default is `~/.local/state`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder of the whole machine.
const SYSTEM: &str = "/var/lib/depd";

/// The state folder: the one that was asked for, else `$STATE_DIRECTORY`, else `/var/lib/depd` for
/// root, else `$XDG_STATE_HOME/depd`, else `~/.local/state/depd`.
///
/// `variable` looks up the environment. Somebody who is not root and has no home (a container with
/// an arbitrary user) is given `/var/lib/depd` too, where a volume is expected.
pub fn folder(
    explicit: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
    is_root: bool,
) -> PathBuf {
    let absolute = |name: &str| {
        let first = variable(name)?.to_str().map(|list| list.split(':').next().map(PathBuf::from));
        first.flatten().filter(|path| path.is_absolute())
    };
    let home = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    explicit
        .or_else(|| absolute("STATE_DIRECTORY"))
        .or_else(|| is_root.then(|| PathBuf::from(SYSTEM)))
        .or_else(|| home("XDG_STATE_HOME").map(|state| state.join("depd")))
        .or_else(|| home("HOME").map(|home| home.join(Path::new(".local/state/depd"))))
        .unwrap_or_else(|| PathBuf::from(SYSTEM))
}

#[cfg(test)]
mod tests {
    use super::folder;
    use std::path::{Path, PathBuf};

    #[track_caller]
    fn check(explicit: Option<&str>, variables: &[(&str, &str)], is_root: bool, expect: &str) {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        };
        let chosen = folder(explicit.map(PathBuf::from), variable, is_root);
        assert_eq!(chosen, Path::new(expect));
    }

    #[test]
    fn the_state_folder_is_the_first_of_five_that_applies() {
        let all = [("STATE_DIRECTORY", "/s"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        check(Some("here"), &all, true, "here");
        check(None, &all, true, "/s");
        check(None, &all[1..], true, "/var/lib/depd");
        check(None, &all[1..], false, "/x/depd");
        check(None, &all[2..], false, "/h/.local/state/depd");
        check(None, &[], false, "/var/lib/depd");
    }

    #[test]
    fn of_systemds_list_the_first_is_taken_and_what_is_relative_or_empty_is_ignored() {
        check(None, &[("STATE_DIRECTORY", "/a:/b")], false, "/a");
        check(None, &[("STATE_DIRECTORY", ""), ("HOME", "/h")], false, "/h/.local/state/depd");
        check(None, &[("XDG_STATE_HOME", "x"), ("HOME", "/h")], false, "/h/.local/state/depd");
        check(None, &[("XDG_STATE_HOME", "/with:colon")], false, "/with:colon/depd");
    }
}
