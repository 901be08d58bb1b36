//! The invariants of the house, checked on its source text: what must be absent from where.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/rows.rs"]
mod rows;

/// The pure core: these folders and files may not touch the world.
const CORE: &[&str] = &[
    "src/model",
    "src/guide",
    "src/cli/live/lines.rs",
    "src/desired",
    "src/observed",
    "src/reconcile",
    "src/queue/keyed.rs",
    "src/queue/backoff.rs",
    "src/source/settle.rs",
    "src/source/settle",
    "src/store/batch.rs",
    "src/store/folder.rs",
    "src/store/step.rs",
    "src/report/words.rs",
    "src/report/alarm.rs",
    "src/report/digest.rs",
    "src/report/discord.rs",
    "src/report/events.rs",
    "src/report/filter.rs",
    "src/report/kind.rs",
    "src/report/pace.rs",
    "src/report/page.rs",
    "src/report/record.rs",
    "src/report/samples.rs",
    "src/report/signature.rs",
    "src/report/slack.rs",
    "src/report/teams.rs",
    "src/report/text.rs",
    "src/report/webhook.rs",
    "src/cluster/kubeconfig.rs",
    "src/cluster/kubeconfig/pick.rs",
    "src/cluster/initial.rs",
    "src/cluster/reflector.rs",
    "src/cluster/mark.rs",
    "src/cluster/call.rs",
    "src/cluster/request.rs",
    "src/cluster/request",
    "src/cluster/rights.rs",
    "src/cluster/response.rs",
    "src/cluster/response",
    "src/cluster/error.rs",
    "src/cluster/watched.rs",
    "src/cluster/access.rs",
    "src/cluster/credentials/protocol.rs",
    "src/cluster/kubeconfig/error.rs",
    "src/cluster/kubeconfig/format.rs",
    "src/cluster/tls/der.rs",
    "src/net/proxy.rs",
    "src/net/resolve/conf.rs",
    "src/net/resolve/message.rs",
    "src/cluster/window.rs",
    "src/daemon/cover.rs",
    "src/registry/answer.rs",
    "src/registry/docker_config.rs",
    "src/registry/endpoint.rs",
    "src/registry/environment.rs",
    "src/registry/images.rs",
    "src/registry/ini.rs",
    "src/registry/profile.rs",
    "src/registry/sigv4.rs",
];

/// Clocks, files, sockets, threads, locks, processes, the environment, randomness and logs.
const WORLD: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "clock::",
    "std::fs",
    "fs::read",
    "File::open",
    "File::create",
    "std::net::Tcp",
    "std::net::Udp",
    "TcpStream",
    "std::thread",
    "thread::",
    "std::process",
    "std::env",
    "std::io",
    "Mutex",
    "RwLock",
    "Condvar",
    "Atomic",
    "OnceLock",
    "LazyLock",
    "mpsc",
    "crossbeam",
    "parking_lot",
    "RandomState",
    "ureq::Agent",
    "log::",
    "println!",
];

/// Which module may use which: dependencies point one way. A module may use itself and those named.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("failpoint", &[]),
    ("guide", &[]),
    ("desired", &["model"]),
    ("observed", &["model"]),
    ("queue", &["model", "clock"]),
    ("reconcile", &["model", "desired", "queue"]),
    ("source", &["model", "desired", "clock"]),
    ("net", &[]),
    ("cluster", &["model", "net"]),
    ("registry", &["model", "net", "cluster", "clock"]),
    ("store", &["model", "reconcile", "clock"]),
    ("report", &["model", "net", "queue", "clock"]),
    (
        "worker",
        &[
            "model",
            "desired",
            "observed",
            "queue",
            "reconcile",
            "cluster",
            "registry",
            "clock",
            "failpoint",
        ],
    ),
    ("sandbox", &["model"]),
];

/// The edges of the process, which may use everything.
const EDGES: &[&str] = &["cli", "daemon", "lib", "main"];

