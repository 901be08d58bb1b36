//! The dep folder on a real file system: every way to save a file, and the faults 1 to 12 and
//! attacks 9 to 12 that depd must survive, each in a test that carries its number.
//!
//! Nothing here asserts a time. What must *not* happen is proven by waiting for something that
//! takes longer, see [`watched::Watched::reports_until_calm`].

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod basics;
mod child;
mod content;
mod entries;
mod folders;
mod saves;
mod storms;
mod watched;
