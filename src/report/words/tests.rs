//! Every sentence that people read, as one text to be read by people.

use super::*;
use crate::model::{Failure, FoundEnd, Problem, Sign, fixture};

fn change(from: &str, to: &str) -> Change {
    Change { container: "app".into(), from: from.into(), to: to.into() }
}

fn failure(sign: Sign, reason: &str, message: &str) -> What {
    let failure = Failure {
        sign,
        kind: Kind::Deployment,
        since: Duration::from_secs(62),
        memory_limit: (sign == Sign::Crash).then(|| "128Mi".into()),
        probe: None,
        to_delete: Vec::new(),
        container: "app".into(),
        image: "nginx:1.25".into(),
        reason: reason.into(),
        message: message.into(),
        exit_code: (sign == Sign::Crash).then_some(137),
        bad_pods: 1,
        new_pods: 2,
        old_serving: 3,
        log_tail: if sign == Sign::Crash {
            "starting\nfatal: \u{1b}[31mno config\n".into()
        } else {
            String::new()
        },
    };
    let changes = vec![change("nginx:1.24", "nginx:1.25")];
    What::Failed { changes, failure: Box::new(failure), took: Duration::from_millis(3210) }
}

/// The same for a pod of a StatefulSet, which somebody has to delete.
fn of_stateful_set(mut what: What) -> What {
    if let What::Failed { failure, .. } = &mut what {
        failure.kind = Kind::StatefulSet;
        failure.to_delete = vec!["web-2".into()];
    }
    what
}

fn cause(what: What) -> Option<Box<Failure>> {
    match what {
        What::Failed { failure, .. } => Some(failure),
        _ => None,
    }
}

fn troubled(what: What) -> What {
    let changes = vec![change("nginx:1.24", "nginx:1.25")];
    What::Troubled { changes, failure: cause(what).expect("a failure") }
}

fn rollback_failed(what: What) -> What {
    let changes = vec![change("nginx:1.25", "nginx:1.24")];
    What::RollbackFailed {
        changes,
        cause: cause(what),
        refused: None,
        took: Duration::from_secs(65),
    }
}

fn timed_out(sign: Sign, reason: &str, message: &str) -> What {
    let mut cause = cause(failure(sign, reason, message)).expect("a failure");
    cause.probe = Some("GET :8080/healthz".into());
    What::TimedOut {
        changes: vec![change("nginx:1.24", "nginx:1.25")],
        lateness: Lateness::NoProgress(Duration::from_secs(240)),
        cause: Some(cause),
        replicas: Replicas::default(),
        took: Duration::from_secs(240),
    }
}

