//! The controllers and kubelets of the simulated cluster: one small turn at a time.
//!
//! A turn does the next thing that is to be done for one workload: it observes the generation, makes
//! a pod, lets one become ready or fail, removes an old one. Status changes raise the resource
//! version and not the generation, as on a real API server.

use depd::model::{ContainerState, Kind, Pod, PodContainer, Replicas, ServiceKey, Terminated};

use crate::cluster::{Cluster, Fate, Seen, asked, fate};

impl Cluster {
    /// The workloads for which a controller has something to do.
    pub fn busy(&self) -> Vec<ServiceKey> {
        if self.stalled {
            return Vec::new();
        }
        self.objects.keys().filter(|key| self.next_turn(key).is_some()).cloned().collect()
    }

    /// One turn for one workload.
    pub fn turn(&mut self, key: &ServiceKey) {
        let Some(turn) = self.next_turn(key) else { return };
        self.take(key, turn);
        self.note_reached(key);
    }

    fn next_turn(&self, key: &ServiceKey) -> Option<Turn> {
        let object = self.objects.get(key)?;
        let workload = &object.workload;
        let image = &*workload.containers[0].image;
        let Replicas { wanted, total, updated, .. } = workload.replicas;
        let old = total - updated;
        let works = matches!(fate(image), Fate::Good | Fate::Pinned | Fate::Denied)
            || self.healed.contains(asked(image));
        if workload.observed_generation < workload.generation {
            Some(Turn::Observe)
        } else if updated > wanted {
            Some(Turn::ScaleDown)
        } else if works && object.new_ready < updated {
            Some(Turn::Ready)
        } else if workload.kind != Kind::Deployment {
            // No pod more than wanted: an old one makes room for a new one.
            let may_replace = works || updated == 0;
            if old > 0 && (total > wanted || total == wanted && may_replace) {
                Some(Turn::RemoveOld)
            } else if total < wanted && may_replace {
                Some(Turn::Create)
            } else if !works && updated > 0 && !self.shows_trouble(key) {
                Some(Turn::Trouble)
            } else {
                None
            }
        } else if works && old > 0 && (total > wanted || updated == wanted) {
            Some(Turn::RemoveOld)
        } else if updated < if works { wanted } else { wanted.min(1) } {
            Some(Turn::Create)
        } else if !works && updated > 0 && !self.shows_trouble(key) {
            Some(Turn::Trouble)
        } else {
            None
        }
    }

    fn shows_trouble(&self, key: &ServiceKey) -> bool {
        let object = &self.objects[key];
        let fate = fate(&object.workload.containers[0].image);
        let new = |pod: &&Pod| is_new(pod, object.workload.kind, &object.hash);
        object.pods.values().filter(new).all(|pod| {
            let own = &pod.containers[0];
            let pulls = |reason: &str| reason == "ErrImagePull";
            match fate {
                Fate::Missing => {
                    matches!(&own.state, ContainerState::Waiting { reason, .. } if pulls(reason))
                }
                Fate::Crash => own.restarts >= 3,
                _ => true,
            }
        })
    }

