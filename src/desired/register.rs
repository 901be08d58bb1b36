//! What every dep file asks for at this moment. `[C]`: no I/O, no clock, no locks.
//!
//! The last valid content of a file stays in force: a problem is remembered beside it and never
//! replaces it. A file that is gone leaves no entry.

use std::collections::HashMap;

use crate::model::{ImageSet, Problem, ServiceKey};

/// What one dep file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredState {
    /// The last valid content; `None` when there never was one.
    pub images: Option<ImageSet>,
    /// What is wrong with the content now, if anything.
    pub problem: Option<Problem>,
}

/// What all dep files say.
#[derive(Debug, Default)]
pub struct Register {
    by_key: HashMap<ServiceKey, DesiredState>,
}

impl Register {
    /// What the file of `key` says; `None` when there is no file.
    #[must_use]
    pub fn get(&self, key: &ServiceKey) -> Option<&DesiredState> {
        self.by_key.get(key)
    }

    /// Every service that has a file.
    pub fn keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.by_key.keys()
    }

    /// How many files there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The file asks for these images.
    pub fn images(&mut self, key: &ServiceKey, images: ImageSet) {
        let valid = DesiredState { images: Some(images), problem: None };
        self.by_key.insert(key.clone(), valid);
    }

    /// The file's content is invalid; what it said before stays in force.
    pub fn problem(&mut self, key: &ServiceKey, problem: Problem) {
        self.by_key.entry(key.clone()).or_default().problem = Some(problem);
    }

    /// The file is gone or empty.
    pub fn gone(&mut self, key: &ServiceKey) {
        self.by_key.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Image, fixture};

    #[test]
    fn the_last_valid_content_stays_in_force_while_the_file_is_broken() {
        let mut register = Register::default();
        let images = ImageSet::Single(Image::parse("nginx:1.25").expect("valid"));
        register.images(&fixture::key("web"), images.clone());
        let problem = Problem { place: Some((1, 1)), text: "no image".into() };
        register.problem(&fixture::key("web"), problem.clone());
        let state = register.get(&fixture::key("web")).expect("known");
        assert_eq!(state.images.as_ref(), Some(&images));
        assert_eq!(state.problem.as_ref(), Some(&problem));
        register.images(&fixture::key("web"), images);
        assert_eq!(register.get(&fixture::key("web")).expect("known").problem, None);
        register.gone(&fixture::key("web"));
        assert!(register.is_empty());
    }
}
