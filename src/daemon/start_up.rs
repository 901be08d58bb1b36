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
use crate::cluster::Client;
use crate::model::{Alert, ServiceKey};
use crate::observed::Sight;
use crate::queue::backoff;
use crate::reconcile::Identity;
use crate::report::alarm::alarm;
use crate::store::{STATES_LOST, Store};
use crate::worker::Floor;

/// A folder that was empty at a first start is filled when no file came for this long. Whoever copies
/// many files, or mounts a volume, is quicker; a person who writes the first one hardly notices.
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

    fn judge(&mut self, seen: &Receiver<Seen>) {
        let mut differing = self.grounds.differing();
        let files = self.grounds.floor.desired.read().len();
        info!("{files} dep files, {} services differ from them", differing.len());
        let Some(identity) = self.identity() else { return };
        if self.grounds.is_first() && !self.is_asked() {
            // Everything there is was seen; but what comes into the folder now is like what lies in it
            // at another first start.
            info!("the folder asks for nothing yet: the first start goes on until it does");
            self.is_over();
            if !self.wait_for_files(seen) {
                return;
            }
            differing = self.grounds.differing();
        }
        match self.grounds.objection(&identity, &differing) {
            Some(alert) => {
                self.grounds.floor.gate.lock().shut();
                self.grounds.floor.journal.alert(&alert);
            }
            None => self.go(&identity),
        }
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

    /// A file asks for something.
    fn is_asked(&self) -> bool {
        self.grounds.floor.desired.read().asked().next().is_some()
    }

    /// Waits until files have come, no more of them come, and what they name was listed or may not be;
    /// false when depd ends before that.
    fn wait_for_files(&self, seen: &Receiver<Seen>) -> bool {
        let mut began = None;
        loop {
            let word = match began {
                None => seen.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(_) => seen.recv_timeout(QUIET),
            };
            began = began.or_else(|| Some(clock::now())).filter(|_| self.is_asked());
            let is_long = began.is_some_and(|at| clock::now().since(at) >= LONGEST);
            match word {
                Err(RecvTimeoutError::Disconnected) => return false,
                Ok(_) if !is_long => {}
                Ok(_) | Err(RecvTimeoutError::Timeout) => {
                    if began.is_some() && is_listed(&self.grounds.floor) {
                        return true;
                    }
                }
            }
        }
    }

    /// Asks the cluster who it is, until it answers; `None` when depd is stopped meanwhile.
    fn identity(&self) -> Option<Identity> {
        let mut failures = 0;
        loop {
            match self.grounds.identity(&self.client) {
                Ok(identity) => return Some(identity),
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
