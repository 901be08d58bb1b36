//! `depd check` on a folder with one of everything.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{depd, folder, refuses};

/// A valid file, a broken one, several containers, an empty one, leftovers, and what is no file.
fn fill(deps: &Path) {
    let files = [
        ("web_prod.dep", "nginx:1.25\n"),
        ("api_prod.dep", "# the interface\nnginx\n"),
        ("multi_prod.dep", "web=a:1\nside=b:2\n"),
        ("empty_prod.dep", ""),
        ("my app_prod.dep", "x:1\n"),
        ("esc\u{1b}[31m_prod.dep", "x:1\n"),
        (".web_prod.dep.swp", "x"),
        ("web_prod.dep~", "x"),
        ("web_prod.dep.last", "nginx:1.24"),
    ];
    for (name, content) in files {
        fs::write(deps.join(name), content).expect("written");
    }
    fs::create_dir(deps.join("dir_prod.dep")).expect("made");
    symlink("/etc/passwd", deps.join("link_prod.dep")).expect("linked");
}

fn output(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = depd(folder, arguments).output().expect("it runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn every_file_is_named_with_what_it_asks_for_or_its_problem() {
    let folder = folder();
    fill(&folder.path().join("deps"));
    let (code, text) = output(folder.path(), &["check"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!("check", text);
    let (code, json) = output(folder.path(), &["check", "deps", "--output", "json"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!("check-json", json);
}

#[test]
fn a_folder_in_order_is_exit_code_0_whether_named_or_set() {
    let folder = folder();
    fs::create_dir(folder.path().join("other")).expect("made");
    fs::write(folder.path().join("other/web_prod.dep"), "nginx:1.25\n").expect("written");
    let expect = "other/web_prod.dep  web in prod  nginx:1.25\n1 file, all in order\n";
    assert_eq!(output(folder.path(), &["check", "other"]), (Some(0), expect.into()));
    fs::write(folder.path().join(".env"), "DEPS=other\n").expect("written");
    assert_eq!(output(folder.path(), &["check"]), (Some(0), expect.into()));
}

/// The folder of a DeploymentK8sEngine: bare tags, a repository for them, and its `.last` files.
#[test]
fn a_folder_of_the_go_engine_works_unchanged() {
    let folder = folder();
    let deps = folder.path().join("deps");
    fs::write(deps.join("shop_prod.dep"), "2.7.1").expect("written");
    fs::write(deps.join("shop_prod.dep.last"), "2.7.0").expect("written");
    fs::write(deps.join(".shop_prod.last"), "2.7.0").expect("written");
    let repo = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
    fs::write(folder.path().join(".env"), format!("DEPS=deps\nECR_REPO={repo}\n"))
        .expect("written");
    let expect =
        format!("deps/shop_prod.dep  shop in prod  {repo}/shop:2.7.1\n1 file, all in order\n");
    assert_eq!(output(folder.path(), &["check"]), (Some(0), expect));
}

#[test]
fn a_file_that_is_not_meant_as_a_dep_file_is_named_and_no_problem() {
    let folder = folder();
    let deps = folder.path().join("deps");
    fs::write(deps.join("README.md"), "how to").expect("written");
    fs::write(deps.join("web_prod.dep"), "nginx:1.25").expect("written");
    let expect = "deps/README.md: passed over: not a dep file, its name does not end in .dep\n\
                  deps/web_prod.dep  web in prod  nginx:1.25\n1 file, all in order\n";
    assert_eq!(output(folder.path(), &["check"]), (Some(0), expect.into()));
    // A dep file that lost its ending is a mistake.
    fs::write(deps.join("api_prod.dep.txt"), "nginx:1.25").expect("written");
    assert_eq!(output(folder.path(), &["check"]).0, Some(1));
}

#[test]
fn a_missing_folder_is_wrong_usage() {
    refuses(depd(folder().path(), &["check", "nope"]), 2, "depd: the folder nope does not exist");
}

#[test]
fn a_file_in_place_of_a_folder_is_wrong_usage_and_its_folder_is_named() {
    let folder = folder();
    fs::write(folder.path().join("deps/web_prod.dep"), "nginx:1.25\n").expect("written");
    let told =
        "depd: deps/web_prod.dep is a file: name the folder of your dep files, which may be deps";
    refuses(depd(folder.path(), &["check", "deps/web_prod.dep"]), 2, told);
}

#[test]
fn a_reader_that_wants_no_more_is_no_failure() {
    let folder = folder();
    for n in 0..2000 {
        let name = format!("deps/service-with-a-long-name-{n}_prod.dep");
        fs::write(folder.path().join(name), "nginx:1.25\n").expect("written");
    }
    let mut child = depd(folder.path(), &["check"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let head = Command::new("head")
        .args(["-n", "1"])
        .stdin(child.stdout.take().expect("piped"))
        .stdout(Stdio::null())
        .status();
    assert!(head.expect("head runs").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
