//! Every row of the table of verdicts: how it is produced, what depd says of it, and whether kubectl
//! agrees that the rollout is done or not.
//!
//! The texts are snapshots, one for each row, and the same on both clusters. The sandbox produces the
//! rows that it really can; of the others it prints why not.

pub mod means;
mod rows;
mod stateful;

use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::receiver::Message;
use crate::wait::wait_for;
use rows::{ROWS, Row};

/// A tenth of the usual graces; the rules are the same.
pub const QUICK: &[&str] = &["--grace-percent", "10", "--timeout", "60s"];

/// A workload of a test.
pub struct Subject<'a> {
    pub cluster: &'a Cluster,
    pub namespace: String,
    /// Plural, as in paths.
    pub kind: &'static str,
}

impl<'a> Subject<'a> {
    /// Creates the workload `web`, with a container of the same name that runs `nginx:1.24`.
    pub fn create(
        cluster: &'a Cluster,
        kind: &'static str,
        replicas: u32,
        change: fn(&mut Value),
    ) -> Subject<'a> {
        let subject = Subject { cluster, namespace: cluster.namespace(), kind };
        let mut object = subject.object(replicas);
        change(&mut object);
        cluster.create(&subject.collection(), &object);
        subject
    }

    fn object(&self, replicas: u32) -> Value {
        let kind = match self.kind {
            "statefulsets" => "StatefulSet",
            "daemonsets" => "DaemonSet",
            _ => "Deployment",
        };
        let container = json!({ "name": "web", "image": "nginx:1.24" });
        let mut object = json!({
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": { "name": "web", "namespace": self.namespace, "annotations": {} },
            "spec": {
                "selector": { "matchLabels": { "app": "web" } },
                "template": {
                    "metadata": { "labels": { "app": "web" } },
                    "spec": { "containers": [container] }
                }
            }
        });
        match self.kind {
            // On one node, however many there are.
            "daemonsets" => {
                object["spec"]["template"]["spec"]["nodeSelector"] = json!({ "depd-test": "one" });
            }
            _ => object["spec"]["replicas"] = replicas.into(),
        }
        if self.kind == "statefulsets" {
            object["spec"]["serviceName"] = "web".into();
        }
        object
    }

    fn collection(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/{}", self.namespace, self.kind)
    }

    pub fn path(&self) -> String {
        format!("{}/web", self.collection())
    }

    pub fn in_core(&self, resource: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}", self.namespace)
    }

    /// Waits until its first rollout is done.
    pub fn settle(&self) {
        wait_for(&format!("{} in {} to be there", self.kind, self.namespace), || {
            let object = self.cluster.get(&self.path())?;
            let status = &object["status"];
            let is_seen = status["observedGeneration"] == object["metadata"]["generation"];
            let (wanted, available) = match self.kind {
                "daemonsets" => (&status["desiredNumberScheduled"], &status["numberAvailable"]),
                _ => (&object["spec"]["replicas"], &status["availableReplicas"]),
            };
            let wanted = wanted.as_u64().unwrap_or_default();
            let has_some = self.kind != "daemonsets" || wanted > 0;
            let is_there = available.as_u64().unwrap_or_default() == wanted;
            (is_seen && has_some && is_there).then_some(())
        });
    }

    /// Whether kubectl calls the rollout done; `None` on the sandbox where there is no kubectl.
    pub fn kubectl_says_done(&self) -> Option<bool> {
        let kubectl = std::env::var_os("DEPD_TEST_KUBECTL");
        let admin = std::env::var_os("DEPD_TEST_ADMIN_KUBECONFIG");
        let is_there = kubectl.is_some() && admin.is_some();
        assert!(is_there || !self.cluster.is_real(), "the real control plane comes with kubectl");
        let (kubectl, admin) = (kubectl?, admin?);
        let output = Command::new(kubectl)
            .arg("--kubeconfig")
            .arg(admin)
            .args(["-n", &self.namespace, "rollout", "status", "--watch=false"])
            .arg(format!("{}/web", self.kind))
            .output()
            .expect("kubectl runs");
        let text = String::from_utf8_lossy(&output.stdout);
        println!("    kubectl: {}", text.trim());
        let complaint = String::from_utf8_lossy(&output.stderr);
        // Of a rollout out of time it says so on stderr, and ends in an error.
        let is_said =
            !text.trim().is_empty() || complaint.contains("exceeded its progress deadline");
        assert!(is_said || output.status.success(), "kubectl: {complaint}");
        Some(
            ["successfully rolled out", "roll out complete", "update complete"]
                .iter()
                .any(|words| text.contains(words)),
        )
    }

    /// The first message about it that begins like this.
    pub fn message(&self, depd: &Depd, title: &str) -> Message {
        depd.slack.wait_for(&format!("{title}: web ({})", self.namespace))
    }
}