fn everything() -> Vec<What> {
    let changes = vec![change("nginx:1.24", "nginx:1.25")];
    let several = vec![
        change("nginx:1.24", "nginx:1.25"),
        Change { container: "log".into(), ..change("a:1", "a:2") },
    ];
    let back = vec![change("nginx:1.25", "nginx:1.24")];
    let same = || vec![change("nginx:1.25", "nginx:1.25")];
    let took = Duration::from_secs(65);
    let problem = Problem { place: Some((2, 7)), text: "no tag: write nginx:latest".into() };
    let replicas = Replicas { wanted: 3, total: 4, updated: 1, ready: 3, available: 3 };
    let late = |lateness| What::TimedOut {
        changes: changes.clone(),
        lateness,
        cause: None,
        replicas,
        took,
    };
    vec![
        What::Started { changes: changes.clone() },
        What::Progressed { replicas },
        What::Succeeded { changes: several, took },
        What::Succeeded { changes: vec![change("nginx:1.25", "nginx:1.25")], took },
        failure(Sign::ImageUnusable, "InvalidImageName", "couldn't parse image name"),
        failure(Sign::ImageNotFound, "ErrImagePull", "docker.io/library/nginx:1.25: not found"),
        failure(Sign::ImagePull, "ImagePullBackOff", "authorization failed"),
        failure(Sign::ContainerCreate, "CreateContainerConfigError", "secret \"x\" not found"),
        failure(Sign::Crash, "OOMKilled", ""),
        late(Lateness::NoProgress(Duration::from_secs(240))),
        late(Lateness::ProgressDeadline("ReplicaSet \"web-5\" has timed out progressing.".into())),
        timed_out(Sign::ImagePull, "ErrImagePull", "dial tcp 192.0.2.1:443: i/o timeout"),
        timed_out(Sign::Unready, "Running", "Readiness probe failed: statuscode: 503"),
        timed_out(Sign::Unready, "ContainerCreating", "MountVolume.SetUp failed: no secret \"x\""),
        failure(Sign::PodCreate, "FailedCreate", "pods \"web-5\" is forbidden: exceeded quota: q"),
        failure(Sign::GivenUp, "SomethingNew", "it does not work"),
        failure(
            Sign::Unschedulable,
            "Unschedulable",
            "0/3 nodes are available: 3 Insufficient cpu.",
        ),
        of_stateful_set(failure(Sign::ImageNotFound, "ErrImagePull", "nginx:1.25: not found")),
        of_stateful_set(failure(Sign::Stuck, "ImagePullBackOff", "nginx:1.24: not found")),
        troubled(failure(Sign::Unschedulable, "Unschedulable", "0/3 nodes are available.")),
        troubled(of_stateful_set(failure(Sign::Stuck, "ImagePullBackOff", "not found"))),
        What::RollingBack { changes: changes.clone() },
        What::RolledBack { changes: back.clone(), took },
        What::RollbackFailed { changes: back.clone(), cause: None, refused: None, took },
        What::RollbackFailed {
            changes: back.clone(),
            cause: None,
            refused: Some("the API server does not accept it: policy says no".into()),
            took,
        },
        rollback_failed(of_stateful_set(failure(Sign::Stuck, "ImagePullBackOff", "not found"))),
        What::Rejected { changes: back },
        What::Recovered { changes: changes.clone(), took },
        What::Superseded { changes: changes.clone(), by: Successor::File },
        What::Superseded { changes: changes.clone(), by: Successor::SomebodyElse },
        What::Refused { changes: changes.clone(), message: "policy says no".into() },
        What::ImageMissing {
            changes: changes.clone(),
            message: "the repository shop in ECR has no image 2; the nearest tags are 1, 20".into(),
        },
        What::RegistryUnready("cannot get a token for ECR: no AWS credentials".into()),
        What::NamespaceCreated,
        What::WorkloadMissing,
        What::NamespaceGone,
        What::NamespaceInDoubt,
        What::NamespaceTerminating,
        What::WorkloadDeleted,
        What::WorkloadReplaced,
        What::Drift { changes: changes.clone(), corrected: false },
        What::Drift { changes: changes.clone(), corrected: true },
        What::Held(Hold::Paused, Kind::Deployment),
        What::Held(Hold::Annotation, Kind::StatefulSet),
        What::Held(Hold::OnDelete, Kind::DaemonSet),
        What::Lifted,
        What::Unfit(problem.clone()),
        What::BadFile(problem),
        What::NotPermitted("cannot patch deployments: the role lacks verb patch".into()),
        What::Unreachable("cannot patch deployments: connection refused".into()),
        What::ImageRewritten { changes },
        What::AlreadyRuns,
        What::Found { changes: same(), end: FoundEnd::Well, message: "".into() },
        What::Found {
            changes: same(),
            end: FoundEnd::Late,
            message: "ReplicaSet \"web-5\" has timed out progressing.".into(),
        },
        What::Found {
            changes: same(),
            end: FoundEnd::Failed,
            message: "ErrImagePull: not found".into(),
        },
        What::Unmanaged,
    ]
}

fn notice(what: What) -> Notice {
    Notice { key: fixture::key("web"), what }
}

#[test]
fn every_notice_says_what_happened_and_what_to_do() {
    let mut text = String::new();
    for what in everything() {
        let notice = notice(what);
        let words = words(&notice);
        text += &format!("{:?}  {}: {}.\n", notice.what.level(), words.title, words.sentence);
        words.advice.iter().for_each(|advice| text += &format!("    → {advice}\n"));
        words
            .log_tail
            .iter()
            .flat_map(|log| log.lines())
            .for_each(|l| text += &format!("    | {l}\n"));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn no_sentence_ends_with_a_full_stop_and_every_advice_does() {
    for what in everything() {
        let words = words(&notice(what));
        assert!(!words.sentence.ends_with('.'), "{words:?}");
        assert!(words.advice.is_none_or(|a| a.ends_with('.') || a.contains(": kubectl")), "advice");
    }
}

#[test]
fn text_that_steers_a_terminal_is_made_harmless() {
    assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\nd"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}d");
    assert_eq!(printable("größe → ok"), "größe → ok");
}

#[test]
fn durations_are_short() {
    for (ms, text) in [(7, "7 ms"), (7250, "7.2 s"), (59_999, "59.9 s"), (185_000, "3 min 05 s")] {
        assert_eq!(duration(Duration::from_millis(ms)), text);
    }
}
