//! Who is told: flags, environment and files → validated receivers. `[E]`
//!
//! A webhook's address is a secret, since whoever knows it can post. Arguments can be read by
//! everybody on the host, so a flag only ever names a file that holds the address; the environment
//! and `.env` may hold the address itself.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, value_parser};
use log::warn;

use super::Failure;
use super::env_file::Environment;
use crate::daemon::permissions::exposure;
use crate::daemon::{ReceiverSettings, Way};
use crate::report::command::Command;
use crate::report::filter::Filter;
use crate::report::kind::{KINDS, Kind};
use crate::report::signature::SigningKey;
use crate::report::webhook::WebhookUrl;

/// Who is told. Several at once are fine: each has a queue of its own.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Who is told")]
pub struct ReceiverArguments {
    /// A file that holds the address of a Slack incoming webhook [env: WEBHOOK_FOR_SLACK, the
    /// address itself]
    #[arg(long, value_name = "FILE")]
    slack_webhook_file: Option<PathBuf>,

    /// A file that holds the address of a Microsoft Teams workflow [env: WEBHOOK_FOR_TEAMS, the
    /// address itself]
    #[arg(long, value_name = "FILE")]
    teams_webhook_file: Option<PathBuf>,

    /// A file that holds the address of a Discord webhook [env: WEBHOOK_FOR_DISCORD, the address
    /// itself]
    #[arg(long, value_name = "FILE")]
    discord_webhook_file: Option<PathBuf>,

    /// A file that holds the address of any HTTP server that takes JSON [env: WEBHOOK_URL, the
    /// address itself]
    #[arg(long, value_name = "FILE")]
    webhook_file: Option<PathBuf>,

    /// A file that holds the secret which that JSON is signed with [env: WEBHOOK_SECRET, the secret
    /// itself]
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,

    /// A program, with arguments after blanks, that reads the same JSON on its standard input; no
    /// shell [env: ON_VERDICT]
    #[arg(long, value_name = "CMD")]
    on_verdict: Option<String>,

    /// Write Kubernetes Events on the workloads; needs the right to create events.k8s.io/events
    #[arg(long)]
    events: bool,

    /// What is told: all, failures, namespace:NAME, or several with commas; RECEIVER=… for one of
    /// slack, teams, discord, webhook, command, events; can be given several times [env: REPORT,
    /// with blanks in between] [default: all]
    #[arg(long, value_name = "[RECEIVER=]WHAT")]
    report: Vec<String>,

    /// Messages to Slack each second, after a short burst; Slack itself allows one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1000))]
    slack_rate: u32,
}

impl ReceiverArguments {
    /// Names whose values are secrets, wherever they are set.
    pub const SECRETS: [&str; 5] = [
        "WEBHOOK_FOR_SLACK",
        "WEBHOOK_FOR_TEAMS",
        "WEBHOOK_FOR_DISCORD",
        "WEBHOOK_URL",
        "WEBHOOK_SECRET",
    ];

