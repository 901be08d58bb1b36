use super::*;
use crate::daemon::nowhere;
use crate::daemon::start_up;
use crate::model::{Gap, Image, ImageSet, fixture};
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
        cover: Cover::default(),
        open: HashMap::new(),
        folder_read: true,
        seen: start_up::bell().0,
        introduced: false,
    }
}

#[test]
fn a_watch_whose_thread_ended_is_opened_anew() {
    let floor = Arc::new(lone_floor());
    let mut keeper = keeper(&floor, 1);
    keeper.adjust();
    assert_eq!(keeper.open.len(), Kind::ALL.len());
    keeper.open.values().for_each(|watch| nowhere::end(&watch.reflector));
    keeper.adjust();
    assert_eq!(keeper.open.len(), Kind::ALL.len());
    assert!(keeper.open.values().all(|watch| watch.reflector.is_running()));
}

#[test]
fn of_many_namespaces_only_so_many_are_listed_at_a_time_and_in_the_end_all() {
    let floor = Arc::new(lone_floor());
    let mut keeper = keeper(&floor, 40);
    keeper.cover.refuse(clock::now());
    let all = 40 * Kind::ALL.len();
    for round in 1..=all {
        keeper.adjust();
        let settled = keeper.open.values().filter(|watch| watch.settled).count();
        assert_eq!(keeper.open.len(), all.min(settled + MOST_UNSETTLED));
        let waits = |(_, watch): &(&Place, &Watch)| !watch.settled;
        let place = keeper.open.iter().find(waits).map(|(place, _)| place.clone());
        keeper.take(Word::Listed(place.expect("one is not listed yet")));
        assert_eq!(keeper.open.values().filter(|watch| watch.settled).count(), round);
    }
    keeper.adjust();
    assert_eq!(keeper.open.len(), all);
    keeper.open.values().for_each(|watch| watch.reflector.stop());
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
