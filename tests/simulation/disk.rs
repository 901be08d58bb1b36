//! The disk of the store: what was committed is there after a crash, and nothing else.

use std::collections::BTreeMap;

use depd::model::ServiceKey;
use depd::store::{Batch, ServiceChange};

/// The disk of the store.
#[derive(Debug, Default)]
pub struct Disk {
    pub refuses: bool,
    pub services: BTreeMap<ServiceKey, String>,
    pub outbox: BTreeMap<u64, String>,
    pub meta: BTreeMap<String, String>,
    pub last_id: u64,
}

impl Disk {
    /// One transaction.
    pub fn write(&mut self, batch: &Batch) {
        for (key, (change, _)) in &batch.services {
            match change {
                ServiceChange::Put(state) => drop(self.services.insert(key.clone(), state.clone())),
                ServiceChange::Remove => drop(self.services.remove(key)),
            }
        }
        for (id, waiting) in &batch.messages {
            self.outbox.insert(*id, waiting.message.payload.clone());
            self.last_id = self.last_id.max(*id);
        }
        for id in batch.answers.keys() {
            self.outbox.remove(id);
        }
        self.meta.extend(batch.meta.clone());
    }
}