    /// Files that hold secrets.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = [
            &self.slack_webhook_file,
            &self.teams_webhook_file,
            &self.discord_webhook_file,
            &self.webhook_file,
            &self.webhook_secret_file,
        ];
        files.into_iter().flatten().cloned().collect()
    }

    /// Kubernetes Events are written.
    pub fn has_events(&self) -> bool {
        self.events
    }

    /// Everybody who is told.
    ///
    /// # Errors
    /// The first setting that is wrong, and what to set.
    pub fn validate(&self, env: &Environment) -> Result<Vec<ReceiverSettings>, Failure> {
        let filters = self.filters(env)?;
        let mut receivers = Vec::new();
        for kind in KINDS {
            let Some(way) = self.way(kind, env)? else { continue };
            let pace = match kind {
                Kind::Slack => kind.pace().at_rate(self.slack_rate),
                _ => kind.pace(),
            };
            receivers.push(ReceiverSettings { kind, way, filter: filters.of(kind), pace });
        }
        Ok(receivers)
    }

    fn way(&self, kind: Kind, env: &Environment) -> Result<Option<Way>, Failure> {
        let (file, name, like) = match kind {
            Kind::Slack => (
                &self.slack_webhook_file,
                "WEBHOOK_FOR_SLACK",
                "It looks like https://hooks.slack.com/services/…",
            ),
            Kind::Teams => (
                &self.teams_webhook_file,
                "WEBHOOK_FOR_TEAMS",
                "It is what Teams shows at the end of \"Send webhook alerts to a channel\"",
            ),
            Kind::Discord => (
                &self.discord_webhook_file,
                "WEBHOOK_FOR_DISCORD",
                "It looks like https://discord.com/api/webhooks/…",
            ),
            Kind::Webhook => {
                (&self.webhook_file, "WEBHOOK_URL", "It looks like https://ci.example.com/depd")
            }
            Kind::Command => return self.command(env),
            Kind::Events => return Ok(self.events.then_some(Way::Events)),
        };
        let Some((text, source)) = secret(file.as_deref(), name, env)? else { return Ok(None) };
        let url = WebhookUrl::parse(&text).map_err(|problem| {
            Failure::usage(format!(
                "the webhook's address in {source} is not usable: {problem}. {like}; leave it unset \
                 for no messages"
            ))
        })?;
        let key = if kind == Kind::Webhook { self.key(env)? } else { None };
        let around = env.surroundings();
        // Past a proxy that is meant but written wrongly nothing goes out.
        around.proxy_for(url.expose()).map_err(Failure::usage)?;
        Ok(Some(Way::Webhook { url, key, around }))
    }

    fn key(&self, env: &Environment) -> Result<Option<SigningKey>, Failure> {
        let file = self.webhook_secret_file.as_deref();
        let Some((text, source)) = secret(file, "WEBHOOK_SECRET", env)? else { return Ok(None) };
        let key = SigningKey::new(&text).ok_or_else(|| {
            let shortest = SigningKey::SHORTEST;
            Failure::usage(format!(
                "the secret in {source} is shorter than {shortest} characters: make one with \
                 openssl rand -hex 32"
            ))
        })?;
        Ok(Some(key))
    }

    fn command(&self, env: &Environment) -> Result<Option<Way>, Failure> {
        let text = match &self.on_verdict {
            Some(text) => Some(text.clone()),
            None => env.text("ON_VERDICT")?,
        };
        Ok(text.as_deref().and_then(Command::parse).map(Way::Command))
    }

    fn filters(&self, env: &Environment) -> Result<Filters, Failure> {
        let words = match &self.report[..] {
            [] => env.text("REPORT")?.unwrap_or_default(),
            given => given.join(" "),
        };
        let mut filters = Filters::default();
        for word in words.split_whitespace() {
            let problem = |text: &dyn std::fmt::Display| {
                Failure::usage(format!("--report (or REPORT) {word}: {text}"))
            };
            let (kind, what) = match word.split_once('=') {
                None => (None, word),
                Some((name, what)) => match KINDS.into_iter().find(|kind| kind.name() == name) {
                    Some(kind) => (Some(kind), what),
                    None => {
                        let names = KINDS.map(Kind::name).join(", ");
                        return Err(problem(&format!("there is no receiver {name}, only {names}")));
                    }
                },
            };
            let filter = Filter::parse(what).map_err(|error| problem(&error))?;
            match kind {
                None => filters.general = filter,
                Some(kind) => filters.own.push((kind, filter)),
            }
        }
        Ok(filters)
    }
}

/// What `--report` says.
#[derive(Default)]
struct Filters {
    general: Filter,
    own: Vec<(Kind, Filter)>,
}

impl Filters {
    /// Its own one, else the general one; of several the last counts.
    fn of(&self, kind: Kind) -> Filter {
        let own = self.own.iter().rev().find(|(of, _)| *of == kind);
        own.map_or(&self.general, |(_, filter)| filter).clone()
    }
}

/// A secret, and where it is from: the file of a flag, else the environment.
fn secret(
    file: Option<&Path>,
    name: &str,
    env: &Environment,
) -> Result<Option<(String, String)>, Failure> {
    let Some(file) = file else {
        return Ok(env.text(name)?.map(|text| (text, name.to_owned())));
    };
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("cannot read the secret of {name} from {shown}: {error}"))
    })?;
    if let Some(warning) = exposure(file) {
        warn!("{warning}");
    }
    Ok(Some((text, shown.to_string())))
}
