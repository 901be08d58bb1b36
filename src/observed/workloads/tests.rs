use super::*;
use crate::model::fixture;

fn version(name: &str, resource_version: u64) -> Workload {
    Workload { resource_version, ..fixture::workload(name) }
}

fn held(cache: &Workloads, name: &str) -> Option<u64> {
    cache.get(&fixture::key(name)).map(|w| w.resource_version)
}

#[test]
fn an_older_version_never_replaces_a_newer_one() {
    let mut cache = Workloads::default();
    assert!(cache.apply(version("web", 10)), "the reply to our PATCH");
    assert!(!cache.stream(None, version("web", 8)), "the stream lags behind it");
    assert!(!cache.stream(None, version("web", 10)), "its echo");
    assert!(!cache.delete(None, &version("web", 9)), "an old deletion of an older namesake");
    assert_eq!(held(&cache, "web"), Some(10));
    assert!(cache.delete(None, &version("web", 11)));
    assert_eq!(held(&cache, "web"), None);
}

#[test]
fn a_reply_that_is_older_than_what_it_was_planned_on_tells_of_a_restored_etcd() {
    let mut cache = Workloads::default();
    cache.replace(Kind::Deployment, None, vec![version("web", 700)], 720);
    let seen = version("web", 700);
    assert!(cache.answer(version("web", 551), Some(&seen)));
    assert_eq!(held(&cache, "web"), Some(551));
    assert!(cache.stream(None, version("web", 560)), "it goes on from there");

    cache.replace(Kind::Deployment, None, vec![version("web", 555)], 558);
    assert!(!cache.answer(version("web", 551), Some(&seen)), "the list was quicker");
    assert_eq!(held(&cache, "web"), Some(555));
    assert!(!cache.answer(version("web", 554), Some(&version("web", 553))), "a late reply");
    assert!(!cache.answer(version("web", 554), None));
    assert!(cache.answer(version("web", 556), Some(&version("web", 553))));
}

#[test]
fn a_late_reply_brings_no_deleted_workload_back() {
    let mut cache = Workloads::default();
    cache.replace(Kind::Deployment, None, vec![version("web", 10)], 12);
    assert!(cache.delete(None, &version("web", 15)));
    assert!(!cache.apply(version("web", 13)), "the reply to a PATCH before the deletion");
    assert_eq!(held(&cache, "web"), None);
    assert!(cache.apply(version("web", 17)), "created anew since");
    cache.forget(&version("web", 13));
    assert_eq!(held(&cache, "web"), Some(17), "a 404 for the old one says nothing of the new");
    cache.forget(&version("web", 17));
    assert_eq!(held(&cache, "web"), None);
}

#[test]
fn a_list_removes_what_it_does_not_name_but_not_what_is_newer_than_itself() {
    let mut cache = Workloads::default();
    assert_eq!(cache.sight("default"), Sight::Unseen);
    cache.replace(Kind::Deployment, None, vec![version("web", 10), version("api", 11)], 12);
    assert_eq!(cache.sight("default"), Sight::Unseen, "two kinds are missing");
    cache.apply(version("new", 21));
    cache.apply(version("web", 22));
    assert_eq!(
        cache.replace(Kind::Deployment, None, vec![version("web", 15)], 16),
        [fixture::key("api")]
    );
    assert_eq!(held(&cache, "web"), Some(22));
    assert_eq!(held(&cache, "new"), Some(21));
}

#[test]
fn a_list_from_a_restored_etcd_takes_everything_back_in_time() {
    let mut cache = Workloads::default();
    cache.replace(Kind::Deployment, None, vec![version("web", 10), version("late", 800)], 900);
    cache.stream(None, version("web", 950));
    let mut changed = cache.replace(Kind::Deployment, None, vec![version("web", 500)], 600);
    changed.sort();
    assert_eq!(changed, [fixture::key("late"), fixture::key("web")]);
    assert_eq!(held(&cache, "web"), Some(500));
}

#[test]
fn an_unchanged_list_changes_nothing() {
    let mut cache = Workloads::default();
    cache.replace(Kind::Deployment, None, vec![version("web", 10)], 12);
    assert!(cache.replace(Kind::Deployment, None, vec![version("web", 10)], 13).is_empty());
}

