//! TERM and INT → an orderly end. `[E]`

use std::io;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Waits for SIGTERM or SIGINT and says its name. A second one ends the process at once.
///
/// # Errors
/// The operating system does not let us handle signals.
pub fn wait_for_stop() -> io::Result<&'static str> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let name = match signals.forever().next() {
        Some(SIGINT) => "SIGINT",
        _ => "SIGTERM",
    };
    std::thread::Builder::new().name("second-signal".into()).spawn(move || {
        if signals.forever().next().is_some() {
            std::process::exit(130);
        }
    })?;
    Ok(name)
}
