//! What the operating system asks of the process: to end, to read its settings anew, to say where it
//! stands. `[E]`

use std::io::{self, IsTerminal as _};

use log::error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM, SIGINT, or the SIGHUP of a terminal that is gone, by its name: end in order.
    Stop(&'static str),
    /// SIGHUP: open the log file anew and read the settings.
    Reload,
    /// SIGUSR1: say in the log where everything stands.
    Dump,
}

/// The signals of this process; made before anything that is to be ended in order.
#[derive(Debug)]
pub struct Requests {
    signals: Signals,
    /// Standard error was a terminal at the start.
    at_terminal: bool,
}

impl Requests {
    /// Takes the signals over.
    ///
    /// # Errors
    /// The operating system does not let us handle them.
    pub fn new() -> io::Result<Requests> {
        Requests::of(&[SIGTERM, SIGINT, SIGHUP, SIGUSR1])
    }

    /// Takes over only those that ask to stop; the others do what they do to any process.
    ///
    /// # Errors
    /// The operating system does not let us handle them.
    pub fn to_stop() -> io::Result<Requests> {
        Requests::of(&[SIGTERM, SIGINT])
    }

    fn of(signals: &[i32]) -> io::Result<Requests> {
        Ok(Requests { signals: Signals::new(signals)?, at_terminal: io::stderr().is_terminal() })
    }

    /// Waits for the next one.
    pub fn wait(&mut self) -> Asked {
        let at_terminal = self.at_terminal;
        let next = self.signals.forever().next();
        next.map_or(Asked::Stop("SIGTERM"), |signal| asked(signal, at_terminal))
    }

    /// Those that came, without waiting.
    pub fn came(&mut self) -> impl Iterator<Item = Asked> + '_ {
        let at_terminal = self.at_terminal;
        self.signals.pending().map(move |signal| asked(signal, at_terminal))
    }

    /// From now on a second request to stop ends the process at once.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn end_at_once(self) -> io::Result<()> {
        let Requests { mut signals, .. } = self;
        let run = move || {
            for signal in signals.forever() {
                if signal == SIGTERM || signal == SIGINT {
                    std::process::exit(130);
                }
            }
        };
        std::thread::Builder::new().name("second-signal".into()).spawn(run).map(drop)
    }
}

/// Asks this process to end in order, as SIGTERM from outside does.
pub fn ask_to_stop() {
    if let Err(error) = kill_process(getpid(), Signal::TERM) {
        error!("this process cannot be asked to end ({error}): end it with kill");
    }
}

fn asked(signal: i32, at_terminal: bool) -> Asked {
    match signal {
        SIGINT => Asked::Stop("SIGINT"),
        // Nobody could see or end it any more; to a daemon without one it is a person's wish.
        SIGHUP if at_terminal && is_hung_up() => Asked::Stop("SIGHUP, its terminal is gone"),
        SIGHUP => Asked::Reload,
        SIGUSR1 => Asked::Dump,
        _ => Asked::Stop("SIGTERM"),
    }
}

/// poll(2): whose other end is gone hangs up, whatever was asked for.
fn is_hung_up() -> bool {
    let stderr = io::stderr();
    let mut watched = [PollFd::new(&stderr, PollFlags::empty())];
    let at_once = Timespec::default();
    let found = poll(&mut watched, Some(&at_once)).is_ok();
    found && watched.iter().any(|one| one.revents().contains(PollFlags::HUP))
}
