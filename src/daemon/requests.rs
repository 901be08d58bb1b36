//! What people ask of the running depd through its control socket, and what is done about it. `[E]`
//!
//! Nothing here takes a service in hand: a request is left for the worker that looks at the service
//! next, so that no service is ever in two hands.

use std::path::Path;
use std::sync::Arc;

use log::{info, warn};

use super::control::{Answer, Control, Request};
use crate::model::ServiceKey;
use crate::reconcile::Resumed;
use crate::worker::Floor;

/// Listens in the state folder. Without a control socket everything else goes on.
pub fn listen(folder: &Path, floor: &Arc<Floor>) -> Option<Control> {
    let floor = Arc::downgrade(floor);
    let answer = move |request| match floor.upgrade() {
        Some(floor) => act(&floor, &request),
        None => no("depd is about to end"),
    };
    let name = folder.display();
    Control::start(folder, answer)
        .inspect_err(|error| {
            warn!("no control socket in {name} ({error}): depd resume and depd retry cannot work");
        })
        .ok()
}

fn act(floor: &Floor, request: &Request) -> Answer {
    match request {
        Request::ResumeAll => resume_all(floor),
        Request::Retry { service, namespace } => match ServiceKey::new(service, namespace) {
            Ok(key) => retry(floor, &key),
            Err(problem) => no(&problem.to_string()),
        },
    }
}

fn yes(text: &str) -> Answer {
    Answer { done: true, text: text.to_owned() }
}

fn no(text: &str) -> Answer {
    Answer { done: false, text: text.to_owned() }
}

/// Goes on after failures in a row.
pub fn resume_all(floor: &Floor) -> Answer {
    let resumed = floor.gate.lock().resume();
    match resumed {
        Resumed::GoesOn { waiting, standing } => {
            floor.journal.stands(&standing);
            waiting.iter().for_each(|key| floor.queue.add(key));
            let text = format!("depd goes on; {} services waited", waiting.len());
            info!("resumed: {text}");
            yes(&text)
        }
        Resumed::WasNotHalted => yes("nothing was halted; depd goes on as before"),
        Resumed::HeldOtherwise => {
            no("depd is held for another reason, which its log and its message name: it must be \
             started anew with what they say (--accept-change or --apply-all), or find the files that \
             are missing")
        }
    }
}

fn retry(floor: &Floor, key: &ServiceKey) -> Answer {
    if floor.desired.read().get(key).is_none() {
        return no(&format!("the folder has no {}", key.file_name()));
    }
    floor.retries.lock().insert(key.clone());
    floor.queue.add(key);
    info!("{key}: somebody asks for another try");
    yes(&format!("{key}: what was rejected or refused is tried once more"))
}
