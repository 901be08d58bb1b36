//! Notices and states → the log, the store, and the messages on their way. `[E]`
//!
//! A message is handed to its receiver only after the transaction that holds it, and the state that
//! it tells of, is committed: a crash loses neither, and at worst repeats a message.

use std::sync::Arc;

use jiff::Timestamp;
use log::error;

use super::authors::Authors;
use super::logging::{log_alert, log_notice};
use super::progress::Bell;
use super::receivers::Receivers;
use crate::failpoint::Failpoint;
use crate::model::{Alert, ImageSet, Notice, Standing, What};
use crate::report::alarm::alarm;
use crate::report::record::{Circumstances, Record};
use crate::report::words::{Words, images, words};
use crate::store::{HistoryChange, Saved, ServiceChange, Store};
use crate::worker::{Entry, Journal, Kept};

/// The journal of a running daemon.
pub struct Ledger {
    /// `None`: nothing survives a restart.
    pub store: Option<Arc<Store>>,
    /// Who is told besides the log.
    pub receivers: Arc<Receivers>,
    /// Whose the dep files are.
    pub authors: Arc<Authors>,
    /// The name of this host.
    pub host: String,
    /// The name of the cluster.
    pub cluster: String,
    /// Who watches the rollouts hears of every step.
    pub bell: Bell,
}

impl Journal for Ledger {
    fn enter(&self, entry: Entry<'_>) {
        self.bell.ring();
        let mut messages = Vec::new();
        let mut history = Vec::new();
        let around = self.around(&entry);
        for notice in &entry.notices {
            let words = words(notice);
            log_notice(notice, &words);
            history.extend(history_of(notice, &words, &entry, &around));
            if let Some(record) = Record::of(notice, &words, &around) {
                messages.extend(self.receivers.messages(&record));
            }
        }
        let Some(store) = &self.store else {
            return messages.into_iter().for_each(|message| self.receivers.send_unkept(message));
        };
        // A rollout that is over as soon as it is found has both its ends in one look.
        let step = Saved {
            key: entry.key.clone(),
            service: entry.service.as_ref().and_then(change),
            history,
            messages,
            standing: entry.standing,
        };
        if entry.before_action {
            Failpoint::BeforeIntent.pass();
            store.save_and_wait(step);
            Failpoint::BeforePatch.pass();
        } else {
            if step.history.iter().any(|change| matches!(change, HistoryChange::Ended { .. })) {
                Failpoint::BeforeVerdict.pass();
            }
            store.save(step);
        }
    }

    fn alert(&self, alert: &Alert) {
        let words = alarm(alert);
        log_alert(&words);
        let record = Record::of_alert(alert, &words, &self.here());
        let messages = self.receivers.messages(&record);
        match &self.store {
            Some(store) => store.tell(messages),
            None => messages.into_iter().for_each(|message| self.receivers.send_unkept(message)),
        }
    }

    fn stands(&self, standing: &Standing) {
        self.store.iter().for_each(|store| store.stands(standing));
    }
}

impl Ledger {
    fn here(&self) -> Circumstances {
        Circumstances {
            host: self.host.clone(),
            cluster: self.cluster.clone(),
            time: format!("{:.3}", Timestamp::now()),
            ..Circumstances::default()
        }
    }

