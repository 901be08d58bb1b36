//! The people and machines beside depd: they save files, scale, annotate, change images, delete and
//! recreate, and turn faults on and off.

use std::sync::atomic::Ordering;

use depd::daemon;
use depd::model::{Kind, NamespaceState, ServiceKey};

use crate::folder::Save;
use crate::world::World;

#[derive(Clone, Copy, Debug)]
enum Deed {
    SaveFile,
    Revert,
    SaveNonsense,
    EmptyOrRemove,
    Resume,
    Scale,
    Annotate,
    Pause,
    OtherImage,
    DeleteWorkload,
    Apply,
    DeleteNamespace,
    FinishNamespaces,
    Heal,
    Stall,
    Compact,
    Disk,
}

impl World {
    /// One deed.
    pub fn operate(&self) {
        let key = self.dice.lock().pick(&self.setup.keys);
        let deed = self.dice.lock().weighted(&[
            (30, Deed::SaveFile),
            (6, Deed::Revert),
            (2, Deed::Resume),
            (3, Deed::SaveNonsense),
            (3, Deed::EmptyOrRemove),
            (6, Deed::Scale),
            (4, Deed::Annotate),
            (3, Deed::Pause),
            (4, Deed::OtherImage),
            (3, Deed::DeleteWorkload),
            (8, Deed::Apply),
            (1, Deed::DeleteNamespace),
            (4, Deed::FinishNamespaces),
            (3, Deed::Heal),
            (2, Deed::Stall),
            (3, Deed::Compact),
            (2, Deed::Disk),
        ]);
        self.note(|| format!("{deed:?} {key}"));
        match deed {
            Deed::SaveFile => self.save(&key, false),
            Deed::Revert => drop(self.revert(&key)),
            Deed::Resume => {
                if let Some(depd) = self.depd() {
                    daemon::resume_all(&depd.floor);
                }
            }
            Deed::SaveNonsense => {
                let style = self.dice.lock().pick(&[Save::InPlace, Save::Move]);
                self.folder.lock().save(&key, style, "no image at all\n");
            }
            Deed::EmptyOrRemove => {
                let style = self.dice.lock().pick(&[Save::Empty, Save::Remove]);
                self.folder.lock().save(&key, style, "\n");
            }
            _ => self.touch_cluster(deed, &key),
        }
    }

    fn touch_cluster(&self, deed: Deed, key: &ServiceKey) {
        let (roll, mut cluster) = (self.roll(), self.cluster.lock());
        let wanted = i32::try_from(roll % 4).expect("small");
        match deed {
            // How many pods a DaemonSet has is a matter of the nodes.
            Deed::Scale => cluster.edit(key, true, |w| {
                if w.kind != Kind::DaemonSet {
                    w.replicas.wanted = wanted;
                }
            }),
            Deed::Annotate => cluster.edit(key, false, |w| {
                w.has_annotations = true;
                w.held_by_annotation = roll.is_multiple_of(4);
            }),
            Deed::Pause => cluster.edit(key, true, |w| w.paused = roll.is_multiple_of(3)),
            Deed::OtherImage => {
                let image = format!("good:{}", self.images.fetch_add(1, Ordering::SeqCst));
                cluster.edit(key, true, |w| w.containers[0].image = image.into());
            }
            Deed::DeleteWorkload => cluster.delete(key),
            Deed::Apply => {
                let wish = self.folder.lock().last(key).filter(|_| roll.is_multiple_of(3));
                let wish = wish.filter(|wish| !wish.contains(' ') && !wish.is_empty());
                cluster.create(key, wish.as_deref().unwrap_or("good:1"), wanted);
            }
            Deed::DeleteNamespace => cluster.delete_namespace(key.namespace()),
            Deed::FinishNamespaces => cluster.finish_namespaces(),
            Deed::Heal => {
                let image = cluster.image(key);
                cluster.healed.extend(image);
            }
            Deed::Stall => cluster.stalled = !cluster.stalled,
            Deed::Compact => cluster.compact(),
            Deed::Disk if self.setup.disk_faults => {
                drop(cluster);
                let mut disk = self.disk.lock();
                disk.refuses = !disk.refuses;
            }
            _ => {}
        }
    }

    fn save(&self, key: &ServiceKey, last: bool) {
        let number = self.images.fetch_add(1, Ordering::SeqCst);
        let mut dice = self.dice.lock();
        let name = dice.weighted(&[
            (10, "good"),
            (2, "pinned"),
            (2, "missing"),
            (2, "crash"),
            (2, "hang"),
            (1, "denied"),
        ]);
        let style = dice.pick(&[Save::InPlace, Save::InPlace, Save::Anew, Save::Move]);
        drop(dice);
        self.note(|| format!("save {key}: {name}:{number} {style:?}, last: {last}"));
        self.folder.lock().save(key, style, &format!("{name}:{number}\n"));
    }

    /// Somebody takes back what he saved, and the file says again what it said before; false where it
    /// never said anything.
    fn revert(&self, key: &ServiceKey) -> bool {
        let before = self.folder.lock().valid_contents(key);
        if before.is_empty() {
            return false;
        }
        let mut dice = self.dice.lock();
        let content = dice.pick(&before);
        let style = dice.pick(&[Save::InPlace, Save::Anew, Save::Move]);
        drop(dice);
        self.note(|| format!("save {key}: again {content} {style:?}"));
        self.folder.lock().save(key, style, &format!("{content}\n"));
        true
    }

    /// Somebody puts another image in the place of one that failed.
    pub fn rescue(&self, key: &ServiceKey) {
        let image = format!("good:{}", self.images.fetch_add(1, Ordering::SeqCst));
        self.cluster.lock().edit(key, true, |w| w.containers[0].image = image.into());
    }

    /// The last save of a file; true when it says something that it never said before.
    pub fn save_last(&self, key: &ServiceKey) -> bool {
        if self.percent(25) && self.revert(key) {
            return false;
        }
        self.save(key, true);
        true
    }

    /// Everything is there, nothing is paused, the controllers work.
    pub fn make_whole(&self) {
        let mut cluster = self.cluster.lock();
        cluster.stalled = false;
        cluster.finish_namespaces();
        for key in &self.setup.keys {
            debug_assert!(cluster.namespace(key.namespace()) != NamespaceState::Terminating);
            cluster.create(key, "good:1", 1);
            let held = |w: &depd::model::Workload| {
                w.paused || w.held_by_annotation || w.replicas.wanted == 0
            };
            if cluster.get(key).as_ref().is_some_and(held) {
                cluster.edit(key, true, |w| {
                    w.paused = false;
                    w.held_by_annotation = false;
                    w.replicas.wanted = w.replicas.wanted.max(1);
                });
            }
        }
    }
}
