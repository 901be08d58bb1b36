//! Images in Amazon ECR: tokens, pull secrets, and whether an image is there. `[E]`
//!
//! Nodes on AWS pull from ECR with credentials of their own, and then nothing here is needed. Where they
//! cannot (Minikube, Docker Desktop, another cloud, another account), `--ecr-pull-secret` keeps a
//! [`PullSecrets`] in each namespace; `--ecr-check` asks with [`Checks`] whether an image is there before its
//! rollout starts. Both act as the user or role that AWS's own tools would find.
//!
//! No secret of AWS may get into a log, a message, an error, the store or the arguments of a process: all of
//! them are [`Secret`](crate::cluster::Secret), and what AWS answers is never quoted where it could hold one.
//!
//! | file | concept | |
//! |---|---|---|
//! | `sigv4.rs` | signatures | `[C]` |
//! | `environment.rs`, `ini.rs`, `profile.rs` | settings → the source of credentials | `[C]` |
//! | `endpoint.rs` | whom to ask, and who may be asked | `[C]` |
//! | `answer.rs`, `images.rs`, `docker_config.rs` | what comes back, and what is written | `[C]` |
//! | `http.rs`, `process.rs`, `offered.rs`, `sts.rs`, `aws.rs` | credentials and calls | `[E]` |
//! | `tokens.rs`, `pull_secrets.rs`, `checks.rs` | what the daemon uses | `[E]` |
//! | `diagnosis.rs` | what is wrong with all that, for a person | `[E]` |

mod answer;
mod aws;
mod checks;
mod diagnosis;
mod docker_config;
mod endpoint;
mod environment;
mod http;
mod images;
mod ini;
mod offered;
mod process;
mod profile;
mod pull_secrets;
pub mod sigv4;
mod sts;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

pub use checks::{Absence, Checks};
pub use diagnosis::diagnose;
pub use environment::AwsEnvironment;
pub use pull_secrets::{InUse, PullSecrets, Trouble};

use crate::cluster::Client;
use crate::net::Surroundings;
use aws::Aws;
use tokens::Tokens;

#[cfg(test)]
mod tests;

/// What the settings ask for.
#[derive(Clone, Debug, Default)]
pub struct RegistrySettings {
    /// Keep pull secrets.
    pub pull_secret: bool,
    /// Look for images before their rollout.
    pub check: bool,
    /// Renew pull secrets after this long, if that is earlier than half the life of their tokens.
    pub renew_after: Option<Duration>,
    /// Where AWS's own tools would look.
    pub environment: AwsEnvironment,
    /// Proxies and authorities.
    pub surroundings: Surroundings,
}

/// Everything about ECR that a daemon uses.
#[derive(Clone, Debug)]
pub struct Registry {
    /// The pull secrets.
    pub pull_secrets: Arc<PullSecrets>,
    /// The checks.
    pub checks: Arc<Checks>,
}

impl Registry {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(settings: &RegistrySettings, client: Client) -> Registry {
        let aws = Arc::new(Aws::new(settings.environment.clone(), settings.surroundings.clone()));
        let tokens = Tokens::new(Arc::clone(&aws), settings.renew_after);
        Registry {
            pull_secrets: Arc::new(PullSecrets::new(client, tokens, settings.renew_after)),
            checks: Arc::new(Checks::new(aws)),
        }
    }
}
