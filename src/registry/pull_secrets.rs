//! One pull secret per namespace that uses an image of ECR. `[E]`
//!
//! It holds a token for every registry that the namespace uses, is written by server-side apply without
//! force, and belongs to depd by its label: one of the same name without the label is never written. A
//! registry that the secret names already stays in it, so that two services do not take each other's token
//! away. It is written before the first PATCH that needs it, at start, and when its tokens are half through
//! their life; in between it is looked at once a minute at the most, and only when a service asks for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use jiff::Timestamp;
use log::{info, warn};
use parking_lot::Mutex;

use super::docker_config::{self, Auths};
use super::tokens::{Due, NoToken, Tokens};
use crate::cluster::{ApiError, Class, Client, PullSecret};
use crate::model::{Alert, EcrRegistry, PULL_SECRET};

/// A secret that was seen within this time is still there.
const TRUSTED: Duration = Duration::from_secs(60);

/// How often it is looked whether a secret must be renewed.
const TICK: Duration = Duration::from_secs(30);

/// Passes in a row that something was not renewed before people are told.
const FAILURES_TO_SAY: u32 = 3;

/// Until the cluster was seen.
const FIRST_TICK: Duration = Duration::from_millis(500);

/// The registries that each namespace uses.
pub type InUse = BTreeMap<Box<str>, BTreeSet<EcrRegistry>>;

/// Why a namespace has no pull secret that can be relied upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Somebody is making it; ask again at once.
    Busy,
    /// A sentence for people: no token, or a secret that is not ours.
    Registry(String),
    /// The API server did not do it.
    Api(Box<ApiError>),
}

/// The pull secrets of one cluster.
#[derive(Debug)]
pub struct PullSecrets {
    client: Client,
    tokens: Tokens,
    tick: Duration,
    namespaces: Mutex<HashMap<Box<str>, State>>,
    /// What does not work at renewing, as it was last said.
    troubles: Mutex<BTreeMap<Box<str>, String>>,
}

#[derive(Clone, Debug)]
enum State {
    /// A thread is at it.
    Working,
    /// It was there, with tokens for these registries, when it was last looked at.
    Held { registries: BTreeSet<EcrRegistry>, renewal: Due, looked: Instant },
}

impl PullSecrets {
    pub(super) fn new(
        client: Client,
        tokens: Tokens,
        renew_after: Option<Duration>,
    ) -> PullSecrets {
        let tick = renew_after.map_or(TICK, |chosen| (chosen / 4).clamp(FIRST_TICK, TICK));
        PullSecrets {
            client,
            tokens,
            tick,
            namespaces: Mutex::default(),
            troubles: Mutex::default(),
        }
    }

    /// Makes sure that the namespace has a pull secret for these registries. No request where that is
    /// known; a GET and an apply where it is not.
    ///
    /// # Errors
    /// There is none that can be relied upon.
    pub fn ensure(&self, namespace: &str, wanted: &BTreeSet<EcrRegistry>) -> Result<(), Trouble> {
        let known = match self.namespaces.lock().get(namespace) {
            Some(State::Working) => return Err(Trouble::Busy),
            Some(State::Held { registries, renewal, looked }) => {
                let covers = wanted.is_subset(registries) && !renewal.has_come();
                if covers && looked.elapsed() < TRUSTED {
                    return Ok(());
                }
                covers
            }
            None => false,
        };
        self.work(namespace, wanted, known)
    }

    /// Renews what is due among the secrets that are in use. Says what does not work, once; it is tried
    /// again at the next call. Returns in how many namespaces that is, and one of the reasons.
    pub fn renew(&self, in_use: &InUse) -> Option<(usize, String)> {
        for (namespace, wanted) in in_use {
            let due = match self.namespaces.lock().get(namespace) {
                Some(State::Working) => false,
                Some(State::Held { registries, renewal, .. }) => {
                    renewal.has_come() || !wanted.is_subset(registries)
                }
                None => true,
            };
            if !due {
                continue;
            }
            // At start whatever serves is written; later the same token again would be no renewal.
            let is_held = self.namespaces.lock().contains_key(namespace);
            let overdue = || wanted.iter().find_map(|registry| self.tokens.overdue(registry));
            if let Some(why) = is_held.then(overdue).flatten() {
                self.say(namespace, &Trouble::Registry(why));
                continue;
            }
            match self.work(namespace, wanted, false) {
                Ok(()) => drop(self.troubles.lock().remove(namespace)),
                Err(Trouble::Busy) => {}
                Err(trouble) => self.say(namespace, &trouble),
            }
        }
        let unused = |namespace: &str, state: &State| {
            matches!(state, State::Held { .. }) && !in_use.contains_key(namespace)
        };
        self.namespaces.lock().retain(|namespace, state| !unused(namespace, state));
        let mut troubles = self.troubles.lock();
        troubles.retain(|namespace, _| in_use.contains_key(namespace));
        troubles.first_key_value().map(|(_, why)| (troubles.len(), why.clone()))
    }

    fn say(&self, namespace: &str, trouble: &Trouble) {
        let text = trouble.to_string();
        let before = self.troubles.lock().insert(namespace.into(), text.clone());
        if before.as_ref() != Some(&text) {
            warn!("the pull secret of namespace {namespace} is not renewed: {text}");
        }
    }

