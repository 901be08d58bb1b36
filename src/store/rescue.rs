//! What is read once more of a database that is lost under the running depd, to begin the next with.
//!
//! A file without a name can be read as long as it is open, and damage is seldom everywhere.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::batch::{Batch, HISTORY_LIMIT, MESSAGES_LIMIT, Waiting};
use super::read::{
    StoredMessage, StoredRollout, StoredService, each_message, each_rollout, each_service,
};
use super::step::{STATES_LOST, ServiceChange};

/// What could be read.
#[derive(Debug, Default)]
pub struct Rescued {
    services: Vec<StoredService>,
    /// By id.
    messages: BTreeMap<u64, StoredMessage>,
    /// Newest first.
    history: Vec<StoredRollout>,
    /// No state was left out.
    has_all_states: bool,
    /// No message that waits was left out.
    has_all_messages: bool,
}

impl Rescued {
    /// Reads what can be read.
    pub fn from(connection: &Connection) -> Rescued {
        let mut rescued = Rescued::default();
        let Rescued { services, messages, history, .. } = &mut rescued;
        // Of the history there is what there is: the newest of it matters most, and comes first.
        let _ = each_rollout(connection, |row| {
            history.push(row);
            history.len() < HISTORY_LIMIT
        });
        let has_all_states = each_service(connection, |row| services.push(row)).is_ok();
        let mut has_all_messages = true;
        // From both ends, so that a damaged page hides no others.
        for newest_first in [true, false] {
            let take = |row: StoredMessage| {
                let is_known = messages.contains_key(&row.message.id);
                has_all_messages &= is_known || messages.len() < MESSAGES_LIMIT;
                if is_known || messages.len() >= MESSAGES_LIMIT {
                    return false;
                }
                messages.insert(row.message.id, row);
                true
            };
            if each_message(connection, newest_first, take).is_ok() {
                break;
            }
            has_all_messages = false;
        }
        Rescued { has_all_states, has_all_messages, ..rescued }
    }

    /// All of it, into what a new database gets first.
    pub fn add_to(&self, batch: &mut Batch) {
        if !self.has_all_states {
            batch.meta.insert(STATES_LOST.to_owned(), "yes".to_owned());
        }
        for StoredService { key, state, changed_ms } in &self.services {
            batch.services.insert(key.clone(), (ServiceChange::Put(state.clone()), *changed_ms));
        }
        for (id, row) in &self.messages {
            let message = row.message.clone();
            let waiting = Waiting { message, at: row.created_ms, announced: true };
            batch.messages.insert(*id, waiting);
        }
    }

    /// The newest of its history, newest first.
    pub fn history(&self) -> &[StoredRollout] {
        &self.history
    }

    /// For the log: what the next database begins with.
    pub fn text(&self) -> String {
        let all = |is_all: bool| if is_all { "all" } else { "not all" };
        format!(
            "it is begun anew with the states of {} services ({} that were there) and {} messages that \
             wait ({} that were there), and the newest {} rollouts of the history",
            self.services.len(),
            all(self.has_all_states),
            self.messages.len(),
            all(self.has_all_messages),
            self.history.len()
        )
    }
}
