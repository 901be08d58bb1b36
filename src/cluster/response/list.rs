//! A list, or one page of it, taken in item by item. `[C]`
//!
//! What a server sends is bounded here before it is in memory as a whole: an item that cannot be one
//! ends the reading at once, and so does the one after the last that fits. A few bytes of text become
//! many times as many in memory, so that a bound on the text alone is none.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{EventObject, Meta, PodObject, ReplicaSet, WorkloadObject};
use crate::cluster::request::PAGE;

/// Items of one answer; a server that holds to the limit of a request sends a tenth of it.
pub(in crate::cluster) const ITEMS_MAX: usize = 10 * PAGE as usize;

/// Items of all pages of a list: twice the pods of the largest cluster that Kubernetes supports.
pub(in crate::cluster) const TOTAL_MAX: usize = 300_000;

/// A list, or one page of it.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Part"))]
pub(in crate::cluster) struct List<T> {
    #[serde(default)]
    pub metadata: ListMeta,
    pub items: Option<Items<T>>,
}

/// `metadata` of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::cluster) struct ListMeta {
    pub resource_version: String,
    /// Asks for the next page; empty on the last one.
    pub r#continue: String,
}

/// The items, of which there are not too many.
#[derive(Debug)]
pub(in crate::cluster) struct Items<T>(Vec<T>);

/// What a list may hold.
pub trait Part {
    /// It has what every object of an API server has.
    fn is_whole(&self) -> bool {
        true
    }
}

impl Meta {
    fn is_whole(&self) -> bool {
        !self.name.is_empty() && !self.uid.is_empty()
    }
}

impl Part for WorkloadObject {
    fn is_whole(&self) -> bool {
        self.metadata.is_whole()
    }
}

impl Part for PodObject {
    fn is_whole(&self) -> bool {
        self.metadata.is_whole()
    }
}

impl Part for ReplicaSet {
    fn is_whole(&self) -> bool {
        self.metadata.is_whole()
    }
}

/// Of which no identity is kept.
impl Part for EventObject {}
impl Part for IgnoredAny {}

impl<T> List<T> {
    /// The items, and what is said about the list.
    pub(in crate::cluster) fn into_parts(self) -> (ListMeta, Vec<T>) {
        (self.metadata, self.items.map(|items| items.0).unwrap_or_default())
    }
}

impl<'de, T: Deserialize<'de> + Part> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Items<T>, D::Error> {
        deserializer.deserialize_seq(Taking(PhantomData))
    }
}

struct Taking<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Part> Visitor<'de> for Taking<T> {
    type Value = Items<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Items<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element::<T>()? {
            if !item.is_whole() {
                return Err(A::Error::custom("an item of the list has no name or no uid"));
            }
            if items.len() == ITEMS_MAX {
                let text = format!("the list has more than {ITEMS_MAX} items in one answer");
                return Err(A::Error::custom(text));
            }
            items.push(item);
        }
        Ok(Items(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(count: usize, item: &str) -> Result<usize, String> {
        let text = format!("{{\"items\":[{}]}}", vec![item; count].join(","));
        let read = serde_json::from_str::<List<PodObject>>(&text);
        read.map(|list| list.into_parts().1.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_holds_whole_objects_and_not_too_many() {
        let whole = r#"{"metadata":{"name":"a","uid":"b"}}"#;
        assert_eq!(pods(0, whole), Ok(0));
        assert_eq!(pods(ITEMS_MAX, whole), Ok(ITEMS_MAX));
        let check = |read: Result<usize, String>, expect: &str| {
            assert!(read.clone().is_err_and(|error| error.contains(expect)), "{read:?}");
        };
        check(pods(ITEMS_MAX + 1, whole), "more than 5000 items");
        check(pods(1, r#"{"metadata":{}}"#), "no name or no uid");
        check(pods(1, r#"{"metadata":{"name":"a"}}"#), "no name or no uid");
        // What follows is not even looked at.
        check(pods(1, r#"{"metadata":{}},{"metadata":"nonsense"}"#), "no name or no uid");
        let none = serde_json::from_str::<List<PodObject>>(r#"{"items":null}"#).expect("a list");
        assert!(none.into_parts().1.is_empty());
    }
}
