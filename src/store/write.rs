//! A batch → SQL, in one transaction, with everything that grows kept within its bound.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::batch::{Answer, Batch, UnixMs};
use super::read::StoredRollout;
use super::schema::begin;
use super::step::{HistoryChange, Outgoing, ServiceChange};
use crate::model::ServiceKey;

/// Rollouts that are remembered of one service.
const ROLLOUTS_PER_SERVICE: i64 = 100;
/// Rollouts that are remembered in all.
const ROLLOUTS: i64 = 200_000;
/// Messages that are kept after they were set aside.
const SET_ASIDE: i64 = 1_000;

/// What a batch did, besides what it was asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Messages that wait in the outbox now.
    pub waiting: i64,
    /// Messages that were set aside because too many waited.
    pub overflow: i64,
}

/// Writes `batch` as one transaction; `waiting` messages are in the outbox before it, and afterwards
/// `most` at most.
///
/// # Errors
/// Nothing of it is written then.
pub fn write(
    connection: &mut Connection,
    batch: &Batch,
    (waiting, most): (i64, i64),
    now: UnixMs,
) -> rusqlite::Result<Done> {
    let transaction = begin(connection)?;
    // Deletes come first: on a full disk they make the room for the rest.
    let fewer = delete_delivered(&transaction, batch)?;
    write_meta(&transaction, batch)?;
    write_services(&transaction, batch)?;
    for (key, change, at) in &batch.history {
        write_history(&transaction, key, change, *at)?;
    }
    if !batch.history.is_empty() {
        forget_old_rollouts(&transaction)?;
    }
    let more = write_outbox(&transaction, batch)?;
    let mut done = Done { waiting: waiting - fewer + more, overflow: 0 };
    if done.waiting > most {
        done.overflow = shed(&transaction, done.waiting - most, now)?;
        done.waiting -= done.overflow;
    }
    transaction.commit()?;
    Ok(done)
}

/// Puts the history of a database that was lost, newest first, into one that has none.
///
/// # Errors
/// Nothing of it is written then.
pub fn write_history_of_lost(
    connection: &mut Connection,
    rollouts: &[StoredRollout],
) -> rusqlite::Result<()> {
    let transaction = begin(connection)?;
    // An older copy in the place of the database has its own.
    let has_some: bool =
        transaction.query_row("SELECT EXISTS (SELECT 1 FROM rollout)", (), |row| row.get(0))?;
    if has_some {
        return Ok(());
    }
    for rollout in rollouts.iter().rev() {
        let StoredRollout { key, attempt, changes, wanted, by, started_ms, end } = rollout;
        let (verdict, detail, ended_ms) = match end {
            Some(end) => (Some(&end.verdict), Some(&end.detail), Some(end.at_ms)),
            None => (None, None, None),
        };
        transaction
            .prepare_cached(
                "INSERT INTO rollout
                     (namespace, service, attempt, changes, wanted, started_by, started_ms, verdict,
                      detail, ended_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                key.namespace(),
                key.service(),
                attempt,
                changes,
                wanted,
                by,
                started_ms,
                verdict,
                detail,
                ended_ms
            ])?;
    }
    transaction.commit()
}

fn write_meta(transaction: &Transaction, batch: &Batch) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO meta (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )?;
    for (name, value) in &batch.meta {
        put.execute([name, value])?;
    }
    Ok(())
}

fn write_services(transaction: &Transaction, batch: &Batch) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO service (namespace, service, state, changed_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (namespace, service)
         DO UPDATE SET state = excluded.state, changed_ms = excluded.changed_ms",
    )?;
    let mut remove =
        transaction.prepare_cached("DELETE FROM service WHERE namespace = ?1 AND service = ?2")?;
    for (key, (change, at)) in &batch.services {
        match change {
            ServiceChange::Put(state) => put.execute((key.namespace(), key.service(), state, at)),
            ServiceChange::Remove => remove.execute((key.namespace(), key.service())),
        }?;
    }
    Ok(())
}

/// The newest rollout of a service: its row, its attempt, and whether it has a verdict.
type Newest = (i64, u32, bool);

fn write_history(
    transaction: &Transaction,
    key: &ServiceKey,
    change: &HistoryChange,
    at: UnixMs,
) -> rusqlite::Result<()> {
    let newest = transaction
        .prepare_cached(
            "SELECT id, attempt, ended_ms IS NOT NULL FROM rollout
             WHERE namespace = ?1 AND service = ?2 ORDER BY id DESC LIMIT 1",
        )?
        .query_row((key.namespace(), key.service()), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    match (change, newest) {
        (HistoryChange::Started { changes, wanted, attempt, by }, newest) => {
            let begun =
                Begun { changes, wanted: wanted.as_deref(), attempt: *attempt, by: by.as_deref() };
            start(transaction, key, newest, &begun, at)
        }
        (HistoryChange::Ended { verdict, detail }, Some((row, ..))) => {
            end(transaction, row, verdict, detail, at)
        }
        (HistoryChange::LetGo { verdict, detail }, Some((row, _, false))) => {
            end(transaction, row, verdict, detail, at)
        }
        // Its beginning went with a store that was lost, or there is nothing to let go of.
        (HistoryChange::Ended { .. }, None) | (HistoryChange::LetGo { .. }, _) => Ok(()),
    }
}

/// A rollout that begins.
struct Begun<'a> {
    changes: &'a str,
    wanted: Option<&'a str>,
    attempt: u32,
    by: Option<&'a str>,
}

