//! What the service manager is told: depd works, still works, reads its settings anew, ends. `[E]`
//!
//! systemd names a datagram socket in `NOTIFY_SOCKET`, and takes lines `NAME=VALUE` there (sd_notify(3)).
//! With `WatchdogSec=` in the unit it sets `WATCHDOG_USEC`, and ends a service from which it does not
//! hear `WATCHDOG=1` within that time (sd_watchdog_enabled(3)). The beat must say something about the
//! control loop and not only about the thread that sends it: that thread takes every lock of the loop,
//! and is silent where it does not get one or where the timer has stopped turning.
//!
//! Nothing here may ever hold up or end the daemon: without a socket, or with one that nobody reads,
//! it works as it would anywhere else.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{debug, error, warn};

use super::survey::Survey;
use crate::clock;
use crate::worker::Floor;

/// A word that the service manager does not take in this time is not said.
const PATIENCE: Duration = Duration::from_secs(1);
/// The timer turns every second; so much later it hangs.
const STANDSTILL: Duration = Duration::from_secs(5);

/// The way to the service manager, if one has started this process.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    /// It wants a beat in each such time.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As the environment names it. What is wrong there is said in the log, and nobody is told then.
    #[must_use]
    pub fn from_environment() -> ServiceManager {
        let name = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let (time, pid) = (env::var_os("WATCHDOG_USEC"), env::var_os("WATCHDOG_PID"));
        ServiceManager::new(name.as_deref(), watchdog(time, pid))
    }

    fn new(name: Option<&OsStr>, watchdog: Option<Duration>) -> ServiceManager {
        let open = |name: &OsStr| match connect(name) {
            Ok(socket) => Some(socket),
            Err(problem) => {
                warn!("NOTIFY_SOCKET={name:?}: {problem}; the service manager hears nothing");
                None
            }
        };
        ServiceManager { socket: name.and_then(open), watchdog }
    }

    /// The daemon is at work: it has the lock of its state and watches the folder. The cluster may
    /// still be out of reach; no restart would help there.
    pub fn ready(&self) {
        self.tell("READY=1\nSTATUS=starting up: folder and cluster are being read");
    }

    /// The program begins anew in the same process, and will say [`ServiceManager::ready`].
    pub fn reloading(&self) {
        self.tell("RELOADING=1\nSTATUS=starting anew with changed settings");
    }

    /// The daemon ends in order.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what is in hand");
    }

    /// Beats for as long as the control loop is alive, if a watchdog wants that.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn watch_over(&self, floor: &Arc<Floor>) -> io::Result<()> {
        let (Some(socket), Some(time)) = (&self.socket, self.watchdog) else { return Ok(()) };
        let manager = ServiceManager { socket: Some(socket.try_clone()?), watchdog: None };
        let floor = Arc::downgrade(floor);
        let run = move || {
            let mut pulse = Pulse::new(Instant::now());
            while let Some(floor) = floor.upgrade() {
                let status = take_every_lock(&floor);
                drop(floor);
                if pulse.is_felt(clock::beats(), Instant::now()) {
                    manager.tell(&format!("WATCHDOG=1\nSTATUS={status}"));
                } else {
                    error!("the timer of the control loop stands still: the watchdog is not fed");
                }
                // As sd_watchdog_enabled(3) recommends.
                thread::sleep(time / 2);
            }
        };
        thread::Builder::new().name("watchdog".into()).spawn(run).map(drop)
    }

    fn tell(&self, state: &str) {
        if let Some(Err(problem)) = self.socket.as_ref().map(|socket| socket.send(state.as_bytes()))
        {
            debug!("the service manager does not hear ({problem}): {state}");
        }
    }
}

/// A datagram socket that sends there: a path, or a name in the abstract namespace behind an `@`.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("neither an absolute path nor @NAME")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// The time of `WATCHDOG_USEC`, if it is meant for this process.
fn watchdog(time: Option<OsString>, pid: Option<OsString>) -> Option<Duration> {
    let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
    if pid.is_some_and(|pid| number(pid) != Some(process::id().into())) {
        return None;
    }
    time.and_then(number).filter(|time| *time > 0).map(Duration::from_micros)
}

