//! What fails, and when depd dies.

use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::time::Duration;

use depd::cluster::reflector::End;
use depd::cluster::{Class, Sent};
use depd::model::{ContainerState, Pod, Workload};

use crate::cluster::{Fate, fate};
use crate::depd::lost;
use crate::sabotage::Sabotage;
use crate::world::{Crash, World};

impl World {
    pub fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if self.is_calm() {
            let limit = 60 * u32::try_from(self.setup.keys.len()).expect("small");
            self.checks.lock().request_in_calm(limit);
        }
    }

    /// A request fails, and is not carried out.
    pub fn fault_of_api(&self) -> Option<Class> {
        if self.is_calm() || !self.percent(self.setup.api_faults) {
            return None;
        }
        let mut dice = self.dice.lock();
        let retry_after = dice.percent(50).then(|| Duration::from_secs(dice.below(200)));
        Some(match dice.below(7) {
            0 => lost(Sent::No),
            1 => lost(Sent::Maybe),
            2 => Class::TooManyRequests { retry_after },
            3 => Class::Unavailable { message: "not ready".into(), retry_after },
            4 => Class::ServerError { status: 500, message: "etcd".into(), retry_after },
            5 => Class::Conflict { message: "somebody was quicker".into() },
            _ => Class::Unauthorized,
        })
    }

    /// A connection breaks.
    pub fn fault_of_network(&self) -> bool {
        !self.is_calm() && self.percent(self.setup.api_faults / 2)
    }

    /// A PATCH takes longer than its sender waits for it.
    pub fn patch_is_delayed(&self) -> bool {
        let often = match self.setup.sabotage {
            Some(Sabotage::NoImageGuard) => 60,
            _ => 15,
        };
        !self.is_calm() && self.setup.api_faults > 0 && self.percent(often)
    }

    pub fn fault_of_receiver(&self) -> bool {
        !self.is_calm() && self.percent(self.setup.receiver_faults)
    }

    /// A watch stream ends.
    pub fn cut(&self) -> Option<End> {
        if self.is_calm() || self.roll() % 1000 >= self.setup.cuts {
            return None;
        }
        Some(match self.roll() % 4 {
            0 => End::Closed,
            1 => End::Idle,
            2 => End::Broken("reset".into()),
            _ => End::Unreadable("half an object".into()),
        })
    }

    pub fn loses_event(&self) -> bool {
        self.setup.sabotage == Some(Sabotage::LostEvent) && self.percent(50)
    }

    /// Sabotage: what the watch shows is not what is.
    pub fn falsify(&self, workload: &mut Workload) {
        let own = || self.cluster.lock().own.get(&workload.key).cloned();
        let own = own().filter(|(uid, _)| **uid == *workload.uid).map(|(_, image)| image);
        match self.setup.sabotage {
            Some(Sabotage::FalseStatus) => complete(workload),
            Some(Sabotage::FalseGood) if own.is_none() => complete(workload),
            Some(Sabotage::FalseReturn) if self.ran_before(workload) => complete(workload),
            Some(Sabotage::HiddenRescue) => {
                let broken = own.filter(|own| works_never(own));
                broken.into_iter().for_each(|own| workload.containers[0].image = own.into());
            }
            Some(Sabotage::PhantomEdit) => {
                let wish = self.folder.lock().last(&workload.key);
                if wish.as_deref() == Some(&*workload.containers[0].image) {
                    workload.containers[0].image = "good:0".into();
                }
            }
            Some(Sabotage::HiddenEdit) => {
                own.into_iter().for_each(|own| workload.containers[0].image = own.into());
            }
            Some(Sabotage::PhantomHold) => workload.paused = true,
            Some(Sabotage::HiddenHold) => {
                workload.paused = false;
                workload.held_by_annotation = false;
            }
            _ => {}
        }
    }

    /// Sabotage: a pod cannot be started.
    pub fn falsify_pod(&self, pod: &mut Pod) {
        if self.setup.sabotage == Some(Sabotage::PhantomTrouble) {
            let (reason, message) = ("ErrImagePull".into(), "not found".into());
            pod.containers[0].state = ContainerState::Waiting { reason, message };
        }
    }

    /// Sabotage: a workload is gone, as the watch has it.
    pub fn deletes_in_words(&self) -> bool {
        self.setup.sabotage == Some(Sabotage::PhantomDeletion) && self.percent(20)
    }

    /// depd has set this image again, and it ran only before that.
    fn ran_before(&self, workload: &Workload) -> bool {
        let rollout = (workload.uid.to_string(), workload.containers[0].image.to_string());
        let cluster = self.cluster.lock();
        let (set, reached) = (cluster.set.get(&rollout), cluster.reached.get(&rollout));
        matches!((set, reached), (Some(set), Some(reached)) if reached < set)
    }

    /// depd dies now, perhaps.
    pub fn maybe_crash(&self) {
        if !self.is_calm() && self.roll() % 10_000 < self.setup.crashes {
            self.crash();
        }
    }

    pub fn crash(&self) {
        if self.depd().is_some() && !self.is_calm() {
            resume_unwind(Box::new(Crash));
        }
    }
}

fn works_never(image: &str) -> bool {
    matches!(fate(image), Fate::Missing | Fate::Crash | Fate::Hang)
}

/// As after a rollout that went well.
fn complete(workload: &mut Workload) {
    let wanted = workload.replicas.wanted;
    workload.observed_generation = workload.generation;
    workload.replicas.total = wanted;
    workload.replicas.updated = wanted;
    workload.replicas.ready = wanted;
    workload.replicas.available = wanted;
}
