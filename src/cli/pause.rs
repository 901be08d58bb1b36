//! `depd pause`: an annotation on the workload, which depd heeds wherever it runs. `[E]`

use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::print::print;
use super::stored::parse_key;
use super::workload::{ClusterArguments, mark};
use crate::cluster::Mark;
use crate::model::ServiceKey;

/// Leave a service alone until depd resume KEY: an annotation on its workload.
///
/// What its file asks for meanwhile is rolled out when it is lifted. The annotation is
/// depd.dev/paused: "true", which kubectl can set and take away as well.
///
/// Exit code 0: it is set. 1: the cluster refuses. 2: wrong usage, such as a KEY without a workload.
#[derive(Debug, Args)]
pub struct PauseArguments {
    /// The service, as its file is called: SERVICE_NAMESPACE
    #[arg(value_name = "KEY", value_parser = parse_key)]
    key: ServiceKey,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Sets the annotation.
pub fn run(arguments: &PauseArguments) -> Result<ExitCode, Failure> {
    let key = &arguments.key;
    let kind = mark(&arguments.cluster.client()?, key, &Mark::Paused(true))?.name();
    let (service, namespace) = (key.service(), key.namespace());
    print(&format!("{kind} {service} in {namespace} is held; depd resume {key} lifts it\n"))?;
    Ok(ExitCode::SUCCESS)
}
