//! What speaks for and against changing the cluster, once folder and cluster were seen. `[E]`
//!
//! A start of the daemon and `depd plan` judge by the same grounds: is this the cluster, folder and
//! setting of the last run, and are there more differences than can be a coincidence? Nothing is
//! changed here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use log::warn;

use super::settings::Settings;
use crate::clock;
use crate::cluster::{ApiError, Class, Client};
use crate::model::{Alert, ImageSet, NamespaceState, ServiceKey};
use crate::observed::Sight;
use crate::queue::backoff;
use crate::reconcile::{FIRST_START_LIMIT, Identity, Service, differs};
use crate::store::STATES_LOST;
use crate::worker::Floor;

/// Keys that an alert names as examples.
const EXAMPLES: usize = 5;
/// How often each namespace is asked for before its error counts.
const TRIES: u32 = 4;

/// What folder, cluster, store and settings say.
pub struct Grounds {
    /// The control loop's shared state.
    pub floor: Arc<Floor>,
    /// Names and values of the store at its opening.
    pub meta: BTreeMap<String, String>,
    /// The services as the store remembers them.
    pub remembered: HashMap<ServiceKey, Service>,
    /// The settings.
    pub settings: Settings,
}

impl Grounds {
    /// What this run is about; the cluster is asked who it is: one GET.
    ///
    /// # Errors
    /// It does not answer, and may be any cluster.
    pub fn identity(&self, client: &Client) -> Result<Identity, ApiError> {
        let uid = match client.cluster_uid() {
            Err(error) if is_refusal(&error) => {
                warn!("{error}; the cluster is known by its address instead");
                None
            }
            answer => answer?,
        };
        let repo = self.settings.image_rules.ecr_repo.as_ref();
        Ok(Identity {
            uid,
            server: self.settings.access.server.to_string(),
            authority: client.authority().to_owned(),
            folder: absolute(&self.settings.deps),
            ecr_repo: repo.map(|repo| repo.as_str().to_owned()).unwrap_or_default(),
        })
    }

    /// Nobody has decided yet that this folder is to be rolled out to this cluster, or it is not
    /// remembered of every service.
    #[must_use]
    pub fn is_first(&self) -> bool {
        (Identity::is_first(&self.meta) || is_any_lost(&self.meta)) && !self.settings.apply_all
    }

    /// What speaks against changing anything, if something does.
    ///
    /// # Errors
    /// The cluster does not answer whether it has the namespaces.
    pub fn objection(
        &self,
        client: &Client,
        identity: &Identity,
    ) -> Result<Option<Alert>, ApiError> {
        if !self.settings.accept_change {
            let differences = identity.differences(&self.meta);
            if !differences.is_empty() {
                return Ok(Some(Alert::IdentityChanged { differences }));
            }
            if let Some(alert) = self.files_gone() {
                return Ok(Some(alert));
            }
        }
        if !self.is_first() {
            return Ok(None);
        }
        let mut concerned = self.differing();
        concerned.extend(unseen(&self.floor));
        if self.floor.policy.create_namespaces {
            let pause = |failures| thread::sleep(backoff::delay(failures, clock::now().0));
            let exists = |namespace: &str| patiently(|| exists(client, namespace), pause);
            add_homeless(&self.floor, &mut concerned, exists)?;
        }
        Ok(too_many(concerned))
    }

    /// A file asks for something.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.floor.desired.read().asked().next().is_some()
    }

    /// A file is gone of a service that something is remembered of.
    #[must_use]
    pub fn is_any_gone(&self) -> bool {
        !gone(&self.floor, &self.remembered).is_empty()
    }

    /// So many files are gone, or all, that the folder may not be mounted or filled yet: to let go of
    /// their services would be to forget what people undid in the cluster.
    #[must_use]
    pub fn files_gone(&self) -> Option<Alert> {
        let gone = gone(&self.floor, &self.remembered);
        let is_all = !gone.is_empty() && !self.is_asked();
        let examples = examples(&gone);
        let is_too_many = is_all || gone.len() > FIRST_START_LIMIT;
        is_too_many.then_some(Alert::FilesGone { gone: gone.len(), examples })
    }

    /// The services whose workload runs something else than a changed file asks for.
    ///
    /// It asks what the store remembered and not the services themselves: those belong to the
    /// workers, and no lock is held while another is taken.
    #[must_use]
    pub fn differing(&self) -> BTreeSet<ServiceKey> {
        let wishes: Vec<(ServiceKey, ImageSet)> = {
            let desired = self.floor.desired.read();
            desired.asked().map(|(key, images)| (key.clone(), images.clone())).collect()
        };
        let differs_now = |(key, images): &(ServiceKey, ImageSet)| {
            let known = self.remembered.get(key).is_some_and(|s| s.phase.desired() == Some(images));
            let workload = self.floor.workloads.read().get(key);
            !known && workload.is_some_and(|workload| differs(images, &workload, &[]))
        };
        wishes.into_iter().filter(differs_now).map(|(key, _)| key).collect()
    }
}

