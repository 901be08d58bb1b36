//! Single changes, one after another, depd and raw in turns.
//!
//! depd is running while the raw loop has its turn, because it must not be started anew for each
//! change; the raw loop's Deployments have no dep file, so depd reads their watch events and lets
//! them be.

use std::thread;
use std::time::Duration;

use crate::api::Cluster;
use crate::audit::{AuditLog, Entry, summary};
use crate::depd::Depd;
use crate::figures::{Stamp, quantile, wait_for};
use crate::options::Sizes;
use crate::raw::{Connection, Patch, USER_AGENT};
use crate::report::{Report, Row};
use crate::services::{FIRST_IMAGE, Service, Services, other};

/// Services on each side, which take turns, so that a rollout is over before the next one.
const SERVICES: usize = 20;
/// After each change, until the controllers are done with it.
const PAUSE: Duration = Duration::from_millis(60);

/// Milliseconds of one side.
#[derive(Default)]
struct Times {
    /// From the beginning to the answer of the API server.
    whole: Vec<f64>,
    /// From the beginning to the arrival at the API server.
    until_received: Vec<f64>,
}

impl Times {
    fn take(&mut self, began: Stamp, patch: &Entry) {
        self.whole.push(patch.answered.ms_since(began));
        self.until_received.push(patch.received.ms_since(began));
    }
}

pub fn measure(cluster: &Cluster, sizes: &Sizes, report: &mut Report) {
    let services = Services::create(&cluster.admin, 2 * SERVICES, 0);
    let (managed, unmanaged) = services.all.split_at(SERVICES);
    let depd = Depd::start(cluster, managed, FIRST_IMAGE);
    let mut connection = Connection::open(&cluster.plain);
    let mut audit = AuditLog::open(&cluster.audit_log);
    let (mut of_depd, mut of_raw) = (Times::default(), Times::default());
    let mut image = FIRST_IMAGE;
    let mut requests = Vec::new();
    for turn in 0..sizes.singles {
        if turn % SERVICES == 0 {
            image = other(image);
        }
        let service = &managed[turn % SERVICES];
        let closed = depd.write(service, image);
        of_depd.take(closed, &patched(&mut audit, service, Entry::is_of_depd, &mut requests));
        thread::sleep(PAUSE);
        let service = &unmanaged[turn % SERVICES];
        let patch = Patch::new(&cluster.plain, service, image);
        let began = Stamp::now();
        connection.send(&patch);
        let is_raw = |entry: &Entry| entry.user_agent == USER_AGENT;
        of_raw.take(began, &patched(&mut audit, service, is_raw, &mut requests));
        thread::sleep(PAUSE);
    }
    depd.wait_until_quiet();
    requests.extend(audit.read());
    add_rows(report, sizes.singles, &of_depd, &of_raw);
    let of_depd = || requests.iter().filter(|entry| entry.is_of_depd());
    let patches = of_depd().filter(|entry| entry.is_patch()).count();
    report.add(
        Row::new("single.patches", "PATCHes of depd for them", patches as f64, "")
            .exactly(sizes.singles)
            .note(summary(of_depd())),
    );
    drop(depd);
    services.remove();
}

fn add_rows(report: &mut Report, count: usize, depd: &Times, raw: &Times) {
    let raw_p50 = quantile(&raw.whole, 0.5);
    let what = format!("{count} single changes: close → image changed");
    for (id, share) in [("p50", 0.5), ("p99", 0.99)] {
        let row = Row::new(
            format!("single.{id}"),
            format!("{what}, {id}"),
            quantile(&depd.whole, share),
            "ms",
        );
        let row = row.at_most(raw_p50 + 1.0, "raw p50 + 1 ms");
        report.add(row.note(format!("raw {:.2} ms", quantile(&raw.whole, share))));
    }
    for (id, share) in [("p50", 0.5), ("p99", 0.99)] {
        let row = Row::new(
            format!("single.received.{id}"),
            format!("  of that, until the API server has the PATCH, {id}"),
            quantile(&depd.until_received, share),
            "ms",
        );
        report.add(row.note(format!("raw {:.2} ms", quantile(&raw.until_received, share))));
    }
}

/// Waits until the audit log has the PATCH of this service.
fn patched(
    audit: &mut AuditLog,
    service: &Service,
    is_mine: impl Fn(&Entry) -> bool,
    requests: &mut Vec<Entry>,
) -> Entry {
    let (every, limit) = (Duration::from_millis(5), Duration::from_secs(30));
    wait_for("a PATCH in the audit log", every, limit, || {
        let new = audit.read();
        let own = |entry: &&Entry| is_mine(entry) && entry.is_patch() && entry.name == service.name;
        let found = new.iter().find(own).cloned();
        requests.extend(new);
        found
    })
}
