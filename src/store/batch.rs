//! What waits for the disk, with a bound on all of it. `[C]`
//!
//! A batch is written in one transaction, so of the states of one service only the newest counts,
//! and a message that was delivered before it was ever written need not be written. That keeps a
//! batch small however long a disk refuses: one state per key, and a limit on history and messages.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::step::{HistoryChange, Message, Outgoing, Saved, ServiceChange};
use crate::model::{ServiceKey, Standing};

/// Entries of history that may wait for the disk.
pub const HISTORY_LIMIT: usize = 20_000;
/// Messages that may wait for the disk.
pub const MESSAGES_LIMIT: usize = 20_000;

/// Steps of any services, in one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    /// The newest state of each service, and when it was saved.
    pub services: HashMap<ServiceKey, (ServiceChange, UnixMs)>,
    /// In the order of the steps.
    pub history: VecDeque<(ServiceKey, HistoryChange, UnixMs)>,
    /// By id, which is by age.
    pub messages: BTreeMap<u64, Waiting>,
    /// What receivers made of messages: of written ones, or of those in `messages` that are to be
    /// set aside.
    pub answers: BTreeMap<u64, Answer>,
    /// The newest value of each name.
    pub meta: BTreeMap<String, String>,
    /// Entries of history and messages that were given up for lack of room.
    pub given_up: u64,
}

/// Milliseconds since the beginning of 1970 UTC.
pub type UnixMs = i64;

/// A message that is not on disk yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The message.
    pub message: Outgoing,
    /// When it was saved.
    pub at: UnixMs,
    /// It was handed over for delivery although the disk refused it.
    pub announced: bool,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The receiver acknowledged it.
    Delivered,
    /// It will never be taken.
    SetAside {
        /// What the receiver said.
        why: String,
        /// When it was set aside.
        at: UnixMs,
    },
}

