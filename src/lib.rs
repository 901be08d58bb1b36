//! # depd
//!
//! A deployment daemon: a folder of dep files becomes running Kubernetes workloads.

pub mod model;
pub mod sandbox;
