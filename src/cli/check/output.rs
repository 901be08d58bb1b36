//! What `depd check` prints. The shape of the JSON is a promise, which the README documents: fields
//! may be added, none changes or goes.

use std::fmt::Write as _;

use serde::Serialize;

use crate::model::{ImageSet, Problem};
use crate::source::{FileRead, Finding};

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Report {
    files: Vec<File>,
    pub counts: Counts,
}

/// One file. It has images, or a problem, or a note, or is empty.
#[derive(Debug, Serialize)]
struct File {
    /// Its path, the folder as it was given included; unprintable characters are escaped.
    file: String,
    /// Both are null where the name does not say them.
    service: Option<String>,
    namespace: Option<String>,
    images: Vec<ContainerImage>,
    problem: Option<Place>,
    /// Why it is passed over, where that is nobody's mistake.
    note: Option<String>,
}

/// One image; the container is null where the file names none.
#[derive(Debug, Serialize)]
struct ContainerImage {
    container: Option<String>,
    image: String,
}

/// A problem; line and column count from 1, and are null where it concerns the file as a whole.
#[derive(Debug, Serialize)]
struct Place {
    line: Option<u32>,
    column: Option<u32>,
    text: String,
}

/// How many files there are, and of which kind.
#[derive(Debug, Default, Serialize)]
pub struct Counts {
    files: usize,
    valid: usize,
    empty: usize,
    /// Not meant as dep files.
    other: usize,
    pub problems: usize,
}

impl Report {
    /// Of the files in `folder`, which is harmless to print.
    pub fn new(folder: &str, files: &[FileRead]) -> Report {
        let slash = if folder.ends_with('/') { "" } else { "/" };
        let file = |read: &FileRead| File::new(format!("{folder}{slash}{}", read.name), read);
        let files: Vec<File> = files.iter().map(file).collect();
        let problems = files.iter().filter(|file| file.problem.is_some()).count();
        let empty = files.iter().filter(|file| file.is_empty()).count();
        let other = files.iter().filter(|file| file.note.is_some()).count();
        let valid = files.len() - problems - empty - other;
        let counts = Counts { files: files.len(), valid, empty, other, problems };
        Report { files, counts }
    }
}

impl File {
    fn new(file: String, read: &FileRead) -> File {
        let (images, problem) = match &read.finding {
            Finding::Images(images) => (list(images), None),
            Finding::Empty => (Vec::new(), None),
            Finding::Problem(problem) | Finding::Refused(problem) | Finding::Unread(problem) => {
                (Vec::new(), Some(Place::new(problem)))
            }
        };
        let (problem, note) = match problem {
            Some(Place { text, .. }) if read.stray => (None, Some(text)),
            problem => (problem, None),
        };
        File {
            file,
            service: read.key.as_ref().map(|key| key.service().to_owned()),
            namespace: read.key.as_ref().map(|key| key.namespace().to_owned()),
            images,
            problem,
            note,
        }
    }

    fn is_empty(&self) -> bool {
        self.images.is_empty() && self.problem.is_none() && self.note.is_none()
    }

    fn key(&self) -> String {
        let part = |name: &Option<String>| name.clone().unwrap_or_default();
        format!("{} in {}", part(&self.service), part(&self.namespace))
    }
}

impl Place {
    fn new(problem: &Problem) -> Place {
        Place {
            line: problem.place.map(|(line, _)| line),
            column: problem.place.map(|(_, column)| column),
            text: problem.text.clone(),
        }
    }
}

fn list(images: &ImageSet) -> Vec<ContainerImage> {
    match images {
        ImageSet::Single(image) => {
            vec![ContainerImage { container: None, image: image.to_string() }]
        }
        ImageSet::Named(pairs) => pairs
            .iter()
            .map(|(container, image)| ContainerImage {
                container: Some(container.to_string()),
                image: image.to_string(),
            })
            .collect(),
    }
}

/// The lines for people: valid and empty files aligned in columns, problems as compilers write them.
pub fn table(report: &Report) -> String {
    let sound = || report.files.iter().filter(|file| file.problem.is_none() && file.note.is_none());
    let name_width = sound().map(|file| file.file.chars().count()).max().unwrap_or(0);
    let key_width = sound().map(|file| file.key().len()).max().unwrap_or(0);
    let mut text = String::new();
    for file in &report.files {
        let name = &file.file;
        // Writing to a String cannot fail.
        let _ = match (&file.problem, &file.note) {
            (None, Some(note)) => writeln!(text, "{name}: passed over: {note}"),
            (None, None) => {
                let (key, asks) = (file.key(), asks(file));
                writeln!(text, "{name:name_width$}  {key:key_width$}  {asks}")
            }
            (Some(Place { line: Some(line), column: Some(column), text: what }), _) => {
                writeln!(text, "{name}:{line}:{column}: {what}")
            }
            (Some(Place { text: what, .. }), _) => writeln!(text, "{name}: {what}"),
        };
    }
    text + &sum(&report.counts) + "\n"
}

fn asks(file: &File) -> String {
    if file.is_empty() {
        return "nothing: the file is empty".into();
    }
    let shown = |image: &ContainerImage| match &image.container {
        Some(container) => format!("{container}={}", image.image),
        None => image.image.clone(),
    };
    file.images.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn sum(counts: &Counts) -> String {
    let Counts { empty, other, problems, .. } = *counts;
    // Those that are passed over have their own lines, and no part in the sum.
    let files = counts.files - other;
    let many = if files == 1 { "file" } else { "files" };
    let empty = if empty == 0 { String::new() } else { format!(", {empty} empty") };
    match (files, problems) {
        (0, _) => "no dep files".into(),
        (_, 0) => format!("{files} {many}{empty}, all in order"),
        (_, 1) => format!("{files} {many}{empty}, 1 with a problem"),
        (_, n) => format!("{files} {many}{empty}, {n} with problems"),
    }
}
