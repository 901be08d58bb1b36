//! The first part of a stream that begins with everything there is (WatchList). `[C]`
//!
//! Every object comes as ADDED; a bookmark with the annotation `k8s.io/initial-events-end` says that
//! this was all of it, and as of which version. What changes while the server is still sending comes
//! in between. Facts: "Streaming lists" in the Kubernetes API concepts, and kube-apiserver 1.37.
//!
//! A server that does not know the parameters refuses them (422), or passes over them. In the latter
//! case its first bookmark lacks the annotation, and what was collected must not be taken for
//! everything: who takes a part for the whole would believe the rest deleted.

use super::call::Call;
use super::error::ApiError;
use super::reflector::End;
use super::response::{Event, Object, TOTAL_MAX};

/// Everything, as far as it came.
pub(super) struct Initial<T> {
    items: Vec<T>,
    same: fn(&T, &T) -> bool,
}

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to come.
    More,
    /// That was all, as of this version.
    Complete(Box<str>),
}

impl<T> Initial<T> {
    /// `same` tells whether two of them are states of one object.
    pub(super) fn new(same: fn(&T, &T) -> bool) -> Initial<T> {
        Initial { items: Vec::new(), same }
    }

    /// Takes in one event.
    ///
    /// # Errors
    /// The stream is of no use as a list.
    pub(super) fn take<O: Object<Item = T>>(
        &mut self,
        of: O::Of,
        call: &Call,
        event: Event<O>,
    ) -> Result<Progress, End> {
        match event {
            Event::Added(object) => self.items.extend(versioned(object)?.into_item(of)),
            Event::Modified(object) => {
                if let Some(item) = versioned(object)?.into_item(of) {
                    self.remove(&item);
                    self.items.push(item);
                }
            }
            Event::Deleted(object) => {
                if let Some(item) = versioned(object)?.into_item(of) {
                    self.remove(&item);
                }
            }
            Event::Bookmark(marker) => {
                let meta = marker.metadata;
                let ends = meta.annotations.is_some_and(|a| a.initial_events_end.is_some());
                return match (ends, meta.resource_version.is_empty()) {
                    (true, false) => Ok(Progress::Complete(meta.resource_version)),
                    (true, true) => Err(nameless()),
                    (false, _) => Err(End::Ignored),
                };
            }
            Event::Error(status) => return Err(End::Refused(ApiError::from_status(call, &status))),
        }
        match self.items.len() > TOTAL_MAX {
            true => Err(End::Unreadable(format!("the list has more than {TOTAL_MAX} items"))),
            false => Ok(Progress::More),
        }
    }

    /// All of it.
    pub(super) fn into_items(mut self) -> Vec<T> {
        self.items.shrink_to_fit();
        self.items
    }

    /// Looks at every item; it happens only for what changes during the moment of the list.
    fn remove(&mut self, gone: &T) {
        self.items.retain(|item| !(self.same)(item, gone));
    }
}

/// Every object of an API server has a version; what has none was made up by something else.
fn versioned<O: Object>(object: O) -> Result<O, End> {
    match (object.resource_version().is_empty(), object.is_whole()) {
        (true, _) => Err(nameless()),
        (false, false) => Err(End::Unreadable("an object has no name or no uid".into())),
        (false, true) => Ok(object),
    }
}

fn nameless() -> End {
    End::Unreadable("an event has no resource version".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::call::{Resource, Verb};
    use super::super::response::PodObject;
    use super::*;
    use crate::model::Pod;

    /// Kind of event, name, resource version.
    type Line = (&'static str, &'static str, &'static str);

    /// The names with versions in the end, or how the stream was given up.
    #[track_caller]
    fn check(lines: &[Line], expect: Result<(&str, &[&str]), &str>) {
        let call = Call { verb: Verb::List, resource: Resource::Pods, namespace: None, name: None };
        let mut initial = Initial::new(|a: &Pod, b| a.name == b.name);
        let mut outcome = Ok(Progress::More);
        for (kind, name, version) in lines {
            assert_eq!(outcome, Ok(Progress::More), "more lines than needed");
            let mut object = json!({"metadata": {"name": name, "uid": name,
                "resourceVersion": version}});
            let kind = match *kind {
                "END" => {
                    let annotations = json!({"k8s.io/initial-events-end": "true"});
                    object["metadata"]["annotations"] = annotations;
                    "BOOKMARK"
                }
                "ERROR" => {
                    object = json!({"kind": "Status", "code": 429, "message": "slow down"});
                    "ERROR"
                }
                kind => kind,
            };
            let event: Event<PodObject> =
                serde_json::from_value(json!({"type": kind, "object": object})).unwrap();
            outcome = initial.take((), &call, event);
        }
        let outcome = match outcome {
            Ok(Progress::Complete(version)) => Ok(version),
            Ok(Progress::More) => Err("more".to_owned()),
            Err(End::Refused(e)) => Err(e.to_string()),
            Err(end) => Err(format!("{end:?}")),
        };
        let items = initial.into_items();
        let names: Vec<&str> = items.iter().map(|pod| &*pod.name).collect();
        match (outcome, expect) {
            (Ok(version), Ok(expect)) => assert_eq!((&*version, &names[..]), expect),
            (Err(why), Err(expect)) => assert!(why.contains(expect), "{why}"),
            (outcome, expect) => panic!("{outcome:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn a_list_is_complete_at_its_end_bookmark_and_not_before() {
        check(&[("END", "", "7")], Ok(("7", &[])));
        check(
            &[("ADDED", "a", "3"), ("ADDED", "b", "9"), ("END", "", "9")],
            Ok(("9", &["a", "b"])),
        );
        check(&[("ADDED", "a", "3")], Err("more"));
        check(&[], Err("more"));
    }

    #[test]
    fn what_changes_meanwhile_is_listed_as_it_is_at_the_end() {
        check(
            &[
                ("ADDED", "a", "3"),
                ("ADDED", "b", "4"),
                ("MODIFIED", "a", "10"),
                ("DELETED", "b", "11"),
                ("ADDED", "c", "12"),
                ("ADDED", "b", "13"),
                ("END", "", "13"),
            ],
            Ok(("13", &["a", "c", "b"])),
        );
    }

    #[test]
    fn a_bookmark_of_another_kind_shows_that_the_parameters_were_passed_over() {
        check(&[("ADDED", "a", "3"), ("BOOKMARK", "", "9")], Err("Ignored"));
        check(&[("BOOKMARK", "", "9")], Err("Ignored"));
    }

    #[test]
    fn an_error_or_an_object_without_version_ends_it() {
        check(&[("ADDED", "a", "3"), ("ERROR", "", "")], Err("overload"));
        check(&[("ADDED", "a", "")], Err("no resource version"));
        check(&[("DELETED", "a", "")], Err("no resource version"));
        check(&[("END", "", "")], Err("no resource version"));
        check(&[("ADDED", "", "3")], Err("no name or no uid"));
    }
}
