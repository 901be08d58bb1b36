//! The README and every page of the guide, done as they say: each block of commands is run, in its
//! order, in a home folder made for it, and what a page shows as output is compared with what came.
//!
//! A block that is left out is printed with the reason. What says something about a real control
//! plane only is run there, by scripts/test-cluster; the rest on the sandbox too.

mod eks;
mod page;
mod place;
mod session;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

use depd::guide::{PAGES, Page};
use serde_json::Value;

use crate::wait::wait_for;
use page::{Block, Job, blocks, matches};
use place::{Place, kubectl, on_path};

/// Pages speak of the same workloads, and a real control plane is one for all of them.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

macro_rules! pages {
    ($($test:ident $name:literal)*) => {
        const TESTED: &[&str] = &[$($name),*];
        $(
            #[test]
            fn $test() {
                follow($name, Page::named($name).expect("a page").source);
            }
        )*
    };
}

pages! {
    the_page_first_deployment "first-deployment"
    the_page_ci "ci"
    the_page_ecr "ecr"
    the_page_host "host"
    the_page_go_engine "go-engine"
    the_page_dep_files "dep-files"
    the_page_rollouts "rollouts"
    the_page_messages "messages"
    the_page_cluster "cluster"
}

fn readme() -> String {
    fs::read_to_string("README.md").expect("readable")
}

#[test]
fn the_readme() {
    follow("README", &readme());
}

#[test]
fn every_page_is_followed_by_a_test_and_the_readme_names_it_and_stays_short() {
    let names: Vec<&str> = PAGES.iter().map(|page| page.name).collect();
    assert_eq!(names, TESTED);
    let readme = readme();
    for name in names {
        assert!(readme.contains(&format!("[{name}](src/guide/{name}.md)")), "{name}");
    }
    let lines = readme.lines().count();
    assert!(lines <= 200, "{lines} lines: move details to a page of src/guide");
}

#[test]
fn links_lead_somewhere() {
    let sources =
        PAGES.iter().map(|page| (format!("src/guide/{}.md", page.name), page.source.to_owned()));
    for (file, source) in sources.chain([("README.md".to_owned(), readme())]) {
        let folder = std::path::Path::new(&file).parent().expect("a folder");
        for link in source.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            if path.starts_with("https://") {
                continue;
            }
            let target = if path.is_empty() { file.clone().into() } else { folder.join(path) };
            let text = fs::read(&target).unwrap_or_else(|error| panic!("{file}: {link}: {error}"));
            let has = |line: &str| line.starts_with('#') && anchor(line) == heading;
            let found = heading.is_empty() || String::from_utf8_lossy(&text).lines().any(has);
            assert!(found, "{file}: {link}: no such heading");
        }
    }
}

/// What GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_line_for_cron_is_the_one_that_is_packed() {
    let lines = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("* * *"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let packed = lines(&fs::read_to_string("scripts/depd.cron").expect("readable"));
    let shown = lines(Page::named("host").expect("a page").source);
    assert_eq!(packed.len(), 1);
    assert_eq!(packed, shown);
}

/// Does what a page says.
fn follow(name: &str, source: &str) {
    let blocks = blocks(name, source).unwrap_or_else(|problem| panic!("{problem}"));
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|broken| broken.into_inner());
    if blocks.is_empty() || !has_programs(name, &blocks) {
        return;
    }
    let mut place = Place::new();
    for block in &blocks {
        let at = format!("{name}:{}", block.line);
        if block.control_plane && !place.cluster.is_real() {
            println!("not run: {at}: it needs a control plane; scripts/test-cluster runs it");
            continue;
        }
        block.given.iter().for_each(|given| place.arrange(given));
        perform(&mut place, block, &at);
        if let Some(file) = &block.then {
            let file = place.session.here(file);
            wait_for(&format!("{file} after {at}"), || fs::metadata(&file).ok());
        }
    }
    place.tidy_up();
}

