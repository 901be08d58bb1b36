//! One depd process of the simulated world: the production control loop, with simulated threads and
//! edges around it.
//!
//! Production code is the floor with its queue, register, caches, gate and services, the passes over
//! them, what takes in events of the folder and of the watches, `settle`, the list-watch machine, the
//! batches of the store, and the inbox and the dispatch of a receiver (`post.rs`). Everything here only stands where in a real process a thread, a socket
//! or a file would be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use depd::cluster::{Class, Sent};
use depd::daemon;
use depd::model::Moment;
use depd::store::Batch;
use depd::worker::{Floor, look};
use parking_lot::Mutex;

use crate::checks::Said;
use crate::cluster::Scope;
use crate::post::Post;
use crate::sabotage::Sabotage;
use crate::source::Source;
use crate::streams::Stream;
use crate::world::World;

/// The process, from its start to its crash.
pub struct Depd {
    pub floor: Floor,
    pub source: Mutex<Source>,
    pub streams: Mutex<BTreeMap<Scope, Stream>>,
    pub writer: Mutex<Writer>,
    pub post: Mutex<Post>,
    pub start: Mutex<Start>,
    pub wake: Mutex<Option<Moment>>,
    /// One watch sees the whole cluster, instead of one each namespace that a file names.
    pub wide: AtomicBool,
    /// Rings when the set of namespaces with rollouts in flight changes.
    pub bell: Arc<AtomicBool>,
    /// How far its clock is ahead of the world's.
    pub ahead: Duration,
}

/// The thread that writes the store.
#[derive(Default)]
pub struct Writer {
    pub batch: Batch,
    pub backlog: Batch,
    pub next_id: u64,
    /// What is not on disk.
    pub pending: Vec<Said>,
}

/// What start-up waits for.
#[derive(Default)]
pub struct Start {
    pub cluster: bool,
    pub folder: bool,
    pub judged: bool,
}

impl Depd {
    pub fn judge(&self, world: &World) {
        let mut start = self.start.lock();
        if !start.cluster || !start.folder || start.judged {
            return;
        }
        start.judged = true;
        drop(start);
        world.note(|| "start-up is over".into());
        world.checks.lock().judged = true;
        daemon::let_in(&self.floor);
    }

    /// A worker takes a key and looks at it.
    pub fn work(&self, world: &World) -> bool {
        let Some(key) = self.floor.queue.try_take() else { return false };
        if !world.checks.lock().taken(&key) {
            return true;
        }
        if world.setup.sabotage == Some(Sabotage::TwoHands) && !world.is_calm() {
            self.floor.queue.done(&key);
            self.floor.queue.add(&key);
        }
        look(&self.floor, &key);
        world.checks.lock().let_go(&key);
        self.floor.queue.done(&key);
        true
    }

    /// The timer thread.
    pub fn turn_timer(&self, world: &World) -> bool {
        let before = self.floor.queue.len();
        *self.wake.lock() = self.floor.queue.turn_timer(world.now() + self.ahead);
        self.floor.queue.len() != before
    }

    /// The store's thread: what waits becomes one transaction, and its messages may be sent.
    pub fn write_store(&self, world: &World) -> bool {
        let mut writer = self.writer.lock();
        let fresh = std::mem::take(&mut writer.batch);
        writer.backlog.absorb(fresh);
        if writer.backlog.is_empty() {
            return false;
        }
        let refused = world.disk.lock().refuses;
        let messages: Vec<_> = if refused {
            writer.backlog.announce()
        } else {
            world.disk.lock().write(&writer.backlog);
            let saved = std::mem::take(&mut writer.backlog);
            let fresh = saved.messages.into_values().filter(|waiting| !waiting.announced);
            fresh.map(|waiting| waiting.message).collect()
        };
        let said = std::mem::take(&mut writer.pending);
        drop(writer);
        // An intent that is refused is forgotten in a crash as well, without a word.
        world.checks.lock().store_lost |= refused;
        if refused && said.is_empty() {
            return false;
        }
        world.note(|| format!("store: {} said, refused: {refused}", said.len()));
        let mut checks = world.checks.lock();
        checks.committed(&said);
        drop(checks);
        let post = self.post.lock();
        messages.into_iter().for_each(|message| post.put(message));
        true
    }

    /// When something happens by itself.
    pub fn next_due(&self, now_ms: u64) -> Option<u64> {
        let settle = self.source.lock().settle.next_due().map(|at| at.0);
        let wake = self.wake.lock().filter(|at| at.0 < u64::MAX);
        let start = Moment::default() + self.ahead;
        let wake = wake.map(|at| at.since(start).as_millis()).and_then(|ms| u64::try_from(ms).ok());
        let post = self.post.lock().next_due();
        let streams = self.streams.lock();
        let streams = streams.values().filter_map(Stream::until_ms).filter(|at| *at > now_ms).min();
        [settle, wake, post, streams].into_iter().flatten().min().map(|at| at.max(now_ms + 1))
    }
}

/// A request that was lost on its way, or its reply.
pub fn lost(sent: Sent) -> Class {
    Class::Network { text: "the connection broke".into(), sent }
}
