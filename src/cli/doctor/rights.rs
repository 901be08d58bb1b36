//! Every right that depd needs, asked for one by one (SelfSubjectAccessReview), and what does not work
//! without those that are missing.
//!
//! First for the whole cluster; what is not granted there is asked for in each namespace that a file
//! names, since Roles in these are enough.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::findings::{Finding, Verdict};
use super::{Notes, Patient};
use crate::cluster::rights::{NAMESPACES, OWN_EVENTS, PULL_SECRETS, RULES, Rule};
use crate::cluster::{Client, Question};
use crate::daemon::in_parallel;
use crate::model::printable;

/// Questions at the same time.
const WORKERS: usize = 16;
/// Namespaces that are asked about one by one.
const NAMESPACES_MOST: usize = 100;
/// Namespaces that are named in a line.
const NAMED: usize = 3;

/// One right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    group: &'static str,
    resource: &'static str,
    verb: &'static str,
    name: Option<&'static str>,
}

/// A right that is missing, and where; `None` is the cluster as a whole.
type Missing<'a> = (Right, Option<&'a str>);

/// Asks, and tells.
pub fn look(patient: &Patient, client: &Client, notes: &Notes) {
    let namespaces: Vec<String> = patient.namespaces().into_iter().take(NAMESPACES_MOST).collect();
    let rights = wanted(patient);
    match find(client, &rights, &namespaces) {
        Err(error) => {
            let remedy = "do the credentials still stand for somebody?";
            notes.add(Finding::fail("rights", printable(&error), remedy));
        }
        Ok(missing) => tell(&rights, &missing, &namespaces).into_iter().for_each(|f| notes.add(f)),
    }
}

/// Those that these settings need.
fn wanted(patient: &Patient) -> Vec<Right> {
    let run = &patient.run;
    let pull_secrets = PULL_SECRETS.iter().filter(|_| run.ecr_pull_secret);
    let events = [OWN_EVENTS].into_iter().filter(|_| run.receivers.has_events());
    let rules: Vec<Rule> =
        RULES.iter().chain(&[NAMESPACES]).chain(pull_secrets).copied().chain(events).collect();
    let each = |rule: &Rule| {
        let Rule { group, name, .. } = *rule;
        let pairs = rule.resources.iter().flat_map(|r| rule.verbs.iter().map(|v| (*r, *v)));
        pairs.map(move |(resource, verb)| Right { group, resource, verb, name }).collect::<Vec<_>>()
    };
    let creates_none = |right: &Right| (right.resource, right.verb) == ("namespaces", "create");
    let mut rights: Vec<Right> = rules.iter().flat_map(each).collect();
    rights.retain(|right| !(run.no_create_namespaces && creates_none(right)));
    rights
}

/// What is granted neither everywhere nor where it is needed.
fn find<'a>(
    client: &Client,
    rights: &[Right],
    namespaces: &'a [String],
) -> Result<Vec<Missing<'a>>, String> {
    let everywhere: Vec<Missing<'_>> = rights.iter().map(|right| (*right, None)).collect();
    let denied = ask(client, &everywhere)?;
    let (whole, each): (Vec<Missing<'_>>, Vec<Missing<'_>>) =
        denied.into_iter().partition(|(right, _)| {
            namespaces.is_empty() || (right.resource, right.verb) == ("namespaces", "create")
        });
    let places = |(right, _): &Missing<'_>| {
        let right = *right;
        namespaces.iter().map(move |namespace| (right, Some(namespace.as_str())))
    };
    let each: Vec<Missing<'a>> = each.iter().flat_map(places).collect();
    let mut missing: Vec<Missing<'a>> = whole.into_iter().map(|(right, _)| (right, None)).collect();
    missing.extend(ask(client, &each)?);
    Ok(missing)
}

/// Those of the questions that are answered with no, in their order.
fn ask<'a>(client: &Client, questions: &[Missing<'a>]) -> Result<Vec<Missing<'a>>, String> {
    let has_failed = AtomicBool::new(false);
    let answers = in_parallel(WORKERS, questions, |(right, namespace)| {
        if has_failed.load(Ordering::Relaxed) {
            return None;
        }
        // A namespace is an object of itself.
        let own = namespace.filter(|_| right.resource == "namespaces");
        let Right { group, resource, verb, .. } = *right;
        let name = right.name.or(own);
        let answer = client.may(&Question { group, resource, verb, name, namespace: *namespace });
        has_failed.fetch_or(answer.is_err(), Ordering::Relaxed);
        Some(answer)
    });
    let answers = answers.map_err(|error| format!("cannot start a thread ({error})"))?;
    let mut denied = Vec::new();
    for (question, answer) in questions.iter().zip(answers) {
        if let Some(false) = answer.transpose().map_err(|error| error.to_string())? {
            denied.push(*question);
        }
    }
    Ok(denied)
}