    fn around(&self, entry: &Entry<'_>) -> Circumstances {
        if entry.notices.is_empty() {
            return Circumstances::default();
        }
        let service = match &entry.service {
            Some(Kept::State(service)) => Some(service),
            _ => None,
        };
        Circumstances {
            kind: entry.kind,
            uid: service.and_then(|service| service.phase.uid()).map(str::to_owned),
            attempt: service.map(|service| service.attempts),
            changed_by: self.authors.of(entry.key),
            ..self.here()
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
fn history_of(
    notice: &Notice,
    words: &Words,
    entry: &Entry<'_>,
    around: &Circumstances,
) -> Option<HistoryChange> {
    match &notice.what {
        What::Started { changes } => {
            let (attempt, wanted) = match &entry.service {
                Some(Kept::State(service)) => (service.attempts, service.phase.desired()),
                _ => (0, None),
            };
            let wanted = wanted.map(ImageSet::to_content);
            let by = around.changed_by.clone();
            Some(HistoryChange::Started { changes: images(changes), wanted, attempt, by })
        }
        What::Succeeded { .. }
        | What::Failed { .. }
        | What::TimedOut { .. }
        | What::RolledBack { .. }
        | What::RollbackFailed { .. }
        | What::Recovered { .. }
        | What::Found { .. }
        | What::Superseded { .. } => {
            Some(HistoryChange::Ended { verdict: words.title, detail: words.sentence.clone() })
        }
        // Whether its rollout was in flight or long over, there is nothing to follow any more.
        What::Unmanaged | What::WorkloadDeleted | What::WorkloadReplaced => {
            Some(HistoryChange::LetGo { verdict: words.title, detail: words.sentence.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::*;
    use crate::daemon::settings::{ReceiverSettings, Way};
    use crate::model::{Lateness, Replicas, fixture};
    use crate::report::command::Command;
    use crate::report::filter::Filter;
    use crate::report::kind::Kind;
    use crate::store::Reader;

    fn ledger(store: &Arc<Store>, folder: &Path, settings: &[ReceiverSettings]) -> Ledger {
        let client = Arc::new(OnceLock::new());
        Ledger {
            store: Some(Arc::clone(store)),
            receivers: Arc::new(
                Receivers::start(settings, None, &client, "ci-1").expect("a thread"),
            ),
            authors: Arc::new(Authors::new(folder.to_owned())),
            host: "ci-1".into(),
            cluster: "production".into(),
            bell: Bell::default(),
        }
    }

    #[test]
    fn both_ends_of_a_rollout_that_one_look_found_are_kept_as_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(folder.path(), |_| {}).expect("opens");
        let store = Arc::new(store);
        let ledger = ledger(&store, folder.path(), &[]);
        let key = fixture::key("web");
        let tell = |what| Notice { key: key.clone(), what };
        let started = What::Started { changes: Vec::new() };
        let succeeded = What::Succeeded { changes: Vec::new(), took: Duration::from_secs(1) };
        ledger.enter(Entry {
            key: &key,
            kind: None,
            service: None,
            notices: vec![tell(started), tell(succeeded)],
            standing: None,
            before_action: true,
        });
        // What is not in the transaction that was waited for comes some time later, or never.
        let history = Reader::open(folder.path()).expect("opens").history(None, 9).expect("reads");
        let ended: Vec<bool> = history.iter().map(|rollout| rollout.end.is_some()).collect();
        assert_eq!(ended, [true]);
        assert_eq!(store.commits(), 1);
    }

    #[test]
    fn a_rollout_whose_workload_is_gone_is_not_in_flight_in_the_history() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(folder.path(), |_| {}).expect("opens");
        let store = Arc::new(store);
        let ledger = ledger(&store, folder.path(), &[]);
        let failed = || What::TimedOut {
            changes: Vec::new(),
            lateness: Lateness::NoProgress(Duration::from_secs(1)),
            cause: None,
            replicas: Replicas::default(),
            took: Duration::from_secs(1),
        };
        let started = || What::Started { changes: Vec::new() };
        for (service, whats) in [
            ("deleted", vec![started(), What::WorkloadDeleted]),
            ("replaced", vec![started(), What::WorkloadReplaced, What::AlreadyRuns]),
            ("late", vec![started(), failed(), What::WorkloadDeleted]),
        ] {
            let key = fixture::key(service);
            let notices = whats.into_iter().map(|what| Notice { key: key.clone(), what });
            ledger.enter(Entry {
                key: &key,
                kind: None,
                service: None,
                notices: notices.collect(),
                standing: None,
                before_action: true,
            });
        }
        let history = Reader::open(folder.path()).expect("opens").history(None, 9).expect("reads");
        let mut ends: Vec<_> = history
            .iter()
            .map(|one| {
                let end = one.end.as_ref().map(|end| &*end.verdict);
                (one.key.service().to_owned(), end.unwrap_or("in flight").to_owned())
            })
            .collect();
        ends.sort();
        let expect = [
            ("deleted", "Workload deleted"),
            ("late", "Timed out"),
            ("replaced", "Workload replaced"),
        ];
        assert_eq!(ends, expect.map(|(service, end)| (service.to_owned(), end.to_owned())));
    }

    #[test]
    fn an_alert_waits_in_the_store_for_its_receiver() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(folder.path(), |_| {}).expect("opens");
        let store = Arc::new(store);
        let way = Way::Command(Command::parse("/nonexistent/program").expect("a program"));
        let (kind, pace, filter) = (Kind::Command, Kind::Command.pace(), Filter::default());
        let settings = [ReceiverSettings { kind, pace, filter, way }];
        let ledger = ledger(&store, folder.path(), &settings);
        ledger.alert(&Alert::Halted { failures: 3 });
        assert!(store.close(Duration::from_secs(60)), "it is on disk");
        let outbox = Reader::open(folder.path()).expect("opens").outbox().expect("reads");
        let kept: Vec<_> =
            outbox.iter().map(|one| (&*one.message.receiver, &one.message.key)).collect();
        assert_eq!(kept, [("command", &None)]);
    }
}
