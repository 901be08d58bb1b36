//! Notices and states → the log, the store, and the messages on their way. `[E]`
//!
//! A message is handed to its receiver only after the transaction that holds it, and the state that
//! it tells of, is committed: a crash loses neither, and at worst repeats a message.

use std::sync::Arc;

use log::error;

use super::logging::{log_alert, log_notice};
use crate::failpoint::Failpoint;
use crate::model::{Alert, ImageSet, Notice, What};
use crate::report::alarm::alarm;
use crate::report::delivery::{Delivery, Parcel};
use crate::report::slack;
use crate::report::words::{Words, images, words};
use crate::store::{HistoryChange, Message, Saved, ServiceChange, Store};
use crate::worker::{Entry, Journal, Kept};

/// The name of the one receiver there is, in the store.
pub const SLACK: &str = "slack";

/// The journal of a running daemon.
pub struct Ledger {
    /// `None`: nothing survives a restart.
    pub store: Option<Arc<Store>>,
    /// `None`: nobody is told but the log.
    pub delivery: Option<Arc<Delivery>>,
}

impl Journal for Ledger {
    fn enter(&self, entry: Entry<'_>) {
        let mut messages = Vec::new();
        let mut history = Vec::new();
        for notice in &entry.notices {
            let words = words(notice);
            log_notice(notice, &words);
            history.extend(history_of(notice, &words, &entry));
            if self.delivery.is_some() {
                messages.extend(slack::payload(notice, &words).map(|payload| payload.to_string()));
            }
        }
        let Some(store) = &self.store else {
            return messages.into_iter().for_each(|payload| self.send(payload));
        };
        let mut history = history.into_iter();
        let message = |payload| Message { receiver: SLACK.to_owned(), payload };
        let step = Saved {
            key: entry.key.clone(),
            service: entry.service.as_ref().and_then(change),
            history: history.next(),
            messages: messages.into_iter().map(message).collect(),
        };
        if entry.before_action {
            Failpoint::BeforeIntent.pass();
            store.save_and_wait(step);
            Failpoint::BeforePatch.pass();
        } else {
            if matches!(step.history, Some(HistoryChange::Ended { .. })) {
                Failpoint::BeforeVerdict.pass();
            }
            store.save(step);
        }
        // A rollout that is over as soon as it is found has both its ends in one look.
        for change in history {
            store.save(Saved { history: Some(change), ..Saved::of(entry.key.clone()) });
        }
    }

    fn alert(&self, alert: &Alert) {
        let words = alarm(alert);
        log_alert(&words);
        self.send(slack::alert_payload(&words).to_string());
    }
}

impl Ledger {
    /// A message that no store keeps.
    fn send(&self, payload: String) {
        if let Some(delivery) = &self.delivery {
            delivery.send(Parcel { id: None, payload });
        }
    }
}

fn change(kept: &Kept<'_>) -> Option<ServiceChange> {
    match kept {
        Kept::Nothing => Some(ServiceChange::Remove),
        Kept::State(service) => match serde_json::to_string(&service.durable()) {
            Ok(state) => Some(ServiceChange::Put(state)),
            Err(problem) => {
                error!("a state cannot be written down ({problem}); this is a defect in depd");
                None
            }
        },
    }
}

/// What a notice adds to the history of rollouts.
fn history_of(notice: &Notice, words: &Words, entry: &Entry<'_>) -> Option<HistoryChange> {
    match &notice.what {
        What::Started { changes } => {
            let (attempt, wanted) = match &entry.service {
                Some(Kept::State(service)) => (service.attempts, service.phase.desired()),
                _ => (0, None),
            };
            let wanted = wanted.map(ImageSet::to_content);
            Some(HistoryChange::Started { changes: images(changes), wanted, attempt, by: None })
        }
        What::Succeeded { .. }
        | What::Failed { .. }
        | What::TimedOut { .. }
        | What::RolledBack { .. }
        | What::RollbackFailed { .. }
        | What::Recovered { .. }
        | What::Superseded { .. } => {
            Some(HistoryChange::Ended { verdict: words.title, detail: words.sentence.clone() })
        }
        _ => None,
    }
}
