//! What is known about one file, and how a look at it is judged.

use std::time::Duration;

use super::look::{Finding, Look, Pace, Said, Stamp};
use crate::model::Moment;

#[derive(Debug)]
pub(super) struct File {
    pub(super) stamp: Option<Stamp>,
    pub(super) said: Said,
    pub(super) looked: Moment,
    pub(super) gap: Duration,
    pub(super) seen_in_scan: u32,
    pub(super) recheck: Recheck,
    pub(super) open: Option<Box<Open>>,
}

/// Whether a scan looks again at a file whose stamp did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recheck {
    No,
    /// Once, when it is old: two writes within one tick of the clock leave the same stamp.
    Once,
    Always,
}

/// What is under way with a file that is not settled. One of `look_at` and `flight` is always set.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// The first and the last write since it was last known to be closed.
    pub(super) writing: Option<(Moment, Moment)>,
    /// When to look next.
    pub(super) look_at: Option<Moment>,
    /// That look needs no second one to agree with it.
    pub(super) sure: bool,
    /// The look that is being taken.
    pub(super) flight: Option<Flight>,
    /// A look that waits for another to agree, and when it was.
    pub(super) candidate: Option<(Moment, Look)>,
    /// Since when it has been invalid, empty or missing, without anybody writing to it.
    pub(super) bad_since: Option<Moment>,
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) sure: bool,
    pub(super) began: bool,
    pub(super) spoiled: bool,
    pub(super) look: Option<Look>,
}

/// What a look leads to.
pub(super) enum Judged {
    /// It counts.
    Now(Look),
    /// Another one decides.
    Later(Moment),
}

impl File {
    pub(super) fn new(gap: Duration) -> File {
        File {
            stamp: None,
            said: Said::Nothing,
            looked: Moment(0),
            gap,
            seen_in_scan: 0,
            recheck: Recheck::No,
            open: None,
        }
    }

    /// Judges the look that was under way.
    pub(super) fn judge(&mut self, now: Moment, pace: &Pace) -> Option<Judged> {
        self.slow_down(now, pace);
        let open = self.open.as_mut()?;
        let flight = open.flight.take()?;
        if flight.spoiled {
            self.gap = pace.gap;
        }
        Some(match flight.look {
            Some(look) => open.judge(look, flight.sure && !flight.spoiled, now, pace),
            None => Judged::Later(now + pace.settle),
        })
    }

    /// Looks that follow each other closely become rarer.
    fn slow_down(&mut self, now: Moment, pace: &Pace) {
        let close = now.since(self.looked) < pace.settle;
        self.gap = if close { (self.gap * 2).min(pace.gap_max) } else { pace.gap };
        self.looked = now;
    }

    /// Takes a look for true. Returns what is to be told, if that is new.
    pub(super) fn settle(&mut self, look: Look) -> Option<Said> {
        let said = match look {
            Look::Missing => {
                let known = !matches!(self.said, Said::Nothing | Said::Finding(Finding::Empty));
                self.said = Said::Gone;
                return known.then_some(Said::Gone);
            }
            Look::Found { stamp, finding, old, .. } => {
                self.stamp = Some(stamp);
                self.recheck = match finding {
                    Finding::Unread(_) => Recheck::Always,
                    _ if old => Recheck::No,
                    _ => Recheck::Once,
                };
                Said::Finding(finding)
            }
        };
        (self.said != said).then(|| {
            self.said = said.clone();
            said
        })
    }
}

impl Open {
    /// Waits for a pause, but not beyond the end of patience.
    pub(super) fn write(&mut self, now: Moment, pace: &Pace) {
        let since = self.writing.map_or(now, |(since, _)| since);
        self.writing = Some((since, now));
        self.bad_since = None;
        match &mut self.flight {
            Some(flight) => flight.spoiled |= flight.began,
            None if self.sure => {}
            None => {
                let pause = now + pace.settle;
                let patient = pause <= since + pace.patience;
                self.look_at = if patient { Some(pause) } else { self.look_at.or(Some(pause)) };
            }
        }
    }

    pub(super) fn complete(&mut self, soonest: Moment) {
        self.writing = None;
        self.candidate = None;
        self.bad_since = None;
        match &mut self.flight {
            Some(flight) if !flight.began => flight.sure = true,
            _ => {
                self.sure = true;
                self.look_by(soonest);
            }
        }
    }

    pub(super) fn vanish(&mut self, now: Moment, pace: &Pace) {
        self.writing = None;
        self.candidate = None;
        let since = *self.bad_since.get_or_insert(now);
        if self.flight.as_ref().is_none_or(|flight| flight.began) {
            self.sure = true;
            self.look_at = Some(since + pace.settle);
        }
    }

    pub(super) fn look_by(&mut self, at: Moment) {
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// The first mark is back: from here on every write spoils the look.
    pub(super) fn begin(&mut self) {
        let writing = self.writing.is_some();
        if let Some(flight) = &mut self.flight {
            flight.began = true;
            flight.sure &= !writing;
        }
    }

    pub(super) fn doubt(&mut self) {
        self.sure = false;
        self.candidate = None;
    }

    fn judge(&mut self, look: Look, sure: bool, now: Moment, pace: &Pace) -> Judged {
        let torn = matches!(look, Look::Found { torn: true, .. });
        if (!sure || torn) && look != Look::Missing {
            match self.compare(look, now, pace) {
                Judged::Now(look) => self.hold_bad(look, now, pace),
                later => later,
            }
        } else {
            self.hold_bad(look, now, pace)
        }
    }

    /// A look that another one must agree with.
    fn compare(&mut self, look: Look, now: Moment, pace: &Pace) -> Judged {
        let impatient = match self.writing {
            Some((since, last)) if since + pace.patience > now => {
                if last + pace.settle > now {
                    return Judged::Later(last + pace.settle);
                }
                false
            }
            Some(_) => true,
            None => false,
        };
        match self.candidate.take() {
            Some((at, other)) if other.agrees(&look, impatient) => {
                if at + pace.settle <= now {
                    self.writing = None;
                    self.bad_since.get_or_insert(at);
                    return Judged::Now(look);
                }
                self.candidate = Some((at, other));
                Judged::Later(at + pace.settle)
            }
            _ => {
                self.candidate = Some((now, look));
                Judged::Later(now + pace.settle)
            }
        }
    }

    /// Something bad must last before it counts.
    fn hold_bad(&mut self, look: Look, now: Moment, pace: &Pace) -> Judged {
        let (good, old) = match &look {
            Look::Missing => (false, false),
            Look::Found { finding, old, .. } => (matches!(finding, Finding::Images(_)), *old),
        };
        let since = *self.bad_since.get_or_insert(now);
        if good || old || since + pace.settle <= now {
            self.bad_since = None;
            return Judged::Now(look);
        }
        self.sure = true;
        Judged::Later(since + pace.settle)
    }
}
