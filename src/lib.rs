//! # depd
//!
//! A deployment daemon: a folder of dep files becomes running Kubernetes workloads.

pub mod desired;
pub mod model;
