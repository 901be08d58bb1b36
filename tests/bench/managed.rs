//! A cluster full of managed services with one pod each: start, rest, rollouts that succeed, rollouts
//! that fail.

use std::thread;
use std::time::Duration;

use crate::api::Cluster;
use crate::audit::{AuditLog, Entry, summary};
use crate::bursts::every;
use crate::depd::Depd;
use crate::figures::{Stamp, median, ms, quantile, wait_for};
use crate::options::Managed;
use crate::process;
use crate::raw::{self, Patch};
use crate::report::{Report, Row};
use crate::services::{FIRST_IMAGE, MISSING_IMAGE, Service, Services, other};
use crate::verdicts::{Outcome, Recorded, latencies, later, slowest};
use crate::watch::Traffic;

const LIMIT: Duration = Duration::from_secs(600);
/// What depd's threads are called that watch pods.
const POD_WATCH: &str = "watch-pods";

/// One scene: the services, the depd that manages them, and where figures go.
struct Scene<'a> {
    cluster: &'a Cluster,
    sizes: &'a Managed,
    services: &'a Services,
    depd: &'a Depd,
    audit: AuditLog,
    report: &'a mut Report,
    /// What depd used for each change, by outcome: told once the raw loop has had its turn.
    cpu_ms: Vec<(Outcome, f64)>,
}

/// Returns the services, for whoever wants them gone before something else is measured.
pub fn measure(cluster: &Cluster, sizes: &Managed, report: &mut Report) -> Services {
    let services = Services::create(&cluster.admin, sizes.services, 1);
    let audit = AuditLog::open(&cluster.audit_log);
    let depd = Depd::start(cluster, &services.all, FIRST_IMAGE);
    let cpu_ms = Vec::new();
    let mut scene =
        Scene { cluster, sizes, services: &services, depd: &depd, audit, report, cpu_ms };
    scene.start();
    scene.rest();
    let image = scene.succeed();
    scene.fail();
    scene.remember();
    let cpu_ms = scene.cpu_ms;
    drop(depd);
    let raw_ms = raw_cpu(cluster, sizes, &services, image, report);
    for (outcome, ms) in cpu_ms {
        let verdict = outcome.verdict();
        let id = format!("managed.{}.{verdict}.cpu", sizes.services);
        let what = format!("  CPU of depd for each rollout that {verdict}, until its message");
        report.add(Row::new(id, what, ms, "ms").at_most(3.0 * raw_ms, "3 × raw"));
    }
    services
}

/// CPU for each change with many managed services beside that with few.
pub fn compare(few: usize, many: usize, report: &mut Report) {
    let cpu = |services| report.measured(&format!("managed.{services}.succeeded.cpu"));
    if let (Some(of_few), Some(of_many)) = (cpu(few), cpu(many)) {
        let what = format!("CPU for each change, {many} managed services beside {few}");
        let row = Row::new("managed.cpu.ratio", what, of_many / of_few, "×");
        report.add(row.at_most(1.2, "").note(format!("{of_few:.2} ms and {of_many:.2} ms")));
    }
}

