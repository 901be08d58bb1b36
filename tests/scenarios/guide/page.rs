//! Markdown → the blocks of a page, each with what is to be done with it. Nothing is passed over in
//! silence: a block of which that is not clear is an error.
//!
//! A block of commands (`sh`) is run to its end, which must be a success. A comment above it,
//! `<!-- test: CLAUSE, CLAUSE -->`, says otherwise, and is required above every other block.

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of its fence.
    pub line: usize,
    pub text: String,
    pub job: Job,
    /// Situations that are to be arranged before it is run.
    pub given: Vec<String>,
    /// It says something about a real control plane only.
    pub control_plane: bool,
    /// A file that must be there soon after it.
    pub then: Option<String>,
}

/// What is to be done with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Run it to its end, which must have this exit code.
    Run { code: i32 },
    /// Run it in a terminal of its own until it has said this, and let it go on.
    Terminal { until: String },
    /// Leave it out, for this reason.
    NotRun { why: String },
    /// The commands before it have printed this.
    Prints,
    /// Write it into this file, which must be right in the eyes of `depd check`.
    File(String),
    /// It is the line of `scripts/depd.cron`.
    Crontab,
    /// Its words are the names of the fields that this prints.
    Fields { of: String },
}

/// The blocks of a page, or what is wrong with it and where.
pub fn blocks(page: &str, source: &str) -> Result<Vec<Block>, String> {
    let mut found = Vec::new();
    let mut order: Option<(usize, String)> = None;
    let mut lines = source.lines().enumerate().map(|(at, line)| (at + 1, line));
    let mut before = "";
    while let Some((at, line)) = lines.next() {
        let wrong = |what: &str| Err(format!("{page}:{at}: {what}"));
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            let text = text.join("\n");
            let own = order.take().map(|(_, text)| text);
            match block(language, at, &text, own.as_deref()) {
                Ok(block) => found.push(block),
                Err(problem) => return wrong(&problem),
            }
        } else if line.trim_start().starts_with("```") {
            return wrong("a block in a list is not found by the test: begin it at the margin");
        } else if line.starts_with("    ") && before.is_empty() {
            return wrong("an indented block: write it between ```sh and ```");
        } else if let Some(text) = line.strip_prefix("<!-- test: ") {
            let Some(text) = text.strip_suffix(" -->") else { return wrong("no --> at the end") };
            order = Some((at, text.to_owned()));
        } else if let Some((at, _)) = &order {
            return Err(format!("{page}:{at}: no block follows"));
        }
        before = line;
    }
    match order {
        Some((at, _)) => Err(format!("{page}:{at}: no block follows")),
        None => Ok(found),
    }
}

fn block(language: &str, line: usize, text: &str, order: Option<&str>) -> Result<Block, String> {
    let run = (language == "sh").then_some(Job::Run { code: 0 });
    let mut block = Block {
        line,
        text: text.to_owned(),
        job: Job::Prints,
        given: Vec::new(),
        control_plane: false,
        then: None,
    };
    let mut job = run.clone();
    let mut is_terminal = false;
    let (clauses, why) = match order.unwrap_or_default().split_once("not run: ") {
        Some((clauses, why)) => (clauses, Some(why)),
        None => (order.unwrap_or_default(), None),
    };
    for clause in clauses.split(", ").filter(|clause| !clause.is_empty()) {
        let (word, rest) = clause.split_once(' ').unwrap_or((clause, ""));
        match (word, rest) {
            ("given", what) => block.given.push(what.to_owned()),
            ("control", "plane") => block.control_plane = true,
            ("terminal", "") => is_terminal = true,
            ("until", text) if is_terminal => job = Some(Job::Terminal { until: text.to_owned() }),
            ("then", file) => block.then = Some(file.to_owned()),
            ("exit", code) => {
                let code = code.strip_prefix("code ").and_then(|code| code.parse().ok());
                job = Some(Job::Run { code: code.ok_or("exit code of what?")? });
            }
            ("prints", "") => job = Some(Job::Prints),
            ("file", name) => job = Some(Job::File(name.to_owned())),
            ("crontab", "") => job = Some(Job::Crontab),
            ("fields", of) => {
                let of = of.strip_prefix("of ").ok_or("fields of what?")?;
                job = Some(Job::Fields { of: of.to_owned() });
            }
            _ => return Err(format!("the test does not know {clause:?}")),
        }
    }
    if let Some(why) = why {
        job = Some(Job::NotRun { why: why.to_owned() });
    }
    if is_terminal && !matches!(job, Some(Job::Terminal { .. })) {
        return Err("a terminal until when?".into());
    }
    block.job = job.ok_or("say above it what it is, <!-- test: prints --> for example")?;
    let is_command =
        matches!(block.job, Job::Run { .. } | Job::Terminal { .. } | Job::NotRun { .. });
    if is_command != run.is_some() {
        return Err(format!("that is nothing for a block of {language:?}"));
    }
    Ok(block)
}

