//! Amazon ECR, where a flag asks for it: whose credentials, and do they open the registries that the
//! files name?

use std::collections::BTreeSet;

use super::super::settings as raw;
use super::findings::Finding;
use super::{Notes, Patient};
use crate::model::{EcrRegistry, ImageSet};
use crate::registry::diagnose;
use crate::source::Finding as FileFinding;

/// Registries that are asked; the others are as good.
const MOST: usize = 4;

/// Looks at it.
pub fn look(patient: &Patient, notes: &Notes) {
    let run = &patient.run;
    if !run.ecr_pull_secret && !run.ecr_check {
        return;
    }
    let found = registries(patient);
    if found.is_empty() {
        notes.add(Finding::ok("ECR", "no file names an image of it yet"));
    }
    let settings = raw::registry(run, &patient.env);
    for registry in found.iter().take(MOST) {
        let (host, region) = (registry.host(), registry.region());
        notes.add(match diagnose(&settings, registry) {
            Ok(source) => Finding::ok("ECR", format!("{host} ({region}) opens to {source}")),
            Err(why) => Finding::fail("ECR", why, "see the page about Amazon ECR"),
        });
    }
}

fn registries(patient: &Patient) -> BTreeSet<EcrRegistry> {
    let images = patient.files.iter().flatten().filter_map(|file| match &file.finding {
        FileFinding::Images(images) => Some(images),
        _ => None,
    });
    let each = |set: &ImageSet| match set {
        ImageSet::Single(image) => vec![image.clone()],
        ImageSet::Named(pairs) => pairs.iter().map(|(_, image)| image.clone()).collect(),
    };
    images.flat_map(each).filter_map(|image| EcrRegistry::of(&image)).collect()
}
