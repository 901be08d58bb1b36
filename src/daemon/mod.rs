//! The daemon: everything put together. `[E]`
//!
//! `wiring.rs` is the only file that knows every edge; the others here are the small edges that
//! belong to the process itself.

pub mod control;
mod cover;
mod journal;
mod logging;
mod pod_watches;
mod registry;
mod requests;
mod settings;
mod signals;
mod start_up;
mod wiring;
mod workload_watches;

pub use logging::{LogStyle, init_logging};
pub use settings::{Settings, SlackSettings};
pub use signals::wait_for_stop;
pub use wiring::{Daemon, StartError};