#[test]
fn a_name_in_two_kinds_is_told_and_never_resolved() {
    let mut cache = Workloads::default();
    let of = |kind| Workload { kind, ..version("web", 10) };
    cache.replace(Kind::Deployment, None, vec![of(Kind::Deployment)], 12);
    assert_eq!(cache.get(&fixture::key("web")).map(|w| w.kind), Some(Kind::Deployment));
    cache.replace(Kind::DaemonSet, None, vec![of(Kind::DaemonSet)], 12);
    assert_eq!(cache.get(&fixture::key("web")), None);
    assert_eq!(cache.kinds(&fixture::key("web")), [Kind::Deployment, Kind::DaemonSet]);
    assert!(cache.delete(None, &Workload { resource_version: 13, ..of(Kind::Deployment) }));
    assert_eq!(cache.get(&fixture::key("web")).map(|w| w.kind), Some(Kind::DaemonSet));
    assert_eq!(cache.len(), 1, "a list of one kind leaves the others as they are");
}

#[test]
fn a_kind_that_may_not_be_listed_is_done_without_until_it_may() {
    let mut cache = Workloads::default();
    cache.replace(Kind::Deployment, None, Vec::new(), 12);
    cache.replace(Kind::StatefulSet, None, Vec::new(), 12);
    assert_eq!(cache.sight("qa"), Sight::Unseen);
    assert!(cache.refuse(Kind::DaemonSet, Some("qa"), "no"));
    assert!(!cache.refuse(Kind::DaemonSet, Some("qa"), "no"), "said already");
    assert_eq!(cache.sight("qa"), Sight::Complete);
    cache.replace(Kind::DaemonSet, Some("qa"), Vec::new(), 13);
    assert!(!cache.refuse(Kind::DaemonSet, Some("qa"), "no"), "a list is not all");
    assert_eq!(cache.open(Kind::DaemonSet, Some("qa")), Some(Unopened::Refused("no".into())));
    assert_eq!(cache.sight("qa"), Sight::Complete);
    assert!(cache.refuse(Kind::DaemonSet, Some("qa"), "no"), "taken away again");
    assert_eq!(cache.sight("qa"), Sight::Complete);
    let mut strict = Workloads::default();
    for kind in Kind::ALL {
        strict.refuse(kind, Some("qa"), "no");
    }
    assert_eq!(strict.sight("qa"), Sight::Refused("no"), "without Deployments nothing is said");
}

/// Lists of a scope: these Deployments, and none of the other kinds.
fn lists(cache: &mut Workloads, scope: Option<&str>, items: Vec<Workload>, at: u64) {
    cache.replace(Kind::Deployment, scope, items, at);
    cache.replace(Kind::StatefulSet, scope, Vec::new(), at);
    cache.replace(Kind::DaemonSet, scope, Vec::new(), at);
}

fn close(cache: &mut Workloads, scope: Option<&str>) {
    Kind::ALL.into_iter().for_each(|kind| cache.close(kind, scope));
}

fn of(namespace: &str, name: &str, resource_version: u64) -> Workload {
    let key = ServiceKey::new(name, namespace).unwrap();
    Workload { key, ..version(name, resource_version) }
}

#[test]
fn a_namespace_is_known_once_it_was_listed_itself_or_with_all_others() {
    let mut cache = Workloads::default();
    lists(&mut cache, Some("qa"), vec![of("qa", "web", 5)], 9);
    assert_eq!(cache.sight("qa"), Sight::Complete);
    assert_eq!(cache.sight("prod"), Sight::Unseen);
    assert!(cache.refuse(Kind::Deployment, Some("prod"), "no"));
    assert!(!cache.refuse(Kind::Deployment, Some("prod"), "no"), "it is known");
    assert_eq!(cache.sight("prod"), Sight::Refused("no"));
    cache.stream(Some("prod"), of("prod", "web", 11));
    assert_eq!(cache.sight("prod"), Sight::Refused("no"), "one workload is not all of them");
    lists(&mut cache, None, Vec::new(), 12);
    assert_eq!(cache.sight("prod"), Sight::Complete);
    assert!(cache.refuse(Kind::Deployment, Some("qa"), "no more"));
    assert_eq!(cache.sight("qa"), Sight::Complete, "the whole cluster is watched as well");
    close(&mut cache, None);
    assert_eq!(cache.sight("qa"), Sight::Refused("no more"), "what was seen gets old");
    let refused = Unopened::Refused("no more".into());
    assert_eq!(cache.open(Kind::Deployment, Some("qa")), Some(refused));
    assert_eq!(cache.open(Kind::Deployment, Some("qa")), None, "it is known");
    assert_eq!(cache.sight("qa"), Sight::Complete, "its watch went on");
}

