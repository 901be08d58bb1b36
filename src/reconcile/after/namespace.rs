//! What is known of the namespace of a service that has no workload yet, and of its creation. `[C]`

use std::time::Duration;

use super::Draft;
use crate::model::{NamespaceState, What};
use crate::reconcile::{Creation, Phase};

impl Draft<'_> {
    pub(super) fn namespace(&mut self, state: NamespaceState) {
        let Phase::Waiting(waiting) = &mut self.plan.service.phase else { return };
        match state {
            NamespaceState::Active if waiting.creation == Creation::InDoubt => {
                self.namespace_created();
            }
            NamespaceState::Active => {
                waiting.create = false;
                waiting.creation = Creation::NotAsked;
                waiting.looked = true;
                self.pending(What::WorkloadMissing);
            }
            NamespaceState::Missing
                if waiting.may_create && waiting.creation != Creation::InDoubt =>
            {
                waiting.create = true;
            }
            NamespaceState::Missing => {
                let is_in_doubt = waiting.creation == Creation::InDoubt;
                waiting.create = false;
                waiting.may_create = false;
                waiting.creation = Creation::NotAsked;
                waiting.looked = true;
                self.pending(match is_in_doubt {
                    true => What::NamespaceInDoubt,
                    false => What::NamespaceGone,
                });
            }
            NamespaceState::Terminating => self.namespace_terminating(),
        }
    }

    /// Says what the service waits for, unless its workload's deletion was told just before.
    pub(super) fn pending(&mut self, what: What) {
        match &self.plan.service.phase {
            Phase::Waiting(waiting) if waiting.told => self.plan.service.complaint = Some(what),
            _ => self.complain(what),
        }
    }

    pub(super) fn namespace_terminating(&mut self) {
        self.creation_came_to(Creation::NotAsked);
        if let Phase::Waiting(waiting) = &mut self.plan.service.phase {
            waiting.create = false;
        }
        self.pending(What::NamespaceTerminating);
        self.pause(Duration::from_secs(5));
    }

    pub(super) fn namespace_created(&mut self) {
        if let Phase::Waiting(waiting) = &mut self.plan.service.phase {
            waiting.create = false;
            waiting.may_create = false;
            waiting.creation = Creation::NotAsked;
            waiting.looked = true;
            self.complain(What::NamespaceCreated);
        }
    }

    /// What was asked for now came to this. What is in doubt of before stays so.
    pub(super) fn creation_came_to(&mut self, known: Creation) {
        if let Phase::Waiting(waiting) = &mut self.plan.service.phase
            && waiting.creation == Creation::Asked
        {
            waiting.creation = known;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Image, ImageSet, Moment, fixture};
    use crate::reconcile::{Reply, Service, Waiting, after};

    #[test]
    fn a_namespace_that_somebody_else_created_meanwhile_is_not_created_again() {
        let image = Image::parse("nginx:1.25").expect("valid");
        let waiting = Waiting {
            desired: ImageSet::Single(image),
            looked: false,
            told: false,
            may_create: true,
            create: true,
            creation: Creation::Asked,
        };
        let service = Service { phase: Phase::Waiting(waiting), ..Service::default() };
        let found = Ok(Reply::Namespace(NamespaceState::Active));
        let plan = after(&service, &fixture::key("web"), found, Moment(0), 0);
        let Phase::Waiting(waiting) = &plan.service.phase else { panic!("{plan:?}") };
        assert!(waiting.looked && !waiting.create, "{waiting:?}");
    }
}
