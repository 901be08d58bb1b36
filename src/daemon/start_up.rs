//! Between the first list of the cluster and the first rollout: may anything be changed? `[E]`
//!
//! Nothing starts before both the cluster and the folder were seen completely, and before it is
//! clear that this is the cluster, folder and setting of the last run (no mass accident).

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use log::{info, warn};

use super::grounds::{Grounds, is_any_lost};
use super::logging::log_alert;
use crate::clock;
use crate::cluster::{ApiError, Client};
use crate::model::{Alert, ServiceKey};
use crate::observed::Sight;
use crate::queue::backoff;
use crate::reconcile::Identity;
use crate::report::alarm::alarm;
use crate::store::{STATES_LOST, Store};
use crate::worker::Floor;

/// A folder that is being filled is full when no file came for this long. Whoever copies many files, or
/// mounts a volume, is quicker; a person who writes the first one hardly notices.
const QUIET: Duration = Duration::from_millis(500);
/// It is not waited for longer than this.
const LONGEST: Duration = Duration::from_secs(30);

/// What start-up waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The workloads of every namespace that a file names were listed, or may not be.
    Cluster,
    /// The folder was scanned.
    Folder,
    /// A file is new, or others than before.
    File,
}

/// Everything that start-up needs.
pub struct StartUp {
    /// What it is judged by.
    pub grounds: Grounds,
    /// The cluster.
    pub client: Client,
    /// What earlier runs left.
    pub store: Option<Arc<Store>>,
    /// Told when start-up is over; then it is gone.
    pub over: Option<Sender<()>>,
}

/// The bell that start-up waits on.
#[must_use]
pub fn bell() -> (Sender<Seen>, Receiver<Seen>) {
    unbounded()
}

impl StartUp {
    /// Waits on a thread of its own until everything was seen, and then opens or shuts the gate.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn begin(mut self, seen: Receiver<Seen>) -> io::Result<()> {
        let run = move || {
            let (mut cluster, mut folder) = (false, false);
            while !(cluster && folder) {
                match seen.recv() {
                    Ok(Seen::Cluster) => cluster = true,
                    Ok(Seen::Folder) => folder = true,
                    Ok(Seen::File) => {}
                    Err(_) => return,
                }
            }
            self.judge(&seen);
            self.is_over();
        };
        thread::Builder::new().name("start-up".into()).spawn(run).map(drop)
    }

    fn is_over(&mut self) {
        if let Some(over) = self.over.take() {
            let _ = over.send(());
        }
    }

    /// Judges, and once more when what speaks against it goes away by itself; `None` when depd ends
    /// before that.
    fn judge(&mut self, seen: &Receiver<Seen>) -> Option<()> {
        let files = self.grounds.floor.desired.read().len();
        info!("{files} dep files, {} services differ from them", self.grounds.differing().len());
        let identity = self.insist(|it| it.grounds.identity(&it.client))?;
        self.wait_until_filled(seen)?;
        loop {
            let objection = self.insist(|it| it.grounds.objection(&it.client, &identity))?;
            let Some(alert) = objection else { break };
            self.grounds.floor.gate.lock().shut();
            self.grounds.floor.journal.alert(&alert);
            self.is_over();
            if !matches!(alert, Alert::FilesGone { .. }) {
                return Some(());
            }
            while self.grounds.files_gone().is_some() {
                seen.recv().ok()?;
                self.wait_until_quiet(seen)?;
            }
            info!("the files are there again: depd goes on");
        }
        self.go(&identity);
        Some(())
    }

    fn go(&self, identity: &Identity) {
        if let Some(store) = &self.store {
            let kept = identity.to_meta(&self.grounds.meta);
            kept.iter().for_each(|(name, value)| store.set_meta(name, value));
            if is_any_lost(&self.grounds.meta) {
                store.set_meta(STATES_LOST, "");
            }
        }
        let_in(&self.grounds.floor);
        let halted = self.grounds.floor.gate.lock().halted_by();
        if let Some(failures) = halted {
            log_alert(&alarm(&Alert::Halted { failures }));
        }
    }

    /// Waits, where it matters how many files there are, until no more of them come. Everything there is
    /// was seen; but what comes into the folder now is like what lies in it already: somebody may be
    /// copying, or the volume may not be mounted yet.
    fn wait_until_filled(&mut self, seen: &Receiver<Seen>) -> Option<()> {
        if self.grounds.is_any_gone() {
            self.wait_until_quiet(seen)?;
            // That they are gone is accepted; what a first start waits for is not there all the same.
            if self.grounds.is_asked() || !self.grounds.settings.accept_change {
                return Some(());
            }
        }
        if !self.grounds.is_first() {
            return Some(());
        }
        if !self.grounds.is_asked() {
            info!("the folder asks for nothing yet: the first start goes on until it does");
            self.is_over();
        }
        loop {
            while !self.grounds.is_asked() {
                seen.recv().ok()?;
            }
            self.wait_until_quiet(seen)?;
            if self.grounds.is_asked() {
                return Some(());
            }
        }
    }

    /// Waits until no more files come, and what they name was listed or may not be. A file that is only
    /// written to once more is none that comes: somebody may do that all the time.
    fn wait_until_quiet(&self, seen: &Receiver<Seen>) -> Option<()> {
        let count = || self.grounds.floor.desired.read().len();
        let (began, mut files) = (clock::now(), count());
        let mut quiet_at = began + QUIET;
        loop {
            let word = seen.recv_timeout(quiet_at.since(clock::now()));
            if word == Err(RecvTimeoutError::Disconnected) {
                return None;
            }
            let (now, count) = (clock::now(), count());
            if count != files {
                files = count;
                quiet_at = now + QUIET;
            }
            if now >= quiet_at.min(began + LONGEST) {
                if is_listed(&self.grounds.floor) {
                    return Some(());
                }
                quiet_at = now + QUIET;
            }
        }
    }

    /// Asks the cluster until it answers; `None` when depd is stopped meanwhile.
    fn insist<T>(&self, ask: impl Fn(&StartUp) -> Result<T, ApiError>) -> Option<T> {
        let mut failures = 0;
        loop {
            match ask(self) {
                Ok(answer) => return Some(answer),
                // Whoever does not answer may be any cluster.
                Err(_) if self.client.is_shut_down() => return None,
                Err(error) => {
                    failures += 1;
                    let wait = backoff::delay(failures, clock::now().0);
                    let ms = wait.as_millis();
                    warn!("{error}; nothing is changed before that is known; again in {ms} ms");
                    thread::sleep(wait);
                }
            }
        }
    }
}

