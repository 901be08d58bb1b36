//! Which file speaks for a service, when several sub-folders hold one of the same name. `[C]`
//!
//! Names are unique in one folder, so only a recursive observation ever sees a second speaker. The
//! first one told of counts, the others are refused until it is gone.

use std::collections::HashMap;

use super::settle::Name;
use crate::model::ServiceKey;

/// The files of each service: the first one speaks.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    by_key: HashMap<ServiceKey, Vec<Name>>,
}

impl Speakers {
    /// The file that speaks for `key` now that `name` is known: `name` itself if it is the first.
    pub(super) fn enter(&mut self, key: &ServiceKey, name: &Name) -> &Name {
        let names = self.by_key.entry(key.clone()).or_default();
        if !names.contains(name) {
            names.push(name.clone());
        }
        &names[0]
    }

    /// The other file that speaks for `key`, if `name` does not.
    pub(super) fn other(&mut self, key: &ServiceKey, name: &Name) -> Option<&Name> {
        Some(self.enter(key, name)).filter(|speaker| *speaker != name)
    }

    /// `name` is gone. Returns whether it was the speaker, and who speaks now.
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

    use super::{Name, Speakers};
    use crate::model::ServiceKey;

    #[test]
    fn the_first_file_speaks_until_it_is_gone() {
        let name = |text: &str| -> Name { OsString::from(text).into() };
        let key = ServiceKey::new("a", "b").unwrap();
        let mut speakers = Speakers::default();
        assert_eq!(speakers.enter(&key, &name("x/a_b.dep")), &name("x/a_b.dep"));
        assert_eq!(speakers.enter(&key, &name("y/a_b.dep")), &name("x/a_b.dep"));
        assert_eq!(speakers.enter(&key, &name("x/a_b.dep")), &name("x/a_b.dep"));
        assert_eq!(speakers.leave(&key, &name("x/a_b.dep")), (true, Some(name("y/a_b.dep"))));
        assert_eq!(speakers.leave(&key, &name("y/a_b.dep")), (true, None));
        assert_eq!(speakers.enter(&key, &name("x/a_b.dep")), &name("x/a_b.dep"));
    }
}
