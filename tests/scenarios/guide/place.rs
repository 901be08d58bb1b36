//! The situations in which pages begin, and what stands in for what cannot be here. Every stand-in is
//! printed, so that nobody takes it for the thing itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::session::Session;
use crate::cluster::Cluster;
use crate::receiver::Receiver;
use crate::wait::wait_for;

/// A session, and the world that it is in.
pub struct Place {
    pub session: Session,
    pub cluster: Cluster,
    pub receiver: Receiver,
}

/// Where a host has what the tests must not touch.
const PLACES: &[&str] = &["/srv/depd", "/usr/local/", "/etc/systemd/"];

impl Place {
    pub fn new() -> Place {
        let (mut session, cluster) = (Session::new(), Cluster::start());
        let receiver = Receiver::start();
        for place in PLACES {
            let own = session.path(place.trim_matches('/'));
            fs::create_dir_all(&own).expect("a folder");
            let slash = if place.ends_with('/') { "/" } else { "" };
            session.instead.push(((*place).to_owned(), format!("{}{slash}", own.display())));
        }
        let others = [
            ("-o depd -g depd", String::new()),
            ("depd@host", "host".to_owned()),
            ("https://hooks.slack.com/services/T00/B00/XXXX", receiver.url()),
        ];
        session.instead.extend(others.map(|(from, to)| (from.to_owned(), to)));
        let kubeconfig = admin_kubeconfig(&cluster);
        let own = session.path("home/.kube");
        fs::create_dir(&own).expect("a folder");
        session.env.push(("KUBECONFIG".into(), kubeconfig.display().to_string()));
        if let Some(kubectl) = kubectl() {
            session.link("kubectl", &kubectl);
        }
        Place { session, cluster, receiver }
    }

    /// Arranges what a page says is given.
    pub fn arrange(&mut self, given: &str) {
        match given {
            "a receiver" => {}
            "a checkout" => self.checkout(),
            "the shop" => self.shop(),
            "depd on a host" => self.host(),
            "no depd on the host" => self.session.close_terminals(),
            "the archive" => self.archive(),
            "that cron has started it" => self.cron(),
            "the folder of an engine" => self.engine(),
            "an EKS cluster" => super::eks::arrange(self),
            "an administrator" => self.administrator(),
            _ => panic!("nobody knows how {given:?} is arranged"),
        }
    }

    fn home(&self) -> PathBuf {
        self.session.path("home")
    }

    /// Whoever went on as depd's user may do all again.
    fn administrator(&mut self) {
        let kubeconfig = admin_kubeconfig(&self.cluster);
        let export = format!("export KUBECONFIG='{}'", kubeconfig.display());
        assert_eq!(self.session.run(&export), Some(0), "{}", self.session.printed);
    }

    /// The folder of the source, and a cargo that builds nothing: depd is built already.
    fn checkout(&mut self) {
        let deps = self.home().join("deps");
        fs::create_dir(&deps).expect("a folder");
        fs::copy("deps/web_default.dep", deps.join("web_default.dep")).expect("copied");
        self.stand_in(
            "cargo",
            "depd is built already",
            "case \"$1 $2\" in\n\
             'run --release') shift 3; exec depd \"$@\" ;;\n\
             'install --path' | 'test ') ;;\n\
             *) echo \"cargo $*?\" >&2; exit 1 ;;\nesac",
        );
    }

    fn stand_in(&self, name: &str, why: &str, script: &str) {
        println!("stand-in: {name}: {why}");
        self.session.program(name, script);
    }

