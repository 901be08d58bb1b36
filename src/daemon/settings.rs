//! What the daemon needs to know, validated and immutable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::{Access, ClientOptions};
use crate::desired::ImageRules;
use crate::net::Surroundings;
use crate::reconcile::Policy;
use crate::registry::RegistrySettings;
use crate::report::command::Command;
use crate::report::filter::Filter;
use crate::report::kind::Kind;
use crate::report::pace::Pace;
use crate::report::signature::SigningKey;
use crate::report::webhook::WebhookUrl;
use crate::source::SourceOptions;

/// Everything that flags, environment and `.env` decide.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of dep files.
    pub deps: PathBuf,
    /// Look at the folder by polling even where the file system tells of changes.
    pub poll: bool,
    /// The folders beneath it too.
    pub recursive: bool,
    /// Refuse a folder that everybody may write to, instead of only warning.
    pub strict: bool,
    /// How short image names are completed.
    pub image_rules: ImageRules,
    /// The cluster and the user.
    pub access: Access,
    /// Where messages go.
    pub receivers: Vec<ReceiverSettings>,
    /// The name of the cluster in messages, where it is not that of the context.
    pub cluster_name: Option<String>,
    /// Files that nobody else should be able to read.
    pub secret_files: Vec<PathBuf>,
    /// Where probes are answered, if anywhere.
    pub http: Option<SocketAddr>,
    /// Ready is still who sees nothing of folder or cluster for less than this.
    pub sight_patience: Duration,
    /// Threads that speak to the cluster.
    pub workers: usize,
    /// The longest silence on a watch, where it is not the usual one.
    pub watch_idle: Option<Duration>,
    /// Time limit, drift, namespaces.
    pub policy: Policy,
    /// What is done for images of Amazon ECR.
    pub registry: RegistrySettings,
    /// Where the state is kept; `None` keeps none.
    pub state: Option<PathBuf>,
    /// Rollouts that may be in flight at once.
    pub max_rollouts: Option<usize>,
    /// Failures in a row after which nothing more is started.
    pub halt_after: Option<u32>,
    /// Another cluster, folder or setting than last time is meant to be.
    pub accept_change: bool,
    /// Many changes on a first start are meant to be.
    pub apply_all: bool,
}

impl Settings {
    /// How the cluster is spoken to: every worker has a connection, and so has who else asks.
    #[must_use]
    pub fn client(&self) -> ClientOptions {
        let usual = ClientOptions::default();
        ClientOptions {
            idle_connections: self.workers + 8,
            watch_idle_limit: self.watch_idle.unwrap_or(usual.watch_idle_limit),
            ..usual
        }
    }

    /// How the folder is read.
    #[must_use]
    pub fn source(&self) -> SourceOptions {
        SourceOptions {
            poll: self.poll,
            recursive: self.recursive,
            strict: self.strict,
            rules: self.image_rules.clone(),
            ..SourceOptions::new(self.deps.clone())
        }
    }
}

/// Somebody who is told.
#[derive(Clone, Debug)]
pub struct ReceiverSettings {
    /// What kind of receiver.
    pub kind: Kind,
    /// The way there.
    pub way: Way,
    /// What it is told.
    pub filter: Filter,
    /// How fast.
    pub pace: Pace,
}

/// The way to a receiver.
#[derive(Clone, Debug)]
pub enum Way {
    /// By HTTP.
    Webhook {
        /// The address; a secret.
        url: WebhookUrl,
        /// What bodies are signed with.
        key: Option<SigningKey>,
        /// Proxies and authorities.
        around: Surroundings,
    },
    /// A program's standard input.
    Command(Command),
    /// Kubernetes Events, by the API server itself.
    Events,
}
