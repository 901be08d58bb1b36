use super::*;
use crate::model::fixture::key;
use crate::model::{Image, Problem};
use crate::reconcile::{Settled, Waiting};
use crate::store::RolloutEnd;

const SAVED: i64 = 10_000;

fn set(image: &str) -> ImageSet {
    ImageSet::Single(Image::parse(image).expect("valid"))
}

fn file(finding: Finding) -> FileRead {
    FileRead { name: "web_default.dep".into(), key: Some(key("web")), finding, stray: false }
}

fn settled(image: &str) -> Service {
    let settled = Settled { desired: set(image), uid: "u".into(), changes: Vec::new() };
    Service { phase: Phase::Settled(settled), ..Service::default() }
}

fn pending(image: &str) -> Service {
    let waiting = Waiting {
        desired: set(image),
        looked: true,
        told: false,
        may_create: false,
        create: false,
        creation: Default::default(),
    };
    Service {
        phase: Phase::Waiting(waiting),
        complaint: Some(What::WorkloadMissing),
        ..Service::default()
    }
}

fn misfit(image: &str) -> Service {
    let problem = Problem { place: None, text: "there is no container app".into() };
    Service { told_misfit: Some(problem), ..settled(image) }
}

fn shown(wanted: Finding, service: Option<(Service, i64)>, now: u64, holder: Holder) -> String {
    let stored = service.map(|(service, changed_ms)| StoredService {
        key: key("web"),
        state: serde_json::to_string(&service).expect("JSON"),
        changed_ms,
    });
    let rollout = StoredRollout {
        key: key("web"),
        attempt: 1,
        changes: String::new(),
        wanted: None,
        by: None,
        started_ms: 0,
        end: Some(RolloutEnd { verdict: "Failed".into(), detail: "why".into(), at_ms: 1 }),
    };
    let file = file(wanted);
    let wish = Wish { read: &file, changed_ms: SAVED };
    match outlook(&wish, stored.as_ref(), Some(&rollout), Moment(now), holder) {
        Outlook::Good(text) => format!("good: {text}"),
        Outlook::Bad(text) => format!("bad: {text}"),
        Outlook::NotYet(text) => format!("not yet: {text}"),
    }
}

#[test]
fn only_what_the_store_tells_of_this_very_content_counts() {
    let wanted = || Finding::Images(set("nginx:2"));
    let (before, after) = (SAVED - 1, SAVED + 1);
    let soon = 10_500;
    let runs = Holder::Process(1);
    for (service, now, holder, expect) in [
        (
            None,
            soon,
            Holder::Nobody,
            "not yet: waiting for nginx:2; no depd runs on this state folder",
        ),
        (None, soon, runs, "not yet: waiting until depd has seen nginx:2"),
        (
            Some((settled("nginx:1"), before)),
            soon,
            runs,
            "not yet: waiting until depd has seen nginx:2",
        ),
        (Some((settled("nginx:2"), before)), soon, runs, "good: deployed: runs nginx:2"),
        (
            Some((pending("nginx:2"), after)),
            soon,
            runs,
            "not yet: pending: namespace default has no workload web",
        ),
        (
            Some((misfit("nginx:1"), before)),
            soon,
            runs,
            "not yet: waiting until depd has seen nginx:2",
        ),
        (Some((misfit("nginx:1"), after)), soon, runs, "bad: there is no container app"),
        (Some((misfit("nginx:1"), before)), 13_000, runs, "bad: there is no container app"),
    ] {
        assert_eq!(shown(wanted(), service, now, holder), expect);
    }
}

#[test]
fn a_file_that_asks_for_nothing_is_told_at_once() {
    let problem = Problem { place: Some((1, 6)), text: "no tag".into() };
    assert_eq!(
        shown(Finding::Problem(problem), None, 0, Holder::Nobody),
        "bad: bad dep file: line 1, column 6: no tag"
    );
    assert_eq!(
        shown(Finding::Empty, None, 0, Holder::Nobody),
        "bad: its dep file is empty: it asks for nothing"
    );
}
