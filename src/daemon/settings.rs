//! What the daemon needs to know, validated and immutable.

use std::path::PathBuf;

use crate::cluster::Access;
use crate::desired::ImageRules;
use crate::reconcile::Policy;
use crate::registry::RegistrySettings;
use crate::report::webhook::WebhookUrl;

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
    /// Where messages go, if anywhere.
    pub slack: Option<SlackSettings>,
    /// Threads that speak to the cluster.
    pub workers: usize,
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
    /// Say what would be rolled out, and change nothing.
    pub dry_run: bool,
}

/// A Slack incoming webhook, or something that understands its messages.
#[derive(Clone, Debug)]
pub struct SlackSettings {
    /// The address; a secret.
    pub webhook: WebhookUrl,
    /// Messages each second, after a short burst.
    pub per_second: u32,
}
