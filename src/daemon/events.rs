//! Records → Kubernetes Events, by the API server itself. `[E]`

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::cluster::{ApiError, Class, Client};
use crate::report::events::event;
use crate::report::record::Record;
use crate::report::transport::{Answer, Transport};

/// Credentials that are not accepted are tried again after this: a person has to renew them.
const SLOW_RETRY: Duration = Duration::from_secs(60);
/// So often in a row a namespace may refuse an Event before it is believed: an API server that has just
/// started does not know its roles yet, for a second or some. With the back-off between them these are
/// four to eight seconds, in which the Events of other namespaces wait.
const DOUBTS: u32 = 6;

/// Makes Events, once there is a client.
pub struct EventSink {
    client: Arc<OnceLock<Client>>,
    instance: String,
    refusals: Refusals,
}

impl EventSink {
    /// Events by this client, reported by `instance` (`reportingInstance`).
    #[must_use]
    pub fn new(client: Arc<OnceLock<Client>>, instance: String) -> EventSink {
        EventSink { client, instance, refusals: Refusals::default() }
    }
}

impl Transport for EventSink {
    fn send(&mut self, records: &[Record]) -> Answer {
        let Some(client) = self.client.get() else {
            return Answer::Later { why: "the cluster is not known yet".to_owned(), wait: None };
        };
        for record in records {
            // What is about no workload has none to be an Event of.
            let Some(event) = event(record, &self.instance) else { continue };
            let created = client.create_event(&event.namespace, &event.body).map(drop);
            match self.refusals.answer(&event.namespace, created) {
                Answer::Taken => {}
                other => return other,
            }
        }
        Answer::Taken
    }

    fn place(&self) -> String {
        "the API server".to_owned()
    }
}

/// The namespaces in which the right to create Events is missing, by refusals in a row.
///
/// A role that lacks it in one namespace, or that went with its namespace, says nothing about the others,
/// which must not wait for it.
#[derive(Debug, Default)]
struct Refusals(HashMap<String, u32>);

impl Refusals {
    /// What became of an Event in this namespace.
    fn answer(&mut self, namespace: &str, created: Result<(), ApiError>) -> Answer {
        let error = match created {
            Ok(()) => {
                self.0.remove(namespace);
                return Answer::Taken;
            }
            Err(error) => error,
        };
        let why = error.to_string();
        match &error.class {
            Class::Forbidden(_) => {
                let times = self.0.entry(namespace.to_owned()).or_default();
                *times = times.saturating_add(1);
                match *times {
                    ..DOUBTS => Answer::Later { why, wait: None },
                    times => Answer::Never { why, again: times > DOUBTS },
                }
            }
            // The namespace is gone, and with it whoever would have read it.
            Class::NotFound | Class::NamespaceTerminating => Answer::Taken,
            Class::Unauthorized | Class::Credentials { .. } => {
                Answer::Later { why, wait: Some(SLOW_RETRY) }
            }
            Class::Denied { .. } | Class::Invalid { .. } => Answer::Never { why, again: false },
            _ => Answer::Later { why, wait: error.retry_after() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Call, Permission, Resource, Verb};
    use crate::queue::backoff;

    fn failed(class: Class) -> Result<(), ApiError> {
        let (namespace, name) = (Some("b".into()), None);
        let call = Call { verb: Verb::Create, resource: Resource::OwnEvents, namespace, name };
        Err(ApiError { call: Box::new(call), class })
    }

    fn refused() -> Result<(), ApiError> {
        let (verb, resource) = ("create".into(), "events.k8s.io/events".into());
        failed(Class::Forbidden(Permission { verb, resource, user: "depd".into() }))
    }

    #[test]
    fn an_api_server_has_some_seconds_to_read_its_roles() {
        let shortest: Duration = (1..DOUBTS).map(|times| backoff::delay(times, 0)).sum();
        assert!(shortest >= Duration::from_millis(3_500), "{shortest:?}");
    }

    #[test]
    fn fault_24_a_namespace_without_the_right_is_doubted_at_first_and_then_named_once() {
        let mut refusals = Refusals::default();
        for _ in 1..DOUBTS {
            let answer = refusals.answer("b", refused());
            assert!(matches!(answer, Answer::Later { wait: None, .. }), "{answer:?}");
        }
        let Answer::Never { why, again: false } = refusals.answer("b", refused()) else {
            panic!("it is set aside")
        };
        assert!(why.contains("lacks verb create on events.k8s.io/events"), "{why}");
        let others = refusals.answer("b", refused());
        assert!(matches!(others, Answer::Never { again: true, .. }), "{others:?}");
        // What passes says nothing about the right, and the right is news when it is there.
        let down = failed(Class::Unavailable { message: String::new(), retry_after: None });
        assert!(matches!(refusals.answer("b", down), Answer::Later { .. }));
        assert!(matches!(refusals.answer("b", refused()), Answer::Never { again: true, .. }));
        assert_eq!(refusals.answer("b", Ok(())), Answer::Taken);
        assert!(matches!(refusals.answer("b", refused()), Answer::Later { .. }));
        assert!(matches!(refusals.answer("a", refused()), Answer::Later { .. }), "it is its own");
    }
}
