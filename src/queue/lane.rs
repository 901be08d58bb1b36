//! The two lines in which keys wait. `[C]`
//!
//! News of rollouts under way comes while a thousand files wait for their PATCH, each of which keeps a
//! worker for as long as a request takes. In one line that news would wait until the last of them is
//! sent. So there are two, which are served in turn: neither waits for the end of the other.

/// A line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// May have any length: what files ask, what is due (alarms of rollouts too), what is compared anew.
    #[default]
    Ordinary,
    /// The next step of what was begun, and news of workloads and pods. A look there may send a request
    /// as well.
    Express,
}

impl Lane {
    /// The one whose turn it is after this.
    #[must_use]
    pub fn other(self) -> Lane {
        match self {
            Lane::Ordinary => Lane::Express,
            Lane::Express => Lane::Ordinary,
        }
    }
}

/// Something for each line.
#[derive(Debug)]
pub struct Lanes<T> {
    /// For [`Lane::Ordinary`].
    pub ordinary: T,
    /// For [`Lane::Express`].
    pub express: T,
}

impl<T> Lanes<T> {
    /// What there is for `lane`.
    pub fn of(&self, lane: Lane) -> &T {
        match lane {
            Lane::Ordinary => &self.ordinary,
            Lane::Express => &self.express,
        }
    }
}
