//! What can be watched, and what is told about it. `[C]`

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::call::Resource;
use super::error::ApiError;
use super::response::{Object, PodObject, WorkloadObject};
use crate::model::{Kind, Pod, Workload};

/// What can be watched.
pub trait Watched: Sized + Send + 'static {
    /// As the server sends it.
    #[doc(hidden)]
    type Wire: Object<Item = Self, Of = Self::Of> + DeserializeOwned;

    /// Which of them, where there are several kinds.
    type Of: Copy + Send + 'static;

    /// As the server names it.
    fn resource(of: Self::Of) -> Resource;

    /// Whether both are states of one object.
    #[doc(hidden)]
    fn is_same(&self, other: &Self) -> bool;
}

impl Watched for Workload {
    type Wire = WorkloadObject;
    type Of = Kind;

    fn resource(kind: Kind) -> Resource {
        kind.into()
    }

    fn is_same(&self, other: &Workload) -> bool {
        self.key == other.key
    }
}

impl Watched for Pod {
    type Wire = PodObject;
    type Of = ();

    fn resource((): ()) -> Resource {
        Resource::Pods
    }

    fn is_same(&self, other: &Pod) -> bool {
        (&self.namespace, &self.name) == (&other.namespace, &other.name)
    }
}

/// What a reflector tells, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent<T> {
    /// Everything there is. What was known before and is not among it is gone, except objects that
    /// are known from elsewhere in a newer version than this one.
    Restarted {
        /// All objects of the scope.
        items: Vec<T>,
        /// The moment of the list; 0 when the server's versions are not numbers.
        resource_version: u64,
    },
    /// The stream is open: from here on changes are told as they happen.
    Synced,
    /// An object is new or changed. May repeat a version that is known already.
    Applied(T),
    /// An object is gone; this is how it last was.
    Deleted(T),
    /// The view is getting old. What was told stays, and what is missed will be made up for.
    Disconnected {
        /// For people: what happened.
        why: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// As [`WatchEvent::Disconnected`], until somebody grants the permission.
    Forbidden {
        /// Names the permission.
        error: ApiError,
        /// When it is tried again.
        retry_in: Duration,
    },
}