/// A line for each resource whose verbs are missing in the same namespaces.
fn tell(rights: &[Right], missing: &[Missing<'_>], namespaces: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut told: Vec<(&str, &str)> = Vec::new();
    for (right, _) in missing {
        let resource = (right.group, right.resource);
        if told.contains(&resource) {
            continue;
        }
        told.push(resource);
        let own = missing.iter().filter(|(r, _)| (r.group, r.resource) == resource);
        for (verbs, places) in by_verbs(own) {
            findings.push(line(right, &verbs, &places));
        }
    }
    if findings.is_empty() {
        let count = rights.len();
        findings.push(Finding::ok(
            "rights",
            match namespaces.len() {
                0 => format!("all {count} that depd needs, in the whole cluster"),
                1 => format!("all {count} that depd needs, in the namespace of the files"),
                n => format!("all {count} that depd needs, in the {n} namespaces of the files"),
            },
        ));
    }
    findings
}

/// Places that lack the same verbs, together.
fn by_verbs<'a>(
    missing: impl Iterator<Item = &'a Missing<'a>>,
) -> BTreeMap<Vec<&'static str>, Vec<Option<&'a str>>> {
    let mut by_place: BTreeMap<Option<&str>, Vec<&'static str>> = BTreeMap::new();
    for (right, place) in missing {
        by_place.entry(*place).or_default().push(right.verb);
    }
    let mut by_verbs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (place, verbs) in by_place {
        by_verbs.entry(verbs).or_default().push(place);
    }
    by_verbs
}

fn line(right: &Right, verbs: &[&str], places: &[Option<&str>]) -> Finding {
    let resource = match right.group {
        "" => right.resource.to_owned(),
        group => format!("{group}/{}", right.resource),
    };
    let names: Vec<&str> = places.iter().flatten().copied().collect();
    let place = match names.len() {
        0 => String::new(),
        n if n > NAMED => format!(" in {} and {} more", names[..NAMED].join(", "), n - NAMED),
        _ => format!(" in {}", names.join(", ")),
    };
    let (verdict, without) = consequence(right.resource, verbs);
    let text = format!("{} on {resource} is not granted{place}; {without}", verbs.join(", "));
    let flag = match right {
        Right { resource: "secrets" | "serviceaccounts", .. } => " --ecr-pull-secret",
        Right { group, .. } if *group == OWN_EVENTS.group => " --events",
        _ => "",
    };
    let mut remedy = format!("depd rbac{flag} | kubectl apply -f -");
    if !names.is_empty() {
        let flags = names.iter().take(NAMED).map(|name| format!(" --namespace {name}"));
        remedy.push_str(&format!(", or depd rbac{flag}{} | …", flags.collect::<String>()));
    }
    Finding::new("rights", verdict, text, remedy)
}

/// What does not work without these verbs.
fn consequence(resource: &str, verbs: &[&str]) -> (Verdict, &'static str) {
    let lacks = |verb: &str| verbs.contains(&verb);
    match resource {
        "statefulsets" | "daemonsets" if lacks("list") || lacks("watch") => {
            (Verdict::Warn, "depd goes on as if there were none")
        }
        "deployments" if lacks("list") || lacks("watch") => (Verdict::Fail, "nothing is deployed"),
        "deployments" | "statefulsets" | "daemonsets" if lacks("patch") => {
            (Verdict::Fail, "no image can be changed")
        }
        "deployments" | "statefulsets" | "daemonsets" => {
            (Verdict::Fail, "a change that somebody else's came before is not tried again")
        }
        "replicasets" => {
            (Verdict::Fail, "why a Deployment's pods fail is not found out before the time limit")
        }
        "pods" => (Verdict::Fail, "a rollout that fails is noticed at its time limit only"),
        "pods/log" => (Verdict::Warn, "messages come without the end of the log"),
        "events" if lacks("list") => {
            (Verdict::Warn, "reasons that only Events tell are left out (quota, probes)")
        }
        "events" => (Verdict::Fail, "no Events are written"),
        "namespaces" if lacks("get") => {
            (Verdict::Warn, "whether a missing namespace exists cannot be told")
        }
        "namespaces" => (Verdict::Warn, "a missing namespace is not created"),
        _ => (Verdict::Fail, "no pull secret can be kept"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(resource: &'static str, verb: &'static str) -> Right {
        let groups = [("deployments", "apps"), ("statefulsets", "apps"), ("replicasets", "apps")];
        let group = groups.iter().find(|(own, _)| *own == resource).map_or("", |(_, group)| group);
        Right { group, resource, verb, name: None }
    }

    #[test]
    fn what_is_missing_is_named_with_what_stops_and_the_way_out() {
        let namespaces: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let everywhere = |right: Right| ["a", "b", "c", "d"].map(|name| (right, Some(name)));
        let mut missing: Vec<Missing<'_>> = Vec::new();
        missing.extend(everywhere(right("deployments", "patch")));
        missing.push((right("deployments", "list"), Some("b")));
        missing.extend(everywhere(right("statefulsets", "list")));
        missing.extend(everywhere(right("statefulsets", "watch")));
        missing.push((right("pods", "watch"), Some("a")));
        missing.push((right("pods/log", "get"), Some("a")));
        missing.push((right("events", "list"), Some("a")));
        missing.push((right("namespaces", "create"), None));
        let lines = tell(&[], &missing, &namespaces);
        insta::assert_json_snapshot!("missing", lines);
    }

    #[test]
    fn every_right_has_its_consequence() {
        let rules = RULES.iter().chain(&[NAMESPACES, OWN_EVENTS]).chain(PULL_SECRETS);
        for (resource, verb) in rules.flat_map(|r| {
            r.resources.iter().flat_map(|one| r.verbs.iter().map(move |v| (*one, *v)))
        }) {
            let (_, without) = consequence(resource, &[verb]);
            let is_of_secrets = matches!(resource, "secrets" | "serviceaccounts");
            assert_eq!(without == "no pull secret can be kept", is_of_secrets, "{resource} {verb}");
        }
    }

    #[test]
    fn nothing_missing_is_one_line() {
        let lines = tell(&[right("pods", "list")], &[], &["qa".to_owned()]);
        let text = "all 1 that depd needs, in the namespace of the files";
        assert_eq!(lines, [Finding::ok("rights", text)]);
    }
}
