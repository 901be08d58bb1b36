//! Amazon ECR in the daemon: who speaks to it, and where pull secrets are in use. `[E]`

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Weak};

use crossbeam_channel::{Sender, bounded};

use crate::cluster::Client;
use crate::model::{Alert, EcrRegistry, Image, PULL_SECRET, Workload};
use crate::registry::{InUse, Registry, RegistrySettings};
use crate::worker::{Floor, StepRunner, WithRegistry};

/// Access to ECR, where the settings ask for it.
pub fn open(settings: &RegistrySettings, client: &Client) -> Option<Registry> {
    let wanted = settings.pull_secret || settings.check;
    wanted.then(|| Registry::new(settings, client.clone()))
}

/// Who performs the steps.
pub fn runner(client: &Client, registry: Option<&Registry>) -> Box<dyn StepRunner> {
    let client = client.clone();
    match registry {
        Some(registry) => Box::new(WithRegistry { client, registry: registry.clone() }),
        None => Box::new(client),
    }
}

/// Renews what is in use until the returned sender is dropped.
///
/// # Errors
/// The operating system gives no thread.
pub fn keep(registry: &Registry, floor: &Arc<Floor>) -> io::Result<Sender<()>> {
    let (running, stop) = bounded(0);
    let (floor, journal) = (Arc::downgrade(floor), Arc::downgrade(floor));
    let tell = move |alert: &Alert| {
        if let Some(floor) = journal.upgrade() {
            floor.journal.alert(alert);
        }
    };
    Arc::clone(&registry.pull_secrets).keep(move || in_use(&floor), tell, stop)?;
    Ok(running)
}

/// `None` until start-up has seen the cluster and lets it be changed: nothing is renewed in a cluster that is not the one
/// of the last run.
fn in_use(floor: &Weak<Floor>) -> Option<InUse> {
    let floor = floor.upgrade()?;
    if !floor.gate.lock().is_open() {
        return None;
    }
    let cache = floor.workloads.read();
    Some(of(cache.all().map(|workload| &**workload)))
}

/// The registries of the workloads that use depd's pull secret, with a dep file or without, as far as they
/// are watched.
fn of<'a>(workloads: impl Iterator<Item = &'a Workload>) -> InUse {
    let mut found = InUse::new();
    for workload in workloads {
        if !workload.pull_secrets.iter().any(|name| &**name == PULL_SECRET) {
            continue;
        }
        let containers = workload.containers.iter().chain(&workload.init_containers);
        let images = containers.filter_map(|container| Image::parse(&container.image).ok());
        let registries: BTreeSet<EcrRegistry> =
            images.filter_map(|image| EcrRegistry::of(&image)).collect();
        if !registries.is_empty() {
            found.entry(workload.key.namespace().into()).or_default().extend(registries);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Container, fixture};

    fn workload(name: &str, secret: &str, image: &str) -> Workload {
        let healthy = fixture::workload(name);
        let container = Container { image: image.into(), ..healthy.containers[0].clone() };
        let pull_secrets = Box::new([secret.into()]);
        Workload { pull_secrets, containers: Box::new([container]), ..healthy }
    }

    #[test]
    fn only_workloads_that_name_the_secret_and_run_images_of_ecr_count() {
        let host = |region: &str| format!("123456789012.dkr.ecr.{region}.amazonaws.com");
        let image = |region: &str| format!("{}/shop:1", host(region));
        let all = [
            workload("a", PULL_SECRET, &image("eu-west-1")),
            workload("b", PULL_SECRET, &image("us-east-1")),
            workload("c", "regcred", &image("eu-west-2")),
            workload("d", PULL_SECRET, "nginx:1.25"),
            workload("e", PULL_SECRET, "not an image"),
        ];
        let found = of(all.iter());
        let hosts: Vec<&str> = found["default"].iter().map(EcrRegistry::host).collect();
        assert_eq!(hosts, [host("eu-west-1"), host("us-east-1")]);
        assert_eq!(found.len(), 1);
    }
}