    fn take(&mut self, key: &ServiceKey, turn: Turn) {
        let number = self.version;
        let object = self.objects.get_mut(key).expect("it is there");
        let image = object.workload.containers[0].image.clone();
        let hash = object.hash.clone();
        let kind = object.workload.kind;
        let counts = &mut object.workload.replicas;
        let mut told = None;
        match turn {
            Turn::Observe => {
                object.workload.observed_generation = object.workload.generation;
                if object.template != image {
                    object.template = image.clone();
                    object.hash = format!("h{}", object.workload.generation);
                    if let Some(number) = object.workload.revision.as_deref()
                        && kind == Kind::DaemonSet
                    {
                        object.hash = number.to_owned();
                    }
                    if kind == Kind::StatefulSet {
                        object.workload.revision = Some(object.hash.as_str().into());
                    }
                    counts.updated = 0;
                    object.new_ready = 0;
                }
            }
            Turn::Create => {
                counts.updated += 1;
                counts.total += 1;
                let name = format!("{}-{hash}-{number}", key.service());
                let pod = new_pod(key, &name, (kind, &hash), &image);
                object.pods.insert(name, pod.clone());
                told = Some(Seen::Pod(pod));
            }
            Turn::Ready => {
                object.new_ready += 1;
                counts.ready += 1;
                counts.available += 1;
                let new = |pod: &&mut Pod| is_new(pod, kind, &hash) && !pod.ready;
                if let Some(pod) = object.pods.values_mut().find(new) {
                    pod.ready = true;
                    pod.containers[0].ready = true;
                    pod.containers[0].state = ContainerState::Running;
                    told = Some(Seen::Pod(pod.clone()));
                }
            }
            Turn::RemoveOld | Turn::ScaleDown => {
                counts.total -= 1;
                let is_old = turn == Turn::RemoveOld;
                if !is_old {
                    counts.updated -= 1;
                }
                let gone = |pod: &&Pod| is_new(pod, kind, &hash) != is_old;
                let gone = object.pods.values().find(gone).map(|pod| pod.name.to_string());
                let gone = gone.and_then(|name| object.pods.remove(&name));
                if let Some(pod) = gone {
                    if pod.ready {
                        counts.ready -= 1;
                        counts.available -= 1;
                        object.new_ready -= i32::from(!is_old);
                    }
                    told = Some(Seen::PodGone(pod));
                }
            }
            Turn::Trouble => {
                let new = |pod: &&mut Pod| is_new(pod, kind, &hash);
                if let Some(pod) = object.pods.values_mut().find(new) {
                    worsen(&mut pod.containers[0], &image);
                    told = Some(Seen::Pod(pod.clone()));
                }
                // Nothing about the Deployment changes.
                return told.into_iter().for_each(|seen| self.tell(seen));
            }
        }
        told.into_iter().for_each(|seen| self.tell(seen));
        self.touch(key);
    }

    fn note_reached(&mut self, key: &ServiceKey) {
        let object = &self.objects[key];
        let workload = &object.workload;
        let Replicas { wanted, total, updated, .. } = workload.replicas;
        let complete = workload.observed_generation == workload.generation
            && updated == wanted
            && total == updated
            && object.new_ready == updated;
        if complete {
            let image = workload.containers[0].image.to_string();
            self.reached.insert((workload.uid.to_string(), image));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Observe,
    Create,
    Ready,
    RemoveOld,
    ScaleDown,
    Trouble,
}

fn is_new(pod: &Pod, kind: Kind, hash: &str) -> bool {
    let own = |(k, v): &(Box<str>, Box<str>)| **k == *kind.revision_label() && **v == *hash;
    pod.labels.iter().any(own)
}

fn new_pod(key: &ServiceKey, name: &str, (kind, hash): (Kind, &str), image: &str) -> Pod {
    let label = |name: &str, value: &str| (name.into(), value.into());
    Pod {
        namespace: key.namespace().into(),
        name: name.into(),
        uid: name.into(),
        resource_version: 0,
        unschedulable: None,
        labels: Box::new([label("app", key.service()), label(kind.revision_label(), hash)]),
        deleting: false,
        ready: false,
        containers: Box::new([PodContainer {
            name: "app".into(),
            init: false,
            ready: false,
            restarts: 0,
            image: image.into(),
            state: ContainerState::Waiting {
                reason: "ContainerCreating".into(),
                message: "".into(),
            },
            last: None,
        }]),
    }
}

fn worsen(container: &mut PodContainer, image: &str) {
    let waiting = |reason: &str, message: String| ContainerState::Waiting {
        reason: reason.into(),
        message: message.into(),
    };
    match fate(image) {
        Fate::Missing => {
            container.state = waiting("ErrImagePull", format!("{image}: not found"));
        }
        _ => {
            container.restarts += 1;
            container.state = waiting("CrashLoopBackOff", "back-off restarting".into());
            container.last =
                Some(Terminated { exit_code: 1, reason: "Error".into(), message: "".into() });
        }
    }
}
