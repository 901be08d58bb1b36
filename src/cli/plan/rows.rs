//! What was rehearsed → what `depd plan` shows. The shape of the JSON is a promise: fields may be
//! added, none changes or goes.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::{Serialize, Serializer};

use crate::cli::print::{self, Cell, Tone};
use crate::cli::standing::{ContainerImage, images, judge, tone};
use crate::daemon::{Rehearsed, Settings};
use crate::model::{Alert, Change, Notice, ServiceKey, What, printable, shown};
use crate::reconcile::{Phase, ServiceState};
use crate::report::alarm::alarm;
use crate::report::words::words;
use crate::store::StoredRollout;

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// The API server.
    server: String,
    /// Empty for a pod's own access.
    context: String,
    /// The folder of dep files.
    folder: String,
    /// Why a start would hold everything; null where it would not.
    held: Option<Held>,
    services: Vec<Row>,
    counts: Counts,
}

/// Why everything is held.
#[derive(Debug, Serialize)]
pub struct Held {
    /// What is the matter.
    pub reason: String,
    /// What to do about it.
    pub advice: String,
}

/// One service.
#[derive(Debug, Serialize)]
struct Row {
    service: String,
    namespace: String,
    /// Null where there is no workload, or several.
    kind: Option<&'static str>,
    plan: Doing,
    /// What its file asks for.
    images: Vec<ContainerImage>,
    /// What the PATCH changes, where there is one.
    changes: Vec<ContainerChange>,
    /// Why, where there is more to say; else empty.
    detail: String,
}

/// One container's image.
#[derive(Debug, Serialize)]
struct ContainerChange {
    container: String,
    from: String,
    to: String,
}

/// How many services there are of each sort.
#[derive(Debug, Default, Serialize)]
struct Counts {
    services: usize,
    /// Would be changed, or their namespace made.
    changes: usize,
    /// Cannot have what their file asks for, or nothing can be said of them.
    trouble: usize,
}

/// What would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    RollOut,
    PutBack,
    RollBack,
    CreateNamespace,
    LetGo,
    Unknown,
    /// Nothing; that is how it stands.
    Nothing(ServiceState),
}

/// What it all comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing would be changed.
    Nothing,
    /// Something would.
    Changes,
    /// Something is in the way.
    Trouble,
}

impl Held {
    /// In the words of the message that a start would send.
    pub fn of(alert: &Alert) -> Held {
        let words = alarm(alert);
        Held { reason: words.sentence, advice: words.advice.unwrap_or_default() }
    }
}

impl Plan {
    /// Of everything that was rehearsed.
    pub fn new(
        settings: &Settings,
        held: Option<Held>,
        services: &[Rehearsed],
        rollouts: &[StoredRollout],
    ) -> Plan {
        let newest: HashMap<&ServiceKey, &StoredRollout> =
            rollouts.iter().map(|rollout| (&rollout.key, rollout)).collect();
        let row = |one: &Rehearsed| Row::new(one, newest.get(&one.key).copied());
        let services: Vec<Row> = services.iter().filter_map(row).collect();
        let count = |what: Outcome| services.iter().filter(|r| r.plan.outcome() == what).count();
        let counts = Counts {
            services: services.len(),
            changes: count(Outcome::Changes),
            trouble: count(Outcome::Trouble),
        };
        Plan {
            server: settings.access.server.to_string(),
            context: printable(&settings.access.context),
            folder: shown(&settings.deps),
            held,
            services,
            counts,
        }
    }

    /// What is in the way outweighs what would be changed.
    pub fn outcome(&self) -> Outcome {
        match (&self.held, &self.counts) {
            (Some(_), _) | (None, Counts { trouble: 1.., .. }) => Outcome::Trouble,
            (None, Counts { changes: 1.., .. }) => Outcome::Changes,
            _ => Outcome::Nothing,
        }
    }
}

impl Row {
    /// `None` for a service without a file that nothing is remembered of.
    fn new(one: &Rehearsed, newest: Option<&StoredRollout>) -> Option<Row> {
        if one.desired.is_none() && one.before.phase == Phase::New {
            return None;
        }
        let (plan, detail) = decide(one, newest);
        let changes = one.tried.patch.iter().flat_map(|patch| &patch.changes);
        let asked = one.desired.as_ref().and_then(|desired| desired.images.as_ref());
        Some(Row {
            service: one.key.service().to_owned(),
            namespace: one.key.namespace().to_owned(),
            kind: one.kind.map(|kind| kind.name()),
            plan,
            images: asked.map(images).unwrap_or_default(),
            changes: changes.map(ContainerChange::of).collect(),
            detail,
        })
    }
}

impl ContainerChange {
    fn of(change: &Change) -> ContainerChange {
        ContainerChange {
            container: printable(&change.container),
            from: printable(&change.from),
            to: printable(&change.to),
        }
    }
}

