//! Where the state lives.

use std::ffi::OsString;
use std::path::PathBuf;

/// The state folder: the flag, else what systemd gives (`STATE_DIRECTORY`, its first entry), else
/// `/var/lib/depd` for root, else `$XDG_STATE_HOME/depd`, which defaults to `~/.local/state/depd`
/// (XDG base directory specification).
#[must_use]
pub fn folder(
    flag: Option<PathBuf>,
    env: impl Fn(&str) -> Option<OsString>,
    is_root: bool,
) -> PathBuf {
    let from_systemd = || {
        let list = env("STATE_DIRECTORY")?;
        std::env::split_paths(&list).next().filter(|path| path.is_absolute())
    };
    let from_user = || {
        let own = env("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        own.or_else(|| env("HOME").map(|home| PathBuf::from(home).join(".local/state")))
    };
    flag.or_else(from_systemd).unwrap_or_else(|| match from_user() {
        Some(state) if !is_root => state.join("depd"),
        _ => PathBuf::from("/var/lib/depd"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_place_that_is_named_wins() {
        let check = |flag: Option<&str>, vars: &[(&str, &str)], is_root, expect: &str| {
            let env = |name: &str| {
                vars.iter().find(|(own, _)| *own == name).map(|(_, value)| OsString::from(value))
            };
            assert_eq!(folder(flag.map(PathBuf::from), env, is_root), PathBuf::from(expect));
        };
        let home = ("HOME", "/home/me");
        check(Some("here"), &[("STATE_DIRECTORY", "/s")], true, "here");
        check(None, &[("STATE_DIRECTORY", "/s:/t"), home], false, "/s");
        check(None, &[home], true, "/var/lib/depd");
        check(None, &[home, ("XDG_STATE_HOME", "/x")], false, "/x/depd");
        check(None, &[home, ("XDG_STATE_HOME", "relative")], false, "/home/me/.local/state/depd");
        check(None, &[home], false, "/home/me/.local/state/depd");
        check(None, &[], false, "/var/lib/depd");
    }
}
