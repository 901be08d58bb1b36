//! What every dep file asks for at this moment. `[C]`: no I/O, no clock, no locks.
//!
//! The last valid content of a file stays in force: a problem is remembered beside it and never
//! replaces it. A file that is gone leaves no entry.

use std::collections::{BTreeMap, HashMap};

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
    /// How many files each namespace has; none is zero.
    files_of: BTreeMap<Box<str>, usize>,
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

    /// Every service whose file asks for images, with these.
    pub fn asked(&self) -> impl Iterator<Item = (&ServiceKey, &ImageSet)> {
        self.by_key.iter().filter_map(|(key, desired)| Some((key, desired.images.as_ref()?)))
    }

    /// Every namespace that a file names, in order.
    pub fn namespaces(&self) -> impl ExactSizeIterator<Item = &str> {
        self.files_of.keys().map(|name| &**name)
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
        *self.of(key) = DesiredState { images: Some(images), problem: None };
    }

    /// The file's content is invalid; what it said before stays in force.
    pub fn problem(&mut self, key: &ServiceKey, problem: Problem) {
        self.of(key).problem = Some(problem);
    }

    /// The file is gone or empty.
    pub fn gone(&mut self, key: &ServiceKey) {
        if self.by_key.remove(key).is_none() {
            return;
        }
        if let Some(files) = self.files_of.get_mut(key.namespace()) {
            *files -= 1;
            if *files == 0 {
                self.files_of.remove(key.namespace());
            }
        }
    }

    /// The entry of `key`, made and counted where there is none.
    fn of(&mut self, key: &ServiceKey) -> &mut DesiredState {
        if !self.by_key.contains_key(key) {
            *self.files_of.entry(key.namespace().into()).or_default() += 1;
        }
        self.by_key.entry(key.clone()).or_default()
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

    #[test]
    fn a_namespace_is_named_as_long_as_one_of_its_files_is_there() {
        let mut register = Register::default();
        let images = ImageSet::Single(Image::parse("nginx:1.25").expect("valid"));
        let key = |service: &str, namespace: &str| ServiceKey::new(service, namespace).unwrap();
        let named = |register: &Register| register.namespaces().collect::<Vec<_>>().join(" ");
        register.images(&key("web", "qa"), images.clone());
        register.images(&key("web", "qa"), images.clone());
        register.problem(&key("api", "qa"), Problem { place: None, text: "no image".into() });
        register.images(&key("web", "prod"), images);
        assert_eq!(named(&register), "prod qa");
        register.gone(&key("web", "qa"));
        register.gone(&key("web", "qa"));
        assert_eq!(named(&register), "prod qa");
        register.gone(&key("api", "qa"));
        assert_eq!(named(&register), "prod");
    }
}
