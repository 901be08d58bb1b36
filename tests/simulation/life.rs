//! How a depd of the simulated world begins, on what the disk has kept, and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use depd::daemon;
use depd::model::{Moment, ServiceKey, Standing};
use depd::reconcile::{Gate, Patience, Policy};
use depd::worker::Floor;
use parking_lot::{Mutex, RwLock};

use crate::depd::{Depd, Start, Writer};
use crate::dice::Dice;
use crate::hands::Hands;
use crate::post::Post;
use crate::sabotage::Sabotage;
use crate::source::Source;
use crate::world::World;

/// As far ahead may a clock be.
const CLOCK_ERROR_MS: u64 = 6 * 3_600_000;

impl World {
    pub fn bury(&self) {
        self.depth.store(0, Ordering::SeqCst);
        self.crashes.fetch_add(1, Ordering::SeqCst);
        let Some(dead) = self.depd.lock().take() else { return };
        let pending = std::mem::take(&mut dead.writer.lock().pending);
        self.note(|| format!("--- depd dies; {} things were not kept", pending.len()));
        let disk = self.disk.lock();
        let restored = disk.services.iter().map(|(key, state)| {
            (key.clone(), serde_json::from_str(state).expect("it was written by depd"))
        });
        self.checks.lock().crashed(&pending, restored.collect());
    }

    /// A depd starts on what the disk has kept.
    pub fn launch(&self) {
        let disk = self.disk.lock();
        let services: Vec<(ServiceKey, String)> =
            disk.services.iter().map(|(key, state)| (key.clone(), state.clone())).collect();
        let left = disk.last_id;
        let next_id = left + 1;
        let standing = Standing::from_meta(&disk.meta);
        drop(disk);
        self.note(|| format!("--- depd starts; it remembers {} services", services.len()));
        let bell = Arc::new(AtomicBool::new(false));
        let ahead = self.clock_error();
        let floor = self.floor(&bell, standing, ahead);
        daemon::restore(&floor, &services);
        let depd = Arc::new(Depd {
            floor,
            source: Mutex::new(Source::new()),
            streams: Mutex::default(),
            writer: Mutex::new(Writer { next_id, ..Writer::default() }),
            post: Mutex::new(Post::new(self, left)),
            start: Mutex::new(Start::default()),
            wake: Mutex::new(None),
            wide: AtomicBool::new(self.setup.wide),
            bell,
            ahead,
        });
        self.checks.lock().restarted();
        *self.depd.lock() = Some(Arc::clone(&depd));
        if self.setup.sabotage == Some(Sabotage::EarlyGate) {
            daemon::let_in(&depd.floor);
        }
        // First the watch, then the scan.
        depd.scan(self);
    }

    /// Until chrony has put it right, the wall clock of a machine that boots may say anything.
    fn clock_error(&self) -> Duration {
        match self.setup.clocks_jump {
            true => Duration::from_millis(self.dice.lock().below(CLOCK_ERROR_MS)),
            false => Duration::ZERO,
        }
    }

    fn floor(&self, bell: &Arc<AtomicBool>, standing: Standing, ahead: Duration) -> Floor {
        let (clock, bell) = (Arc::clone(&self.clock), Arc::clone(bell));
        let dice = Mutex::new(Dice::new(self.roll()));
        let most = match self.setup.sabotage {
            Some(Sabotage::WideGate) => None,
            _ => self.setup.max_rollouts,
        };
        let halt_after = match self.setup.sabotage {
            Some(Sabotage::NoHalt) => None,
            _ => self.setup.halt_after,
        };
        Floor {
            queue: Default::default(),
            desired: RwLock::default(),
            workloads: RwLock::default(),
            pods: RwLock::default(),
            interest: Mutex::default(),
            retries: Mutex::default(),
            gate: Mutex::new(Gate::new(most, halt_after, standing)),
            services: Default::default(),
            cluster: Box::new(Hands { world: self.me.clone() }),
            journal: Box::new(Hands { world: self.me.clone() }),
            interest_changed: Box::new(move || bell.store(true, Ordering::SeqCst)),
            policy: Policy {
                timeout: Duration::from_secs(240),
                patience: Patience::default(),
                rollback: self.setup.rollback,
                drift: self.setup.drift,
                create_namespaces: true,
                allow_namespaces: Vec::new(),
                ecr: Default::default(),
                images: Default::default(),
            },
            clock: Box::new(move || Moment(clock.load(Ordering::SeqCst)) + ahead),
            dice: Box::new(move || dice.lock().next()),
        }
    }
}