impl Scene<'_> {
    fn add(&mut self, name: &str, row: impl FnOnce(String) -> Row) {
        let row = row(format!("managed.{}.{name}", self.sizes.services));
        self.report.add(row);
    }

    /// The first of the services, all in one namespace.
    fn some(&self, count: usize) -> &[Service] {
        &self.services.all[..count]
    }

    /// What depd asked the API server for since the last look.
    fn requests(&mut self) -> Vec<Entry> {
        self.audit.read().into_iter().filter(Entry::is_of_depd).collect()
    }

    fn start(&mut self) {
        let (start, count) = (self.depd.start, self.sizes.services);
        let requests = self.requests();
        let writes = requests.iter().filter(|entry| entry.is_write()).count();
        self.add("start", |id| {
            let after_list = start.compared.ms_since(start.listed).max(0.0);
            let what = format!("start with {count} unchanged services: first list → all compared");
            let whole = start.compared.ms_since(start.spawned);
            Row::new(id, what, after_list, "ms")
                .at_most(3000.0, "")
                .note(format!("{whole:.0} ms since the process began"))
        });
        self.add("start.writes", |id| {
            let row = Row::new(id, "  writes", writes as f64, "").exactly(0);
            row.note(summary(requests.iter()))
        });
    }

    fn rest(&mut self) {
        let (pid, sizes) = (self.depd.pid(), self.sizes);
        let before = process::cpu_of_living_threads(pid, "");
        thread::sleep(sizes.idle);
        let used = process::cpu_since(&before, pid, "");
        let (resident, parts) = (process::resident_mib(pid), process::resident_parts(pid));
        let what = format!("idle with {} services with a pod each: resident", sizes.services);
        self.add("resident", |id| {
            Row::new(id, what, resident, "MiB").at_most(sizes.resident_goal_mib, "").note(parts)
        });
        self.add("idle", |id| {
            let share = 100.0 * used.as_secs_f64() / sizes.idle.as_secs_f64();
            let what = format!("  CPU over {} s", sizes.idle.as_secs());
            Row::new(id, what, share, "%").at_most(0.1, "")
        });
    }

    /// Writes `image` to the first `count` files at once, and waits for as many messages of its
    /// outcome.
    fn round(&self, count: usize, image: &str, outcome: Outcome) -> Round {
        let recorded = Recorded::start(&self.cluster.admin, &self.services.all[0].namespace);
        let Depd { receiver, .. } = self.depd;
        receiver.clear();
        let pid = self.depd.pid();
        let (before, watch) = (process::cpu(pid), process::cpu_of_living_threads(pid, POD_WATCH));
        let began = Stamp::now();
        for service in self.some(count) {
            self.depd.write(service, image);
        }
        wait_for("the messages", every(count), LIMIT, || {
            (receiver.told(outcome.word()).len() >= count).then_some(())
        });
        self.depd.wait_until_quiet();
        let cpu_ms = ms(process::cpu(pid) - before) / count as f64;
        let watch = process::cpu_since(&watch, pid, POD_WATCH);
        let told = receiver.told(outcome.word());
        let (shown, observed, pods) = recorded.stop(outcome, image, began);
        Round {
            cpu_ms,
            pod_watch_cpu_ms: ms(watch) / count as f64,
            began,
            latencies: latencies(&shown, &told),
            slowest: slowest(&shown, &told, began),
            after_observed: latencies(&later(shown, &observed), &told),
            messages: receiver.count(),
            pods,
        }
    }

    /// Returns the image that is in force afterwards.
    fn succeed(&mut self) -> &'static str {
        let Managed { batch, rounds, .. } = *self.sizes;
        let namespace = self.services.all[0].namespace.clone();
        let mut image = FIRST_IMAGE;
        let mut all = Vec::new();
        let _ = self.requests();
        for _ in 0..rounds {
            image = other(image);
            all.push(self.round(batch, image, Outcome::Succeeded));
            self.services.wait_until_namespace_settled(&namespace);
        }
        self.add_rounds(&all, batch, Outcome::Succeeded);
        image
    }

    fn fail(&mut self) {
        let count = self.sizes.failing;
        let round = self.round(count, MISSING_IMAGE, Outcome::Failed);
        self.add_rounds(&[round], count, Outcome::Failed);
        self.list_pods(count);
    }

    /// What it would cost to ask for the pods of each rollout, once, in place of watching them.
    fn list_pods(&mut self, count: usize) {
        let (mut bytes, began, before) = (0, Stamp::now(), process::cpu_of_this_thread());
        for Service { namespace, name, .. } in self.some(count) {
            let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{name}");
            bytes += self.cluster.admin.get::<serde_json::Value>(&path).to_string().len();
        }
        let each = |total: f64| total / count as f64;
        let (took, cpu) = (Stamp::now().ms_since(began), process::cpu_of_this_thread() - before);
        let (kib, cpu) = (each(bytes as f64) / 1024.0, each(ms(cpu)));
        self.add("pods.list", |id| {
            let what = "  one list of a rollout's pods by selector, one after another";
            let row = Row::new(id, what, each(took), "ms");
            row.note(format!("{kib:.1} KiB and {cpu:.2} ms of CPU of the asking thread"))
        });
    }

    fn add_rounds(&mut self, rounds: &[Round], count: usize, outcome: Outcome) {
        let requests = self.requests();
        let (changes, verdict) = (count * rounds.len(), outcome.verdict());
        let all = |of: fn(&Round) -> &[f64]| -> Vec<f64> {
            rounds.iter().flat_map(of).copied().collect()
        };
        let latencies = all(|round| &round.latencies);
        let after_observed = all(|round| &round.after_observed);
        let what = format!("{changes} rollouts, {count} at once: {verdict} → message, p99");
        self.add(&format!("{verdict}.p99"), |id| {
            let (p50, most) = (quantile(&latencies, 0.5), quantile(&latencies, 1.0));
            let row = Row::new(id, what, quantile(&latencies, 0.99), "ms");
            row.at_most(outcome.goal_ms(), "").note(format!("p50 {p50:.1} ms, most {most:.1} ms"))
        });
        if matches!(outcome, Outcome::Failed) {
            self.add("failed.observed.p99", |id| {
                let what = "  the same since the Deployment's observedGeneration is ours too, p99";
                let row = Row::new(id, what, quantile(&after_observed, 0.99), "ms");
                row.note(format!("p50 {:.1} ms", quantile(&after_observed, 0.5)))
            });
        }
        let patches: Vec<&Entry> = requests.iter().filter(|entry| entry.is_patch()).collect();
        let patched = patches.iter().map(|entry| entry.answered).max();
        if let ([Round { began, slowest, .. }], Some(patched)) = (rounds, patched) {
            self.add(&format!("{verdict}.slowest"), |id| {
                let what = "  the slowest hundredth was seen in the cluster, after the first file";
                let (first, patched) = (quantile(slowest, 0.0), patched.ms_since(*began));
                let row = Row::new(id, what, quantile(slowest, 1.0), "ms");
                row.note(format!("the first at {first:.0} ms, the last PATCH at {patched:.0} ms"))
            });
        }
        self.add(&format!("{verdict}.seen"), |id| {
            let what = "  verdicts that were seen in the cluster and told";
            Row::new(id, what, latencies.len() as f64, "").exactly(changes)
        });
        self.add(&format!("{verdict}.patches"), |id| {
            let row = Row::new(id, "  PATCHes of depd", patches.len() as f64, "").exactly(changes);
            row.note(summary(requests.iter()))
        });
        let messages: usize = rounds.iter().map(|round| round.messages).sum();
        self.add(&format!("{verdict}.messages"), |id| {
            Row::new(id, "  messages", messages as f64, "").exactly(changes)
        });
        let watch = median(&rounds.iter().map(|round| round.pod_watch_cpu_ms).collect::<Vec<_>>());
        let mut pods = Traffic::default();
        rounds.iter().for_each(|round| pods += round.pods);
        self.add(&format!("{verdict}.pods"), |id| {
            let each = |total: usize| total as f64 / changes as f64;
            let row = Row::new(id, "  events of pods for each rollout", each(pods.events), "");
            let kib = each(pods.bytes) / 1024.0;
            row.note(format!("{kib:.1} KiB and {watch:.2} ms of CPU of the watch's thread"))
        });
        let cpu = median(&rounds.iter().map(|round| round.cpu_ms).collect::<Vec<_>>());
        self.cpu_ms.push((outcome, cpu));
    }

    fn remember(&mut self) {
        let pid = self.depd.pid();
        let (now, peak) = (process::resident_mib(pid), process::peak_resident_mib(pid));
        self.add("resident.after", |id| {
            let row = Row::new(id, "resident after all that", now, "MiB");
            row.note(format!("{}; {peak:.1} MiB at most", process::resident_parts(pid)))
        });
    }
}

