//! # depd
//!
//! A deployment daemon: a folder of dep files becomes running Kubernetes workloads.

pub mod cluster;
pub mod model;
