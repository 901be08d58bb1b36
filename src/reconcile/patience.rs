//! How long each sign of trouble may show before it is a failure.

use std::time::Duration;

use crate::model::Sign;

/// The grace of each kind of trouble. The usual one is what the README promises; tests scale it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For pulls that fail for a reason that may pass.
    pub pull: Duration,
    /// For containers and pods that cannot be created.
    pub create: Duration,
    /// For trouble that is told while the rollout goes on: no node, a stuck StatefulSet.
    pub tell: Duration,
    /// What a verdict at the time limit may still wait for its last question.
    pub question: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            pull: Duration::from_secs(60),
            create: Duration::from_secs(15),
            tell: Duration::from_secs(30),
            question: Duration::from_secs(5),
        }
    }
}

impl Patience {
    /// So many percent of it.
    #[must_use]
    pub fn percent(self, percent: u32) -> Patience {
        let scaled = |usual: Duration| usual * percent / 100;
        Patience {
            pull: scaled(self.pull),
            create: scaled(self.create),
            tell: scaled(self.tell),
            question: self.question,
        }
    }

    /// How long a sign may show before it is a failure; `None` where that is for the time limit to
    /// decide.
    pub(super) fn grace(self, sign: Sign) -> Option<Duration> {
        match sign {
            Sign::ImageUnusable | Sign::ImageNotFound | Sign::Crash | Sign::GivenUp => {
                Some(Duration::ZERO)
            }
            Sign::ContainerCreate | Sign::PodCreate => Some(self.create),
            Sign::ImagePull => Some(self.pull),
            Sign::Unschedulable | Sign::Stuck | Sign::Unready => None,
        }
    }
}
