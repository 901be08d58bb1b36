//! The keepers of watches, in the simulated world: which scopes are listed and watched. That a watch is
//! closed only when those in its place have listed, and only then is start-up over, is as in
//! `daemon::workload_watches`; when one watch of the whole cluster takes over, the dice decide.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::Ordering;

use depd::model::Kind;

use crate::cluster::Scope;
use crate::depd::Depd;
use crate::streams::Stream;
use crate::world::World;

impl Depd {
    /// The keeper of the workload watches.
    pub fn adjust_workload_watches(&self, world: &World) -> bool {
        // From now on it is known which namespaces the files name.
        if !self.start.lock().folder {
            return false;
        }
        let wanted = self.wanted_workloads();
        let mut streams = self.streams.lock();
        let before = streams.len();
        for scope in &wanted {
            streams.entry(scope.clone()).or_insert_with(Stream::new);
        }
        let opened = streams.len() > before;
        if !wanted.iter().all(|scope| streams.get(scope).is_some_and(Stream::is_settled)) {
            return opened;
        }
        let mut closed = false;
        streams.retain(|scope, stream| {
            let Scope::Workloads(kind, namespace) = scope else { return true };
            let stays = wanted.contains(scope);
            if !stays {
                world.note(|| format!("stream {scope:?}: closed"));
                stream.close();
                world.checks.lock().shows_no_more(scope);
                self.floor.workloads.write().close(*kind, namespace.as_deref());
                closed = true;
            }
            stays
        });
        drop(streams);
        let first = !std::mem::replace(&mut self.start.lock().cluster, true);
        self.judge(world);
        opened || closed || first
    }

    fn wanted_workloads(&self) -> BTreeSet<Scope> {
        let desired = self.floor.desired.read();
        let all = |namespace: Option<&str>| {
            Kind::ALL.map(|kind| Scope::Workloads(kind, namespace.map(str::to_owned)))
        };
        match self.wide.load(Ordering::SeqCst) {
            true => all(None).into(),
            false => desired.namespaces().flat_map(|name| all(Some(name))).collect(),
        }
    }

    /// The keeper of the pod watches.
    pub fn adjust_pod_watches(&self, world: &World) -> bool {
        if !self.bell.swap(false, Ordering::SeqCst) {
            return false;
        }
        let namespaces = self.floor.interest.lock().namespaces();
        let wanted: BTreeSet<Scope> = match self.wide.load(Ordering::SeqCst) {
            true if namespaces.is_empty() => BTreeSet::new(),
            true => BTreeSet::from([Scope::Pods(None)]),
            false => namespaces.iter().map(|name| Scope::Pods(Some(name.to_string()))).collect(),
        };
        let mut streams = self.streams.lock();
        for scope in &wanted {
            streams.entry(scope.clone()).or_insert_with(Stream::new);
        }
        let linger = world.percent(50);
        streams.retain(|scope, _| match scope {
            Scope::Pods(_) => linger || wanted.contains(scope),
            Scope::Workloads(..) => true,
        });
        let is_wide = streams.contains_key(&Scope::Pods(None));
        let watched: HashSet<Box<str>> = streams
            .keys()
            .filter_map(|scope| match scope {
                Scope::Pods(name) => name.as_deref().map(Into::into),
                Scope::Workloads(..) => None,
            })
            .collect();
        drop(streams);
        if !is_wide {
            self.floor.pods.write().keep_only(&watched);
        }
        true
    }

    /// There are more namespaces than before, or fewer, or rights that came or went.
    pub fn change_cover(&self, world: &World) {
        let was_wide = self.wide.fetch_xor(true, Ordering::SeqCst);
        world.note(|| format!("the whole cluster is watched as one: {}", !was_wide));
        self.bell.store(true, Ordering::SeqCst);
    }

    /// One turn of a watch thread. False: it waits.
    pub fn turn_stream(&self, world: &World, scope: &Scope) -> bool {
        let Some(mut stream) = self.streams.lock().remove(scope) else { return false };
        let moved = stream.turn(self, world, scope);
        self.streams.lock().insert(scope.clone(), stream);
        moved
    }

    pub fn scopes(&self) -> Vec<Scope> {
        self.streams.lock().keys().cloned().collect()
    }
}
