//! Files with secrets that others can get at: said at the start, as ssh says it. `[E]`
//!
//! Only a warning: a mode can be meant, and depd cannot know what else guards the file. The group counts
//! as others do, as for ssh. It does not where the file is not ours and we read it as members of its
//! group: so Kubernetes mounts a Secret with an fsGroup, and nobody in the pod could change it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use log::warn;
use rustix::process::{getegid, geteuid};

/// The group or others may read it.
const READ: u32 = 0o044;
/// Or write it, and a kubeconfig names programs to run.
const WRITE: u32 = 0o022;
/// What concerns more than the group.
const OTHERS: u32 = 0o007;

/// One warning for each file that everybody on this machine may read or write.
pub fn warn_of_exposed(files: &[PathBuf]) {
    files.iter().filter_map(|file| exposure(file)).for_each(|warning| warn!("{warning}"));
}

/// Who else can get at the file, and the remedy; `None` where nobody can.
#[must_use]
pub fn exposure(file: &Path) -> Option<String> {
    let found = fs::metadata(file).ok()?;
    let is_by_group = found.uid() != geteuid().as_raw() && found.gid() == getegid().as_raw();
    said(file, found.permissions().mode(), is_by_group)
}

/// `is_by_group`: it is for us because of its group.
fn said(file: &Path, mode: u32, is_by_group: bool) -> Option<String> {
    let mode = if is_by_group { mode & OTHERS } else { mode };
    let what = match (mode & READ != 0, mode & WRITE != 0) {
        (true, true) => "read and written",
        (true, false) => "read",
        (false, true) => "written",
        (false, false) => return None,
    };
    let who = if mode & (READ | WRITE) & OTHERS != 0 { "everybody here" } else { "its group" };
    let file = file.display();
    Some(format!("{file} holds secrets and can be {what} by {who}: chmod 600 {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_the_group_or_everybody_may_read_or_write_are_named_with_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config");
        fs::write(&file, "secret").expect("written");
        let check = |mode: u32, expect: Option<&str>| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("ours");
            let text = exposure(&file);
            let remedy = format!("chmod 600 {}", file.display());
            assert_eq!(text.is_some(), expect.is_some(), "{mode:o}");
            if let (Some(text), Some(expect)) = (text, expect) {
                assert!(text.contains(expect) && text.contains(&remedy), "{text}");
            }
        };
        check(0o600, None);
        check(0o640, Some("can be read by its group"));
        check(0o660, Some("can be read and written by its group"));
        check(0o400, None);
        check(0o644, Some("can be read by everybody"));
        check(0o666, Some("can be read and written by everybody"));
        check(0o602, Some("can be written by everybody"));
        assert_eq!(exposure(&folder.path().join("gone")), None);
    }

    #[test]
    fn what_is_ours_by_its_group_alone_may_be_read_by_the_group() {
        let check = |mode: u32, expect: bool| {
            assert_eq!(said(Path::new("secret"), mode, true).is_some(), expect, "{mode:o}");
        };
        check(0o440, false);
        check(0o660, false);
        check(0o444, true);
    }
}
