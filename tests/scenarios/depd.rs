//! The depd binary in a folder of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use depd::failpoint::Failpoint;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::receiver::{Message, Receiver};
use crate::wait::wait_for;
use crate::way;

/// A depd in its folder, running or not. Killed when dropped; its logs are shown when the test panics.
pub struct Depd {
    child: Option<Child>,
    kubeconfig: PathBuf,
    /// What starts depd, with its arguments, where it is not started directly.
    pub starter: Vec<String>,
    /// More environment.
    pub env: Vec<(String, String)>,
    folder: TempDir,
    /// One for each process so far.
    logs: Vec<Arc<Mutex<Vec<String>>>>,
    pub slack: Receiver,
}

impl Depd {
    /// Starts `depd run` with these further arguments, and waits until it watches folder and cluster.
    pub fn start(kubeconfig: &Path, arguments: &[&str]) -> Depd {
        let mut depd = Depd::prepare(kubeconfig);
        depd.launch(arguments);
        depd
    }

    /// Starts `depd run` and returns at once.
    pub fn start_unready(kubeconfig: &Path, arguments: &[&str]) -> Depd {
        let mut depd = Depd::prepare(kubeconfig);
        depd.launch_unready(arguments);
        depd
    }

    /// Starts it, and has it take the Deployment web in a namespace of its own from nginx:1.24 to
    /// nginx:1.25.
    pub fn that_deployed_web(cluster: &Cluster) -> (Depd, String) {
        let namespace = cluster.namespace();
        cluster.deployment(&namespace, "web", "nginx:1.24", 1);
        let depd = Depd::start(&cluster.kubeconfig, &[]);
        depd.save("web", &namespace, "nginx:1.25");
        depd.slack.wait_for("Deployed: web");
        (depd, namespace)
    }

