//! The one thread that writes. What waits at a moment is one transaction.
//!
//! When the disk refuses, nobody waits for it: messages go on, the newest state of each service stays
//! here, and the next transaction tries again.

use std::collections::HashMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use log::{error, info};
use rusqlite::{Connection, Error, Transaction, params};

use super::{HistoryChange, Outgoing, Saved, ServiceChange};
use crate::clock;
use crate::model::{Moment, ServiceKey};

/// Steps in one transaction at most, so that nobody waits long.
const BATCH: usize = 512;
/// The history keeps this many rollouts of each service.
const HISTORY_OF_SERVICE: i64 = 100;
/// Messages kept for receivers that never took them.
const SET_ASIDE_KEPT: i64 = 1000;
/// What the disk refused is tried again this often.
const RETRY: Duration = Duration::from_secs(5);
/// A failing disk is named this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Something to write.
#[derive(Debug)]
pub enum Job {
    /// A step; `done` is told when it is committed or refused.
    Save { step: Saved, done: Option<Sender<()>> },
    /// A message was acknowledged.
    Delivered(i64),
    /// A message will never be.
    SetAside(i64, String),
    /// A value of no service.
    Meta(String, String),
    /// Nothing; told when everything before it is committed or refused.
    Flush(Sender<()>),
}

/// The writing half.
pub struct Writer {
    pub(super) connection: Connection,
    inbox: Receiver<Job>,
    committed: Box<dyn Fn(Outgoing) + Send>,
    /// States that the disk refused, newest only.
    pub(super) owed: HashMap<ServiceKey, ServiceChange>,
    complained: Option<Moment>,
}

impl Writer {
    pub fn new(
        connection: Connection,
        inbox: Receiver<Job>,
        committed: Box<dyn Fn(Outgoing) + Send>,
    ) -> Writer {
        Writer { connection, inbox, committed, owed: HashMap::new(), complained: None }
    }

    /// Writes until every sender is gone, then what is left.
    pub fn run(&mut self) {
        loop {
            let first = match self.inbox.recv_timeout(RETRY) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) if self.owed.is_empty() => continue,
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let more = self.inbox.try_iter().take(BATCH);
            let batch: Vec<Job> = first.into_iter().chain(more).collect();
            self.write(batch);
        }
    }

    /// One transaction.
    pub(super) fn write(&mut self, batch: Vec<Job>) {
        match transact(&mut self.connection, &self.owed, &batch) {
            Ok(outgoing) => {
                if self.complained.take().is_some() {
                    info!("the store can be written again");
                }
                self.owed.clear();
                outgoing.into_iter().for_each(|message| (self.committed)(message));
            }
            Err(error) => self.refused(&error, &batch),
        }
        for job in batch {
            if let Job::Save { done: Some(done), .. } | Job::Flush(done) = job {
                let _ = done.send(());
            }
        }
    }

    fn refused(&mut self, error: &Error, batch: &[Job]) {
        let now = clock::now();
        if self.complained.is_none_or(|last| now.since(last) >= COMPLAIN_EVERY) {
            self.complained = Some(now);
            error!(
                "the store cannot be written ({error}): deployments and messages go on, but a \
                 restart now would not know of them; free some space or mend the disk"
            );
        }
        for job in batch {
            let Job::Save { step, .. } = job else { continue };
            if let Some(change) = &step.service {
                self.owed.insert(step.key.clone(), change.clone());
            }
            for payload in &step.messages {
                (self.committed)(Outgoing { id: Outgoing::UNSAVED, payload: payload.clone() });
            }
        }
    }
}

