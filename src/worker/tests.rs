//! The control loop with a pretend cluster and a pretend journal.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::*;
use crate::desired::Register;
use crate::model::{
    Alert, Condition, Image, ImagePatch, ImageSet, Kind, NamespaceState, ServiceKey, Standing,
    Workload, fixture,
};
use crate::reconcile::{Drift, Gate, Patience, Phase, Policy, Reply, Setback, Step};

mod room;

/// Far beyond what anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What happened, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The journal was told of an intent, and asked to wait until it is safe.
    IntentKept,
    /// The journal was told of anything else.
    Entered,
    Patch,
    LookAtWorkload,
    LookAtNamespace,
    CreateNamespace,
}

type Events = Arc<Mutex<Vec<Event>>>;

/// Performs every PATCH at once, as if all pods were replaced in an instant.
#[derive(Default)]
struct Cluster {
    events: Events,
    /// So many PATCHes panic first.
    panics: AtomicUsize,
    /// It was restored from a backup: its versions go on from here.
    restored_at: Option<u64>,
    /// No namespace is there.
    is_bare: bool,
    in_hand: Mutex<Vec<ServiceKey>>,
    two_hands: Arc<AtomicBool>,
}

impl StepRunner for Cluster {
    fn run(
        &self,
        key: &ServiceKey,
        step: &Step,
        workload: Option<&Workload>,
    ) -> Result<Reply, Setback> {
        let is_second = {
            let mut in_hand = self.in_hand.lock();
            let held = in_hand.contains(key);
            in_hand.push(key.clone());
            held
        };
        self.two_hands.fetch_or(is_second, Ordering::SeqCst);
        // Gives a second worker, if there is one, the time to come by.
        thread::yield_now();
        let reply = self.perform(step, workload);
        let mut in_hand = self.in_hand.lock();
        let at = in_hand.iter().position(|held| held == key).expect("it is in hand");
        in_hand.remove(at);
        drop(in_hand);
        let panics = matches!(step, Step::Patch(_))
            && self
                .panics
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        assert!(!panics, "a defect, as the test has ordered");
        Ok(reply)
    }
}

impl Cluster {
    fn perform(&self, step: &Step, workload: Option<&Workload>) -> Reply {
        match step {
            Step::Patch(patch) => {
                self.events.lock().push(Event::Patch);
                let mut stored = patched(patch, workload.expect("it was planned for one"));
                stored.resource_version = self.restored_at.unwrap_or(stored.resource_version);
                Reply::Patched(Box::new(stored))
            }
            Step::LookAtWorkload => {
                self.events.lock().push(Event::LookAtWorkload);
                Reply::Looked(workload.cloned().map(Box::new))
            }
            Step::LookAtNamespace => {
                self.events.lock().push(Event::LookAtNamespace);
                Reply::Namespace(match self.is_bare {
                    true => NamespaceState::Missing,
                    false => NamespaceState::Active,
                })
            }
            Step::CreateNamespace => {
                self.events.lock().push(Event::CreateNamespace);
                Reply::NamespaceCreated
            }
            other => panic!("{other:?} is not needed here"),
        }
    }
}

fn patched(patch: &ImagePatch, before: &Workload) -> Workload {
    let mut after = before.clone();
    for target in &patch.targets {
        let is_meant = |name: &str| *name == *target.container;
        let own = after.containers.iter_mut().find(|own| is_meant(&own.name));
        own.expect("a container").image = target.image.to_string().into();
    }
    after.resource_version += 1;
    after.generation += 1;
    after.observed_generation = after.generation;
    after
}

struct Recorder(Events);

impl Journal for Recorder {
    fn enter(&self, entry: Entry<'_>) {
        let is_intent = |kept: &Kept<'_>| matches!(kept, Kept::State(service) if matches!(service.phase, Phase::Patching(_) | Phase::Returning(_) | Phase::Waiting(_)));
        let kept = entry.before_action && entry.service.as_ref().is_some_and(is_intent);
        self.0.lock().push(if kept { Event::IntentKept } else { Event::Entered });
    }

    fn alert(&self, alert: &Alert) {
        panic!("{alert:?}");
    }

    fn stands(&self, standing: &Standing) {
        panic!("{standing:?}");
    }
}

