//! A stock kubectl against the sandbox. `DEPD_TEST_KUBECTL` names it; without it this is skipped.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use super::*;

struct Kubectl {
    program: OsString,
    folder: tempfile::TempDir,
}

impl Kubectl {
    fn new(sandbox: &Sandbox) -> Option<Kubectl> {
        let Some(program) = std::env::var_os("DEPD_TEST_KUBECTL") else {
            eprintln!("skipped: DEPD_TEST_KUBECTL does not name a kubectl");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config"), sandbox.kubeconfig()).unwrap();
        Some(Kubectl { program, folder })
    }

    fn file(&self, name: &str, content: &Value) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content.to_string()).unwrap();
        path
    }

    /// Runs kubectl; gives its exit code's meaning and everything that it printed.
    fn run(&self, arguments: &str) -> (bool, String) {
        let output = Command::new(&self.program)
            .args(arguments.split(' '))
            .env("KUBECONFIG", self.folder.path().join("config"))
            .env("KUBECACHEDIR", self.folder.path().join("cache"))
            .env("HOME", self.folder.path())
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    fn ok(&self, arguments: &str, expect: &str) -> String {
        let (success, text) = self.run(arguments);
        assert!(success && text.contains(expect), "kubectl {arguments}: {text}");
        text
    }
}

#[test]
fn kubectl_works_as_against_any_cluster() {
    let fixture = fixture();
    let Some(kubectl) = Kubectl::new(&fixture.sandbox) else { return };
    let manifest = kubectl.file("web.json", &deployment("nginx:1.24", 2));
    let manifest = manifest.display();
    kubectl.ok("version", "Server Version: v1.37");
    kubectl.ok(&format!("apply -f {manifest}"), "deployment.apps/web created");
    let status = "rollout status deployment/web --timeout=20s";
    kubectl.ok(status, "successfully rolled out");
    kubectl.ok(&format!("apply -f {manifest}"), "unchanged");
    kubectl.ok("get deployments,pods,replicasets,namespaces", "2/2");
    kubectl.ok("get all -o wide", "nginx:1.24");
    kubectl.ok("set image deployment/web web=nginx:1.25", "image updated");
    kubectl.ok(status, "successfully rolled out");
    kubectl.ok("annotate deployment/web kubernetes.io/change-cause=second", "annotated");
    fixture.sandbox.wait_for(WEB, LIMIT, is_done);
    kubectl.ok("rollout undo deployment/web", "rolled back");
    kubectl.ok(status, "successfully rolled out");
    kubectl.ok("get deployment web -o jsonpath={..image}", "nginx:1.24");
    kubectl.ok("rollout history deployment/web", "REVISION");
    kubectl.ok("scale deployment/web --replicas=3", "scaled");
    kubectl.ok(status, "successfully rolled out");
    kubectl.ok("rollout restart deployment/web", "restarted");
    kubectl.ok(status, "successfully rolled out");
    kubectl.ok("wait --for=condition=Available deployment/web --timeout=20s", "condition met");
    kubectl.ok("logs deployment/web", "listening on :8080");
    kubectl.ok("describe deployment web", "MinimumReplicasAvailable");
    kubectl.ok("delete deployment web", "deleted");
}

#[test]
fn kubectl_shows_a_failing_rollout() {
    let fixture = fixture();
    let Some(kubectl) = Kubectl::new(&fixture.sandbox) else { return };
    kubectl.ok("create deployment web --image=nginx:1.24", "created");
    kubectl.ok("rollout status deployment/web --timeout=20s", "successfully rolled out");
    kubectl.ok("set image deployment/web nginx=app:crash", "image updated");
    let looping = || {
        let (_, text) = kubectl.run("get pods");
        text.contains("CrashLoopBackOff")
    };
    let until = Instant::now() + LIMIT;
    while !looping() {
        assert!(Instant::now() < until, "{}", kubectl.run("get pods").1);
    }
    let names = kubectl.ok("get pods -o name --sort-by=.metadata.creationTimestamp", "pod/");
    let pods: Vec<&str> = names.lines().collect();
    let crashed = |pod: &&&str| kubectl.run(&format!("logs --previous {pod}")).0;
    let pod = pods.iter().find(crashed).unwrap();
    kubectl.ok(&format!("logs --previous --tail=1 {pod}"), "fatal: cannot open database");
    let (success, text) = kubectl.run("rollout status deployment/web --timeout=100ms");
    assert!(!success && text.contains("timed out"), "{text}");
}

#[test]
fn kubectl_makes_and_deletes_namespaces_and_asks_what_it_may() {
    let fixture = fixture();
    let Some(kubectl) = Kubectl::new(&fixture.sandbox) else { return };
    kubectl.ok("create namespace qa", "namespace/qa created");
    kubectl.ok("create secret generic s --from-literal=a=b -n qa", "secret/s created");
    kubectl.ok("create configmap c --from-literal=a=b -n qa", "configmap/c created");
    kubectl.ok("create service clusterip web --tcp=80:8080 -n qa", "service/web created");
    kubectl.ok("get secret s -n qa -o jsonpath={.data.a}", "Yg==");
    kubectl.ok("get service web -n qa -o jsonpath={..targetPort}", "8080");
    kubectl.ok("delete namespace qa --timeout=20s", "deleted");
    kubectl.ok("auth can-i patch deployments", "yes");
    let (_, refused) = kubectl.run("delete namespace default");
    assert!(refused.contains("this namespace may not be deleted"), "{refused}");
}