#[test]
fn every_row_of_the_table_gets_its_verdict_and_kubectl_agrees() {
    let cluster = Cluster::start();
    // More services than a first start changes unasked.
    let depd = Depd::start(&cluster.kubeconfig, &[QUICK, &["--apply-all"]].concat());
    let (rows, others): (Vec<&Row>, Vec<&Row>) =
        ROWS.iter().partition(|row| cluster.is_real() || row.needs.is_none());
    for row in others {
        println!("skipped: {}: the sandbox has no {}", row.name, row.needs.unwrap_or_default());
    }
    if cluster.is_real() {
        means::label_nodes(&cluster);
    }
    let create = |row: &&'static Row| Subject::create(&cluster, row.kind, row.replicas, row.object);
    let subjects: Vec<Subject> = rows.iter().map(create).collect();
    subjects.iter().for_each(Subject::settle);
    for (row, subject) in rows.iter().zip(&subjects) {
        (row.before)(subject);
        depd.save("web", &subject.namespace, row.file);
    }
    thread::scope(|scope| {
        for (row, subject) in rows.iter().zip(&subjects) {
            scope.spawn(|| (row.meanwhile)(subject));
        }
    });
    for (row, subject) in rows.iter().zip(&subjects) {
        println!("{}: {}", row.name, row.how);
        let message = subject.message(&depd, row.title);
        let is_done = matches!(row.title, "Deployed");
        if let Some(done) = subject.kubectl_says_done().filter(|_| row.title != "Refused") {
            assert_eq!(done, is_done, "{}: {message:?}", row.name);
        }
        let text = format!("{} ({})\n{}", row.title, message.color, message.text);
        // The fake kubelet of the real control plane gives every container the same log.
        let text = text.replace(
            "loading index into memory",
            "fatal: cannot open database: connection refused",
        );
        insta::with_settings!({ description => row.how, omit_expression => true }, {
            insta::assert_snapshot!(row.name, steady(&text, &subject.namespace));
        });
    }
    for (row, subject) in rows.iter().zip(&subjects) {
        let of_it = format!(": web ({})", subject.namespace);
        let titles: Vec<String> =
            depd.slack.titles().into_iter().filter(|title| title.ends_with(&of_it)).collect();
        assert_eq!(titles.len(), row.messages, "{}: {titles:?}", row.name);
        (row.after)(subject);
    }
}

/// What differs from run to run, taken out: times, generated names, and the long form of images.
fn steady(text: &str, namespace: &str) -> String {
    let text = text.replace(namespace, "NAMESPACE").replace("docker.io/library/", "");
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let mut skip = false;
        let steady = words.iter().enumerate().filter_map(|(at, word)| {
            if std::mem::take(&mut skip) {
                return None;
            }
            let unit = words.get(at + 1).copied().unwrap_or_default();
            let bare = unit.trim_end_matches([')', ':', ',', '.', ';']);
            if word.parse::<f64>().is_ok() && matches!(bare, "s" | "ms" | "min") {
                skip = true;
                return Some(format!("TIME{}", &unit[bare.len()..]));
            }
            // Whether a pod that is going still counts is a matter of moments.
            if word.starts_with("pods=") && at > 0 && words[at - 1] == "used:" {
                return Some("pods=N,".to_owned());
            }
            Some(generated(word))
        });
        out.push_str(&steady.collect::<Vec<_>>().join(" "));
        out.push('\n');
    }
    out
}

/// `"web-5d8f9c7b6-x2x4z"` → `"web-HASH"`.
fn generated(word: &str) -> String {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let Some(at) = word.find("web-") else { return word.to_owned() };
    let rest = &word[at + 4..];
    let end = rest.find(|c| !is_in_name(c)).unwrap_or(rest.len());
    if end < 5 {
        return word.to_owned();
    }
    format!("{}web-HASH{}", &word[..at], &rest[end..])
}
