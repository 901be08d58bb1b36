use super::*;
use crate::cluster::{ApiError, Call, Class, Permission, Resource, Verb};
use crate::daemon::nowhere::{self, wait_until};
use crate::daemon::start_up;
use crate::model::{Gap, Image, ImageSet, ServiceKey, fixture};
use crate::observed;
use crate::worker::tests::lone_floor;

/// A keeper for a folder with a file for each of so many namespaces.
fn keeper(floor: &Arc<Floor>, namespaces: usize) -> Keeper {
    let image = Image::parse("nginx:1.25").expect("valid");
    for n in 0..namespaces {
        let key = ServiceKey::new("web", &format!("ns-{n}")).expect("valid");
        floor.desired.write().images(&key, ImageSet::Single(image.clone()));
    }
    Keeper {
        client: nowhere::client(),
        floor: Arc::downgrade(floor),
        words: WorkloadWatches::new().1.own,
        sight: Arc::default(),
        covers: Covers::default(),
        open: HashMap::new(),
        folder_read: true,
        seen: start_up::bell().0,
        introduced: false,
        without: [0; Kind::ALL.len()],
    }
}

fn end(watch: &Watch) {
    match &watch.pulse {
        Pulse::Runs(reflector) => nowhere::end(reflector),
        Pulse::Rests { .. } => {}
    }
}

#[test]
fn a_watch_whose_thread_ended_is_opened_anew() {
    let floor = Arc::new(lone_floor());
    let mut keeper = keeper(&floor, 1);
    keeper.adjust();
    assert_eq!(keeper.open.len(), Kind::ALL.len());
    keeper.open.values().for_each(end);
    keeper.adjust();
    assert_eq!(keeper.open.len(), Kind::ALL.len());
    assert!(keeper.open.values().all(|watch| watch.is_running()));
}

#[test]
fn of_many_namespaces_only_so_many_are_listed_at_a_time_and_in_the_end_all() {
    let floor = Arc::new(lone_floor());
    let mut keeper = keeper(&floor, 40);
    Kind::ALL.into_iter().for_each(|kind| keeper.covers.refuse(kind, clock::now()));
    let all = 40 * Kind::ALL.len();
    for round in 1..=all {
        keeper.adjust();
        let settled = keeper.open.values().filter(|watch| watch.settled).count();
        assert_eq!(keeper.open.len(), all.min(settled + MOST_UNSETTLED));
        let waits = |(_, watch): &(&Place, &Watch)| !watch.settled;
        let place = keeper.open.iter().find(waits).map(|(place, _)| place.clone());
        keeper.take(Word::Open(place.expect("one is not open yet")));
        assert_eq!(keeper.open.values().filter(|watch| watch.settled).count(), round);
    }
    keeper.adjust();
    assert_eq!(keeper.open.len(), all);
}

#[test]
fn a_watch_that_is_cut_off_stays_beside_the_one_that_takes_its_place() {
    let floor = Arc::new(lone_floor());
    let mut keeper = keeper(&floor, 9);
    let own: Place = (Kind::Deployment, Scope::Namespace("ns-0".into()));
    let watch = keeper.start(&own).expect("a thread");
    // Its server does not answer.
    wait_until(|| watch.cut_off.load(Ordering::Acquire));
    keeper.open.insert(own.clone(), watch);
    keeper.adjust();
    for kind in Kind::ALL {
        keeper.take(Word::Open((kind, Scope::Cluster)));
    }
    keeper.adjust();
    assert!(keeper.open.contains_key(&own), "only it knows what of its words never was");
    // That can come no more.
    end(&keeper.open[&own]);
    keeper.adjust();
    assert!(!keeper.open.contains_key(&own));
    assert_eq!(keeper.open.len(), Kind::ALL.len());
}

#[test]
fn a_kind_that_the_whole_cluster_may_not_be_asked_for_is_asked_for_in_each_namespace() {
    let floor = Arc::new(lone_floor());
    let mut keeper = keeper(&floor, 9);
    keeper.adjust();
    keeper.take(Word::Refused((Kind::StatefulSet, Scope::Cluster)));
    keeper.adjust();
    let count = |kind| keeper.open.keys().filter(|(of, _)| *of == kind).count();
    // The refused one stays until the others are open.
    assert_eq!(Kind::ALL.map(count), [1, 10, 1]);
}