/// Notes in `meta` that of the states in the store so many could be read.
pub fn note_read(meta: &mut BTreeMap<String, String>, read: usize, stored: usize) {
    if read < stored {
        meta.insert(STATES_LOST.to_owned(), "yes".to_owned());
    }
}

/// Not every state that was saved is remembered.
#[must_use]
pub fn is_any_lost(meta: &BTreeMap<String, String>) -> bool {
    meta.get(STATES_LOST).is_some_and(|value| !value.is_empty())
}

/// The services that nothing can be said of, because the workloads of their namespace may not be
/// listed, now: as soon as they may, each of them could be changed.
fn unseen(floor: &Floor) -> Vec<ServiceKey> {
    let mut keys: Vec<ServiceKey> =
        floor.desired.read().asked().map(|(key, _)| key.clone()).collect();
    let workloads = floor.workloads.read();
    keys.retain(|key| workloads.sight(key.namespace()) != Sight::Complete);
    keys
}

/// The services without a file that something is remembered of, sorted.
fn gone(floor: &Floor, remembered: &HashMap<ServiceKey, Service>) -> Vec<ServiceKey> {
    let desired = floor.desired.read();
    let is_gone = |(key, service): &(&ServiceKey, &Service)| {
        service.phase.desired().is_some() && desired.get(key).is_none()
    };
    let mut keys: Vec<ServiceKey> =
        remembered.iter().filter(is_gone).map(|(key, _)| key.clone()).collect();
    keys.sort_unstable();
    keys
}

/// The cluster has it, or does not say.
fn exists(client: &Client, namespace: &str) -> Result<bool, ApiError> {
    match client.namespace_exists(namespace) {
        Err(error) if is_refusal(&error) => Ok(true),
        answer => answer.map(|state| state == NamespaceState::Active),
    }
}

/// Asks a few times: where a thousand questions are asked one after another, one that fails must not
/// cost the answers to the others.
fn patiently<T, E>(ask: impl Fn() -> Result<T, E>, pause: impl Fn(u32)) -> Result<T, E> {
    for failures in 1..TRIES {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(_) => pause(failures),
        }
    }
    ask()
}

/// Adds the services whose namespace would be created. One that shows one of their workloads is not
/// asked for.
fn add_homeless<E>(
    floor: &Floor,
    concerned: &mut BTreeSet<ServiceKey>,
    exists: impl Fn(&str) -> Result<bool, E>,
) -> Result<(), E> {
    let mut by_namespace: BTreeMap<String, BTreeSet<ServiceKey>> = BTreeMap::new();
    for (key, _) in floor.desired.read().asked() {
        by_namespace.entry(key.namespace().to_owned()).or_default().insert(key.clone());
    }
    let is_seen =
        |keys: &BTreeSet<_>| keys.iter().any(|key| !floor.workloads.read().kinds(key).is_empty());
    by_namespace.retain(|_, keys| !is_seen(keys) && !keys.is_subset(concerned));
    let doubtful: usize = by_namespace.values().map(BTreeSet::len).sum();
    if concerned.len() + doubtful <= FIRST_START_LIMIT {
        // Even if none of them were there, that would be no accident: nobody is asked.
        return Ok(());
    }
    for (namespace, mut keys) in by_namespace {
        if !exists(&namespace)? {
            concerned.append(&mut keys);
        }
    }
    Ok(())
}

/// What speaks against a first start that would or could change these services.
fn too_many(concerned: BTreeSet<ServiceKey>) -> Option<Alert> {
    let differing = concerned.len();
    let examples = examples(&concerned);
    (differing > FIRST_START_LIMIT).then_some(Alert::FirstStart { differing, examples })
}

fn examples<'a>(keys: impl IntoIterator<Item = &'a ServiceKey>) -> Vec<String> {
    keys.into_iter().take(EXAMPLES).map(ServiceKey::to_string).collect()
}

/// The cluster answers, and does not want to.
fn is_refusal(error: &ApiError) -> bool {
    matches!(error.class, Class::Forbidden(_) | Class::Denied { .. })
}