#[test]
fn a_workload_of_a_kind_that_may_not_be_watched_any_more_is_out_of_sight_with_its_service() {
    let mut cache = Workloads::default();
    lists(&mut cache, Some("qa"), vec![of("qa", "web", 5)], 9);
    let own = Workload { kind: Kind::StatefulSet, ..of("qa", "db", 5) };
    cache.replace(Kind::StatefulSet, Some("qa"), vec![own.clone()], 9);
    assert!(cache.refuse(Kind::StatefulSet, Some("qa"), "no more"));
    assert_eq!(cache.sight_of(&own.key), Sight::Refused("no more"));
    assert_eq!(cache.sight_of(&of("qa", "web", 5).key), Sight::Complete, "it is done without");
    assert_eq!(cache.sight("qa"), Sight::Complete);
    assert!(cache.open(Kind::StatefulSet, Some("qa")).is_some());
    assert_eq!(cache.sight_of(&own.key), Sight::Complete);
}

#[test]
fn a_workload_that_is_only_remembered_does_not_hold_one_of_another_kind_that_has_its_name_now() {
    let mut cache = Workloads::default();
    lists(&mut cache, Some("qa"), Vec::new(), 9);
    let old = Workload { kind: Kind::StatefulSet, ..of("qa", "web", 5) };
    cache.replace(Kind::StatefulSet, Some("qa"), vec![old.clone()], 9);
    cache.refuse(Kind::StatefulSet, Some("qa"), "no more");
    assert_eq!(cache.sight_of(&old.key), Sight::Refused("no more"));
    cache.stream(Some("qa"), of("qa", "web", 12));
    assert_eq!(cache.sight_of(&old.key), Sight::Complete);
    assert_eq!(cache.get(&old.key).map(|it| it.kind), Some(Kind::Deployment));
    assert_eq!(cache.kinds(&old.key), [Kind::Deployment]);
    cache.open(Kind::StatefulSet, Some("qa"));
    assert_eq!(cache.get(&old.key), None, "both are in view");
}

#[test]
fn a_scope_that_was_listed_and_is_not_watched_yet_does_not_count_as_seen() {
    let mut cache = Workloads::default();
    Kind::ALL.into_iter().for_each(|kind| cache.await_watch(kind, None));
    lists(&mut cache, None, vec![of("qa", "web", 5)], 9);
    assert_eq!(cache.sight("qa"), Sight::Unseen);
    for kind in Kind::ALL {
        assert_eq!(cache.sight("qa"), Sight::Unseen);
        assert_eq!(cache.open(kind, None), Some(Unopened::Listed));
    }
    assert_eq!(cache.sight("qa"), Sight::Complete);
    cache.await_watch(Kind::Deployment, None);
    assert_eq!(cache.sight("qa"), Sight::Complete, "it was watched before");
    // What its own watch shows counts, whatever is still to be said of the whole cluster.
    let mut both = Workloads::default();
    lists(&mut both, Some("qa"), Vec::new(), 9);
    both.await_watch(Kind::Deployment, None);
    both.replace(Kind::Deployment, None, Vec::new(), 10);
    assert_eq!((both.sight("qa"), both.sight("prod")), (Sight::Complete, Sight::Unseen));
}

#[test]
fn a_workload_is_not_gone_because_the_right_to_see_it_is() {
    let mut cache = Workloads::default();
    lists(&mut cache, None, Vec::new(), 9);
    let own = Workload { kind: Kind::StatefulSet, ..of("qa", "db", 5) };
    cache.replace(Kind::StatefulSet, None, vec![own.clone()], 9);
    for scope in [None, Some("qa")] {
        cache.refuse(Kind::StatefulSet, scope, "no more");
    }
    cache.close(Kind::StatefulSet, None);
    assert_eq!(cache.sight_of(&own.key), Sight::Refused("no more"));
    cache.close(Kind::StatefulSet, Some("qa"));
    assert!(cache.is_empty(), "nobody asks any more");
}