/// What the files name was listed, or may not be.
fn is_listed(floor: &Floor) -> bool {
    let named: Vec<String> = floor.desired.read().namespaces().map(str::to_owned).collect();
    let workloads = floor.workloads.read();
    named.iter().all(|namespace| workloads.sight(namespace) != Sight::Unseen)
}

/// From now on what is seen counts, and rollouts may begin: every service is looked at.
///
/// A file that vanished while nobody watched is noticed by what the store remembers of its service.
pub fn let_in(floor: &Floor) {
    let mut keys: Vec<ServiceKey> = floor.gate.lock().open();
    let known = floor.services.all().into_iter().map(|(key, _)| key);
    let mut all: Vec<ServiceKey> = known.chain(floor.desired.read().keys().cloned()).collect();
    // In the same order every time, so that a simulation can be repeated.
    all.sort_unstable();
    keys.extend(all);
    keys.iter().for_each(|key| floor.queue.add(key));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Image, ImageSet, Kind};
    use crate::worker::tests::lone_floor;

    #[test]
    fn where_the_whole_cluster_is_refused_each_namespace_is_waited_for() {
        let floor = lone_floor();
        let image = Image::parse("nginx:1.25").expect("valid");
        for namespace in ["prod", "qa"] {
            let key = ServiceKey::new("web", namespace).expect("valid");
            floor.desired.write().images(&key, ImageSet::Single(image.clone()));
        }
        for kind in Kind::ALL {
            floor.workloads.write().refuse(kind, None, "no");
        }
        assert!(!is_listed(&floor), "each namespace will be asked on its own");
        for kind in Kind::ALL {
            floor.workloads.write().replace(kind, Some("prod"), Vec::new(), 5);
        }
        assert!(!is_listed(&floor), "one is still to come");
        floor.workloads.write().refuse(Kind::Deployment, Some("qa"), "no");
        assert!(is_listed(&floor), "there is nothing more to wait for");
    }
}
