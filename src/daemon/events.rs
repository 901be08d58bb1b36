//! Records → Kubernetes Events, by the API server itself. `[E]`

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::cluster::{ApiError, Class, Client};
use crate::report::events::event;
use crate::report::record::Record;
use crate::report::transport::{Answer, Transport};

/// A missing right is asked for again after this: a person has to grant it.
const SLOW_RETRY: Duration = Duration::from_secs(60);

/// Makes Events, once there is a client.
pub struct EventSink {
    /// The cluster.
    pub client: Arc<OnceLock<Client>>,
    /// Who reports, in `reportingInstance`.
    pub instance: String,
}

impl Transport for EventSink {
    fn send(&mut self, records: &[Record]) -> Answer {
        let Some(client) = self.client.get() else {
            return Answer::Later { why: "the cluster is not known yet".to_owned(), wait: None };
        };
        for record in records {
            // What is about no workload has none to be an Event of.
            let Some(event) = event(record, &self.instance) else { continue };
            match client.create_event(&event.namespace, &event.body) {
                Ok(_) => {}
                Err(error) => match judge(&error) {
                    Answer::Taken => {}
                    other => return other,
                },
            }
        }
        Answer::Taken
    }

    fn place(&self) -> String {
        "the API server".to_owned()
    }
}

fn judge(error: &ApiError) -> Answer {
    let why = error.to_string();
    match &error.class {
        // The namespace is gone, and with it whoever would have read it.
        Class::NotFound | Class::NamespaceTerminating => Answer::Taken,
        Class::Forbidden(_) | Class::Unauthorized | Class::Credentials { .. } => {
            Answer::Later { why, wait: Some(SLOW_RETRY) }
        }
        Class::Denied { .. } | Class::Invalid { .. } => Answer::Never { why },
        _ => Answer::Later { why, wait: error.retry_after() },
    }
}
