//! `depd restart`: new pods of the same images, as `kubectl rollout restart` makes them. `[E]`

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::Failure;
use super::print::print;
use super::stored::parse_key;
use super::workload::{ClusterArguments, mark};
use crate::cluster::Mark;
use crate::model::ServiceKey;

/// Replace the pods of a service by new ones of the same images.
///
/// For a tag whose image changed, or a Secret that is read at start. It sets the annotation that
/// kubectl rollout restart sets, and does not wait.
///
/// Exit code 0: it is under way. 1: the cluster refuses. 2: wrong usage, such as a KEY without a
/// workload.
#[derive(Debug, Args)]
pub struct RestartArguments {
    /// The service, as its file is called: SERVICE_NAMESPACE
    #[arg(value_name = "KEY", value_parser = parse_key)]
    key: ServiceKey,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Sets the annotation.
pub fn run(arguments: &RestartArguments) -> Result<ExitCode, Failure> {
    let key = &arguments.key;
    let second = Timestamp::from_second(Timestamp::now().as_second()).map_err(Failure::work)?;
    let kind = mark(&arguments.cluster.client()?, key, &Mark::RestartedAt(second.to_string()))?;
    let (service, namespace) = (key.service(), key.namespace());
    print(&format!(
        "{} {service} in {namespace} gets new pods; follow them with: kubectl rollout status \
         {}/{service} -n {namespace}\n",
        kind.name(),
        kind.word()
    ))?;
    Ok(ExitCode::SUCCESS)
}