fn transact(
    connection: &mut Connection,
    owed: &HashMap<ServiceKey, ServiceChange>,
    batch: &[Job],
) -> Result<Vec<Outgoing>, Error> {
    let now = i64::try_from(clock::now().0).unwrap_or(i64::MAX);
    let transaction = connection.transaction()?;
    for (key, change) in owed {
        put_service(&transaction, key, change, now)?;
    }
    let mut outgoing = Vec::new();
    for job in batch {
        match job {
            Job::Save { step, .. } => put_step(&transaction, step, now, &mut outgoing)?,
            Job::Delivered(id) => {
                transaction.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id])?;
            }
            Job::SetAside(id, why) => put_aside(&transaction, *id, why)?,
            Job::Flush(_) => {}
            Job::Meta(name, value) => {
                let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)";
                transaction.prepare_cached(sql)?.execute([name, value])?;
            }
        }
    }
    transaction.commit()?;
    Ok(outgoing)
}

fn put_step(
    transaction: &Transaction,
    step: &Saved,
    now: i64,
    outgoing: &mut Vec<Outgoing>,
) -> Result<(), Error> {
    if let Some(change) = &step.service {
        put_service(transaction, &step.key, change, now)?;
    }
    for change in &step.history {
        put_history(transaction, &step.key, change, now)?;
    }
    for payload in &step.messages {
        let sql =
            "INSERT INTO outbox (namespace, service, payload, created_ms) VALUES (?1, ?2, ?3, ?4)";
        let (namespace, service) = (step.key.namespace(), step.key.service());
        transaction.prepare_cached(sql)?.execute(params![namespace, service, payload, now])?;
        outgoing.push(Outgoing { id: transaction.last_insert_rowid(), payload: payload.clone() });
    }
    Ok(())
}

fn put_service(
    transaction: &Transaction,
    key: &ServiceKey,
    change: &ServiceChange,
    now: i64,
) -> Result<(), Error> {
    let (namespace, service) = (key.namespace(), key.service());
    match change {
        ServiceChange::Put(state) => {
            let sql = "INSERT OR REPLACE INTO services (namespace, service, state, updated_ms) \
                       VALUES (?1, ?2, ?3, ?4)";
            transaction.prepare_cached(sql)?.execute(params![namespace, service, state, now])?;
        }
        ServiceChange::Remove => {
            let sql = "DELETE FROM services WHERE namespace = ?1 AND service = ?2";
            transaction.prepare_cached(sql)?.execute([namespace, service])?;
        }
    }
    Ok(())
}

fn put_history(
    transaction: &Transaction,
    key: &ServiceKey,
    change: &HistoryChange,
    now: i64,
) -> Result<(), Error> {
    let (namespace, service) = (key.namespace(), key.service());
    match change {
        HistoryChange::Started { changes } => {
            let sql = "INSERT INTO rollouts (namespace, service, changes, started_ms) \
                       VALUES (?1, ?2, ?3, ?4)";
            transaction.prepare_cached(sql)?.execute(params![namespace, service, changes, now])?;
            let sql = "DELETE FROM rollouts WHERE namespace = ?1 AND service = ?2 AND id <= \
                       (SELECT id FROM rollouts WHERE namespace = ?1 AND service = ?2 \
                        ORDER BY id DESC LIMIT 1 OFFSET ?3)";
            let limits = params![namespace, service, HISTORY_OF_SERVICE];
            transaction.prepare_cached(sql)?.execute(limits)?;
        }
        HistoryChange::Ended { verdict, detail } => {
            let sql = "UPDATE rollouts SET ended_ms = ?3, verdict = ?4, detail = ?5 WHERE id = \
                       (SELECT max(id) FROM rollouts WHERE namespace = ?1 AND service = ?2)";
            let values = params![namespace, service, now, verdict, detail];
            transaction.prepare_cached(sql)?.execute(values)?;
        }
    }
    Ok(())
}

fn put_aside(transaction: &Transaction, id: i64, why: &str) -> Result<(), Error> {
    let sql = "UPDATE outbox SET set_aside = ?2 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(params![id, why])?;
    let sql = "DELETE FROM outbox WHERE set_aside IS NOT NULL AND id <= \
               (SELECT id FROM outbox WHERE set_aside IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ?1)";
    transaction.prepare_cached(sql)?.execute([SET_ASIDE_KEPT])?;
    Ok(())
}