fn absolute(folder: &Path) -> String {
    let real = folder.canonicalize().or_else(|_| std::path::absolute(folder));
    real.unwrap_or_else(|_| folder.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::daemon::wiring::restore;
    use crate::model::{Image, Kind, Problem, Workload, fixture};
    use crate::reconcile::{Phase, Settled};
    use crate::worker::tests::lone_floor;

    #[test]
    fn on_a_first_start_a_namespace_that_cannot_be_seen_counts_as_if_all_of_it_differed() {
        let floor = lone_floor();
        for n in 0..=FIRST_START_LIMIT {
            let wish = ImageSet::Single(Image::parse("nginx:1.25").expect("valid"));
            floor.desired.write().images(&fixture::key(&format!("web-{n:02}")), wish);
        }
        let held = || too_many(unseen(&floor).into_iter().collect());
        let differing = FIRST_START_LIMIT + 1;
        let examples = (0..EXAMPLES).map(|n| fixture::key(&format!("web-{n:02}")).to_string());
        let alert = Some(Alert::FirstStart { differing, examples: examples.collect() });
        assert_eq!(held(), alert);
        floor.workloads.write().refuse(Kind::Deployment, None, "no");
        assert_eq!(held(), alert);
        for kind in Kind::ALL {
            let mut cache = floor.workloads.write();
            cache.replace(kind, None, Vec::new(), 1);
            cache.open(kind, None);
        }
        assert_eq!(held(), None);
    }

    #[test]
    fn on_a_first_start_services_count_whose_namespace_would_be_created() {
        let floor = lone_floor();
        let named = [("web", "there"), ("api", "there"), ("web", "empty"), ("web", "missing")];
        let key = |service: &str, namespace: &str| ServiceKey::new(service, namespace).unwrap();
        for (service, namespace) in named {
            let wish = ImageSet::Single(Image::parse("nginx:1.25").expect("valid"));
            floor.desired.write().images(&key(service, namespace), wish);
        }
        let web = Workload { key: key("web", "there"), ..fixture::workload("web") };
        floor.workloads.write().replace(Kind::Deployment, None, vec![web], 1);
        let asked = RefCell::new(Vec::new());
        let exists = |namespace: &str| {
            asked.borrow_mut().push(namespace.to_owned());
            Ok::<bool, ()>(namespace == "empty")
        };
        let mut concerned = BTreeSet::new();
        add_homeless(&floor, &mut concerned, exists).expect("answers");
        assert!(concerned.is_empty() && asked.borrow().is_empty(), "they are too few to matter");
        concerned = (0..FIRST_START_LIMIT).map(|n| key(&format!("svc-{n}"), "elsewhere")).collect();
        let mut expect = concerned.clone();
        expect.insert(key("web", "missing"));
        add_homeless(&floor, &mut concerned, exists).expect("answers");
        assert_eq!(concerned, expect);
        assert_eq!(asked.into_inner(), ["empty", "missing"]);
    }

    #[test]
    fn one_question_that_fails_costs_no_answers_to_others() {
        let (asked, pauses) = (Cell::new(0), RefCell::new(Vec::new()));
        let answer = |failing: u32| {
            asked.set(0);
            let ask = || {
                asked.set(asked.get() + 1);
                if asked.get() <= failing { Err("500") } else { Ok(true) }
            };
            patiently(ask, |failures| pauses.borrow_mut().push(failures))
        };
        assert_eq!((answer(0), asked.get()), (Ok(true), 1));
        assert_eq!((answer(2), asked.get()), (Ok(true), 3));
        assert_eq!((answer(TRIES), asked.get()), (Err("500"), TRIES), "it is left to whoever asks");
        assert_eq!(pauses.into_inner(), [1, 2, 1, 2, 3]);
    }

    #[test]
    fn a_service_is_gone_of_which_something_is_remembered_and_that_has_no_file() {
        let floor = lone_floor();
        let wish = ImageSet::Single(Image::parse("nginx:1.25").expect("valid"));
        let settled = Settled { desired: wish.clone(), uid: "u".into(), changes: Vec::new() };
        let settled = Service { phase: Phase::Settled(settled), ..Service::default() };
        floor.desired.write().images(&fixture::key("there"), wish);
        let problem = Problem { place: None, text: "no image".into() };
        floor.desired.write().problem(&fixture::key("broken"), problem);
        let states = [
            ("there", settled.clone()),
            ("broken", settled.clone()),
            ("let-go", settled.let_go()),
            ("gone", settled),
        ];
        let remembered = states.map(|(name, service)| (fixture::key(name), service)).into();
        assert_eq!(gone(&floor, &remembered), [fixture::key("gone")]);
    }

    #[test]
    fn states_that_cannot_be_read_make_a_start_like_a_first_one() {
        let state = serde_json::to_string(&Service::default()).expect("writes");
        for (states, lost) in [([&*state, &*state], false), ([&*state, "of another depd"], true)] {
            let keys = ["web", "api"].map(fixture::key);
            let stored: Vec<_> = keys.into_iter().zip(states.map(str::to_owned)).collect();
            let mut meta = BTreeMap::from([("cluster".to_owned(), "uid".to_owned())]);
            let read = restore(&lone_floor(), &stored).len();
            note_read(&mut meta, read, stored.len());
            assert_eq!(is_any_lost(&meta), lost, "{states:?}");
            meta.insert(STATES_LOST.to_owned(), String::new());
            assert!(!is_any_lost(&meta), "it was judged");
        }
    }
}
