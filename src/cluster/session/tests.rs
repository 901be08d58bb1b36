use super::super::call::{Resource, Scope};
use super::super::fixture;
use super::super::window::FIRST;
use super::*;

#[test]
fn the_lists_of_watches_and_all_other_requests_share_their_places() {
    let client = fixture::client("http://127.0.0.1:1");
    let (requests, watch) = (&client.requests, client.watch_session());
    let call = Request::list(Resource::Pods, &Scope::Cluster, None).call;
    let is_full = || watch.window.window.lock().enter().is_none();
    let enter = |_| requests.enter(&call, Patience::Request).expect("there is room");
    let mut held: Vec<_> = (0..FIRST as usize).map(enter).collect();
    assert!(is_full());
    // A watch that ends is not in anybody's way.
    watch.shutdown();
    assert!(watch.enter(&call, Patience::Request).is_err());
    held.pop();
    assert!(requests.enter(&call, Patience::Request).is_ok());
}
