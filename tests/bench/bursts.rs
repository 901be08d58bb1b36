//! Many files at once. Each round is every raw loop and then depd, on the same Deployments.
//!
//! They have no pods, so that the controllers take as little as possible of the two cores: what
//! remains is the API server, and whoever sends the PATCHes.

use std::time::Duration;

use crate::api::Cluster;
use crate::audit::{AuditLog, Entry, summary};
use crate::depd::Depd;
use crate::figures::{Stamp, median, ms, wait_for};
use crate::options::Burst;
use crate::process;
use crate::raw::{self, Patch, USER_AGENT};
use crate::report::{Report, Row};
use crate::services::{FIRST_IMAGE, Services, other};

const LIMIT: Duration = Duration::from_secs(300);

/// What one side did, round by round.
#[derive(Default)]
struct Rounds {
    /// Until the last image was changed.
    ms: Vec<f64>,
    /// For each change.
    cpu_ms: Vec<f64>,
}

/// What depd did beyond that.
#[derive(Default)]
struct Own {
    rounds: Rounds,
    /// CPU for each change until the last image was changed, the rest being verdicts and messages.
    cpu_until_changed_ms: Vec<f64>,
    requests: Vec<Entry>,
    patches_by_metrics: u64,
    messages: usize,
}

pub fn measure(cluster: &Cluster, sizes: &Burst, report: &mut Report) {
    let services = Services::create(&cluster.admin, sizes.files, 0);
    let mut image = FIRST_IMAGE;
    let mut next = || {
        services.wait_until_settled();
        image = other(image);
        image
    };
    // Makes the second ReplicaSet of each, so that every round is the same work.
    raw_round(cluster, &services, next(), sizes.connections[0]);
    let mut raw: Vec<Rounds> = sizes.connections.iter().map(|_| Rounds::default()).collect();
    let mut own = Own::default();
    for _ in 0..sizes.rounds {
        for (connections, rounds) in sizes.connections.iter().zip(&mut raw) {
            let (ms, cpu_ms) = raw_round(cluster, &services, next(), *connections);
            rounds.ms.push(ms);
            rounds.cpu_ms.push(cpu_ms);
        }
        let image = next();
        own_round(cluster, &services, image, &mut own);
    }
    add_rows(report, sizes, &raw, &own);
    services.remove();
}

fn raw_round(
    cluster: &Cluster,
    services: &Services,
    image: &str,
    connections: usize,
) -> (f64, f64) {
    let patch = |service| Patch::new(&cluster.plain, service, image);
    let patches: Vec<Patch> = services.all.iter().map(patch).collect();
    let mut audit = AuditLog::open(&cluster.audit_log);
    let run = raw::burst(&cluster.plain, &patches, connections);
    let is_raw = |entry: &Entry| entry.user_agent == USER_AGENT;
    let requests = wait_for_patches(&mut audit, patches.len(), is_raw);
    let ms_taken = last_answer(&requests, is_raw).ms_since(run.began);
    (ms_taken, ms(run.cpu) / patches.len() as f64)
}

fn own_round(cluster: &Cluster, services: &Services, image: &str, own: &mut Own) {
    let count = services.all.len();
    let depd = Depd::start(cluster, &services.all, other(image));
    let mut audit = AuditLog::open(&cluster.audit_log);
    let counted = cluster.admin.patches_by_metrics();
    let before = process::cpu(depd.pid());
    let began = Stamp::now();
    for service in &services.all {
        depd.write(service, image);
    }
    let mut requests = wait_for_patches(&mut audit, count, Entry::is_of_depd);
    let until_changed = process::cpu(depd.pid()) - before;
    wait_for("the messages", every(count), LIMIT, || {
        (depd.receiver.told("deployed").len() >= count).then_some(())
    });
    depd.wait_until_quiet();
    let whole = process::cpu(depd.pid()) - before;
    let changed = last_answer(&requests, Entry::is_of_depd);
    own.rounds.ms.push(changed.ms_since(began));
    own.rounds.cpu_ms.push(ms(whole) / count as f64);
    own.cpu_until_changed_ms.push(ms(until_changed) / count as f64);
    requests.extend(audit.read());
    own.requests.extend(requests.into_iter().filter(Entry::is_of_depd));
    own.patches_by_metrics += cluster.admin.patches_by_metrics() - counted;
    own.messages += depd.receiver.count();
}

