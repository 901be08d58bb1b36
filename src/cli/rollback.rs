//! `depd rollback`: writes the dep file so that it asks for what ran well before.
//!
//! It changes the file and nothing else: the daemon sees that somebody saved it, so file and cluster
//! agree in the end, and the history tells of one more rollout.

use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::dep_file::{DepFile, FolderArguments, bring_back};
use super::print::print;
use super::stored::{StoreArguments, parse_key};
use crate::desired::{Content, ImageRules, parse_content};
use crate::model::{ImageSet, ServiceKey};
use crate::source::Finding;
use crate::store::StoredRollout;

/// How far back the history is searched; the store keeps no more of one service.
const FAR: usize = 1000;

/// Put back what ran well before: write it into the dep file.
///
/// A file that was removed is written again. Without --to, that is the newest rollout that was deployed
/// with other images than the file asks for now. The running daemon then rolls it out as it does
/// whatever is saved; depd wait KEY waits for the verdict.
///
/// Exit code 0: the file was written. 1: there is nothing to put back, or the file cannot be written.
/// 2: wrong usage, such as an unknown KEY.
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The service, as its file is called: SERVICE_NAMESPACE
    #[arg(value_name = "KEY", value_parser = parse_key)]
    key: ServiceKey,

    /// The number of the rollout to put back, as depd history shows it
    #[arg(long, value_name = "NO")]
    to: Option<u32>,

    #[command(flatten)]
    deps: FolderArguments,

    #[command(flatten)]
    store: StoreArguments,
}

/// Chooses and writes.
pub fn run(arguments: &RollbackArguments) -> Result<ExitCode, Failure> {
    let env = arguments.store.environment()?;
    let key = &arguments.key;
    let file = DepFile::find(&arguments.deps, key, &env);
    let reader = match arguments.store.open(&env) {
        Ok(reader) => reader,
        Err(error) => return Err(file.err().unwrap_or(error)),
    };
    let history = reader.history(Some(key), FAR).map_err(Failure::work)?;
    let file = match file {
        // Somebody removed it.
        Err(_) if !history.is_empty() => None,
        file => Some(file?),
    };
    let now = match file.as_ref().map(|file| &file.read.finding) {
        Some(Finding::Images(images)) => Some(images),
        _ => None,
    };
    let chosen = choose(&history, arguments.to, now)
        .map_err(|why| Failure::work(format!("{key}: {why}")))?;
    let path = match &file {
        Some(file) => {
            file.replace(&chosen.content)?;
            file.shown()
        }
        None => bring_back(&arguments.deps, key, &env, &chosen.content)?,
    };
    let (content, attempt) = (chosen.images, chosen.attempt);
    print(&format!("{path} asks for {content} again, as in rollout {attempt}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// What is put back.
#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    attempt: u32,
    images: ImageSet,
    content: String,
}

fn choose(
    history: &[StoredRollout],
    to: Option<u32>,
    now: Option<&ImageSet>,
) -> Result<Chosen, String> {
    let well = |rollout: &&StoredRollout| {
        let verdict = rollout.end.as_ref().map(|end| end.verdict.as_str());
        matches!(verdict, Some("Deployed" | "Recovered"))
    };
    if let Some(number) = to {
        let rollout = history.iter().find(|rollout| rollout.attempt == number);
        let rollout = rollout.ok_or_else(|| no_such(number, history))?;
        let chosen = read(rollout).ok_or(format!(
            "rollout {number} is from an older depd, which did not keep the content of the file"
        ))?;
        return match now == Some(&chosen.images) {
            true => Err(format!("its file asks for rollout {number} already")),
            false => Ok(chosen),
        };
    }
    let mut candidates = history.iter().filter(well).filter_map(read);
    candidates
        .find(|chosen| now != Some(&chosen.images))
        .ok_or("no earlier rollout was deployed with other images; depd history lists them".into())
}

fn no_such(number: u32, history: &[StoredRollout]) -> String {
    let bound = |pick: fn(_) -> Option<u32>| pick(history.iter().map(|rollout| rollout.attempt));
    match (bound(Iterator::min), bound(Iterator::max)) {
        (Some(first), Some(last)) => {
            format!(
                "there is no rollout {number} in its history, which goes from {first} to {last}"
            )
        }
        _ => format!("there is no rollout {number}: its history is empty"),
    }
}

/// The images are complete names, whatever `ECR_REPO` was then or is now.
fn read(rollout: &StoredRollout) -> Option<Chosen> {
    let content = rollout.wanted.clone()?;
    match parse_content(content.as_bytes(), &rollout.key, &ImageRules::default()) {
        Ok(Content::Images(images)) => Some(Chosen { attempt: rollout.attempt, images, content }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Image;
    use crate::model::fixture::key;
    use crate::store::RolloutEnd;

    fn rollout(attempt: u32, image: &str, verdict: &str) -> StoredRollout {
        let end = RolloutEnd { verdict: verdict.into(), detail: String::new(), at_ms: 1 };
        StoredRollout {
            key: key("web"),
            attempt,
            changes: String::new(),
            wanted: Some(format!("{image}\n")).filter(|_| !image.is_empty()),
            by: None,
            started_ms: 0,
            end: Some(end),
        }
    }

    fn shown(to: Option<u32>, now: Option<&str>) -> String {
        let history = [
            rollout(5, "nginx:5", "Failed"),
            rollout(4, "nginx:4", "Deployed"),
            rollout(3, "nginx:3", "Superseded"),
            rollout(2, "nginx:2", "Recovered"),
            rollout(1, "", "Deployed"),
        ];
        let now = now.map(|image| ImageSet::Single(Image::parse(image).expect("valid")));
        match choose(&history, to, now.as_ref()) {
            Ok(chosen) => format!("{}: {}", chosen.attempt, chosen.content.trim()),
            Err(why) => why,
        }
    }

    #[test]
    fn the_newest_that_ran_well_with_other_images_is_put_back() {
        assert_eq!(shown(None, Some("nginx:5")), "4: nginx:4");
        assert_eq!(shown(None, Some("nginx:4")), "2: nginx:2");
        assert_eq!(shown(None, None), "4: nginx:4", "the file is invalid");
        assert_eq!(
            choose(&[], None, None),
            Err("no earlier rollout was deployed with other images; depd history lists them".into())
        );
    }

    #[test]
    fn a_number_is_taken_at_its_word() {
        assert_eq!(shown(Some(3), Some("nginx:5")), "3: nginx:3");
        assert_eq!(shown(Some(5), Some("nginx:5")), "its file asks for rollout 5 already");
        assert_eq!(
            shown(Some(9), None),
            "there is no rollout 9 in its history, which goes from 1 to 5"
        );
        assert_eq!(
            shown(Some(1), None),
            "rollout 1 is from an older depd, which did not keep the content of the file"
        );
    }
}
