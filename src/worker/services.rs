//! The state of every service, each behind a mutex of its own.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::model::ServiceKey;
use crate::reconcile::Service;

/// One mutex per service. The queue hands a key to one worker at a time, so a mutex is never
/// contended; it is the second line of that promise, and a test asserts the first.
#[derive(Debug, Default)]
pub struct Services {
    by_key: RwLock<HashMap<ServiceKey, Arc<Mutex<Service>>>>,
}

impl Services {
    /// The mutex of `key`, made on first use.
    #[must_use]
    pub fn of(&self, key: &ServiceKey) -> Arc<Mutex<Service>> {
        if let Some(service) = self.by_key.read().get(key) {
            return Arc::clone(service);
        }
        Arc::clone(self.by_key.write().entry(key.clone()).or_default())
    }

    /// The mutex of `key`, where there is one.
    #[must_use]
    pub fn get(&self, key: &ServiceKey) -> Option<Arc<Mutex<Service>>> {
        self.by_key.read().get(key).map(Arc::clone)
    }

    /// Every service there is, at this moment.
    #[must_use]
    pub fn all(&self) -> Vec<(ServiceKey, Arc<Mutex<Service>>)> {
        let by_key = self.by_key.read();
        by_key.iter().map(|(key, service)| (key.clone(), Arc::clone(service))).collect()
    }

    /// Puts back what the store remembers.
    pub fn restore(&self, key: ServiceKey, service: Service) {
        self.by_key.write().insert(key, Arc::new(Mutex::new(service)));
    }

    /// Lets go of a service that is not managed any more.
    pub fn forget(&self, key: &ServiceKey) {
        self.by_key.write().remove(key);
    }
}
