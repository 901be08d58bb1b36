//! What the commands share that speak to the cluster about one workload. `[E]`

use std::path::PathBuf;

use clap::Args;

use super::env_file::Environment;
use super::stored::near;
use super::{Failure, settings};
use crate::cluster::{ApiError, Client, ClientOptions, Mark, Scope};
use crate::model::{Kind, ServiceKey};

/// Which cluster, as `depd run` has it.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterArguments {
    /// The kubeconfig to use [env: KUBECONFIG] [default: ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig, instead of its current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// Read settings from this file instead of .env
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

impl ClusterArguments {
    /// A client for that cluster, which has not connected yet.
    ///
    /// # Errors
    /// There is no usable kubeconfig.
    pub fn client(&self) -> Result<Client, Failure> {
        let env = Environment::load(self.env_file.as_deref())?;
        let access = settings::access(self.kubeconfig.as_deref(), self.context.as_deref(), &env)?;
        Client::new(&access, ClientOptions::default()).map_err(Failure::work)
    }
}

/// Puts `mark` on the workload of `key`, and says which kind it is of.
///
/// # Errors
/// There is no such workload, there are several, or the API server does not let it be changed.
pub fn mark(client: &Client, key: &ServiceKey, mark: &Mark) -> Result<Kind, Failure> {
    let kind = the_one(client, key)?;
    client.mark(kind, key, mark).map_err(Failure::work)?;
    Ok(kind)
}

/// Workloads that may be meant, first of this namespace, else of any; as far as they may be listed.
fn near_ones(client: &Client, key: &ServiceKey) -> Vec<String> {
    let scopes = [Scope::Namespace(key.namespace().into()), Scope::Cluster];
    let listed = |scope: &Scope| {
        let of_kind = |kind| client.list_workloads(kind, scope).ok();
        let lists = Kind::ALL.into_iter().filter_map(of_kind);
        let keys: Vec<ServiceKey> =
            lists.flat_map(|list| list.items).map(|workload| workload.key).collect();
        near(key, &keys)
    };
    scopes.iter().map(listed).find(|near| !near.is_empty()).unwrap_or_default()
}

/// The kind of the only workload of that name.
fn the_one(client: &Client, key: &ServiceKey) -> Result<Kind, Failure> {
    let mut found = Vec::new();
    let mut refused: Option<ApiError> = None;
    for kind in Kind::ALL {
        match client.get_workload(kind, key) {
            Ok(Some(_)) => found.push(kind),
            Ok(None) => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    let (service, namespace) = (key.service(), key.namespace());
    match (found.as_slice(), refused) {
        ([kind], _) => Ok(*kind),
        ([], Some(error)) => Err(Failure::work(error)),
        ([], None) => {
            let near = near_ones(client, key);
            let hint = match near.is_empty() {
                true => String::new(),
                false => format!(": did you mean {}?", near.join(" or ")),
            };
            Err(Failure::usage(format!(
                "there is no workload {service} in namespace {namespace}{hint}"
            )))
        }
        (several, _) => {
            let kinds: Vec<&str> = several.iter().map(|kind| kind.name()).collect();
            let kinds = kinds.join(" and a ");
            Err(Failure::work(format!(
                "namespace {namespace} has a {kinds} called {service}: which is meant cannot be told"
            )))
        }
    }
}
