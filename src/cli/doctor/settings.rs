//! Settings: which `.env` is in use, who can read what is secret, and what is set wrong.

use super::super::settings as raw;
use super::findings::{Finding, Verdict};
use super::{Notes, Patient};
use crate::daemon::permissions::exposure;
use crate::model::shown;

/// Looks at them.
pub fn look(patient: &Patient, notes: &Notes) {
    let Patient { run, env, .. } = patient;
    notes.add(match &env.file {
        Some(file) => Finding::ok("settings", format!("from {} besides", shown(file))),
        None => Finding::ok("settings", "no .env here; flags and environment alone"),
    });
    if let Err(failure) = raw::image_rules(&run.images, env) {
        notes.add(Finding::fail("images", failure.text(), ""));
    }
    let mut files = run.receivers.files();
    files.extend(raw::secret_environment(env));
    // What is wrong with it is said where the cluster is looked at.
    if let Ok(access) = raw::access(run.kubeconfig.as_deref(), run.context.as_deref(), env) {
        files.extend(access.secret_files());
    }
    files.retain(|file| file.exists());
    let exposed: Vec<String> = files.iter().filter_map(|file| exposure(file)).collect();
    match (files.len(), exposed.is_empty()) {
        (0, _) => {}
        (1, true) => notes.add(Finding::ok("secrets", "the file with them is for its owner")),
        (n, true) => notes.add(Finding::ok("secrets", format!("{n} files, for their owners"))),
        (_, false) => exposed.into_iter().for_each(|sentence| {
            notes.add(Finding::of_sentence("secrets", Verdict::Warn, &sentence));
        }),
    }
}
