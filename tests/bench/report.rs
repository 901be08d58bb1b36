//! Figures beside their goals, for people and for programs.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

use crate::api::Cluster;
use crate::depd;
use crate::options::Options;

/// Everything that was measured.
pub struct Report {
    mode: &'static str,
    server_version: String,
    /// Which build of depd, in words.
    program: String,
    rows: Vec<Row>,
    /// Connections of the raw loop that was best.
    pub best_connections: usize,
}

/// One figure.
pub struct Row {
    id: String,
    what: String,
    measured: f64,
    unit: &'static str,
    goal: Option<Goal>,
    note: String,
}

struct Goal {
    limit: f64,
    /// Where the limit comes from.
    words: String,
    is_count: bool,
}

impl Row {
    pub fn new(
        id: impl Into<String>,
        what: impl Into<String>,
        measured: f64,
        unit: &'static str,
    ) -> Row {
        let (id, what) = (id.into(), what.into());
        Row { id, what, measured, unit, goal: None, note: String::new() }
    }

    /// At most `limit`, which stands for `words`.
    pub fn at_most(mut self, limit: f64, words: &str) -> Row {
        self.goal = Some(Goal { limit, words: words.to_owned(), is_count: false });
        self
    }

    /// Must be exactly this, in every mode.
    pub fn exactly(mut self, count: usize) -> Row {
        self.goal = Some(Goal { limit: count as f64, words: String::new(), is_count: true });
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Row {
        self.note = note.into();
        self
    }

    fn reached(&self) -> Option<bool> {
        let goal = self.goal.as_ref()?;
        Some(if goal.is_count { self.measured == goal.limit } else { self.measured <= goal.limit })
    }

    fn columns(&self) -> [String; 5] {
        let goal = match &self.goal {
            None => String::new(),
            Some(goal) if goal.is_count => format!("= {}", number(goal.limit)),
            Some(goal) if goal.words.is_empty() => format!("≤ {}", number(goal.limit)),
            Some(goal) => format!("≤ {} ({})", number(goal.limit), goal.words),
        };
        let mark = match self.reached() {
            None => String::new(),
            Some(true) => "yes".to_owned(),
            Some(false) => format!("NO{}", self.miss()),
        };
        let measured = format!("{} {}", number(self.measured), self.unit);
        [self.what.clone(), measured.trim_end().to_owned(), goal, mark, self.note.clone()]
    }

    /// By how much the goal is missed: `, 1.3 × the goal`.
    fn miss(&self) -> String {
        match &self.goal {
            Some(goal) if !goal.is_count && goal.limit > 0.0 => {
                format!(", {} × the goal", number(self.measured / goal.limit))
            }
            _ => String::new(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "what": self.what,
            "measured": self.measured,
            "unit": self.unit,
            "goal": self.goal.as_ref().map(|goal| goal.limit),
            "goal_is": self.goal.as_ref().map(|goal| &goal.words),
            "reached": self.reached(),
            "note": self.note,
        })
    }
}

impl Report {
    pub fn new(options: &Options, cluster: &Cluster) -> Report {
        let version: Value = cluster.admin.get("/version");
        Report {
            mode: options.mode,
            server_version: version["gitVersion"].as_str().unwrap_or_default().to_owned(),
            program: program(),
            rows: Vec::new(),
            best_connections: 32,
        }
    }

    /// Takes a figure, and says it at once for those who wait.
    pub fn add(&mut self, mut row: Row) {
        if self.mode == "smoke" {
            // So few of everything, in an unoptimised build: only counts mean something.
            row.goal = row.goal.filter(|goal| goal.is_count);
        }
        let [what, measured, goal, mark, note] = row.columns();
        eprintln!("bench: {what}: {measured} {goal} {mark} {note}");
        self.rows.push(row);
    }

    /// A figure that was taken already.
    pub fn measured(&self, id: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.id == id).map(|row| row.measured)
    }

    /// Every count that had to be exact was.
    pub fn counts_are_right(&self) -> bool {
        let is_count = |row: &&Row| row.goal.as_ref().is_some_and(|goal| goal.is_count);
        self.rows.iter().filter(is_count).all(|row| row.reached() == Some(true))
    }

    /// Prints the table.
    pub fn print(&self) {
        let mut lines = vec![["what", "measured", "goal", "reached", "note"].map(String::from)];
        lines.extend(self.rows.iter().map(Row::columns));
        let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max();
        let widths = [0, 1, 2, 3, 4].map(|at| width(at).unwrap_or(0));
        println!("{}", self.title());
        for line in &lines {
            let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }

    fn title(&self) -> String {
        let (mode, version) = (self.mode, &self.server_version);
        let (program, processors) = (&self.program, processors());
        format!("{mode} mode, kube-apiserver {version}, {processors} processors, {program}")
    }

    /// Writes the same as JSON.
    pub fn write_json(&self, file: &Path) {
        let all = json!({
            "mode": self.mode,
            "kubernetes": self.server_version,
            "program": self.program,
            "processors": processors(),
            "figures": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        let text = serde_json::to_string_pretty(&all).expect("JSON");
        fs::write(file, text + "\n").unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// The released build is static and made for size, the usual one for speed: the size tells them apart.
fn program() -> String {
    let file = depd::program();
    let size = fs::metadata(&file).map_or(0, |file| file.len());
    let mib = size as f64 / f64::from(1 << 20);
    match std::env::var_os("DEPD_BENCH_PROGRAM").is_some() {
        true => format!("depd {} of {mib:.2} MiB", file.display()),
        false => format!("depd as Cargo builds it beside the bench, {mib:.2} MiB"),
    }
}

fn processors() -> usize {
    thread::available_parallelism().map_or(0, usize::from)
}

/// Three significant digits, and no fraction where it is large.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v == v.trunc() || v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}
