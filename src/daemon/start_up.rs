//! Between the first list of the cluster and the first rollout: may anything be changed? `[E]`
//!
//! Nothing starts before both the cluster and the folder were seen completely, and before it is
//! clear that this is the cluster, folder and setting of the last run (no mass accident).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use log::{info, warn};

use super::logging::log_alert;
use super::settings::Settings;
use crate::clock;
use crate::cluster::{Class, Client};
use crate::model::{Alert, ImageSet, ServiceKey};
use crate::observed::Sight;
use crate::queue::backoff;
use crate::reconcile::{FIRST_START_LIMIT, Identity, Service, differs};
use crate::report::alarm::alarm;
use crate::store::Store;
use crate::worker::Floor;

/// Keys that an alert names as examples.
const EXAMPLES: usize = 5;

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
    /// The control loop's shared state.
    pub floor: Arc<Floor>,
    /// The cluster.
    pub client: Client,
    /// What earlier runs left, with its names and values.
    pub store: Option<Arc<Store>>,
    /// Names and values of the store at its opening.
    pub meta: BTreeMap<String, String>,
    /// The services as the store remembers them.
    pub remembered: HashMap<ServiceKey, Service>,
    /// The settings.
    pub settings: Settings,
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
        let mut differing = self.differing();
        let files = self.floor.desired.read().len();
        info!("{files} dep files, {} services differ from them", differing.len());
        if self.settings.dry_run {
            return self.tell_only(&differing);
        }
        let Some(identity) = self.identity() else { return };
        if self.is_first() && !self.is_asked() {
            // Everything there is was seen; but what comes into the folder now is like what lies in it
            // at another first start.
            info!("the folder asks for nothing yet: the first start goes on until it does");
            self.is_over();
            if !self.wait_for_files(seen) {
                return;
            }
            differing = self.differing();
        }
        match self.objection(&identity, &differing) {
            Some(alert) => {
                self.floor.gate.lock().shut();
                self.floor.journal.alert(&alert);
            }
            None => self.go(&identity),
        }
    }

    fn go(&self, identity: &Identity) {
        if let Some(store) = &self.store {
            let kept = identity.to_meta(&self.meta);
            kept.iter().for_each(|(name, value)| store.set_meta(name, value));
        }
        let_in(&self.floor);
        let halted = self.floor.gate.lock().halted_by();
        if let Some(failures) = halted {
            log_alert(&alarm(&Alert::Halted { failures }));
        }
    }

    /// Nobody has decided yet that this folder is to be rolled out to this cluster.
    fn is_first(&self) -> bool {
        Identity::is_first(&self.meta) && !self.settings.apply_all
    }

    /// A file asks for something.
    fn is_asked(&self) -> bool {
        let desired = self.floor.desired.read();
        desired.keys().any(|key| desired.get(key).is_some_and(|wish| wish.images.is_some()))
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
                    if began.is_some() && self.is_listed() {
                        return true;
                    }
                }
            }
        }
    }

    fn is_listed(&self) -> bool {
        let desired = self.floor.desired.read();
        let named: Vec<String> = desired.namespaces().map(str::to_owned).collect();
        drop(desired);
        let workloads = self.floor.workloads.read();
        named.iter().all(|namespace| workloads.sight(namespace) != Sight::Unseen)
    }

    fn objection(&self, identity: &Identity, differing: &[(ServiceKey, String)]) -> Option<Alert> {
        let differences = identity.differences(&self.meta);
        if !differences.is_empty() && !self.settings.accept_change {
            return Some(Alert::IdentityChanged { differences });
        }
        if !self.is_first() {
            return None;
        }
        let differing = differing.iter().map(|(key, _)| key.clone());
        too_many(differing.chain(unseen(&self.floor)).collect())
    }

    /// The services whose workload runs something else than a changed file asks for, with what.
    ///
    /// It asks what the store remembered and not the services themselves: those belong to the
    /// workers, and no lock is held while another is taken.
    fn differing(&self) -> Vec<(ServiceKey, String)> {
        let wishes: Vec<(ServiceKey, ImageSet)> = {
            let desired = self.floor.desired.read();
            let images = |key: &ServiceKey| desired.get(key)?.images.clone();
            desired.keys().filter_map(|key| Some((key.clone(), images(key)?))).collect()
        };
        let differs_now = |(key, images): &(ServiceKey, ImageSet)| {
            let known = self.remembered.get(key).is_some_and(|s| s.phase.desired() == Some(images));
            let workload = self.floor.workloads.read().get(key);
            !known && workload.is_some_and(|workload| differs(images, &workload, &[]))
        };
        let differing = wishes.into_iter().filter(differs_now);
        let mut found: Vec<_> = differing.map(|(key, images)| (key, images.to_string())).collect();
        found.sort();
        found
    }

    fn tell_only(&self, differing: &[(ServiceKey, String)]) {
        for (key, images) in differing {
            println!("{key}: would roll out {images}");
        }
        println!("{} services would be rolled out; nothing was changed", differing.len());
    }

    /// Asks the cluster who it is, until it answers; `None` when depd is stopped meanwhile.
    fn identity(&self) -> Option<Identity> {
        let mut failures = 0;
        let uid = loop {
            match self.client.cluster_uid() {
                Ok(uid) => break uid,
                Err(error) if matches!(error.class, Class::Forbidden(_) | Class::Denied { .. }) => {
                    warn!("{error}; the cluster is known by its address instead");
                    break None;
                }
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
        };
        let repo = self.settings.image_rules.ecr_repo.as_ref();
        Some(Identity {
            uid,
            server: self.settings.access.server.to_string(),
            authority: self.client.authority().to_owned(),
            folder: absolute(&self.settings.deps),
            ecr_repo: repo.map(|repo| repo.as_str().to_owned()).unwrap_or_default(),
        })
    }
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

/// The services that nothing can be said of, because the workloads of their namespace may not be
/// listed, now: as soon as they may, each of them could be changed.
fn unseen(floor: &Floor) -> Vec<ServiceKey> {
    let mut keys: Vec<ServiceKey> = {
        let desired = floor.desired.read();
        let asks = |key: &&ServiceKey| desired.get(key).is_some_and(|wish| wish.images.is_some());
        desired.keys().filter(asks).cloned().collect()
    };
    let workloads = floor.workloads.read();
    keys.retain(|key| workloads.sight(key.namespace()) != Sight::Complete);
    keys.sort_unstable();
    keys
}

/// What speaks against a first start that would or could change these services.
fn too_many(concerned: BTreeSet<ServiceKey>) -> Option<Alert> {
    let differing = concerned.len();
    let examples = concerned.iter().take(EXAMPLES).map(ServiceKey::to_string).collect();
    (differing > FIRST_START_LIMIT).then_some(Alert::FirstStart { differing, examples })
}

fn absolute(folder: &Path) -> String {
    let real = folder.canonicalize().or_else(|_| std::path::absolute(folder));
    real.unwrap_or_else(|_| folder.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Image, Kind, fixture};
    use crate::worker::tests::lone_floor;

    #[test]
    fn on_a_first_start_a_namespace_that_cannot_be_seen_counts_as_if_all_of_it_differed() {
        let floor = lone_floor();
        for n in 0..=FIRST_START_LIMIT {
            let wish = ImageSet::Single(Image::parse("nginx:1.25").expect("valid"));
            floor.desired.write().images(&fixture::key(&format!("web-{n:02}")), wish);
        }
        let held = || too_many(unseen(&floor).into_iter().collect());
        let differing = FIRST_START_LIMIT + 1;
        let examples = (0..EXAMPLES).map(|n| fixture::key(&format!("web-{n:02}")).to_string());
        let alert = Some(Alert::FirstStart { differing, examples: examples.collect() });
        assert_eq!(held(), alert);
        floor.workloads.write().refuse(Kind::Deployment, None, "no");
        assert_eq!(held(), alert);
        for kind in Kind::ALL {
            floor.workloads.write().replace(kind, None, Vec::new(), 1);
        }
        assert_eq!(held(), None);
    }
}
