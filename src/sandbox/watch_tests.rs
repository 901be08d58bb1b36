use super::super::path::split;
use super::super::resources::CONFIG_MAPS;
use super::super::store::Key;
use super::*;

fn put(store: &mut Store, name: &str, app: &str) -> u64 {
    let object = json!({"metadata": {"name": name, "labels": {"app": app}}});
    store.put(Key::new(CONFIG_MAPS, "qa", name), object);
    store.revision()
}

fn watch(store: &Store, query: &str) -> Result<Watch, Status> {
    let (path, query) = split(&format!("/api/v1/namespaces/qa/configmaps?{query}"));
    let target = Target::of(&path).unwrap();
    Watch::new(store, &target, &query, Format::Whole, Duration::from_secs(3600))
}

/// `TYPE name` of each line.
fn read(bytes: &[u8]) -> Vec<String> {
    let lines = std::str::from_utf8(bytes).unwrap().lines();
    lines
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
            format!("{} {name}", event["type"].as_str().unwrap())
        })
        .collect()
}

#[test]
fn a_watch_goes_on_where_a_list_ended() {
    let mut store = Store::new(10, 1);
    put(&mut store, "a", "x");
    let listed = put(&mut store, "b", "x");
    put(&mut store, "b", "x");
    store.remove(&Key::new(CONFIG_MAPS, "qa", "a"));
    let mut watch = watch(&store, &format!("resourceVersion={listed}")).unwrap();
    assert!(watch.begin().is_empty());
    let events = watch.gather(&store);
    assert_eq!(read(&watch.show(&events)), ["MODIFIED b", "DELETED a"]);
    assert!(watch.gather(&store).is_empty());
}

#[test]
fn a_watch_from_nowhere_begins_with_what_is_there() {
    let mut store = Store::new(10, 1);
    put(&mut store, "a", "x");
    let mut watch = watch(&store, "").unwrap();
    assert_eq!(read(&watch.begin()), ["ADDED a"]);
    put(&mut store, "b", "x");
    let events = watch.gather(&store);
    assert_eq!(read(&watch.show(&events)), ["ADDED b"]);
}

#[test]
fn objects_that_begin_or_cease_to_match_are_added_or_deleted() {
    let mut store = Store::new(10, 1);
    put(&mut store, "a", "x");
    put(&mut store, "b", "y");
    let mut watch = watch(&store, "labelSelector=app%3Dx").unwrap();
    assert_eq!(read(&watch.begin()), ["ADDED a"]);
    put(&mut store, "b", "x");
    put(&mut store, "a", "y");
    put(&mut store, "c", "y");
    let events = watch.gather(&store);
    assert_eq!(read(&watch.show(&events)), ["ADDED b", "DELETED a"]);
}

#[test]
fn a_revision_that_is_too_old_is_an_error_event_with_410_and_the_end() {
    let mut store = Store::new(1, 1);
    let first = put(&mut store, "a", "x");
    put(&mut store, "a", "y");
    put(&mut store, "a", "z");
    let mut watch = watch(&store, &format!("resourceVersion={first}")).unwrap();
    let events = watch.gather(&store);
    let line: Value = serde_json::from_slice(&watch.show(&events)).unwrap();
    assert_eq!(line["type"], "ERROR");
    assert_eq!(
        (&line["object"]["code"], &line["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert!(watch.is_over());
}

#[test]
fn initial_events_end_with_a_bookmark_that_says_so() {
    let mut store = Store::new(10, 1);
    put(&mut store, "a", "x");
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let bytes = watch(&store, query).unwrap().begin();
    assert_eq!(read(&bytes), ["ADDED a", "BOOKMARK "]);
    assert!(String::from_utf8(bytes).unwrap().contains("\"k8s.io/initial-events-end\":\"true\""));
    assert_eq!(watch(&store, "sendInitialEvents=true").unwrap_err().code, 422);
}

#[test]
fn a_due_bookmark_names_the_newest_revision() {
    let mut store = Store::new(10, 1);
    let (path, query) = split("/api/v1/configmaps?allowWatchBookmarks=true");
    let target = Target::of(&path).unwrap();
    let mut watch = Watch::new(&store, &target, &query, Format::Whole, Duration::ZERO).unwrap();
    let newest = put(&mut store, "a", "x");
    let events = watch.gather(&store);
    let bytes = watch.show(&events);
    assert_eq!(read(&bytes), ["ADDED a", "BOOKMARK "]);
    let last = String::from_utf8(bytes).unwrap().lines().last().unwrap().to_owned();
    assert!(last.contains(&format!("\"resourceVersion\":\"{newest}\"")), "{last}");
}
