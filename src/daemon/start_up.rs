//! Between the first list of the cluster and the first rollout: may anything be changed? `[E]`
//!
//! Nothing starts before both the cluster and the folder were seen completely, and before it is
//! clear that this is the cluster, folder and setting of the last run (no mass accident).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use log::{info, warn};

use super::settings::Settings;
use crate::clock;
use crate::cluster::Client;
use crate::model::{Alert, ImageSet, ServiceKey};
use crate::observed::Sight;
use crate::queue::backoff;
use crate::reconcile::{FIRST_START_LIMIT, Identity, Service, differs};
use crate::store::Store;
use crate::worker::Floor;

/// Keys that an alert names as examples.
const EXAMPLES: usize = 5;

/// What start-up waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The first list of workloads.
    Cluster,
    /// The first scan of the folder.
    Folder,
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
    /// Told when start-up is over.
    pub over: Sender<()>,
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
    pub fn begin(self, seen: Receiver<Seen>) -> io::Result<()> {
        let run = move || {
            let (mut cluster, mut folder) = (false, false);
            while !(cluster && folder) {
                match seen.recv() {
                    Ok(Seen::Cluster) => cluster = true,
                    Ok(Seen::Folder) => folder = true,
                    Err(_) => return,
                }
            }
            self.judge();
            let _ = self.over.send(());
        };
        thread::Builder::new().name("start-up".into()).spawn(run).map(drop)
    }

    fn judge(&self) {
        let differing = self.differing();
        let files = self.floor.desired.read().len();
        info!("{files} dep files, {} services differ from them", differing.len());
        if self.settings.dry_run {
            return self.tell_only(&differing);
        }
        let Some(identity) = self.identity() else { return };
        match self.objection(&identity, &differing) {
            Some(alert) => {
                self.floor.gate.lock().shut();
                self.floor.journal.alert(&alert);
            }
            None => self.go(&identity),
        }
        // A file that vanished while nobody watched is noticed by what the store remembers.
        self.remembered.keys().for_each(|key| self.floor.queue.add(key));
    }

    fn go(&self, identity: &Identity) {
        if let Some(store) = &self.store {
            identity.to_meta().iter().for_each(|(name, value)| store.set_meta(name, value));
        }
        let waiting = self.floor.gate.lock().open();
        waiting.iter().for_each(|key| self.floor.queue.add(key));
    }

    fn objection(&self, identity: &Identity, differing: &[(ServiceKey, String)]) -> Option<Alert> {
        let differences = identity.differences(&self.meta);
        if !differences.is_empty() && !self.settings.accept_change {
            return Some(Alert::IdentityChanged { differences });
        }
        if !Identity::is_first(&self.meta) || self.settings.apply_all {
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
        let cluster = loop {
            match self.client.cluster_uid() {
                Ok(Some(uid)) => break uid,
                Ok(None) => break self.settings.access.server.to_string(),
                Err(error) if error.is_transient() => {
                    if self.client.is_shut_down() {
                        return None;
                    }
                    failures += 1;
                    let wait = backoff::delay(failures, clock::now().0);
                    warn!("{error}; again in {} ms", wait.as_millis());
                    thread::sleep(wait);
                }
                Err(error) => {
                    warn!("{error}; the cluster is known by its address instead");
                    break self.settings.access.server.to_string();
                }
            }
        };
        let repo = self.settings.image_rules.ecr_repo.as_ref();
        Some(Identity {
            cluster,
            folder: absolute(&self.settings.deps),
            ecr_repo: repo.map(|repo| repo.as_str().to_owned()).unwrap_or_default(),
        })
    }
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
