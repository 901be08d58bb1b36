//! What somebody else changed in the cluster, while the file stayed as it is.

use std::time::Duration;

use super::plan::{Draft, hold};
use super::{Drift, resolve};
use crate::model::{Change, ImageSet, Successor, Target, What, Workload};

/// The longest wait between two corrections of drift.
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);

impl Draft<'_> {
    /// Somebody else changed the images. Unless the settings say otherwise nobody's work at night is
    /// undone: it is said, once. A rollout that was under way is over, and people wait for its end: so
    /// it is said even where drift is to be ignored.
    pub(super) fn drifted(
        &mut self,
        images: &ImageSet,
        workload: &Workload,
        differing: &[Target],
        accepted: &[Change],
    ) {
        let changes = resolve::changes(differing, workload);
        let changes: Vec<Change> = changes.into_iter().map(Change::reversed).collect();
        let interrupted = self.plan.service.in_flight();
        if interrupted {
            let by = Successor::SomebodyElse;
            self.say(What::Superseded { changes: accepted.to_vec(), by });
        }
        self.settle(images, workload, accepted.to_vec());
        match self.view.policy.drift {
            Drift::Ignore if !interrupted => {}
            Drift::Ignore | Drift::Report => {
                self.complain(What::Drift { changes, corrected: false })
            }
            // What was rolled back is not put back.
            Drift::Correct if self.plan.service.rejected.as_ref() == Some(images) => {
                self.complain(What::Drift { changes, corrected: false });
            }
            Drift::Correct => self.correct(images, workload, differing, changes),
        }
    }

    /// Puts the file's images back; each time that did not last, the wait before the next doubles.
    /// A fight is said once.
    fn correct(
        &mut self,
        images: &ImageSet,
        workload: &Workload,
        differing: &[Target],
        changes: Vec<Change>,
    ) {
        let now = self.view.now;
        if hold(workload).is_some() || !self.view.admitted {
            // Nothing is sent, so there is nothing to count.
            return self.change(images, workload, differing);
        }
        let service = &mut self.plan.service;
        let wait = correction_pause(service.corrections);
        let due = service.corrected_at.map_or(now, |last| last + wait);
        if now < due {
            return self.wake_at(due);
        }
        // What lasted for longer than the longest wait was no fight.
        let lasted = service.corrected_at.is_some_and(|last| now.since(last) > LONGEST_PAUSE);
        service.corrections = if lasted { 1 } else { service.corrections.saturating_add(1) };
        service.corrected_at = Some(now);
        if service.corrections == 1 {
            self.say(What::Drift { changes, corrected: true });
        }
        self.change(images, workload, differing);
    }
}

/// The wait before the next correction of drift: none, then 30 s, doubling up to half an hour.
fn correction_pause(corrections: u32) -> Duration {
    match corrections {
        0 => Duration::ZERO,
        n => Duration::from_secs(30 << (n - 1).min(10)).min(LONGEST_PAUSE),
    }
}
