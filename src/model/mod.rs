//! The words of the project as types. `[C]` pure core: no I/O, no clock, no threads.
//!
//! Every value here is made once, by validation, and is immutable afterwards: a [`ServiceKey`] in
//! hand is a valid one, an [`Image`] parses. The rest of the program passes these types around and
//! never the strings they came from.

mod alert;
mod duration;
mod ecr_registry;
mod event;
#[cfg(test)]
pub mod fixture;
mod gap;
mod image;
mod image_patch;
mod image_set;
mod kind;
mod namespace;
mod notice;
mod pod;
mod printable;
mod problem;
mod pull_secrets;
mod rollout;
mod service_key;
mod standing;
mod time;
mod workload;

pub use alert::Alert;
pub use duration::{DurationProblem, parse_duration};
pub use ecr_registry::EcrRegistry;
pub use event::Event;
pub use gap::Gap;
pub(crate) use image::check_prefix;
pub use image::{Image, ImageProblem};
pub use image_patch::{ImagePatch, Target};
pub use image_set::ImageSet;
pub use kind::Kind;
pub use namespace::NamespaceState;
pub use notice::{FoundEnd, Hold, Level, Notice, Successor, What};
pub use pod::{ContainerState, Pod, PodContainer, Terminated};
pub use printable::{is_printable, printable, shown};
pub use problem::Problem;
pub use pull_secrets::{PULL_SECRET, PullSecrets};
pub use rollout::{Change, Failure, Lateness, Question, Rollout, Sign};
pub use service_key::{NameProblem, ServiceKey};
pub(crate) use service_key::{check_label, describe};
pub use standing::Standing;
pub use time::Moment;
pub use workload::{Condition, Container, Replicas, Selector, SelectorRule, Strategy, Workload};