fn decide(one: &Rehearsed, newest: Option<&StoredRollout>) -> (Doing, String) {
    let Rehearsed { key, before, after, tried, .. } = one;
    if one.desired.is_none() {
        let text = "its file is gone or empty; the workload stays as it is";
        return (Doing::LetGo, text.to_owned());
    }
    if let Some(patch) = &tried.patch {
        let doing = match after.phase {
            Phase::Returning(_) => Doing::RollBack,
            _ if after.corrections > before.corrections => Doing::PutBack,
            _ => Doing::RollOut,
        };
        let stored = patch.rewritten.iter().map(|change| {
            let (container, to) = (printable(&change.container), printable(&change.to));
            format!("admission makes {container} run {to}")
        });
        let untold = patch.untold.iter().map(|why| {
            format!("only the real change can tell whether it is admitted: {}", printable(why))
        });
        return (doing, stored.chain(untold).collect::<Vec<_>>().join("; "));
    }
    if let Some(why) = &tried.trouble {
        return (Doing::Unknown, printable(why));
    }
    // What may not even be looked at is no step.
    if let Some(what @ (What::NotPermitted(_) | What::Unreachable(_))) = &after.request_complaint {
        let notice = Notice { key: key.clone(), what: what.clone() };
        return (Doing::Unknown, words(&notice).sentence);
    }
    if tried.namespace {
        return (Doing::CreateNamespace, "then depd waits for the workload".to_owned());
    }
    let (state, detail) = judge(key, after, newest);
    (Doing::Nothing(state), detail)
}

impl Doing {
    fn word(self) -> &'static str {
        match self {
            Doing::RollOut => "roll out",
            Doing::PutBack => "put back",
            Doing::RollBack => "roll back",
            Doing::CreateNamespace => "create namespace",
            Doing::LetGo => "let go",
            Doing::Unknown => "unknown",
            Doing::Nothing(state) => state.word(),
        }
    }

    fn outcome(self) -> Outcome {
        match self {
            Doing::RollOut | Doing::PutBack | Doing::RollBack | Doing::CreateNamespace => {
                Outcome::Changes
            }
            Doing::Unknown
            | Doing::Nothing(
                ServiceState::Refused | ServiceState::DoesNotFit | ServiceState::BadFile,
            ) => Outcome::Trouble,
            Doing::LetGo | Doing::Nothing(_) => Outcome::Nothing,
        }
    }

    fn tone(self) -> Tone {
        match (self, self.outcome()) {
            (_, Outcome::Trouble) => Tone::Bad,
            (_, Outcome::Changes) => Tone::Good,
            (Doing::Nothing(state), _) => tone(state),
            _ => Tone::Plain,
        }
    }
}

/// The word, as `depd status` writes it for programs.
impl Serialize for Doing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.word().replace(' ', "-"))
    }
}

/// The lines for people.
pub fn table(plan: &Plan, colours: bool) -> String {
    let mut text = format!("{} against {}", plan.folder, plan.server);
    // Writing to a String cannot fail.
    if !plan.context.is_empty() {
        let _ = write!(text, ", context {}", plan.context);
    }
    text.push('\n');
    if let Some(held) = &plan.held {
        let _ = writeln!(text, "Everything is held: {}. {}", held.reason, held.advice);
    }
    let is_worth_a_line = |row: &&Row| row.plan != Doing::Nothing(ServiceState::Deployed);
    let rows: Vec<Vec<Cell>> = plan.services.iter().filter(is_worth_a_line).map(cells).collect();
    if !rows.is_empty() {
        let titles = ["SERVICE", "NAMESPACE", "PLAN", "IMAGES", "DETAIL"];
        text.push_str(&print::table(&titles, &rows, colours));
    }
    let Counts { services, changes, trouble } = plan.counts;
    let many = if services == 1 { "service" } else { "services" };
    let _ = write!(text, "{services} {many}: {changes} would be changed");
    let _ = match trouble {
        0 => Ok(()),
        1 => write!(text, ", 1 is in trouble"),
        n => write!(text, ", {n} are in trouble"),
    };
    text + "; nothing was changed\n"
}

fn cells(row: &Row) -> Vec<Cell> {
    let change = |c: &ContainerChange| format!("{}: {} → {}", c.container, c.from, c.to);
    let mut texts: Vec<String> = row.changes.iter().map(change).collect();
    if texts.is_empty() {
        texts = row.images.iter().map(ContainerImage::shown).collect();
    }
    vec![
        row.service.as_str().into(),
        row.namespace.as_str().into(),
        Cell::toned(row.plan.word(), row.plan.tone()),
        texts.join(", ").into(),
        row.detail.as_str().into(),
    ]
}