    /// A folder and a receiver, without a process yet.
    pub fn prepare(kubeconfig: &Path) -> Depd {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("deps")).expect("a folder");
        let slack = Receiver::start();
        fs::write(folder.path().join(".env"), format!("WEBHOOK_FOR_SLACK={}\n", slack.url()))
            .expect("written");
        let (starter, env) = match way::current() {
            Some(way) => (way.starter.clone(), way.env.clone()),
            None => (Vec::new(), Vec::new()),
        };
        Depd {
            child: None,
            kubeconfig: kubeconfig.to_owned(),
            starter,
            env,
            folder,
            logs: Vec::new(),
            slack,
        }
    }

    /// All that lies in the state folder, as text.
    pub fn everything_kept(&self) -> String {
        let files = fs::read_dir(self.folder.path().join("state")).expect("a folder");
        let files =
            files.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
        let text = |path| String::from_utf8_lossy(&fs::read(path).expect("readable")).into_owned();
        files.map(text).collect()
    }

    /// Starts `depd run` where an earlier one may have left its state, and waits until it watches.
    pub fn launch(&mut self, arguments: &[&str]) {
        self.launch_unready(arguments);
        self.wait_for_log("services differ from them");
    }

    /// The same, without waiting.
    pub fn launch_unready(&mut self, arguments: &[&str]) {
        self.spawn("depd=debug", arguments);
    }

    /// Like [`Depd::launch`], with another `RUST_LOG`.
    pub fn launch_with_log(&mut self, filters: &str, arguments: &[&str]) {
        self.spawn(filters, arguments);
        self.wait_for_log("services differ from them");
    }

    /// The same, without waiting.
    pub fn launch_unready_with_log(&mut self, filters: &str, arguments: &[&str]) {
        self.spawn(filters, arguments);
    }

    fn spawn(&mut self, filters: &str, arguments: &[&str]) {
        let command = self.command(arguments);
        self.run(filters, command);
    }

    /// Like [`Depd::launch_unready`], and it is to die at this point; see `depd::failpoint`.
    pub fn launch_to_die_at(&mut self, failpoint: Failpoint) {
        let mut command = self.command(&[]);
        command.env("DEPD_FAILPOINT", failpoint.name());
        self.run("depd=debug", command);
    }

    /// Starts another process in this folder, and waits until it watches. The log is still that of the
    /// first one.
    pub fn launch_beside(&mut self) -> Beside {
        let first = self.child.take();
        self.launch(&[]);
        let second = std::mem::replace(&mut self.child, first);
        self.logs.rotate_right(1);
        Beside(second.expect("it runs"))
    }

    fn run(&mut self, filters: &str, mut command: Command) {
        assert!(self.child.is_none(), "it runs already");
        command.env("RUST_LOG", filters);
        let mut child = command.spawn().expect("depd starts");
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| kept.lock().expect("fine").push(line));
        });
        self.logs.push(log);
        self.child = Some(child);
    }

    /// `depd run` in this folder and on this state, with nothing of the caller's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.speaking_to_the_cluster("run", arguments)
    }

    /// The same with `depd once`.
    pub fn once(&self, arguments: &[&str]) -> Command {
        self.speaking_to_the_cluster("once", arguments)
    }

    fn speaking_to_the_cluster(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let mut command = self.program(&[subcommand, "--slack-rate", "100", "--state", "state"]);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// `depd` in this folder with nothing but these arguments.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let words = self.starter.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_depd")]);
        let words: Vec<&str> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(arguments).current_dir(self.folder.path()).env_clear();
        command
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Adds a line to its `.env`.
    pub fn set(&self, name: &str, value: &str) {
        let file = self.folder.path().join(".env");
        let text = fs::read_to_string(&file).expect("it is there");
        fs::write(file, format!("{text}{name}={value}\n")).expect("written");
    }

    /// Where it runs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("deps").join(name)
    }

    /// Writes a dep file the way `echo IMAGE > FILE` does.
    pub fn save(&self, service: &str, namespace: &str, image: &str) {
        fs::write(self.file(&format!("{service}_{namespace}.dep")), format!("{image}\n"))
            .expect("written");
    }

    /// Waits until depd has looked at everything that it knew before: a message about a bad file comes
    /// by the same queue. The message is one more in its receiver.
    #[track_caller]
    pub fn look_at_everything(&self, namespace: &str) {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("barrier-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.save(&name, namespace, "this is no image");
        self.slack.wait_for(&format!("Bad dep file: {name} "));
    }

    /// Waits until the store knows that every message arrived: one that does not may be sent again after a kill.
    #[track_caller]
    pub fn wait_for_acknowledged(&self) {
        wait_for("every message to be acknowledged", || {
            (self.status()?["messages"]["waiting"] == 0).then_some(())
        });
    }

    /// Waits until the store knows so many services: those that it does not are unknown after a kill.
    #[track_caller]
    pub fn wait_for_stored(&self, count: usize) {
        wait_for(&format!("{count} services in the store"), || {
            (self.status()?["services"].as_array()?.len() >= count).then_some(())
        });
    }

    /// What `depd status` says of its state, once there is any.
    fn status(&self) -> Option<serde_json::Value> {
        let mut status = self.program(&["status", "--state", "state", "--output", "json"]);
        let output = status.output().expect("it runs");
        serde_json::from_slice(&output.stdout).ok()
    }

    /// How many messages so far have a title that begins like this.
    pub fn told(&self, title: &str) -> usize {
        self.slack.titles().iter().filter(|own| own.starts_with(title)).count()
    }

    /// Waits for the success of this service with this image.
    #[track_caller]
    pub fn wait_for_deployed(&self, service: &str, image: &str) -> Message {
        let (title, change) = (format!("Deployed: {service} "), format!("→ {image} "));
        wait_for(&format!("{title}with {change}; there are {:?}", self.slack.titles()), || {
            let is_it = |it: &Message| it.title.starts_with(&title) && it.text.contains(&change);
            self.slack.messages().into_iter().find(is_it)
        })
    }

    /// What the latest process has logged.
    pub fn log(&self) -> Vec<String> {
        self.logs.last().map(|log| log.lock().expect("fine").clone()).unwrap_or_default()
    }

    #[track_caller]
    pub fn wait_for_log(&self, part: &str) -> String {
        wait_for(&format!("{part:?} in the log"), || {
            self.log().into_iter().find(|line| line.contains(part))
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// `kill` with this signal, for example `-TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        wait_for("the end of depd", || child.try_wait().expect("a child"))
    }
}

/// A second process in the folder of another. Killed when dropped.
pub struct Beside(Child);

impl Beside {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Depd {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            for log in &self.logs {
                let lines = log.lock().expect("fine").join("\n");
                eprintln!("--- the log of depd\n{lines}\n---");
            }
        }
    }
}
