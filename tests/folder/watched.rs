//! A folder with a source on it, and ways to wait for what the source tells.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use depd::model::Problem;
use depd::source::{FileReport, FolderEvent, FolderState, Source, SourceOptions};
use tempfile::TempDir;

/// No wait lasts longer; reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Watched {
    /// Holds the folder and whatever a test puts beside it.
    pub base: TempDir,
    events: Receiver<FolderEvent>,
    log: Arc<Mutex<Vec<String>>>,
    source: Option<Source>,
}

impl Watched {
    /// A fresh, empty folder, whose first scan is over.
    pub fn new() -> Watched {
        Watched::with(|_| {})
    }

    /// The same, with other options.
    pub fn with(change: impl FnOnce(&mut SourceOptions)) -> Watched {
        let watched = Watched::unstarted(change);
        watched.wait_scanned();
        watched
    }

    /// The same, not waiting for the first scan.
    pub fn unstarted(change: impl FnOnce(&mut SourceOptions)) -> Watched {
        let base = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(base.path().join("deps")).expect("a folder");
        Watched::over(base, change)
    }

    /// A source on `base`'s folder `deps` as it is.
    pub fn over(base: TempDir, change: impl FnOnce(&mut SourceOptions)) -> Watched {
        let mut options = SourceOptions::new(base.path().join("deps"));
        change(&mut options);
        let (sender, events) = unbounded();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (began, lines) = (Instant::now(), Arc::clone(&log));
        let sink = move |event| {
            let line = format!("{:6} ms {event:?}", began.elapsed().as_millis());
            lines.lock().expect("not poisoned").push(line);
            let _ = sender.send(event);
        };
        let source = Source::start(options, sink).expect("a source");
        Watched { base, events, log, source: Some(source) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.base.path().join("deps").join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("written");
    }

    /// Everything that was told, for the message of a failed assertion.
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").join("\n")
    }

    pub fn source(&self) -> &Source {
        self.source.as_ref().expect("running")
    }

    /// The first event that `pick` wants.
    pub fn wait<T>(&self, mut pick: impl FnMut(FolderEvent) -> Option<T>) -> T {
        let until = Instant::now() + LIMIT;
        let mut passed = Vec::new();
        loop {
            match self.events.recv_deadline(until) {
                Ok(event) => {
                    let note = format!("{event:?}");
                    if let Some(found) = pick(event) {
                        return found;
                    }
                    passed.push(note);
                }
                Err(_) => panic!("not in time; instead: {passed:#?}"),
            }
        }
    }

    pub fn wait_scanned(&self) -> usize {
        self.wait(|event| match event {
            FolderEvent::Scanned { files } => Some(files),
            _ => None,
        })
    }

    /// The next report about any file, as `service_namespace: what it says`.
    pub fn next_report(&self) -> String {
        self.wait(|event| report(&event))
    }

    pub fn wait_state(&self, wanted: impl Fn(&FolderState) -> bool) -> FolderState {
        self.wait(|event| match event {
            FolderEvent::State(state) if wanted(&state) => Some(state),
            _ => None,
        })
    }

    /// Everything told about files until it is proven that no more will come of what was done
    /// before: an invalid file is written and not closed, and its problem is told only after the
    /// longest time that any other problem or loss needs, too. Twice, because files that a scan
    /// finds together are told of in any order.
    pub fn reports_until_calm(&self) -> Vec<String> {
        let mut reports = Vec::new();
        for _ in 0..2 {
            let mut file = std::fs::File::create(self.path("calm_calm.dep")).expect("created");
            file.write_all(b"no image\n").expect("written");
            self.wait(|event| {
                let told = report(&event)?;
                if told.starts_with("calm_calm: problem") {
                    return Some(());
                }
                reports.push(told);
                None
            });
            drop(file);
            std::fs::remove_file(self.path("calm_calm.dep")).expect("removed");
            self.wait(|event| {
                let told = report(&event)?;
                if told == "calm_calm: gone" {
                    return Some(());
                }
                reports.push(told);
                None
            });
        }
        reports
    }
}

/// One line about a file, if the event is about one.
pub fn report(event: &FolderEvent) -> Option<String> {
    Some(match event {
        FolderEvent::File { key, report: FileReport::Images(images) } => format!("{key}: {images}"),
        FolderEvent::File { key, report: FileReport::Problem(problem) } => {
            format!("{key}: problem: {problem}")
        }
        FolderEvent::File { key, report: FileReport::Gone } => format!("{key}: gone"),
        FolderEvent::Refused { name, problem: Problem { text, .. } } => {
            format!("{name}: refused: {text}")
        }
        _ => return None,
    })
}
