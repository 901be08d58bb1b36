//! A machine that denies what a process needs: descriptors, memory, room on the disk, time.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};
use tempfile::NamedTempFile;

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

/// Bounds what the running depd may use, as `--nofile=40` does.
fn limit(depd: &Depd, bound: &str) {
    let status = Command::new("prlimit").args(["--pid", &depd.pid().to_string(), bound]).status();
    assert!(status.expect("prlimit runs").success());
}

#[test]
fn fault_37_without_file_descriptors_deployments_are_delayed_and_none_is_lost() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    let names = cluster.many_deployments(&namespace, 30);
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    // The watches of workloads and pods and the connection to Slack are open before the drought.
    cluster.deployment(&namespace, "first", "nginx:1.24", 1);
    depd.save("first", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: first ");
    let open = fs::read_dir(format!("/proc/{}/fd", depd.pid())).expect("readable").count();
    // Room for three more connections, where thirty are wanted at once.
    limit(&depd, &format!("--nofile={}", open + 3));
    names.iter().for_each(|name| depd.save(name, &namespace, "nginx:1.25"));
    wait_for("every message", || {
        let told = |name: &String| {
            let title = format!("Deployed: {name} ");
            depd.slack.titles().iter().any(|own| own.starts_with(&title))
        };
        names.iter().all(told).then_some(())
    });
    for name in &names {
        assert_eq!(cluster.image(&namespace, name), "nginx:1.25");
    }
    assert!(!depd.log().iter().any(|line| line.contains("panicked")), "no panic");
}

/// The address space, in MiB, in which the program starts at all: with less the kernel itself ends it, before
/// its first instruction.
fn least_memory(depd: &Depd) -> u64 {
    let starts = |mib: &u64| {
        let mut prlimit = Command::new("prlimit");
        prlimit.arg(format!("--as={}", mib * 1024 * 1024));
        let output = prlimit.arg(depd.program(&[]).get_program()).arg("--version").output();
        output.expect("prlimit runs").status.success()
    };
    (4..1024).step_by(4).find(starts).expect("it starts")
}

#[test]
fn fault_37_without_memory_it_ends_with_a_word_or_goes_on_and_the_next_start_does() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    depd.save("web", &namespace, "nginx:1.25");
    // Too little for its threads and for much of what they do, in MiB of address space.
    let least = least_memory(&depd);
    for mib in [least, least + 10, least + 20] {
        let depd = depd.command(&["--workers", "100"]);
        let log = NamedTempFile::new().expect("a file");
        let mut child = Command::new("prlimit")
            .arg(format!("--as={}", mib * 1024 * 1024))
            .arg(depd.get_program())
            .args(depd.get_args())
            .current_dir(depd.get_current_dir().expect("set"))
            .env_clear()
            .env("KUBECONFIG", &cluster.kubeconfig)
            .stderr(log.reopen().expect("opened"))
            .spawn()
            .expect("prlimit runs");
        let text = || fs::read_to_string(log.path()).unwrap_or_default();
        // Either it cannot live and says why, or it finds its way with what there is, or says what is not done
        // until it tries again.
        let ended = wait_for("a word or a deployment", || {
            let ended = child.try_wait().expect("it is a child");
            let text = text();
            let lives = ["Deployed", "tried again"].iter().any(|word| text.contains(word));
            (ended.is_some() || lives).then_some(ended)
        });
        let text = text();
        match ended {
            Some(status) => {
                assert!(!status.success(), "{mib} MiB: {text}");
                assert!(!text.trim().is_empty(), "{mib} MiB: {status} without a word");
            }
            None => {
                child.kill().expect("it runs");
                child.wait().expect("it ends");
            }
        }
    }
    depd.launch(&[]);
    depd.slack.wait_for("Deployed: web");
    assert_eq!(cluster.image(&namespace, "web"), "nginx:1.25");
}

/// A file system of 1 MiB, unmounted at the end.
struct Mount<'a>(&'a Path);

impl Mount<'_> {
    /// `None` where mounting is not permitted, which is said.
    fn small(at: &Path) -> Option<Mount<'_>> {
        fs::create_dir(at).expect("a folder");
        let options = ["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(at).output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        if !mounted {
            println!("skipped: a small file system cannot be mounted here");
        }
        mounted.then_some(Mount(at))
    }

    fn remount(&self, option: &str) {
        let status =
            Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(self.0).status();
        assert!(status.expect("mount runs").success());
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

/// Writes until there is no room.
fn fill(file: &Path) {
    while fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &[b'x'; 512]))
        .is_ok()
    {}
}