    /// Renews on a thread of its own until `stop` is dropped. `in_use` is asked each time; `None` while the
    /// cluster was not seen yet. `tell` gets what people must know: several failures in a row, once.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn keep(
        self: Arc<Self>,
        in_use: impl Fn() -> Option<InUse> + Send + 'static,
        tell: impl Fn(&Alert) + Send + 'static,
        stop: Receiver<()>,
    ) -> io::Result<()> {
        let run = move || {
            let mut wait = FIRST_TICK;
            let mut failed = 0;
            while stop.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                if let Some(in_use) = in_use() {
                    let trouble = self.renew(&in_use);
                    wait = self.tick;
                    failed = if trouble.is_some() { failed + 1 } else { 0 };
                    if let (FAILURES_TO_SAY, Some((namespaces, why))) = (failed, trouble) {
                        tell(&Alert::StalePullSecrets { namespaces, why });
                    }
                }
            }
        };
        thread::Builder::new().name("pull-secrets".into()).spawn(run).map(drop)
    }

    /// `known`: the secret was there with all that is wanted, so that a look is enough if it still is.
    fn work(
        &self,
        namespace: &str,
        wanted: &BTreeSet<EcrRegistry>,
        known: bool,
    ) -> Result<(), Trouble> {
        let mut work = Work::begin(self, namespace).ok_or(Trouble::Busy)?;
        let seen = self.client.pull_secret(namespace).map_err(api)?;
        if seen.as_ref().is_some_and(|secret| !secret.is_ours) {
            return Err(Trouble::Registry(format!(
                "namespace {namespace} has a Secret {PULL_SECRET} that is not depd's (it lacks the label \
                 app.kubernetes.io/managed-by=depd), and is not overwritten; delete or rename it, or start \
                 depd without --ecr-pull-secret"
            )));
        }
        let held =
            seen.as_ref().map(|s| docker_config::read(s.content.expose())).unwrap_or_default();
        let complete = wanted.iter().all(|registry| held.contains_key(registry.host()));
        if known && complete {
            work.state = work.before.take().map(State::looked_at);
            return Ok(());
        }
        let (auths, registries, renewal) = self.collect(wanted, &held)?;
        self.apply(namespace, seen.as_ref(), &auths)?;
        if let Some(renewal) = renewal {
            work.state = Some(State::Held { registries, renewal, looked: Instant::now() });
        }
        Ok(())
    }

    /// Tokens for what is wanted, and for what the secret names already, as far as there are any.
    fn collect(
        &self,
        wanted: &BTreeSet<EcrRegistry>,
        held: &Auths,
    ) -> Result<(Auths, BTreeSet<EcrRegistry>, Option<Due>), Trouble> {
        let (mut auths, mut registries) = (Auths::new(), BTreeSet::new());
        let mut renewal: Option<Due> = None;
        let others = held.keys().filter_map(|host| EcrRegistry::parse(host));
        let others = others.filter(|registry| !wanted.contains(registry));
        let all = wanted.iter().cloned().map(|r| (r, true)).chain(others.map(|r| (r, false)));
        for (registry, is_wanted) in all {
            let host = registry.host().to_owned();
            match self.tokens.get(&registry) {
                Ok(token) => {
                    auths.insert(host, token.auth.clone());
                    registries.insert(registry);
                    renewal = Some(renewal.map_or(token.renewal, |own| own.earlier(token.renewal)));
                }
                Err(NoToken::Busy) if is_wanted => return Err(Trouble::Busy),
                Err(NoToken::Failed(why)) if is_wanted => return Err(Trouble::Registry(why)),
                Err(_) => {
                    auths.extend(held.get(&host).map(|auth| (host, auth.clone())));
                }
            }
        }
        Ok((auths, registries, renewal))
    }

    fn apply(
        &self,
        namespace: &str,
        seen: Option<&PullSecret>,
        auths: &Auths,
    ) -> Result<(), Trouble> {
        let content = docker_config::write(auths);
        let renewed = Timestamp::now().to_string();
        match self.client.apply_pull_secret(namespace, seen, &content, &renewed) {
            Ok(()) => {
                let hosts = auths.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                info!("namespace {namespace}: pull secret {PULL_SECRET} renewed for {hosts}");
                Ok(())
            }
            Err(ApiError { class: Class::Conflict { message }, .. }) => {
                Err(Trouble::Registry(format!(
                    "somebody else wrote to Secret {PULL_SECRET} in namespace {namespace}, and that is not \
                     overwritten ({message}); delete that Secret, and depd makes it anew"
                )))
            }
            Err(error) => Err(api(error)),
        }
    }
}

fn api(error: ApiError) -> Trouble {
    Trouble::Api(Box::new(error))
}

impl State {
    /// As before, and seen just now.
    fn looked_at(self) -> State {
        match self {
            State::Held { registries, renewal, .. } => {
                State::Held { registries, renewal, looked: Instant::now() }
            }
            State::Working => State::Working,
        }
    }
}

/// The right to work on a namespace's secret; at its end, however that comes, the state is what was found.
struct Work<'a> {
    secrets: &'a PullSecrets,
    namespace: &'a str,
    before: Option<State>,
    /// The new state; `None` when nothing is known.
    state: Option<State>,
}

impl<'a> Work<'a> {
    fn begin(secrets: &'a PullSecrets, namespace: &'a str) -> Option<Work<'a>> {
        let mut namespaces = secrets.namespaces.lock();
        let before = namespaces.insert(namespace.into(), State::Working);
        match before {
            Some(State::Working) => None,
            before => Some(Work { secrets, namespace, before, state: None }),
        }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let mut namespaces = self.secrets.namespaces.lock();
        match self.state.take() {
            Some(state) => namespaces.insert(self.namespace.into(), state),
            None => namespaces.remove(self.namespace),
        };
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Busy => f.write_str("it is being made"),
            Trouble::Registry(text) => f.write_str(text),
            Trouble::Api(error) => error.fmt(f),
        }
    }
}