#[test]
fn a_refusal_of_the_whole_cluster_says_nothing_of_a_namespace_that_is_still_asked() {
    let mut cache = Workloads::default();
    for kind in Kind::ALL {
        assert!(cache.refuse(kind, None, "no"));
    }
    assert_eq!(cache.sight("qa"), Sight::Unseen);
    cache.replace(Kind::Deployment, Some("qa"), Vec::new(), 9);
    cache.replace(Kind::StatefulSet, Some("qa"), Vec::new(), 9);
    assert_eq!(cache.sight("qa"), Sight::Unseen, "the DaemonSets are missing");
    cache.refuse(Kind::DaemonSet, Some("qa"), "no");
    assert_eq!(cache.sight("qa"), Sight::Complete);
    cache.refuse(Kind::Deployment, Some("prod"), "not there");
    assert_eq!(cache.sight("prod"), Sight::Refused("not there"));
}

#[test]
fn a_kind_that_only_single_namespaces_may_be_asked_for_is_known_once_they_were() {
    let mut cache = Workloads::default();
    cache.replace(Kind::Deployment, None, Vec::new(), 12);
    cache.refuse(Kind::StatefulSet, None, "no");
    cache.refuse(Kind::DaemonSet, None, "no");
    assert_eq!(cache.sight("qa"), Sight::Unseen, "its own role may allow more");
    let own = Workload { kind: Kind::StatefulSet, ..of("qa", "db", 5) };
    cache.replace(Kind::StatefulSet, Some("qa"), vec![own.clone()], 9);
    assert_eq!(cache.sight("qa"), Sight::Unseen, "the DaemonSets are missing");
    cache.refuse(Kind::DaemonSet, Some("qa"), "no");
    assert_eq!(cache.sight("qa"), Sight::Complete);
    cache.close(Kind::StatefulSet, None);
    assert_eq!(cache.get(&own.key).map(|it| it.kind), Some(Kind::StatefulSet));
}

#[test]
fn a_list_brings_nothing_back_that_another_scope_has_seen_go() {
    let mut cache = Workloads::default();
    lists(&mut cache, Some("qa"), vec![of("qa", "web", 5)], 9);
    assert!(cache.delete(Some("qa"), &of("qa", "web", 15)));
    let late = vec![of("qa", "web", 5), of("prod", "web", 6)];
    let changed = cache.replace(Kind::Deployment, None, late, 12);
    assert_eq!(changed, [ServiceKey::new("web", "prod").unwrap()]);
    assert_eq!(cache.len(), 1);
    let anew = vec![of("qa", "web", 17), of("prod", "web", 6)];
    cache.replace(Kind::Deployment, None, anew, 18);
    assert_eq!(cache.len(), 2, "created anew since");
}

#[test]
fn a_stream_brings_nothing_back_that_another_scope_has_seen_go() {
    let mut cache = Workloads::default();
    lists(&mut cache, Some("a"), vec![of("a", "web", 5)], 10);
    lists(&mut cache, None, vec![of("a", "web", 5)], 12);
    assert!(cache.delete(None, &of("a", "web", 20)));
    assert!(!cache.stream(Some("a"), of("a", "web", 15)), "what it has still to tell");
    assert!(cache.stream(Some("a"), of("a", "web", 25)), "a new one of that name");
}

#[test]
fn after_a_restored_etcd_a_scope_that_does_not_know_yet_hides_nothing() {
    let mut cache = Workloads::default();
    lists(&mut cache, Some("qa"), Vec::new(), 900);
    lists(&mut cache, None, Vec::new(), 910);
    lists(&mut cache, None, vec![of("qa", "web", 500)], 600);
    assert_eq!(cache.len(), 1, "what was seen at 900 never was");
    lists(&mut cache, None, vec![of("qa", "web", 500), of("qa", "api", 605)], 610);
    assert_eq!(cache.len(), 2);
    lists(&mut cache, Some("qa"), vec![of("qa", "web", 500)], 602);
    let late = vec![of("qa", "web", 500), of("qa", "old", 300)];
    cache.delete(None, &of("qa", "old", 612));
    lists(&mut cache, Some("qa"), late, 611);
    assert_eq!(cache.get(&ServiceKey::new("old", "qa").unwrap()), None, "it counts again");
}

