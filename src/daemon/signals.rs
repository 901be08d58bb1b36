//! What the operating system asks of the process: to end, to read its settings anew, to say where it
//! stands. `[E]`

use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT, by its name: end in order.
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
}

impl Requests {
    /// Takes the signals over.
    ///
    /// # Errors
    /// The operating system does not let us handle them.
    pub fn new() -> io::Result<Requests> {
        Ok(Requests { signals: Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])? })
    }

    /// Takes over only those that ask to stop; the others do what they do to any process.
    ///
    /// # Errors
    /// The operating system does not let us handle them.
    pub fn to_stop() -> io::Result<Requests> {
        Ok(Requests { signals: Signals::new([SIGTERM, SIGINT])? })
    }

    /// Waits for the next one.
    pub fn wait(&mut self) -> Asked {
        self.signals.forever().next().map_or(Asked::Stop("SIGTERM"), asked)
    }

    /// Those that came, without waiting.
    pub fn came(&mut self) -> impl Iterator<Item = Asked> + '_ {
        self.signals.pending().map(asked)
    }

    /// From now on a second request to stop ends the process at once.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn end_at_once(self) -> io::Result<()> {
        let Requests { mut signals } = self;
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

fn asked(signal: i32) -> Asked {
    match signal {
        SIGINT => Asked::Stop("SIGINT"),
        SIGHUP => Asked::Reload,
        SIGUSR1 => Asked::Dump,
        _ => Asked::Stop("SIGTERM"),
    }
}
