//! What a seed decides before anything happens.

use depd::model::ServiceKey;
use depd::reconcile::Drift;
use depd::report::kind::Kind;

use crate::dice::Dice;
use crate::sabotage::Sabotage;

/// What a seed decides at the start.
#[derive(Clone, Debug)]
pub struct Setup {
    pub keys: Vec<ServiceKey>,
    pub steps: u32,
    pub max_rollouts: Option<usize>,
    pub halt_after: Option<u32>,
    pub drift: Drift,
    /// The last good images are put back when a rollout fails.
    pub rollback: bool,
    /// One watch for the whole cluster at first.
    pub wide: bool,
    /// That changes now and then.
    pub cover_changes: bool,
    /// The server streams lists.
    pub watch_list: bool,
    /// Requests that fail, in a hundred.
    pub api_faults: u64,
    /// Streams that are cut, in a thousand turns.
    pub cuts: u64,
    pub receiver_faults: u64,
    /// What kind it is.
    pub receiver: Kind,
    /// Crashes in ten thousand steps.
    pub crashes: u64,
    pub disk_faults: bool,
    /// A depd that starts may find another time than the one before.
    pub clocks_jump: bool,
    /// Everybody's last save is after everybody else's last change.
    pub final_round: bool,
    pub sabotage: Option<Sabotage>,
}

impl Setup {
    pub fn new(dice: &mut Dice, sabotage: Option<Sabotage>) -> Setup {
        let namespaces = 1 + dice.below(2);
        let count = 1 + dice.below(5);
        let key = |n: u64| {
            let namespace = format!("ns-{}", n % namespaces);
            ServiceKey::new(&format!("svc-{n}"), &namespace).expect("valid")
        };
        let quiet = dice.percent(15);
        let often = |dice: &mut Dice, bound: u64| if quiet { 0 } else { dice.below(bound) };
        Setup {
            keys: (0..count).map(key).collect(),
            steps: 300 + u32::try_from(dice.below(1500)).expect("small"),
            max_rollouts: dice
                .percent(40)
                .then(|| 1 + usize::try_from(dice.below(3)).expect("small")),
            halt_after: match sabotage {
                Some(Sabotage::ForgottenHalt | Sabotage::NoHalt) => Some(1),
                _ => dice.percent(20).then_some(1 + u32::try_from(dice.below(3)).expect("small")),
            },
            drift: dice.pick(&[Drift::Report, Drift::Report, Drift::Correct, Drift::Ignore]),
            rollback: dice.percent(30) || sabotage.is_some_and(Sabotage::is_of_the_way_back),
            wide: dice.percent(40),
            cover_changes: dice.percent(30),
            watch_list: dice.percent(50),
            api_faults: often(dice, 40),
            cuts: often(dice, 60),
            receiver_faults: often(dice, 50),
            crashes: often(dice, 100),
            disk_faults: !quiet && dice.percent(10),
            clocks_jump: !quiet && dice.percent(50),
            final_round: dice.percent(70),
            // From what was decided already: another throw would be another course.
            receiver: if count.is_multiple_of(2) { Kind::Webhook } else { Kind::Slack },
            sabotage,
        }
    }
}