/// Whether this was printed: `…` is anything within a line, and on a line of its own any lines. How wide
/// a column is does not count.
pub fn matches(expected: &str, printed: &str) -> bool {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected: Vec<String> = expected.lines().map(words).collect();
    let printed: Vec<String> = printed.lines().map(words).collect();
    sequence(&expected, &printed, &|pattern| *pattern == "…", &|pattern, line| {
        let pattern: Vec<char> = pattern.chars().collect();
        let line: Vec<char> = line.chars().collect();
        sequence(&pattern, &line, &|c| *c == '…', &|a, b| a == b)
    })
}

/// A sequence that has gaps in which anything may be, against one that has none.
fn sequence<P, T>(
    pattern: &[P],
    items: &[T],
    is_gap: &dyn Fn(&P) -> bool,
    alike: &dyn Fn(&P, &T) -> bool,
) -> bool {
    // Of several ways to match it is enough to keep the last gap (as in matching of file names).
    let (mut p, mut i) = (0, 0);
    let mut gap = None;
    while i < items.len() {
        if p < pattern.len() && is_gap(&pattern[p]) {
            gap = Some((p, i));
            p += 1;
        } else if p < pattern.len() && alike(&pattern[p], &items[i]) {
            p += 1;
            i += 1;
        } else if let Some((at, from)) = gap {
            gap = Some((at, from + 1));
            p = at + 1;
            i = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(is_gap)
}

#[test]
fn a_block_is_run_listed_or_refused() {
    let check = |source: &str, expect: Result<Job, &str>| {
        let found = blocks("page", source).map(|blocks| blocks[0].job.clone());
        assert_eq!(found, expect.map_err(str::to_owned), "{source}");
    };
    let until = |text: &str| Job::Terminal { until: text.into() };
    check("a\n\n```sh\nls\n```\n", Ok(Job::Run { code: 0 }));
    check("<!-- test: exit code 1 -->\n```sh\nls\n```\n", Ok(Job::Run { code: 1 }));
    check("<!-- test: terminal, until a b -->\n```sh\nls\n```\n", Ok(until("a b")));
    let why = Job::NotRun { why: "no, never".into() };
    check("<!-- test: not run: no, never -->\n```sh\nls\n```\n", Ok(why));
    check("<!-- test: prints -->\n```text\nx\n```\n", Ok(Job::Prints));
    let untold = "page:1: say above it what it is, <!-- test: prints --> for example";
    check("```text\nx\n```\n", Err(untold));
    check("```\nx\n```\n", Err(untold));
    check(
        "<!-- test: not run: why -->\n```\nx\n```\n",
        Err("page:2: that is nothing for a block of \"\""),
    );
    check(
        "<!-- test: prints -->\n```sh\nx\n```\n",
        Err("page:2: that is nothing for a block of \"sh\""),
    );
    check("<!-- test: hope -->\n```sh\nx\n```\n", Err("page:2: the test does not know \"hope\""));
    check("<!-- test: terminal -->\n```sh\nx\n```\n", Err("page:2: a terminal until when?"));
    check("<!-- test: exit code 1 -->\n\n```sh\nls\n```\n", Err("page:1: no block follows"));
    check("a\n\n    ls\n", Err("page:3: an indented block: write it between ```sh and ```"));
    check(
        "- a\n  ```sh\n  ls\n  ```\n",
        Err("page:2: a block in a list is not found by the test: begin it at the margin"),
    );
}

#[test]
fn what_was_printed_may_have_gaps() {
    for (expected, printed, expect) in [
        ("a\nb", "a\nb\n", true),
        ("a\nb", "a\nb\nc\n", false),
        ("…\nb", "x\ny\nb\n", true),
        ("…\nb", "b\n", true),
        ("…\nb\n…", "x\nb\nb c\n", true),
        ("web  …  deployed", "web  12s  deployed", true),
        ("web  …  deployed", "web  12s  failed", false),
        ("web … deployed", "web   12s  deployed", true),
        ("a…b…c", "a1b2b3c", true),
        ("a…b", "ab1", false),
        ("", "a", false),
        ("…", "", true),
    ] {
        assert_eq!(matches(expected, printed), expect, "{expected:?} {printed:?}");
    }
}
