//! What was found, and how it is shown. The shape of the JSON is a promise: fields may be added, none
//! changes or goes.

use serde::Serialize;

use crate::cli::print::{self, Cell, Tone};

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    check: &'static str,
    verdict: Verdict,
    finding: String,
    /// What to do; empty where there is nothing to do.
    remedy: String,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// depd works, with less than it could.
    Warn,
    /// depd does not work, or some service does not.
    Fail,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &'static str, finding: impl Into<String>) -> Finding {
        Finding::new(check, Verdict::Ok, finding, "")
    }

    /// Something could be better.
    pub fn warn(
        check: &'static str,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding::new(check, Verdict::Warn, finding, remedy)
    }

    /// Something must be mended.
    pub fn fail(
        check: &'static str,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding::new(check, Verdict::Fail, finding, remedy)
    }

    /// Of any verdict.
    pub fn new(
        check: &'static str,
        verdict: Verdict,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding { check, verdict, finding: finding.into(), remedy: remedy.into() }
    }

    /// A sentence of another room, which says what is the matter and, behind a colon, what to do.
    pub fn of_sentence(check: &'static str, verdict: Verdict, sentence: &str) -> Finding {
        let (finding, remedy) = sentence.split_once(": ").unwrap_or((sentence, ""));
        Finding::new(check, verdict, finding, remedy)
    }

    /// What was looked at.
    #[cfg(test)]
    pub fn check(&self) -> &'static str {
        self.check
    }
}

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Report {
    checks: Vec<Finding>,
    counts: Counts,
}

/// How many checks came to what.
#[derive(Debug, Serialize)]
struct Counts {
    ok: usize,
    warn: usize,
    fail: usize,
}

impl Report {
    /// Of everything that was found.
    pub fn new(checks: Vec<Finding>) -> Report {
        let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
        let counts = Counts {
            ok: count(Verdict::Ok),
            warn: count(Verdict::Warn),
            fail: count(Verdict::Fail),
        };
        Report { checks, counts }
    }

    /// Something must be mended.
    pub fn has_failed(&self) -> bool {
        self.counts.fail > 0
    }
}

/// The lines for people: no titles, since each line speaks for itself.
pub fn table(report: &Report, colours: bool) -> String {
    let row = |one: &Finding| {
        let (word, tone) = match one.verdict {
            Verdict::Ok => ("ok", Tone::Good),
            Verdict::Warn => ("warn", Tone::Warning),
            Verdict::Fail => ("fail", Tone::Bad),
        };
        let text = match one.remedy.is_empty() {
            true => one.finding.clone(),
            false => format!("{}: {}", one.finding, one.remedy),
        };
        vec![Cell::toned(word, tone), one.check.into(), text.into()]
    };
    let rows: Vec<Vec<Cell>> = report.checks.iter().map(row).collect();
    let Counts { ok, warn, fail } = report.counts;
    print::table(&["", "CHECK", "FOUND"], &rows, colours)
        + &format!("{ok} ok, {warn} warnings, {fail} failed\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_what_to_do_and_colour_is_only_for_terminals() {
        let report = Report::new(vec![
            Finding::ok("folder", "deps: 3 files"),
            Finding::warn("clock", "it is 12 s ahead", "set it by NTP"),
            Finding::fail("rights", "patch is missing", "depd rbac"),
        ]);
        assert_eq!(
            table(&report, false),
            "      CHECK   FOUND\n\
             ok    folder  deps: 3 files\n\
             warn  clock   it is 12 s ahead: set it by NTP\n\
             fail  rights  patch is missing: depd rbac\n\
             1 ok, 1 warnings, 1 failed\n"
        );
        assert!(table(&report, true).contains("\x1b[31mfail\x1b[0m  rights"));
        assert!(report.has_failed());
        assert!(!Report::new(vec![Finding::warn("clock", "", "")]).has_failed());
    }
}
