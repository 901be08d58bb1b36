//! A depd that dies between two steps, at each point where that leaves something half done.

use depd::failpoint::Failpoint;

use crate::cluster::Cluster;
use crate::depd::Depd;
use crate::wait::wait_for;

/// Dies at `failpoint` while `image` is rolled out, starts again, and goes on to the end: one PATCH,
/// and every outcome told, at most `most` times.
fn check(failpoint: Failpoint, (image, outcome): (&str, &str), most: usize) {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no failpoints");
        return;
    }
    let cluster = Cluster::start();
    let namespace = cluster.namespace();
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    // The file is there first, so that the point is met however early it comes.
    depd.save("web", &namespace, image);
    depd.launch_to_die_at(failpoint);
    let status = depd.wait();
    assert!(!status.success(), "it died at {}: {status}", failpoint.name());
    depd.launch(&[]);
    depd.slack.wait_for(&format!("{outcome}: web"));
    // A file that comes later is told later, by the same queue.
    depd.look_at_everything(&namespace);
    let titles = depd.slack.titles();
    let told = titles.iter().filter(|title| title.starts_with(outcome)).count();
    assert!((1..=most).contains(&told), "{titles:?}");
    assert_eq!(titles.len(), told + 1, "and nothing else: {titles:?}");
    assert_eq!(cluster.image(&namespace, "web"), image);
    assert_eq!(cluster.changes_by_depd(&namespace), ["patch deployments/web"]);
}

const WORKS: (&str, &str) = ("nginx:1.25", "Deployed");
const FAILS: (&str, &str) = ("nginx:missing", "Failed");

#[test]
fn a_crash_before_the_intent_is_kept_loses_nothing() {
    check(Failpoint::BeforeIntent, WORKS, 1);
}

#[test]
fn a_crash_between_intent_and_patch_loses_nothing() {
    check(Failpoint::BeforePatch, WORKS, 1);
}

#[test]
fn a_crash_after_the_patch_rolls_out_once_and_tells_it() {
    check(Failpoint::AfterPatch, WORKS, 1);
    check(Failpoint::AfterPatch, FAILS, 1);
}

#[test]
fn a_crash_before_the_verdict_is_kept_finds_it_again() {
    check(Failpoint::BeforeVerdict, WORKS, 1);
    check(Failpoint::BeforeVerdict, FAILS, 1);
}

#[test]
fn a_crash_before_the_message_leaves_is_told_by_the_next() {
    check(Failpoint::BeforeMessage, WORKS, 1);
}

#[test]
fn a_crash_before_the_acknowledgement_is_kept_repeats_the_message_at_worst() {
    check(Failpoint::AfterMessage, WORKS, 2);
}

/// A depd that died there when it was about to create a namespace, and that namespace.
fn dead_at_a_namespace(cluster: &Cluster, failpoint: Failpoint) -> Option<(Depd, String)> {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no failpoints");
        return None;
    }
    let namespace = cluster.unused_namespace();
    let mut depd = Depd::prepare(&cluster.kubeconfig);
    depd.save("web", &namespace, "nginx:1.25");
    depd.launch_to_die_at(failpoint);
    let status = depd.wait();
    assert!(!status.success(), "it died: {status}");
    let is_created = failpoint == Failpoint::AfterNamespace;
    assert_eq!(cluster.namespace_exists(&namespace), is_created);
    Some((depd, namespace))
}

#[test]
fn a_crash_before_a_namespace_was_created_calls_it_missing_and_not_deleted() {
    let cluster = Cluster::start();
    let dead = dead_at_a_namespace(&cluster, Failpoint::BeforePatch);
    let Some((mut depd, namespace)) = dead else { return };
    depd.launch(&[]);
    let message = depd.slack.wait_for("Namespace missing: web");
    assert!(message.text.contains("the request did not get through, or somebody"), "{message:?}");
    assert!(!cluster.namespace_exists(&namespace));
    // What it says helps.
    cluster.create_namespace(&namespace);
    cluster.deployment(&namespace, "web", "nginx:1.24", 1);
    depd.slack.wait_for("Deployed: web");
}

#[test]
fn a_crash_after_a_namespace_was_created_tells_it() {
    let cluster = Cluster::start();
    let dead = dead_at_a_namespace(&cluster, Failpoint::AfterNamespace);
    let Some((mut depd, namespace)) = dead else { return };
    depd.launch(&[]);
    depd.slack.wait_for("Namespace created: web");
    assert_eq!(depd.slack.titles().len(), 1, "{:?}", depd.slack.titles());
    assert!(cluster.namespace_exists(&namespace));
}

#[test]
fn fault_45_a_namespace_that_a_person_deleted_after_a_crash_is_not_made_again() {
    let cluster = Cluster::start();
    let dead = dead_at_a_namespace(&cluster, Failpoint::AfterNamespace);
    let Some((mut depd, namespace)) = dead else { return };
    cluster.delete_namespace(&namespace);
    wait_for("the namespace to be gone", || (!cluster.namespace_exists(&namespace)).then_some(()));
    depd.launch(&[]);
    depd.slack.wait_for("Namespace missing: web");
    assert!(!cluster.namespace_exists(&namespace));
}
