//! The daemon: everything put together. `[E]`
//!
//! `wiring.rs` is the only file that knows every edge; the others here are the small edges that
//! belong to the process itself.

mod authors;
pub mod control;
mod cover;
mod events;
mod filters;
mod grounds;
mod http;
mod idle;
mod introduce;
mod journal;
mod logging;
#[cfg(test)]
mod nowhere;
mod parallel;
pub mod permissions;
mod pod_watches;
mod progress;
mod receivers;
mod registry;
mod rehearsal;
mod requests;
mod resync;
mod screen;
mod service_manager;
mod settings;
mod sight;
mod signals;
mod start_up;
mod survey;
mod wiring;
mod workload_watches;

pub use logging::{Destination, Log, LogFile, LogForm, LogStyle, init_logging};
pub use parallel::in_parallel;
pub use pod_watches::take as take_pod;
pub use progress::{Flight, Flights, Progress, State};
pub use receivers::{host, way_to};
pub use rehearsal::{Past, Rehearsal, RehearsalError, Rehearsed};
pub use requests::resume_all;
pub use screen::{Screen, Size};
pub use service_manager::ServiceManager;
pub use settings::{ReceiverSettings, Settings, Way};
pub use sight::PATIENCE as SIGHT_PATIENCE;
pub use signals::{Asked, Requests};
pub use start_up::let_in;
pub use survey::Survey;
pub use wiring::{Daemon, StartError, restore, take_folder_event};
pub use workload_watches::Part;
