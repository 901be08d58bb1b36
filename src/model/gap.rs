//! A time in which a watch showed nothing.
//!
//! What the cache holds is then older than what happened, and how long it stays the same says nothing:
//! a rollout may have gone on, or the API server may have stood still with everything else.

use std::time::Duration;

use super::Moment;

/// How long after a stream is open again a gap goes on: what happened in it has yet to be read.
const CATCH_UP: Duration = Duration::from_secs(5);

/// From the end of one stream until another one goes on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Since then nothing is shown.
    pub since: Moment,
    /// Since then it is again; `None` while it is not.
    pub until: Option<Moment>,
    /// It was over before, and that stream ended before it had caught up.
    pub relapsed: bool,
}

impl Gap {
    /// One that begins.
    #[must_use]
    pub fn begin(now: Moment) -> Gap {
        Gap { since: now, until: None, relapsed: false }
    }

    /// Nothing is shown.
    #[must_use]
    pub fn is_open(self) -> bool {
        self.until.is_none()
    }

    /// Nothing is shown at all. Where no stream lasts, lists come all the same, and each is the truth of its
    /// moment.
    #[must_use]
    pub fn is_dark(self) -> bool {
        self.is_open() && !self.relapsed
    }

    /// When what happened in it is known as well; not before this, while it is open.
    #[must_use]
    pub fn end(self, now: Moment) -> Moment {
        self.until.unwrap_or(now) + CATCH_UP
    }

    /// The time in which neither of two watches showed anything.
    #[must_use]
    pub fn common(self, other: Gap) -> Option<Gap> {
        let since = self.since.max(other.since);
        let until = self.until.into_iter().chain(other.until).min();
        let relapsed = self.relapsed || other.relapsed;
        until.is_none_or(|until| until > since).then_some(Gap { since, until, relapsed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_watches_have_in_common_what_neither_showed() {
        let gap = |since, until: Option<u64>| Gap {
            since: Moment(since),
            until: until.map(Moment),
            relapsed: false,
        };
        for (one, other, expect) in [
            (gap(1, Some(4)), gap(2, Some(5)), Some(gap(2, Some(4)))),
            (gap(1, None), gap(2, Some(5)), Some(gap(2, Some(5)))),
            (gap(1, None), gap(2, None), Some(gap(2, None))),
            (gap(1, Some(2)), gap(2, None), None),
        ] {
            assert_eq!(one.common(other), expect);
            assert_eq!(other.common(one), expect);
        }
    }
}
