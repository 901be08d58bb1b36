use super::*;
use crate::model::fixture::key;
use crate::model::{Change, Hold, Image, ImageSet, Kind, Problem, What};
use crate::reconcile::{Phase, Settled, Waiting};
use crate::store::{Outgoing, RolloutEnd};

fn set(image: &str) -> ImageSet {
    ImageSet::Single(Image::parse(image).expect("valid"))
}

fn stored(name: &str, service: &Service, changed_ms: i64) -> StoredService {
    let state = serde_json::to_string(service).expect("JSON");
    StoredService { key: key(name), state, changed_ms }
}

fn settled() -> Service {
    let settled = Settled { desired: set("nginx:1.25"), uid: "u".into(), changes: Vec::new() };
    Service { phase: Phase::Settled(settled), attempts: 2, ..Service::default() }
}

fn pending() -> Service {
    let waiting = Waiting {
        desired: set("nginx:1.25"),
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

fn message(id: u64, set_aside: Option<(String, i64)>) -> StoredMessage {
    let message =
        Outgoing { id, key: Some(key("web")), receiver: "slack".into(), payload: String::new() };
    StoredMessage { message, created_ms: 0, set_aside }
}

fn status() -> Status {
    let problem = |text: &str| Some(Problem { place: None, text: text.into() });
    let drift = What::Drift {
        changes: vec![Change {
            container: "app".into(),
            from: "nginx:1.25".into(),
            to: "nginx:1.24".into(),
        }],
        corrected: false,
    };
    let services = [
        stored("web", &settled(), 940_000),
        stored("api", &pending(), 400_000),
        stored(
            "paused",
            &Service { complaint: Some(What::Held(Hold::Paused, Kind::Deployment)), ..settled() },
            999_000,
        ),
        stored("night", &Service { complaint: Some(drift), ..settled() }, 0),
        stored("typo", &Service { told_problem: problem("no tag"), ..settled() }, 0),
        stored("other", &Service { told_misfit: problem("no container app"), ..settled() }, 0),
        StoredService {
            key: key("future"),
            state: "{\"phase\":\"Unheard\"}".into(),
            changed_ms: 0,
        },
    ];
    let ended = RolloutEnd { verdict: "Deployed".into(), detail: "fine".into(), at_ms: 1 };
    let rollout = StoredRollout {
        key: key("web"),
        attempt: 2,
        changes: String::new(),
        wanted: None,
        by: None,
        started_ms: 0,
        end: Some(ended),
    };
    let messages = [message(1, None), message(2, Some(("404: no_service".into(), 5_000)))];
    Status::new((Holder::Process(4711), Standing::default()), &services, &[rollout], &messages)
}

#[test]
fn a_status_reads_well_in_every_form() {
    insta::assert_snapshot!("table", table(&status(), Moment(1_000_000), false));
    insta::assert_json_snapshot!("json", status());
}

#[test]
fn one_service_alone_and_nobody_at_work() {
    let mut one = status();
    one.only(&key("web"));
    assert_eq!(one.services.len(), 1);
    let none = Status::new((Holder::Nobody, Standing::default()), &[], &[], &[]);
    assert_eq!(
        table(&none, Moment(0), false),
        "depd does not run: what follows is how it left things\nno services\n"
    );
    let standing = Standing { turn: 0, failures: 3, halted: true };
    let halted = Status::new((Holder::Nobody, standing), &[], &[], &[]);
    assert_eq!(
        table(&halted, Moment(0), false),
        "depd does not run: what follows is how it left things\n\
         everything is held: 3 rollouts failed in a row; go on with depd resume --all\n\
         no services\n"
    );
}
