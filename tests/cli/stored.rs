//! The commands that read the store: `status`, `history`, `wait`, beside a daemon that works on it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Duration;

use depd::sandbox::{Sandbox, SandboxOptions, samples};
use serde_json::Value;
use tempfile::TempDir;

use super::{depd, folder, refuses};

/// A daemon on a pretend cluster with the Deployments web, api and worker.
pub struct Site {
    folder: TempDir,
    daemon: Child,
    pub cluster: Sandbox,
}

impl Site {
    pub fn start() -> Site {
        Site::with(&[])
    }

    /// With these flags of depd run besides.
    pub fn with(more: &[&str]) -> Site {
        let cluster = Sandbox::start(SandboxOptions::default()).expect("it starts");
        samples().into_iter().for_each(|object| drop(cluster.apply(object).expect("applied")));
        let folder = folder();
        fs::write(folder.path().join("kubeconfig"), cluster.kubeconfig()).expect("written");
        let arguments = [&["run", "--kubeconfig", "kubeconfig"], more].concat();
        let daemon = depd(folder.path(), &arguments)
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("it runs");
        Site { folder, daemon, cluster }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn save(&self, name: &str, content: &str) {
        fs::write(self.path().join("deps").join(name), content).expect("written");
    }

    pub fn wait(&self, key: &str) -> Output {
        depd(self.path(), &["wait", key, "--timeout", "60s"]).output().expect("it runs")
    }

    /// Ends the daemon in order.
    pub fn end(&mut self) {
        let term = Command::new("kill").args(["-TERM", &self.daemon.id().to_string()]).status();
        assert!(term.expect("kill runs").success());
        assert!(self.daemon.wait().expect("it ends").success());
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[track_caller]
pub fn says(output: &Output, code: i32, text: &str) {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(out.contains(text), "no {text:?} in {out:?}, nor in {err:?}");
}

fn json(mut command: Command) -> Value {
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn wait_tells_the_verdict_of_what_was_just_saved_and_status_and_history_show_it() {
    let site = Site::start();
    site.save("web_default.dep", "nginx:1.26\n");
    says(&site.wait("web_default"), 0, "web_default: deployed: runs nginx:1.26");
    site.save("web_default.dep", "nginx:missing\n");
    says(&site.wait("web_default"), 1, "web_default: Failed: ");
    site.save("web_default.dep", "nginx\n");
    says(&site.wait("web_default.dep"), 1, "bad dep file: line 1, column 6: no tag");

    let history = json(depd(site.path(), &["history", "web_default", "--output", "json"]));
    let verdicts: Vec<&str> = history["rollouts"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|rollout| rollout["verdict"].as_str())
        .collect();
    assert_eq!(verdicts, ["failed", "deployed"]);
    assert_eq!(history["rollouts"][1]["wanted"], "nginx:1.26\n");

    let status = json(depd(site.path(), &["status", "web_default", "--output", "json"]));
    assert_eq!(status["daemon"]["pid"], site.daemon.id());
    assert_eq!(status["services"].as_array().map(Vec::len), Some(1));
    assert_eq!(status["services"][0]["service"], "web");
    let yaml = depd(site.path(), &["status", "--output", "yaml"]).output().expect("it runs");
    says(&yaml, 0, "  running: true");
}

#[test]
fn rollback_writes_the_file_and_the_daemon_does_the_rest() {
    let site = Site::start();
    for image in ["nginx:1.26", "nginx:1.27"] {
        site.save("web_default.dep", &format!("{image}\n"));
        says(&site.wait("web_default"), 0, image);
    }
    let file = site.path().join("deps/web_default.dep");
    let rollback = |more: &[&str]| {
        let arguments = [&["rollback", "web_default"], more].concat();
        depd(site.path(), &arguments).output().expect("it runs")
    };
    says(&rollback(&[]), 0, "deps/web_default.dep asks for nginx:1.26 again, as in rollout 1");
    assert_eq!(fs::read_to_string(&file).expect("readable"), "nginx:1.26\n");
    says(&site.wait("web_default"), 0, "web_default: deployed: runs nginx:1.26");
    says(&rollback(&["--to", "2"]), 0, "nginx:1.27 again, as in rollout 2");
    says(&site.wait("web_default"), 0, "nginx:1.27");
    let beyond = depd(site.path(), &["rollback", "web_default", "--to", "99"]);
    refuses(
        beyond,
        1,
        "depd: web_default: there is no rollout 99 in its history, which goes from 1 to 4",
    );
    fs::rename(&file, site.path().join("elsewhere")).expect("moved");
    std::os::unix::fs::symlink("../elsewhere", &file).expect("linked");
    refuses(
        depd(site.path(), &["rollback", "web_default"]),
        1,
        "depd: deps/web_default.dep is a symbolic link",
    );
    let names: Vec<_> = fs::read_dir(site.path().join("deps")).expect("readable").collect();
    assert_eq!(names.len(), 1, "nothing is left behind: {names:?}");
}

#[test]
fn a_pause_holds_a_service_until_it_is_resumed_and_a_restart_makes_new_pods() {
    let site = Site::start();
    let ask = |arguments: &[&str]| {
        let mut command = depd(site.path(), arguments);
        command.env("KUBECONFIG", "kubeconfig").output().expect("it runs")
    };
    says(
        &ask(&["pause", "web_default"]),
        0,
        "Deployment web in default is held; depd resume web_default",
    );
    site.save("web_default.dep", "nginx:1.26\n");
    let held = depd(site.path(), &["wait", "web_default", "--timeout", "5s"]).output();
    says(&held.expect("it runs"), 3, "web_default: no verdict yet: held: ");
    says(&ask(&["resume", "web_default"]), 0, "Deployment web in default is held no longer");
    says(&site.wait("web_default"), 0, "deployed");
    says(&ask(&["restart", "web_default"]), 0, "kubectl rollout status deployment/web -n default");
    let path = "/apis/apps/v1/namespaces/default/deployments/web";
    let made_anew = site.cluster.wait_for(path, Duration::from_secs(60), |web| {
        let annotations = &web["spec"]["template"]["metadata"]["annotations"];
        annotations["kubectl.kubernetes.io/restartedAt"].is_string()
            && web["status"]["observedGeneration"] == web["metadata"]["generation"]
            && web["status"]["updatedReplicas"] == web["spec"]["replicas"]
    });
    assert!(made_anew, "{:?}", site.cluster.get(path));
    for command in ["pause", "resume", "restart"] {
        let slip = ask(&[command, "wbe_default"]);
        assert_eq!(slip.status.code(), Some(2), "{command}");
        let said = String::from_utf8_lossy(&slip.stderr).into_owned();
        assert!(said.contains("in namespace default: did you mean web_default"), "{said}");
    }
    let nobody = ask(&["pause", "nobody_default"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&nobody.stderr).contains("no workload nobody in namespace default")
    );
}

#[test]
fn what_was_refused_is_tried_again_when_asked_and_only_by_a_daemon_that_runs() {
    let mut site = Site::start();
    site.save("web_default.dep", "nginx:1.26\n");
    says(&site.wait("web_default"), 0, "deployed");
    let retry = |key: &str| depd(site.path(), &["retry", key]);
    let nothing = "depd: web_default is deployed: nothing was rolled back or refused; depd restart";
    refuses(retry("web_default"), 1, nothing);
    refuses(retry("wbe_default"), 2, "depd: depd knows no wbe_default: did you mean web_default?");
    refuses(retry("nobody_default"), 2, "depd: depd knows no nobody_default");
    site.daemon.kill().expect("it runs");
    site.daemon.wait().expect("it ends");
    refuses(
        depd(site.path(), &["retry", "web_default"]),
        1,
        "depd: no depd runs on the state folder",
    );
}

#[test]
fn a_file_that_was_removed_is_named_as_gone_and_written_again() {
    let site = Site::start();
    site.save("web_default.dep", "nginx:1.26\n");
    says(&site.wait("web_default"), 0, "deployed");
    let path = site.path().join("deps/web_default.dep");
    fs::remove_file(&path).expect("removed");
    refuses(depd(site.path(), &["wait", "web_default"]), 2, "depd: web_default.dep is gone");
    let back = depd(site.path(), &["rollback", "web_default"]).output().expect("it runs");
    says(&back, 0, "deps/web_default.dep asks for nginx:1.26 again");
    assert_eq!(fs::read_to_string(&path).expect("there"), "nginx:1.26\n");
}

#[test]
fn man_pages_and_completions_come_from_the_command_line_itself() {
    let folder = folder();
    let output = depd(folder.path(), &["documents", "out"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    let read = |name: &str| fs::read_to_string(folder.path().join("out").join(name)).expect(name);
    assert!(read("man/depd-run.1").contains("ECR_REPO"));
    assert!(read("man/depd.1").contains("depd"));
    for (page, part) in
        [("plan", "dry run"), ("doctor", "kubeconfig"), ("version", "store"), ("guide", "page")]
    {
        assert!(read(&format!("man/depd-{page}.1")).contains(part), "{page}");
    }
    for (name, part) in [("depd.bash", "doctor"), ("_depd", "doctor"), ("depd.fish", "doctor")] {
        assert!(read(&format!("completions/{name}")).contains(part), "{name}");
    }
}

#[test]
fn wait_gives_up_in_time_and_says_what_it_waits_for() {
    let site = Site::start();
    site.save("nobody_default.dep", "nginx:1\n");
    let output = depd(site.path(), &["wait", "nobody_default", "--timeout", "2s"]).output();
    says(&output.expect("it runs"), 3, "nobody_default: no verdict yet: pending: ");
}

#[test]
fn an_unknown_key_and_a_store_that_is_not_there_are_named() {
    let folder = folder();
    refuses(depd(folder.path(), &["status"]), 1, "depd: there is no store ");
    refuses(depd(folder.path(), &["history"]), 1, "depd: there is no store ");
    refuses(
        depd(folder.path(), &["wait", "web"]),
        2,
        "error: invalid value 'web' for '<KEY>': a key is SERVICE_NAMESPACE",
    );
    fs::write(folder.path().join("deps/web_default.dep"), "nginx:1\n").expect("written");
    refuses(
        depd(folder.path(), &["wait", "wen_default"]),
        2,
        "depd: depd knows no wen_default: did you mean web_default?",
    );
}

#[test]
fn a_reader_that_wants_no_more_ends_it_quietly() {
    let site = Site::start();
    site.save("web_default.dep", "nginx:1.26\n");
    says(&site.wait("web_default"), 0, "deployed");
    for command in ["status --watch", "history", "status"] {
        let script = format!("{} {command} | head -n 1", env!("CARGO_BIN_EXE_depd"));
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(site.path())
            .env("STATE_DIRECTORY", site.path().join("state"))
            .stdin(std::process::Stdio::null())
            .output()
            .expect("sh runs");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command}");
        assert!(!output.stdout.is_empty(), "{command}");
    }
}