/// How often to look for so many messages: looking takes CPU from those that are measured.
pub fn every(messages: usize) -> Duration {
    Duration::from_millis(if messages < 1000 { 50 } else { 500 })
}

fn wait_for_patches(
    audit: &mut AuditLog,
    count: usize,
    is_mine: impl Fn(&Entry) -> bool,
) -> Vec<Entry> {
    let mut requests = Vec::new();
    wait_for("the PATCHes in the audit log", Duration::from_millis(20), LIMIT, || {
        requests.extend(audit.read());
        let patches = requests.iter().filter(|entry| is_mine(entry) && entry.is_patch()).count();
        (patches >= count).then_some(())
    });
    requests
}

fn last_answer(requests: &[Entry], is_mine: impl Fn(&Entry) -> bool) -> Stamp {
    let patches = requests.iter().filter(|entry| is_mine(entry) && entry.is_patch());
    patches.map(|entry| entry.answered).max().expect("a PATCH")
}

/// What every round took, of which the figure is the median.
fn by_round(ms: &[f64]) -> String {
    let each: Vec<String> = ms.iter().map(|ms| format!("{ms:.0}")).collect();
    format!("median of the rounds {}", each.join(", "))
}

fn add_rows(report: &mut Report, sizes: &Burst, raw: &[Rounds], own: &Own) {
    let Burst { files, rounds, connections } = sizes;
    let id = |name: &str| format!("burst.{files}.{name}");
    for (connections, rounds) in connections.iter().zip(raw) {
        let what = format!("{files} PATCHes, raw loop on {connections} connections");
        let row = Row::new(id(&format!("raw.{connections}")), what, median(&rounds.ms), "ms");
        let cpu_ms = median(&rounds.cpu_ms);
        report.add(row.note(format!("{}; {cpu_ms:.3} ms of CPU each", by_round(&rounds.ms))));
    }
    let paired = connections.iter().zip(raw);
    let best = paired.min_by(|(_, a), (_, b)| median(&a.ms).total_cmp(&median(&b.ms)));
    let (best_connections, best) = best.expect("a raw loop");
    let (raw_ms, raw_cpu_ms) = (median(&best.ms), median(&best.cpu_ms));
    report.best_connections = *best_connections;
    let ours = median(&own.rounds.ms);
    let row =
        Row::new(id("depd"), format!("{files} files at once, all changed by depd"), ours, "ms");
    report.add(row.note(by_round(&own.rounds.ms)));
    let what =
        format!("  ratio of the medians to the best raw loop ({best_connections} connections)");
    let each: Vec<String> =
        own.rounds.ms.iter().zip(&best.ms).map(|(own, raw)| format!("{:.2}", own / raw)).collect();
    let row = Row::new(id("ratio"), what, ours / raw_ms, "×").at_most(1.2, "");
    report.add(row.note(format!("within each round: {}", each.join(", "))));
    let patches = own.requests.iter().filter(|entry| entry.is_patch()).count();
    report.add(
        Row::new(id("patches"), "  PATCHes of depd, all rounds", patches as f64, "")
            .exactly(files * rounds)
            .note(summary(own.requests.iter())),
    );
    let what = "  the same, counted by the API server's metrics";
    let counted = own.patches_by_metrics as f64;
    report.add(Row::new(id("metrics"), what, counted, "").exactly(files * rounds));
    let row = Row::new(id("messages"), "  messages", own.messages as f64, "");
    report.add(row.exactly(files * rounds));
    let cpu = median(&own.rounds.cpu_ms);
    let until_changed = median(&own.cpu_until_changed_ms);
    report.add(
        Row::new(id("cpu"), "  CPU for each change, verdict and message included", cpu, "ms")
            .at_most(3.0 * raw_cpu_ms, "3 × raw")
            .note(format!("raw {raw_cpu_ms:.3} ms, {best_connections} connections")),
    );
    report.add(
        Row::new(id("cpu.changed"), "  of that, until the image is changed", until_changed, "ms")
            .at_most(3.0 * raw_cpu_ms, "3 × raw"),
    );
}
