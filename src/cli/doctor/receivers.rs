//! Who is told: can they be reached? A connection with TLS, and no message.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::findings::Finding;
use super::{Notes, Patient};
use crate::daemon::{ReceiverSettings, Way};
use crate::net::reach;
use crate::report::transport::Transport as _;

/// For each of them.
const LIMIT: Duration = Duration::from_secs(4);

/// Looks for them.
pub fn look(patient: &Patient, notes: &Notes) {
    let receivers = match patient.run.receivers.validate(&patient.env) {
        Ok(receivers) => receivers,
        Err(failure) => return notes.add(Finding::fail("messages", failure.text(), "")),
    };
    if receivers.is_empty() {
        notes.add(Finding::ok("messages", "nobody is set up; the log has everything"));
    }
    receivers.iter().for_each(|receiver| notes.add(judge(receiver)));
}

fn judge(receiver: &ReceiverSettings) -> Finding {
    let name = receiver.kind.name();
    match &receiver.way {
        Way::Webhook { url, around, .. } => {
            let host = url.host();
            match reach(url.expose(), around, LIMIT) {
                Ok(()) => {
                    let text = format!("{name}: {host} is there; depd report test sends a message");
                    Finding::ok("messages", text)
                }
                Err(why) => {
                    let text = format!("{name}: {host} cannot be reached ({why})");
                    let remedy = "check the address, HTTPS_PROXY and the firewall; messages wait";
                    Finding::fail("messages", text, remedy)
                }
            }
        }
        Way::Command(command) => {
            let program = command.place();
            match find(&program, env::var_os("PATH").as_deref()) {
                Some(_) => Finding::ok("messages", format!("{name}: {program} can be run")),
                None => {
                    let text = format!("{name}: {program} is not there, or cannot be run");
                    Finding::fail("messages", text, "name its whole path in ON_VERDICT")
                }
            }
        }
        Way::Events => Finding::ok("messages", format!("{name}: written on the workloads")),
    }
}

/// As the operating system finds programs.
fn find(program: &str, path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    let is_program = |path: &Path| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| is_program(path));
    }
    let folders = path.map(env::split_paths)?;
    folders.map(|folder| folder.join(program)).find(|path| is_program(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_as_the_system_finds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tell");
        fs::write(&file, "#!/bin/sh\n").expect("written");
        let path = Some(folder.path().as_os_str());
        assert_eq!(find("tell", path), None, "not for running");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("ours");
        assert_eq!(find("tell", path), Some(file.clone()));
        assert_eq!(find(&file.display().to_string(), None), Some(file));
        assert_eq!(find("tell", None), None);
        assert_eq!(find("other", path), None);
    }
}
