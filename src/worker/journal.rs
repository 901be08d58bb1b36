//! Where the state of services is kept and notices are told, as one.

use crate::model::{Alert, Kind, Notice, ServiceKey, Standing};
use crate::reconcile::Service;

/// What a look leaves behind.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The service.
    pub key: &'a ServiceKey,
    /// What kind of workload it has, where it has one.
    pub kind: Option<Kind>,
    /// Its state, where something changed that must survive a restart.
    pub service: Option<Kept<'a>>,
    /// What to tell.
    pub notices: Vec<Notice>,
    /// What a verdict among them made of the failures in a row, where that is news.
    pub standing: Option<Standing>,
    /// A request that changes the cluster follows: return only when the state is safe.
    pub before_action: bool,
}

/// A state to keep.
#[derive(Debug)]
pub enum Kept<'a> {
    /// This one.
    State(&'a Service),
    /// None: the service is not managed any more.
    Nothing,
}

/// Keeps states and tells notices. Must not block but for [`Entry::before_action`].
pub trait Journal: Send + Sync {
    /// Keeps and tells, in one transaction where there is a store.
    fn enter(&self, entry: Entry<'_>);

    /// Tells what holds everything up.
    fn alert(&self, alert: &Alert);

    /// Keeps what a person made of the failures in a row.
    fn stands(&self, standing: &Standing);
}
