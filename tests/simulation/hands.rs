//! What stands in for the API client and for the journal: requests travel, replies travel, the disk
//! takes its time, and at each of these moments the world may go on, or depd may die.

use std::sync::Weak;

use depd::cluster::{ApiError, Call, Class, Resource, Sent, Verb};
use depd::model::{Alert, ImagePatch, Level, ServiceKey, Standing, What, Workload};
use depd::reconcile::{Phase, Reply, Service, Setback, Step};
use depd::store::{Message, Saved, ServiceChange};
use depd::worker::{Entry, Journal, Kept, StepRunner, setback};

use crate::checks::Said;
use crate::cluster::Object;
use crate::depd::{Depd, lost};
use crate::post::{PEOPLE, payload};
use crate::sabotage::Sabotage;
use crate::world::World;

pub struct Hands {
    pub world: Weak<World>,
}

/// A PATCH under way. When its sender dies, it may arrive all the same, later.
struct Travelling<'a> {
    world: &'a World,
    patch: Option<ImagePatch>,
}

impl Drop for Travelling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(patch) = self.patch.take()
            && self.world.percent(50)
        {
            self.world.note(|| format!("the PATCH of {} is still on its way", patch.key));
            self.world.cluster.lock().wire.push(patch);
        }
    }
}

impl StepRunner for Hands {
    fn run(
        &self,
        key: &ServiceKey,
        step: &Step,
        workload: Option<&Workload>,
    ) -> Result<Reply, Setback> {
        let world = self.world.upgrade().expect("the world is there");
        let result = request(&world, key, step, workload);
        if result.is_err() && matches!(step, Step::Patch(_)) {
            world.checks.lock().patch_failed(key);
        }
        world.note(|| match &result {
            Ok(_) => format!("{key}: {} went through", kind(step)),
            Err(class) => format!("{key}: {} failed: {class}", kind(step)),
        });
        result.map_err(|class| {
            let (namespace, name) = (Some(key.namespace().into()), Some(key.service().into()));
            let resource = Resource::Deployments;
            let call = Box::new(Call { verb: Verb::Patch, resource, namespace, name });
            setback(&ApiError { call, class })
        })
    }
}

fn kind(step: &Step) -> &'static str {
    match step {
        Step::Patch(_) => "PATCH",
        Step::CheckImages(_) | Step::EnsurePullSecret(_) => "ECR",
        Step::LookAtNamespace => "GET namespace",
        Step::CreateNamespace => "POST namespace",
        Step::LookAtWorkload => "GET workload",
        Step::FindReplicaSet => "LIST replicasets",
        Step::FetchLog { .. } => "GET log",
        Step::ReadWarning { .. } => "LIST events",
    }
}

fn request(
    world: &World,
    key: &ServiceKey,
    step: &Step,
    seen: Option<&Workload>,
) -> Result<Reply, Class> {
    world.note(|| format!("{key}: {step:?}"));
    world.count_request();
    let patch = match step {
        Step::Patch(patch) => Some(patch.clone()),
        _ => None,
    };
    if let Some(patch) = &patch {
        let judged = world.depd().is_some_and(|depd| depd.start.lock().judged);
        let (folder, cluster) = (world.folder.lock(), world.cluster.lock());
        let known = (&*folder, &*cluster);
        world.checks.lock().patch_sent(patch, seen, known, judged);
    }
    let mut travelling = Travelling { world, patch };
    world.others();
    if let Some(class) = world.fault_of_api() {
        return Err(class);
    }
    // The client's patience ends before the request has even arrived.
    if world.fault_of_network() || travelling.patch.is_some() && world.patch_is_delayed() {
        if let Some(patch) = travelling.patch.take() {
            world.cluster.lock().wire.push(patch);
        }
        return Err(lost(Sent::Maybe));
    }
    travelling.patch = None;
    let mut reply = world.perform(key, step, seen);
    if let Ok(Reply::Looked(Some(workload))) = &mut reply {
        world.falsify(workload);
    }
    if world.setup.sabotage == Some(Sabotage::ForgottenIntent) && world.percent(20) {
        world.crash();
    }
    world.others();
    if world.fault_of_network() || world.setup.sabotage == Some(Sabotage::EndlessRetry) {
        return Err(lost(Sent::Maybe));
    }
    reply
}

impl World {
    /// The API server carries out a request.
    fn perform(
        &self,
        key: &ServiceKey,
        step: &Step,
        seen: Option<&Workload>,
    ) -> Result<Reply, Class> {
        let mut cluster = self.cluster.lock();
        let namespace = key.namespace();
        Ok(match step {
            Step::Patch(patch) => {
                let stored = cluster.patch(patch)?;
                self.checks.lock().patch_applied(patch, &stored.uid);
                Reply::Patched(Box::new(stored))
            }
            Step::CheckImages(_) | Step::EnsurePullSecret(_) => {
                unreachable!("nothing is asked of ECR in this world")
            }
            Step::LookAtNamespace => Reply::Namespace(cluster.namespace(namespace)),
            Step::CreateNamespace => match cluster.create_namespace(namespace) {
                true => Reply::NamespaceCreated,
                false => Reply::Namespace(cluster.namespace(namespace)),
            },
            Step::LookAtWorkload => Reply::Looked(cluster.get(key).map(Box::new)),
            Step::FindReplicaSet => {
                let made = |object: &&Object| {
                    seen.is_some_and(|seen| object.template == seen.containers[0].image)
                };
                let object = cluster.objects.get(key).filter(made);
                Reply::ReplicaSet(object.map(|object| object.hash.as_str().into()))
            }
            Step::FetchLog { .. } => Reply::Log("fatal: no database".into()),
            Step::ReadWarning { .. } => Reply::Warning(None),
        })
    }

