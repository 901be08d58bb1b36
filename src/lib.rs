//! # depd
//!
//! A deployment daemon: a folder of dep files becomes running Kubernetes workloads.

pub mod clock;
pub mod cluster;
pub mod desired;
pub mod model;
pub mod observed;
pub mod queue;
pub mod reconcile;
pub mod report;
pub mod source;
pub mod worker;
