//! What a file may hold, and what a name may be, seen from outside. FAULTS rows 1 to 5.

use std::io::Write as _;
use std::sync::Arc;
use std::thread;

use crate::Test;
use crate::child;
use crate::watched::Watched;

pub const TESTS: &[Test] = tests![
    fault_1_a_torn_write_is_never_acted_on,
    fault_1_a_file_held_open_for_long_is_not_taken_in_parts,
    a_file_that_is_never_closed_is_taken_once_it_rests,
    fault_2_an_empty_file_is_told_once_and_asks_for_nothing,
    fault_3_bytes_that_are_no_text_are_a_problem_with_a_place_and_others_go_on,
    a_problem_is_over_when_the_same_images_come_back,
    fault_5_a_bad_name_is_refused_once_and_others_go_on,
    security_12_a_name_that_would_fool_a_terminal_is_shown_escaped,
];

pub const CHILDREN: &[Test] = tests![torn_writes];

/// In a process of its own: a program that another test starts would inherit an open file for a moment,
/// and its close would come in the middle of the next save.
fn fault_1_a_torn_write_is_never_acted_on() {
    child::run("content::torn_writes", "true", "exec \"$@\"");
}

/// Started by fault_1. Writers save in chunks, one save right after the other, while the source reads. Each chunk makes
/// a longer valid image, and only one that ends in `-end` was ever complete.
fn torn_writes() {
    const SAVES: usize = 400;
    let deps = Watched::over(child::base(), |_| {});
    deps.wait_scanned();
    let deps = Arc::new(deps);
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let deps = Arc::clone(&deps);
            thread::spawn(move || {
                let path = deps.path(&format!("w{n}_prod.dep"));
                for save in 0..SAVES {
                    if n == 3 {
                        let _ = std::fs::remove_file(&path);
                    }
                    let mut file = std::fs::File::create(&path).unwrap();
                    for chunk in ["app:1".to_owned(), format!("{save}"), "-en".into(), "d".into()] {
                        file.write_all(chunk.as_bytes()).unwrap();
                        if n > 0 {
                            thread::yield_now();
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let reports = deps.reports_until_calm();
    let torn: Vec<_> = reports.iter().filter(|report| !report.ends_with("-end")).collect();
    assert!(torn.is_empty(), "{torn:?}\n{}", deps.log());
    for n in 0..4 {
        let last = reports.iter().rfind(|report| report.starts_with(&format!("w{n}_")));
        assert_eq!(last, Some(&format!("w{n}_prod: app:1{}-end", SAVES - 1)));
    }
}

fn fault_1_a_file_held_open_for_long_is_not_taken_in_parts() {
    let deps = Watched::new();
    deps.write("web_prod.dep", "app:1");
    assert_eq!(deps.next_report(), "web_prod: app:1");
    let mut file = std::fs::File::create(deps.path("web_prod.dep")).unwrap();
    for (n, part) in ["app:", "2", "3", "4"].into_iter().enumerate() {
        file.write_all(part.as_bytes()).unwrap();
        // Other files are told meanwhile: the source is not waiting for this one.
        deps.write("other_prod.dep", &format!("other:{n}"));
        assert_eq!(deps.next_report(), format!("other_prod: other:{n}"));
    }
    drop(file);
    assert_eq!(deps.reports_until_calm(), ["web_prod: app:234"]);
}

fn a_file_that_is_never_closed_is_taken_once_it_rests() {
    let deps = Watched::new();
    let mut file = std::fs::File::create(deps.path("web_prod.dep")).unwrap();
    file.write_all(b"app:12").unwrap();
    assert_eq!(deps.next_report(), "web_prod: app:12");
    drop(file);
    assert_eq!(deps.reports_until_calm(), Vec::<String>::new());
}

fn fault_2_an_empty_file_is_told_once_and_asks_for_nothing() {
    let deps = Watched::new();
    deps.write("web_prod.dep", "app:1");
    assert_eq!(deps.next_report(), "web_prod: app:1");
    deps.write("web_prod.dep", "");
    assert_eq!(deps.next_report(), "web_prod: gone");
    deps.write("web_prod.dep", "\n");
    deps.write("web_prod.dep", "# nothing");
    std::fs::remove_file(deps.path("web_prod.dep")).unwrap();
    assert_eq!(deps.reports_until_calm(), Vec::<String>::new());
}

fn fault_3_bytes_that_are_no_text_are_a_problem_with_a_place_and_others_go_on() {
    let deps = Watched::new();
    std::fs::write(deps.path("a_prod.dep"), b"nginx:\xff").unwrap();
    std::fs::write(deps.path("b_prod.dep"), b"nginx:1\0").unwrap();
    std::fs::write(deps.path("c_prod.dep"), b"\xef\xbb\xbfnginx:1\r\n").unwrap();
    let mut reports = deps.reports_until_calm();
    reports.sort();
    let expect = [
        "a_prod: problem: line 1, column 7: this is not UTF-8: save the file as UTF-8 text",
        "b_prod: problem: line 1, column 8: the character U+0000 is not allowed here",
        "c_prod: nginx:1",
    ];
    assert_eq!(reports, expect);
}

fn a_problem_is_over_when_the_same_images_come_back() {
    let deps = Watched::new();
    deps.write("web_prod.dep", "app:1");
    assert_eq!(deps.next_report(), "web_prod: app:1");
    deps.write("web_prod.dep", "app");
    assert!(deps.next_report().starts_with("web_prod: problem: line 1, column 4: no tag"));
    deps.write("web_prod.dep", "app:1");
    assert_eq!(deps.next_report(), "web_prod: app:1");
}

fn fault_5_a_bad_name_is_refused_once_and_others_go_on() {
    let deps = Watched::new();
    deps.write("nginx app_default.dep", "app:1");
    deps.write("README.md", "how to");
    deps.write("web_prod.dep", "app:1");
    deps.write("web_prod.dep.swp", "app:2");
    deps.write("nginx app_default.dep", "app:2");
    let mut reports = deps.reports_until_calm();
    reports.sort();
    let expect = [
        "README.md: refused: not a dep file, its name does not end in .dep",
        "nginx app_default.dep: refused: a space is not allowed in a service name: write \
         nginx-app_default.dep if that is meant",
        "web_prod: app:1",
    ];
    assert_eq!(reports, expect);
}

/// Security row 12, at the file system: whatever the name, what is shown of it is harmless.
fn security_12_a_name_that_would_fool_a_terminal_is_shown_escaped() {
    use std::os::unix::ffi::OsStrExt as _;
    let deps = Watched::new();
    deps.write("a\u{1b}[31m_prod.dep", "app:1");
    deps.write("b\u{202e}_prod.dep", "app:1");
    deps.write("c\n_prod.dep", "app:1");
    std::fs::write(
        deps.base.path().join("deps").join(std::ffi::OsStr::from_bytes(b"d\xff_prod.dep")),
        "",
    )
    .unwrap();
    let mut reports = deps.reports_until_calm();
    reports.sort();
    let expect = [
        "a\\u{1b}[31m_prod.dep: refused: the character U+001B is not allowed in a service name",
        "b\\u{202e}_prod.dep: refused: the character U+202E is not allowed in a service name",
        "c\\u{a}_prod.dep: refused: a line break is not allowed in a service name",
        "d\\u{fffd}_prod.dep: refused: the name is not UTF-8",
    ];
    assert_eq!(reports, expect);
}