/// Rollouts that were started at once.
struct Round {
    /// The first file was about to be written.
    began: Stamp,
    cpu_ms: f64,
    /// Of that, the thread of the pods' watch.
    pod_watch_cpu_ms: f64,
    /// Since the cluster showed it, ms.
    latencies: Vec<f64>,
    /// When the cluster showed the slowest hundredth, ms since the beginning.
    slowest: Vec<f64>,
    /// Since it showed it and the Deployment's status was of our change, ms.
    after_observed: Vec<f64>,
    messages: usize,
    /// What a watch of the pods brought meanwhile.
    pods: Traffic,
}

/// The raw loop's CPU for as many changes as depd had at once, with pods; they also heal what failed.
fn raw_cpu(
    cluster: &Cluster,
    sizes: &Managed,
    services: &Services,
    image: &str,
    report: &mut Report,
) -> f64 {
    let count = sizes.failing.max(sizes.batch);
    let patch = |service| Patch::new(&cluster.plain, service, image);
    let patches: Vec<Patch> = services.all[..count].iter().map(patch).collect();
    let run = raw::burst(&cluster.plain, &patches, report.best_connections);
    let id = format!("managed.{}.raw.cpu", sizes.services);
    let cpu = ms(run.cpu) / count as f64;
    report.add(Row::new(id, format!("{count} PATCHes, raw loop: CPU for each"), cpu, "ms"));
    cpu
}
