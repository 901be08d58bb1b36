//! Deterministic simulation: the production control loop in a world that one seed decides.
//!
//! **What runs.** The code of production: the parsers of file names and contents, `source::settle`,
//! the register, the keyed queue with its shell, the caches, the gate, `worker::look` with `plan` and
//! `after`, what takes in events of folder and watches (`daemon::take_…`, `daemon::restore`), the
//! list-watch machine of `cluster::reflector`, the sorting of API errors into setbacks, the batches of the
//! store, and of the outbox the records, the inbox with its pages and the dispatch. None of it is copied: it takes its clock, its dice, its cluster and its journal from
//! outside, as it does in the daemon.
//!
//! **What stands in** for threads, sockets, files and time (`depd.rs`, `hands.rs`, `folder.rs`,
//! `cluster.rs`, `controller.rs`): one thread plays all of them. In each step the dice choose who moves
//! next: a writer of a file, the kernel, a worker, the timer, a watch, a controller, the store, the
//! receiver, or somebody else who works on the cluster (`operate.rs`). While a request travels, its
//! reply travels, or the disk writes, others move on, several workers deep. Time is a number that jumps.
//!
//! **What fails** (`world.rs`): requests before and after they were carried out (429, 503, 500, 409,
//! 401, lost connections, late arrivals of requests whose sender has given up or died), streams (cut,
//! silent, unreadable, 410 after compaction), lost events of the folder, the receiver, its
//! acknowledgements, the disk; and depd itself dies at any step, in the middle of anything that waits.
//! What was committed is there when it starts again, and nothing else.
//!
//! **What is checked** (`checks.rs`, apart from all of that): one key in one hand; a PATCH only with an
//! intent, with a difference, from complete content, for the uid that was seen, not while held, and
//! within the gate, judged by what the workload was at the version that was seen, whatever depd thinks it
//! saw; what is told only of what really happened (`truth.rs`), and by time only of what a watch shows
//! (`sight.rs`); each verdict once, an end for whatever began, and each message at least once, once only
//! if nothing was lost, and in order; and after the last fault everything comes to rest within a bound of
//! requests, the last content in force and its outcome told. `sabotage.rs` breaks the world on
//! purpose, and tests see each checker fire.
//!
//! A seed always takes the same course, on every machine. `scripts/simulate --seeds N` runs many, and
//! prints the seed of a failure; `scripts/simulate --seed S` shows what happened in it, line by line.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod checks;
mod cluster;
mod controller;
mod depd;
mod dice;
mod disk;
mod faults;
mod folder;
mod hands;
mod life;
mod operate;
mod post;
mod rest;
mod sabotage;
mod setup;
mod sight;
mod source;
mod streams;
mod truth;
mod watches;
mod world;

use std::collections::BTreeMap;
use std::env;

use rayon::prelude::*;
use sabotage::Sabotage;
use world::{Report, simulate};

/// So many without being asked for more.
const SEEDS: u64 = 400;

/// A number from the environment, as `scripts/simulate` sets it.
fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_seed_keeps_every_promise() {
    let first = number("DEPD_SIMULATE_FIRST").unwrap_or(0);
    let seeds = number("DEPD_SIMULATE_SEEDS").unwrap_or(SEEDS);
    if seeds == 1 {
        println!("{}", simulate(first, None, true).trace.join("\n"));
    }
    let run = |seed: u64| (seed, simulate(seed, None, false));
    let (broken, all) = (first..first + seeds)
        .into_par_iter()
        .map(run)
        .fold(no_result, add)
        .reduce(no_result, |(mut broken, one), (others, other)| {
            broken.extend(others);
            (broken, sum(one, &other))
        });
    println!(
        "{seeds} seeds from {first}: {} crashes, {} PATCHes, {} requests; told: {:?}",
        all.crashes, all.patches, all.requests, all.outcomes
    );
    if let Some((seed, report)) = broken.first() {
        for (seed, report) in broken.iter().take(20) {
            println!("seed {seed}: {}", report.finding.as_deref().unwrap_or_default());
        }
        let finding = report.finding.as_deref().unwrap_or_default();
        panic!(
            "{} of {seeds} seeds broke a promise. seed {seed}: {finding}\n\
             scripts/simulate --seed {seed} shows what happened",
            broken.len()
        );
    }
}

type Result = (Vec<(u64, Report)>, Report);

fn no_result() -> Result {
    (Vec::new(), Report::default())
}

