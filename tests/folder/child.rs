//! Tests that need a process of their own: another user, other limits, other mounts, or one that
//! can be stopped. The test binary runs itself, with one of its ignored tests.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Whether missing programs and rights are a failure, as in the gate.
pub fn is_strict() -> bool {
    std::env::var_os("DEPD_TEST_REQUIRE_PROGRAMS").is_some_and(|v| v == "1")
}

/// Starts the ignored test `name` of this binary by `wrapper`, a shell command that ends in
/// executing its arguments. The child's folder is `base`.
pub fn start(name: &str, wrapper: &str, base: &Path) -> Child {
    let own = std::env::current_exe().expect("the test binary");
    // Another user may not enter the folders above it.
    let copy = base.join("depd-test");
    // By a process of its own: a file that any thread here had open for writing while another one
    // forks could not be executed.
    let copied = Command::new("cp").arg(own).arg(&copy).status().expect("cp runs");
    assert!(copied.success());
    Command::new("sh")
        .args(["-c", wrapper, "sh"])
        .arg(copy)
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .env("DEPD_TEST_BASE", base)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh runs")
}

/// Runs it to its end, which must be a good one. Where `needs` does not succeed, the test is
/// skipped in words.
pub fn run(name: &str, needs: &str, wrapper: &str) {
    let able = Command::new("sh").args(["-c", needs]).stderr(Stdio::null()).status();
    if !able.is_ok_and(|status| status.success()) {
        assert!(!is_strict(), "{name} needs this to work: {needs}");
        return println!("skipped: {name} needs this to work: {needs}");
    }
    let base = tempfile::tempdir().expect("a folder");
    std::process::Command::new("chmod")
        .args(["-R", "777"])
        .arg(base.path())
        .status()
        .expect("chmod");
    let output = start(name, wrapper, base.path()).wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// In the child: the folder it was given, in which it makes its own.
pub fn base() -> tempfile::TempDir {
    let base = std::env::var_os("DEPD_TEST_BASE").expect("run by another test");
    let base = tempfile::tempdir_in(base).expect("a folder");
    std::fs::create_dir(base.path().join("deps")).expect("a folder");
    base
}