/// A control loop whose gate is open, and whose steps nobody sees.
pub(crate) fn lone_floor() -> Floor {
    floor(Cluster::default())
}

/// A control loop whose gate is open.
fn floor(cluster: Cluster) -> Floor {
    let mut gate = Gate::new(None, None, Standing::default());
    assert!(gate.open().is_empty());
    Floor {
        queue: Default::default(),
        desired: RwLock::new(Register::default()),
        workloads: RwLock::default(),
        pods: RwLock::default(),
        interest: Mutex::default(),
        retries: Mutex::default(),
        gate: Mutex::new(gate),
        services: Services::default(),
        journal: Box::new(Recorder(Arc::clone(&cluster.events))),
        cluster: Box::new(cluster),
        interest_changed: Box::new(|| {}),
        policy: Policy {
            patience: Patience::default(),
            rollback: false,
            timeout: Duration::from_secs(240),
            drift: Drift::Report,
            create_namespaces: true,
            allow_namespaces: Vec::new(),
            ecr: Default::default(),
            images: Default::default(),
        },
        clock: Box::new(crate::clock::now),
        dice: Box::new(|| 7),
    }
}

/// The first lists: these Deployments, and none of the other kinds.
fn lists(floor: &Floor, deployments: Vec<Workload>) {
    floor.workloads.write().replace(Kind::Deployment, None, deployments, 1);
    for kind in [Kind::StatefulSet, Kind::DaemonSet] {
        floor.workloads.write().replace(kind, None, Vec::new(), 1);
    }
}

fn ask(floor: &Floor, name: &str, image: &str) {
    let images = ImageSet::Single(Image::parse(image).expect("valid"));
    floor.desired.write().images(&fixture::key(name), images);
    floor.queue.add(&fixture::key(name));
}

fn runs(floor: &Floor, name: &str) -> String {
    let workload = floor.workloads.read().get(&fixture::key(name)).expect("known");
    workload.containers[0].image.to_string()
}

#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "still waiting for {what}");
        thread::yield_now();
    }
}

#[test]
fn the_intent_is_kept_before_the_patch_is_sent() {
    let cluster = Cluster::default();
    let events = Arc::clone(&cluster.events);
    let floor = floor(cluster);
    lists(&floor, vec![fixture::workload("web")]);
    ask(&floor, "web", "nginx:1.25");
    look(&floor, &fixture::key("web"));
    assert_eq!(events.lock()[..2], [Event::IntentKept, Event::Patch]);
    assert_eq!(events.lock().iter().filter(|event| **event == Event::Patch).count(), 1);
}

#[test]
fn the_way_back_is_kept_before_the_patch_is_sent() {
    let cluster = Cluster::default();
    let events = Arc::clone(&cluster.events);
    let mut floor = floor(cluster);
    floor.policy.rollback = true;
    lists(&floor, vec![fixture::workload("web")]);
    ask(&floor, "web", "nginx:1.25");
    look(&floor, &fixture::key("web"));
    let given_up = Condition {
        holds: false,
        reason: "Broken".into(),
        message: "".into(),
        updated_at: "10:00".into(),
    };
    let mut failed = (*floor.workloads.read().get(&fixture::key("web")).expect("known")).clone();
    failed.resource_version += 1;
    failed.replicas.available = 2;
    failed.progressing = Some(given_up);
    floor.workloads.write().answer(failed, None);
    events.lock().clear();
    look(&floor, &fixture::key("web"));
    look(&floor, &fixture::key("web"));
    let events = events.lock();
    assert_eq!(runs(&floor, "web"), "nginx:1.24");
    assert_eq!(events[..2], [Event::IntentKept, Event::LookAtWorkload]);
    assert!(events[2..].contains(&Event::Patch));
}

#[test]
fn a_reply_of_an_api_server_that_went_back_in_time_is_believed() {
    let floor = floor(Cluster { restored_at: Some(551), ..Cluster::default() });
    lists(&floor, vec![Workload { resource_version: 700, ..fixture::workload("web") }]);
    ask(&floor, "web", "nginx:1.25");
    look(&floor, &fixture::key("web"));
    assert_eq!(runs(&floor, "web"), "nginx:1.25");
    look(&floor, &fixture::key("web"));
    let service = floor.services.of(&fixture::key("web"));
    assert!(service.lock().good.is_some(), "it succeeded");
    assert_eq!(service.lock().complaint, None, "and nobody changed it");
}

