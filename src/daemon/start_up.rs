//! Between the first list of the cluster and the first rollout: may anything be changed? `[E]`
//!
//! Nothing starts before both the cluster and the folder were seen completely, and before it is
//! clear that this is the cluster, folder and setting of the last run (no mass accident).

use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use log::{info, warn};

use super::grounds::Grounds;
use crate::clock;
use crate::cluster::Client;
use crate::queue::backoff;
use crate::reconcile::Identity;
use crate::store::Store;

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
    /// What it is judged by.
    pub grounds: Grounds,
    /// The cluster.
    pub client: Client,
    /// What earlier runs left.
    pub store: Option<Arc<Store>>,
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
        let Grounds { floor, remembered, .. } = &self.grounds;
        let differing = self.grounds.differing();
        let files = floor.desired.read().len();
        info!("{files} dep files, {} services differ from them", differing.len());
        let Some(identity) = self.identity() else { return };
        match self.grounds.objection(&identity, &differing) {
            Some(alert) => {
                floor.gate.lock().shut();
                floor.journal.alert(&alert);
            }
            None => self.go(&identity),
        }
        // A file that vanished while nobody watched is noticed by what the store remembers.
        remembered.keys().for_each(|key| floor.queue.add(key));
    }

    fn go(&self, identity: &Identity) {
        if let Some(store) = &self.store {
            identity.to_meta().iter().for_each(|(name, value)| store.set_meta(name, value));
        }
        let floor = &self.grounds.floor;
        let waiting = floor.gate.lock().open();
        waiting.iter().for_each(|key| floor.queue.add(key));
    }

    /// Asks the cluster who it is, until it answers; `None` when depd is stopped meanwhile.
    fn identity(&self) -> Option<Identity> {
        let mut failures = 0;
        loop {
            match self.grounds.identity(self.client.cluster_uid()) {
                Ok(identity) => return Some(identity),
                Err(error) => {
                    if self.client.is_shut_down() {
                        return None;
                    }
                    failures += 1;
                    let wait = backoff::delay(failures, clock::now().0);
                    warn!("{error}; again in {} ms", wait.as_millis());
                    thread::sleep(wait);
                }
            }
        }
    }
}
