//! Before a rollout starts: is the image in ECR? `[E]`
//!
//! Only a clear no stops a rollout. What cannot be found out (rights, network, a cache that fetches from
//! elsewhere) is logged, and the cluster finds out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use log::warn;

use super::aws::Aws;
use super::images::{self, Presence};
use crate::model::{EcrRegistry, Image};

/// A rollout waits for its check at most this long.
const LIMIT: Duration = Duration::from_secs(5);

/// Checks at the same time, so that a silent ECR leaves workers for other services.
const AT_ONCE: usize = 8;

/// Pages of a thousand tags that are searched for near ones.
const PAGES: usize = 5;

/// Why a rollout must not start now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Too many others are being checked; ask again at once.
    Busy,
    /// The image is not there; a sentence.
    Missing(String),
}

/// Asks ECR about images.
#[derive(Debug)]
pub struct Checks {
    aws: Arc<Aws>,
    running: AtomicUsize,
}

impl Checks {
    pub(super) fn new(aws: Arc<Aws>) -> Checks {
        Checks { aws, running: AtomicUsize::new(0) }
    }

    /// Whether every image of ECR among these is there, as far as that can be found out.
    ///
    /// # Errors
    /// One is not.
    pub fn check(&self, images: &[Image]) -> Result<(), Absence> {
        let _place = Place::take(&self.running).ok_or(Absence::Busy)?;
        let own = images.iter().filter_map(|image| Some((image, EcrRegistry::of(image)?)));
        for (image, registry) in own {
            let has_repository = match self.presence(&registry, image) {
                Presence::There => continue,
                Presence::Unknown(why) => {
                    warn!("whether {image} is in ECR is not known ({why}); it is rolled out");
                    continue;
                }
                Presence::NoImage => true,
                Presence::NoRepository => false,
            };
            let near = match (has_repository, image.digest(), image.tag()) {
                (true, None, Some(tag)) => images::nearest(tag, &self.tags(&registry, image)),
                _ => Vec::new(),
            };
            let sentence = images::missing(&registry, image, has_repository, &near);
            return Err(Absence::Missing(sentence));
        }
        Ok(())
    }

    fn presence(&self, registry: &EcrRegistry, image: &Image) -> Presence {
        use super::aws::CallError;
        let body = images::question(registry, image);
        match self.aws.ecr(registry, "BatchGetImage", &body, LIMIT) {
            Ok(answer) => images::presence(&answer),
            Err(CallError::Refused(error)) => images::refusal(&error),
            Err(CallError::NotAsked(why)) => Presence::Unknown(why),
        }
    }

    /// As many tags as can be had; none where that is not allowed.
    fn tags(&self, registry: &EcrRegistry, image: &Image) -> Vec<String> {
        let mut all = Vec::new();
        let mut page: Option<String> = None;
        for _ in 0..PAGES {
            let body = images::all_tags(registry, image, page.as_deref());
            let Ok(answer) = self.aws.ecr(registry, "ListImages", &body, LIMIT) else { break };
            let (tags, next) = images::tags(&answer);
            all.extend(tags);
            page = next;
            if page.is_none() {
                break;
            }
        }
        all
    }
}

/// One of [`AT_ONCE`].
struct Place<'a>(&'a AtomicUsize);

impl Place<'_> {
    fn take(running: &AtomicUsize) -> Option<Place<'_>> {
        let add = |n: usize| (n < AT_ONCE).then_some(n + 1);
        running.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).ok().map(|_| Place(running))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