/// What a module may use of another, where it may not use all of it.
const MAY_USE_OF: &[(&str, &str, &[&str])] = &[("reconcile", "queue", &["backoff"])];

fn sources(root: &str) -> Vec<PathBuf> {
    let path = Path::new(root);
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap_or_else(|error| panic!("{root}: {error}")) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(path.to_str().expect("UTF-8")));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn is_test(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}

/// The lines of production code with their numbers: no comments, and no test module.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("readable");
    let mut lines = Vec::new();
    let mut all = text.lines().enumerate().peekable();
    while let Some((at, line)) = all.next() {
        let tests = line == "#[cfg(test)]"
            && all.peek().is_some_and(|(_, next)| next.starts_with("mod ") && next.ends_with('{'));
        if tests {
            // rustfmt closes a module at the margin, and nothing else before it there.
            all.by_ref().find(|(_, line)| *line == "}");
        } else if !line.trim_start().starts_with("//") {
            lines.push((at + 1, line.to_owned()));
        }
    }
    lines
}

#[track_caller]
fn none(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}:\n{}", findings.join("\n"));
}

#[test]
fn the_pure_core_touches_no_clock_file_socket_thread_lock_or_log() {
    let mut found = Vec::new();
    for path in CORE.iter().flat_map(|root| sources(root)).filter(|path| !is_test(path)) {
        // The edge halves that live beside a core of the same name.
        if path.ends_with("kubeconfig/load.rs") {
            continue;
        }
        for (at, line) in code(&path) {
            for word in WORLD.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{}:{at}: {word}: {}", path.display(), line.trim()));
            }
        }
    }
    none(&found, "the pure core must not touch the world");
}

/// What asks for the time that may jump: to tell people or another server of it, or to compare it
/// with a time of theirs. `clock` does so once, at its start.
const WALL_CLOCK: &[&str] = &[
    "src/cli/",
    "src/clock.rs",
    "src/cluster/credentials/exec.rs",
    "src/daemon/journal.rs",
    "src/daemon/logging.rs",
    "src/registry/",
    "src/report/http.rs",
    "src/sandbox/wall.rs",
    "src/source/read.rs",
    "src/source/scan.rs",
    "src/store/disk.rs",
];

#[test]
fn fault_39_no_deadline_counts_by_a_clock_that_may_jump() {
    let mut found = Vec::new();
    for path in sources("src").into_iter().filter(|path| !is_test(path)) {
        let name = path.display().to_string();
        if WALL_CLOCK.iter().any(|known| name.starts_with(known)) {
            continue;
        }
        for (at, line) in code(&path) {
            if ["SystemTime::now", "Timestamp::now", "Zoned::now"]
                .iter()
                .any(|it| line.contains(it))
            {
                found.push(format!("{name}:{at}: {}", line.trim()));
            }
        }
    }
    none(&found, "time is counted by crate::clock, which no jump of the wall clock moves");
}

#[test]
fn what_the_rules_name_is_there_and_every_module_has_its_rule() {
    let gone: Vec<String> = CORE
        .iter()
        .filter(|path| !Path::new(path).exists())
        .map(|path| (*path).to_owned())
        .collect();
    none(&gone, "the pure core names what is not there");
    let modules: BTreeSet<String> = fs::read_dir("src")
        .expect("readable")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned())
        .collect();
    let ruled = MAY_USE.iter().map(|(module, _)| module).chain(EDGES);
    let ruled: BTreeSet<String> = ruled.map(|module| (*module).to_owned()).collect();
    assert_eq!(modules, ruled, "each folder and file of src is in MAY_USE or in EDGES");
}

#[test]
fn a_test_module_is_cut_out_and_what_follows_it_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.rs");
    let text = "one\n#[cfg(test)]\nmod tests {\n    two\n}\n// three\n#[cfg(test)]\nmod x;\nfour\n";
    fs::write(&file, text).expect("written");
    let lines: Vec<String> = code(&file).into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["one", "#[cfg(test)]", "mod x;", "four"]);
}

