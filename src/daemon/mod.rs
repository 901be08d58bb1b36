//! The daemon: everything put together. `[E]`
//!
//! `wiring.rs` is the only file that knows every edge; the others here are the small edges that
//! belong to the process itself.

pub mod control;
mod journal;
mod logging;
mod pod_watches;
mod settings;
mod signals;
mod start_up;
mod wiring;

pub use logging::{LogStyle, init_logging};
pub use pod_watches::take as take_pod;
pub use settings::{Settings, SlackSettings};
pub use signals::wait_for_stop;
pub use wiring::{Daemon, StartError, restore, take_folder_event, take_workload};
