//! One record of each kind that people meet, for the preview, for `depd report test` and for tests.
//! `[C]`

use std::time::Duration;

use super::record::{Circumstances, Record};
use super::words::words;
use crate::model::{Change, Failure, Kind, Lateness, Notice, Replicas, ServiceKey, Sign, What};

const LOG: &str = "reading configuration from /etc/app/config.yaml\n\
                   listening on :8080\n\
                   fatal: cannot connect to database: connection refused";

/// A success, a failure, a timeout, a namespace that was created, a rollback.
#[must_use]
pub fn all() -> Vec<Record> {
    let records = [deployed(), failed(), timed_out(), namespace_created(), rolled_back()];
    records.into_iter().flatten().collect()
}

/// Many outcomes at once: `count` successes, and a few failures among them.
#[must_use]
pub fn storm(count: usize) -> Vec<Record> {
    let all = all();
    let named = |record: &Record, service: String| Record {
        id: format!("{}/{service}", record.id),
        service: Some(service),
        ..record.clone()
    };
    let good = all.iter().filter(|record| record.is_good()).take(1);
    let bad = all.iter().filter(|record| matches!(&*record.event, "failed" | "timed-out"));
    let mut records: Vec<Record> =
        good.flat_map(|good| (1..=count).map(|n| named(good, format!("svc-{n}")))).collect();
    for (record, service) in bad.cycle().zip(["shop", "search", "mailer", "billing"]) {
        records.push(named(record, service.to_owned()));
    }
    records
}

fn around() -> Circumstances {
    Circumstances {
        host: "ci-1".into(),
        cluster: "production".into(),
        time: "2026-11-24T10:15:30.250Z".into(),
        kind: Some(Kind::Deployment),
        uid: Some("3f0f6d1c-6b1e-4a52-9d5e-6d2b8f1f9a10".into()),
        attempt: Some(7),
        changed_by: Some("alice".into()),
    }
}

fn image(from: &str, to: &str) -> Vec<Change> {
    let full = |tag: &str| format!("registry.example.com/shop:{tag}").into_boxed_str();
    vec![Change { container: "shop".into(), from: full(from), to: full(to) }]
}

fn record(service: &str, namespace: &str, what: What) -> Option<Record> {
    let key = ServiceKey::new(service, namespace).ok()?;
    let notice = Notice { key, what };
    Record::of(&notice, &words(&notice), &around())
}

fn deployed() -> Option<Record> {
    let took = Duration::from_millis(7_250);
    record("shop", "prod", What::Succeeded { changes: image("2.7.0", "2.7.1"), took })
}

fn failed() -> Option<Record> {
    let failure = Failure {
        sign: Sign::Crash,
        kind: Kind::Deployment,
        since: Duration::from_secs(31),
        container: "shop".into(),
        image: "registry.example.com/shop:2.8.0".into(),
        reason: "CrashLoopBackOff".into(),
        message: Box::default(),
        exit_code: Some(1),
        memory_limit: None,
        probe: None,
        bad_pods: 1,
        new_pods: 1,
        old_serving: 3,
        to_delete: Vec::new(),
        log_tail: LOG.into(),
    };
    let changes = image("2.7.1", "2.8.0");
    let took = Duration::from_millis(41_200);
    record("shop", "prod", What::Failed { changes, failure: Box::new(failure), took })
}

fn timed_out() -> Option<Record> {
    let replicas = Replicas { wanted: 3, total: 4, updated: 1, ready: 3, available: 3 };
    let what = What::TimedOut {
        changes: image("2.7.1", "2.8.1"),
        lateness: Lateness::NoProgress(Duration::from_secs(240)),
        cause: None,
        replicas,
        took: Duration::from_secs(245),
    };
    record("shop", "prod", what)
}

fn namespace_created() -> Option<Record> {
    record("shop", "staging", What::NamespaceCreated)
}

fn rolled_back() -> Option<Record> {
    let took = Duration::from_millis(6_100);
    record("shop", "prod", What::RolledBack { changes: image("2.8.0", "2.7.1"), took })
}
