//! The kinds of receivers: their names, their pace, and how their messages are made. `[C]`

use std::time::Duration;

use super::digest::{self, Limits, Named};
use super::pace::Pace;
use super::record::Record;
use super::{discord, slack, teams};

/// A kind of receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A Slack incoming webhook, or what understands its messages (Mattermost, Rocket.Chat).
    Slack,
    /// A Microsoft Teams Workflows webhook.
    Teams,
    /// A Discord webhook.
    Discord,
    /// Any HTTP server: the record itself, as JSON.
    Webhook,
    /// A program: the record on its standard input.
    Command,
    /// Kubernetes Events on the workload.
    Events,
}

/// Every kind.
pub const KINDS: [Kind; 6] =
    [Kind::Slack, Kind::Teams, Kind::Discord, Kind::Webhook, Kind::Command, Kind::Events];

impl Kind {
    /// The name in the store, in settings and in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Slack => "slack",
            Kind::Teams => "teams",
            Kind::Discord => "discord",
            Kind::Webhook => "webhook",
            Kind::Command => "command",
            Kind::Events => "events",
        }
    }

    /// How fast it may be written to. Slack: "1 per second, short bursts allowed" (Rate limits).
    /// Teams: 4 requests a second, but flows behind it are slower (Create incoming webhooks).
    /// Discord: 30 messages a minute for a channel (observed by its libraries; its 429 says more).
    #[must_use]
    pub fn pace(self) -> Pace {
        match self {
            Kind::Slack | Kind::Teams => Pace::new(Duration::from_secs(1), 5),
            Kind::Discord => Pace::new(Duration::from_secs(2), 5),
            Kind::Webhook | Kind::Events => Pace::new(Duration::from_millis(20), 50),
            Kind::Command => Pace::new(Duration::from_millis(20), 5),
        }
    }

    /// What one of its messages holds when there is a storm. `None`: programs read it, and they
    /// get every record singly, however many there are.
    #[must_use]
    pub fn digest_limits(self) -> Option<Limits> {
        match self {
            Kind::Slack => Some(slack::DIGEST),
            Kind::Teams => Some(teams::DIGEST),
            Kind::Discord => Some(discord::DIGEST),
            Kind::Webhook | Kind::Command | Kind::Events => None,
        }
    }

    /// How many of these records one digest tells, counted from the first.
    #[must_use]
    pub fn digest_size(self, records: &[Record]) -> usize {
        let cost: fn(&Named) -> usize = match self {
            Kind::Teams => teams::cost,
            Kind::Discord => discord::cost,
            _ => slack::cost,
        };
        self.digest_limits().map_or(1, |limits| digest::fitting(records, limits, cost))
    }

    /// The body of a message: of one record, or a digest of several.
    #[must_use]
    pub fn body(self, records: &[Record]) -> String {
        let value = match (self, records) {
            (Kind::Slack, [one]) => slack::single(one),
            (Kind::Slack, all) => slack::digest(all),
            (Kind::Teams, [one]) => teams::single(one),
            (Kind::Teams, all) => teams::digest(all),
            (Kind::Discord, [one]) => discord::single(one),
            (Kind::Discord, all) => discord::digest(all),
            (_, [one, ..]) => serde_json::to_value(one).unwrap_or_default(),
            (_, []) => serde_json::Value::Null,
        };
        value.to_string()
    }
}
