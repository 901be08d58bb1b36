//! Which file speaks for a service, when several sub-folders hold one of the same name. `[C]`
//!
//! Names are unique in one folder, so only a recursive observation ever sees a second speaker. The
//! first one in the order of names counts, the others are refused until it is gone: so it does not
//! depend on which of them was seen first, and is the same after a restart. A file that is empty
//! asks for nothing, and keeps no other from speaking.

use std::collections::HashMap;

use super::settle::Name;
use crate::model::ServiceKey;

/// The files of each service, in order: the first one speaks.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    by_key: HashMap<ServiceKey, Vec<Name>>,
}

/// What becomes of a file that has something to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It speaks.
    Speaks,
    /// It speaks from now on, in place of this one.
    Displaced(Name),
    /// This one speaks.
    Second(Name),
}

impl Speakers {
    /// `name` has something to say for `key`.
    pub(super) fn enter(&mut self, key: &ServiceKey, name: &Name) -> Entered {
        // One is the rule, and there may be ten thousand services.
        let names = self.by_key.entry(key.clone()).or_insert_with(|| Vec::with_capacity(1));
        let before = names.first().cloned();
        if let Err(at) = names.binary_search(name) {
            names.insert(at, name.clone());
        }
        match (before, names.first()) {
            (Some(before), Some(first)) if before != *first => Entered::Displaced(before),
            (Some(before), _) if before != *name => Entered::Second(before),
            _ => Entered::Speaks,
        }
    }

    /// `name` is gone or empty. Returns whether it was the speaker, and who speaks now.
    pub(super) fn leave(&mut self, key: &ServiceKey, name: &Name) -> (bool, Option<Name>) {
        let Some(names) = self.by_key.get_mut(key) else { return (true, None) };
        let spoke = names.first() == Some(name);
        names.retain(|other| other != name);
        let next = names.first().cloned();
        if next.is_none() {
            self.by_key.remove(key);
        }
        (spoke, next)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Entered, Name, Speakers};
    use crate::model::ServiceKey;

    #[test]
    fn the_first_file_by_name_speaks_until_it_is_gone_whichever_was_seen_first() {
        let name = |text: &str| -> Name { OsString::from(text).into() };
        let (x, y, z) = (name("x/a_b.dep"), name("y/a_b.dep"), name("z/a_b.dep"));
        let key = ServiceKey::new("a", "b").unwrap();
        let mut speakers = Speakers::default();
        assert_eq!(speakers.enter(&key, &y), Entered::Speaks);
        assert_eq!(speakers.enter(&key, &z), Entered::Second(y.clone()));
        assert_eq!(speakers.enter(&key, &x), Entered::Displaced(y.clone()));
        assert_eq!(speakers.enter(&key, &x), Entered::Speaks);
        assert_eq!(speakers.enter(&key, &y), Entered::Second(x.clone()));
        assert_eq!(speakers.leave(&key, &y), (false, Some(x.clone())));
        assert_eq!(speakers.leave(&key, &x), (true, Some(z.clone())));
        assert_eq!(speakers.leave(&key, &z), (true, None));
        assert_eq!(speakers.leave(&key, &z), (true, None));
        assert_eq!(speakers.enter(&key, &z), Entered::Speaks);
    }
}
