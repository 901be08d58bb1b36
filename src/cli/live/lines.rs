//! Rollouts in flight → the lines that a person sees. Pure: what is shown depends on what is given.

use crate::cli::print::{Cell, table};
use crate::cli::stored::short;
use crate::daemon::{Flight, Flights, Size};
use crate::model::Sign;

/// Rollouts that are shown, however high the screen is.
const MOST: usize = 12;
/// The titles, the line that counts the others, the cursor's line, and one of the log at least.
const BESIDES: usize = 4;

/// How many rollouts there is room for.
#[must_use]
pub fn room(size: Size) -> usize {
    // The log keeps the larger part.
    (size.rows / 2).saturating_sub(BESIDES - 1).min(MOST)
}

/// The lines, none longer than the screen is wide; none where nothing is in flight.
#[must_use]
pub fn lines(flights: &Flights, size: Size) -> Vec<String> {
    let shown = &flights.shown[..flights.shown.len().min(room(size))];
    // Those that there is room for may be over or begin at this very moment.
    let is_between = shown.is_empty() && room(size) > 0;
    if flights.count == 0 || is_between || size.rows < BESIDES {
        return Vec::new();
    }
    let more = flights.count.saturating_sub(shown.len());
    let mut lines: Vec<String> = Vec::new();
    if !shown.is_empty() {
        let titles = ["ROLLOUT", "UPDATED", "READY", "AVAILABLE", "AGE", "IMAGE"];
        let rows: Vec<Vec<Cell>> = shown.iter().map(cells).collect();
        lines.extend(table(&titles, &rows, false).lines().map(str::to_owned));
    }
    match (more, shown.is_empty()) {
        (0, _) => {}
        (_, true) => lines.push(format!("{more} rollouts in flight")),
        (_, false) => lines.push(format!("… and {more} more")),
    }
    // The last column stays free: some terminals go to the next line when it is written.
    let most = size.columns.saturating_sub(1);
    lines.into_iter().map(|line| cut(&line, most)).collect()
}

fn cells(flight: &Flight) -> Vec<Cell> {
    let mut cells = vec![Cell::from(flight.key.to_string())];
    match &flight.state {
        None => cells.extend(["", "", "", ""].map(Cell::from)),
        Some(state) => {
            let of = |count: i32| Cell::from(format!("{count}/{}", state.replicas.wanted));
            let counts = [state.replicas.updated, state.replicas.ready, state.replicas.available];
            cells.extend(counts.map(of));
            cells.push(short(state.age.as_secs()).into());
        }
    }
    // The longest text comes last, and in it what must not be cut off first.
    let remark = match &flight.state {
        None => "is being sent: ",
        Some(state) => state.suspicion.map(words).unwrap_or_default(),
    };
    let back = if flight.is_back { "back to " } else { "" };
    cells.push(format!("{remark}{back}{}", flight.images.join(", ")).into());
    cells
}

/// What seems to be wrong.
fn words(sign: Sign) -> &'static str {
    match sign {
        Sign::ImageUnusable => "cannot be used: ",
        Sign::ImageNotFound => "there is no such image: ",
        Sign::ImagePull => "cannot be pulled: ",
        Sign::ContainerCreate => "no container can be made of it: ",
        Sign::Crash => "crashes: ",
        Sign::PodCreate => "no pods can be made for it: ",
        Sign::GivenUp => "the controller gave up: ",
        Sign::Unschedulable => "there is no node for a pod of it: ",
        Sign::Stuck => "an old pod is in its way: ",
        // Every pod is that at first; the counts say it.
        Sign::Unready => "",
    }
}

fn cut(line: &str, most: usize) -> String {
    if line.chars().count() <= most {
        return line.to_owned();
    }
    let kept: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests;