#[test]
fn dependencies_between_modules_point_one_way() {
    let mut found = Vec::new();
    for (module, allowed) in MAY_USE {
        let root = if ["clock", "failpoint"].contains(module) {
            format!("src/{module}.rs")
        } else {
            format!("src/{module}")
        };
        for path in sources(&root).into_iter().filter(|path| !is_test(path)) {
            for (at, line) in code(&path) {
                for part in line.split("crate::").skip(1) {
                    let used: String =
                        part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if used != *module && !allowed.contains(&used.as_str()) {
                        found.push(format!("{}:{at}: {module} uses {used}", path.display()));
                    }
                    let part_of =
                        |(own, of, _): &&(&str, &str, &[&str])| own == module && *of == used;
                    if let Some((_, _, parts)) = MAY_USE_OF.iter().find(part_of) {
                        let rest = part[used.len()..].trim_start_matches("::");
                        if !parts.iter().any(|allowed| rest.starts_with(allowed)) {
                            found.push(format!("{}:{at}: {module} uses {part}", path.display()));
                        }
                    }
                }
            }
        }
    }
    none(&found, "a module uses one that it must not know");
}

#[test]
fn only_the_wiring_knows_every_edge() {
    const EDGES: &[&str] = &["crate::source", "crate::cluster", "crate::store", "crate::worker"];
    let knows_all = |path: &PathBuf| {
        let text: String = code(path).into_iter().map(|(_, line)| line + "\n").collect();
        EDGES.iter().all(|edge| text.contains(edge))
    };
    let knowing: Vec<PathBuf> = sources("src").into_iter().filter(knows_all).collect();
    assert_eq!(knowing, [PathBuf::from("src/daemon/wiring.rs")]);
}

#[test]
fn no_async_runtime_is_in_the_tree() {
    let lock = fs::read_to_string("Cargo.lock").expect("readable");
    let forbidden = ["tokio", "async-std", "smol", "async-executor", "futures-executor", "hyper"];
    let found: Vec<String> = forbidden
        .iter()
        .filter(|name| lock.contains(&format!("name = \"{name}\"\n")))
        .map(|name| (*name).to_owned())
        .collect();
    none(&found, "no async runtime");
}

#[test]
fn the_top_level_is_as_announced() {
    let allowed = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "deps",
        "scripts",
        "src",
        "target",
        "tests",
    ];
    let names = fs::read_dir(".")
        .expect("readable")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let visible: BTreeSet<String> = names.filter(|name| !name.starts_with('.')).collect();
    let extra: Vec<String> =
        visible.into_iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    none(&extra, "nothing else belongs at the top level");
}

#[test]
fn every_module_says_what_it_is_for_and_no_file_is_two_concepts() {
    let mut found = Vec::new();
    for path in sources("src") {
        let text = fs::read_to_string(&path).expect("readable");
        if !text.starts_with("//!") && !is_test(&path) {
            found.push(format!("{}: does not open with its purpose", path.display()));
        }
        let lines = code(&path).len();
        if lines > 420 && !is_test(&path) {
            found.push(format!("{}: {lines} lines of code", path.display()));
        }
    }
    none(&found, "files");
}

#[test]
fn nothing_is_left_for_later_and_no_lint_is_silenced() {
    let words = ["todo!", "unimplemented!", "TODO", "FIXME", "#[ignore", "#[allow(", "#![allow("];
    let mut found = Vec::new();
    let own = |path: &PathBuf| path.ends_with("tests/tidy.rs");
    for path in sources("src").into_iter().chain(sources("tests")).filter(|path| !own(path)) {
        let text = fs::read_to_string(&path).expect("readable");
        for (at, line) in text.lines().enumerate() {
            // A test that another test runs in a process of its own says so.
            let is_child = line.contains("#[ignore = ") && line.contains("started by");
            for word in words.iter().filter(|word| line.contains(**word) && !is_child) {
                found.push(format!("{}:{}: {word}", path.display(), at + 1));
            }
        }
    }
    none(&found, "no loose ends");
}