impl Batch {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.history.is_empty()
            && self.messages.is_empty()
            && self.answers.is_empty()
            && self.meta.is_empty()
    }

    /// Takes a step; its messages get the ids from `next_id` on.
    pub fn add(&mut self, step: Saved, next_id: &mut u64, at: UnixMs) {
        let Saved { key, service, history, messages, standing } = step;
        self.insert(Some(&key), messages, next_id, at);
        self.history.extend(history.into_iter().map(|change| (key.clone(), change, at)));
        if let Some(change) = service {
            self.services.insert(key, (change, at));
        }
        standing.inspect(|standing| self.stands(standing));
        self.bound();
    }

    /// Takes the newest word about failures in a row.
    pub fn stands(&mut self, standing: &Standing) {
        let meta = standing.to_meta().map(|(name, value)| (name.to_owned(), value));
        self.meta.extend(meta);
    }

    /// Takes messages that are about no service, with ids from `next_id` on.
    pub fn tell(&mut self, messages: Vec<Message>, next_id: &mut u64, at: UnixMs) {
        self.insert(None, messages, next_id, at);
        self.bound();
    }

    fn insert(
        &mut self,
        key: Option<&ServiceKey>,
        messages: Vec<Message>,
        next_id: &mut u64,
        at: UnixMs,
    ) {
        for Message { receiver, payload } in messages {
            let message = Outgoing { id: *next_id, key: key.cloned(), receiver, payload };
            self.messages.insert(*next_id, Waiting { message, at, announced: false });
            *next_id += 1;
        }
    }

    /// Takes what a receiver made of message `id`.
    pub fn answer(&mut self, id: u64, answer: Answer) {
        let unwritten = self.messages.contains_key(&id);
        match answer {
            Answer::Delivered if unwritten => {
                self.messages.remove(&id);
                self.answers.remove(&id);
            }
            answer => {
                self.answers.insert(id, answer);
            }
        }
    }

    /// Takes `later`, which was saved after everything in here.
    pub fn absorb(&mut self, later: Batch) {
        if self.is_empty() {
            let given_up = self.given_up + later.given_up;
            *self = Batch { given_up, ..later };
            return;
        }
        self.services.extend(later.services);
        self.history.extend(later.history);
        self.messages.extend(later.messages);
        self.meta.extend(later.meta);
        self.given_up += later.given_up;
        for (id, answer) in later.answers {
            self.answer(id, answer);
        }
        self.bound();
    }

    /// What waits for `receiver` and has a greater id than `after`, oldest first.
    pub fn waiting(&self, receiver: &str, after: u64) -> impl Iterator<Item = &Outgoing> {
        let later = self.messages.range(after.saturating_add(1)..).map(|(_, waiting)| waiting);
        later
            .map(|waiting| &waiting.message)
            .filter(move |message| message.receiver == receiver)
            .filter(|message| !self.answers.contains_key(&message.id))
    }

    /// The messages that were not handed over yet, oldest first; from now on they are.
    pub fn announce(&mut self) -> Vec<Outgoing> {
        let fresh = self.messages.values_mut().filter(|waiting| !waiting.announced);
        fresh
            .map(|waiting| {
                waiting.announced = true;
                waiting.message.clone()
            })
            .collect()
    }

    /// The oldest go first, and are counted.
    fn bound(&mut self) {
        while self.history.len() > HISTORY_LIMIT {
            self.history.pop_front();
            self.given_up += 1;
        }
        while self.messages.len() > MESSAGES_LIMIT {
            if let Some((id, _)) = self.messages.pop_first() {
                self.answers.remove(&id);
                self.given_up += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Batch, HISTORY_LIMIT, MESSAGES_LIMIT};
    use crate::model::ServiceKey;
    use crate::store::step::{HistoryChange, Message, Saved, ServiceChange};

    fn key(service: &str) -> ServiceKey {
        ServiceKey::new(service, "prod").expect("valid")
    }

    fn put(service: &str, state: &str) -> Saved {
        Saved { service: Some(ServiceChange::Put(state.into())), ..Saved::of(key(service)) }
    }

    fn tell(payload: &str) -> Saved {
        let message = Message { receiver: "slack".into(), payload: payload.into() };
        Saved { messages: vec![message], ..Saved::of(key("web")) }
    }

    fn batch(steps: impl IntoIterator<Item = Saved>, next_id: &mut u64) -> Batch {
        let mut batch = Batch::default();
        steps.into_iter().for_each(|step| batch.add(step, next_id, 7));
        batch
    }

    #[test]
    fn of_the_states_of_one_service_the_newest_is_kept_also_across_batches() {
        let mut next = 1;
        let mut first = batch([put("web", "1"), put("web", "2"), put("api", "1")], &mut next);
        first.absorb(batch([put("web", "3")], &mut next));
        assert_eq!(first.services[&key("web")].0, ServiceChange::Put("3".into()));
        assert_eq!(first.services.len(), 2);
    }

    #[test]
    fn a_message_that_was_delivered_before_it_was_written_is_not_written() {
        let mut next = 1;
        let mut waiting = batch([tell("a"), tell("b")], &mut next);
        let mut later = Batch::default();
        later.answer(1, Answer::Delivered);
        later.answer(9, Answer::Delivered);
        waiting.absorb(later);
        assert_eq!(waiting.messages.keys().copied().collect::<Vec<_>>(), [2]);
        assert_eq!(waiting.answers.keys().copied().collect::<Vec<_>>(), [9], "9 is on disk");
    }

    #[test]
    fn a_message_is_announced_once() {
        let mut next = 1;
        let mut waiting = batch([tell("a"), tell("b")], &mut next);
        let announced = |batch: &mut Batch| -> Vec<u64> {
            batch.announce().into_iter().map(|message| message.id).collect()
        };
        assert_eq!(announced(&mut waiting), [1, 2]);
        waiting.absorb(batch([tell("c")], &mut next));
        assert_eq!(announced(&mut waiting), [3]);
        assert_eq!(announced(&mut waiting), [0; 0]);
    }

    #[test]
    fn history_that_waits_is_bounded_and_the_oldest_goes_first() {
        let started = |attempt| HistoryChange::Started {
            changes: "[]".into(),
            wanted: None,
            attempt,
            by: None,
        };
        let steps = (0..HISTORY_LIMIT as u32 + 5)
            .map(|attempt| Saved { history: vec![started(attempt)], ..Saved::of(key("web")) });
        let waiting = batch(steps, &mut 1);
        assert_eq!((waiting.history.len(), waiting.given_up), (HISTORY_LIMIT, 5));
        assert_eq!(waiting.history[0].1, started(5));
    }

    #[test]
    fn messages_that_wait_are_bounded_and_the_oldest_goes_first() {
        let mut next = 1;
        let mut waiting = batch((0..MESSAGES_LIMIT).map(|_| tell("x")), &mut next);
        waiting.absorb(batch([tell("y"), tell("z")], &mut next));
        assert_eq!((waiting.messages.len(), waiting.given_up), (MESSAGES_LIMIT, 2));
        assert_eq!(waiting.messages.keys().next(), Some(&3));
    }
}