    /// A PATCH whose sender is gone arrives.
    pub fn late_arrival(&self) -> bool {
        let mut cluster = self.cluster.lock();
        let Some(patch) = cluster.wire.pop() else { return false };
        let image = cluster.image(&patch.key);
        let result = cluster.patch(&patch);
        if let Ok(stored) = &result {
            cluster.note_foreign(stored);
        }
        if result.is_ok() && image.as_deref() == Some(&*patch.targets[0].expected) {
            cluster.unforeseen.insert(patch.key.clone());
        }
        drop(cluster);
        self.note(|| format!("late PATCH of {}: {:?}", patch.key, result.as_ref().err()));
        if let Ok(stored) = result {
            self.checks.lock().patch_applied(&patch, &stored.uid);
        }
        true
    }
}

impl Journal for Hands {
    fn enter(&self, entry: Entry<'_>) {
        let world = self.world.upgrade().expect("the world is there");
        let depd = world.depd().expect("whoever speaks is alive");
        let state = entry.service.as_ref().map(|kept| match kept {
            Kept::State(service) => (*service).clone(),
            Kept::Nothing => Service::default(),
        });
        let unsaid = world.setup.sabotage == Some(Sabotage::UnsaidIntent) && entry.before_action;
        let state = state.filter(|_| !unsaid);
        let mut whats: Vec<_> = entry
            .notices
            .iter()
            .map(|notice| (notice.what.clone(), notice.what.level() != Level::Quiet))
            .collect();
        if world.setup.sabotage == Some(Sabotage::HiddenRescue)
            && matches!(state.as_ref().map(|service| &service.phase), Some(Phase::Returning(_)))
        {
            world.rescue(entry.key);
        }
        if world.setup.sabotage == Some(Sabotage::UnsaidEnd) {
            whats.retain(|(what, _)| !matches!(what, What::Superseded { .. }));
        }
        if world.setup.sabotage == Some(Sabotage::RepeatedVerdict) {
            whats = whats.iter().flat_map(|what| [what.clone(), what.clone()]).collect();
        }
        world.note(|| {
            let phase = state.as_ref().map(|service| &service.phase);
            let whats: Vec<_> = whats.iter().map(|(what, _)| what).collect();
            format!("{}: keeps {phase:?}, says {whats:?}", entry.key)
        });
        let ids = {
            let (cluster, setup) = (world.cluster.lock(), &world.setup);
            world.checks.lock().entered(entry.key, state.as_ref(), &whats, &cluster, setup)
        };
        keep(&world, &depd, &entry, &ids, &whats);
        if entry.before_action {
            world.others();
            depd.write_store(&world);
            world.others();
        }
    }

    fn alert(&self, alert: &Alert) {
        let world = self.world.upgrade().expect("the world is there");
        world.note(|| format!("{alert:?}"));
        world.checks.lock().alert(matches!(alert, Alert::Halted { .. }));
    }

    fn stands(&self, standing: &Standing) {
        let world = self.world.upgrade().expect("the world is there");
        let depd = world.depd().expect("whoever speaks is alive");
        let mut writer = depd.writer.lock();
        writer.batch.stands(standing);
        writer.pending.push(Said::Resumed);
        world.checks.lock().resumed();
    }
}

fn keep(world: &World, depd: &Depd, entry: &Entry<'_>, ids: &[usize], whats: &[(What, bool)]) {
    let service = entry.service.as_ref().map(|kept| match kept {
        Kept::Nothing => ServiceChange::Remove,
        Kept::State(service) => {
            ServiceChange::Put(serde_json::to_string(&service.durable()).expect("it is plain data"))
        }
    });
    let forgotten = world.setup.sabotage == Some(Sabotage::ForgottenIntent) && entry.before_action;
    let lost = world.setup.sabotage == Some(Sabotage::LostMessage);
    let unsaid = world.setup.sabotage == Some(Sabotage::ForgottenHalt);
    let messages = ids.iter().zip(whats).filter(|(_, (_, is_message))| *is_message && !lost);
    let messages = messages.map(|(id, (what, _))| Message {
        receiver: PEOPLE.into(),
        payload: payload(entry.key, what, *id),
    });
    let saved = Saved {
        service: service.filter(|_| !forgotten),
        messages: messages.collect(),
        standing: entry.standing.filter(|_| !unsaid),
        ..Saved::of(entry.key.clone())
    };
    let mut writer = depd.writer.lock();
    let writer = &mut *writer;
    let at = i64::try_from(world.now().0).expect("small");
    writer.batch.add(saved, &mut writer.next_id, at);
    writer.pending.extend(ids.iter().map(|id| Said::Record(*id)));
    if world.checks.lock().halts_now() {
        writer.pending.push(Said::Halted);
    }
}
