//! Files with secrets that others can get at: said at the start, as ssh says it. `[E]`
//!
//! Only a warning: a mode can be meant, and depd cannot know what else guards the file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use log::warn;

/// Others may read it.
const READ: u32 = 0o004;
/// Others may write it, and a kubeconfig names programs to run.
const WRITE: u32 = 0o002;

/// One warning for each file that everybody on this machine may read or write.
pub fn warn_of_exposed(files: &[PathBuf]) {
    files.iter().filter_map(|file| exposure(file)).for_each(|warning| warn!("{warning}"));
}

/// Who else can get at the file, and the remedy; `None` where nobody can.
#[must_use]
pub fn exposure(file: &Path) -> Option<String> {
    let mode = fs::metadata(file).ok()?.permissions().mode();
    let what = match (mode & READ != 0, mode & WRITE != 0) {
        (true, true) => "read and written",
        (true, false) => "read",
        (false, true) => "written",
        (false, false) => return None,
    };
    let file = file.display();
    Some(format!("{file} holds secrets and can be {what} by everybody here: chmod 600 {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_everybody_may_read_or_write_are_named_with_the_remedy() {
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
        check(0o640, None);
        check(0o644, Some("can be read by everybody"));
        check(0o666, Some("can be read and written by everybody"));
        check(0o602, Some("can be written by everybody"));
        assert_eq!(exposure(&folder.path().join("gone")), None);
    }
}
