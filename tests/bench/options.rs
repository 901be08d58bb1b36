//! How much is measured.

use std::path::PathBuf;
use std::time::Duration;

const USAGE: &str = "\
usage: scripts/bench [--smoke | --full] [--only PART]... [--rounds N] [--services N]
                     [--json FILE]

  --smoke      everything tiny, within a minute: checks that counts are right, never times
  --full       also 5,000 files at once, and 10,000 Deployments with a pod each
  --only PART  only singles, burst, kubectl, managed (100), or of what --full adds: burst-5000, scale (10,000)
  --rounds N   how often depd and the raw loops take turns in a burst
  --services N how many there are in the part scale, at least a thousand (10,000)
  --json FILE  write the figures there as well";

const PARTS: [&str; 6] = ["singles", "burst", "kubectl", "managed", "burst-5000", "scale"];

/// What was asked for.
pub struct Options {
    /// `smoke`, `default` or `full`.
    pub mode: &'static str,
    pub sizes: Sizes,
    /// Parts to measure; empty for all.
    only: Vec<String>,
    pub json: Option<PathBuf>,
}

/// How much of everything.
pub struct Sizes {
    /// Single changes, one after another.
    pub singles: usize,
    pub burst: Burst,
    /// Changes by `kubectl set image`.
    pub kubectl: usize,
    pub managed: Managed,
    pub scale: Option<Scale>,
}

/// What only `--full` measures.
pub struct Scale {
    pub burst: Burst,
    pub managed: Managed,
}

/// Files written at once.
pub struct Burst {
    pub files: usize,
    /// How often depd and each raw loop take turns.
    pub rounds: usize,
    /// The raw loops to find the best of.
    pub connections: &'static [usize],
}

/// A cluster full of managed services with one pod each.
pub struct Managed {
    pub services: usize,
    /// Files written at once, each of which leads to a rollout that succeeds.
    pub batch: usize,
    /// How often.
    pub rounds: usize,
    /// Rollouts that fail at once.
    pub failing: usize,
    /// How long nothing happens.
    pub idle: Duration,
    /// Goal for resident memory, MiB.
    pub resident_goal_mib: f64,
}

impl Options {
    /// Reads the arguments; the error is what to print.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options =
            Options { mode: "default", sizes: Sizes::usual(), only: Vec::new(), json: None };
        let (mut arguments, mut rounds, mut services) = (arguments, None, None);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--smoke" => (options.mode, options.sizes) = ("smoke", Sizes::smoke()),
                "--full" => (options.mode, options.sizes) = ("full", Sizes::full()),
                "--only" => {
                    let known = |part: &String| PARTS.contains(&part.as_str());
                    let part = arguments.next().filter(known).ok_or_else(|| USAGE.to_owned())?;
                    options.only.push(part);
                }
                "--rounds" => {
                    let count = arguments.next().and_then(|text| text.parse().ok());
                    rounds =
                        Some(count.filter(|count| *count > 0).ok_or_else(|| USAGE.to_owned())?);
                }
                "--services" => {
                    let count = arguments.next().and_then(|text| text.parse().ok());
                    let enough = |count: &usize| *count >= 1000;
                    services = Some(count.filter(enough).ok_or_else(|| USAGE.to_owned())?);
                }
                "--json" => {
                    let file = arguments.next().ok_or_else(|| USAGE.to_owned())?;
                    options.json = Some(file.into());
                }
                // Cargo's own mark that this is a benchmark.
                "--bench" => {}
                _ => return Err(USAGE.to_owned()),
            }
        }
        if let Some(rounds) = rounds {
            let sizes = &mut options.sizes;
            sizes.burst.rounds = rounds;
            sizes.scale.iter_mut().for_each(|scale| scale.burst.rounds = rounds);
        }
        if let (Some(services), Some(scale)) = (services, &mut options.sizes.scale) {
            scale.managed.services = services;
        }
        Ok(options)
    }

    /// Whether this part is to be measured.
    pub fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

impl Sizes {
    fn smoke() -> Sizes {
        Sizes {
            singles: 5,
            burst: Burst { files: 20, rounds: 1, connections: &[8] },
            kubectl: 2,
            managed: Managed {
                services: 20,
                batch: 5,
                rounds: 1,
                failing: 5,
                idle: Duration::from_secs(1),
                resident_goal_mib: 10.0,
            },
            scale: None,
        }
    }

    fn usual() -> Sizes {
        Sizes {
            singles: 200,
            burst: Burst { files: 1000, rounds: 3, connections: &[8, 32, 100] },
            kubectl: 40,
            managed: Managed {
                services: 100,
                batch: 100,
                rounds: 5,
                failing: 100,
                idle: Duration::from_secs(30),
                resident_goal_mib: 10.0,
            },
            scale: None,
        }
    }

    fn full() -> Sizes {
        let mut sizes = Sizes::usual();
        sizes.singles = 500;
        sizes.scale = Some(Scale {
            burst: Burst { files: 5000, rounds: 2, connections: &[32, 100] },
            managed: Managed {
                services: 10_000,
                batch: 100,
                rounds: 5,
                failing: 1000,
                idle: Duration::from_secs(30),
                resident_goal_mib: 48.0,
            },
        });
        sizes
    }
}
