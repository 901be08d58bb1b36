//! How the process behaves among others: one pass for cron, its log, and its signals.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use depd::sandbox::{Sandbox, SandboxOptions, samples};
use serde_json::Value;
use tempfile::TempDir;

use super::{depd, folder, stderr};

/// A pretend cluster with the Deployments web, api and worker, and a folder to work in.
pub fn site() -> (Sandbox, TempDir) {
    let cluster = Sandbox::start(SandboxOptions::default()).expect("it starts");
    samples().into_iter().for_each(|object| drop(cluster.apply(object).expect("applied")));
    let folder = folder();
    fs::write(folder.path().join("kubeconfig"), cluster.kubeconfig()).expect("written");
    (cluster, folder)
}

pub fn save(folder: &Path, name: &str, content: &str) {
    fs::write(folder.join("deps").join(name), content).expect("written");
}

#[test]
fn one_pass_rolls_out_waits_for_the_verdicts_and_tells_by_its_exit_code() {
    let (cluster, folder) = site();
    let pass = || {
        let mut command = depd(folder.path(), &["once", "--kubeconfig", "kubeconfig"]);
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    save(folder.path(), "web_default.dep", "nginx:1.26\n");
    save(folder.path(), "nobody_default.dep", "nginx:1.26\n");
    let (code, log) = pass();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("web_default: Deployed"), "{log}");
    let end = "nothing failed, and not every service runs what its file asks for: 1 pending";
    assert!(log.contains(end), "{log}");
    let web = cluster.get("/apis/apps/v1/namespaces/default/deployments/web").expect("there");
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["image"], "nginx:1.26");
    save(folder.path(), "web_default.dep", "nginx:missing\n");
    let (code, log) = pass();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("1 service does not run what its file asks for"), "{log}");
    save(folder.path(), "web_default.dep", "nginx:1.27\n");
    let (code, log) = pass();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_pass_that_is_only_to_be_tried_changes_nothing_and_shows_the_plan() {
    let (cluster, folder) = site();
    save(folder.path(), "web_default.dep", "nginx:1.26\n");
    let arguments = ["once", "--kubeconfig", "kubeconfig", "--dry-run"];
    let output = depd(folder.path(), &arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let plan = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(plan.contains("roll out"), "{plan}");
    let web = cluster.get("/apis/apps/v1/namespaces/default/deployments/web").expect("there");
    assert_ne!(web["spec"]["template"]["spec"]["containers"][0]["image"], "nginx:1.26");
    assert!(!folder.path().join("state").exists(), "nothing is kept");
}

#[test]
fn a_pass_takes_the_signals_as_the_daemon_does_and_ends_in_order() {
    for (signal, name) in [("-TERM", "SIGTERM"), ("-INT", "SIGINT")] {
        let (_cluster, folder) = site();
        save(folder.path(), "web_default.dep", "nginx:hang\n");
        let mut pass = Running::start_as(folder.path(), "once", &[]);
        pass.says("Rolling out");
        pass.signal("-USR1");
        pass.says("state: 1 rolling out; 1 rollouts in flight");
        let moved = folder.path().join("depd.log.1");
        fs::rename(&pass.log, &moved).expect("moved");
        pass.signal("-HUP");
        let until = Instant::now() + Duration::from_secs(60);
        while !pass.log.exists() {
            assert!(Instant::now() < until, "no new log after {:?}", fs::read_to_string(&moved));
            std::thread::yield_now();
        }
        pass.signal(signal);
        assert_eq!(pass.ends().code(), Some(1), "{}", pass.log());
        pass.says(&format!("{name}: finishing what is in hand"));
        pass.says("this pass was ended early; the next one goes on with it");
    }
}

#[test]
fn a_pass_that_nobody_answers_gives_up_in_time() {
    let (cluster, folder) = site();
    cluster.stop();
    let arguments = ["once", "--kubeconfig", "kubeconfig", "--within", "1s"];
    let output = depd(folder.path(), &arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let log = stderr(&output);
    assert!(log.contains("not everything had its verdict within 1s;"), "{log}");
}

/// A daemon whose log goes to a file.
struct Running {
    child: Child,
    log: std::path::PathBuf,
}

impl Running {
    fn start(folder: &Path, more: &[&str]) -> Running {
        Running::start_as(folder, "run", more)
    }

    fn start_as(folder: &Path, subcommand: &str, more: &[&str]) -> Running {
        let log = folder.join("depd.log");
        let arguments = [subcommand, "--kubeconfig", "kubeconfig", "--log-file", "depd.log"];
        let mut command = depd(folder, &[&arguments, more].concat());
        let child = command.stderr(Stdio::piped()).spawn().expect("it runs");
        Running { child, log }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let kill = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Waits for its end, with a generous limit.
    #[track_caller]
    fn ends(&mut self) -> std::process::ExitStatus {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < until, "it does not end:\n{}", self.log());
            std::thread::yield_now();
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn says(&self, part: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.log().contains(part) {
            assert!(Instant::now() < until, "no {part:?} in:\n{}", self.log());
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn sighup_opens_the_log_anew_and_sigusr1_says_where_everything_stands() {
    let (_cluster, folder) = site();
    save(folder.path(), "web_default.dep", "nginx:1.26\n");
    let depd = Running::start(folder.path(), &["--log-format", "json"]);
    depd.says("web_default: Deployed");
    // The verdict is told a moment before the worker lets go of the service.
    let asked = |times: usize| depd.log().matches("state: ").count() >= times;
    let until = Instant::now() + Duration::from_secs(60);
    for times in 1.. {
        depd.signal("-USR1");
        while !asked(times) {
            assert!(Instant::now() < until, "no answer in:\n{}", depd.log());
            std::thread::yield_now();
        }
        if depd.log().contains("state: 1 deployed; 0 rollouts in flight") {
            break;
        }
    }
    for line in depd.log().lines() {
        let record: Value = serde_json::from_str(line).expect("each line is one JSON object");
        assert!(record["time"].is_string() && record["message"].is_string(), "{record}");
    }
    fs::rename(&depd.log, folder.path().join("depd.log.1")).expect("moved");
    depd.signal("-HUP");
    depd.says("SIGHUP: the settings are as before");
}

#[test]
fn sighup_reads_settings_anew_in_the_same_process_and_keeps_good_ones() {
    let (_cluster, folder) = site();
    save(folder.path(), "web_default.dep", "nginx:1.26\n");
    let depd = Running::start(folder.path(), &[]);
    depd.says("web_default: Deployed");
    let file = folder.path().join(".env");
    fs::write(&file, "ECR_REPO=https://x y\n").expect("written");
    depd.signal("-HUP");
    depd.says("depd goes on with the settings that it has");
    fs::write(&file, "CLUSTER_NAME=other\n").expect("written");
    depd.signal("-HUP");
    depd.says("SIGHUP: the settings have changed");
    depd.says("settings from .env");
    save(folder.path(), "web_default.dep", "nginx:1.27\n");
    depd.says("nginx:1.26 → nginx:1.27 in");
}

#[test]
fn sighup_reads_a_changed_kubeconfig_and_goes_on_with_it() {
    let (_cluster, folder) = site();
    save(folder.path(), "web_default.dep", "nginx:1.26\n");
    let depd = Running::start(folder.path(), &[]);
    depd.says("web_default: Deployed");
    let file = folder.path().join("kubeconfig");
    let before = fs::read_to_string(&file).expect("there");
    fs::write(&file, "clusters: nonsense\n").expect("written");
    depd.signal("-HUP");
    depd.says("depd goes on with the settings that it has");
    fs::write(&file, format!("{before}\n# a new token\n")).expect("written");
    depd.signal("-HUP");
    depd.says("SIGHUP: the settings have changed; depd starts anew with them");
    save(folder.path(), "web_default.dep", "nginx:1.27\n");
    depd.says("nginx:1.26 → nginx:1.27 in");
}

#[test]
fn a_slip_in_rust_log_is_told_and_silences_nothing() {
    for slip in ["inof", "INFOO", "%%%"] {
        let (_cluster, folder) = site();
        save(folder.path(), "web_default.dep", "nginx:missing\n");
        let mut command = depd(folder.path(), &["once", "--kubeconfig", "kubeconfig"]);
        let output = command.env("RUST_LOG", slip).output().expect("it runs");
        let log = stderr(&output);
        assert!(log.contains(&format!("RUST_LOG is not heeded, because of {slip:?}")), "{log}");
        assert!(log.contains("web_default: Failed"), "{log}");
    }
}

#[test]
fn without_a_state_folder_a_second_daemon_still_sees_the_first() {
    let (_cluster, folder) = site();
    fs::write(folder.path().join("file"), "").expect("written");
    let state = ["--state", "file/state"];
    let first = Running::start(folder.path(), &state);
    first.says("nothing is saved, because file/state cannot be used");
    first.says("the folder is watched");
    for (more, expect) in [(&["--quiet"][..], ""), (&[], "already running, pid ")] {
        let arguments = [&["run", "--kubeconfig", "kubeconfig"], &state[..], more].concat();
        let child = depd(folder.path(), &arguments).stderr(Stdio::piped()).spawn();
        let mut second = Running { child: child.expect("it runs"), log: first.log.clone() };
        assert_eq!(second.ends().code(), Some(0));
        let mut said = String::new();
        let mut pipe = second.child.stderr.take().expect("piped");
        pipe.read_to_string(&mut said).expect("UTF-8");
        assert!(said.contains(expect) && said.is_empty() == expect.is_empty(), "{said}");
    }
    // As kill -9 leaves it: a lock ends with its process.
    drop(first);
    fs::remove_file(folder.path().join("depd.log")).expect("there");
    Running::start(folder.path(), &state).says("the folder is watched");
}

#[test]
fn what_cannot_be_looked_at_is_not_told_as_a_fact() {
    let (_cluster, folder) = site();
    save(folder.path(), "web_default.dep", "nginx:1.26\n");
    // Stands for another user's folder, which root could read.
    std::os::unix::fs::symlink("state", folder.path().join("state")).expect("made");
    for command in ["status", "history", "wait web_default", "plan --kubeconfig kubeconfig"] {
        let words: Vec<&str> = command.split(' ').collect();
        let output = depd(folder.path(), &words).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{command}: {}", stderr(&output));
        assert!(stderr(&output).contains("depd: cannot read the store"), "{}", stderr(&output));
    }
    let arguments = ["doctor", "--kubeconfig", "kubeconfig"];
    let output = depd(folder.path(), &arguments).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("whether depd runs cannot be told here"), "{text}");
    assert!(text.contains("cannot read the store") && !text.contains("none yet"), "{text}");
}

#[test]
fn a_cluster_that_never_answers_does_not_hold_up_the_end() {
    for (subcommand, code) in [("run", 0), ("once", 1)] {
        let (cluster, folder) = site();
        save(folder.path(), "web_default.dep", "nginx:1.26\n");
        // It takes connections and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = silent.local_addr().expect("bound").to_string();
        let config = cluster.kubeconfig();
        let (_, server) = config.split_once("https://").expect("a server");
        let end = server.find(|c: char| !c.is_ascii_digit() && !".:".contains(c));
        let server = &server[..end.expect("an end")];
        let file = folder.path().join("kubeconfig");
        let changed = config.replace(server, &address);
        fs::write(&file, changed).expect("written");
        let mut depd = Running::start_as(folder.path(), subcommand, &[]);
        depd.says("the folder is watched");
        depd.signal("-TERM");
        assert_eq!(depd.ends().code(), Some(code), "{}", depd.log());
        depd.says("SIGTERM: finishing what is in hand");
        depd.says("stopped");
    }
}

#[test]
fn sighup_after_an_upgrade_goes_on_as_the_new_program_and_as_the_old_one_where_that_is_broken() {
    let (_cluster, folder) = site();
    save(folder.path(), "web_default.dep", "nginx:1.26\n");
    let path = folder.path().join("depd");
    // As install(1) does it: a new file under the same name.
    let install = |source: &Path| {
        let _ = fs::remove_file(&path);
        fs::copy(source, &path).expect("copied");
    };
    let program = Path::new(env!("CARGO_BIN_EXE_depd"));
    install(program);
    let command = depd(folder.path(), &[]);
    let arguments = ["run", "--kubeconfig", "kubeconfig", "--log-file", "depd.log"];
    let environment: Vec<_> = command.get_envs().filter_map(|(k, v)| Some((k, v?))).collect();
    let mut installed = std::process::Command::new(&path);
    installed.args(arguments).current_dir(folder.path()).env_clear().envs(environment);
    let child = installed.spawn().expect("it runs");
    let depd = Running { child, log: folder.path().join("depd.log") };
    depd.says("web_default: Deployed");
    install(program);
    depd.signal("-HUP");
    depd.says("SIGHUP: the program was replaced; depd starts anew as the new one");
    let running = || fs::read_link(format!("/proc/{}/exe", depd.child.id())).expect("it runs");
    let until = Instant::now() + Duration::from_secs(60);
    while running() != path {
        assert!(Instant::now() < until, "it is {:?}", running());
        std::thread::yield_now();
    }
    save(folder.path(), "web_default.dep", "nginx:1.27\n");
    depd.says("nginx:1.26 → nginx:1.27 in");
    let nothing = folder.path().join("nothing");
    fs::write(&nothing, "no program").expect("written");
    install(&nothing);
    depd.signal("-HUP");
    depd.says("cannot be started anew");
    save(folder.path(), "web_default.dep", "nginx:1.28\n");
    depd.says("nginx:1.27 → nginx:1.28 in");
}

#[test]
fn a_service_manager_hears_of_readiness_beats_a_new_beginning_and_the_end() {
    let (_cluster, folder) = site();
    let name = folder.path().join("notify");
    let socket = UnixDatagram::bind(&name).expect("bound");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let hears = |word: &str| {
        let until = Instant::now() + Duration::from_secs(60);
        let mut heard = String::new();
        while heard.lines().next() != Some(word) {
            assert!(Instant::now() < until, "no {word}, the last was: {heard}");
            let mut bytes = [0; 1024];
            let length = socket.recv(&mut bytes).expect("a datagram");
            heard = String::from_utf8_lossy(&bytes[..length]).into_owned();
        }
        heard
    };
    let arguments = ["run", "--kubeconfig", "kubeconfig", "--log-file", "depd.log"];
    let mut command = depd(folder.path(), &arguments);
    command.env("NOTIFY_SOCKET", &name).env("WATCHDOG_USEC", "200000");
    let child = command.spawn().expect("it runs");
    let mut depd = Running { child, log: folder.path().join("depd.log") };
    hears("READY=1");
    let beat = hears("WATCHDOG=1");
    assert!(beat.contains("\nSTATUS=") && beat.contains(" 0 rollouts in flight"), "{beat}");
    fs::write(folder.path().join(".env"), "CLUSTER_NAME=other\n").expect("written");
    depd.signal("-HUP");
    hears("RELOADING=1");
    hears("READY=1");
    hears("WATCHDOG=1");
    depd.signal("-TERM");
    hears("STOPPING=1");
    assert!(depd.child.wait().expect("it ends").success());
}
