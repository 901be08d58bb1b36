//! The rollouts in flight, live below the log: for a person at a terminal, and for nobody else. `[E]`
//!
//! A thread of its own looks at them, at most ten times a second and once a second where nothing moves;
//! while none is in flight it sleeps until a service takes a step. It changes nothing, and the workers
//! do not wait for it.

mod lines;

use std::io::{self, IsTerminal as _};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::debug;

use super::print;
use crate::daemon::{Daemon, Destination, Flights, Progress, Screen};
use lines::{lines, room};

/// Between two looks while something moves.
const TICK: Duration = Duration::from_millis(100);
/// Between two looks while nothing but time does.
const SLOW_TICK: Duration = Duration::from_secs(1);
/// So many looks in a row that find nothing new make it slow.
const QUIET_LOOKS: u32 = 50;
/// A step is told of a moment before it can be seen, so nothing in flight is seen so often in vain.
const LAST_LOOKS: u32 = 3;

/// Where the log goes: above the rollouts in flight, where a person watches at a terminal.
#[must_use]
pub fn destination() -> Destination {
    let is_watched = io::stderr().is_terminal() && print::takes_colours();
    if is_watched {
        Destination::Screen(Screen::standard_error())
    } else {
        Destination::StandardError
    }
}

/// The lines below the log; gone when this is dropped.
#[derive(Debug, Default)]
pub struct Live(Option<Shown>);

#[derive(Debug)]
struct Shown {
    screen: Screen,
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Live {
    /// Shows what the daemon does, if there is a screen for it. Without a thread there is only the log.
    #[must_use]
    pub fn start(daemon: &Daemon, screen: Option<Screen>) -> Live {
        let Some(screen) = screen else { return Live(None) };
        screen.make_way_for_panics();
        let (end, over) = bounded(0);
        let (progress, own) = (daemon.progress(), screen.clone());
        let run = move || watch(progress, &own, &over);
        match thread::Builder::new().name("live".into()).spawn(run) {
            Ok(thread) => Live(Some(Shown { screen, end, thread })),
            Err(error) => {
                debug!("rollouts are not shown live: {error}");
                Live(None)
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let Some(Shown { screen, end, thread }) = self.0.take() else { return };
        drop(end);
        let _ = thread.join();
        screen.show(Vec::new());
    }
}

/// Until the daemon or the one who watches is gone.
fn watch(mut progress: Progress, screen: &Screen, over: &Receiver<()>) {
    let sound = progress.sound();
    let (mut before, mut same) = (Flights::default(), 0);
    loop {
        let size = screen.size();
        let Some(flights) = progress.look(room(size)) else { return };
        screen.show(lines(&flights, size));
        same = if flights.is_like(&before) { same + 1 } else { 0 };
        let pause = match flights.count {
            0 if same >= LAST_LOOKS => None,
            _ if same >= QUIET_LOOKS => Some(SLOW_TICK),
            _ => Some(TICK),
        };
        before = flights;
        match pause {
            // A bell that rings does not make it faster.
            Some(pause) => select! {
                recv(over) -> _ => return,
                default(pause) => {}
            },
            None => select! {
                recv(over) -> _ => return,
                recv(sound) -> _ => same = 0,
            },
        }
    }
}
