//! depd from end to end: the real binary, a folder of files, a Kubernetes API, a receiver.
//!
//! One body of tests for two clusters. Without further ado each test starts the embedded sandbox;
//! with `DEPD_TEST_KUBECONFIG` and its companions set, as `scripts/test-cluster` does, the same tests
//! run on a real control plane, where depd is a plain ServiceAccount.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod cluster;
mod control_plane;
mod depd;
mod http;
mod line;
mod proxy;
mod receiver;
mod relay;
mod tls;
mod wait;
mod way;
mod ways;
mod webhook;

mod access;
mod admission;
mod bad_input;
mod crashing;
mod deploying;
mod failing;
mod faults;
mod files;
mod guide;
mod holding;
mod introducing;
mod killing;
mod machine;
mod outages;
mod pending;
mod people;
mod planning;
mod probing;
mod pull_secrets;
mod reporting;
mod restarting;
mod scopes;
mod secrets;
mod starting;
mod stopping;
mod verdicts;
