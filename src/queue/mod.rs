//! The work queue: keys that somebody should look at again, each at most once at a time.
//!
//! It keeps the promises of client-go's workqueue. [`KeyedQueue`] is the bookkeeping, `[C]`: no
//! clock, no threads, no locks. [`WorkQueue`] is the thin blocking shell around it, `[E]`:
//! crossbeam channels that carry the keys to the workers, and a timer for the delayed ones. Keys wait
//! in one of two lines (`lane.rs`), so that news of rollouts does not wait for a thousand files.
//! [`backoff`] says how long to wait after failures, `[C]`.

pub mod backoff;
mod keyed;
mod lane;
mod shell;
#[cfg(test)]
mod shell_tests;

pub use keyed::KeyedQueue;
pub use shell::{Taken, WorkQueue};