fn perform(place: &mut Place, block: &Block, at: &str) {
    let session = &mut place.session;
    match &block.job {
        Job::Run { code } => {
            println!("run: {at}");
            let ended = session.run(&session.here(&block.text));
            let (printed, shown) = (&session.printed, session.shown());
            assert_eq!(
                ended,
                Some(*code),
                "{at}\n{}\nprinted\n{printed}\nand terminals show\n{shown}",
                block.text
            );
        }
        Job::Terminal { until } => {
            println!("run: {at}: in a terminal of its own");
            session.open_terminal(&session.here(&block.text), until);
        }
        Job::NotRun { why } => {
            println!("not run: {at}: {why}");
            let words = block.text.split_whitespace();
            for script in words.filter(|word| word.starts_with("scripts/") || *word == ".ci/run") {
                assert!(fs::exists(script).is_ok_and(|is| is), "{at}: there is no {script}");
            }
        }
        Job::Prints => {
            let (expected, printed) = (&block.text, &session.printed);
            assert!(matches(expected, printed), "{at}: expected\n{expected}\nand not\n{printed}");
        }
        Job::File(file) => {
            let write =
                format!("mkdir -p \"$(dirname {file})\"\ncat >{file} <<'END'\n{}\nEND", block.text);
            assert_eq!(
                session.run(&format!("{write}\ndepd check \"$(dirname {file})\"")),
                Some(0),
                "{at}: {}",
                session.printed
            );
        }
        // Held against the packed line by a test of its own; the page's commands install that one.
        Job::Crontab => {}
        Job::Fields { of } => fields(place, of, &block.text, at),
    }
}

/// The words between quotation marks are the names of the fields that a command prints.
fn fields(place: &mut Place, of: &str, text: &str, at: &str) {
    let documented: BTreeSet<String> = match serde_json::from_str::<Value>(text) {
        Ok(document) => keys(&document),
        Err(_) => text.split('"').skip(1).step_by(2).map(str::to_owned).collect(),
    };
    let session = &mut place.session;
    let (command, is_example) = match of {
        // A program that is told prints what it is told.
        "a message" => {
            session.program("told", "cat >>\"$HOME/told\"; echo >>\"$HOME/told\"");
            ("ON_VERDICT=told depd report test >&2; cat \"$HOME/told\"", true)
        }
        command => (command, false),
    };
    session.run(&format!("{{ {command}; }} 2>\"$HOME/errors\" || true"));
    let documents = serde_json::Deserializer::from_str(&session.printed).into_iter::<Value>();
    let printed: BTreeSet<String> = documents
        .flat_map(|document| {
            keys(&document.unwrap_or_else(|error| panic!("{at}: {error}: {}", session.printed)))
        })
        .filter(|key| !is_example || key != "test")
        .collect();
    assert!(!printed.is_empty(), "{at}: nothing is printed");
    if is_example {
        let missing: Vec<&String> = printed.difference(&documented).collect();
        assert!(missing.is_empty(), "{at}: the page does not name {missing:?}");
    } else {
        assert_eq!(printed, documented, "{at}");
    }
}

fn keys(document: &Value) -> BTreeSet<String> {
    match document {
        Value::Object(fields) => {
            let deeper = fields.values().flat_map(keys);
            fields.keys().cloned().chain(deeper).collect()
        }
        Value::Array(items) => items.iter().flat_map(keys).collect(),
        _ => BTreeSet::new(),
    }
}

/// Whether this host has what the page uses; says what is missing.
fn has_programs(name: &str, blocks: &[Block]) -> bool {
    let is_real = std::env::var_os("DEPD_TEST_KUBECONFIG").is_some();
    let is_run = |block: &&Block| {
        let runs = matches!(block.job, Job::Run { .. } | Job::Terminal { .. });
        runs && (is_real || !block.control_plane)
    };
    let text: String =
        blocks.iter().filter(is_run).map(|block| block.text.clone() + "\n").collect();
    let uses = |program: &str| {
        let words = text.split(|c: char| c.is_whitespace() || "();|'".contains(c));
        words.into_iter().any(|word| word == program)
    };
    let mut missing: Vec<&str> =
        ["scp", "ssh"].into_iter().filter(|it| uses(it) && on_path(it).is_none()).collect();
    if uses("ssh") && on_path("sshd").is_none() {
        missing.push("sshd");
    }
    let required = std::env::var_os("DEPD_TEST_REQUIRE_PROGRAMS").is_some_and(|v| v == "1");
    assert!(missing.is_empty() || !required, "{name}: missing here: {missing:?}");
    // Only the real control plane brings it along.
    if uses("kubectl") && kubectl().is_none() {
        missing.push("kubectl");
    }
    if uses("aws") && std::env::var_os("DEPD_TEST_AWS").is_none() {
        missing.push("aws (DEPD_TEST_AWS)");
    }
    if !missing.is_empty() {
        println!("not run: the page {name}: missing here: {}", missing.join(", "));
    }
    missing.is_empty()
}
