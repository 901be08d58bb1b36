//! What the commands share that read the store, beside a daemon that runs or not. `[E]`

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::env_file::Environment;
use super::{Failure, settings};
use crate::daemon::control::{self, Answer, NoAnswer, Request};
use crate::model::{Moment, ServiceKey};
use crate::reconcile::Service;
use crate::store::{Reader, StoredService};

/// Names that are offered for one that is unknown.
const NEAR_MOST: usize = 3;
/// One slip in this many characters, and two in any case, are still near (Damerau-Levenshtein).
const SLIP_EACH: usize = 5;

/// Where the store is.
#[derive(Clone, Debug, Default, Args)]
pub struct StoreArguments {
    /// The state folder of the daemon [env: STATE_DIRECTORY] [default: /var/lib/depd for root, else
    /// ~/.local/state/depd]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Read settings from this file instead of .env
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

impl StoreArguments {
    /// The environment with the `.env` file behind it.
    ///
    /// # Errors
    /// The file was named and cannot be read, or is malformed.
    pub fn environment(&self) -> Result<Environment, Failure> {
        Environment::load(self.env_file.as_deref())
    }

    /// The state folder, whether it is there or not.
    pub fn folder(&self, env: &Environment) -> PathBuf {
        settings::state(self.state.as_deref(), env)
    }

    /// Asks the depd that runs on the state folder; the inner error says why there is no answer.
    ///
    /// # Errors
    /// The `.env` file cannot be read.
    pub fn answer(&self, request: &Request) -> Result<Result<Answer, NoAnswer>, Failure> {
        let folder = self.folder(&self.environment()?);
        Ok(control::ask(&folder, request))
    }

    /// Opens the store for reading.
    ///
    /// # Errors
    /// There is none, or another version of depd wrote it.
    pub fn open(&self, env: &Environment) -> Result<Reader, Failure> {
        Reader::open(&self.folder(env)).map_err(Failure::work)
    }
}

/// Those whose files are there: what is kept of the others is of no use to people.
#[must_use]
pub fn managed(mut services: Vec<StoredService>) -> Vec<StoredService> {
    let is_let_go = |stored: &StoredService| {
        serde_json::from_str(&stored.state).is_ok_and(|service: Service| service.is_let_go())
    };
    services.retain(|stored| !is_let_go(stored));
    services
}

/// The text of an answer for people, as success or failure.
pub fn said(answer: Answer) -> Result<String, Failure> {
    if answer.done { Ok(answer.text) } else { Err(Failure::work(answer.text)) }
}

/// `SERVICE_NAMESPACE`, as the dep file is called, with or without its ending.
///
/// # Errors
/// What is wrong with the name, for clap to tell.
pub fn parse_key(text: &str) -> Result<ServiceKey, String> {
    let name = text.strip_suffix(".dep").unwrap_or(text);
    let (service, namespace) = name
        .split_once('_')
        .ok_or("a key is SERVICE_NAMESPACE, as the dep file is called; for example web_default")?;
    ServiceKey::new(service, namespace).map_err(|problem| problem.to_string())
}

/// `key` is not among `known`: says so, and which ones come near.
pub fn unknown(key: &ServiceKey, known: &[ServiceKey]) -> Failure {
    let near = near(key, known);
    let hint = match (near.is_empty(), known.len()) {
        (false, _) => format!("did you mean {}?", near.join(" or ")),
        (true, 0) => "depd knows no service yet".to_owned(),
        (true, _) => "depd status lists those there are".to_owned(),
    };
    Failure::usage(format!("depd knows no {key}: {hint}"))
}

/// Those of `known` that `key` may be a slip for, the nearest first.
#[must_use]
pub fn near(key: &ServiceKey, known: &[ServiceKey]) -> Vec<String> {
    let text = key.to_string();
    let mut near: Vec<(usize, String)> = known
        .iter()
        .map(|other| (strsim::damerau_levenshtein(&text, &other.to_string()), other.to_string()))
        .filter(|(slips, _)| *slips <= (text.len() / SLIP_EACH).max(2))
        .collect();
    near.sort();
    near.into_iter().take(NEAR_MOST).map(|(_, name)| name).collect()
}

/// Unix milliseconds → `2026-11-24T18:00:00Z`.
pub fn stamp(unix_ms: i64) -> String {
    let second = Timestamp::from_second(unix_ms.div_euclid(1000));
    second.map(|time| time.to_string()).unwrap_or_default()
}

/// How long ago that was, as kubectl writes ages: `12s`, `3m`, `2h`, `5d`.
pub fn age(unix_ms: i64, now: Moment) -> String {
    let then = u64::try_from(unix_ms).unwrap_or_default();
    short(now.since(Moment(then)).as_secs())
}

/// Seconds → `12s`, `3m`, `2h`, `5d`.
pub fn short(seconds: u64) -> String {
    match seconds {
        s if s < 120 => format!("{s}s"),
        s if s < 7200 => format!("{}m", s / 60),
        s if s < 172_800 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture::key;

    #[test]
    fn a_key_is_read_as_the_file_is_called() {
        for (text, expect) in [
            ("web_default", "web_default"),
            ("web_default.dep", "web_default"),
            (
                "web",
                "a key is SERVICE_NAMESPACE, as the dep file is called; for example web_default",
            ),
            ("Web_default", "the capital letter W is not allowed in a service name"),
        ] {
            let shown = parse_key(text).map_or_else(|problem| problem, |key| key.to_string());
            assert_eq!(shown, expect, "{text}");
        }
    }

    #[test]
    fn an_unknown_key_names_the_near_ones() {
        let known = [key("web"), key("worker"), key("database")];
        let text = |name: &str, known: &[ServiceKey]| match unknown(&key(name), known) {
            Failure::Usage(text) | Failure::Work(text) => text,
        };
        assert_eq!(text("wen", &known), "depd knows no wen_default: did you mean web_default?");
        assert_eq!(
            text("zzzzzzz", &[]),
            "depd knows no zzzzzzz_default: depd knows no service yet"
        );
    }

    #[test]
    fn ages_are_short() {
        for (seconds, expect) in
            [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")]
        {
            assert_eq!(short(seconds), expect);
        }
        assert_eq!(stamp(0), "1970-01-01T00:00:00Z");
    }
}
