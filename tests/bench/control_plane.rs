//! depd measured on a real control plane, beside a loop that sends nothing but the same PATCHes.
//!
//! Started by `scripts/bench`, which brings the control plane up. Everything that is compared is
//! measured in one run, alternating (A B A B), and the medians are compared: the figures of one
//! machine on one day mean little, their ratios mean much. Beside each figure stands its goal from
//! the design. A missed goal is printed and is no error; a wrong count (a PATCH too many, a message
//! that never came) is one, in every mode.
//!
//! **What a change is.** A dep file is written in place and closed; the change is there when the API
//! server has answered the PATCH. The first moment is taken by the bench after `close`, the second
//! by the API server itself: `stageTimestamp` of `ResponseComplete` in its audit log. That end needs
//! nobody to be awake for it, adds no load (a watch of the bench's own would take its share of the
//! two cores just then), stands for the same thing whoever sent the PATCH, and is read from the same
//! clock of the same machine. The raw loop's beginning is the moment before it sends.
//!
//! **What the raw loop is.** Threads with one warm keep-alive TLS connection each, as the same
//! ServiceAccount, sending requests that were built beforehand, byte for byte those of depd. depd
//! gets no warm connections: it opens them when a burst comes, as it does in life.
//!
//! **CPU** of depd is user and system time of the whole process from the kernel, until the last
//! verdict was delivered: following a rollout and telling people is part of a change. The raw loop's
//! is that of its own threads.
//!
//! **A verdict's latency** begins when a watch of the bench itself has read the line that shows the
//! status, before parsing it, and ends when the message was read by the bench's own receiver. It can
//! be negative: depd's watch may be served first.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot go on ends by panicking"
)]

mod api;
mod audit;
mod bursts;
mod depd;
mod figures;
mod kubectl;
mod managed;
mod options;
mod process;
mod raw;
mod receiver;
mod report;
mod services;
mod singles;
mod verdicts;
mod watch;

use std::process::ExitCode;

use crate::api::Cluster;
use crate::options::Options;
use crate::report::Report;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    let cluster = Cluster::from_environment();
    let mut report = Report::new(&options, &cluster);
    let sizes = &options.sizes;
    if options.wants("singles") {
        singles::measure(&cluster, sizes, &mut report);
    }
    if options.wants("burst") {
        bursts::measure(&cluster, &sizes.burst, &mut report);
    }
    if options.wants("kubectl") {
        kubectl::measure(&cluster, sizes, &mut report);
    }
    if options.wants("managed") {
        managed::measure(&cluster, &sizes.managed, &mut report).remove();
    }
    if let Some(scale) = sizes.scale.as_ref().filter(|_| options.wants("burst-5000")) {
        bursts::measure(&cluster, &scale.burst, &mut report);
    }
    if let Some(scale) = sizes.scale.as_ref().filter(|_| options.wants("scale")) {
        let _last = managed::measure(&cluster, &scale.managed, &mut report);
        managed::compare(sizes.managed.services, scale.managed.services, &mut report);
    }
    report.print();
    if let Some(file) = &options.json {
        report.write_json(file);
    }
    if report.counts_are_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
