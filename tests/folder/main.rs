//! The dep folder on a real file system: every way to save a file, and the faults 1 to 12 and
//! attacks 9 to 12 that depd must survive, each in a test that carries its number.
//!
//! Nothing here asserts a time. What must *not* happen is proven by waiting for something that
//! takes longer, see [`watched::Watched::reports_until_calm`]. These tests wait far more than they
//! compute, so many run at once, whatever the number of processors; that is why this binary has a
//! `main` of its own. Each module lists its tests, and the compiler complains about one left out.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use libtest_mimic::{Arguments, Trial};

/// The names of functions with the functions themselves, as [`Test`]s of this module.
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*] };
}

mod basics;
mod child;
mod content;
mod entries;
mod folders;
mod saves;
mod storms;
mod sub_folders;
mod watched;

/// How many tests run at once, unless `--test-threads` says otherwise.
const AT_ONCE: usize = 40;

/// A test: its name with its module, and what it does.
pub type Test = (&'static str, fn());

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let tests = [
        storms::TESTS,
        saves::TESTS,
        folders::TESTS,
        sub_folders::TESTS,
        entries::TESTS,
        content::TESTS,
        basics::TESTS,
    ];
    let tests = tests.concat().into_iter().map(|test| trial(test).with_ignored_flag(false));
    let children =
        [folders::CHILDREN, sub_folders::CHILDREN, content::CHILDREN, storms::CHILDREN].concat();
    let children = children.into_iter().map(|test| trial(test).with_ignored_flag(true));
    libtest_mimic::run(&arguments, tests.chain(children).collect()).exit_code()
}

fn trial((name, test): Test) -> Trial {
    let name = name.trim_start_matches("folder::");
    Trial::test(name, move || {
        test();
        Ok(())
    })
}