/// Takes each lock of the control loop and lets it go again, one after the other; says where
/// everything stands. It does not return while somebody holds one of them for ever.
fn take_every_lock(floor: &Floor) -> String {
    let files = floor.desired.read().len();
    let workloads = floor.workloads.read().len();
    drop(floor.pods.read());
    drop(floor.interest.lock());
    drop(floor.retries.lock());
    let Survey { queued, in_flight, held, failed, .. } = Survey::of(floor);
    let held = if held { "held; " } else { "" };
    let failed = failed.len();
    format!(
        "{held}{files} dep files, {workloads} workloads, {in_flight} rollouts in flight, {queued} \
         services in the queue, {failed} failed"
    )
}

/// Whether the timer of the control loop turns, by the number of its turns.
struct Pulse {
    beats: u64,
    /// When that number was another one than before.
    moved: Instant,
}

impl Pulse {
    fn new(now: Instant) -> Pulse {
        Pulse { beats: 0, moved: now }
    }

    fn is_felt(&mut self, beats: u64, now: Instant) -> bool {
        if beats != self.beats {
            *self = Pulse { beats, moved: now };
        }
        now.duration_since(self.moved) < STANDSTILL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).expect("a datagram");
        String::from_utf8_lossy(&bytes[..length]).lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_path_and_an_abstract_name_lead_to_the_service_manager() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let abstract_name = format!("depd-test-{}", process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("an address");
        let by_path = UnixDatagram::bind(&path).expect("bound");
        let by_name = UnixDatagram::bind_addr(&address).expect("bound");
        let name = OsString::from(format!("@{abstract_name}"));
        for (name, socket) in [(path.as_os_str(), by_path), (name.as_os_str(), by_name)] {
            let manager = ServiceManager::new(Some(name), None);
            manager.ready();
            assert_eq!(heard(&socket), "READY=1");
            manager.reloading();
            assert_eq!(heard(&socket), "RELOADING=1");
            manager.stopping();
            assert_eq!(heard(&socket), "STOPPING=1");
        }
    }

    #[test]
    fn a_socket_that_is_not_there_or_goes_away_harms_nobody() {
        for name in ["/nowhere/at/all", "vsock:2:1234", "@depd-nobody-listens"] {
            let manager = ServiceManager::new(Some(OsStr::new(name)), None);
            assert!(manager.socket.is_none(), "{name}");
            manager.ready();
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        let manager = ServiceManager::new(Some(path.as_os_str()), None);
        drop(socket);
        manager.stopping();
    }

    #[test]
    fn a_watchdog_counts_when_it_is_meant_for_this_process() {
        let own = process::id().to_string();
        let check = |time: &str, pid: Option<&str>, expect: Option<u64>| {
            let found = watchdog(Some(time.into()), pid.map(OsString::from));
            assert_eq!(found, expect.map(Duration::from_millis), "{time} {pid:?}");
        };
        check("30000000", None, Some(30_000));
        check("30000000", Some(&own), Some(30_000));
        check("30000000", Some("1"), None);
        check("30000000", Some("nobody"), None);
        check("0", None, None);
        check("soon", None, None);
        assert_eq!(watchdog(None, None), None);
    }

    #[test]
    fn a_timer_that_stands_still_is_no_pulse() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        let mut felt =
            |second: u64, beats: u64| pulse.is_felt(beats, start + Duration::from_secs(second));
        assert!(felt(0, 0), "it has not begun");
        assert!(felt(10, 9));
        assert!(felt(11, 9), "asked twice within a turn");
        assert!(!felt(20, 9), "it stands still");
        assert!(!felt(30, 9));
        assert!(felt(40, 10), "it goes on");
    }
}