fn start(
    transaction: &Transaction,
    key: &ServiceKey,
    newest: Option<Newest>,
    begun: &Begun<'_>,
    at: UnixMs,
) -> rusqlite::Result<()> {
    match newest {
        Some((row, same, false)) if same == begun.attempt => {
            let mut renew = transaction
                .prepare_cached("UPDATE rollout SET changes = ?2, wanted = ?3 WHERE id = ?1")?;
            return renew.execute(params![row, begun.changes, begun.wanted]).map(drop);
        }
        Some((row, _, false)) => end(transaction, row, "superseded", "", at)?,
        _ => {}
    }
    let names = (key.namespace(), key.service());
    transaction
        .prepare_cached(
            "INSERT INTO rollout
                 (namespace, service, attempt, changes, wanted, started_by, started_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((names.0, names.1, begun.attempt, begun.changes, begun.wanted, begun.by, at))?;
    transaction
        .prepare_cached(
            "DELETE FROM rollout WHERE id IN
             (SELECT id FROM rollout WHERE namespace = ?1 AND service = ?2
              ORDER BY id DESC LIMIT -1 OFFSET ?3)",
        )?
        .execute((names.0, names.1, ROLLOUTS_PER_SERVICE))
        .map(drop)
}

fn end(
    transaction: &Transaction,
    row: i64,
    verdict: &str,
    detail: &str,
    at: UnixMs,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE rollout SET verdict = ?2, detail = ?3, ended_ms = ?4 WHERE id = ?1",
        )?
        .execute((row, verdict, detail, at))
        .map(drop)
}

/// Rows are numbered in the order of their beginning, and the newest is never deleted before older
/// ones, so the distance to it is a bound on their number.
fn forget_old_rollouts(transaction: &Transaction) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM rollout WHERE id <= (SELECT max(id) FROM rollout) - ?1")?
        .execute([ROLLOUTS])
        .map(drop)
}

/// Returns how many fewer messages wait afterwards.
fn delete_delivered(transaction: &Transaction, batch: &Batch) -> rusqlite::Result<i64> {
    let delivered = batch.answers.iter().filter(|(_, answer)| **answer == Answer::Delivered);
    delivered.map(|(id, _)| delete(transaction, *id)).sum()
}

/// Returns by how many more messages wait afterwards.
fn write_outbox(transaction: &Transaction, batch: &Batch) -> rusqlite::Result<i64> {
    let mut more = 0;
    for waiting in batch.messages.values() {
        more += insert(transaction, &waiting.message, waiting.at)?;
    }
    let mut set_any_aside = false;
    for (id, answer) in &batch.answers {
        if let Answer::SetAside { why, at } = answer {
            more -= set_aside(transaction, *id, why, *at)?;
            set_any_aside = true;
        }
    }
    if set_any_aside {
        forget_set_aside(transaction)?;
    }
    Ok(more)
}

/// Returns whether one that was still waiting is gone: one that was set aside may be delivered too.
fn delete(transaction: &Transaction, id: u64) -> rusqlite::Result<i64> {
    let waited = transaction
        .prepare_cached("DELETE FROM outbox WHERE id = ?1 RETURNING set_aside_ms IS NULL")?
        .query_row([signed(id)], |row| row.get(0))
        .optional()?;
    Ok(waited.unwrap_or(0))
}

/// Returns whether it is new: an older copy that somebody put in the place of the database may have it,
/// and no message is ever written over another.
fn insert(transaction: &Transaction, message: &Outgoing, at: UnixMs) -> rusqlite::Result<i64> {
    let Outgoing { id, key, receiver, payload } = message;
    let (namespace, service) =
        key.as_ref().map_or(("", ""), |key| (key.namespace(), key.service()));
    transaction
        .prepare_cached(
            "INSERT INTO outbox (id, namespace, service, receiver, payload, created_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING",
        )?
        .execute((signed(*id), namespace, service, receiver, payload, at))
        .map(|inserted| i64::from(inserted > 0))
}

fn set_aside(transaction: &Transaction, id: u64, why: &str, at: UnixMs) -> rusqlite::Result<i64> {
    let changed = transaction
        .prepare_cached(
            "UPDATE outbox SET set_aside_ms = ?2, set_aside_why = ?3
             WHERE id = ?1 AND set_aside_ms IS NULL",
        )?
        .execute((signed(id), at, why))?;
    Ok(i64::from(changed > 0))
}

/// Sets the oldest `count` waiting messages aside.
fn shed(transaction: &Transaction, count: i64, now: UnixMs) -> rusqlite::Result<i64> {
    let shed = transaction
        .prepare_cached(
            "UPDATE outbox SET set_aside_ms = ?2, set_aside_why = 'too many messages waited'
             WHERE id IN (SELECT id FROM outbox WHERE set_aside_ms IS NULL ORDER BY id LIMIT ?1)",
        )?
        .execute((count, now))?;
    forget_set_aside(transaction)?;
    Ok(i64::try_from(shed).unwrap_or(i64::MAX))
}

fn forget_set_aside(transaction: &Transaction) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM outbox WHERE id IN
             (SELECT id FROM outbox WHERE set_aside_ms IS NOT NULL
              ORDER BY id DESC LIMIT -1 OFFSET ?1)",
        )?
        .execute([SET_ASIDE])
        .map(drop)
}

/// SQLite's integers are signed; ids count from one and never get there.
fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