#[test]
fn fault_38_a_full_disk_stops_no_deployment_and_no_message_and_is_said() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let state = depd.folder().join("state");
    let Some(mount) = Mount::small(&state) else { return };
    depd.launch(&[]);
    let ballast = state.join("ballast");
    fill(&ballast);
    for image in ["nginx:1.25", "nginx:1.26"] {
        depd.save("web", &namespace, image);
        depd.wait_for_deployed("web", image);
    }
    depd.wait_for_log("the store cannot be written");
    fs::remove_file(&ballast).expect("removed");
    depd.wait_for_log("the store is written again");
    // Whatever waited for the disk is remembered.
    depd.kill();
    depd.launch(&[]);
    depd.look_at_everything(&namespace);
    assert_eq!(depd.told("Deployed: web"), 2, "{:?}", depd.slack.titles());
    depd.kill();
    drop(mount);
}

#[test]
fn fault_38_a_read_only_disk_stops_no_deployment_and_is_said() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    let state = depd.folder().join("state");
    let Some(mount) = Mount::small(&state) else { return };
    // A store that was used before. A mount that a process writes to cannot be made read-only; what a disk
    // that refuses only later does is shown above, where it is full.
    depd.launch(&[]);
    depd.kill();
    mount.remount("ro");
    depd.launch(&[]);
    depd.save("web", &namespace, "nginx:1.25");
    depd.slack.wait_for("Deployed: web");
    let said = depd.wait_for_log("cannot be written (");
    assert!(said.contains("the store ") && said.contains("readonly database"), "{said}");
    depd.kill();
    drop(mount);
}

#[test]
fn fault_39_a_process_that_stood_still_gives_the_verdict_that_came_meanwhile() {
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    for name in ["web", "other"] {
        cluster.deployment(&namespace, name, "nginx:1.24", 1);
    }
    let depd = Depd::start(&cluster.kubeconfig, &["--timeout", "4s"]);
    // Pulls for two seconds, and is well then.
    depd.save("web", &namespace, "nginx:flaky");
    depd.wait_for_log("web_");
    depd.wait_for_log("Rolling out");
    depd.signal("-STOP");
    depd.save("other", &namespace, "nginx:1.25");
    cluster.wait_until_available(&namespace, "web");
    // Not to wait for anything: longer than the time limit of the rollout must pass.
    std::thread::sleep(Duration::from_secs(5));
    depd.signal("-CONT");
    depd.slack.wait_for("Deployed: web");
    depd.slack.wait_for("Deployed: other");
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
}

/// A PATCH that has arrived and goes on when the test lets it.
struct Patch {
    cluster: Cluster,
    namespace: String,
    depd: Depd,
    /// Dropped, it lets the PATCH go on.
    hold: Sender<()>,
}

/// depd is asked to end while its PATCH is held.
fn terminated_during_a_patch() -> Patch {
    let cluster = Cluster::start_for_faults();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let depd = Depd::start(&cluster.kubeconfig, &[]);
    let (arrived, arrival) = unbounded();
    let (hold, let_go) = unbounded();
    cluster.set_faults(move |request| {
        if request.user == "depd" && request.method == "PATCH" {
            let _ = arrived.send(());
            let _: Result<(), _> = let_go.recv();
        }
        None
    });
    depd.save("web", &namespace, "nginx:1.25");
    arrival.recv_timeout(Duration::from_secs(60)).expect("the PATCH arrives");
    depd.signal("-TERM");
    depd.wait_for_log("finishing what is in hand");
    Patch { cluster, namespace, depd, hold }
}

/// The next depd goes on, with the one rollout there is.
#[track_caller]
fn goes_on(cluster: &Cluster, namespace: &str, depd: &mut Depd) {
    cluster.clear_faults();
    depd.launch(&[]);
    depd.slack.wait_for("Deployed: web");
    depd.look_at_everything(namespace);
    let deployment = cluster.get_deployment(namespace, "web").expect("there");
    assert_eq!(deployment["metadata"]["generation"], 2, "one rollout");
    assert_eq!(depd.slack.titles().len(), 2, "{:?}", depd.slack.titles());
}

#[test]
fn fault_42_a_term_signal_while_a_patch_is_answered_lets_it_finish() {
    let Patch { cluster, namespace, mut depd, hold } = terminated_during_a_patch();
    drop(hold);
    assert!(depd.wait().success());
    goes_on(&cluster, &namespace, &mut depd);
}

#[test]
fn fault_42_a_term_signal_while_a_patch_hangs_ends_within_a_bound_and_makes_no_second_rollout() {
    let Patch { cluster, namespace, mut depd, hold } = terminated_during_a_patch();
    assert!(depd.wait().success());
    // It left the PATCH, whose answer nobody gave, and did not wait until its own request timed out.
    depd.wait_for_log("requests were still in flight");
    drop(hold);
    goes_on(&cluster, &namespace, &mut depd);
}