#[test]
fn after_a_restored_etcd_a_scope_that_was_listed_before_the_others_still_counts() {
    let mut cache = Workloads::default();
    lists(&mut cache, Some("quiet"), vec![of("quiet", "web", 90)], 100);
    lists(&mut cache, Some("busy"), Vec::new(), 950);
    lists(&mut cache, Some("quiet"), vec![of("quiet", "web", 90)], 600);
    lists(&mut cache, Some("busy"), Vec::new(), 605);
    assert!(cache.delete(Some("quiet"), &of("quiet", "web", 620)));
    lists(&mut cache, None, vec![of("quiet", "web", 90)], 610);
    assert!(cache.is_empty(), "that list is older than the deletion");
}

#[test]
fn a_list_of_one_namespace_says_nothing_of_the_others() {
    let mut cache = Workloads::default();
    lists(&mut cache, Some("qa"), vec![of("qa", "web", 5), of("qa", "api", 6)], 9);
    lists(&mut cache, Some("prod"), vec![of("prod", "web", 7)], 10);
    let gone = cache.replace(Kind::Deployment, Some("qa"), vec![of("qa", "web", 5)], 12);
    assert_eq!(gone, [ServiceKey::new("api", "qa").unwrap()]);
    assert_eq!(cache.len(), 2);
    let same = vec![of("prod", "web", 7)];
    assert!(cache.replace(Kind::Deployment, Some("prod"), same, 11).is_empty());
}

#[test]
fn a_scope_that_takes_over_leaves_no_gap() {
    let mut cache = Workloads::default();
    lists(&mut cache, Some("qa"), vec![of("qa", "web", 5)], 9);
    lists(&mut cache, None, vec![of("qa", "web", 5), of("prod", "web", 6)], 10);
    close(&mut cache, Some("qa"));
    assert_eq!((cache.len(), cache.sight("qa")), (2, Sight::Complete));
    lists(&mut cache, Some("qa"), vec![of("qa", "web", 5)], 12);
    close(&mut cache, None);
    assert_eq!((cache.len(), cache.sight("prod")), (1, Sight::Unseen));
    close(&mut cache, Some("qa"));
    assert!(cache.is_empty());
}

#[test]
fn a_gap_is_what_no_scope_of_the_kind_showed() {
    let own = Some("default");
    let web = version("web", 10);
    let mut cache = Workloads::default();
    let gap = |cache: &Workloads| {
        cache.gap(&web).map(|gap| (gap.since.0 / 1000, gap.until.map(|at| at.0 / 1000)))
    };
    let second = |at: u64| Moment(at * 1000);
    cache.lose(Kind::Deployment, own, second(1));
    assert_eq!(gap(&cache), None, "it was never listed");
    cache.replace(Kind::Deployment, own, vec![version("web", 10)], 12);
    cache.lose(Kind::StatefulSet, own, second(2));
    assert_eq!(gap(&cache), None, "another kind");
    cache.lose(Kind::Deployment, own, second(10));
    cache.lose(Kind::Deployment, own, second(20));
    assert_eq!(gap(&cache), Some((10, None)), "the first word of it counts");
    assert!(cache.find(Kind::Deployment, own, second(30)));
    assert!(!cache.find(Kind::Deployment, own, second(31)), "it is no news");
    assert_eq!(gap(&cache), Some((10, Some(30))));
    cache.lose(Kind::Deployment, own, second(32));
    assert_eq!(gap(&cache), Some((10, None)), "it had not caught up");
    cache.find(Kind::Deployment, own, second(40));
    cache.lose(Kind::Deployment, own, second(50));
    assert_eq!(gap(&cache), Some((50, None)));
    cache.replace(Kind::Deployment, None, vec![version("web", 10)], 13);
    assert_eq!(gap(&cache), None, "the watch of all shows it");
    cache.lose(Kind::Deployment, None, second(60));
    assert_eq!(gap(&cache), Some((60, None)));
    cache.close(Kind::Deployment, None);
    assert_eq!(gap(&cache), Some((50, None)));
}
