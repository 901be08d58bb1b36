//! Whether folder and cluster are in view, which is what `/readyz` tells. `[E]`
//!
//! A watch that breaks is opened anew within moments, and while the API server is replaced within
//! seconds: nobody is helped by a depd that is unready meanwhile. So what was lost from view counts
//! only after a while. What depd may not see is not lost: it goes on without.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::http::Probes;
use super::settings::Settings;
use crate::clock;
use crate::cluster::Scope;
use crate::model::{Kind, Moment};
use crate::worker::Floor;

/// Lost for this long is not ready: a retry comes every 30 s at least, so one has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scene {
    /// The folder of dep files.
    Folder,
    /// The workloads of a kind, in a namespace or everywhere.
    Workloads(Kind, Scope),
}

/// What is out of view, and since when.
#[derive(Debug, Default)]
pub struct Sight(Mutex<HashMap<Scene, Moment>>);

impl Sight {
    /// It is not seen any more; the first word of that counts.
    pub fn lost(&self, scene: Scene, now: Moment) {
        self.lost_while(scene, now, || true);
    }

    /// It is not seen any more, unless nobody looks at it at this very moment: whoever stops looking
    /// says so first and calls [`Sight::found`] then, which no loss may follow.
    pub fn lost_while(&self, scene: Scene, now: Moment, is_looked_at: impl FnOnce() -> bool) {
        let mut lost = self.0.lock();
        if is_looked_at() {
            lost.entry(scene).or_insert(now);
        }
    }

    /// It is seen again, or nobody looks at it any more.
    pub fn found(&self, scene: &Scene) {
        self.0.lock().remove(scene);
    }

    /// What has been out of view for too long.
    fn missing(&self, now: Moment, patience: Duration) -> Option<&'static str> {
        let lost = self.0.lock();
        let mut long = lost.iter().filter(|(_, since)| now.since(**since) >= patience);
        long.next().map(|(scene, _)| match scene {
            Scene::Folder => "the folder cannot be read; the log says why",
            Scene::Workloads(..) => "the cluster is not watched; the log says why",
        })
    }
}

/// Answers probes where the settings ask for it. Ready is whoever has seen folder and cluster
/// completely, and still does.
///
/// # Errors
/// The address cannot be listened on, or there is no thread.
pub fn answer_probes(
    settings: &Settings,
    floor: &Arc<Floor>,
    started_up: &Receiver<()>,
    sight: Arc<Sight>,
) -> Result<Option<Probes>, (SocketAddr, io::Error)> {
    let Some(address) = settings.http else { return Ok(None) };
    let (floor, started_up) = (Arc::downgrade(floor), started_up.clone());
    let patience = settings.sight_patience;
    let ready = move || match floor.upgrade() {
        None => Err("depd is stopping"),
        Some(_) if started_up.is_empty() => Err("folder or cluster was not seen completely yet"),
        Some(_) => sight.missing(clock::now(), patience).map_or(Ok(()), Err),
    };
    Probes::start(address, ready).map(Some).map_err(|error| (address, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_counts_after_a_while_and_until_it_is_found() {
        let sight = Sight::default();
        let scene = Scene::Workloads(Kind::Deployment, Scope::Cluster);
        let missing = |at: u64| sight.missing(Moment(at), Duration::from_millis(60));
        assert_eq!(missing(1000), None);
        sight.lost(scene.clone(), Moment(1000));
        // Another word of the same loss is no new one.
        sight.lost(scene.clone(), Moment(1050));
        assert_eq!(missing(1059), None);
        assert_eq!(missing(1060), Some("the cluster is not watched; the log says why"));
        sight.found(&scene);
        assert_eq!(missing(5000), None);
        sight.lost(Scene::Folder, Moment(1000));
        assert_eq!(missing(5000), Some("the folder cannot be read; the log says why"));
    }

    #[test]
    fn what_nobody_looks_at_any_more_is_not_lost_whoever_comes_first() {
        let sight = Sight::default();
        let scene = Scene::Workloads(Kind::Deployment, Scope::Cluster);
        sight.lost_while(scene.clone(), Moment(1000), || false);
        assert!(sight.0.lock().is_empty());
        // Nobody can come between the question and the note of it.
        sight.lost_while(scene.clone(), Moment(1000), || sight.0.is_locked());
        assert!(sight.0.lock().contains_key(&scene));
    }
}