#[test]
fn what_many_namespaces_refuse_is_asked_for_now_and_then_unless_somebody_waits_for_it() {
    let floor = Arc::new(lone_floor());
    let mut keeper = keeper(&floor, 9);
    let kinds = [Kind::Deployment, Kind::StatefulSet];
    kinds.into_iter().for_each(|kind| keeper.covers.refuse(kind, clock::now()));
    keeper.adjust();
    let place = |kind, n: usize| (kind, Scope::Namespace(format!("ns-{n}").into()));
    let mut own = fixture::workload("db");
    own.kind = Kind::StatefulSet;
    own.key = ServiceKey::new("db", "ns-1").expect("valid");
    floor.workloads.write().apply(own);
    for (kind, n) in kinds.into_iter().flat_map(|kind| [(kind, 0), (kind, 1), (kind, 2)]) {
        floor.workloads.write().refuse(kind, Some(&format!("ns-{n}")), "no");
        if n == 2 {
            floor.workloads.write().open(kind, Some("ns-2"));
        }
        keeper.take(Word::Refused(place(kind, n)));
    }
    keeper.adjust();
    let resting = |keeper: &Keeper| -> Vec<Place> {
        let rests = |(_, watch): &(&Place, &Watch)| !watch.is_running();
        keeper.open.iter().filter(rests).map(|(place, _)| place.clone()).collect()
    };
    // The others: it is needed, something is remembered there, and it was granted since.
    let own = place(Kind::StatefulSet, 0);
    assert_eq!(resting(&keeper), std::slice::from_ref(&own));
    assert!(keeper.open[&own].settled && !keeper.open[&own].open.load(Ordering::Acquire));
    keeper.open.get_mut(&own).expect("there").pulse = Pulse::Rests { since: Moment::default() };
    keeper.adjust();
    assert!(resting(&keeper).is_empty(), "it is asked again");
    assert!(!keeper.open[&own].settled, "which takes room");
}

fn missing(verb: &str) -> ApiError {
    let (resource, user) = ("apps/deployments".into(), "ann".into());
    let call = Call {
        verb: Verb::Watch,
        resource: Resource::Deployments,
        namespace: Some("ns-0".into()),
        name: None,
    };
    let class = Class::Forbidden(Permission { verb: verb.into(), resource, user });
    ApiError { call: Box::new(call), class }
}

/// Word of a watch of Deployments in a namespace, taken in.
fn take(floor: &Floor, event: WatchEvent<Workload>) {
    let open = Arc::new(AtomicBool::new(true));
    Part::new(Kind::Deployment, Scope::Namespace("ns-0".into()), open).take(floor, event);
}

#[test]
fn who_may_list_and_not_watch_is_refused_until_the_watch_is_open() {
    let floor = Arc::new(lone_floor());
    let _keeper = keeper(&floor, 1);
    let sight = || {
        let cache = floor.workloads.read();
        match cache.sight("ns-0") {
            observed::Sight::Refused(why) => why.to_owned(),
            other => format!("{other:?}"),
        }
    };
    for kind in [Kind::StatefulSet, Kind::DaemonSet] {
        floor.workloads.write().refuse(kind, Some("ns-0"), "no");
    }
    let looked_at = || {
        let taken = || floor.queue.try_take().inspect(|key| floor.queue.done(key));
        std::iter::from_fn(taken).count()
    };
    let listed = || WatchEvent::Restarted { items: Vec::new(), resource_version: 9 };
    let doubted = || WatchEvent::Disconnected { why: "no".into(), retry_in: TICK };
    take(&floor, listed());
    assert_eq!((sight().as_str(), looked_at()), ("Unseen", 0), "its watch may be refused yet");
    take(&floor, doubted());
    assert_eq!((sight().as_str(), looked_at()), ("Unseen", 0));
    take(&floor, WatchEvent::Forbidden { error: missing("watch"), retry_in: TICK });
    assert!(sight().contains("lacks verb watch on apps/deployments"), "{}", sight());
    assert_eq!(looked_at(), 1, "its service is told");
    take(&floor, listed());
    assert!(sight().contains("lacks verb watch on apps/deployments"), "{}", sight());
    assert_eq!(looked_at(), 0);
    take(&floor, WatchEvent::Synced);
    assert_eq!(sight(), "Complete");
    assert_eq!(looked_at(), 1, "its service goes on");
    take(&floor, WatchEvent::Synced);
    assert_eq!(looked_at(), 0);
    take(&floor, doubted());
    take(&floor, listed());
    assert_eq!(sight(), "Complete", "what was watched stays in sight while it is listed anew");
}

#[test]
fn rollouts_are_looked_at_when_a_watch_goes_on_after_a_gap() {
    let floor = lone_floor();
    let web = fixture::workload("web");
    floor.interest.lock().add(&web.key, &web.selector);
    let part = Part::new(Kind::Deployment, Scope::Cluster, Arc::new(AtomicBool::new(true)));
    let listed = || WatchEvent::Restarted { items: vec![web.clone()], resource_version: 5 };
    let in_a_gap = || floor.workloads.read().gap(&web).is_some_and(Gap::is_open);
    part.take(&floor, listed());
    part.take(&floor, WatchEvent::Synced);
    assert_eq!((in_a_gap(), floor.queue.try_take()), (false, None));
    for goes_on in [WatchEvent::Synced, listed()] {
        let why = "cut".to_owned();
        part.take(&floor, WatchEvent::Disconnected { why, retry_in: Duration::ZERO });
        assert_eq!((in_a_gap(), floor.queue.try_take()), (true, None));
        part.take(&floor, goes_on);
        assert_eq!((in_a_gap(), floor.queue.try_take()), (false, Some(web.key.clone())));
        floor.queue.done(&web.key);
    }
}
