//! A dep file and what the store tells of its service → is it over? No clock and no disk here.

use std::time::Duration;

use crate::model::{ImageSet, Moment, Notice, What};
use crate::reconcile::{Phase, Service};
use crate::report::words::words;
use crate::source::{FileRead, Finding};
use crate::store::{Holder, StoredRollout, StoredService};

/// A complaint that the daemon kept for this long after the file was saved is about the new content.
const SEEN_BY_NOW: Duration = Duration::from_secs(3);

/// What is waited for.
pub struct Wish<'a> {
    /// The dep file.
    pub read: &'a FileRead,
    /// When it was saved, in Unix milliseconds.
    pub changed_ms: i64,
}

/// Whether it is over, in words.
#[derive(Debug, PartialEq, Eq)]
pub enum Outlook {
    /// The service runs what the file asks for.
    Good(String),
    /// It will not, until somebody changes something.
    Bad(String),
    /// Nobody knows yet.
    NotYet(String),
}

/// Judges.
pub fn outlook(
    wish: &Wish<'_>,
    stored: Option<&StoredService>,
    newest: Option<&StoredRollout>,
    now: Moment,
    holder: Holder,
) -> Outlook {
    let images = match &wish.read.finding {
        Finding::Images(images) => images,
        Finding::Empty => return Outlook::Bad("its dep file is empty: it asks for nothing".into()),
        Finding::Problem(problem) | Finding::Refused(problem) | Finding::Unread(problem) => {
            return Outlook::Bad(format!("bad dep file: {problem}"));
        }
    };
    let service = stored.and_then(|stored| serde_json::from_str::<Service>(&stored.state).ok());
    match (stored, service) {
        (Some(stored), Some(service)) => {
            let seen = stored.changed_ms >= wish.changed_ms
                || now.since(moment(wish.changed_ms)) >= SEEN_BY_NOW;
            let of_this = service.phase.desired() == Some(images);
            judge(stored, &service, images, newest, (seen, of_this))
                .unwrap_or_else(|| not_yet(images, holder))
        }
        _ => not_yet(images, holder),
    }
}

fn moment(unix_ms: i64) -> Moment {
    Moment(u64::try_from(unix_ms).unwrap_or_default())
}

fn not_yet(images: &ImageSet, holder: Holder) -> Outlook {
    Outlook::NotYet(match holder {
        Holder::Nobody => format!("waiting for {images}; no depd runs on this state folder"),
        _ => format!("waiting until depd has seen {images}"),
    })
}

/// What the state of the service says about these images; `None` where it is about others.
fn judge(
    stored: &StoredService,
    service: &Service,
    images: &ImageSet,
    newest: Option<&StoredRollout>,
    (seen, of_this): (bool, bool),
) -> Option<Outlook> {
    let sentence =
        |what: &What| words(&Notice { key: stored.key.clone(), what: what.clone() }).sentence;
    if let Some(problem) = service.told_misfit.as_ref().filter(|_| seen) {
        return Some(Outlook::Bad(sentence(&What::Unfit(problem.clone()))));
    }
    if !of_this {
        // It is all that is known of the new content, and enough.
        let (hold, kind) = service.hold.filter(|_| seen)?;
        return Some(Outlook::NotYet(format!("held: {}", sentence(&What::Held(hold, kind)))));
    }
    let complaint = service.request_complaint.as_ref().or(service.complaint.as_ref());
    let why = complaint.map(|what| format!(": {}", sentence(what))).unwrap_or_default();
    let ended = newest.and_then(|rollout| rollout.end.as_ref());
    let verdict = || match ended {
        Some(end) if !end.detail.is_empty() => format!("{}: {}", end.verdict, end.detail),
        Some(end) => end.verdict.clone(),
        None => "failed".into(),
    };
    Some(match &service.phase {
        Phase::New => return None,
        Phase::Settled(_) if service.rejected.as_ref() == Some(images) => Outlook::Bad(verdict()),
        Phase::Returning(_) | Phase::RollingBack(_) => {
            Outlook::NotYet("it failed; the last good images are put back".into())
        }
        Phase::Settled(_) => match complaint {
            Some(what @ What::Drift { .. }) => Outlook::Bad(sentence(what)),
            _ => Outlook::Good(format!("deployed: runs {images}")),
        },
        Phase::Broken(_) => Outlook::Bad(verdict()),
        Phase::Refused(_) => Outlook::Bad(format!("refused{why}")),
        Phase::Waiting(_) => Outlook::NotYet(format!("pending{why}")),
        Phase::Patching(_) | Phase::Rolling(_) => {
            Outlook::NotYet(format!("rolling out {images}{why}"))
        }
    })
}

#[cfg(test)]
mod tests;