#[test]
fn that_a_namespace_is_to_be_created_is_kept_before_it_is_asked_for() {
    let cluster = Cluster { is_bare: true, ..Cluster::default() };
    let events = Arc::clone(&cluster.events);
    let floor = floor(cluster);
    lists(&floor, Vec::new());
    ask(&floor, "web", "nginx:1.25");
    (0..3).for_each(|_| look(&floor, &fixture::key("web")));
    let events = events.lock();
    let at = events.iter().position(|event| *event == Event::CreateNamespace).expect("it is");
    assert_eq!(events[at - 1..=at], [Event::IntentKept, Event::CreateNamespace]);
}

/// What was said of panics.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The log of this test binary, of which only that matters.
struct OfPanics;

impl log::Log for OfPanics {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = record.args().to_string();
        if text.contains("panicked") {
            SAID.lock().push(format!("{} {text}", record.level()));
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_panic_costs_one_step_and_neither_the_thread_nor_the_service() {
    log::set_logger(&OfPanics).expect("no other test needs the log");
    log::set_max_level(log::LevelFilter::Error);
    let cluster = Cluster { panics: AtomicUsize::new(1), ..Cluster::default() };
    let events = Arc::clone(&cluster.events);
    let floor = Arc::new(floor(cluster));
    let both = vec![fixture::workload("web"), fixture::workload("api")];
    lists(&floor, both);
    // One thread only, so that whatever follows is done by the one that panicked.
    let pool = Pool::start(1, &floor).expect("a thread");
    ask(&floor, "web", "nginx:1.25");
    wait_until("the panic", || events.lock().contains(&Event::Patch));
    ask(&floor, "api", "nginx:1.25");
    wait_until("the other service", || runs(&floor, "api") == "nginx:1.25");
    assert_eq!(runs(&floor, "web"), "nginx:1.24", "its step is lost");
    let said = SAID.lock().clone();
    let [said] = &said[..] else { panic!("said once: {said:?}") };
    assert!(said.starts_with("ERROR web_default: a step panicked;"), "{said}");
    floor.queue.add(&fixture::key("web"));
    wait_until("the next step", || runs(&floor, "web") == "nginx:1.25");
    floor.queue.close();
    assert!(pool.finish(LIMIT), "the thread lives, and ends in order");
}

#[test]
fn no_key_is_in_two_hands_and_the_last_wish_wins() {
    let cluster = Cluster::default();
    let (events, two_hands) = (Arc::clone(&cluster.events), Arc::clone(&cluster.two_hands));
    let floor = Arc::new(floor(cluster));
    let names: Vec<String> = (0..10).map(|n| format!("svc-{n}")).collect();
    let workloads = names.iter().map(|name| fixture::workload(name)).collect();
    lists(&floor, workloads);
    let pool = Pool::start(16, &floor).expect("threads");
    for touch in 0..1000 {
        ask(&floor, &names[touch % 10], &format!("nginx:2.{touch}"));
    }
    for (n, name) in names.iter().enumerate() {
        let last = format!("nginx:2.{}", 990 + n);
        wait_until(&format!("{name} to run {last}"), || runs(&floor, name) == last);
    }
    floor.queue.close();
    assert!(pool.finish(LIMIT));
    assert!(!two_hands.load(Ordering::SeqCst), "two workers had one service");
    let patches = events.lock().iter().filter(|event| **event == Event::Patch).count();
    assert!((10..=1000).contains(&patches), "{patches} PATCHes");
}

#[test]
fn a_list_that_arrives_during_a_look_never_makes_a_workload_look_missing() {
    for _ in 0..500 {
        let cluster = Cluster::default();
        let events = Arc::clone(&cluster.events);
        let floor = floor(cluster);
        ask(&floor, "web", "nginx:1.25");
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                lists(&floor, vec![fixture::workload("web")]);
            });
            start.wait();
            look(&floor, &fixture::key("web"));
        });
        look(&floor, &fixture::key("web"));
        let events = events.lock();
        assert!(!events.contains(&Event::LookAtNamespace), "{events:?}");
        assert_eq!(events.iter().filter(|event| **event == Event::Patch).count(), 1, "{events:?}");
    }
}
