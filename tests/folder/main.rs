//! The dep folder on a real file system: every way to save a file, and every fault of FAULTS 1–12.
//!
//! Nothing here asserts a time. What must *not* happen is proven by waiting for something that
//! takes longer, see [`watched::Watched::reports_until_calm`].

mod basics;
mod watched;
