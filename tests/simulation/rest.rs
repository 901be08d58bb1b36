//! The checkers of what is left when everything has come to rest, after the last fault.

use std::collections::BTreeMap;

use depd::model::{ServiceKey, What, Workload};

use crate::checks::{Checks, Record, Story, name};
use crate::cluster::{Cluster, Fate, asked, fate};
use crate::folder::Folder;

impl Checks {
    /// Everything has come to rest.
    pub fn at_rest(
        &mut self,
        folder: &Folder,
        cluster: &Cluster,
        last: &BTreeMap<ServiceKey, bool>,
    ) {
        for id in 0..self.records.len() {
            let Some(record) = &self.records[id] else { continue };
            if record.is_message && !self.store_lost && !self.received.contains_key(&id) {
                let Record { key, what, .. } = record;
                self.fail(format!("lost message: nobody heard of {key}: {what:?}"));
            }
        }
        self.check_ended();
        if self.halted {
            return;
        }
        for (key, is_new) in last {
            match is_new {
                true => self.check_converged(key, folder, cluster),
                false => self.check_reverted(key, folder, cluster),
            }
        }
        for (key, written) in cluster.own.iter().filter(|(key, _)| last.get(*key) != Some(&true)) {
            self.check_own(key, written, folder, cluster);
        }
    }

    /// Whatever was said to begin was said to end.
    fn check_ended(&mut self) {
        let open = self.stories.iter().find(|(_, story)| **story == Story::Open);
        if let Some((key, _)) = open.filter(|_| !self.store_lost) {
            self.fail(format!("no end: {key} began, and how it ended was not told"));
        }
    }

    /// depd changed the images, nobody did after it, and the file still asks for them: whatever died
    /// in between, somebody must have heard how it went.
    fn check_own(
        &mut self,
        key: &ServiceKey,
        (uid, image): &(String, String),
        folder: &Folder,
        cluster: &Cluster,
    ) {
        let is_same = |seen: &Workload| *seen.uid == **uid && *seen.containers[0].image == **image;
        let stands = cluster.get(key).is_some_and(|seen| is_same(&seen));
        if !stands || folder.last(key).as_deref() != Some(asked(image)) || self.store_lost {
            return;
        }
        if self.told(key, asked(image)).is_empty() {
            self.fail(format!("outcome: {key} was moved to {image}, and nothing was told"));
        }
    }

    /// The outcomes that were told of this image.
    fn told(&self, key: &ServiceKey, image: &str) -> Vec<&'static str> {
        let of_image = |what: &What| match what {
            What::Succeeded { changes, .. }
            | What::Failed { changes, .. }
            | What::TimedOut { changes, .. }
            | What::Refused { changes, .. } => {
                changes.iter().any(|change| asked(&change.to) == image)
            }
            _ => false,
        };
        let own = self.records.iter().flatten().filter(|r| r.key == *key && of_image(&r.what));
        own.map(|record| name(&record.what)).collect()
    }

    /// The last content was written after everybody else's last change, so it must be in force, and
    /// its outcome told.
    fn check_converged(&mut self, key: &ServiceKey, folder: &Folder, cluster: &Cluster) {
        let wish = folder.last(key).unwrap_or_default();
        let runs = cluster.image(key).unwrap_or_default();
        let fate = fate(&wish);
        let told = self.told(key, &wish);
        if (asked(&runs) == wish) == (fate == Fate::Denied) && !self.came_back(key, told.last()) {
            return self.fail(format!("not converged: {key} asks for {wish} and runs {runs}"));
        }
        let fits = match fate {
            Fate::Good | Fate::Pinned => told == ["succeeded"],
            Fate::Hang => told == ["timed out"],
            Fate::Missing | Fate::Crash => told == ["failed"] || told == ["timed out"],
            Fate::Denied => told.first() == Some(&"refused"),
        };
        if !fits && (!self.store_lost || told.is_empty()) {
            self.fail(format!("outcome: of {key} with {wish} was told {told:?}"));
        }
    }

    /// The rollout failed, and the last good images were put back, or run in a workload of that name since.
    fn came_back(&self, key: &ServiceKey, told: Option<&&'static str>) -> bool {
        let of_key = self.records.iter().flatten().filter(|record| record.key == *key);
        let ends = ["rolled back", "rollback failed", "rejected"];
        let last = of_key.map(|record| name(&record.what)).rfind(|name| ends.contains(name));
        // Images that were put back may not run either, and stay all the same.
        matches!(told, Some(&"failed" | &"timed out")) && last.is_some()
    }

    /// The last content is one that the file had before: it must be in force, unless somebody else has
    /// changed the image since depd did, which is theirs as long as the file stays the same.
    fn check_reverted(&mut self, key: &ServiceKey, folder: &Folder, cluster: &Cluster) {
        let wish = folder.last(key).unwrap_or_default();
        let runs = cluster.image(key).unwrap_or_default();
        let told = self.told(key, &wish);
        let is_denied = fate(&wish) == Fate::Denied;
        let is_theirs = cluster.own.get(key).is_none_or(|(_, image)| *image != runs);
        if is_theirs || cluster.unforeseen.contains(key) {
            return;
        }
        if (asked(&runs) == wish) == is_denied && !self.came_back(key, told.last()) {
            self.fail(format!("not converged: {key} asks again for {wish} and runs {runs}"));
        }
    }
}
