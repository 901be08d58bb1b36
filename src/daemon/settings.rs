//! What the daemon needs to know, validated and immutable.

use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::Access;
use crate::desired::ImageRules;
use crate::report::webhook::WebhookUrl;

/// Everything that flags, environment and `.env` decide.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of dep files.
    pub deps: PathBuf,
    /// Look at the folder by polling even where the file system tells of changes.
    pub poll: bool,
    /// How short image names are completed.
    pub image_rules: ImageRules,
    /// The cluster and the user.
    pub access: Access,
    /// Where messages go, if anywhere.
    pub slack: Option<SlackSettings>,
    /// Threads that speak to the cluster.
    pub workers: usize,
    /// The time limit without progress, for workloads that bring none of their own.
    pub timeout: Duration,
}

/// A Slack incoming webhook, or something that understands its messages.
#[derive(Clone, Debug)]
pub struct SlackSettings {
    /// The address; a secret.
    pub webhook: WebhookUrl,
    /// Messages each second, after a short burst.
    pub per_second: u32,
}
