//! The state folder, who works with it, and what the process may open.

use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use rustix::process::{Resource, getrlimit};

use super::super::settings as raw;
use super::findings::{Finding, Verdict};
use super::{Notes, Patient};
use crate::model::shown;
use crate::source::network_file_system;
use crate::store::{Holder, Reader, StoreError, holder};

/// Less than this, in MiB, will not last.
const SPACE_WARN: u64 = 100;
/// Less than this, in MiB, does not take a busy day's log.
const SPACE_FAIL: u64 = 10;
/// Besides one connection for each worker: watches, the folder, the store, receivers.
const DESCRIPTORS: u64 = 64;

/// Looks at it.
pub fn look(patient: &Patient, notes: &Notes) {
    let Patient { run, env, .. } = patient;
    let folder = raw::state(run.state.as_deref(), env);
    notes.add(writable(&folder));
    if let Some(name) = network_file_system(&folder) {
        let text = format!(
            "{} is on {name}, where a database's locks cannot be relied on",
            shown(&folder)
        );
        notes.add(Finding::warn("state", text, "choose a folder on a local disk with --state"));
    }
    if let Some(finding) = space(&folder) {
        notes.add(finding);
    }
    notes.add(store(Reader::open_once(&folder)));
    notes.add(match holder(&folder) {
        Holder::Nobody => Finding::ok("running", "no depd works with that state now"),
        Holder::Process(pid) => Finding::ok("running", format!("depd, pid {pid}")),
        Holder::Unknown => Finding::ok("running", "whether depd runs cannot be told here"),
    });
    let limit = getrlimit(Resource::Nofile).current;
    notes.add(descriptors(limit, u64::from(run.workers)));
}

/// The folder, or the nearest one above it, in which it would be made.
fn writable(folder: &Path) -> Finding {
    let may = |path: &Path| access(path, Access::WRITE_OK | Access::EXEC_OK);
    let name = shown(folder);
    let remedy = "give this user the folder, or name another with --state (or STATE_DIRECTORY)";
    if folder.exists() {
        return match (folder.is_dir(), may(folder)) {
            (false, _) => Finding::fail("state", format!("{name} is not a folder"), remedy),
            (true, Ok(())) => Finding::ok("state", name),
            (true, Err(error)) => {
                Finding::fail("state", format!("{name} cannot be written to ({error})"), remedy)
            }
        };
    }
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let above = absolute.ancestors().skip(1).find(|path| path.exists());
    match above.map(may) {
        Some(Ok(())) => Finding::ok("state", format!("{name}, which depd run will make")),
        Some(Err(error)) => {
            Finding::fail("state", format!("{name} cannot be made ({error})"), remedy)
        }
        None => Finding::fail("state", format!("{name} cannot be made"), remedy),
    }
}

fn space(folder: &Path) -> Option<Finding> {
    let absolute = std::path::absolute(folder).ok()?;
    let there = absolute.ancestors().find(|path| path.exists())?;
    let disk = statvfs(there).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
    let text = format!("{free} MiB free for {}", shown(folder));
    let remedy = "make room; a full disk costs the memory of what happened, not deployments";
    match free {
        0..SPACE_FAIL => Some(Finding::fail("space", text, remedy)),
        SPACE_FAIL..SPACE_WARN => Some(Finding::warn("space", text, remedy)),
        // The figure itself is of no interest.
        _ => Some(Finding::ok("space", format!("more than {SPACE_WARN} MiB free"))),
    }
}

fn store(opened: Result<Reader, StoreError>) -> Finding {
    match opened.map(|reader| reader.services().map(|services| services.len())) {
        Ok(Ok(1)) => Finding::ok("store", "of this version of depd, with 1 service"),
        Ok(Ok(n)) => Finding::ok("store", format!("of this version of depd, with {n} services")),
        Err(StoreError::Missing { .. }) => Finding::ok("store", "none yet; depd run makes it"),
        Err(StoreError::Older { .. }) => {
            Finding::ok("store", "of an older depd; depd run brings it up to date")
        }
        Ok(Err(error)) | Err(error) => {
            Finding::of_sentence("store", Verdict::Fail, &error.to_string())
        }
    }
}

/// `None` is no limit.
fn descriptors(limit: Option<u64>, workers: u64) -> Finding {
    let needed = workers + DESCRIPTORS;
    match limit {
        Some(limit) if limit < needed => {
            let text = format!("{limit} may be open at once, and depd may need {needed}");
            Finding::warn("open files", text, "raise it (ulimit -n), or lower --workers")
        }
        Some(limit) => Finding::ok("open files", format!("{needed} needed of {limit}")),
        None => Finding::ok("open files", "no limit"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_that_cannot_be_used_is_told_from_one_that_is_made_later() {
        let parent = tempfile::tempdir().expect("a folder");
        let later = parent.path().join("a/b");
        let text = format!("{}, which depd run will make", later.display());
        assert_eq!(writable(&later), Finding::ok("state", text));
        let here = parent.path().display().to_string();
        assert_eq!(writable(parent.path()), Finding::ok("state", here));
        let file = parent.path().join("file");
        fs::write(&file, "").expect("written");
        let remedy = "give this user the folder, or name another with --state (or STATE_DIRECTORY)";
        let text = format!("{} is not a folder", file.display());
        assert_eq!(writable(&file), Finding::fail("state", text, remedy));
        let beneath = writable(&file.join("state"));
        let text = format!(
            "{} cannot be made (Permission denied (os error 13))",
            file.join("state").display()
        );
        assert_eq!(beneath, Finding::fail("state", text, remedy));
    }

    #[test]
    fn what_a_store_is_decides_what_is_said_of_it() {
        let path = || "/s/depd.db".into();
        let newer = StoreError::Newer { path: path(), found: 9, known: 4 };
        let text =
            "the store /s/depd.db has schema version 9, and this depd knows versions up to 4";
        let remedy = "start the newer depd again, or choose another folder with --state";
        assert_eq!(store(Err(newer)), Finding::fail("store", text, remedy));
        let missing = store(Err(StoreError::Missing { path: path() }));
        assert_eq!(missing, Finding::ok("store", "none yet; depd run makes it"));
        let older = store(Err(StoreError::Older { path: path() }));
        assert_eq!(older, Finding::ok("store", "of an older depd; depd run brings it up to date"));
    }

    #[test]
    fn descriptors_are_counted_for_every_worker() {
        let remedy = "raise it (ulimit -n), or lower --workers";
        let text = "100 may be open at once, and depd may need 164";
        assert_eq!(descriptors(Some(100), 100), Finding::warn("open files", text, remedy));
        let enough = Finding::ok("open files", "164 needed of 164");
        assert_eq!(descriptors(Some(164), 100), enough);
        assert_eq!(descriptors(None, 100), Finding::ok("open files", "no limit"));
    }
}
