//! Objects, their versions and what changed. `[C]`: no lock, no clock, no thread in here.
//!
//! One number, the revision, rises with every change of any object and is its resourceVersion, as in
//! etcd. A bounded window of changes is kept per resource: a watch replays it, a consistent page of a
//! list is the present with the window undone, and what fell out of it is `410 Expired`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

use super::json::{list, text};
use super::resources::Id;

/// A stored object, shared with whoever is sending it.
pub(super) type Object = Arc<Value>;

/// Where an object lives. Ordered as lists are: by namespace, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) resource: Id,
    /// Empty for cluster-scoped objects.
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What happened to an object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The revision that this change made.
    pub(super) revision: u64,
    pub(super) key: Key,
    /// As it was before; none when it was created.
    pub(super) before: Option<Object>,
    /// As it is now; none when it is gone.
    pub(super) after: Option<Object>,
}

/// The asked revision is older than the window; watch and list must start afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expired {
    /// The oldest revision that can still be asked for.
    pub(super) oldest: u64,
}

/// Every object of the sandbox.
pub(super) struct Store {
    objects: BTreeMap<Key, Object>,
    windows: Vec<Window>,
    window_size: usize,
    revision: u64,
    /// uid of an owner → what names it in `ownerReferences`.
    owned: HashMap<String, BTreeSet<Key>>,
    /// Changes that the controllers have not looked at; they take them all at once.
    unseen: Vec<Change>,
    random: u64,
}

#[derive(Default)]
struct Window {
    changes: VecDeque<Change>,
    /// Revision of the newest change that was forgotten.
    forgotten: u64,
}

impl Key {
    pub(super) fn new(resource: Id, namespace: &str, name: &str) -> Key {
        Key { resource, namespace: namespace.into(), name: name.into() }
    }
}

impl Store {
    /// An empty store that remembers `window_size` changes per resource; `seed` makes uids and
    /// generated names.
    pub(super) fn new(window_size: usize, seed: u64) -> Store {
        Store {
            objects: BTreeMap::new(),
            windows: Id::all().map(|_| Window::default()).collect(),
            window_size,
            revision: 1,
            owned: HashMap::new(),
            unseen: Vec::new(),
            random: seed,
        }
    }

    /// The newest revision.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// One object.
    pub(super) fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// All objects of a resource, or those of one namespace, in order, starting after `after`.
    pub(super) fn list<'a>(
        &'a self,
        resource: Id,
        namespace: Option<&'a str>,
        after: Option<Key>,
    ) -> impl Iterator<Item = (&'a Key, &'a Object)> {
        let first = Key::new(resource, namespace.unwrap_or_default(), "");
        let start = after.map_or(Bound::Included(first), Bound::Excluded);
        let inside = move |key: &Key| {
            key.resource == resource && namespace.is_none_or(|own| key.namespace == own)
        };
        self.objects.range((start, Bound::Unbounded)).take_while(move |(key, _)| inside(key))
    }

    /// Everything in a namespace, of whatever resource.
    pub(super) fn inside(&self, namespace: &str) -> Vec<Key> {
        let of = |id| self.list(id, Some(namespace), None).map(|(key, _)| key.clone());
        Id::all().filter(|id| id.row().namespaced).flat_map(of).collect()
    }

    /// What names `uid` as its owner.
    pub(super) fn owned_by(&self, uid: &str) -> Vec<Key> {
        self.owned.get(uid).map(|keys| keys.iter().cloned().collect()).unwrap_or_default()
    }

    /// Writes an object, new or not, and stamps its resourceVersion.
    pub(super) fn put(&mut self, key: Key, mut value: Value) -> Object {
        self.revision += 1;
        value["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Arc::new(value);
        let before = self.objects.insert(key.clone(), object.clone());
        if let Some(before) = &before {
            self.unlink(&key, before);
        }
        for owner in list(&object, "/metadata/ownerReferences") {
            self.owned.entry(text(owner, "/uid").into()).or_default().insert(key.clone());
        }
        self.remember(Change { revision: self.revision, key, before, after: Some(object.clone()) });
        object
    }

    /// Removes an object for good.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Object> {
        let before = self.objects.remove(key)?;
        self.revision += 1;
        self.unlink(key, &before);
        self.remember(Change {
            revision: self.revision,
            key: key.clone(),
            before: Some(before.clone()),
            after: None,
        });
        Some(before)
    }

    /// The changes of a resource after `revision`, oldest first.
    pub(super) fn since(
        &self,
        resource: Id,
        revision: u64,
    ) -> Result<impl Iterator<Item = &Change>, Expired> {
        let window = &self.windows[resource.index()];
        if revision < window.forgotten {
            return Err(Expired { oldest: window.forgotten });
        }
        let first = window.changes.partition_point(|change| change.revision <= revision);
        Ok(window.changes.range(first..))
    }

    /// A list as it was at `revision`.
    pub(super) fn snapshot(
        &self,
        resource: Id,
        namespace: Option<&str>,
        after: Option<Key>,
        revision: u64,
    ) -> Result<Vec<Object>, Expired> {
        let mut then: BTreeMap<&Key, &Object> =
            self.list(resource, namespace, after.clone()).collect();
        let changes: Vec<&Change> = self.since(resource, revision)?.collect();
        for change in changes.into_iter().rev() {
            let inside = namespace.is_none_or(|own| change.key.namespace == own)
                && after.as_ref().is_none_or(|after| change.key > *after);
            match &change.before {
                Some(before) if inside => then.insert(&change.key, before),
                _ => then.remove(&change.key),
            };
        }
        Ok(then.into_values().cloned().collect())
    }

    /// What happened since the controllers last asked.
    pub(super) fn take_unseen(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.unseen)
    }

    /// Whether [`Store::take_unseen`] would give anything.
    pub(super) fn has_unseen(&self) -> bool {
        !self.unseen.is_empty()
    }

    /// A fresh uid, a version 4 UUID.
    pub(super) fn uid(&mut self) -> String {
        let (a, b) = (self.draw(), self.draw());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 48 & 0x3fff | 0x8000,
            b & 0xffff_ffff_ffff
        )
    }

    /// Five random characters of the alphabet that Kubernetes uses for generated names.
    pub(super) fn suffix(&mut self) -> String {
        let mut bits = self.draw();
        let mut take = || {
            let letter = NAME_LETTERS[(bits % NAME_LETTERS.len() as u64) as usize];
            bits /= NAME_LETTERS.len() as u64;
            char::from(letter)
        };
        (0..5).map(|_| take()).collect()
    }

    /// SplitMix64: spreads the seed; not for secrets.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn unlink(&mut self, key: &Key, object: &Value) {
        for owner in list(object, "/metadata/ownerReferences") {
            let uid = text(owner, "/uid");
            if let Some(keys) = self.owned.get_mut(uid) {
                keys.remove(key);
                if keys.is_empty() {
                    self.owned.remove(uid);
                }
            }
        }
    }

    fn remember(&mut self, change: Change) {
        self.unseen.push(change.clone());
        let window = &mut self.windows[change.key.resource.index()];
        window.changes.push_back(change);
        while window.changes.len() > self.window_size {
            if let Some(oldest) = window.changes.pop_front() {
                window.forgotten = oldest.revision;
            }
        }
    }
}

/// The letters of apimachinery's `rand.SafeEncodeString`: no vowels, so no words.
pub(super) const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
