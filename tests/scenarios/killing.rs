//! `kill -9` again and again, at any moment, while people go on saving files.
//!
//! What must be true afterwards is asked of three who do not know of each other: the cluster, what depd
//! remembers (`depd history`), and the receiver of its messages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::receiver::Message;
use crate::wait::wait_for;

/// Numbers that need not be good; the seed is printed.
struct Dice(u64);

impl Dice {
    fn new() -> Dice {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let seed = u64::from(now.subsec_nanos()) | 1;
        println!("seed {seed}");
        Dice(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Saves files, each with an image that was never there before.
struct Writer {
    files: Vec<PathBuf>,
    version: AtomicU32,
    /// The longest time between two saves.
    pace_ms: u64,
}

impl Writer {
    /// The image that was saved.
    fn save(&self, service: usize, tag: &str) -> String {
        let version = self.version.fetch_add(1, Ordering::SeqCst);
        let image = format!("nginx:{tag}-{version}");
        std::fs::write(&self.files[service], format!("{image}\n")).expect("written");
        image
    }

    /// Saves any file at any moment, some more often than others; every fourth asks for an image that
    /// does not exist.
    fn keep_saving(&self, over: &AtomicBool) {
        let mut dice = Dice::new();
        while !over.load(Ordering::SeqCst) {
            let below = dice.below(10) + 1;
            let service = usize::try_from(dice.below(below)).expect("small");
            self.save(service, if dice.below(4) == 0 { "missing" } else { "2" });
            thread::sleep(Duration::from_millis(dice.below(self.pace_ms)));
        }
    }
}

/// What depd remembers of one service, the oldest first.
fn history(depd: &Depd, service: &str, namespace: &str) -> Vec<Value> {
    let key = format!("{service}_{namespace}");
    let arguments = ["history", &key, "--limit", "1000", "--output", "json", "--state", "state"];
    let output = depd.program(&arguments).output().expect("it runs");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let history: Value = serde_json::from_slice(&output.stdout).expect(&complaint);
    let mut rollouts = history["rollouts"].as_array().cloned().expect("a list");
    rollouts.reverse();
    rollouts
}

/// The images of every ReplicaSet of the namespace, which is one for each rollout that its Deployment's
/// controller has seen, by service.
fn rolled_out(cluster: &Cluster, namespace: &str) -> BTreeMap<String, BTreeSet<String>> {
    let list = cluster.get(&format!("/apis/apps/v1/namespaces/{namespace}/replicasets"));
    let items = list.and_then(|list| list["items"].as_array().cloned()).expect("a list");
    let mut images: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for set in items {
        let container = &set["spec"]["template"]["spec"]["containers"][0];
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        images.entry(text(&container["name"])).or_default().insert(text(&container["image"]));
    }
    images
}

/// Faults row 36.
#[test]
fn no_kill_at_any_moment_loses_a_change_an_outcome_or_its_message() {
    let cluster = Cluster::start();
    let (kills, pace_ms) = if cluster.is_real() { (50, 500) } else { (15, 120) };
    let namespace = cluster.namespace();
    let names = cluster.many_deployments(&namespace, 10);
    for name in &names {
        // Every rollout leaves its ReplicaSet behind.
        let keep = json!({ "spec": { "revisionHistoryLimit": 100_000 } });
        cluster.merge_patch(&namespace, name, &keep);
        cluster.wait_until_available(&namespace, name);
    }
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let files = names.iter().map(|name| depd.file(&format!("{name}_{namespace}.dep"))).collect();
    let writer = Writer { files, version: AtomicU32::new(0), pace_ms };
    let over = AtomicBool::new(false);
    let mut dice = Dice::new();
    thread::scope(|scope| {
        scope.spawn(|| writer.keep_saving(&over));
        for _ in 0..kills {
            // Messages wait now and then, as their receiver is away.
            match dice.below(3) {
                0 => depd.slack.go_down(),
                _ => depd.slack.come_back(),
            }
            // While it starts, or while it is at work.
            match dice.below(3) {
                0 => depd.launch_unready(&[]),
                _ => depd.launch(&[]),
            }
            // Not to wait for anything: the moment of the kill is what is random here.
            thread::sleep(Duration::from_millis(dice.below(1500)));
            depd.kill();
        }
        over.store(true, Ordering::SeqCst);
        depd.slack.come_back();
    });
    let last: Vec<String> = (0..names.len()).map(|n| writer.save(n, "2")).collect();
    depd.launch(&[]);
    // Every service ends on its last file.
    for (name, image) in names.iter().zip(&last) {
        depd.wait_for_deployed(name, image);
        assert_eq!(cluster.image(&namespace, name), *image);
    }
    let rolled_out = rolled_out(&cluster, &namespace);
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for name in &names {
        let rollouts = history(&depd, name, &namespace);
        let text = |rollout: &Value, field: &str| rollout[field].as_str().map(str::to_owned);
        let change = |rollout: &Value| text(rollout, "changes").expect("it changes something");
        // None that the cluster began is forgotten: its intent was kept before its PATCH was sent.
        for image in rolled_out[name].iter().filter(|image| *image != "nginx:1.24") {
            let is_it = |rollout: &Value| change(rollout).ends_with(&format!("→ {image}"));
            assert!(rollouts.iter().any(is_it), "{name}: {image} is not in {rollouts:#?}");
        }
        // Each has ended, and each end was received, unless it is that a newer file came.
        for rollout in &rollouts {
            let verdict = text(rollout, "verdict").unwrap_or_else(|| panic!("open: {rollout}"));
            *ends.entry(verdict.clone()).or_default() += 1;
            if verdict == "superseded" {
                continue;
            }
            assert!(["deployed", "failed"].contains(&&*verdict), "{rollout}");
            let change = change(rollout);
            let title = format!("{verdict}: {name} ({namespace})");
            wait_for(&format!("the message of {title}: {change}"), || {
                let is_it =
                    |it: &Message| it.title.to_lowercase() == title && it.change() == Some(&change);
                depd.slack.messages().iter().any(is_it).then_some(())
            });
        }
        // And nothing was told that did not happen.
        for message in depd.slack.messages() {
            if message.title.ends_with(&format!(": {name} ({namespace})")) {
                let is_it = |rollout: &Value| message.change() == Some(&change(rollout));
                assert!(rollouts.iter().any(is_it), "invented: {message:?}");
            }
        }
    }
    println!("{kills} kills; the ends of rollouts: {ends:?}");
    let count = |verdict: &str| ends.get(verdict).copied().unwrap_or_default();
    assert!(
        count("deployed") > 10 && count("failed") > 0,
        "the kills left room for work: {ends:?}"
    );
    let told = depd.told("Deployed") + depd.told("Failed");
    assert_eq!(told, depd.slack.titles().len(), "nothing else: {:?}", depd.slack.titles());
}
