use serde_json::json;

use super::super::resources::{CONFIG_MAPS, PODS};
use super::*;

fn put(store: &mut Store, name: &str, value: i64) -> u64 {
    let key = Key::new(CONFIG_MAPS, "default", name);
    store.put(key, json!({"metadata": {"name": name}, "value": value}));
    store.revision()
}

fn values(objects: &[Object]) -> Vec<i64> {
    objects.iter().map(|o| o["value"].as_i64().unwrap()).collect()
}

#[test]
fn a_page_shows_the_store_as_it_was_when_the_list_began() {
    let mut store = Store::new(100, 1);
    put(&mut store, "a", 1);
    let then = put(&mut store, "b", 2);
    put(&mut store, "b", 20);
    put(&mut store, "c", 3);
    store.remove(&Key::new(CONFIG_MAPS, "default", "a"));
    let snapshot = store.snapshot(CONFIG_MAPS, Some("default"), None, then).unwrap();
    assert_eq!(values(&snapshot), [1, 2]);
    let after = Some(Key::new(CONFIG_MAPS, "default", "a"));
    let rest = store.snapshot(CONFIG_MAPS, None, after, then).unwrap();
    assert_eq!(values(&rest), [2]);
}

#[test]
fn what_fell_out_of_the_window_is_expired_and_other_resources_are_not() {
    let mut store = Store::new(2, 1);
    let first = put(&mut store, "a", 1);
    let second = put(&mut store, "a", 2);
    put(&mut store, "a", 3);
    let fourth = put(&mut store, "a", 4);
    assert_eq!(store.since(CONFIG_MAPS, first).err(), Some(Expired { oldest: second }));
    assert_eq!(store.since(CONFIG_MAPS, second).unwrap().count(), 2);
    assert_eq!(store.since(CONFIG_MAPS, fourth).unwrap().count(), 0);
    assert_eq!(store.since(PODS, 1).unwrap().count(), 0);
}

#[test]
fn an_owner_is_followed_through_rewrites_and_removal() {
    let mut store = Store::new(10, 1);
    let key = Key::new(PODS, "default", "p");
    let owned = json!({"metadata": {"ownerReferences": [{"uid": "u1"}]}});
    store.put(key.clone(), owned.clone());
    assert_eq!(store.owned_by("u1"), std::slice::from_ref(&key));
    store.put(key.clone(), json!({"metadata": {}}));
    assert!(store.owned_by("u1").is_empty());
    store.put(key.clone(), owned);
    store.remove(&key);
    assert!(store.owned_by("u1").is_empty());
}

#[test]
fn uids_are_version_4_uuids_and_differ() {
    let mut store = Store::new(10, 7);
    let (a, b) = (store.uid(), store.uid());
    assert_ne!(a, b);
    assert_eq!(a.len(), 36);
    assert_eq!(&a[14..15], "4");
    assert!("89ab".contains(&a[19..20]), "{a}");
}
