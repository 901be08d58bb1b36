//! A word with the running depd: a Unix domain socket named `control` in the state folder. `[E]`
//!
//! One line of JSON asks, one line of JSON answers, and the connection is over. Only the user that
//! runs depd may speak here: the folder is 0700 and the socket 0600 (unix(7): connecting needs write
//! permission). Whoever connects and says nothing costs a few seconds of a thread that has nothing
//! else to do; nothing here can hold up a deployment.
//!
//! What a request means is not known here: the wiring hands in who answers.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use log::{debug, warn};
use serde::{Deserialize, Serialize};

use crate::store::{Reader, StoreError};

/// The name of the socket in the state folder.
const NAME: &str = "control";
/// The longest request and the longest answer, in bytes.
const LINE_BYTES: u64 = 64 * 1024;
/// One read or write on either side may take this long.
const PATIENCE: Duration = Duration::from_secs(5);
/// After an error of the operating system, such as no file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// What can be asked of the running depd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Go on after `--halt-after` stopped everything.
    ResumeAll,
    /// Try what was rejected or refused once more.
    Retry {
        /// The service.
        service: String,
        /// Its namespace.
        namespace: String,
    },
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// It was done.
    pub done: bool,
    /// What was done, or why it was not; a sentence for people.
    pub text: String,
}

/// Why there is no answer; displays as what to do.
#[derive(Debug)]
pub enum NoAnswer {
    /// No depd runs on this state folder.
    NotRunning(PathBuf),
    /// The same, and a newer depd wrote its store.
    Newer(StoreError),
    /// The socket cannot be used.
    Failed(PathBuf, io::Error),
}

/// The socket of this process; dropping it takes the name away.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// Listens in the state folder `folder`, whose lock is held, on a thread of its own.
    ///
    /// # Errors
    /// The folder takes no socket (its path may be too long, or it is read-only), or no thread.
    pub fn start(
        folder: &Path,
        answer: impl Fn(Request) -> Answer + Send + 'static,
    ) -> io::Result<Control> {
        let path = folder.join(NAME);
        remove_stale(&path)?;
        let listener = UnixListener::bind(&path)?;
        let control = Control { path };
        fs::set_permissions(&control.path, Permissions::from_mode(0o600))?;
        let run = move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => {
                        if let Err(error) = serve(stream, &answer) {
                            debug!("a request on the control socket came to nothing: {error}");
                        }
                    }
                    Err(error) => {
                        warn!("the control socket: {error}");
                        thread::sleep(PAUSE);
                    }
                }
            }
        };
        thread::Builder::new().name("control".into()).spawn(run)?;
        Ok(control)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// One that a killed depd left behind would be in the way; anything else is none of ours.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else has its name")),
        Err(_) => Ok(()),
    }
}

fn serve(stream: UnixStream, answer: &impl Fn(Request) -> Answer) -> io::Result<()> {
    let line = read_line(&stream)?;
    let answer = match serde_json::from_slice(&line) {
        Ok(request) => answer(request),
        Err(error) => {
            let text = format!("this depd does not understand the request ({error})");
            Answer { done: false, text }
        }
    };
    write_line(&stream, &answer)
}

/// Asks the depd that runs on the state folder `folder`.
///
/// # Errors
/// None runs there, or it does not answer.
pub fn ask(folder: &Path, request: &Request) -> Result<Answer, NoAnswer> {
    let path = folder.join(NAME);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) => {
            return Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    match Reader::open_once(folder) {
                        Err(error @ StoreError::Newer { .. }) => NoAnswer::Newer(error),
                        _ => NoAnswer::NotRunning(folder.to_owned()),
                    }
                }
                _ => NoAnswer::Failed(path, error),
            });
        }
    };
    let spoken = write_line(&stream, request).and_then(|()| read_line(&stream));
    let answer = spoken.and_then(|line| serde_json::from_slice(&line).map_err(io::Error::from));
    answer.map_err(|error| NoAnswer::Failed(path, error))
}

fn read_line(stream: &UnixStream) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    BufReader::new(stream).take(LINE_BYTES).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no whole line came")),
    }
}

fn write_line(mut stream: &UnixStream, value: &impl Serialize) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoAnswer::NotRunning(folder) => write!(
                f,
                "no depd runs on the state folder {}: name the one that it was started with \
                 (--state, or STATE_DIRECTORY)",
                folder.display()
            ),
            NoAnswer::Newer(error) => error.fmt(f),
            NoAnswer::Failed(path, error) => {
                let path = path.display();
                write!(
                    f,
                    "cannot speak to the running depd through {path} ({error}): are you the user that runs it?"
                )
            }
        }
    }
}

impl std::error::Error for NoAnswer {}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(folder: &Path) -> Control {
        let answer = |request| Answer { done: true, text: format!("{request:?}") };
        Control::start(folder, answer).expect("it listens")
    }

    fn raw(folder: &Path, line: &[u8]) -> io::Result<Answer> {
        let stream = UnixStream::connect(folder.join(NAME))?;
        (&stream).write_all(line)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        Ok(serde_json::from_slice(&read_line(&stream)?)?)
    }

    #[test]
    fn a_request_is_answered_and_what_is_none_is_told_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let control = control(folder.path());
        let answer = ask(folder.path(), &Request::ResumeAll).expect("an answer");
        assert_eq!(answer, Answer { done: true, text: "ResumeAll".into() });
        for line in [&b"{}\n"[..], b"nonsense\n", b"{\"command\":\"other\"}\n"] {
            let answer = raw(folder.path(), line).expect("an answer");
            assert!(!answer.done && answer.text.contains("does not understand"), "{answer:?}");
        }
        assert!(raw(folder.path(), b"{\"command\":").is_err(), "no whole line, no answer");
        assert!(raw(folder.path(), &[b'x'; LINE_BYTES as usize]).is_err(), "an endless line");
        let answer = raw(folder.path(), b"{\"command\":\"resume-all\"}\n").expect("an answer");
        assert!(answer.done, "it still serves: {answer:?}");
        drop(control);
        let gone = ask(folder.path(), &Request::ResumeAll);
        assert!(matches!(gone, Err(NoAnswer::NotRunning(_))), "{gone:?}");
    }

    #[test]
    fn the_socket_is_for_its_user_only_and_one_that_was_left_behind_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(UnixListener::bind(folder.path().join(NAME)).expect("bound"));
        let stale = ask(folder.path(), &Request::ResumeAll);
        assert!(matches!(stale, Err(NoAnswer::NotRunning(_))), "{stale:?}");
        let _control = control(folder.path());
        let mode = fs::metadata(folder.path().join(NAME)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(ask(folder.path(), &Request::ResumeAll).is_ok());
    }

    #[test]
    fn a_file_of_that_name_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(NAME), "mine").expect("written");
        assert!(Control::start(folder.path(), |_| unreachable!()).is_err());
        assert_eq!(fs::read_to_string(folder.path().join(NAME)).expect("there"), "mine");
    }
}
