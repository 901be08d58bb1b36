//! Authorization tokens of ECR: one per endpoint, shared by all registries and namespaces behind it. `[E]`
//!
//! A token lives 12 hours and opens every registry of its region that depd's role may read. It is renewed at
//! half its life, spread a little, so that several daemons do not ask together; while it cannot be renewed,
//! the old one serves until it ends. Nobody waits for a token that somebody else is fetching.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::json;

use super::answer;
use super::aws::Aws;
use super::endpoint::{self, Endpoint};
use crate::clock;
use crate::cluster::Secret;
use crate::model::{EcrRegistry, Moment};

/// For one call.
const LIMIT: Duration = Duration::from_secs(8);

/// What ECR gives, where a token's own end lies behind us: then one of the clocks is wrong.
const USUAL_LIFE: Duration = Duration::from_secs(12 * 3600);

/// A failure is believed for so long.
const FAILURE_KEPT: Duration = Duration::from_secs(20);

/// A point in time by two clocks: the monotonic one stands still while the machine sleeps, and the other
/// may be set. Whichever is first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    at: Moment,
    wall: Timestamp,
}

impl Due {
    fn within(wait: Duration) -> Due {
        let wall = Timestamp::now().checked_add(SignedDuration::try_from(wait).unwrap_or_default());
        Due { at: clock::now() + wait, wall: wall.unwrap_or(Timestamp::MAX) }
    }

    pub(super) fn has_come(self) -> bool {
        clock::now() >= self.at || Timestamp::now() >= self.wall
    }

    pub(super) fn earlier(self, other: Due) -> Due {
        if other.at < self.at { other } else { self }
    }
}

/// A token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// As it stands in a pull secret.
    pub auth: Secret,
    /// Time for the next one.
    pub renewal: Due,
    ends: Due,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoToken {
    /// Somebody is fetching it.
    Busy,
    /// A sentence that says why, and what to do.
    Failed(String),
}

/// All tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    aws: Arc<Aws>,
    /// Renew after this long, if that is earlier than half the life.
    renew_after: Option<Duration>,
    slots: Mutex<HashMap<Endpoint, Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    token: Option<Arc<Token>>,
    fetching: bool,
    failure: Option<(Instant, String)>,
}

impl Tokens {
    pub(super) fn new(aws: Arc<Aws>, renew_after: Option<Duration>) -> Tokens {
        Tokens { aws, renew_after, slots: Mutex::default() }
    }

    /// A token for this registry that has not ended; a fresh one where it is time.
    pub(super) fn get(&self, registry: &EcrRegistry) -> Result<Arc<Token>, NoToken> {
        let endpoint = endpoint::ecr(self.aws.environment(), registry).map_err(NoToken::Failed)?;
        if let Some(known) = self.claim(&endpoint) {
            return known;
        }
        let claimed = Claimed { tokens: self, endpoint };
        let fetched = self.fetch(registry);
        let mut slots = self.slots.lock();
        let slot = slots.entry(claimed.endpoint.clone()).or_default();
        let outcome = match fetched {
            Ok(token) => {
                let token = Arc::new(token);
                *slot = Slot { token: Some(Arc::clone(&token)), ..Slot::default() };
                Ok(token)
            }
            Err(why) => {
                slot.fetching = false;
                slot.failure = Some((Instant::now(), why));
                slot.usable()
            }
        };
        drop(slots);
        outcome
    }

    /// Why the token is not a fresh one although it is time.
    pub(super) fn overdue(&self, registry: &EcrRegistry) -> Option<String> {
        let token = self.get(registry).ok()?;
        let endpoint = endpoint::ecr(self.aws.environment(), registry).ok()?;
        let slots = self.slots.lock();
        let (_, why) = slots.get(&endpoint)?.failure.as_ref()?;
        token.renewal.has_come().then(|| why.clone())
    }

    /// What is known, or `None` when the caller is to fetch it.
    fn claim(&self, endpoint: &Endpoint) -> Option<Result<Arc<Token>, NoToken>> {
        let mut slots = self.slots.lock();
        let slot = slots.entry(endpoint.clone()).or_default();
        let current = slot.token.as_ref().is_some_and(|token| !token.renewal.has_come());
        let failed = slot.failure.as_ref().is_some_and(|(at, _)| at.elapsed() < FAILURE_KEPT);
        if current || failed || slot.fetching {
            return Some(slot.usable());
        }
        slot.fetching = true;
        None
    }

    fn fetch(&self, registry: &EcrRegistry) -> Result<Token, String> {
        let sentence = |why: String| format!("cannot get a token for {registry}: {why}");
        let answer = self.aws.ecr(registry, "GetAuthorizationToken", &json!({}), LIMIT);
        let answer = answer.map_err(|error| sentence(error.to_string()))?;
        let found = answer::authorization(&answer).map_err(sentence)?;
        let life = found.expires.duration_since(Timestamp::now());
        let life =
            Duration::try_from(life).ok().filter(|life| !life.is_zero()).unwrap_or(USUAL_LIFE);
        let half = self.renew_after.map_or(life / 2, |chosen| chosen.min(life / 2));
        Ok(Token {
            auth: found.auth,
            renewal: Due::within(half - spread(half / 10)),
            ends: Due::within(life),
        })
    }
}

impl Slot {
    fn usable(&self) -> Result<Arc<Token>, NoToken> {
        match (&self.token, &self.failure) {
            (Some(token), _) if !token.ends.has_come() => Ok(Arc::clone(token)),
            (_, Some((_, why))) if !self.fetching => Err(NoToken::Failed(why.clone())),
            _ => Err(NoToken::Busy),
        }
    }
}

/// Lets go of the right to fetch, however that comes.
struct Claimed<'a> {
    tokens: &'a Tokens,
    endpoint: Endpoint,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.tokens.slots.lock().get_mut(&self.endpoint) {
            slot.fetching = false;
        }
    }
}

/// Anything up to `most`; need not be good randomness.
fn spread(most: Duration) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    let random = RandomState::new().hash_one(clock::now());
    Duration::from_millis(random.checked_rem(millis).unwrap_or_default())
}
