//! The words of the project as types. `[C]` pure core: no I/O, no clock, no threads.
//!
//! Every value here is made once, by validation, and is immutable afterwards: a [`ServiceKey`] in
//! hand is a valid one, an [`Image`] parses. The rest of the program passes these types around and
//! never the strings they came from.

mod image;
mod image_set;
mod pod;
mod problem;
mod service_key;
mod time;
mod workload;

pub(crate) use image::check_prefix;
pub use image::{Image, ImageProblem};
pub use image_set::ImageSet;
pub use pod::{ContainerState, Pod, PodContainer, Terminated};
pub use problem::Problem;
pub use service_key::{NameProblem, ServiceKey};
pub(crate) use service_key::{check_label, describe};
pub use time::Moment;
pub use workload::{Condition, Container, Replicas, Selector, SelectorRule, Workload};