    fn workload(&self, namespace: &str, name: &str, image: &str) {
        if !self.cluster.namespace_exists(namespace) {
            let object = json!({ "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": namespace } });
            self.cluster.create("/api/v1/namespaces", &object);
        }
        if self.cluster.is_real() {
            let account = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
            wait_for("the default service account", || self.cluster.get(&account));
        }
        self.cluster.deployment(namespace, name, image, 1);
    }

    fn shop(&self) {
        for name in ["shop", "shop-worker"] {
            self.workload("prod", name, "registry.example.com/shop:2.7.1");
        }
    }

    /// A real sshd, which is spoken to through a pipe: no port, no account but our own. It begins in
    /// what stands for the home folder of the user depd.
    fn host(&mut self) {
        let (ssh, home) = (self.session.path("ssh"), self.session.path("srv/depd"));
        fs::create_dir(&ssh).expect("a folder");
        fs::create_dir_all(home.join("deps")).expect("a folder");
        let state = home.join("state");
        fs::write(home.join(".env"), format!("STATE_DIRECTORY={}\n", state.display()))
            .expect("written");
        let script = format!(
            "mkdir -p /run/sshd 2>/dev/null || true\n\
             for key in host own; do ssh-keygen -q -t ed25519 -N '' -f {ssh}/$key; done\n\
             printf '#!/bin/sh\\ncd {home} && exec env -u STATE_DIRECTORY PATH={bin}:/usr/bin:/bin \
             sh -c \"$SSH_ORIGINAL_COMMAND\"\\n' >{ssh}/login\n\
             chmod 755 {ssh}/login\n\
             printf '%s\\n' 'HostKey {ssh}/host' 'AuthorizedKeysFile {ssh}/own.pub' 'StrictModes no' \
             'PermitRootLogin yes' 'UsePAM yes' 'PidFile none' 'ForceCommand {ssh}/login' \
             'Subsystem sftp /usr/lib/openssh/sftp-server' >{ssh}/sshd_config\n\
             printf '%s\\n' 'Host host' 'User '$(id -un) 'IdentityFile {ssh}/own' 'BatchMode yes' \
             'StrictHostKeyChecking no' 'UserKnownHostsFile /dev/null' 'LogLevel ERROR' \
             'ProxyCommand /usr/sbin/sshd -i -f {ssh}/sshd_config' >{ssh}/config\n",
            ssh = ssh.display(),
            home = home.display(),
            bin = self.session.path("bin").display(),
        );
        assert_eq!(self.session.run(&script), Some(0), "{}", self.session.printed);
        for program in ["ssh", "scp"] {
            let config = ssh.join("config");
            let script = format!("exec /usr/bin/{program} -F {} \"$@\"", config.display());
            self.session.program(program, &script);
        }
        let run = format!("cd {} && env -u STATE_DIRECTORY depd run", home.display());
        self.session.open_terminal(&run, "services differ from them");
        // `depd once` of a later block begins there.
        self.session.instead.push(("depd once".into(), {
            format!("cd {} && env -u STATE_DIRECTORY depd once", home.display())
        }));
    }

    /// What scripts/build-static packs, with the program of this test.
    fn archive(&mut self) {
        let name = format!("depd-{}-x86_64-linux", env!("CARGO_PKG_VERSION"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).display();
        let script = format!(
            "mkdir {name}\ncp {program} {name}/depd\n\
             cp {source}/scripts/depd.service {source}/scripts/depd.cron {name}\n\
             depd documents {name}\ntar --create {name} | gzip -1 >{name}.tar.gz\nrm -r {name}\n\
             cp {kubeconfig} depd.kubeconfig\n",
            program = env!("CARGO_BIN_EXE_depd"),
            kubeconfig = self.cluster.kubeconfig.display(),
        );
        assert_eq!(self.session.run(&script), Some(0), "{}", self.session.printed);
        fs::create_dir_all(self.session.path("usr/local/bin")).expect("a folder");
        fs::create_dir_all(self.session.path("etc/systemd/system")).expect("a folder");
        let table = self.session.path("crontab");
        fs::write(&table, "# of somebody else\n").expect("written");
        let table = table.display();
        self.stand_in("useradd", "no account of this host is made", "exit 0");
        self.stand_in(
            "crontab",
            "the crontab is a file; scripts/test-cron has a real cron daemon",
            &format!(
                "case $1 in -l) cat {table} ;; -) new=$(cat); echo \"$new\" >{table} ;; *) exit 1 ;; esac"
            ),
        );
        self.stand_in(
            "systemctl",
            "scripts/test-systemd has the unit judged by systemd",
            "[ \"$*\" = 'enable --now depd' ]",
        );
    }

    /// Runs the line of the crontab as cron does, and once more, which must leave without a word.
    fn cron(&mut self) {
        let table = fs::read_to_string(self.session.path("crontab")).expect("readable");
        assert!(table.starts_with("# of somebody else\n"), "{table}");
        let line = table.lines().find_map(|line| line.strip_prefix("* * * * * ")).expect("a line");
        let line = self.session.here(line);
        let home = self.session.path("srv/depd");
        let state = home.join(".local/state/depd");
        let as_cron = format!(
            "exec env -i HOME={home} STATE_DIRECTORY={state} SHELL=/bin/sh PATH=/usr/bin:/bin \
             /bin/sh -c '{line}'",
            home = home.display(),
            state = state.display(),
        );
        self.session.open_terminal(&as_cron, "");
        let log = home.join("depd.log");
        wait_for("depd to be started by cron", || {
            fs::read_to_string(&log).ok().filter(|log| log.contains("the folder is watched"))
        });
        assert_eq!(self.session.run(&as_cron), Some(0), "{}", self.session.printed);
        assert_eq!(self.session.printed, "", "a second one");
    }

    /// A folder as the Go engine leaves it: one service is as its file says, one was missed.
    fn engine(&mut self) {
        let folder = self.home().join("DeploymentK8sEngine");
        let deps = folder.join("deps");
        fs::create_dir_all(&deps).expect("a folder");
        let repo = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop";
        let settings =
            format!("WEBHOOK_FOR_SLACK={}\nECR_REPO={repo}\nDEPS=\"deps\"\n", self.receiver.url());
        fs::write(folder.join(".env"), settings).expect("written");
        for (service, tag) in [("shop", "2.7.1"), ("shop-worker", "2.8.0")] {
            fs::write(deps.join(format!("{service}_prod.dep")), format!("{tag}\n"))
                .expect("written");
            fs::write(deps.join(format!("{service}_prod.last")), "2.7.1").expect("written");
            self.workload("prod", service, &format!("{repo}:2.7.1"));
        }
    }

    /// Leaves a cluster that others use too as it was found.
    pub fn tidy_up(&mut self) {
        self.session.close_terminals();
        let Some(kubectl) = kubectl().filter(|_| self.cluster.is_real()) else { return };
        let run = |arguments: &str| {
            let admin = std::env::var_os("DEPD_TEST_ADMIN_KUBECONFIG").expect("set");
            let mut command = Command::new(&kubectl);
            command.arg("--kubeconfig").arg(admin).args(arguments.split(' '));
            let output = command.output().expect("kubectl runs");
            assert!(output.status.success(), "kubectl {arguments}: {output:?}");
        };
        let gone = "--ignore-not-found --wait=false";
        run(&format!("delete namespace staging {gone}"));
        run(&format!("delete deployment web -n default {gone}"));
        run(&format!("delete deployment shop shop-worker -n prod {gone}"));
        run(&format!(
            "delete deployment,persistentvolumeclaim,configmap --all -n depd-system {gone}"
        ));
        run(&format!(
            "delete validatingadmissionpolicybinding,validatingadmissionpolicy depd-images-only {gone}"
        ));
        // `depd rbac` has put its role over the one that the other tests need.
        run(&format!("apply -f {}/tests/cluster/rbac.yaml", env!("CARGO_MANIFEST_DIR")));
    }
}

fn admin_kubeconfig(cluster: &Cluster) -> PathBuf {
    match std::env::var_os("DEPD_TEST_ADMIN_KUBECONFIG") {
        Some(admin) if cluster.is_real() => PathBuf::from(admin),
        _ => cluster.kubeconfig.clone(),
    }
}

/// The kubectl to use, where there is one.
pub fn kubectl() -> Option<PathBuf> {
    std::env::var_os("DEPD_TEST_KUBECTL").map(PathBuf::from).or_else(|| on_path("kubectl"))
}

/// Where a program is in the PATH of this test.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let of = |folder: PathBuf| Some(folder.join(name)).filter(|file| file.is_file());
    std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).find_map(of)
}