fn add((mut broken, all): Result, (seed, report): (u64, Report)) -> Result {
    let all = sum(all, &report);
    if report.finding.is_some() {
        broken.push((seed, report));
    }
    (broken, all)
}

fn sum(mut one: Report, other: &Report) -> Report {
    one.crashes += other.crashes;
    one.patches += other.patches;
    one.requests += other.requests;
    let outcomes: &mut BTreeMap<_, u32> = &mut one.outcomes;
    other.outcomes.iter().for_each(|(name, count)| *outcomes.entry(name).or_default() += count);
    one
}

#[test]
fn a_seed_takes_the_same_course_every_time() {
    for seed in 0..25 {
        assert_eq!(simulate(seed, None, true), simulate(seed, None, true), "seed {seed}");
    }
    assert_ne!(simulate(1, None, true).trace, simulate(2, None, true).trace);
}

#[test]
fn the_world_is_as_rough_as_it_is_meant_to_be() {
    let all = (0..SEEDS)
        .map(|seed| simulate(seed, None, false))
        .fold(Report::default(), |all, one| sum(all, &one));
    let outcomes = [
        "started",
        "succeeded",
        "failed",
        "timed out",
        "superseded",
        "refused",
        "workload gone",
        "drift",
        "held",
        "not permitted",
        "bad file",
        "rolled back",
    ];
    for outcome in outcomes {
        assert!(all.outcomes.contains_key(outcome), "no {outcome} in {:?}", all.outcomes);
    }
    assert!(all.crashes > 100, "{} crashes", all.crashes);
}

/// Some seed of the first few hundred shows what is broken, and it is called by its name.
#[track_caller]
fn check_fires(sabotage: Sabotage, expect: &str) {
    let findings = (0..400).filter_map(|seed| simulate(seed, Some(sabotage), false).finding);
    let mut others = Vec::new();
    for finding in findings {
        if finding.starts_with(expect) {
            return;
        }
        others.push(finding);
    }
    panic!("{sabotage:?} did not make {expect:?} fire, but {others:?}");
}

#[test]
fn each_checker_fires_when_its_promise_is_broken() {
    check_fires(Sabotage::NoUidGuard, "wrong uid: ");
    check_fires(Sabotage::NoImageGuard, "not converged: ");
    check_fires(Sabotage::TwoHands, "two hands: ");
    check_fires(Sabotage::TornLook, "torn content: ");
    check_fires(Sabotage::LostMessage, "lost message: ");
    check_fires(Sabotage::RepeatedMessage, "repeated message: ");
    check_fires(Sabotage::Disorder, "out of order: ");
    check_fires(Sabotage::RepeatedVerdict, "told twice: ");
    check_fires(Sabotage::UnsaidLoss, "unseen: ");
    check_fires(Sabotage::LostEvent, "not converged: ");
    check_fires(Sabotage::EndlessRetry, "no rest: ");
    check_fires(Sabotage::ForgottenIntent, "outcome: ");
    check_fires(Sabotage::UnsaidIntent, "no intent: ");
    check_fires(Sabotage::UnsaidEnd, "no end: ");
}

#[test]
fn each_checker_of_the_gate_fires_when_its_promise_is_broken() {
    check_fires(Sabotage::WideGate, "over the bound: ");
    check_fires(Sabotage::EarlyGate, "too early: ");
    check_fires(Sabotage::NoHalt, "halt: ");
    check_fires(Sabotage::ForgottenHalt, "after a halt: ");
}

#[test]
fn each_checker_of_a_patch_fires_when_what_is_shown_is_false() {
    check_fires(Sabotage::PhantomEdit, "needless PATCH: ");
    check_fires(Sabotage::HiddenEdit, "blind PATCH: ");
    check_fires(Sabotage::HiddenHold, "held: ");
    check_fires(Sabotage::FalseGood, "bad way back: ");
    check_fires(Sabotage::HiddenRescue, "way back over others: ");
}

#[test]
fn each_checker_of_what_is_told_fires_when_what_is_shown_is_false() {
    check_fires(Sabotage::FalseStatus, "false success: ");
    check_fires(Sabotage::PhantomTrouble, "false failure: ");
    check_fires(Sabotage::PhantomRefusal, "false refusal: ");
    check_fires(Sabotage::PhantomDeletion, "false deletion: ");
    check_fires(Sabotage::FalseReturn, "false rollback: ");
    check_fires(Sabotage::PhantomEdit, "false succession: ");
    check_fires(Sabotage::PhantomEdit, "false drift: ");
    check_fires(Sabotage::PhantomHold, "false hold: ");
}
